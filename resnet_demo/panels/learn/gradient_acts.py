"""The gradient in three acts, and what is wrong with one that has a good size: it may be shattered."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from resnet_demo.drawing.formatting import significant
from resnet_demo.drawing.line_chart import power_of_ten
from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import later, say
from resnet_demo.panels.base import Panel, Values, Visit
from resnet_demo.race.stored_gradients import SEEDS, stored_gradients

FIRST = "50"  # blocks that are shown when the panel is opened
ACTS = {
    "without_norms": later("1. Plain, without batch norm"),
    "with_norms": later("2. Plain, with batch norm"),
    "residual": later("3. With shortcuts"),
}
NETWORKS = {
    "shallow": later("plain, one block"),
    "plain": later("plain, {blocks} blocks"),
    "residual": later("with shortcuts, {blocks} blocks"),
}


class GradientActsPanel(Panel):
    """Gradients of fresh networks by block, and along a line of inputs."""

    id = "acts"
    title = later("The gradient in three acts")
    intro = later("""<p>Fresh networks of the notebook's blocks, the same initial weights in all: how large is
the gradient of the loss when it arrives at each block? And if its size is good, does it say anything?</p>""")

    def render(self, visit: Visit) -> str:
        return acts_html(stored_gradients())

    def draw(self, visit: Visit) -> Values:
        return {}  # it shows the same for every photo


def acts_html(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The panel for what was measured: blocks -> "norms", "traces", "correlations"."""
    return fill(
        "panels/learn/gradient_acts.html",
        found=json.dumps(found, separators=(",", ":")),
        depths=list(found),
        first=FIRST if FIRST in found else next(iter(found)),
        acts=ACTS,
        networks=NETWORKS,
        keys={"shallow": "shallow", "plain": "without", "residual": "with"},
        sentences={depth: act_sentences(told["norms"]) for depth, told in found.items()},
        shattered={depth: shattered_sentence(depth, told["correlations"]) for depth, told in found.items()},
    )


def act_sentences(norms: Mapping[str, list[float]]) -> dict[str, str]:
    """What became of the gradient from the last block to the first, act by act."""
    found = {act: change(norms[act]) for act in ACTS}
    found["residual"] = say(
        "{change}; with branches that start at zero (ReZero) {rezero}.",
        change=found["residual"],
        rezero=change(norms["rezero"], begins=False),
    )
    return {**found, **{act: say("{change}.", change=found[act]) for act in ("without_norms", "with_norms")}}


def change(norms: list[float], begins: bool = True) -> str:
    """How the gradient changes on its way from the last block to the first, as a clause."""
    first, last = norms[0], norms[-1]
    if not first or not last:
        return say("It dies: nothing that 32 bits can hold arrives at the first block")
    factor = max(first / last, last / first)
    if factor < 1.05:
        return say("It keeps its size") if begins else say("it keeps its size")
    times = say("about {power}", power=power_of_ten(round(math.log10(factor))))
    if factor < 1e4:
        times = significant(factor)
    if first > last:
        return (
            say("It grows {times}-fold", times=times) if begins else say("it grows {times}-fold", times=times)
        )
    return (
        say("It shrinks {times}-fold", times=times) if begins else say("it shrinks {times}-fold", times=times)
    )


def shattered_sentence(depth: str, correlations: Mapping[str, list[float]]) -> str:
    """How alike the derivatives at neighbouring inputs are."""
    values = {name: f"{round(correlations[name][0], 2) + 0:.2f}" for name in NETWORKS}  # + 0: never -0.00
    return say(
        "Correlation of the derivatives at two neighbouring inputs, of 256 on a line: {shallow} with one "
        "block, {plain} in the plain network of {blocks}, {residual} with shortcuts (white noise has 0; mean "
        "of {lines} lines through {seeds} networks each).",
        blocks=depth,
        lines=8,
        seeds=SEEDS,
        **values,
    )
