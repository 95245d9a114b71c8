"""Switch it off: gates on every branch, and what each block is worth when it is knocked out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import gradio as gr
from gradio.components.base import Component

from resnet_demo.drawing.road_map import SHORT
from resnet_demo.drawing.signed_maps import side_of
from resnet_demo.drawing.templates import fill
from resnet_demo.explanations import Ablation
from resnet_demo.i18n import error_of, later, listed, say
from resnet_demo.panels.base import Components, Panel, Property, Values, Visit
from resnet_demo.panels.page import Cut, Page
from resnet_demo.records import Gate, Prediction, Run
from resnet_demo.serialize import run_as_dict

GATES_SCHEMA = {
    "type": "array",
    "items": {"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 1}},
    "description": "for every block [residual, shortcut], each 0 to 1",
}


def gates_of_address(text: str, blocks: int) -> tuple[Gate, ...] | None:
    """ "1-1_0.5-0" as two gates; None unless there is a pair of numbers in 0..1 for every block, not all of
    them 1."""
    try:
        gates = tuple(
            Gate(float(residual), float(shortcut))
            for residual, shortcut in (pair.split("-") for pair in text.split("_")[: blocks + 1])
        )
    except ValueError:
        return None
    return gates if len(gates) == blocks and not all(gate.open for gate in gates) else None


class AblationPanel(Panel):
    """Sliders on every residual branch and shortcut; below them every branch and shortcut knocked out in
    turn."""

    id = "off"
    title = later("Switch it off")
    address = (Property("gates", "#roadmap .roadmap:not(.is-empty)", "data-gates", gates_of_address),)

    def layout(self) -> None:
        self.text = gr.HTML(self.about(self.page.empty_visit()), elem_classes="panel-words")
        blocks = self.page.empty_visit().network.blocks
        self.gates = gr.HTML(gates_html(blocks, False), elem_id="gates", js_on_load=self.script())
        self.comparison = gr.HTML(comparison_html(None, None), elem_id="comparison")
        self.lesions = gr.HTML(lesions_html(None, None), elem_id="lesions")
        self.api_gates = gr.JSON(visible=False, label="gates")
        # Gradio describes any JSON as {"type": {}}, which is no valid schema for an MCP client
        self.api_gates.api_info = lambda: GATES_SCHEMA  # type: ignore[method-assign]

    def about(self, visit: Visit) -> str:
        """What to do here, and what to expect of the network that is chosen."""
        shrinks = visit.run is not None and shrinking(visit.run)
        same = [entry for entry in self.page.menu if entry.modality == visit.network.modality]
        deepest = max(same, key=lambda entry: entry.blocks, default=visit.network)
        other = deepest if deepest.blocks > visit.network.blocks else None
        return fill("panels/cut/about.html", network=visit.network, shrinks=shrinks, other=other, few=SHORT)

    def drawings(self) -> Components:
        return {self.text, self.gates, self.comparison, self.lesions}

    def draw(self, visit: Visit) -> Values:
        run = visit.run
        if run is None:
            return {
                self.text: self.about(visit),
                self.gates: gates_html(visit.network.blocks, False, self.kept(visit)),
                self.comparison: comparison_html(None, None),
                self.lesions: lesions_html(None, None),
            }
        return {
            self.text: self.about(visit),
            self.gates: gates_html(len(run.blocks), True, run.gates, visit.key),
            self.comparison: comparison_html(visit.whole, run),
        }

    def kept(self, visit: Visit) -> tuple[Gate, ...]:
        """What the visitor has turned down of the chosen network; empty if nothing is."""
        cut = visit.values.get(self.page.cut)
        return cut.gates if cut and cut.network == visit.network.name else ()

    def studied(self) -> Components:
        return {self.lesions}

    def study(self, visit: Visit, progress: Callable[[float], None]) -> Values:
        run = visit.run
        return {self.lesions: lesions_html(self.page.engine.get().ablation(run) if run else None, run)}

    def connect(self, page: Page) -> None:
        def on_gates(values: Values, event: gr.EventData) -> Values:
            run = page.recall(values[page.run])
            if run is None:
                raise gr.Error(say("Give the page a photo first, then move a slider."), print_exception=False)
            try:
                gates = read_gates(event.gates, len(run.blocks))
            except ValueError as error:
                sentence = say("These sliders cannot be read: {error}.", error=error_of(error))
                raise gr.Error(sentence, print_exception=False) from error
            gated = page.run_photo(run.photo, run.network, gates)
            shown = page.show(gated, values[page.whole], values)
            shown.pop(self.gates, None)  # they are being moved: an answer must not set them back
            cut = None if all(gate.open for gate in gates) else Cut(run.network, gates)
            return {**shown, page.cut: cut}

        options = {"trigger_mode": "always_last", "show_progress": "hidden", "concurrency_id": "run"}
        page.on(self.gates.input, on_gates, page.results | {page.cut}, **options)

    def arguments(self) -> Mapping[str, Component]:
        return {"gates": self.api_gates}

    def endpoints(self) -> Iterable[Callable[..., Any]]:
        page = self.page

        def switch_off(photo: str | None, network: str, gates: Any) -> dict[str, Any]:
            """Run one photo with branches turned down: gates holds [residual, shortcut], each 0..1, for every
            block."""
            blocks = page.engine.get().info(network).blocks
            try:
                wanted = read_gates(gates, blocks)
            except ValueError as error:
                raise gr.Error(f"These gates cannot be read: {error}.", print_exception=False) from error
            return run_as_dict(page.run_photo(photo, network, wanted))

        def knock_out(run: Run) -> dict[str, Any]:
            """How sure the network is of its answer without each branch, each shortcut, and for every set of
            branches."""
            found = page.engine.get().ablation(run)
            return {
                "label": found.label,
                "whole": found.whole,
                "without_branch": found.without_branch.tolist(),
                "without_shortcut": found.without_shortcut.tolist(),
                "paths": found.paths.tolist(),
            }

        yield from (switch_off, knock_out)


def shrinking(run: Run) -> bool:
    """Whether every block makes the picture smaller, as those of the notebook's network do."""
    heights = [run.photo.shape[0], *(block.shape[1] for block in run.blocks)]
    return all(after < before for before, after in pairwise(heights))


