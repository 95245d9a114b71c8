"""A text letter by letter, with maps as strips under the letters. HTML only.

One picture holds all strips, a column a letter; every letter shows its own column of it, so the text may
wrap.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnet_demo.drawing import feature_maps
from resnet_demo.drawing.pictures import picture_url
from resnet_demo.drawing.templates import fill
from resnet_demo.modalities import modality_named
from resnet_demo.records import ReceptiveField, Run

RIGHT_TO_LEFT = {"R", "AL"}  # of Unicode's bidirectional classes
STRONG = {"L", *RIGHT_TO_LEFT}


@dataclass(frozen=True)
class Strips:
    """Maps under a text, one row each.

    Attributes:
        picture: of all rows, a column a letter, as a URL.
        rows: how many.
        fields: of each row "jump low high", by which a place sees letters, or "".
        names: of each row.
    """

    picture: str
    rows: int
    fields: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


def letters_of(run: Run) -> str | None:
    """The text of a run, one letter a column of its picture; None for what is no text."""
    letters = modality_named(run.modality).letters
    return None if letters is None else letters(run.photo)


def stretched(maps: NDArray[np.floating], field: ReceptiveField | None, count: int) -> NDArray[np.floating]:
    """Maps (K, 1, W) over ``count`` letters, (K, count): each letter gets the place whose field has its
    middle nearest."""
    if field is None:
        places = np.arange(count) * maps.shape[-1] // count
    else:
        middle = (field.low + field.high) / 2
        places = np.rint((np.arange(count) - middle) / field.jump).astype(int)
    found: NDArray[np.floating] = maps[:, 0, np.clip(places, 0, maps.shape[-1] - 1)]
    return found


def strips_of(rows: NDArray[np.floating], signed: bool, colours: str, ends: NDArray[np.float32]) -> str:
    """The picture of rows (K, L), each on its own scale to ``ends`` (K,), as a URL."""
    indices = feature_maps.quantise(rows[:, None, :].astype(np.float32), ends, signed)[:, 0]
    return picture_url(feature_maps.indexed_png(indices, colours))


def field_text(field: ReceptiveField | None) -> str:
    """Jump, low and high as the script reads them."""
    return f"{field.jump} {field.low} {field.high}" if field else ""


def letters_html(text: str, strips: Strips | None = None, tint: str = "", classes: str = "") -> str:
    """A text letter by letter.

    Args:
        strips: maps under the letters.
        tint: picture (URL) of one row, a column a letter, behind them.
        classes: of the element.
    """
    return fill(
        "drawing/letters.html",
        runs=directed(text),
        text=text.strip(),
        count=len(text),
        rtl=is_right_to_left(text),
        strips=strips,
        tint=tint,
        classes=classes,
    )


def is_right_to_left(text: str) -> bool:
    """Whether the first letter that has a direction runs to the left."""
    return next((bidi(c) in RIGHT_TO_LEFT for c in text if bidi(c) in STRONG), False)


def bidi(character: str) -> str:
    """Unicode's bidirectional class."""
    return unicodedata.bidirectional(character)


def directed(text: str) -> list[tuple[bool, list[tuple[int, str]]]]:
    """Stretches of one direction: (to the left, [(index, what is shown)]); what has no direction goes with
    what is before it."""
    found: list[tuple[bool, list[tuple[int, str]]]] = []
    leftwards = is_right_to_left(text)
    for index, character in enumerate(text):
        if bidi(character) in STRONG:
            leftwards = bidi(character) in RIGHT_TO_LEFT
        if not found or found[-1][0] != leftwards:
            found.append((leftwards, []))
        found[-1][1].append((index, shown_as(character)))
    return found


def shown_as(character: str) -> str:
    """A letter standing alone: a mark on a dotted circle, the space as one that keeps its width."""
    if character == " ":
        return "\u00a0"
    return f"\u25cc{character}" if unicodedata.category(character).startswith("M") else character
