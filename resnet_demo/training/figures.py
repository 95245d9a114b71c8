"""Pictures for the model cards as SVG that stands alone: error by step, and error without each block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 760, 380
LEFT, RIGHT, TOP, BOTTOM = 62, 20, 46, 48
COLOURS = {"resnet-56": "#a3271f", "resnet-20": "#d9822b", "plain-56": "#1f4e79", "plain-20": "#4f9bc9"}
OTHER = "#555555"
STYLE = (
    "<style>text{font:13px"
    " sans-serif;fill:#333}.title{font-size:15px}.grid{stroke:#ddd}.whole{stroke-dasharray:5"
    " 4;fill:none}path{fill:none;stroke-width:1.8}.training{stroke-dasharray:4 3;stroke-width:1.2}</style>"
)


@dataclass(frozen=True)
class Frame:
    """The axes of one chart: x from 0 to ``most_x``, y from 0 to ``most_y`` per cent."""

    most_x: float
    most_y: float

    def x(self, value: float) -> float:
        return LEFT + value / (self.most_x or 1) * (WIDTH - LEFT - RIGHT)

    def y(self, share: float) -> float:
        return HEIGHT - BOTTOM - min(100 * share / self.most_y, 1) * (HEIGHT - TOP - BOTTOM)

    def grid(self, title: str, across: str, up: str) -> str:
        """Title, names of the axes, and a line every fifth of the height."""
        lines = []
        for i in range(6):
            y, value = HEIGHT - BOTTOM - i / 5 * (HEIGHT - TOP - BOTTOM), self.most_y * i / 5
            lines.append(
                f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
                f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
            )
        return (
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/><text class="title" x="{LEFT}"'
            f' y="19">{escape(title)}</text>{"".join(lines)}<text x="{(LEFT + WIDTH - RIGHT) / 2}"'
            f' y="{HEIGHT - 9}" text-anchor="middle">{escape(across)}</text><text transform="translate(15'
            f' {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">{escape(up)}</text>'
        )


def _svg(inside: str, label: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(label)}">{STYLE}{inside}</svg>\n'
    )


def _names(names: Sequence[str], after: str = "") -> str:
    parts = [
        f'<rect x="{LEFT + 115 * i}" y="28" width="14" height="9" fill="{COLOURS.get(name, OTHER)}"/>'
        f'<text x="{LEFT + 19 + 115 * i}" y="37">{escape(name)}</text>'
        for i, name in enumerate(names)
    ]
    return "".join(parts) + f'<text x="{LEFT + 19 + 115 * len(names)}" y="37">{escape(after)}</text>'


def error_curves(curves: Mapping[str, Mapping[str, Sequence[float]]], title: str) -> str:
    """Training error dashed and test error solid over the steps, as in He et al. 2015, Fig. 6.

    Args:
        curves: network -> "step", "train_error" and "test_error", of one length; errors in 0..1.
    """
    frame = Frame(max(max(curve["step"]) for curve in curves.values()), 100)
    paths = []
    for name, curve in curves.items():
        for kind in ("train_error", "test_error"):
            points = zip(curve["step"], curve[kind], strict=True)
            line = "M" + "L".join(f"{frame.x(x):.1f} {frame.y(y):.1f}" for x, y in points)
            shown = ' class="training"' if kind == "train_error" else ""
            paths.append(f'<path{shown} d="{line}" stroke="{COLOURS.get(name, OTHER)}"/>')
    ticks = "".join(
        f'<text x="{frame.x(v):.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{v:.0f}</text>'
        for v in (frame.most_x * i / 4 for i in range(5))
    )
    grid = frame.grid(title, "steps of 128 pictures", "error, %")
    return _svg(grid + ticks + _names(list(curves), "solid: test, dashed: training") + "".join(paths), title)


def deletion_bars(found: Mapping[str, tuple[float, Sequence[float]]], title: str) -> str:
    """Test error without each block, a bar a block and network, and that of the whole network as a line.

    Args:
        found: network -> (error of the whole, errors without each block), in 0..1, as many blocks for each.
    """
    count = max(len(errors) for _, errors in found.values())
    frame = Frame(count, 100)
    wide = (frame.x(1) - frame.x(0)) * 0.8 / len(found)
    bars = []
    for i, (name, (whole, errors)) in enumerate(found.items()):
        colour = COLOURS.get(name, OTHER)
        for k, error in enumerate(errors):
            top = frame.y(error)
            bars.append(
                f'<rect x="{frame.x(k + 0.1) + i * wide:.1f}" y="{top:.1f}" width="{wide:.1f}" '
                f'height="{HEIGHT - BOTTOM - top:.1f}" fill="{colour}"/>'
            )
        y = frame.y(whole)
        bars.append(f'<path class="whole" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{colour}"/>')
    ticks = "".join(
        f'<text x="{frame.x(k + 0.5):.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{k + 1}</text>'
        for k in range(count)
    )
    grid = frame.grid(title, "block that is deleted", "test error, %")
    return _svg(grid + "".join(bars) + ticks + _names(list(found), "dashed: the whole network"), title)
