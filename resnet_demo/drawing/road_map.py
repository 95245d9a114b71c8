"""The road map: the network as a straight road with one side road a block, as HTML.

The straight road is the shortcuts, the side road the residual branch. A road is as wide
as the norm of what travels on it for this photo, on one scale for the whole map.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from resnet_demo.drawing import feature_maps
from resnet_demo.i18n import label_of, say
from resnet_demo.modalities import modality_named
from resnet_demo.records import Block, Gate, Run

WIDEST = 15.0  # pixels, for the largest norm on the map
NARROWEST = 1.5
OPEN = Gate()
SHORT = 8  # blocks; a longer road is scrolled along
THUMBNAIL = (3, 48)  # maps a side, and pixels a map at most


def significant(value: float, digits: int = 2) -> str:
    """A number as people read it: two significant figures, a true minus, no exponent between 0.001 and 99999."""
    if not math.isfinite(value):
        return say("not a number")
    if value == 0:
        return "0"
    sign, value = ("−" if value < 0 else ""), abs(value)
    if not 1e-3 <= value < 1e5:
        return f"{sign}{value:.{digits - 1}e}"
    if value >= 10 ** (digits - 1):
        return f"{sign}{value:.0f}"
    return sign + f"{value:#.{digits}g}".removesuffix(".")  # 9.96 has two figures as 10, which # makes "10."


def block_title(index: int) -> str:
    """What people call the block: counted from 1."""
    return say("block {number}", number=index + 1)


def shape_text(shape: Sequence[int]) -> str:
    """(C, H, W) as C×H×W."""
    return "×".join(map(str, shape))


def roadmap_html(run: Run | None, selected: int = 0, blocks: int = 5, modality: str = "photo") -> str:
    """The map for one run, with block ``selected`` marked; without a run, the empty map of ``blocks``
    for a network that takes a photo, or a sound."""
    if run is None:
        start = f'<div class="stop"><div class="thumb empty"></div><b>{say(modality_named(modality).noun)}</b></div>'
        empty = "".join(_empty_cell(i) for i in range(blocks))
        end = f'<div class="stop end"><b>{say("answer")}</b></div>'
        deep = " deep" if blocks > SHORT else ""
        return f'<div class="roadmap is-empty{deep}" style="--blocks:{blocks}" role="group" aria-label="{say("Road map of the network")}">{start}{empty}{end}</div>'

    height, width = run.photo.shape[:2]
    taken = modality_named(run.modality)
    norms = [n for b in run.blocks for n in (b.residual_norm, b.shortcut_norm, b.output_norm)]
    largest = max(filter(np.isfinite, norms), default=1.0) or 1.0
    cells: list[str] = []
    incoming = None
    for i, block in enumerate(run.blocks):
        gate = run.gates[i] if run.gates else OPEN
        cells.append(_cell(block, i, i == selected, incoming, largest, gate))
        incoming = block.output_norm
    start = (
        f'<div class="stop"><img class="thumb" id="seen-photo" src="{feature_maps.photo_url(run.photo)}" '
        f'alt="{say(taken.as_seen)}"><b>{say(taken.noun)}</b><span>{say(taken.taken)}</span>'
        f"<span>{width}×{height}</span></div>"
    )
    best = run.prediction.confidences[0]
    end = (
        f'<div class="stop end"><b>{escape(label_of(best.label))}</b><span>{100 * best.confidence:.1f} %</span>'
        f"<span>{say('logit')} {significant(run.prediction.logit)}</span></div>"
    )
    gates = "_".join(f"{gate.residual:g}-{gate.shortcut:g}" for gate in run.gates)  # as an address has them
    return (
        f'<div class="roadmap{" deep" if len(cells) > SHORT else ""}" data-gates="{gates}" style="--blocks:{len(cells)}" role="group" '
        f'aria-label="{say("Road map of the network: choose a block")}">'
        f"{start}{''.join(cells)}{end}</div>"
    )


def strip_picture(block: Block) -> str:
    """The block's most active output channels as one picture, a data URL."""
    side, pixels = THUMBNAIL
    channels = feature_maps.largest_first(block.activity, side * side)
    maps = feature_maps.shrink(block.output[channels], pixels)
    ends = np.full(len(channels), feature_maps.limit(block.output), np.float32)
    sheet = feature_maps.mosaic(feature_maps.quantise(maps, ends, signed=False), side)
    return feature_maps.data_url(feature_maps.indexed_png(sheet, feature_maps.SEQUENTIAL[0]))


