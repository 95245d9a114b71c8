"""Texts as a modality: a picture one pixel high, a letter a column; see ``alphabet.py``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_demo.i18n import later, register_names, say
from resnet_demo.inputs.alphabet import has_letter, normalise, text_of, text_pixels
from resnet_demo.inputs.errors import TextError
from resnet_demo.inputs.language_names import LANGUAGES
from resnet_demo.modalities import Modality, register
from resnet_demo.records import Preprocessing

USUAL = 128  # letters
EMPTY = later("There is no letter in this text: write or paste a word or a sentence.")


def text_picture(given: Any, preprocessing: Preprocessing) -> NDArray[np.uint8] | None:
    """A text as the network takes it: normalised, its first letters.

    Raises:
        TextError: it has no letter.
    """
    if not isinstance(given, str):
        return None
    letters = normalise(given)[: preprocessing.size]
    if not has_letter(letters):
        raise TextError(EMPTY)
    return text_pixels(letters)


def extent(size: int) -> str:
    """How many letters a place sees, for people."""
    return say("one place of the output sees {count} letters", count=size)


register_names(LANGUAGES)
register(
    Modality(
        name="text",
        to_picture=text_picture,
        extent=extent,
        code='read_text("A sentence."',
        axes=lambda preprocessing: "letters",
        side=lambda preprocessing: (1, min(USUAL, preprocessing.size)),
        fits=lambda shape, preprocessing: (
            shape[0] == 1 and 0 < shape[1] <= preprocessing.size and shape[2:] == (3,)
        ),
        letters=text_of,
        counted=later("{width} letters"),
        noun=later("text"),
        taken=later("as read"),
        as_seen=later("The text as the network read it"),
        as_taken=later("the text as the network read it"),
        of_run=later("The text of this run"),
        title=later("One text through {network}"),
        block=later("{block} for your text"),
        silent=later("silent for this text"),
        spent=later("text to tensor {prepare} ms, network with capture {forward} ms, all {total} ms"),
        strength=later("Strength of the colours over the text"),
        fresh=later("Fresh networks of {depth} blocks, batch norm {norms}; {milliseconds} ms for both."),
        invitation=later(
            "This network reads: write a sentence in the panel “Text” below, or take an example there."
        ),
        refusal=later("{name} reads and cannot see or hear: give it a text, or choose another network."),
        missing=later("No network here reads: put the network for languages and its card into weights/."),
    )
)
