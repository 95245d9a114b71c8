"""Every text, whatever is in it, becomes letters that a network can read, or nothing."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_demo.inputs.alphabet import (
    KINDS,
    MOST,
    Alphabet,
    has_letter,
    kind_of,
    normalise,
    text_of,
    text_pixels,
)
from resnet_demo.inputs.errors import TextError
from resnet_demo.inputs.text import text_picture
from resnet_demo.records import Preprocessing

SMALL = Alphabet((" ", "a", "b", "ø", ".", "Latin", "Greek", "Cjk", *KINDS))


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("Hello  World", " hello world "),
        ("\tA\nB\r\n", " a b "),
        ("a\u0301", " á "),  # composed
        ("ÆØÅ", " æøå "),
        ("x\x00y\u200b\u202ez\ufeff", " xyz "),  # control, format and direction marks have no shape
        ("\ud800a", " a "),  # an unpaired surrogate
        ("", ""),
        (" \x00\u200f ", ""),
        ("😀 a", " 😀 a "),
    ],
)
def test_texts_are_normalised(given: str, read: str) -> None:
    assert normalise(given) == read


def test_a_megabyte_is_cut_before_it_is_looked_at() -> None:
    assert len(normalise("ab " * 400_000)) <= MOST + 2


@pytest.mark.parametrize(
    ("character", "kind"),
    [
        ("q", "Latin"),
        ("λ", "Greek"),
        ("漢", "Cjk"),
        ("々", "Cjk"),
        ("ا", "Arabic"),
        ("ा", "Devanagari"),  # a mark of a script
        ("\u0301", "marks"),  # one of none
        ("7", "digits"),
        ("٣", "digits"),
        ("!", "punctuation"),
        ("€", "signs"),
        ("😀", "signs"),
    ],
)
def test_every_character_has_a_kind(character: str, kind: str) -> None:
    assert kind_of(character) == kind


def test_frequent_characters_have_a_channel_and_others_share_their_kinds() -> None:
    read = SMALL.encode(normalise("Ab ø.q λμ 漢字 ኢ 7!"))
    names = [SMALL.channels[i] for i in read]
    wanted = " ,a,b, ,ø,.,Latin, ,Greek,Greek, ,Cjk,Cjk, ,other letters, ,digits,punctuation, "
    assert names == wanted.split(",")
    assert SMALL.shared(SMALL.index["a"]) == SMALL.index["Latin"]
    assert SMALL.shared(SMALL.index["Greek"]) == SMALL.index["Greek"]


def test_channels_must_differ_and_have_the_kinds() -> None:
    with pytest.raises(ValueError, match="digits"):
        Alphabet(("a", "b"))
    with pytest.raises(ValueError, match="differ"):
        Alphabet(("a", "a", *KINDS))


@given(st.text(max_size=300))
def test_whatever_is_written_is_read(text: str) -> None:
    read = normalise(text)
    assert read == "" or (read[0] == read[-1] == " " and len(read) > 2)
    assert "  " not in read
    assert all(unicodedata.category(c)[0] != "C" for c in read)
    assert ((SMALL.encode(read) >= 0) & (SMALL.encode(read) < len(SMALL.channels))).all()
    if read:
        assert text_of(text_pixels(read)) == read


def test_a_text_is_a_picture_one_pixel_high() -> None:
    card = Preprocessing(size=16, modality="text", characters=SMALL.channels)
    found = text_picture("A sentence that is longer than that.", card)
    assert found is not None and found.shape == (1, 16, 3) and found.dtype == np.uint8
    assert text_of(found) == " a sentence that"
    assert text_picture(b"bytes", card) is None  # a photo's file
    for text in ("", "   ", "\x00", "123 !?", "😀"):
        with pytest.raises(TextError, match="no letter"):
            text_picture(text, card)
    assert has_letter("۱ب") and not has_letter("12")
