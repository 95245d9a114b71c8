"""Checkpoints on disk: safetensors beside a JSON card that says all a stranger needs.

``weights/<network>-<first 8 hex of its SHA-256>.safetensors`` holds the parameters in
float16; the card of the same stem holds configuration, preprocessing, classes, figures
and the full SHA-256, which is checked before a byte is interpreted. Pickles are refused.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from resnet_demo.i18n import later
from resnet_demo.networks.cards import WEIGHTS
from resnet_demo.networks.families import family_named, family_of
from resnet_demo.networks.residual_blocks import residual_blocks
from resnet_demo.records import Preprocessing

MAX_BYTES = 500_000_000  # a ResNet-152 has 241 MB; nothing larger is read into memory
MAX_HEADER = 1_000_000  # bytes; that of a network with a thousand tensors has a tenth of it


class CheckpointError(RuntimeError):
    """A checkpoint is missing or unfit; one sentence that names the file and the reason."""


@dataclass(frozen=True)
class Card:
    """What travels with the weights.

    Attributes:
        network: name on the menu.
        config: rebuilds the network, the dataclass of its family; None for one that is not ours.
        preprocessing: how a photo becomes its input.
        classes: in the order of the logits; a binary network (one logit) names two, the
            second being the one that a positive logit means.
        accuracy: share right on ``data``, one view, as shipped; None if not measured.
        n: how many photos that was measured on.
        interval: 95 % Wilson interval of ``accuracy``.
        temperature: the logits are divided by it before the sigmoid or softmax.
        knows: one sentence for the page on what the network has ever seen.
        family: of networks, which builds this one from ``config``; see ``families.py``.
        blocks: residual blocks, 0 if not counted.
        about: what it sees and is good for, in a few words for the menu.
        details: recipe, data, device, hours, commit and whatever else is worth keeping.
        sha256: of the checkpoint file, in hex.
    """

    network: str
    config: Any
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    accuracy: float | None = None
    n: int = 0
    interval: tuple[float, float] | None = None
    temperature: float = 1.0
    knows: str = ""
    family: str = "notebook"
    blocks: int = 0
    about: str = ""
    details: dict[str, Any] = field(default_factory=dict, compare=False)
    sha256: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        if not all(
            isinstance(v, str)
            for v in (self.network, self.knows, self.family, self.about, self.sha256, *self.classes)
        ):
            raise TypeError("names, classes, hash and sentence of a card must be text")
        if self.config is not None:
            wanted = 2 if self.config.num_logits == 1 else self.config.num_logits
            if len(self.classes) != wanted:
                raise ValueError(
                    f"{self.config.num_logits} logits need {wanted} class names, got {len(self.classes)}"
                )
        if not self.temperature > 0:
            raise ValueError(f"the temperature must be positive, got {self.temperature}")

    @classmethod
    def from_json(cls, text: str) -> Card:
        """Parse a card. Raises ValueError, LookupError or TypeError if it is not one."""
        data = json.loads(text)
        if not isinstance(data, dict):
            raise TypeError("a card is a JSON object")
        config = data.pop("config")
        interval = data.pop("interval", None)
        return cls(
            config=_configured(data.get("family", "notebook"), config),
            preprocessing=Preprocessing(**data.pop("preprocessing")),
            interval=(interval[0], interval[1]) if interval else None,
            **data,
        )

    def to_json(self) -> str:
        """The card as indented JSON."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"


def available_networks(directory: Path = WEIGHTS) -> dict[str, Path]:
    """Network name -> checkpoint, for every checkpoint in ``directory`` that has a readable card."""
    found = {}
    for path in sorted(directory.glob("*-????????.safetensors")):
        try:
            found[read_card(path).network] = path
        except CheckpointError:
            continue
    return found


def save_checkpoint(model: nn.Module, card: Card, directory: Path = WEIGHTS) -> Path:
    """Write ``model`` in float16 and its card; returns the checkpoint's path.

    The card's ``family``, ``config``, ``blocks`` and ``sha256`` are filled in here.

    Raises:
        ValueError: ``model`` is of no family of networks.
    """
    family = family_of(model)
    if family is None:
        raise ValueError(f"{type(model).__name__} is of no known family of networks")
    state = {name: _shippable(tensor) for name, tensor in model.state_dict().items()}
    payload = save_safetensors(state, metadata={"network": card.network, "format": "pt"})
    digest = hashlib.sha256(payload).hexdigest()
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{card.network}-{digest[:8]}.safetensors"
    _write(path, payload)
    whole = replace(
        card, family=family.name, config=model.config, blocks=len(residual_blocks(model)), sha256=digest
    )
    _write(path.with_suffix(".json"), whole.to_json().encode())
    return path


