"""Networks that people bring: a checkpoint of any family, with whatever lies beside it.

Class names, preprocessing and the configuration of timm or transformers are taken from the files named, or
from those that lie beside the checkpoint; what nobody says is assumed, and the card says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from resnet_demo.i18n import later
from resnet_demo.networks.cards import Card, CheckpointError, is_card, read_bytes
from resnet_demo.networks.checkpoint_files import read_checkpoint_file, refusal
from resnet_demo.networks.checkpoints import MAX_BYTES, load_checkpoint, load_strictly, not_plain
from resnet_demo.networks.class_names import (
    LABELS_BESIDE,
    NAMES_BESIDE,
    decode_text,
    names_from,
    read_class_names,
)
from resnet_demo.networks.families import Family, Recognized, families
from resnet_demo.networks.preprocessing_files import CIFAR_10, preprocessing_from, read_preprocessing
from resnet_demo.networks.residual_blocks import residual_blocks
from resnet_demo.networks.state_dicts import unwrap, what_is_it
from resnet_demo.records import Preprocessing

IMAGENET_CLASSES = 1000
MAX_NUMBERS = MAX_BYTES // 2  # in all tensors, however few bytes they share in the file
MAX_CONFIG = 1_000_000  # bytes of a config.json: a thousand labels and then some
GREY = (0.449,), (0.226,)  # ImageNet's means and deviations, averaged over the colours


@dataclass(frozen=True)
class OwnNetwork:
    """A network of one's own on this machine.

    Attributes:
        name: on the menu.
        path: the checkpoint.
        classes: file of its class names; what lies beside the checkpoint when None.
        allow_pickle: whether .pth and the like are read, as tensors alone.
        preprocessing: file that says how a photo becomes the input; what lies beside the checkpoint when
        None.
    """

    name: str
    path: Path
    classes: Path | None = None
    allow_pickle: bool = False
    preprocessing: Path | None = None


def load_own(network: OwnNetwork) -> tuple[nn.Module, Card]:
    """The network of one's own, in eval mode, float32, on the CPU, and its card, or one made for it.

    Raises:
        CheckpointError: it is missing, nothing that can be run, or the files beside it do not fit.
    """
    path = network.path
    if is_card(path.with_suffix(".json")):
        return load_checkpoint(path)
    found = read_checkpoint_file(path, network.allow_pickle)
    hints = _read_config(path)
    model, recognized, assumed = recognize(found, hints, path.name)
    channels = next(p for p in model.parameters() if p.ndim == 4).shape[1]
    if channels not in (1, 3):
        raise CheckpointError(
            later(
                "{file} takes pictures of {count} channels; photos have three, or one if grey.",
                file=path.name,
                count=channels,
            )
        )
    classes, said = _classes(network, _outputs(model), found, hints)
    preprocessing, told = _preprocessing(network, recognized, channels, hints)
    return model, Card(
        network.name,
        None,
        preprocessing,
        classes,
        knows=later("This network is your own, {file}.", file=path.name),
        blocks=len(residual_blocks(model)),
        assumed=(*assumed, *said, *told),
    )


def recognize(
    found: Any, hints: Mapping[str, Any], name: str
) -> tuple[nn.Module, Recognized, tuple[str, ...]]:
    """The network of whatever a checkpoint file held, in eval mode, and what was assumed of it.

    Raises:
        CheckpointError: no family knows it, or a tensor is missing, extra, misshapen or not finite.
    """
    tensors, wrapper = unwrap(found, name)
    for key, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_meta:
            kind = "meta" if tensor.is_meta else str(tensor.layout).removeprefix("torch.")
            raise not_plain(name, key, kind)
    if any(tensor.ndim == 5 for tensor in tensors.values()):
        raise refusal(name, later("a network for videos or volumes"), later("photos have two dimensions"))
    if sum(tensor.numel() for tensor in tensors.values()) > MAX_NUMBERS:
        raise CheckpointError(
            later(
                "{file} holds more than {most} numbers, which is the most that is read.",
                file=name,
                most=MAX_NUMBERS,
            )
        )
    for family in families():
        with told_of(name):
            recognized = family.recognize(tensors, hints, name)
        if recognized is not None:
            return _build(family, recognized, wrapper, name)
    kind = what_is_it(tensors)
    if kind:
        raise refusal(name, kind, later("only residual networks with convolutions can be shown"))
    raise CheckpointError(
        later(
            "{file} is not the state dict of a ResNet that is known here: its tensors are called {key} and"
            " so on.",
            file=name,
            key=f"{next(iter(tensors))!r:.60}",
        )
    )


@contextmanager
def told_of(name: str) -> Iterator[None]:
    """Whatever the shapes of a file lead to, one sentence comes of it.

    Raises:
        CheckpointError: instead of what was raised inside.
    """
    try:
        yield
    except CheckpointError:
        raise
    except (ArithmeticError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            later(
                "{file} has residual blocks of a form that is not known here ({reason}).",
                file=name,
                reason=f"{error!s:.80}",
            )
        ) from error


def _build(
    family: Family, recognized: Recognized, wrapper: str, name: str
) -> tuple[nn.Module, Recognized, tuple[str, ...]]:
    with told_of(name):
        model = family.build(recognized.config)
    load_strictly(model, dict(recognized.tensors), name)
    averaged = (later("The averaged weights were taken ({key}).", key=wrapper),) if "ema" in wrapper else ()
    return model.eval(), recognized, (*recognized.assumed, *averaged)


def _outputs(model: nn.Module) -> int:
    """How many logits it has; 0 for a network that ends in features."""
    config: Any = model.config
    return int(config.num_logits)


def _read_config(path: Path) -> Mapping[str, Any]:
    """The config.json of timm or transformers beside a checkpoint, or of its stem; {} if there is none."""
    for beside in (path.with_suffix(".json"), path.with_name("config.json")):
        try:
            if beside.stat().st_size > MAX_CONFIG:
                continue
            found = json.loads(decode_text(read_bytes(beside, MAX_CONFIG), beside.name))
        except (OSError, ValueError, CheckpointError, RecursionError):
            continue
        if isinstance(found, dict) and {"architecture", "architectures", "model_type"} & found.keys():
            return found
    return {}


def _classes(
    network: OwnNetwork, count: int, found: Any, hints: Mapping[str, Any]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the classes, and what was assumed of them.

    Raises:
        CheckpointError: those that were named, or are called like the checkpoint, are of another number.
    """
    if count == 0:
        return (), ()
    wanted = 2 if count == 1 else count
    stem = network.path.with_suffix("")
    named = network.classes or next(
        (p for end in NAMES_BESIDE if (p := stem.with_name(stem.name + end)).is_file()), None
    )
    if named is not None:
        names = read_class_names(named)
        if len(names) != wanted:
            raise CheckpointError(
                later(
                    "{file} has {count} outputs, which need {wanted} class names, not {found}.",
                    file=network.path.name,
                    count=count,
                    wanted=wanted,
                    found=len(names),
                )
            )
        return names, ()
    for names in _names_around(network.path, found, hints):
        if len(names) == wanted:
            return names, ()
    if count == IMAGENET_CLASSES:
        from torchvision.models import ResNet18_Weights

        names = tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])
        return names, (later("It has a thousand outputs, which were taken for ImageNet's classes."),)
    return tuple(f"class {i}" for i in range(wanted)), (
        later("No names of classes were found, so they are numbered: give them with --classes."),
    )


