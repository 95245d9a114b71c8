"""Channels are chosen, scaled, coloured and laid out as said, whatever the numbers."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from resnet_demo import drawing

RNG = np.random.default_rng(0)


def test_orders() -> None:
    maps = np.stack([np.full((4, 4), 3.0), np.zeros((4, 4)), RNG.normal(0, 2, (4, 4)), np.full((4, 4), -9.0)])
    assert drawing.rank_channels(maps, "mean", 4)[0] == 3  # by |a|
    assert drawing.rank_channels(maps, "mean", 4)[-1] == 1
    assert drawing.rank_channels(maps, "variance", 1).tolist() == [2]
    assert drawing.rank_channels(maps, "index", 9).tolist() == [0, 1, 2, 3]  # fewer than asked for
    with pytest.raises(ValueError, match="order must be"):
        drawing.rank_channels(maps, "loudness", 1)  # type: ignore[arg-type]


def test_the_scale_ends_at_the_99th_percentile() -> None:
    maps = np.arange(10_000, dtype=np.float32).reshape(1, 100, 100)
    assert drawing.limit(maps) == pytest.approx(9899, abs=1)
    large = RNG.normal(size=(64, 90, 90)).astype(np.float16)
    assert drawing.limit(large) == pytest.approx(
        np.percentile(np.abs(large.astype(np.float32)), 99), rel=0.03
    )
    lonely = np.zeros((1, 100, 100), np.float32)
    lonely[0, 0, 0] = 5
    assert drawing.limit(lonely) == 5  # the percentile is 0, yet there is something to see
    assert drawing.limit(np.zeros((2, 3, 3))) == 0
    assert drawing.limit(np.full((1, 2, 2), np.nan)) == 0


def test_one_scale_for_the_block_or_one_a_channel() -> None:
    first, second = RNG.normal(size=(2, 3, 8, 8))
    second[2] *= 10
    channels = np.array([2, 0])
    block = drawing.limits((first, second), channels, "block")
    assert block[0] == block[1] == pytest.approx(drawing.limit(second))
    single = drawing.limits((first, second), channels, "channel")
    assert single[0] == pytest.approx(drawing.limit(second[2]))
    assert single[1] == pytest.approx(max(drawing.limit(first[0]), drawing.limit(second[0])))


def test_quantising_keeps_zero_sign_and_order() -> None:
    values = np.array([[[-9, -2, -1, 0, 1, 2, 9]]], np.float32)
    signed = drawing.quantise(values, np.array([2], np.float32), signed=True)[0, 0].tolist()
    assert signed == [1, 1, 65, 128, 192, 255, 255]
    unsigned = drawing.quantise(values, np.array([2], np.float32), signed=False)[0, 0].tolist()
    assert unsigned == [0, 0, 0, 0, 128, 255, 255]


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.float32, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6), elements=st.floats(width=32)
    ),
    st.booleans(),
)
def test_no_numbers_break_the_drawing(maps: np.ndarray, signed: bool) -> None:
    channels = drawing.rank_channels(maps, "mean", 16)
    with np.errstate(all="raise", under="ignore", over="ignore", invalid="ignore"):
        ends = drawing.limits((maps,), channels, "channel")
        indices = drawing.quantise(maps[channels], ends, signed)
    assert np.isfinite(ends).all()
    assert indices.dtype == np.uint8
    drawing.indexed_png(drawing.mosaic(indices, 4), "viridis")


def test_a_mosaic_puts_each_tile_in_its_place() -> None:
    tiles = np.arange(5, dtype=np.uint8)[:, None, None].repeat(2, 1).repeat(3, 2)
    sheet = drawing.mosaic(tiles, 4)
    assert sheet.shape == (4, 12)
    assert sheet[0, ::3].tolist() == [0, 1, 2, 3]
    assert sheet[2, ::3].tolist() == [4, 0, 0, 0]


def test_shrinking_averages() -> None:
    maps = RNG.normal(size=(2, 90, 90)).astype(np.float32)
    small = drawing.shrink(maps, 48)
    assert small.shape == (2, 45, 45)
    assert small.mean() == pytest.approx(maps.mean(), abs=1e-5)
    assert drawing.shrink(maps, 90) is maps


def test_pngs_are_indexed_and_carry_the_colours() -> None:
    indices = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = Image.open(io.BytesIO(drawing.indexed_png(indices, "viridis")))
    assert image.mode == "P"
    assert image.size == (16, 16)
    assert np.array_equal(np.asarray(image), indices)
    assert image.convert("RGB").getpixel((0, 0)) == (68, 1, 84)  # where viridis begins
    assert image.convert("RGB").getpixel((15, 15)) == (253, 231, 37)


def test_the_diverging_map_is_lightest_at_zero_blue_below_and_red_above() -> None:
    colours = np.frombuffer(drawing.palette(drawing.DIVERGING), np.uint8).reshape(256, 3).astype(int)
    light = colours.sum(1)
    assert 120 <= light.argmax() <= 136
    assert colours[60, 2] > colours[60, 0]
    assert colours[200, 0] > colours[200, 2]


def test_photos_are_encoded_without_loss() -> None:
    photo = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(drawing.photo_png(photo)))), photo)


def test_statistics_of_a_channel() -> None:
    stats = drawing.channel_stats(np.array([[0, 3], [4, 0]], np.float16))
    assert (stats.low, stats.high, stats.mean, stats.norm, stats.zeros) == (0, 4, 1.75, 5, 0.5)
