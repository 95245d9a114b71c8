"""The gradient's way: back from the answer to the first block, with shortcuts and without."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import gradio as gr
from gradio.components.base import Component

from resnet_demo.drawing.formatting import significant
from resnet_demo.drawing.line_chart import Series, line_chart, power_of_ten
from resnet_demo.drawing.templates import fill
from resnet_demo.explanations import GradientFlow
from resnet_demo.i18n import Sentence, later, say
from resnet_demo.modalities import modality_named
from resnet_demo.networks.cards import WEIGHTS
from resnet_demo.panels.base import Components, Panel, Values, Visit

TEMPLATE = "panels/learn/gradient_flow.html"
TWIN = WEIGHTS / "twin.json"
KEPT, LOST = (
    math.log10(3),
    4.0,
)  # powers of ten: up to here it keeps its size; from here on it dies or explodes
TWINS = (later("with shortcuts"), later("without shortcuts"))  # the curves in it


class GradientFlowPanel(Panel):
    """Norms of the gradient in fresh networks of a chosen depth, and the loss of two that were trained."""

    id = "gradients"
    title = later("The gradient's way")
    intro = later("""<p>Training sends a gradient from the answer back to the first block. What becomes of
it on the way is measured here, in fresh networks, with your photo: with batch norm and without, with
shortcuts and
without (<a href="https://arxiv.org/abs/1603.05027" target="_blank" rel="noreferrer">He et al. 2016</a>,
<a href="https://arxiv.org/abs/1702.08591" target="_blank" rel="noreferrer">Balduzzi et al. 2017</a>,
<a href="https://arxiv.org/abs/1902.08129" target="_blank" rel="noreferrer">Yang et al. 2019</a>). Those who
invented the residual network think a vanishing gradient an unlikely cause of what deep plain networks
with batch norm suffer from
(<a href="https://arxiv.org/abs/1512.03385" target="_blank" rel="noreferrer">He et al. 2015</a>, §
4.1).</p>""")
    cannot: ClassVar[Mapping[str, Sentence]] = {
        "text": later("The fresh networks take pictures of one or three channels; a text has one a letter.")
    }

    def layout(self) -> None:
        self.words()
        with gr.Row(elem_id="gradient-controls"):
            self.depth = gr.Slider(5, 100, value=50, step=5, label=say("Blocks"), elem_id="depth")
            self.norms = gr.Radio(
                [(say("in use"), "in use"), (say("left out"), "left out")],
                value="left out",  # the case that everybody remembers
                label=say("Batch norm"),
                elem_id="norms",
            )
        self.draw_here(min_height=340)
        gr.HTML(twin_html(read_twin()), elem_id="twin")
        self.api_depth = gr.Number(50, visible=False, label="depth")
        self.api_norms = gr.Checkbox(True, visible=False, label="norms")

    def render(self, visit: Visit) -> str:
        return gradients_html(None)

    def draw(self, visit: Visit) -> Values:
        return {} if visit.run else super().draw(visit)  # until they are measured again the last curves stay

    def reads(self) -> Components:
        return {self.depth, self.norms}

    def study(self, visit: Visit, progress: Callable[[float], None]) -> Values:
        run, depth, norms = visit.run, int(visit.values[self.depth]), visit.values[self.norms] == "in use"
        if run is None:
            return {}
        flow = self.page.engine.get().gradient_flow(run, depth, norms, progress)
        return {self.drawing: gradients_html(flow, run.modality)}

    def studied(self) -> Components:
        return {self.drawing}

    def study_again(self) -> Sequence[Any]:
        return self.depth.change, self.norms.input  # by keyboard nothing is released

    def arguments(self) -> Mapping[str, Component]:
        return {"depth": self.api_depth, "norms": self.api_norms}

    def endpoints(self) -> Iterable[Callable[..., Any]]:
        def gradient_flow(photo: str | None, depth: float, norms: bool) -> dict[str, Any]:
            """Gradient norms per block of a fresh network of that depth, with shortcuts and without."""
            run = self.page.run_photo(photo, None)
            return asdict(self.page.engine.get().gradient_flow(run, int(depth), bool(norms)))

        yield gradient_flow


def gradients_html(flow: GradientFlow | None, modality: str = "photo") -> str:
    """Norm of the gradient at every block, with shortcuts and without, on a logarithmic scale."""
    if flow is None:
        return fill(TEMPLATE, flow=None)
    chart = line_chart(
        (
            Series(say("with shortcuts"), list(enumerate(flow.with_shortcuts)), "with"),
            Series(say("without"), list(enumerate(flow.without)), "without"),
        ),
        label=say(
            "Norm of the gradient at each of {depth} blocks, with shortcuts and without", depth=flow.depth
        ),
        across=say("block (0: before the first)"),
        up=say("norm of the gradient"),
        logarithmic=True,
        by_block=True,
    )
    changes = {"with_shortcuts": _change(flow.with_shortcuts), "without": _change(flow.without)}
    fresh = modality_named(modality).fresh
    return fill(TEMPLATE, flow=flow, chart=chart, changes=changes, case=_case(flow), fresh=fresh)


def _growth(curve: Sequence[float]) -> float:
    """Powers of ten by which the gradient has grown when it arrives at the first block; minus infinity
    if it is zero, or none set out."""
    return math.log10(curve[0] / curve[-1]) if curve[0] and curve[-1] else -math.inf


def _change(curve: Sequence[float]) -> str:
    growth = _growth(curve)
    if math.isinf(growth):
        return say("dies completely")
    if abs(growth) < KEPT:
        return say("keeps its size ({times} times it)", times=significant(10**growth))
    times = significant(10 ** abs(growth))
    if abs(growth) >= LOST:
        times = say("about {power}", power=power_of_ten(round(abs(growth))))
    return say("grows {times}-fold", times=times) if growth >= 0 else say("shrinks {times}-fold", times=times)


def _case(flow: GradientFlow) -> str:
    """What the two curves mean for training, as far as they say it."""
    plain, residual = _growth(flow.without), _growth(flow.with_shortcuts)
    if abs(plain) < LOST:
        if abs(residual) < LOST:
            return say("At this depth it arrives both ways; the difference comes with more blocks.")
        return say("Here the shortcuts do not keep its size.")
    if plain < 0:
        case = say("Without shortcuts it dies on the way: the first blocks are told nothing.")
    elif flow.norms:
        case = say(
            "Without shortcuts it explodes: batch norm keeps the values in bounds, but not the gradient."
        )
    else:
        case = say(
            "Without shortcuts it explodes: a step that suits the last blocks is far too long for the first."
        )
    kept = abs(plain) - abs(residual)
    if math.isfinite(kept) and kept >= 1:
        times = power_of_ten(round(kept))
        nearer = say("With them it arrives {times} times nearer to the size it set out with.", times=times)
        return say("{first} {second}", first=case, second=nearer)
    return case


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
            Series(say(name), points, "with")
            if name == TWINS[0]
            else Series(say("without"), points, "without")
            for name, points in curves.items()
        ],
        label=say("Training loss of cats-and-dogs and of its twin without shortcuts over the first epochs"),
        across=say("epoch"),
        up=say("training loss"),
    )
    first, second = (
        say("{loss} {network}", loss=significant(points[-1][1]), network=say(name))
        for name, points in curves.items()
    )
    losses = say("{first} and {second}", first=first, second=second)
    epochs = significant(max(x for x, _ in next(iter(curves.values()))), 1)
    return fill("panels/learn/twin.html", chart=chart, losses=losses, epochs=epochs)
