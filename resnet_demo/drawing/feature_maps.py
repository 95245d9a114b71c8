"""Feature maps to pictures: choose channels, choose a scale, quantise, colour, encode.

Pure functions on numpy arrays. A picture is an indexed PNG at the maps' own resolution;
the browser scales it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from resnet_demo.drawing.pictures import picture_url
from resnet_demo.drawing.png import encode_png

Order = Literal["mean", "variance", "index"]
Scope = Literal["block", "channel"]
Maps = NDArray[np.floating]  # (C, H, W)
Indices = NDArray[np.uint8]

DIVERGING = "crameri:vik"  # perceptually uniform, light at zero: blue below, red above
SEQUENTIAL = ("viridis", "magma", "gray")
SAMPLE = 10_000  # values looked at for a percentile; 99 ± 0.2 % of the full one's rank
PERCENTILE = 99.0
INFINITE = 0x7C00  # bits of a float16 from which on it is infinite or not a number


@dataclass(frozen=True)
class ChannelStats:
    """Figures of one feature map: extremes, mean, Euclidean norm and share of exact zeros (0..1)."""

    low: float
    high: float
    mean: float
    norm: float
    zeros: float


def rank_channels(maps: Maps, order: Order, count: int) -> NDArray[np.intp]:
    """The first ``count`` channels of ``maps`` (C, H, W), by mean |a|, variance, or index."""
    flat = maps.reshape(maps.shape[0], -1).astype(np.float32, copy=False)
    if order == "mean":
        return largest_first(np.abs(flat).mean(axis=1), count)
    if order == "variance":
        return largest_first(flat.var(axis=1), count)
    if order == "index":
        return np.arange(min(count, len(flat)))
    raise ValueError(f"order must be mean, variance or index, got {order!r}")


def largest_first(scores: NDArray[np.floating], count: int) -> NDArray[np.intp]:
    """Indices of the ``count`` largest of ``scores`` (C,); equal ones by index, not-a-number as 0."""
    return np.argsort(-np.nan_to_num(scores), kind="stable")[:count]


def limit(maps: Maps) -> float:
    """The scale's end: the 99th percentile of |a|, or the largest |a| if that is 0; 0 for silence.

    Taken from at most SAMPLE evenly spread values. Not-a-number and infinity are ignored.
    """
    flat = maps.reshape(-1)
    step = max(1, flat.size // SAMPLE)
    values = flat[::step]
    if values.dtype == np.float16:  # without their sign, bits are in the order of the values, and faster
        bits = values.view(np.uint16) & 0x7FFF
        low, high, share = _around(bits[bits < INFINITE] if bits.max(initial=0) >= INFINITE else bits)
        low, high = float(halves()[low]), float(halves()[high])
    else:
        sizes = np.abs(values.astype(np.float32, copy=False))
        low, high, share = _around(sizes if np.isfinite(sizes.sum()) else sizes[np.isfinite(sizes)])
        low, high = float(low), float(high)
    top = low + share * (high - low)
    if top > 0:
        return top
    everything = np.abs(flat[np.isfinite(flat)])
    return float(everything.max(initial=0.0))


def _around(values: NDArray[Any]) -> tuple[Any, Any, float]:
    """The two of ``values`` (N,) that the percentile lies between, and how far along: np.percentile's linear
    interpolation at a quarter of its cost. Zeros for no value."""
    if not values.size:
        return 0, 0, 0.0
    rank = (values.size - 1) * PERCENTILE / 100
    below = int(rank)
    parted = np.partition(values, below)
    low = parted[below]
    return low, parted[below + 1 :].min() if below + 1 < values.size else low, rank - below


@cache
def halves() -> NDArray[np.float32]:
    """Every float16 in the order of its bits, (65536,), as float32: looked up, a value takes half the time of
    a conversion."""
    return np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)


def widened(maps: Maps) -> NDArray[np.float32]:
    """``maps`` as float32."""
    if maps.dtype != np.float16:
        return maps.astype(np.float32, copy=False)
    found: NDArray[np.float32] = np.take(halves(), maps.view(np.uint16))
    return found


def limits(streams: tuple[Maps, ...], channels: NDArray[np.intp], scope: Scope) -> NDArray[np.float32]:
    """One scale end per drawn channel, shared by all ``streams`` (each (C, H, W)); shape (K,).

    Scope "block": the same for every channel, over the whole block. "channel": each its own.
    """
    if scope == "block":
        return np.full(len(channels), max(limit(s) for s in streams), np.float32)
    return np.array([max(limit(s[c]) for s in streams) for c in channels], np.float32)


def quantise(maps: Maps, ends: NDArray[np.float32], signed: bool) -> Indices:
    """Map values to palette indices, (K, H, W) uint8.

    Signed: -end..0..end to 1..128..255. Unsigned: 0..end to 0..255. Values beyond are
    clipped; a scale end of 0 and values that are not finite give zero's index.
    """
    if (
        maps.dtype == np.float16 and len(ends) and (ends == ends[0]).all()
    ):  # one scale: each value is looked up
        found: Indices = np.take(_indices(ends[:1], signed), np.ascontiguousarray(maps).view(np.uint16))
        return found
    with np.errstate(invalid="ignore", over="ignore"):
        shares = maps / np.where(ends > 0, ends, np.inf).astype(np.float32)[:, None, None]  # of the scale
    if not np.isfinite(shares.sum()):  # a sum costs a quarter of a mask
        shares[~np.isfinite(maps)] = 0
    np.clip(shares, -1 if signed else 0, 1, out=shares)
    shares *= 127 if signed else 255
    shares += 128.5 if signed else 0.5
    return shares.astype(np.uint8)


def _indices(end: NDArray[np.float32], signed: bool) -> Indices:
    """The index of every float16 on the scale that ends at ``end`` (1,), in the order of their bits."""
    return quantise(halves()[:, None, None].reshape(1, 1, -1), end, signed).reshape(-1)


def mosaic(tiles: Indices, columns: int) -> Indices:
    """Lay tiles (K, H, W) out in rows of ``columns``, (rows*H, columns*W); missing ones are 0."""
    k, h, w = tiles.shape
    rows = -(-k // columns)
    full = np.zeros((rows * columns, h, w), np.uint8)
    full[:k] = tiles
    return full.reshape(rows, columns, h, w).swapaxes(1, 2).reshape(rows * h, columns * w)


def shrink(maps: Maps, side: int) -> Maps:
    """Average (C, H, W) maps down by a whole factor until neither side exceeds ``side``.

    A side shorter than the factor becomes one pixel.
    """
    factor = -(-max(maps.shape[1:]) // side)
    if factor <= 1:
        return maps
    high, wide = (min(factor, n) for n in maps.shape[1:])
    h, w = maps.shape[1] // high, maps.shape[2] // wide
    cut = maps[:, : h * high, : w * wide].astype(np.float32)
    rows = cut.reshape(len(maps), h, high, w * wide).sum(axis=2)
    sums: Maps = rows[:, :, ::wide].copy()
    for i in range(1, wide):  # a sum over so short an axis would take ten times as long
        sums += rows[:, :, i::wide]
    sums /= high * wide
    return sums


@lru_cache(maxsize=16)
def palette(name: str) -> bytes:
    """256 RGB triples of a colour map, as bytes."""
    import cmap  # here: it takes a tenth of a second, and the page is there before the first picture

    return bytes((cmap.Colormap(name).lut(256)[:, :3] * 255 + 0.5).astype(np.uint8).tobytes())


@lru_cache(maxsize=16)
def css_gradient(name: str) -> str:
    """The colour map as a CSS gradient from left to right, for a legend."""
    colours = np.frombuffer(palette(name), np.uint8).reshape(256, 3)[::15]
    return f"linear-gradient(90deg,{','.join('#{:02x}{:02x}{:02x}'.format(*tuple(c)) for c in colours)})"


def indexed_png(indices: Indices, colours: str) -> bytes:
    """Encode (H, W) palette indices as a PNG coloured by the map named ``colours``."""
    return encode_png(indices, palette(colours))


def photo_png(photo: NDArray[np.uint8]) -> bytes:
    """Encode an RGB photo (H, W, 3) without loss."""
    return encode_png(photo)


@lru_cache(maxsize=64)
def _photo_png(pixels: bytes, height: int, width: int) -> bytes:
    return photo_png(np.frombuffer(pixels, np.uint8).reshape(height, width, 3))


def photo_url(photo: NDArray[np.uint8]) -> str:
    """An RGB photo (H, W, 3) as a URL. Encoded once for the panels of a run: they all show the same one."""
    return picture_url(_photo_png(photo.tobytes(), *photo.shape[:2]))


def forget_photos() -> None:
    """The next ``photo_url`` encodes its photo, whichever it is: for whoever measures what a new one
    costs."""
    _photo_png.cache_clear()


def channel_stats(maps: Maps) -> list[ChannelStats]:
    """The figures of each of the feature maps (C, H, W)."""
    flat = maps.reshape(len(maps), -1).astype(np.float32, copy=False)
    columns = (
        flat.min(1),
        flat.max(1),
        flat.mean(1),
        np.sqrt(np.einsum("ij,ij->i", flat, flat)),
        (flat == 0).mean(1),
    )
    return [ChannelStats(*map(float, figures)) for figures in zip(*columns, strict=True)]
