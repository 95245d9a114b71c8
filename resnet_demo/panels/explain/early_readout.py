"""Where it decides: what a linear read-out after every block would answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from html import escape
from typing import Any

from resnet_demo.drawing.road_map import block_title
from resnet_demo.i18n import label_of, later, say
from resnet_demo.panels.base import Panel, Visit
from resnet_demo.records import Run


class EarlyReadoutPanel(Panel):
    """The read-out after every block for this photo, and how often each is right in general."""

    id = "decides"
    title = later("Where it decides")
    intro = later("""<p>If the network stopped after a block, what would it say? A linear read-out of its own was trained for every
block on the block's averaged maps: watch from where on the answer is there, and how the early blocks are hardly better than
a guess (<a href="https://arxiv.org/abs/1610.01644" target="_blank" rel="noreferrer">Alain and Bengio 2016</a>).</p>""")

    def render(self, visit: Visit) -> str:
        return decides_html(visit.run)

    def endpoints(self) -> Iterable[Callable[..., Any]]:
        def read_out(run: Run) -> list[dict[str, Any]]:
            """The answer of a linear probe after every block; empty for a network without probes."""
            return [asdict(read) for read in run.read_outs]

        yield read_out


def decides_html(run: Run | None) -> str:
    """The read-out after every block for this photo, and how often each is right in general."""
    if run is None:
        return f'<p class="is-empty">{say("The answer after every block appears here.")}</p>'
    if not run.read_outs:
        none = say(
            "No read-outs were trained for {network}. They come with cats-and-dogs; "
            "<code>python -m resnet_demo.fit_probes</code> makes them for a network of yours.",
            network=escape(run.network),
        )
        return f'<p class="is-empty">{none}</p>'
    label = run.prediction.label
    answer = run.classes.index(label)
    names = {block.name: i for i, block in enumerate(run.blocks)}
    rows = []
    for read in run.read_outs:
        chance = read.chances[answer]
        right = say("right on {percent} % of photos", percent=f"{100 * read.accuracy:.1f}")
        rows.append(_read_row(block_title(names[read.block]), chance, right))
    whole = run.prediction.confidences[0].confidence
    rows.append(_read_row(say("the network"), whole, say("what it answers in the end"), "whole"))
    lead = say(
        "How sure a linear read-out is of <b>{label}</b> if the network stopped after …",
        label=escape(label_of(label)),
    )
    what = say(
        "A read-out is a linear layer of its own, trained on the block's averaged maps while the network stayed as it is."
    )
    return (
        f'<p class="lead">{lead}</p><div class="decides">{"".join(rows)}</div>'
        f"<p class='small'>{_turn(run, answer)} {what}</p>"
    )


def _read_row(title: str, chance: float, aside: str, kind: str = "") -> str:
    return (
        f'<div class="read {kind}"><span>{title}</span><span class="bar"><i style="width:{100 * chance:.2f}%"></i><u></u></span>'
        f"<b>{100 * chance:.1f} %</b><small>{aside}</small></div>"
    )


def _turn(run: Run, answer: int) -> str:
    """From which block on all read-outs agree with the answer."""
    agree = [max(range(len(read.chances)), key=read.chances.__getitem__) == answer for read in run.read_outs]
    if not agree[-1]:
        return say("Even after the last block the read-out disagrees with the network.")
    last_wrong = max((i for i, right in enumerate(agree) if not right), default=-1)
    if last_wrong < 0:
        return say("Every read-out agrees with the answer, from the first block on.")
    return say("From block {number} on all of them agree with the answer.", number=last_wrong + 2)
