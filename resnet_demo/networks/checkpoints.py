"""Checkpoints on disk: safetensors beside a JSON card that says all a stranger needs.

``weights/<network>-<first 8 hex of its SHA-256>.safetensors`` holds the parameters in
float16; the card of the same stem holds configuration, preprocessing, classes, figures
and the full SHA-256, which is checked before a byte is interpreted. Pickles are refused.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from resnet_demo.i18n import later
from resnet_demo.networks.cards import (
    MAX_HEADER,
    WEIGHTS,
    Card,
    CheckpointError,
    available_networks,
    read_bytes,
    read_card,
)
from resnet_demo.networks.families import family_named, family_of
from resnet_demo.networks.residual_blocks import residual_blocks

MAX_BYTES = 500_000_000  # a ResNet-152 has 241 MB; nothing larger is read into memory

__all__ = [
    "WEIGHTS",
    "Card",
    "CheckpointError",
    "available_networks",
    "load_checkpoint",
    "load_strictly",
    "read_bytes",
    "read_card",
    "read_tensors",
    "save_checkpoint",
]


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
                "{file} is not the file its card describes (SHA-256 {found}…, not {wanted}…); fetch it"
                " again.",
                file=path.name,
                found=digest[:8],
                wanted=card.sha256[:8],
            )
        )
    try:
        if card.config is None:
            raise ValueError("no configuration")
        model = family_named(card.family).build(card.config)
    except (TypeError, ValueError, RuntimeError) as error:  # widths no whole numbers, or beyond memory
        raise CheckpointError(
            later(
                "{file} describes a network that cannot be built; restore it from the project.",
                file=path.with_suffix(".json").name,
            )
        ) from error
    load_strictly(model, read_tensors(path.name, payload), path.name)
    return model.eval(), card


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


def not_plain(name: str, key: str, kind: str) -> CheckpointError:
    """The error for a tensor that is no array of floating-point numbers."""
    return CheckpointError(
        later(
            "{file} holds {key} as {kind}, not as floating-point numbers: save the weights as they were "
            "before they were quantised or packed.",
            file=name,
            key=f"{key:.60}",
            kind=kind,
        )
    )


def load_strictly(model: nn.Module, tensors: dict[str, Tensor], name: str) -> None:
    """Put ``tensors`` into ``model``, which must have exactly these names and shapes, all finite.

    As in ``load_state_dict``, counters of training steps (``num_batches_tracked``) may be missing: files of
    before 2018, and torchvision's published ones, have none, and nothing is computed from them.

    Raises:
        CheckpointError: names the first thing that does not fit; ``model`` is then unchanged.
    """
    state = model.state_dict()
    # counters that only training reads: files written before torch had them lack them, as torchvision's do
    counters = {key: value for key, value in state.items() if key.endswith(".num_batches_tracked")}
    tensors = {**counters, **tensors}
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
        if state[key].is_floating_point() and not tensor.is_floating_point():
            raise not_plain(name, key, str(tensor.dtype).removeprefix("torch."))
    fitted = {key: tensor.to(state[key].dtype) for key, tensor in tensors.items()}
    for key, tensor in fitted.items():  # as they will be used: a large float64 overflows here
        if not torch.isfinite(tensor).all():
            raise CheckpointError(
                later("{file} holds values that are not finite, in {key}.", file=name, key=key)
            )
    model.load_state_dict(fitted, strict=True)


def _shippable(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.half() if tensor.is_floating_point() else tensor


def _write(path: Path, payload: bytes) -> None:
    """Whole or not at all: a reader never meets half a file."""
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(payload)
    os.replace(partial, path)
