"""Line charts as SVG, drawn for a reader: few ticks, names beside the lines."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from resnet_demo.drawing.templates import fill

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 66, 150, 14, 40
Points = Sequence[tuple[float, float]]
FRAME = {
    "width": WIDTH,
    "height": HEIGHT,
    "left": LEFT,
    "right": WIDTH - RIGHT,
    "bottom": HEIGHT - BOTTOM,
    "top": TOP,
}


@dataclass(frozen=True)
class Series:
    """One line: its name, its points (x, y), and its colour: "with" shortcuts or "without", "ink", or
    "aside", ink that is dashed."""

    name: str
    points: Points
    kind: str = "ink"


def power_of_ten(exponent: int) -> str:
    """10 to a whole power as people write it."""
    if exponent in (0, 1, 2, 3):
        return str(10**exponent)
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def line_chart(
    series: Sequence[Series],
    label: str,
    across: str,
    up: str,
    logarithmic: bool = False,
    by_block: bool = False,
    band: Sequence[tuple[float, float, float]] = (),
) -> str:
    """The lines over one pair of axes.

    Args:
        label: what a screen reader says.
        across, up: names of the axes.
        logarithmic: the upward axis; points at or below zero are then left out.
        by_block: whether x is the number of a block, counted from 1; its points are then lit with the block.
        band: behind the lines, such as an interval: (x, lower y, upper y).
    """

    def height(y: float) -> float:
        return math.log10(y) if logarithmic else y

    kept = [
        (s, [(x, height(y)) for x, y in s.points if math.isfinite(y) and (y > 0 or not logarithmic)])
        for s in series
    ]
    edge = [(x, height(low)) for x, low, _ in band] + [(x, height(high)) for x, _, high in reversed(band)]
    everything = [*edge, *(point for _, points in kept for point in points)]
    if not everything:
        return ""
    left, right = min(x for x, _ in everything), max(x for x, _ in everything)
    low, high = min(y for _, y in everything), max(y for _, y in everything)
    if logarithmic:
        low, high = math.floor(low), math.ceil(high)
    if high - low < 1e-9:
        low, high = low - 1, high + 1

    def place(x: float, y: float) -> tuple[float, float]:
        share = (x - left) / ((right - left) or 1)
        return (
            LEFT + share * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - TOP - BOTTOM),
        )

    def polyline(points: Sequence[tuple[float, float]]) -> str:
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*p) for p in points))

    up_ticks = [(value, place(left, value)[1]) for value in _ticks(low, high, logarithmic)]
    return fill(
        "drawing/line_chart.html",
        frame=FRAME,
        label=label,
        across=across,
        up=up,
        up_ticks=[(power_of_ten(int(value)) if logarithmic else f"{value:g}", y) for value, y in up_ticks],
        across_ticks=[(f"{value:g}", place(value, low)[0]) for value in _ticks(left, right, False)],
        band=polyline(edge),
        lines=[_line(s, points, place, by_block) for s, points in kept],
    )


def _line(
    series: Series, points: Points, place: Callable[[float, float], tuple[float, float]], by_block: bool
) -> tuple[str, str, str, list[tuple[int, float, float]]]:
    """A line's name, colour, its points where they are drawn, and of each block (its number, x, y)."""
    drawn = [place(x, y) for x, y in points]
    blocks = [(int(x) - 1, *at) for (x, _), at in zip(points, drawn, strict=True) if by_block and x >= 1]
    return series.name, series.kind, " ".join(f"{x:.1f},{y:.1f}" for x, y in drawn), blocks


def _ticks(low: float, high: float, whole: bool) -> list[float]:
    """About five round numbers from ``low`` to ``high``."""
    span = high - low
    rough = span / 5
    power = 10 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
    if whole:
        step = max(1, round(step))
    first = math.ceil(low / step) * step
    return [float(v) for v in np.arange(first, high + step * 1e-6, step)]
