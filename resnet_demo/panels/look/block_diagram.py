"""How it works: a drawing of one residual block with the numbers of the visitor's own photo."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import gradio as gr

from resnet_demo.drawing.formatting import block_title, shape_text, significant
from resnet_demo.drawing.road_map import root_mean_squares
from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import Sentence, later, say
from resnet_demo.modalities import modality_named
from resnet_demo.panels.base import Components, Panel, Values, Visit
from resnet_demo.records import Run

TEMPLATE = "panels/look/block_diagram.html"
NORMS = ("branch", "shortcut", "total", "output")
CONV1, CONV3 = later("1×1 conv"), later("3×3 conv")
NORM, NORM_RELU, NORM_POOL = later("norm"), later("norm, ReLU"), later("norm, max-pool")
TWO = later("two 3×3 convolutions")
BRANCHES = {  # class of the block -> the layers of its residual branch, and what they are called together
    "ResidualBlock": (((CONV3, NORM_RELU), (CONV3, NORM)), TWO),
    "StridedBlock": (((CONV3, NORM_RELU), (CONV3, NORM)), TWO),
    "BasicBlock": (((CONV3, NORM_RELU), (CONV3, NORM)), TWO),
    "Bottleneck": (
        ((CONV1, NORM_RELU), (CONV3, NORM_RELU), (CONV1, NORM)),
        later("a 1×1, a 3×3 and a 1×1 convolution"),
    ),
}
POOLED = ((CONV3, NORM_RELU), (CONV3, NORM_POOL))  # of the notebook's block where it halves the picture
OTHER = (((later("the branch"), ""),), later("layers of its own"))  # a block that nobody here knows


class BlockDiagramPanel(Panel):
    """One block as boxes and arrows, above what a residual block is."""

    id = "how"
    title = later("How it works")
    follows = frozenset({"run", "view"})

    def layout(self) -> None:
        self.draw_here(elem_id="how-drawing")
        words = words_html(None, 0)
        self.text = gr.HTML(words, elem_id="how", elem_classes="panel-words")

    def render(self, visit: Visit) -> str:
        return how_html(visit.run, visit.view.block)

    def drawings(self) -> Components:
        return {self.drawing, self.text}

    def draw(self, visit: Visit) -> Values:
        return {**super().draw(visit), self.text: words_html(visit.run, visit.view.block)}


@dataclass(frozen=True)
class Place:
    """A block in its network: its index, its kind, and the shapes (C, H, W) that go into it and come out."""

    index: int
    kind: str
    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def halves(self) -> bool:
        """Whether the picture is smaller after it."""
        return bool(self.before) and self.before[1:] != self.after[1:]


def place_of(run: Run, index: int) -> Place:
    """Where block ``index`` stands, or the last one if there are not so many."""
    index = min(index, len(run.blocks) - 1)
    block = run.blocks[index]
    line = next((i for i, line in enumerate(run.trace) if line.name == block.name), 0)
    before = run.trace[line - 1].shape if line else ()
    return Place(index, run.trace[line].kind if line else "", before, block.shape)


def layers_of(place: Place | None) -> tuple[Sequence[tuple[str, str]], Sentence]:
    """The layers of a block's residual branch, and what they are called; of the notebook's before there
    is a run."""
    if place is None:
        return BRANCHES["ResidualBlock"]
    layers, words = BRANCHES.get(place.kind, OTHER)
    return (POOLED if place.kind == "ResidualBlock" and place.halves else layers), words


def how_html(run: Run | None, index: int) -> str:
    """One block as boxes and arrows: shapes and strengths of this photo, or their names before there is
    one."""
    title, shapes, norms = say("A residual block"), ("C × H × W", "C′ × H′ × W′"), dict.fromkeys(NORMS, "")
    place = None
    if run is not None:
        place = place_of(run, index)
        block = run.blocks[place.index]
        title = say(modality_named(run.modality).block, block=block_title(place.index).capitalize())
        shapes = shape_text(place.before) if place.before else "", shape_text(block.shape)
        residual, shortcut, output = root_mean_squares(block)
        total = block.sum_norm / math.sqrt(math.prod(block.shape))
        found = residual, shortcut, total, output
        norms = {n: say("RMS {value}", value=significant(v)) for n, v in zip(NORMS, found, strict=True)}
    layers, _ = layers_of(place)
    width = 360 / len(layers) - 20
    boxes = [(160 + i * (width + 20), width, name, below) for i, (name, below) in enumerate(layers)]
    return fill(TEMPLATE, title=title, shapes=shapes, norms=norms, boxes=boxes)


def words_html(run: Run | None, index: int) -> str:
    """What a residual block is, and what this one of this network does with its shortcut."""
    place = place_of(run, index) if run else None
    _, layers = layers_of(place)
    return fill(
        "panels/look/block_diagram_words.html",
        run=run,
        place=place,
        layers=layers,
        plain=run is not None and not any(block.shortcut_norm for block in run.blocks) and not run.gates,
        logits=run.trace[-1].shape[-1] if run and run.trace else 0,
    )
