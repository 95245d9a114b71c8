"""Is a map faithful? Deletion and insertion (Petsiuk, Das and Saenko 2018, https://arxiv.org/abs/1806.07421).

Deletion erases the photo part by part, what the map marks most first: with a faithful map the answer is
soon gone. Insertion begins with everything erased and puts the parts back in the same order: the answer is
soon there. What is erased becomes a strong blur, which leaves the colours and no edge. Whether either is
soon is told by the same with the map's places in random order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

STEPS = 36
BLUR = 10  # one part of the side in so many is the radius


@dataclass(frozen=True)
class Curve:
    """How sure the network is after 0, 1, … STEPS parts, 0..1, and the area below, 0..1."""

    chances: tuple[float, ...]

    @property
    def area(self) -> float:
        """Mean height, by the trapezoidal rule."""
        heights = np.array(self.chances)
        return float((heights[1:] + heights[:-1]).mean() / 2)


def order_of(support: NDArray[np.floating], side: int) -> NDArray[np.intp]:
    """(side * side,) the pixels of a photo, what most supports the answer first.

    Args:
        support: (h, w) of each place for the answer; between places it is interpolated.
        side: of the photo.
    """
    # Pillow scales what lies within its own range, so the map is scaled to 0..1 first
    low, high = float(support.min()), float(support.max())
    scaled = ((support - low) / ((high - low) or 1)).astype(np.float32)
    wide = np.asarray(Image.fromarray(scaled).resize((side, side), Image.Resampling.BILINEAR))
    return np.argsort(-wide.ravel(), kind="stable")


def shuffled(support: NDArray[np.floating], seed: int) -> NDArray[np.floating]:
    """The same values in other places: a map as smooth as this one that knows nothing."""
    return np.random.default_rng(seed).permutation(support.ravel()).reshape(support.shape)


def erased(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What is left of a photo (H, W, 3) where it is erased: a strong blur."""
    radius = max(photo.shape[:2]) / BLUR
    return np.asarray(Image.fromarray(photo).filter(ImageFilter.GaussianBlur(radius)))


def steps_between(
    first: NDArray[np.uint8], last: NDArray[np.uint8], order: NDArray[np.intp], steps: int = STEPS
) -> list[NDArray[np.uint8]]:
    """steps + 1 pictures (H, W, 3) from ``first`` to ``last``, whose pixels change in ``order``."""
    found = []
    pixels, wanted = first.reshape(-1, 3).copy(), last.reshape(-1, 3)
    before = 0
    for step in range(steps + 1):
        count = round(len(order) * step / steps)
        changed = order[before:count]
        pixels[changed] = wanted[changed]
        found.append(pixels.reshape(first.shape).copy())
        before = count
    return found


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """The mean of several."""
    return Curve(tuple(np.mean([curve.chances for curve in curves], axis=0).tolist()))
