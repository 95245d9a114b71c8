"""The panels on depth: where the network decides, and the gradient's way around. HTML only."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from resnet_demo.drawing.line_chart import Series, line_chart, power_of_ten
from resnet_demo.drawing.road_map import block_title, significant
from resnet_demo.i18n import label_of, later, say
from resnet_demo.networks.cards import WEIGHTS
from resnet_demo.records import GradientFlow, Run, Sense

TWIN = WEIGHTS / "twin.json"
TWINS = (later("with shortcuts"), later("without shortcuts"))  # the curves in it
FRESH = {
    "photo": later(
        "Fresh networks of {depth} blocks with the same initial weights, this photo at 32×32 pixels, batch norm {norms}"
        "<span class='clock'>; {milliseconds} ms for both</span>."
    ),
    "sound": later(
        "Fresh networks of {depth} blocks with the same initial weights, this sound at 32×32 pixels, batch norm {norms}"
        "<span class='clock'>; {milliseconds} ms for both</span>."
    ),
}


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


def gradients_html(flow: GradientFlow | None, sense: Sense = "photo") -> str:
    """Norm of the gradient at every block, with shortcuts and without, on a logarithmic scale."""
    if flow is None:
        empty = say("Two curves appear here for your photo: with shortcuts, and without.")
        return f'<p class="is-empty">{empty}</p>'
    chart = line_chart(
        (
            Series(say("with shortcuts"), list(enumerate(flow.with_shortcuts)), accent=True),
            Series(say("without"), list(enumerate(flow.without))),
        ),
        label=say(
            "Norm of the gradient at each of {depth} blocks, with shortcuts and without", depth=flow.depth
        ),
        across=say("block (0: before the first)"),
        up=say("norm of the gradient"),
        logarithmic=True,
    )
    lead = say(
        "On its way back from the logit to the first block, over {depth} blocks, the gradient {with_shortcuts} with "
        "shortcuts and {without} without.",
        depth=flow.depth,
        with_shortcuts=_change(flow.with_shortcuts),
        without=_change(flow.without),
    )
    how = say(
        FRESH[sense],
        depth=flow.depth,
        norms=say("in use, as while training") if flow.norms else say("left out"),
        milliseconds=f"{flow.milliseconds:.0f}",
    )
    return f"<p class=\"lead\">{lead}</p>{chart}<p class='small'>{how}</p>"


def _change(curve: Sequence[float]) -> str:
    first, last = curve[0], curve[-1]
    if not first or not last:
        return say("dies completely")
    ratio = first / last
    factor = max(ratio, 1 / ratio)
    times = significant(factor)
    if factor >= 1e4:
        times = say("about {power}", power=power_of_ten(round(math.log10(factor))))
    return say("grows {times}-fold", times=times) if ratio >= 1 else say("shrinks {times}-fold", times=times)


def read_twin(path: Path = TWIN) -> dict[str, list[tuple[float, float]]]:
    """Loss curves of the network and of its twin trained without shortcuts: name -> (epoch, loss).

    Empty if the file is missing or unfit; the page then leaves the chart out.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {name: [(float(x), float(y)) for x, y in data[name]] for name in TWINS}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def twin_html(curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """The two loss curves, stored when the networks were trained."""
    if not curves:
        return ""
    chart = line_chart(
        [
            # the shorter word, for which the chart has room
            Series(
                say(name) if name.startswith("with ") else say("without"), points, name.startswith("with ")
            )
            for name, points in curves.items()
        ],
        label=say("Training loss of the network and of its twin without shortcuts over the first epochs"),
        across=say("epoch"),
        up=say("training loss"),
    )
    last = {name: points[-1][1] for name, points in curves.items()}
    words = say(
        "The same recipe, photos, seed and initial weights, the first {epochs} epochs: loss {losses}. At five blocks "
        "the network without them learns as well; the difference comes with depth.",
        epochs=significant(max(x for x, _ in next(iter(curves.values()))), 1),
        losses=say(" and ").join(f"{significant(v)} {say(name)}" for name, v in last.items()),
    )
    title = say("Trained for real: this network and its twin without shortcuts")
    return f"<h4>{title}</h4>{chart}<p class='small'>{words}</p>"
