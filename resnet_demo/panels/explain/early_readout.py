"""Where it decides: what a linear read-out after every block would answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from resnet_demo.drawing.formatting import block_title
from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import later, say
from resnet_demo.panels.base import Panel, Visit
from resnet_demo.records import Run

TEMPLATE = "panels/explain/early_readout.html"


class EarlyReadoutPanel(Panel):
    """The read-out after every block for this photo, and how often each is right in general."""

    id = "decides"
    title = later("Where it decides")
    intro = later("""<p>If the network stopped after a block, what would it say? A linear read-out of its own
    was trained for every
block on the block's averaged maps: watch from where on the answer is there, and how the early blocks are
hardly better than a guess (<a href="https://arxiv.org/abs/1610.01644" target="_blank" rel="noreferrer">Alain
and Bengio 2016</a>).</p>""")

    def render(self, visit: Visit) -> str:
        return decides_html(visit.run)

    def endpoints(self) -> Iterable[Callable[..., Any]]:
        def read_out(run: Run) -> list[dict[str, Any]]:
            """The answer of a linear probe after every block; empty for a network without probes."""
            return [asdict(read) for read in run.read_outs]

        yield read_out


def decides_html(run: Run | None) -> str:
    """The read-out after every block for this photo, and how often each is right in general."""
    if run is None or not run.read_outs:
        return fill(TEMPLATE, run=run)
    answer = run.classes.index(run.prediction.label)
    names = {block.name: i for i, block in enumerate(run.blocks)}
    rows = [(block_title(names[read.block]), read.chances[answer], read.accuracy) for read in run.read_outs]
    return fill(TEMPLATE, run=run, rows=rows, whole=run.prediction.confidences[0], turn=_turn(run, answer))


def _turn(run: Run, answer: int) -> str:
    """From which block on all read-outs agree with the answer."""
    agree = [max(range(len(read.chances)), key=read.chances.__getitem__) == answer for read in run.read_outs]
    if not agree[-1]:
        return say("Even after the last block the read-out disagrees with the network.")
    last_wrong = max((i for i, right in enumerate(agree) if not right), default=-1)
    if last_wrong < 0:
        return say("Every read-out agrees with the answer, from the first block on.")
    return say("From block {number} on all of them agree with the answer.", number=last_wrong + 2)
