"""A network that a visitor drops into the page: read within limits that hold before anything is built.

Only safetensors are read, and nothing in a file is executed. The network that a card or the tensors describe
is built without numbers first, on torch's "meta" device, where it takes no memory; what is too large is
refused there, and what would take too long or too much room for one input before it has run.
"""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from resnet_demo.analysis.layer_summary import trace_layers
from resnet_demo.i18n import later
from resnet_demo.modalities import modality_named
from resnet_demo.networks.cards import Card, CheckpointError, is_card, read_card
from resnet_demo.networks.checkpoints import read_tensors
from resnet_demo.networks.families import families, family_named
from resnet_demo.networks.own_networks import OwnNetwork, load_own
from resnet_demo.networks.state_dicts import unwrap

MOST_BYTES = 10_000_000  # of the file, as much as an upload takes
MOST_NUMBERS = 12_000_000  # in all of its tensors, and in what is built from them
MOST_BASE = 30_000_000  # numbers of the network of which a taught one is a part
MOST_WORK = 12e9  # floating-point operations for one input; a ResNet-50 takes 8e9
MOST_VALUES = 60e6  # in the outputs of all layers for one input
BESIDE = (".json", ".txt", ".csv")  # endings of a card, or of a file of class names
FILE = "network.safetensors"  # as sentences call it


def open_dropped(checkpoint: bytes, beside: bytes | None, ending: str, name: str) -> tuple[nn.Module, Card]:
    """The network in eval mode on the CPU, and its card, which is called ``name``.

    Args:
        checkpoint: a safetensors file.
        beside: its card, or a file of class names; None for neither.
        ending: of that file's name, one of BESIDE.

    Raises:
        CheckpointError: one sentence on what is wrong, or too much.
    """
    if len(checkpoint) > MOST_BYTES:
        raise too_large(len(checkpoint))
    tensors = read_tensors(FILE, checkpoint)
    if sum(tensor.numel() for tensor in tensors.values()) > MOST_NUMBERS:
        raise too_much()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        path.write_bytes(checkpoint)
        names = None
        if beside is not None:
            names = path.with_name(f"classes{ending if ending in BESIDE else '.txt'}")
            names.write_bytes(beside)
            if is_card(names):
                names = names.rename(path.with_suffix(".json"))
                check_described(read_card(path))
                names = None
        if not path.with_suffix(".json").is_file():
            check_recognized(tensors)
        model, card = load_own(OwnNetwork(name, path, names))
    check_work(model, card)
    return model, card


def check_recognized(tensors: Mapping[str, Tensor]) -> None:
    """Raises CheckpointError if the network that tensors are recognised to be of is too large."""
    found, _ = unwrap(dict(tensors), FILE)
    for family in families():
        try:
            recognized = family.recognize(found, {}, FILE)
        except ValueError:  # the configuration says how large a network may be
            raise too_much() from None
        if recognized is not None:
            check_size(family.name, recognized.config, MOST_NUMBERS)
            return


def check_described(card: Card) -> None:
    """Raises CheckpointError if the network that a card describes cannot be built, or is too large."""
    config: Any = card.config
    if isinstance(config.get("base"), dict):  # of a taught network; what is cut off is built with it
        check_size(str(config.get("family")), config["base"], MOST_BASE)
    check_size(card.family, config, MOST_NUMBERS)


def check_size(family: str, config: Mapping[str, Any], most: int) -> None:
    """Raises CheckpointError if a configuration is of no network, or of one of more than ``most`` numbers."""
    try:
        with torch.device("meta"):
            model = family_named(family).build(config)
    except (TypeError, ValueError, RuntimeError, LookupError, AttributeError) as error:
        raise CheckpointError(
            later("{file} describes a network that cannot be built; restore it from the project.", file=FILE)
        ) from error
    if sum(tensor.numel() for tensor in model.state_dict().values()) > most:
        raise too_much()


def check_work(model: nn.Module, card: Card) -> None:
    """Raises CheckpointError if one input would take too much time or memory."""
    taken = card.preprocessing
    high, wide = modality_named(taken.modality).usual(taken)
    channels = next(model.parameters()).shape[1]
    outline = copy.deepcopy(model).to("meta").eval()
    leaves = {name: module for name, module in outline.named_modules() if not list(module.children())}
    try:
        trace = trace_layers(outline, torch.zeros(1, channels, high, wide, device="meta"), leaves)
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(
            later("{file} does not take an input of the size that its card says.", file=FILE)
        ) from error
    work = sum(layer.flops for layer in trace)
    values = sum(math.prod(layer.shape) for layer in trace)
    if work > MOST_WORK or values > MOST_VALUES:
        raise CheckpointError(
            later(
                "{file} takes {work} billion operations and {values} million values for one photo; at most"
                " {most_work} and {most_values} are allowed here.",
                file=FILE,
                work=f"{work / 1e9:.1f}",
                values=f"{values / 1e6:.0f}",
                most_work=f"{MOST_WORK / 1e9:.0f}",
                most_values=f"{MOST_VALUES / 1e6:.0f}",
            )
        )


def too_large(size: int) -> CheckpointError:
    """The error for a file of ``size`` bytes."""
    return CheckpointError(
        later("{file} has {size} bytes; at most {most} are read.", file=FILE, size=size, most=MOST_BYTES)
    )


def too_much() -> CheckpointError:
    """The error for a network of too many numbers."""
    return CheckpointError(
        later(
            "{file} holds more than {most} numbers, which is the most that is read.",
            file=FILE,
            most=MOST_NUMBERS,
        )
    )
