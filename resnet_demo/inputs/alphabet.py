"""Letters as channels: a text is a picture one pixel high, with a channel for each character (Zhang et al.
2015, https://arxiv.org/abs/1509.01626).

Frequent characters have a channel of their own. All others share one with their kind: their script, digits,
signs. So every text can be written, in whatever language. The channels of a network stand in its card.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

DIGITS, PUNCTUATION, SIGNS, MARKS, LETTERS = "digits", "punctuation", "signs", "marks", "other letters"
KINDS = (DIGITS, PUNCTUATION, SIGNS, MARKS, LETTERS)  # besides the scripts
GENERAL = {
    "N": DIGITS,
    "P": PUNCTUATION,
    "S": SIGNS,
    "M": MARKS,
}  # by the first letter of the Unicode category
ALIASES = {
    "IDEOGRAPHIC": "CJK",
    "FULLWIDTH": "LATIN",
    "HALFWIDTH": "KATAKANA",
}  # first words of Unicode names
SPACES = re.compile(r"\s+")
MOST = 20_000  # characters of a text that are looked at; far more than any network reads


def normalise(text: str) -> str:
    """A text as a network reads it: small letters, composed (NFC), every run of white space one space, one
    at either end, and nothing that has no shape (control and format characters, unpaired surrogates,
    unassigned ones).

    Only the first MOST characters are looked at. A text without any letter gives "".
    """
    composed = unicodedata.normalize("NFC", SPACES.sub(" ", text[:MOST]).lower())
    seen = "".join(c for c in composed if unicodedata.category(c)[0] != "C")
    stripped = SPACES.sub(" ", seen).strip()
    return f" {stripped} " if stripped else ""


def has_letter(text: str) -> bool:
    """Whether any of its characters is a letter, of whatever script."""
    return any(unicodedata.category(character).startswith("L") for character in text)


@lru_cache(maxsize=10_000)
def kind_of(character: str) -> str:
    """What a character has its channel with if it has none of its own: the first word of its Unicode name
    for letters and the marks that belong to a script ("Greek", "Devanagari", "CJK"), else one of KINDS."""
    category = unicodedata.category(character)[0]
    first = unicodedata.name(character, "").split(" ")[0].split("-")[0]
    if category == "L" or (category == "M" and first not in ("COMBINING", "VARIATION", "")):
        return ALIASES.get(first, first).capitalize() if first else LETTERS
    return GENERAL.get(category, SIGNS)


class Alphabet:
    """The channels of one network.

    Args:
        channels: a character, or the name of a kind, for each channel in order; KINDS are among them.
    """

    def __init__(self, channels: Sequence[str]) -> None:
        self.channels = tuple(channels)
        self.index = {name: i for i, name in enumerate(self.channels)}
        missing = [kind for kind in KINDS if kind not in self.index]
        if missing or len(self.index) != len(self.channels):
            raise ValueError(f"channels of letters must differ, and have {', '.join(missing) or 'each once'}")

    def channel(self, character: str) -> int:
        """The channel of a character: its own, or that of its kind."""
        own = self.index.get(character)
        if own is not None:
            return own
        kind = kind_of(character)
        return self.index[kind if kind in self.index else LETTERS]

    def shared(self, channel: int) -> int:
        """The channel of the kind of a character that has one of its own."""
        name = self.channels[channel]
        kind = kind_of(name) if len(name) == 1 else name
        return self.index[kind if kind in self.index else LETTERS]

    def encode(self, text: str) -> NDArray[np.int16]:
        """The channel of each character of a text that ``normalise`` gave, (L,) int16."""
        return np.array([self.channel(character) for character in text], np.int16)


@lru_cache(maxsize=8)
def alphabet_of(channels: tuple[str, ...]) -> Alphabet:
    """The alphabet of these channels, made once."""
    return Alphabet(channels)


def text_pixels(text: str) -> NDArray[np.uint8]:
    """A text of ``normalise`` as the picture (1, L, 3) uint8 that stands in the record of a run: the three
    bytes of a letter are its code point, the highest first."""
    points = np.array([ord(character) for character in text], np.uint32)
    return np.stack([points >> 16, points >> 8 & 255, points & 255], -1).astype(np.uint8)[None]


def text_of(pixels: NDArray[np.uint8]) -> str:
    """The text in a picture (1, L, 3) that ``text_pixels`` gave."""
    high, middle, low = pixels[0].astype(np.uint32).T
    return "".join(map(chr, (high << 16 | middle << 8 | low).tolist()))
