"""Pillow, which shares no code with our encoder, reads back what went in."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from resnet_demo.drawing.png import encode_png

PALETTE = bytes(np.random.default_rng(1).integers(0, 256, 768, np.uint8))
sides = st.integers(1, 70)


@given(sides, sides, st.integers(0, 2**32 - 1))
def test_every_pixel_comes_back(height: int, width: int, seed: int) -> None:
    dice = np.random.default_rng(seed)
    indices = dice.integers(0, 256, (height, width), np.uint8)
    with Image.open(io.BytesIO(encode_png(indices, PALETTE))) as image:
        assert image.mode == "P"
        assert bytes(image.getpalette() or ()) == PALETTE
        assert np.array_equal(np.asarray(image), indices)
    photo = dice.integers(0, 256, (height, width, 3), np.uint8)
    with Image.open(io.BytesIO(encode_png(photo))) as image:
        assert np.array_equal(np.asarray(image), photo)
    with Image.open(io.BytesIO(encode_png(photo))) as image:
        image.verify()  # the checksums


def test_a_view_that_is_not_contiguous_is_encoded_as_it_looks() -> None:
    whole = np.arange(60, dtype=np.uint8).reshape(6, 10)
    with Image.open(io.BytesIO(encode_png(whole[::-2, 1::3], PALETTE))) as image:
        assert np.array_equal(np.asarray(image), whole[::-2, 1::3])


@pytest.mark.parametrize(
    ("shape", "palette"), [((0, 4), PALETTE), ((4, 4), None), ((4, 4, 3), PALETTE), ((4, 4, 4), None)]
)
def test_what_is_no_picture_is_refused(shape: tuple[int, ...], palette: bytes | None) -> None:
    with pytest.raises(ValueError, match="is needed"):
        encode_png(np.zeros(shape, np.uint8), palette)
