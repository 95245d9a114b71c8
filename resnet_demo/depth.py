"""The panels on depth: where the network decides, and the gradient's way around. HTML only."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from resnet_demo.charts import Series, line_chart, power_of_ten
from resnet_demo.menu import WEIGHTS
from resnet_demo.records import GradientFlow, Run
from resnet_demo.roadmap import block_title, significant

TWIN = WEIGHTS / "twin.json"


def decides_html(run: Run | None) -> str:
    """The read-out after every block for this photo, and how often each is right in general."""
    if run is None:
        return '<p class="is-empty">The answer after every block appears here.</p>'
    if not run.read_outs:
        return (
            f'<p class="is-empty">No read-outs were trained for {escape(run.network)}. They come with '
            "cats-and-dogs; <code>python -m resnet_demo.fit_probes</code> makes them for a network of yours.</p>"
        )
    label = run.prediction.label
    second = run.classes.index(label) == 1
    names = {block.name: i for i, block in enumerate(run.blocks)}
    rows = []
    for read in run.read_outs:
        chance = read.confidence if second else 1 - read.confidence
        rows.append(
            _read_row(
                block_title(names[read.block]), chance, f"right on {100 * read.accuracy:.1f} % of photos"
            )
        )
    whole = run.prediction.confidences[0].confidence
    rows.append(_read_row("the network", whole, "what it answers in the end", "whole"))
    return (
        f'<p class="lead">How sure a linear read-out is of <b>{escape(label)}</b> if the network stopped after …</p>'
        f'<div class="decides">{"".join(rows)}</div>'
        f"<p class='small'>{_turn(run, second)} A read-out is a linear layer of its own, trained on the block's averaged "
        "maps while the network stayed as it is.</p>"
    )


def _read_row(title: str, chance: float, aside: str, kind: str = "") -> str:
    return (
        f'<div class="read {kind}"><span>{title}</span><span class="bar"><i style="width:{100 * chance:.2f}%"></i><u></u></span>'
        f"<b>{100 * chance:.1f} %</b><small>{aside}</small></div>"
    )


def _turn(run: Run, second: bool) -> str:
    """From which block on all read-outs agree with the answer."""
    agree = [(read.logit > 0) == second for read in run.read_outs]
    if not agree[-1]:
        return "Even after the last block the read-out disagrees with the network."
    last_wrong = max((i for i, right in enumerate(agree) if not right), default=-1)
    if last_wrong < 0:
        return "Every read-out agrees with the answer, from the first block on."
    return f"From block {last_wrong + 2} on all of them agree with the answer."


def gradients_html(flow: GradientFlow | None) -> str:
    """Norm of the gradient at every block, with shortcuts and without, on a logarithmic scale."""
    if flow is None:
        return '<p class="is-empty">Two curves appear here for your photo: with shortcuts, and without.</p>'
    chart = line_chart(
        (
            Series("with shortcuts", list(enumerate(flow.with_shortcuts)), accent=True),
            Series("without", list(enumerate(flow.without))),
        ),
        label=f"Norm of the gradient at each of {flow.depth} blocks, with shortcuts and without",
        across="block (0: before the first)",
        up="norm of the gradient",
        logarithmic=True,
    )
    return (
        f'<p class="lead">On its way back from the logit to the first block, over {flow.depth} blocks, the gradient '
        f"{_change(flow.with_shortcuts)} with shortcuts and {_change(flow.without)} without.</p>{chart}"
        f"<p class='small'>Fresh networks of {flow.depth} blocks with the same initial weights, this photo at 32×32 pixels, "
        f"batch norm {'in use, as while training' if flow.norms else 'left out'}<span class='clock'>; {flow.milliseconds:.0f} ms for both</span>.</p>"
    )


def _change(curve: Sequence[float]) -> str:
    first, last = curve[0], curve[-1]
    if not first or not last:
        return "dies completely"
    ratio = first / last
    way = "grows" if ratio >= 1 else "shrinks"
    times = max(ratio, 1 / ratio)
    return f"{way} {significant(times) if times < 1e4 else 'about ' + power_of_ten(round(math.log10(times)))}-fold"


def read_twin(path: Path = TWIN) -> dict[str, list[tuple[float, float]]]:
    """Loss curves of the network and of its twin trained without shortcuts: name -> (epoch, loss).

    Empty if the file is missing or unfit; the page then leaves the chart out.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: [(float(x), float(y)) for x, y in data[name]]
            for name in ("with shortcuts", "without shortcuts")
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def twin_html(curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """The two loss curves, stored when the networks were trained."""
    if not curves:
        return ""
    chart = line_chart(
        [Series(name, points, accent=name.startswith("with ")) for name, points in curves.items()],
        label="Training loss of the network and of its twin without shortcuts over the first epochs",
        across="epoch",
        up="training loss",
    )
    last = {name: points[-1][1] for name, points in curves.items()}
    return (
        "<h4>Trained for real: this network and its twin without shortcuts</h4>"
        f"{chart}<p class='small'>The same recipe, photos, seed and initial weights, the first "
        f"{significant(max(x for x, _ in next(iter(curves.values()))), 1)} epochs: loss "
        + " and ".join(f"{significant(v)} {name}" for name, v in last.items())
        + ". At five blocks both learn; the difference grows with depth.</p>"
    )
