"""Channels are chosen, scaled, coloured and laid out as said, whatever the numbers."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from resnet_demo.drawing import feature_maps

RNG = np.random.default_rng(0)


def test_orders() -> None:
    maps = np.stack([np.full((4, 4), 3.0), np.zeros((4, 4)), RNG.normal(0, 2, (4, 4)), np.full((4, 4), -9.0)])
    assert feature_maps.rank_channels(maps, "mean", 4)[0] == 3  # by |a|
    assert feature_maps.rank_channels(maps, "mean", 4)[-1] == 1
    assert feature_maps.rank_channels(maps, "variance", 1).tolist() == [2]
    assert feature_maps.rank_channels(maps, "index", 9).tolist() == [0, 1, 2, 3]  # fewer than asked for
    with pytest.raises(ValueError, match="order must be"):
        feature_maps.rank_channels(maps, "loudness", 1)  # type: ignore[arg-type]


def test_the_scale_ends_at_the_99th_percentile() -> None:
    maps = np.arange(10_000, dtype=np.float32).reshape(1, 100, 100)
    assert feature_maps.limit(maps) == pytest.approx(9899, abs=1)
    large = RNG.normal(size=(64, 90, 90)).astype(np.float16)
    assert feature_maps.limit(large) == pytest.approx(
        np.percentile(np.abs(large.astype(np.float32)), 99), rel=0.03
    )
    lonely = np.zeros((1, 100, 100), np.float32)
    lonely[0, 0, 0] = 5
    assert feature_maps.limit(lonely) == 5  # the percentile is 0, yet there is something to see
    assert feature_maps.limit(np.zeros((2, 3, 3))) == 0
    assert feature_maps.limit(np.full((1, 2, 2), np.nan)) == 0


def test_one_scale_for_the_block_or_one_a_channel() -> None:
    first, second = RNG.normal(size=(2, 3, 8, 8))
    second[2] *= 10
    channels = np.array([2, 0])
    block = feature_maps.limits((first, second), channels, "block")
    assert block[0] == block[1] == pytest.approx(feature_maps.limit(second))
    single = feature_maps.limits((first, second), channels, "channel")
    assert single[0] == pytest.approx(feature_maps.limit(second[2]))
    assert single[1] == pytest.approx(max(feature_maps.limit(first[0]), feature_maps.limit(second[0])))


def test_quantising_keeps_zero_sign_and_order() -> None:
    values = np.array([[[-9, -2, -1, 0, 1, 2, 9]]], np.float32)
    signed = feature_maps.quantise(values, np.array([2], np.float32), signed=True)[0, 0].tolist()
    assert signed == [1, 1, 65, 128, 192, 255, 255]
    unsigned = feature_maps.quantise(values, np.array([2], np.float32), signed=False)[0, 0].tolist()
    assert unsigned == [0, 0, 0, 0, 128, 255, 255]


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.float32, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6), elements=st.floats(width=32)
    ),
    st.booleans(),
)
def test_no_numbers_break_the_drawing(maps: np.ndarray, signed: bool) -> None:
    channels = feature_maps.rank_channels(maps, "mean", 16)
    with np.errstate(all="raise", under="ignore", over="ignore", invalid="ignore"):
        ends = feature_maps.limits((maps,), channels, "channel")
        indices = feature_maps.quantise(maps[channels], ends, signed)
    assert np.isfinite(ends).all()
    assert indices.dtype == np.uint8
    feature_maps.indexed_png(feature_maps.mosaic(indices, 4), "viridis")


def test_a_mosaic_puts_each_tile_in_its_place() -> None:
    tiles = np.arange(5, dtype=np.uint8)[:, None, None].repeat(2, 1).repeat(3, 2)
    sheet = feature_maps.mosaic(tiles, 4)
    assert sheet.shape == (4, 12)
    assert sheet[0, ::3].tolist() == [0, 1, 2, 3]
    assert sheet[2, ::3].tolist() == [4, 0, 0, 0]


def test_shrinking_averages() -> None:
    maps = RNG.normal(size=(2, 90, 90)).astype(np.float32)
    small = feature_maps.shrink(maps, 48)
    assert small.shape == (2, 45, 45)
    assert small.mean() == pytest.approx(maps.mean(), abs=1e-5)
    assert feature_maps.shrink(maps, 90) is maps


def test_pngs_are_indexed_and_carry_the_colours() -> None:
    indices = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = Image.open(io.BytesIO(feature_maps.indexed_png(indices, "viridis")))
    assert image.mode == "P"
    assert image.size == (16, 16)
    assert np.array_equal(np.asarray(image), indices)
    assert image.convert("RGB").getpixel((0, 0)) == (68, 1, 84)  # where viridis begins
    assert image.convert("RGB").getpixel((15, 15)) == (253, 231, 37)


def test_the_diverging_map_is_lightest_at_zero_blue_below_and_red_above() -> None:
    colours = (
        np.frombuffer(feature_maps.palette(feature_maps.DIVERGING), np.uint8).reshape(256, 3).astype(int)
    )
    light = colours.sum(1)
    assert 120 <= light.argmax() <= 136
    assert colours[60, 2] > colours[60, 0]
    assert colours[200, 0] > colours[200, 2]


def test_photos_are_encoded_without_loss() -> None:
    photo = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(feature_maps.photo_png(photo)))), photo)


def test_statistics_of_a_channel() -> None:
    (stats,) = feature_maps.channel_stats(np.array([[[0, 3], [4, 0]]], np.float16))
    assert (stats.low, stats.high, stats.mean, stats.norm, stats.zeros) == (0, 4, 1.75, 5, 0.5)


def test_values_that_are_not_finite_are_drawn_as_zero() -> None:
    values = np.array([[[np.nan, np.inf, -np.inf, 1, -1]]], np.float32)
    end = np.array([1], np.float32)
    assert feature_maps.quantise(values, end, signed=True)[0, 0].tolist() == [128, 128, 128, 255, 1]
    assert feature_maps.quantise(values, end, signed=False)[0, 0].tolist() == [0, 0, 0, 255, 0]


def test_a_scale_that_ends_at_zero_draws_zero() -> None:
    values = np.array([[[0.5, -0.5, 0]]], np.float32)
    none = np.zeros(1, np.float32)
    assert feature_maps.quantise(values, none, signed=True).tolist() == [[[128, 128, 128]]]
    assert feature_maps.quantise(values, none, signed=False).tolist() == [[[0, 0, 0]]]


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float32, (2, 4, 5), elements=st.floats(-1e4, 1e4, width=32)),
    st.floats(0.01, 100),
    st.booleans(),
)
def test_quantising_is_monotonic_and_scales_with_its_end(maps: np.ndarray, end: float, signed: bool) -> None:
    ends = np.full(2, end, np.float32)
    indices = feature_maps.quantise(maps, ends, signed).ravel().astype(int)
    order = np.argsort(maps.ravel(), kind="stable")
    assert (np.diff(indices[order]) >= 0).all()
    if signed:
        mirrored = feature_maps.quantise(-maps, ends, signed).ravel().astype(int)
        assert (np.abs(indices + mirrored - 256) <= 1).all()  # red for +a is as strong as blue for -a
        assert (indices[maps.ravel() == 0] == 128).all()
    doubled = feature_maps.quantise(maps * 2, ends * 2, signed).ravel().astype(int)
    assert np.array_equal(indices, doubled)


@pytest.mark.parametrize("order", ["mean", "variance", "index"])
@pytest.mark.parametrize("count", [1, 4, 16, 64])
def test_channels_are_distinct_and_as_many_as_there_are(order: feature_maps.Order, count: int) -> None:
    maps = RNG.normal(size=(20, 6, 6)).astype(np.float16)
    chosen = feature_maps.rank_channels(maps, order, count)
    assert len(set(chosen.tolist())) == len(chosen) == min(count, 20)
    assert set(chosen.tolist()) <= set(range(20))
    longer = feature_maps.rank_channels(maps, order, 64)
    assert np.array_equal(longer[: len(chosen)], chosen)  # more tiles move none of those already there
    score = {"mean": np.abs(maps.astype(float)).mean((1, 2)), "variance": maps.astype(float).var((1, 2))}
    if order in score:
        assert (np.diff(score[order][longer]) <= 1e-6).all()


def test_equal_channels_keep_their_order() -> None:
    assert feature_maps.rank_channels(np.ones((6, 3, 3)), "mean", 6).tolist() == list(range(6))
    assert feature_maps.rank_channels(np.full((3, 2, 2), np.nan), "variance", 3).tolist() == [0, 1, 2]


def test_no_scale_is_smaller_than_that_of_any_of_its_streams() -> None:
    streams = (RNG.normal(size=(5, 9, 9)), 3 * RNG.normal(size=(5, 9, 9)), np.zeros((5, 9, 9)))
    channels = np.arange(5)
    for scope in ("block", "channel"):
        ends = feature_maps.limits(streams, channels, scope)  # type: ignore[arg-type]
        assert ends.shape == (5,)
        for stream in streams:
            alone = feature_maps.limits((stream,), channels, scope)  # type: ignore[arg-type]
            assert (ends >= alone).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 6), st.integers(1, 4), st.integers(1, 4))
def test_every_tile_is_found_again_in_the_mosaic(k: int, columns: int, h: int, w: int) -> None:
    tiles = np.random.default_rng(k).integers(1, 256, (k, h, w), dtype=np.uint8)
    sheet = feature_maps.mosaic(tiles, columns)
    assert sheet.shape == (-(-k // columns) * h, columns * w)
    for i, tile in enumerate(tiles):
        y, x = i // columns * h, i % columns * w
        assert np.array_equal(sheet[y : y + h, x : x + w], tile)
    assert np.count_nonzero(sheet) == tiles.size  # and nothing else is drawn


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 60))
def test_shrinking_fits_and_keeps_a_constant(h: int, w: int, side: int) -> None:
    small = feature_maps.shrink(np.full((2, h, w), 0.25, np.float16), side)
    assert small.shape[0] == 2
    assert all(1 <= n <= max(side, 1) or n == full for n, full in zip(small.shape[1:], (h, w), strict=True))
    assert (small == 0.25).all()


@pytest.mark.parametrize("name", [*feature_maps.SEQUENTIAL, feature_maps.DIVERGING])
def test_every_colour_map_has_a_palette_and_a_legend(name: str) -> None:
    assert len(feature_maps.palette(name)) == 768
    colours = (
        feature_maps.css_gradient(name).removeprefix("linear-gradient(90deg,").removesuffix(")").split(",")
    )
    first, last = (tuple(bytes.fromhex(colours[i][1:])) for i in (0, -1))
    assert first == tuple(feature_maps.palette(name)[:3])
    assert last == tuple(feature_maps.palette(name)[-3:])


@pytest.mark.parametrize("name", feature_maps.SEQUENTIAL)
def test_sequential_maps_grow_lighter_with_the_activation(name: str) -> None:
    colours = np.frombuffer(feature_maps.palette(name), np.uint8).reshape(256, 3).astype(float)
    light = colours @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light[::15]) > 0).all()


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.float16, (3, 4), elements=st.floats(-6e4, 6e4, width=16)))
def test_statistics_agree_with_each_other(values: np.ndarray) -> None:
    (stats,) = feature_maps.channel_stats(values[None])
    assert stats.low <= stats.mean + 1e-2
    assert stats.mean <= stats.high + 1e-2
    assert 0 <= stats.zeros <= 1
    assert stats.norm >= max(abs(stats.low), abs(stats.high)) * 0.999
    assert (stats.zeros == 1) == (stats.norm == 0)
