"""Shares of a logit by place, drawn over the photo: blue against, red for; joined places keep their sum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnet_demo.drawing import feature_maps
from resnet_demo.drawing.pictures import picture_url
from resnet_demo.i18n import label_of, say
from resnet_demo.records import Run

CELLS = 48  # squares a side of a drawn map, at most; smaller ones are noise to the eye


@dataclass(frozen=True)
class SignedPicture:
    """A map as a picture: its URL, the value at the ends of its colours, and how many pixels a square
    joins."""

    url: str
    end: float
    joined: int


def summed(map_: NDArray[np.floating], most: int = CELLS) -> tuple[NDArray[np.float32], int]:
    """A map (H, W) summed over squares until neither side exceeds ``most``, and the side of a square in
    pixels.

    The last squares of a side may be smaller; the sum of all is that of the map.
    """
    factor = max(1, -(-max(map_.shape) // most))
    padded = np.pad(map_.astype(np.float64), [(0, -side % factor) for side in map_.shape])
    h, w = padded.shape
    sums: NDArray[np.float32] = (
        padded.reshape(h // factor, factor, w // factor, factor).sum((1, 3)).astype(np.float32)
    )
    return sums, factor


def signed_picture(map_: NDArray[np.floating], end: float | None = None, most: int = CELLS) -> SignedPicture:
    """A map of shares (H, W) as a picture, its colours ending at ±``end``, or at its own 99th percentile
    for None."""
    squares, factor = summed(map_, most)
    limit = feature_maps.limit(squares[None]) if end is None else end
    indices = feature_maps.quantise(squares[None], np.array([limit], np.float32), signed=True)[0]
    return SignedPicture(
        picture_url(feature_maps.indexed_png(indices, feature_maps.DIVERGING)), limit, factor
    )


def one_logit(run: Run) -> bool:
    """Whether the network tells its two classes by the sign of one logit."""
    return len(run.classes) == 2 and bool(run.trace) and run.trace[-1].shape == (1,)


def sides_of(run: Run) -> tuple[str, str]:
    """What a negative and a positive share speak for: the classes of a network of one logit, else against
    and for the class that it answers."""
    if one_logit(run):
        return label_of(run.classes[0]), label_of(run.classes[1])
    return say("against"), say("for")


def side_of(run: Run, label: str) -> str:
    """Which of the two colours of classes ``label`` has: "up", the positive end of the signed maps, or
    "down"; with more than two classes the answer has "up", and "" the others."""
    if one_logit(run):
        return "up" if label == run.classes[1] else "down"
    return "up" if label == run.prediction.confidences[0].label else ""