def _cell(
    block: Block, index: int, selected: bool, incoming: float | None, largest: float, gate: Gate
) -> str:
    def width(norm: float) -> float:
        return max(NARROWEST, WIDEST * norm / largest) if np.isfinite(norm) else NARROWEST

    enters = width(block.shortcut_norm if incoming is None else incoming)
    roads = enters, width(block.shortcut_norm), width(block.residual_norm), width(block.output_norm)
    f_norm, s_norm = significant(block.residual_norm), significant(block.shortcut_norm)
    title, shape = block_title(index), shape_text(block.shape)
    label = say(
        "{block}, output {shape}. Norm of the residual branch {residual}, of the shortcut {shortcut}, of the output {output}.",
        block=title,
        shape=shape,
        residual=f_norm,
        shortcut=s_norm,
        output=significant(block.output_norm),
    )
    return f"""<button type="button" class="cell{" selected" if selected else ""}" data-block="{index}"
 id="block-{index + 1}" aria-pressed="{str(selected).lower()}" aria-label="{label}">
{_roads(*roads, f_norm, s_norm, gate)}
<span class="map-picture"><img src="{strip_picture(block)}" alt=""></span>
<span class="words"><b>{title}</b><span>{shape}</span><span class="norms">F(x) {f_norm}<br>{say("shortcut")} {s_norm}</span></span>
</button>"""


def _empty_cell(index: int) -> str:
    return f"""<div class="cell" id="block-{index + 1}">{_roads(3, 3, 3, 3)}
<span class="map-picture empty"></span><span class="words"><b>{block_title(index)}</b></span></div>"""


def _roads(
    enters: float,
    shortcut: float,
    branch: float,
    leaves: float,
    f_norm: str = "",
    s_norm: str = "",
    gate: Gate = OPEN,
) -> str:
    """The roads of one block twice, left to right for wide screens and top to bottom for phones, with their norms.

    A road whose gate is closed is dashed.
    """

    def lines(swap: bool) -> str:
        def path(points: Sequence[tuple[str, Sequence[tuple[int, int]]]]) -> str:
            return " ".join(
                command + " ".join(f"{y} {x}" if swap else f"{x} {y}" for x, y in pairs)
                for command, pairs in points
            )

        main = 64 if not swap else 26
        off = 20 if not swap else 72
        pieces = (
            ("road", enters, [("M", [(-1, main)]), ("L", [(20, main)])]),
            ("road" if gate.shortcut else "road off", shortcut, [("M", [(18, main)]), ("L", [(168, main)])]),
            (
                "branch" if gate.residual else "branch off",
                branch,
                [
                    ("M", [(18, main)]),
                    ("C", [(38, main), (30, off), (52, off)]),
                    ("L", [(136, off)]),
                    ("C", [(158, off), (150, main), (168, main)]),
                ],
            ),
            ("road", leaves, [("M", [(168, main)]), ("L", [(201, main)])]),
        )
        return "".join(
            f'<path class="{kind}" d="{path(d)}" stroke-width="{w:.1f}"/>' for kind, w, d in pieces
        )

    return (
        '<span class="roads" aria-hidden="true">'
        f'<svg class="wide" viewBox="0 0 200 92" preserveAspectRatio="none">{lines(False)}</svg>'
        f'<svg class="tall" viewBox="0 0 96 200" preserveAspectRatio="none">{lines(True)}</svg>'
        f'<span class="chip"><i>F(x)</i> {f_norm}</span><span class="plus">+</span>'
        f'<span class="beside">{say("shortcut")} {s_norm}</span></span>'
    )
