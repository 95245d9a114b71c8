"""Whatever a network can come from, to the network and its card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from torch import nn

from resnet_demo.i18n import later
from resnet_demo.networks.cards import (
    WEIGHTS,
    Card,
    CheckpointError,
    available_networks,
    checkpoint_at,
    is_card,
)
from resnet_demo.networks.checkpoints import load_checkpoint
from resnet_demo.networks.download import Progress, nothing
from resnet_demo.networks.own_networks import OwnNetwork, load_own
from resnet_demo.networks.torchvision_resnets import FieldNetwork, field_networks, load_field

Source: TypeAlias = str | Path | FieldNetwork | OwnNetwork


def as_source(name: str, given: Source) -> Path | FieldNetwork | OwnNetwork:
    """What a network is loaded from: a path is one of our checkpoints if it has a card, else somebody's own.

    Raises:
        CheckpointError: a path where there is no file.
    """
    if isinstance(given, FieldNetwork):
        return given
    path = checkpoint_at(Path(given.path if isinstance(given, OwnNetwork) else given).expanduser())
    if path.is_dir():
        raise CheckpointError(later("{file} is a directory, not a file.", file=path.name))
    if not path.is_file():
        raise CheckpointError(
            later("There is no file {file} in {folder}.", file=path.name, folder=str(path.absolute().parent))
        )
    if isinstance(given, OwnNetwork):
        return replace(given, path=path)
    ours = is_card(path.with_suffix(".json")) or (path.suffix == ".safetensors" and _is_named_by_hash(path))
    return path if ours else OwnNetwork(name, path)


def _is_named_by_hash(path: Path) -> bool:
    """Whether ``path`` is called as ours are, in a folder of ours: its card is then missing or damaged."""
    return path.parent == WEIGHTS and len(path.stem.rpartition("-")[2]) == 8


def load_source(
    source: Path | FieldNetwork | OwnNetwork, progress: Progress = nothing
) -> tuple[nn.Module, Card]:
    """The network in eval mode, float32, on the CPU, fetched if need be, and its card.

    Raises:
        DownloadError: it is not here and cannot be fetched.
        CheckpointError: it is missing or unfit.
    """
    if isinstance(source, FieldNetwork):
        return load_field(source, progress)
    return load_own(source) if isinstance(source, OwnNetwork) else load_checkpoint(source)


def networks_on_offer(weights: Path, own: OwnNetwork | None) -> Mapping[str, Source]:
    """Name -> source: one's own first, then those in the folder ``weights``, then torchvision's."""
    first: dict[str, Source] = {own.name: own} if own is not None else {}
    return first | available_networks(weights) | field_networks()
