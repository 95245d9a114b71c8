"""Families of networks: each is one file of this package that registers itself here.

A family says how its networks are built from a card's configuration, how their state dicts are recognised by
names and shapes, and what comes before and after their residual blocks. Adding one is a file that ends in
``register_family(Family(...))`` and its name in ``FILES``; nothing else knows of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from torch import Tensor, nn

from resnet_demo.networks.preprocessing_files import IMAGENET
from resnet_demo.networks.residual_blocks import residual_blocks
from resnet_demo.records import Preprocessing

FILES = (
    "resnet",
    "cifar_resnet",
    "variant_recognition",
    "torchvision_resnets",
    "taught",
)  # asked in this order whose a state dict is


@dataclass(frozen=True)
class Recognized:
    """What a family makes of a state dict.

    Attributes:
        config: of the network that it fits, as ``Family.build`` takes it.
        tensors: the same tensors by the names that the network gives them.
        assumed: sentences for the page on what the names and shapes cannot tell.
        preprocessing: how such networks usually take a photo, if nobody says otherwise.
    """

    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    assumed: tuple[str, ...] = ()
    preprocessing: Preprocessing = IMAGENET


Recognize = Callable[[Mapping[str, Tensor], Mapping[str, Any], str], Recognized | None]


@dataclass(frozen=True)
class Family:
    """One family of networks.

    Attributes:
        name: in the cards.
        network: class of its networks, whose instances carry their configuration, a dataclass, as ``config``;
            or the module and name of a library's class, which is not imported for it.
        build: the network that a card's configuration describes, with fresh parameters. Raises TypeError or
            ValueError if it describes none.
        recognize: what is made of a state dict, or None if it is not one of this family's; it is also given
            the config.json of timm or transformers beside the file, or {}, and the file's name for sentences.
            Raises CheckpointError for a network of this family that cannot be built.
        stem: what comes before the residual blocks, as one module.
        head: what comes after them, as one module.
    """

    name: str
    network: type[nn.Module] | str
    build: Callable[[Mapping[str, Any]], nn.Module]
    recognize: Recognize = lambda tensors, hints, name: None
    stem: Callable[[Any], nn.Module] = lambda model: nn.Identity()
    head: Callable[[Any], nn.Module] = field(
        default=lambda model: nn.Sequential(model.avgpool, model.flatten, model.linear)
    )


_families: dict[str, Family] = {}


def register_family(family: Family) -> None:
    """Offer ``family``; one of the same name is replaced."""
    _families[family.name] = family


def families() -> tuple[Family, ...]:
    """All of them, those of this package first and in the order of FILES."""
    for file in FILES:
        import_module(f"{__package__}.{file}")
    return tuple(_families.values())


def family_named(name: str) -> Family:
    """The family that a card names.

    Raises:
        ValueError: there is none of that name.
    """
    for family in families():
        if family.name == name:
            return family
    raise ValueError(f"no family of networks is called {name!r:.60}")


def family_of(model: nn.Module) -> Family | None:
    """The family of ``model``, or None if no family's class made it."""
    names = {f"{cls.__module__}.{cls.__qualname__}" for cls in type(model).__mro__}
    for family in families():
        of_class = (
            family.network in names if isinstance(family.network, str) else isinstance(model, family.network)
        )
        if of_class:
            return family
    return None


def split_network(model: nn.Module) -> tuple[nn.Module, dict[str, nn.Module], nn.Module]:
    """What comes before the residual blocks of ``model``, the blocks in order, and what comes after.

    Raises:
        ValueError: it is of no family.
    """
    family = family_of(model)
    if family is None:
        raise ValueError(f"{type(model).__name__} is of no known family of networks")
    return family.stem(model), residual_blocks(model), family.head(model)