def gates_html(blocks: int, enabled: bool, gates: Sequence[Gate] = (), key: str | None = None) -> str:
    """A slider on the residual branch and one on the shortcut of every block, fully open without ``gates``.

    Args:
        key: of the run. HTML that is the same as before is not drawn again, and sliders that were moved would
            stay where they are.
    """
    found = list(gates or [Gate()] * blocks)
    return fill("panels/cut/gates.html", gates=found, enabled=enabled, many=blocks > SHORT, key=key)


def comparison_html(whole: Prediction | None, run: Run | None) -> str:
    """The answer of the whole network and, below it, with the visitor's switches."""
    if whole is None or run is None:
        return fill("panels/cut/comparison.html", run=None)
    rows = [
        (name, chance_of(prediction, whole.label, run.classes))
        for name, prediction in ((say("whole network"), whole), (say("with your switches"), run.prediction))
    ]
    side = side_of(run, whole.label) or "up"
    return fill("panels/cut/comparison.html", run=run, whole=whole, rows=rows, side=side)


def chance_of(prediction: Prediction, label: str, classes: Sequence[str]) -> float:
    """The probability of ``label``, be it among the first five or not."""
    if len(prediction.chances) == len(classes) and label in classes:
        return prediction.chances[classes.index(label)]
    return next((c.confidence for c in prediction.confidences if c.label == label), 0.0)


def lesions_html(found: Ablation | None, run: Run | None) -> str:
    """Each branch knocked out in turn, and all sets of branches by how many they keep."""
    if found is None or run is None:
        return fill("panels/cut/ablation.html", found=None)
    return fill("panels/cut/ablation.html", found=found, step=240 / found.blocks, dots=_dots(found))


def _dots(found: Ablation) -> list[tuple[float, float, str, float]]:
    """One dot a set of branches kept: how many across, how sure of the whole network's answer up; its
    branches."""
    count = found.blocks
    step = 240 / count
    totals = [math.comb(count, k) for k in range(count + 1)]
    seen = [0] * (count + 1)
    dots = []
    for kept, sure in enumerate(found.paths):
        length = kept.bit_count()
        spread = (seen[length] - (totals[length] - 1) / 2) * min(3.2, 0.75 * step / max(totals))
        seen[length] += 1
        names = listed(i + 1 for i in range(count) if kept >> i & 1) or say("none")
        dots.append((44 + length * step + spread, 150 - 140 * float(sure), names, float(sure)))
    return dots


def read_gates(values: object, blocks: int) -> tuple[Gate, ...]:
    """Gates from what the page sent: ``[[residual, shortcut], …]``, one pair a block.

    Raises:
        ValueError: anything else, or a number outside 0..1.
    """
    if not isinstance(values, list) or len(values) != blocks:
        raise ValueError(later("one pair of numbers for each of {blocks} blocks is needed", blocks=blocks))
    try:
        return tuple(Gate(float(residual), float(shortcut)) for residual, shortcut in values)
    except TypeError as error:
        raise ValueError(later("a gate is a pair of numbers in 0..1")) from error
