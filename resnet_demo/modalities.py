"""Kinds of input: each is one file of ``inputs/`` that registers itself here.

A modality says how what is given becomes the picture that its networks take, and what people call it.
Everything that differs between photos and sounds is asked of it; adding one is a file that ends in
``register(Modality(...))`` and its name in ``FILES``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_demo.i18n import Sentence, say

if TYPE_CHECKING:
    from resnet_demo.records import Preprocessing

FILES = ("photo", "sound", "text")  # modules of ``inputs``; imported when the first modality is asked for


@dataclass(frozen=True)
class Modality:
    """One kind of input.

    Attributes:
        name: in cards, and of the page's component through which it is given.
        to_picture: what is given to the picture (H, W, 3) uint8 that a network takes; None if it is of
            another kind.
        side: height and width of a usual picture; the card's size of each where it is None.
        fits: whether a picture of that shape is one that such a network takes; (size, size, 3) where it is
            None.
        letters: the text of which it is the picture, one letter a column; None where a picture is shown as
            it is.
        counted: how large a picture is, for {width} and {height}; "width×height" where it is None.
        extent: how much of the input so many pixels a side are, for people.
        extent_in: the same, told the run's axes; ``extent`` where it is None.
        code: how a library user runs one, after ``Engine().``, up to the network's name.
        imports: names of this package that ``code`` needs.
        axes: what the page's script needs to tell the units of a picture's columns and rows; None for pixels.
        noun, taken: under the picture on the road map.
        as_seen: what the picture shows.
        as_taken, of_run: the same in lists, and beside another run.
        title: of a report, for {network}.
        block: title of the diagram of {block}.
        silent: said of a channel.
        spent: where the time went: {prepare}, {forward} and {total} ms.
        strength: of the colours over it.
        fresh: about fresh networks of {depth} blocks, batch norm {norms}, {milliseconds} ms.
        invitation: how to give one, before there is an answer.
        refusal: for something of another kind, given to the network {name}.
        missing: no network on offer takes it.
    """

    name: str
    to_picture: Callable[[Any, Preprocessing], NDArray[np.uint8] | None]
    extent: Callable[[int], str]
    code: str
    noun: Sentence
    taken: Sentence
    as_seen: Sentence
    as_taken: Sentence
    of_run: Sentence
    title: Sentence
    block: Sentence
    silent: Sentence
    spent: Sentence
    strength: Sentence
    fresh: Sentence
    invitation: Sentence
    refusal: Sentence
    missing: Sentence
    imports: tuple[str, ...] = ()
    axes: Callable[[Preprocessing], str] | None = None
    side: Callable[[Preprocessing], tuple[int, int]] | None = None
    fits: Callable[[tuple[int, ...], Preprocessing], bool] | None = None
    letters: Callable[[NDArray[np.uint8]], str] | None = None
    counted: Sentence | None = None
    extent_in: Callable[[int, str], str] | None = None

    def reach(self, size: int, axes: str) -> str:
        """``extent``, in the units of ``axes``."""
        return self.extent(size) if self.extent_in is None else self.extent_in(size, axes)

    def usual(self, preprocessing: Preprocessing) -> tuple[int, int]:
        """Height and width of a usual picture."""
        return (preprocessing.size,) * 2 if self.side is None else self.side(preprocessing)

    def measure(self, shape: tuple[int, ...]) -> str:
        """How large a picture of that shape is, for people."""
        height, width = shape[:2]
        return f"{width}×{height}" if self.counted is None else say(self.counted, width=width, height=height)

    def is_input(self, shape: tuple[int, ...], preprocessing: Preprocessing) -> bool:
        """Whether an array of that shape can be a picture that such a network takes."""
        if self.fits is not None:
            return self.fits(shape, preprocessing)
        return shape == (preprocessing.size, preprocessing.size, 3)


_modalities: dict[str, Modality] = {}


def register(modality: Modality) -> None:
    """Offer ``modality``; one of the same name is replaced."""
    _modalities[modality.name] = modality


def modalities() -> tuple[Modality, ...]:
    """All of them, those of ``inputs`` among them."""
    for file in FILES:
        import_module(f"resnet_demo.inputs.{file}")
    return tuple(_modalities.values())


def modality_named(name: str) -> Modality:
    """The modality of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in _modalities:
        modalities()
    if name not in _modalities:
        raise ValueError(f"a network takes one of {', '.join(_modalities)}, got {name!r:.60}")
    return _modalities[name]
