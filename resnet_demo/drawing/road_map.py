"""The road map: the network as a straight road with one side road a block, as HTML.

The straight road is the shortcuts, the side road the residual branch. A road is as wide as what travels on it
for this photo is strong, on one scale for the whole map: per value (root mean square), since the tensors
on it are of very different size; or as its share of the block's sum; or in total (the Euclidean norm).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from resnet_demo.drawing import feature_maps
from resnet_demo.drawing.formatting import percent, shape_text, significant
from resnet_demo.drawing.pictures import picture_url
from resnet_demo.drawing.seen import THUMBNAIL_LETTERS, seen_html
from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import Sentence, later
from resnet_demo.modalities import modality_named
from resnet_demo.records import Block, Gate, Run

TEMPLATE = "drawing/road_map.html"
WIDEST = 15.0  # pixels, for the strongest on the map
NARROWEST = 1.5
OPEN = Gate()
SHORT = 8  # blocks; a longer road is scrolled along
THUMBNAIL = (3, 48)  # maps a side, and pixels a map at most


@dataclass(frozen=True)
class Measure:
    """A way to say how strong what travels on a road is.

    Attributes:
        title: on the switch.
        words: what the widths and numbers are, with the formula.
        of: a block to the strengths of its residual branch, its shortcut and its output.
        text: a strength as people read it.
    """

    title: Sentence
    words: Sentence
    of: Callable[[Block], tuple[float, float, float]]
    text: Callable[[float], str] = significant


def root_mean_squares(block: Block) -> tuple[float, float, float]:
    """Root mean square of each: its Euclidean norm over the root of the number of its values."""
    root = math.sqrt(math.prod(block.shape))
    return block.residual_norm / root, block.shortcut_norm / root, block.output_norm / root


def shares_of_sum(block: Block) -> tuple[float, float, float]:
    """⟨F, F + s⟩ ÷ ‖F + s‖² and ⟨s, F + s⟩ ÷ ‖F + s‖², which add up to 1, and the whole; one side has more
    than 1 where the other works against it. A sum of zero has no shares."""
    f, s, both = block.residual_norm, block.shortcut_norm, block.sum_norm**2
    if not both:
        return math.nan, math.nan, 1.0
    common = f * s * block.cosine
    return (f * f + common) / both, (s * s + common) / both, 1.0


def norms(block: Block) -> tuple[float, float, float]:
    """Euclidean norms."""
    return block.residual_norm, block.shortcut_norm, block.output_norm


MEASURES = {  # the names in addresses; the first is what the map opens with
    "rms": Measure(
        later("per value"),
        later("Width of a road: root mean square of its values, √(Σa² ÷ n)"),
        root_mean_squares,
    ),
    "share": Measure(
        later("share of the sum"),
        later("Width of a road: its share of the block's sum, ⟨side, sum⟩ ÷ ‖sum‖²; the two add up to 100 %"),
        shares_of_sum,
        lambda share: f"{percent(share, 0)} %" if math.isfinite(share) else "–",
    ),
    "total": Measure(
        later("in total"),
        later("Width of a road: Euclidean norm of all its values, √(Σa²), which grows with n"),
        norms,
    ),
}


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
    residual: str = ""
    shortcut: str = ""
    output: str = ""
    picture: str = ""
    read: str = ""


def roadmap_html(
    run: Run | None,
    selected: int = 0,
    blocks: int = 5,
    modality: str = "photo",
    measure: str = "rms",
    fit: str = "squash 1",
    own: bool = True,
) -> str:
    """The map for one run, with block ``selected`` marked; without a run, the empty map of ``blocks``
    for a network that takes a photo, or a sound. ``measure`` is one of MEASURES; ``fit`` says which part
    of the photo the network takes, as ``MenuEntry.fit`` does. A second map on the same page is not its
    ``own``: it has no ids, no words above it and no switch of measures."""
    if run is None:
        empty = [Cell(i, _roads(3, 3, 3, 3)) for i in range(blocks)]
        return fill(TEMPLATE, run=None, cells=empty, deep=blocks > SHORT, modality=modality_named(modality))
    kind = modality_named(run.modality)
    chosen = MEASURES[measure]
    found = [chosen.of(block) for block in run.blocks]
    strongest = max((s for three in found for s in three if np.isfinite(s)), default=1.0) or 1.0
    entering = [found[0][1] if measure != "share" else 1.0, *(output for *_, output in found)]
    reads = _reads(run)
    cells = [
        _cell(
            block,
            i,
            (entering[i], *found[i]),
            strongest,
            chosen,
            run.gates[i] if run.gates else OPEN,
            reads.get(block.name, ""),
        )
        for i, block in enumerate(run.blocks)
    ]
    return fill(
        TEMPLATE,
        run=run,
        cells=cells,
        selected=selected,
        deep=len(cells) > SHORT,
        modality=kind,
        seen=seen_html(run, kind.as_seen, "thumb", "seen-photo" if own else "", THUMBNAIL_LETTERS),
        own=own,
        size=kind.measure(run.photo.shape),
        best=run.prediction.confidences[0],
        gates="_".join(
            f"{gate.residual:g}-{gate.shortcut:g}" for gate in run.gates
        ),  # as an address has them
        measures=MEASURES,
        measure=measure,
        fit=fit,
        plain=not run.gates and not any(block.shortcut_norm for block in run.blocks),
    )


def strip_picture(block: Block) -> str:
    """The block's most active output channels as one picture, a data URL."""
    side, pixels = THUMBNAIL
    channels = feature_maps.largest_first(block.activity, side * side)
    maps = feature_maps.shrink(block.output[channels], pixels)
    ends = np.full(len(channels), feature_maps.limit(block.output), np.float32)
    sheet = feature_maps.mosaic(feature_maps.quantise(maps, ends, signed=False), side)
    return picture_url(feature_maps.indexed_png(sheet, feature_maps.SEQUENTIAL[0]))


def _reads(run: Run) -> dict[str, str]:
    """Block -> how sure the read-out after it is of the network's answer, in per cent; empty without
    read-outs."""
    if not run.read_outs or run.prediction.label not in run.classes:
        return {}
    answer = run.classes.index(run.prediction.label)
    return {read.block: percent(read.chances[answer], 0) for read in run.read_outs}


def _cell(
    block: Block,
    index: int,
    strengths: tuple[float, float, float, float],
    strongest: float,
    measure: Measure,
    gate: Gate,
    read: str,
) -> Cell:
    """One block; ``strengths`` are of what enters, the residual branch, the shortcut and the output;
    ``read`` is how sure a read-out after it is of the answer, in per cent, or "" where there is none."""

    def width(strength: float) -> float:
        return max(NARROWEST, WIDEST * strength / strongest) if np.isfinite(strength) else NARROWEST

    enters, branch, shortcut, leaves = (width(strength) for strength in strengths)
    return Cell(
        index,
        _roads(enters, shortcut, branch, leaves, gate),
        shape_text(block.shape),
        measure.text(strengths[1]),
        measure.text(strengths[2]),
        measure.text(strengths[3]),
        strip_picture(block),
        read,
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
