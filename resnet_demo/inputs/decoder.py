"""The process in which strangers' photos and sounds are opened: requests come in through a pipe, pixels go
out.

It is started by ``decoder_pool.py`` and knows nothing but the bytes it is given: no network, no page, no
other visitor. A message either way is four bytes of length, a JSON header, and as many further bytes as the
header says. What bounds it here, where the system can: memory, processor time and wall time a request, no
files written, and it ends when the pipe does.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from resnet_demo.i18n import Sentence
from resnet_demo.inputs.errors import NO_MEMORY, InputError, PhotoError, SoundError, WeightsError
from resnet_demo.inputs.photo_decoding import open_photo_file
from resnet_demo.inputs.photo_formats import load_readers
from resnet_demo.inputs.preprocessing import fit_photo, needed_side
from resnet_demo.inputs.weights_file import count_tensors
from resnet_demo.records import Preprocessing

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

SECONDS = 10.0  # of wall time a request; the parent waits as long
CPU_SECONDS = 4  # of processor time a request
MEMORY = 1_000_000_000  # bytes of address space, beyond what the process has when it starts
MAX_HEADER = 1 << 16  # bytes of a message's header
MAX_DATA = 64_000_000  # and of what follows it: more than any file or picture has
Answer = tuple[dict[str, Any], bytes]


def main() -> None:
    """Answer requests until the pipe ends."""
    into, out = _pipes()
    load_readers()
    _confine()
    write(out, {"ready": os.getpid()})
    while (request := read(into)) is not None:  # parsed by JSON alone, as the parent parses the answers
        _bound()
        header, data = answer(request[0], bytes(request[1]))
        _unbound()
        write(out, header, data)


def answer(header: Mapping[str, Any], data: bytes) -> Answer:
    """What a request is answered: {"shape", "notice"} and pixels, figures and samples, {"refused":
    sentence}, or {"failed"}."""
    kind = {"sound": SoundError, "weights": WeightsError}.get(header["task"], PhotoError)
    try:
        return TASKS[header["task"]](header, data)
    except InputError as error:
        return {"refused": as_json(error.args[0])}, b""
    except MemoryError:
        return {"refused": as_json(NO_MEMORY[kind])}, b""
    except Exception as error:  # noqa: BLE001 - the parent says it in a sentence, and goes on
        return {"failed": type(error).__name__}, b""


def pixels(header: Mapping[str, Any], data: bytes) -> Answer:
    """A photo as the square that a network takes."""
    preprocessing = Preprocessing(**header["preprocessing"])
    opened = open_photo_file(data, needed_side(preprocessing))
    found = fit_photo(opened.image, preprocessing)
    return {"shape": found.shape, "notice": as_json(opened.notice)}, found.tobytes()


def picture(header: Mapping[str, Any], data: bytes) -> Answer:
    """A photo as ``open_photo`` gives it."""
    opened = open_photo_file(data)
    shape = (opened.image.height, opened.image.width, 3)
    return {"shape": shape, "notice": as_json(opened.notice)}, opened.image.tobytes()


def sound(header: Mapping[str, Any], data: bytes) -> Answer:
    """A sound as ``open_recording`` gives it: its samples, then its outline."""
    from resnet_demo.inputs.sound_decoding import open_recording  # here: 7 MB that photos do without

    found = open_recording(data)
    assert found.outline is not None
    header = {"used": len(found.samples), "begin": found.begin, "seconds": found.seconds}
    return header, found.samples.tobytes() + found.outline.tobytes()


def weights(header: Mapping[str, Any], data: bytes) -> Answer:
    """A safetensors file: {"tensors": how many}, or None for one that is damaged."""
    return {"tensors": count_tensors(data)}, b""


TASKS: dict[str, Callable[[Mapping[str, Any], bytes], Answer]] = {
    "pixels": pixels,
    "picture": picture,
    "sound": sound,
    "weights": weights,
}


def as_json(sentence: object) -> Any:
    """A sentence with its values, for JSON; strings, numbers and None stay as they are."""
    if isinstance(sentence, Sentence):
        return {
            "pattern": sentence.pattern,
            "values": {name: as_json(value) for name, value in sentence.values.items()},
        }
    return sentence if isinstance(sentence, str | int | float | None) else str(sentence)


def write(out: int, header: Mapping[str, Any], data: bytes = b"") -> None:
    """One message, into a pipe.

    Raises:
        OSError: nobody is there to read it.
    """
    head = json.dumps({**header, "bytes": len(data)}).encode()
    for part in (struct.pack(">I", len(head)) + head, data):
        left = memoryview(part)
        while left:
            left = left[os.write(out, left) :]


def read(into: int) -> tuple[dict[str, Any], bytearray] | None:
    """The next message of a pipe; None at its end.

    Raises:
        ValueError: what comes is no message, or larger than any.
    """
    size = _exactly(into, 4)
    if size is None:
        return None
    (length,) = struct.unpack(">I", size)
    if length > MAX_HEADER:
        raise ValueError("the header is too long")
    head = _exactly(into, length)
    if head is None:
        return None
    header = json.loads(head)
    if not isinstance(header, dict) or type(header.get("bytes")) is not int:
        raise ValueError("the header says no length")
    if not 0 <= header["bytes"] <= MAX_DATA:
        raise ValueError("there is too much to come")
    data = _exactly(into, header["bytes"])
    return None if data is None else (header, data)


def _exactly(into: int, count: int) -> bytearray | None:
    """So many bytes, or None if the pipe ends before."""
    found = bytearray(count)
    left = memoryview(found)
    while left:
        got = os.readv(into, [left]) if hasattr(os, "readv") else _copied(into, left)
        if not got:
            return None
        left = left[got:]
    return found


def _copied(into: int, left: memoryview) -> int:
    some = os.read(into, min(len(left), 1 << 20))
    left[: len(some)] = some
    return len(some)


def _pipes() -> tuple[int, int]:
    """The ends of the pipes. What a decoder prints goes nowhere, least of all between the answers."""
    into, out = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    if sys.platform == "win32":
        import msvcrt

        for number in (into, out):
            msvcrt.setmode(number, os.O_BINARY)
    return into, out


def _confine() -> None:
    """What holds for good."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, whose end closes the pipe
    if resource is None:
        return
    _limit(resource.RLIMIT_CORE, 0)  # no visitor's photo in a core dump
    _limit(resource.RLIMIT_FSIZE, 0)
    with suppress(OSError, ValueError, IndexError), open("/proc/self/statm", encoding="ascii") as pages:
        now = int(pages.read().split()[0]) * resource.getpagesize()
        _limit(resource.RLIMIT_AS, now + MEMORY)


def _limit(what: int, most: int) -> None:
    with suppress(OSError, ValueError):
        resource.setrlimit(what, (most, resource.getrlimit(what)[1]))


def _bound() -> None:
    """From here on for one request: the system ends the process when it takes too long, whoever else is
    gone."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, SECONDS + 1)
    if resource is not None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        _limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + 1 + CPU_SECONDS)


def _unbound() -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":
    main()
