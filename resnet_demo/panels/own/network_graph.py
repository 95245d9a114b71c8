"""The network of a run as a graph: every block with its branch, its shortcut and their sum, as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from resnet_demo.drawing.formatting import shape_text
from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import grouped, say
from resnet_demo.panels.look.block_diagram import layers_of, place_of
from resnet_demo.records import Block, LayerTrace, Run

MAIN = 130  # where the road runs, in pixels from the left
BRANCH, WIDE, GAP = 230, 380, 14  # where the layers of a branch begin, what they take, and what is between
END = 630  # where names stand
TOP, LAYER, BLOCK = 60, 64, 138  # heights: of the title, of a layer, of a block


@dataclass(frozen=True)
class Box:
    """One layer of a branch."""

    x: float
    width: float
    name: str
    below: str


@dataclass(frozen=True)
class Row:
    """A block, or a layer outside of blocks, which has no ``layers``.

    Attributes:
        top, height: in pixels.
        words: its output's shape, and its parameters.
        shortcut: what goes around the branch; "" where nothing does.
    """

    name: str
    top: int
    height: int
    words: str
    layers: Sequence[Box] = ()
    shortcut: str = ""


def graph_svg(run: Run) -> str:
    """The network of ``run`` from the input to the logits, as SVG of its own: it needs no style sheet."""
    plain = not run.gates and not any(block.shortcut_norm for block in run.blocks)
    blocks = {block.name: index for index, block in enumerate(run.blocks)}
    rows: list[Row] = []
    top = TOP
    for line in run.trace:
        index = blocks.get(line.name)
        rows.append(_layer(line, top) if index is None else _block(run, index, line, top, plain))
        top += rows[-1].height
    title = say("{network}, {count} residual blocks", network=run.network, count=len(run.blocks))
    return fill(
        "panels/own/network_graph.svg",
        title=title,
        rows=rows,
        width=END + 230,
        height=top,
        main=MAIN,
        gap=GAP,
        end=END,
    )


def _words(line: LayerTrace) -> str:
    shape = shape_text(line.shape)
    return f"{shape} · {grouped(line.parameters)} {say('parameters')}" if line.parameters else shape


def _layer(line: LayerTrace, top: int) -> Row:
    return Row(line.name, top, LAYER, _words(line))


def _block(run: Run, index: int, line: LayerTrace, top: int, plain: bool) -> Row:
    place = place_of(run, index)
    layers, _ = layers_of(place)
    width = (WIDE - GAP * (len(layers) - 1)) / len(layers)
    boxes = [
        Box(BRANCH + i * (width + GAP), width, str(say(name)), str(say(below)) if below else "")
        for i, (name, below) in enumerate(layers)
    ]
    if plain:
        shortcut = ""
    elif place.before != place.after:
        shortcut = str(say("changes shape"))
    else:  # the first block's input is no stream of a block, and gates change what others receive
        alike = not index or run.gates or _is_identity(run.blocks[index - 1], run.blocks[index])
        shortcut = str(say("identity") if alike else say("shortcut"))
    return Row(line.name, top, BLOCK, _words(line), boxes, shortcut)


def _is_identity(before: Block, block: Block) -> bool:
    """Whether what came around is as large as what the block before handed on."""
    return math.isclose(before.output_norm, block.shortcut_norm, rel_tol=1e-2)
