"""The arithmetic of one place of a block: F + shortcut = sum → ReLU, and the kernels and patches behind
it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_demo.drawing.formatting import block_title, significant
from resnet_demo.drawing.templates import fill
from resnet_demo.explanations import KernelProduct
from resnet_demo.i18n import later
from resnet_demo.records import STREAM_NAMES, Run

DIGITS = 3
SHOWN = 3  # input channels whose products are written out
NO_PLACE = later("That is no place of this block.")


def place_in(request: Mapping[str, Any], run: Run) -> tuple[int, int, int, int]:
    """Block, channel, row and column of a request.

    Raises:
        ValueError: the run has no such place; one sentence.
    """
    given = [request.get(name) for name in ("block", "channel", "row", "column")]
    numbers = [number for number in given if type(number) is int]
    if len(numbers) != len(given):
        raise ValueError(NO_PLACE)
    block, *place = numbers
    if not 0 <= block < len(run.blocks):
        raise ValueError(NO_PLACE)
    if not all(0 <= at < count for at, count in zip(place, run.blocks[block].shape, strict=True)):
        raise ValueError(NO_PLACE)
    return block, place[0], place[1], place[2]


def values_at(run: Run, block: int, channel: int, row: int, column: int) -> dict[str, str]:
    """The four values of one place, by the names of STREAM_NAMES, as people read them."""
    streams = run.blocks[block].streams
    return {name: significant(float(streams[name][channel, row, column]), DIGITS) for name in STREAM_NAMES}


def products_html(run: Run, block: int, found: tuple[KernelProduct | None, KernelProduct | None]) -> str:
    """Kernel times patch for F's last convolution and for the shortcut, and what follows."""
    sides = [_side(product) if product else None for product in found]
    identity = run.blocks[block].shortcut_norm > 0
    return fill("panels/look/place.html", sides=sides, block=block_title(block), identity=identity)


def _side(product: KernelProduct) -> dict[str, Any]:
    products = product.kernel * product.patch
    sums = products.sum((1, 2))
    order = np.argsort(-np.abs(sums))[:SHOWN]
    total = float(sums.sum()) + product.bias
    return {
        "layer": product.layer,
        "rows": [
            (int(c), *(_cells(grid[c]) for grid in (product.kernel, product.patch, products)), float(sums[c]))
            for c in order
        ],
        "others": len(sums) - len(order),
        "rest": float(sums.sum() - sums[order].sum()),
        "bias": product.bias,
        "total": total,
        "scale": product.scale,
        "shift": product.shift,
        "value": product.value,
        "plain": product.scale == 1 and abs(product.shift) < 1e-6,
    }


def _cells(grid: NDArray[np.float32]) -> list[list[tuple[str, float]]]:
    """A grid of numbers as text, each with its share of the largest, -1..1, for its colour."""
    most = float(np.abs(grid).max()) or 1.0
    return [[(significant(float(value)), float(value) / most) for value in row] for row in grid]
