"""A file that people bring to what it holds, and what to say of those that hold no state dict.

Nothing in a file is executed: safetensors are numbers, and pickles are read through ``weights_only``, with
inert stand-ins for whatever else lies beside the tensors (options, callbacks).
"""

from __future__ import annotations

import io
import pickletools
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from resnet_demo.i18n import later
from resnet_demo.networks.checkpoints import MAX_BYTES, CheckpointError, read_bytes, read_tensors

RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg"}  # since Python 3
LEGACY_PICKLES = 4  # of a file in PyTorch's form before 2020: three short ones, then what was saved
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # how such a file begins
STATE_DICT = later("save model.state_dict() and bring that")
EXPORTED = later("a program of torch.export")

PACKED, UNPACK = later("a compressed archive"), later("unpack it first")
ELSEWHERE = later("a model of another program"), later("only PyTorch's weights are read")

MAGIC = (  # first bytes, what the file is, what to do
    (b"\x89HDF\r\n\x1a\n", later("a Keras or HDF5 file"), later("only PyTorch's weights are read")),
    (
        b"version https://git-lfs",
        later("a pointer of Git LFS"),
        later("fetch the file itself with git lfs pull"),
    ),
    (b"GGUF", later("a GGUF file"), later("only PyTorch's weights are read")),
    (b"\x93NUMPY", later("a NumPy array"), STATE_DICT),
    *(
        (magic, PACKED, UNPACK)
        for magic in (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!", b"(\xb5/\xfd")
    ),
)
TAR = slice(257, 262), b"ustar"  # where a tape archive says what it is
SUFFIXES = {
    ".onnx": (later("an ONNX model"), STATE_DICT),
    ".h5": (later("a Keras or HDF5 file"), later("only PyTorch's weights are read")),
    ".keras": (later("a Keras or HDF5 file"), later("only PyTorch's weights are read")),
    ".tflite": (later("a TensorFlow Lite model"), later("only PyTorch's weights are read")),
    ".pb": (later("a TensorFlow model"), later("only PyTorch's weights are read")),
    ".pt2": (EXPORTED, STATE_DICT),
    ".npz": (later("a NumPy archive"), STATE_DICT),
    ".json": (later("a JSON file"), later("bring the .safetensors or .pth file")),
}
# what is not PyTorch's by its bytes, and is somebody else's by its name
FOREIGN = (".mlmodel", ".msgpack", ".caffemodel", ".engine", ".plan", ".params", ".mat", ".index", ".meta")
WEB_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype|html|head|\?xml|!--)", re.IGNORECASE)
SHARD = later("part of a checkpoint in several files"), later("save it as one file")


def read_checkpoint_file(path: Path, allow_pickle: bool) -> Any:
    """What a .safetensors file holds, or a pickle of PyTorch where that is allowed.

    Raises:
        CheckpointError: missing, too large, damaged, of another kind, or a pickle that is not allowed.
    """
    name = path.name
    if name.endswith(".index.json") or "-of-0" in name:
        raise refusal(name, *SHARD)
    payload = read_bytes(path, MAX_BYTES)
    if not payload:
        raise CheckpointError(later("{file} is empty; fetch or save it again.", file=name))
    if WEB_PAGE.match(payload):
        raise refusal(name, later("a web page"), later("download the file itself"))
    for magic, kind, remedy in MAGIC:
        if payload.startswith(magic):
            raise refusal(name, kind, remedy)
    if payload[TAR[0]] == TAR[1]:
        raise refusal(name, PACKED, UNPACK)
    if path.suffix.lower() in SUFFIXES:
        raise refusal(name, *SUFFIXES[path.suffix.lower()])
    if path.suffix.lower() == ".safetensors":
        if payload.startswith((b"PK\x03\x04", b"\x80")) and payload[8:9] != b"{":
            raise refusal(
                name, later("a pickle under the name of another format"), later("rename it to .pth")
            )
        return read_tensors(name, payload)
    if not payload.startswith((b"PK\x03\x04", b"\x80")):
        if path.suffix.lower() in FOREIGN:
            raise refusal(name, *ELSEWHERE)
        raise CheckpointError(
            later("{file} is damaged, or neither safetensors nor a checkpoint of PyTorch.", file=name)
        )
    if payload.startswith(b"PK"):
        _check_archive(name, payload)
    elif not LEGACY.startswith(payload[: len(LEGACY)]):
        raise refusal(name, later("a pickle that torch.save did not write"), STATE_DICT)
    if not allow_pickle:
        raise CheckpointError(
            later(
                "{file} is in PyTorch's pickle format: allow its tensors to be read with --allow-pth, or"
                " convert it to .safetensors.",
                file=name,
            )
        )
    return _read_pickle(name, payload)


def refusal(name: str, kind: str, remedy: str) -> CheckpointError:
    """The error for a file that is something else."""
    return CheckpointError(later("{file} is {kind}: {remedy}.", file=name, kind=kind, remedy=remedy))


def _check_archive(name: str, payload: bytes) -> None:
    """Refuse archives that are no checkpoints of PyTorch, and those that would unpack to more than they
    say."""
    try:
        with zipfile.ZipFile(io.BytesIO(payload)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        raise CheckpointError(
            later("{file} is damaged or cut off; fetch or save it again.", file=name)
        ) from None
    names = [entry.filename for entry in entries]
    if any(n.endswith("constants.pkl") or "/code/" in n for n in names):
        raise refusal(name, later("a TorchScript program"), STATE_DICT)
    if any(n.endswith(("archive_format", "models/model.json")) for n in names):
        raise refusal(name, EXPORTED, STATE_DICT)
    if any(n.endswith((".h5", "config.json")) for n in names):
        raise refusal(name, later("a Keras or HDF5 file"), later("only PyTorch's weights are read"))
    if not any(n.endswith("data.pkl") for n in names):
        raise refusal(name, later("an archive without a checkpoint"), later("unpack it first"))
    if sum(entry.file_size for entry in entries) > MAX_BYTES:
        raise CheckpointError(
            later("{file} would unpack to more than {most} bytes.", file=name, most=MAX_BYTES)
        )


class _Inert:
    """Stands for an object of a class that is not loaded: takes anything, does nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def _read_pickle(name: str, payload: bytes) -> Any:
    foreign: set[str] = set()
    try:
        foreign = _foreign(payload)
        stand_ins = [(_Inert, qualified) for qualified in sorted(foreign)]
        if any(qualified.startswith("torch.nn.modules.") for qualified in foreign):
            raise refusal(name, later("a whole pickled model"), STATE_DICT)
        with torch.serialization.safe_globals(stand_ins):  # type: ignore[arg-type]
            return torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:
        if foreign:
            raise CheckpointError(
                later(
                    "{file} holds more than tensors ({kind}): save model.state_dict() and bring that.",
                    file=name,
                    kind=f"{min(foreign):.60}",
                )
            ) from error
        raise CheckpointError(
            later("{file} is damaged or cut off; fetch or save it again.", file=name)
        ) from error


def _foreign(payload: bytes) -> set[str]:
    """The classes and functions that a pickle names and that ``weights_only`` does not know."""
    if payload.startswith(b"PK"):
        return set(torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(payload)))
    from torch._weights_only_unpickler import _get_allowed_globals

    stream, named = io.BytesIO(payload), set()
    for _ in range(LEGACY_PICKLES):
        words: list[str] = []
        for opcode, argument, _position in pickletools.genops(stream):
            if opcode.name == "GLOBAL":
                named.add(str(argument).replace(" ", "."))
            elif opcode.name == "STACK_GLOBAL" and len(words) >= 2:
                named.add(".".join(words[-2:]))
            elif isinstance(argument, str):
                words = [*words[-1:], argument]
    named = {
        RENAMED.get(module, module) + dot + rest for module, dot, rest in (n.partition(".") for n in named)
    }
    return named - set(_get_allowed_globals())
