"""The road map: the network as a straight road with one side road a block, as HTML.

The straight road is the shortcuts, the side road the residual branch. A road is as wide
as the norm of what travels on it for this photo, on one scale for the whole map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from resnet_demo.drawing import feature_maps
from resnet_demo.drawing.formatting import shape_text, significant
from resnet_demo.drawing.pictures import picture_url
from resnet_demo.drawing.seen import THUMBNAIL_LETTERS, seen_html
from resnet_demo.drawing.templates import fill
from resnet_demo.modalities import modality_named
from resnet_demo.records import Block, Gate, Run

TEMPLATE = "drawing/road_map.html"
WIDEST = 15.0  # pixels, for the largest norm on the map
NARROWEST = 1.5
OPEN = Gate()
SHORT = 8  # blocks; a longer road is scrolled along
THUMBNAIL = (3, 48)  # maps a side, and pixels a map at most


@dataclass(frozen=True)
class Line:
    """One road of a block: its class, its path on wide screens and on phones, its width in pixels."""

    kind: str
    wide: str
    tall: str
    width: float


@dataclass(frozen=True)
class Cell:
    """One block on the map; before there is a run, its roads alone."""

    index: int
    lines: tuple[Line, ...]
    shape: str = ""
    f_norm: str = ""
    s_norm: str = ""
    output_norm: str = ""
    picture: str = ""


def roadmap_html(run: Run | None, selected: int = 0, blocks: int = 5, modality: str = "photo") -> str:
    """The map for one run, with block ``selected`` marked; without a run, the empty map of ``blocks``
    for a network that takes a photo, or a sound."""
    if run is None:
        empty = [Cell(i, _roads(3, 3, 3, 3)) for i in range(blocks)]
        return fill(TEMPLATE, run=None, cells=empty, deep=blocks > SHORT, modality=modality_named(modality))
    kind = modality_named(run.modality)
    norms = [n for b in run.blocks for n in (b.residual_norm, b.shortcut_norm, b.output_norm)]
    largest = max(filter(np.isfinite, norms), default=1.0) or 1.0
    incoming = [run.blocks[0].shortcut_norm, *(block.output_norm for block in run.blocks)]
    cells = [
        _cell(block, i, incoming[i], largest, run.gates[i] if run.gates else OPEN)
        for i, block in enumerate(run.blocks)
    ]
    return fill(
        TEMPLATE,
        run=run,
        cells=cells,
        selected=selected,
        deep=len(cells) > SHORT,
        modality=kind,
        seen=seen_html(run, kind.as_seen, "thumb", "seen-photo", THUMBNAIL_LETTERS),
        size=kind.measure(run.photo.shape),
        best=run.prediction.confidences[0],
        gates="_".join(
            f"{gate.residual:g}-{gate.shortcut:g}" for gate in run.gates
        ),  # as an address has them
    )


def strip_picture(block: Block) -> str:
    """The block's most active output channels as one picture, a data URL."""
    side, pixels = THUMBNAIL
    channels = feature_maps.largest_first(block.activity, side * side)
    maps = feature_maps.shrink(block.output[channels], pixels)
    ends = np.full(len(channels), feature_maps.limit(block.output), np.float32)
    sheet = feature_maps.mosaic(feature_maps.quantise(maps, ends, signed=False), side)
    return picture_url(feature_maps.indexed_png(sheet, feature_maps.SEQUENTIAL[0]))


def _cell(block: Block, index: int, incoming: float, largest: float, gate: Gate) -> Cell:
    def width(norm: float) -> float:
        return max(NARROWEST, WIDEST * norm / largest) if np.isfinite(norm) else NARROWEST

    norms = incoming, block.shortcut_norm, block.residual_norm, block.output_norm
    enters, shortcut, branch, leaves = (width(norm) for norm in norms)
    return Cell(
        index,
        _roads(enters, shortcut, branch, leaves, gate),
        shape_text(block.shape),
        significant(block.residual_norm),
        significant(block.shortcut_norm),
        significant(block.output_norm),
        strip_picture(block),
    )


def _roads(
    enters: float, shortcut: float, branch: float, leaves: float, gate: Gate = OPEN
) -> tuple[Line, ...]:
    """The roads of one block; one whose gate is closed is dashed."""
    return (
        Line("road", *_paths("M {0} L {1}", (-1, MAIN), (20, MAIN)), enters),
        Line(
            "road" if gate.shortcut else "road off", *_paths("M {0} L {1}", (18, MAIN), (168, MAIN)), shortcut
        ),
        Line("branch" if gate.residual else "branch off", *BRANCH, branch),
        Line("road", *_paths("M {0} L {1}", (168, MAIN), (201, MAIN)), leaves),
    )


def _paths(commands: str, *places: tuple[int, tuple[int, int]]) -> tuple[str, str]:
    """A path of the map left to right, and top to bottom: ``places`` are along the road, and across it in
    both."""
    wide = commands.format(*(f"{along} {across[0]}" for along, across in places))
    return wide, commands.format(*(f"{across[1]} {along}" for along, across in places))


MAIN, SIDE = (
    (64, 26),
    (20, 72),
)  # where the straight road and the side road run, on wide screens and on phones
BRANCH = _paths(
    "M {0} C {1} {2} {3} L {4} C {5} {6} {7}",
    (18, MAIN), (38, MAIN), (30, SIDE), (52, SIDE), (136, SIDE), (158, SIDE), (150, MAIN), (168, MAIN),
)  # fmt: skip