def _names_around(path: Path, found: Any, hints: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Class names inside the checkpoint, in the config.json beside it, or in a file of labels beside it."""
    places: list[Any] = [hints]
    if isinstance(found, Mapping):
        places += [
            found[key]
            for key in ("class_to_idx", "idx_to_class", "classes", "class_names", "names", "meta")
            if key in found
        ]
        hyper = found.get("hyper_parameters")
        places += [hyper] if isinstance(hyper, Mapping) else []
    lists = []
    for place in places:
        try:
            lists.append(names_from(place))
        except (ValueError, TypeError, AttributeError):
            continue
    for name in LABELS_BESIDE:
        beside = path.with_name(name)
        if beside.is_file():
            try:
                lists.append(read_class_names(beside))
            except CheckpointError:
                continue
    return lists


def _preprocessing(
    network: OwnNetwork, recognized: Recognized, channels: int, hints: Mapping[str, Any]
) -> tuple[Preprocessing, tuple[str, ...]]:
    """How a photo becomes the input, and what was assumed of it.

    Raises:
        CheckpointError: the file that was named, or is called like the checkpoint, does not say it, or says
            it for another number of channels.
    """
    usual = recognized.preprocessing
    data = "CIFAR-10" if usual.mean == CIFAR_10.mean else "ImageNet"
    if channels == 1:
        usual = replace(usual, mean=GREY[0], std=GREY[1])
    stem = network.path.with_suffix("")
    beside = (
        stem.with_name(stem.name + ".preprocessing.json"),
        network.path.with_name("preprocessor_config.json"),
    )
    named = network.preprocessing or next((p for p in beside if p.is_file()), None)
    chosen = read_preprocessing(named, usual) if named is not None else None
    if chosen is None and "pretrained_cfg" in hints:
        try:
            chosen = preprocessing_from(hints, usual)
        except (ValueError, TypeError, LookupError):
            chosen = None
    if chosen is not None:
        if len(chosen.mean) != channels:
            raise CheckpointError(
                later(
                    "{file} takes pictures of {count} channels, but the preprocessing has {means} means.",
                    file=network.path.name,
                    count=channels,
                    means=len(chosen.mean),
                )
            )
        return chosen, ()
    return usual, (
        later(
            "Assumed, since nothing beside the file tells: {size} pixels a side, {share} % of the short side,"
            " normalised as for {data}: say otherwise with --preprocessing.",
            size=usual.size,
            share=f"{100 * usual.crop_share:g}",
            data=data,
        ),
    )