def load_checkpoint(path: Path) -> tuple[Any, Card]:
    """The network of a checkpoint and its card: eval mode, float32, on the CPU.

    Raises:
        CheckpointError: the file or its card is missing, unreadable, truncated, altered, or
            does not fit the network that the card describes.
    """
    card = read_card(path)
    payload = read_bytes(path, MAX_BYTES)
    digest = hashlib.sha256(payload).hexdigest()
    if digest != card.sha256:
        raise CheckpointError(
            later(
                "{file} is not the file its card describes (SHA-256 {found}…, not {wanted}…); fetch it again.",
                file=path.name,
                found=digest[:8],
                wanted=card.sha256[:8],
            )
        )
    try:
        if card.config is None:
            raise ValueError("no configuration")
        model = family_named(card.family).build(asdict(card.config))
    except (TypeError, ValueError, RuntimeError) as error:  # widths no whole numbers, or beyond memory
        raise CheckpointError(
            later(
                "{file} describes a network that cannot be built; restore it from the project.",
                file=path.with_suffix(".json").name,
            )
        ) from error
    load_strictly(model, read_tensors(path.name, payload), path.name)
    return model.eval(), card


def read_card(path: Path) -> Card:
    """The card beside the checkpoint ``path``.

    Raises:
        CheckpointError: there is none, or it is not a card.
    """
    card_path = path.with_suffix(".json")
    try:
        return Card.from_json(read_bytes(card_path, MAX_HEADER).decode("utf-8"))
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise CheckpointError(
            later("{file} is not a model card; restore it from the project.", file=card_path.name)
        ) from error


def read_tensors(name: str, payload: bytes) -> dict[str, Tensor]:
    """The tensors of a safetensors file called ``name``.

    Raises:
        CheckpointError: empty, truncated, not safetensors, or with a header beyond MAX_HEADER.
    """
    if len(payload) < 8:
        raise CheckpointError(
            later(
                "{file} is empty or cut off ({count} bytes); fetch it again.", file=name, count=len(payload)
            )
        )
    header = int.from_bytes(payload[:8], "little")
    if header > MAX_HEADER:
        raise CheckpointError(
            later(
                "{file} is not a safetensors checkpoint, or its header is larger than {most} bytes.",
                file=name,
                most=MAX_HEADER,
            )
        )
    try:
        return load_safetensors(payload)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            later("{file} is damaged or not a safetensors checkpoint; fetch it again.", file=name)
        ) from error


def load_strictly(model: nn.Module, tensors: dict[str, Tensor], name: str) -> None:
    """Put ``tensors`` into ``model``, which must have exactly these names and shapes, all finite.

    Raises:
        CheckpointError: names the first thing that does not fit; ``model`` is then unchanged.
    """
    state = model.state_dict()
    if missing := sorted(state.keys() - tensors.keys()):
        raise CheckpointError(
            later(
                "{file} lacks {count} of the network's tensors, such as {key}.",
                file=name,
                count=len(missing),
                key=missing[0],
            )
        )
    if extra := sorted(tensors.keys() - state.keys()):
        raise CheckpointError(
            later(
                "{file} has {count} tensors that the network has not, such as {key}.",
                file=name,
                count=len(extra),
                key=f"{extra[0]!r:.60}",
            )
        )
    for key, tensor in tensors.items():
        if tensor.shape != state[key].shape:
            raise CheckpointError(
                later(
                    "{file} holds {key} as {found}, but the network needs {needed}.",
                    file=name,
                    key=key,
                    found=tuple(tensor.shape),
                    needed=tuple(state[key].shape),
                )
            )
    fitted = {key: tensor.to(state[key].dtype) for key, tensor in tensors.items()}
    for key, tensor in fitted.items():  # as they will be used: a large float64 overflows here
        if not torch.isfinite(tensor).all():
            raise CheckpointError(
                later("{file} holds values that are not finite, in {key}.", file=name, key=key)
            )
    model.load_state_dict(fitted, strict=True)


def _configured(family: Any, config: Any) -> Any:
    """The configuration in a card as the dataclass of its family. Raises ValueError or TypeError if it is none."""
    kind = getattr(family_named(str(family)).network, "config_type", None)
    if kind is None:
        raise ValueError(f"networks of {family!r:.60} are not rebuilt from cards")
    return kind(**config)


def _shippable(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.half() if tensor.is_floating_point() else tensor


def read_bytes(path: Path, most: int) -> bytes:
    try:
        if path.is_dir():
            raise CheckpointError(later("{file} is a directory, not a file.", file=path.name))
        size = path.stat().st_size
        if size > most:
            raise CheckpointError(
                later(
                    "{file} has {size} bytes; at most {most} are read.", file=path.name, size=size, most=most
                )
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(
            later("{file} is missing from {folder}/.", file=path.name, folder=path.absolute().parent.name)
        ) from None
    except PermissionError:
        raise CheckpointError(later("{file} may not be read: no permission.", file=path.name)) from None
    except OSError as error:
        raise CheckpointError(
            later(
                "{file} could not be read: {reason}.",
                file=path.name,
                reason=error.strerror or "input/output error",
            )
        ) from error


def _write(path: Path, payload: bytes) -> None:
    """Whole or not at all: a reader never meets half a file."""
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(payload)
    os.replace(partial, path)
