"""Switch it off: gates on every branch, and what each block is worth when it is knocked out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any

import gradio as gr
from gradio.components.base import Component

from resnet_demo.drawing.road_map import SHORT, block_title, significant
from resnet_demo.i18n import error_of, label_of, later, say
from resnet_demo.panels.base import Components, Panel, Property, Values, Visit
from resnet_demo.panels.page import Page
from resnet_demo.records import Ablation, Gate, Prediction, Run
from resnet_demo.serialize import run_as_dict

GATES_SCHEMA = {
    "type": "array",
    "items": {"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 1}},
    "description": "for every block [residual, shortcut], each 0 to 1",
}


def gates_of_address(text: str, blocks: int) -> tuple[Gate, ...] | None:
    """ "1-1_0.5-0" as two gates; None unless there is a pair of numbers in 0..1 for every block, not all of them 1."""
    try:
        gates = tuple(
            Gate(float(residual), float(shortcut))
            for residual, shortcut in (pair.split("-") for pair in text.split("_")[: blocks + 1])
        )
    except ValueError:
        return None
    return gates if len(gates) == blocks and not all(gate.open for gate in gates) else None


class AblationPanel(Panel):
    """Sliders on every residual branch and shortcut; below them every branch and shortcut knocked out in turn."""

    id = "off"
    title = later("Switch it off")
    intro = later("""<p>Turn a residual branch F(x) or a shortcut down and watch the answer, the road map and the later blocks
follow. Very deep residual networks hardly notice one lost branch; the five blocks of cats-and-dogs also halve
the picture, so each is worth more; choose a ResNet-50 for contrast
(<a href="https://arxiv.org/abs/1605.06431" target="_blank" rel="noreferrer">Veit et al. 2016</a>).</p>""")
    address = (Property("gates", "#roadmap .roadmap:not(.is-empty)", "data-gates", gates_of_address),)

    def layout(self) -> None:
        self.words()
        blocks = self.page.empty_visit().network.blocks
        self.gates = gr.HTML(gates_html(blocks, False), elem_id="gates", js_on_load=self.script())
        self.comparison = gr.HTML(comparison_html(None, None), elem_id="comparison")
        self.lesions = gr.HTML(lesions_html(None, None), elem_id="lesions")
        self.api_gates = gr.JSON(visible=False, label="gates")
        # Gradio describes any JSON as {"type": {}}, which is no valid schema for an MCP client
        self.api_gates.api_info = lambda: GATES_SCHEMA  # type: ignore[method-assign]

    def drawings(self) -> Components:
        return {self.gates, self.comparison, self.lesions}

    def draw(self, visit: Visit) -> Values:
        run = visit.run
        if run is None:
            return {
                self.gates: gates_html(visit.network.blocks, False),
                self.comparison: comparison_html(None, None),
                self.lesions: lesions_html(None, None),
            }
        return {
            self.gates: gates_html(len(run.blocks), True, run.gates),
            self.comparison: comparison_html(visit.whole, run),
        }

    def studied(self) -> Components:
        return {self.lesions}

    def study(self, visit: Visit, progress: gr.Progress) -> Values:
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
            return shown

        options = {"trigger_mode": "always_last", "show_progress": "hidden", "concurrency_id": "run"}
        page.on(self.gates.input, on_gates, page.results, **options)

    def arguments(self) -> Mapping[str, Component]:
        return {"gates": self.api_gates}

    def endpoints(self) -> Iterable[Callable[..., Any]]:
        page = self.page

        def switch_off(photo: str | None, network: str, gates: Any) -> dict[str, Any]:
            """Run one photo with branches turned down: gates holds [residual, shortcut], each 0..1, for every block."""
            blocks = page.engine.get().info(network).blocks
            try:
                wanted = read_gates(gates, blocks)
            except ValueError as error:
                raise gr.Error(f"These gates cannot be read: {error}.", print_exception=False) from error
            return run_as_dict(page.run_photo(photo, network, wanted))

        def knock_out(run: Run) -> dict[str, Any]:
            """How sure the network is of its answer without each branch, each shortcut, and for every set of branches."""
            found = page.engine.get().ablation(run)
            return {
                "label": found.label,
                "whole": found.whole,
                "without_branch": found.without_branch.tolist(),
                "without_shortcut": found.without_shortcut.tolist(),
                "paths": found.paths.tolist(),
            }

        yield from (switch_off, knock_out)


def gates_html(blocks: int, enabled: bool, gates: Sequence[Gate] = ()) -> str:
    """A slider on the residual branch and one on the shortcut of every block, fully open without ``gates``."""
    off = "" if enabled else " disabled"

    def slider(kind: str, value: float, name: str, words: str) -> str:
        return (
            f'<label>{name} <output>{value:g}</output><input type="range" class="{kind}" min="0" max="1" step="0.05" '
            f'value="{value:g}"{off} aria-label="{words}"></label>'
        )

    columns = "".join(
        f'<fieldset data-gate="{i}"><legend>{block_title(i)}</legend>'
        + slider(
            "branch",
            gate.residual,
            "F(x)",
            say("{block}: how much of the residual branch F(x)", block=block_title(i)),
        )
        + slider(
            "short",
            gate.shortcut,
            say("shortcut"),
            say("{block}: how much of the shortcut", block=block_title(i)),
        )
        + "</fieldset>"
        for i, gate in enumerate(gates or [Gate()] * blocks)
    )
    return (
        f'<div class="gates{" many" if blocks > SHORT else ""}" style="--blocks:{blocks}">{columns}</div>'
        f'<button type="button" id="reset-gates"{off}>{say("Open everything again")}</button>'
    )


def comparison_html(whole: Prediction | None, run: Run | None) -> str:
    """The answer of the whole network and, below it, with the visitor's switches."""
    if whole is None or run is None:
        empty = say("Give the page a photo, then move a slider: the answer before and after appears here.")
        return f'<p class="comparison is-empty">{empty}</p>'

    def row(name: str, prediction: Prediction) -> str:
        chance = chance_of(prediction, whole.label, run.classes)
        return (
            f'<div class="class-row"><span class="label">{name}</span><span class="bar" aria-hidden="true">'
            f'<i style="width:{100 * chance:.2f}%"></i></span><span class="percent">{escape(label_of(whole.label))} '
            f"{100 * chance:.1f} %</span></div>"
        )

    note = say("Every branch is open: both are the same network.")
    if run.gates:
        before, after = significant(whole.logit), significant(run.prediction.logit)
        note = say("The logit moved from {before} to {after}.", before=before, after=after)
        if run.prediction.label != whole.label:
            note += " " + say("It now says <b>{label}</b>.", label=escape(label_of(run.prediction.label)))
    return (
        f'<div class="answer comparison"><div class="classes">{row(say("whole network"), whole)}'
        f'{row(say("with your switches"), run.prediction)}</div><p role="status">{note}</p></div>'
    )


def chance_of(prediction: Prediction, label: str, classes: Sequence[str]) -> float:
    """The probability of ``label``, be it among the first five or not."""
    if len(prediction.chances) == len(classes) and label in classes:
        return prediction.chances[classes.index(label)]
    return next((c.confidence for c in prediction.confidences if c.label == label), 0.0)


def lesions_html(lesions: Ablation | None, run: Run | None) -> str:
    """Each branch knocked out in turn, and all sets of branches by how many they keep."""
    if lesions is None or run is None:
        return f'<p class="is-empty">{say("What every block is worth for this photo appears here.")}</p>'
    label, whole = escape(label_of(lesions.label)), lesions.whole

    def bars(title: str, found: Sequence[float], kind: str) -> str:
        rows = "".join(
            f'<div class="class-row"><span class="label">{block_title(i)}</span>'
            f'<span class="bar"><i style="width:{100 * chance:.2f}%"></i>'
            f'<u style="left:{100 * whole:.2f}%"></u></span>'
            f'<span class="percent">{100 * chance:.1f} %</span></div>'
            for i, chance in enumerate(found)
        )
        return f'<section class="knock {kind}"><h4>{title}</h4><div class="answer"><div class="classes">{rows}</div></div></section>'

    sets = say("all {count} sets of residual branches", count=len(lesions.paths))
    paths = (
        f'<section class="knock"><h4>{sets}</h4>{_paths(lesions, label)}</section>'
        if len(lesions.paths)
        else ""
    )
    lead = say(
        "How sure the network is of <b>{label}</b> ({percent} % as a whole, the thin line) with one thing taken away:",
        label=label,
        percent=f"{100 * whole:.1f}",
    )
    branches = bars(say("without F(x) of …"), list(lesions.without_branch), "branch")
    shortcuts = bars(say("without the shortcut of …"), list(lesions.without_shortcut), "short")
    return f'<p class="lead">{lead}</p><div class="knocks">{branches}{shortcuts}{paths}</div>'


def _paths(lesions: Ablation, label: str) -> str:
    """One dot a set of branches kept: how many across, how sure of the whole network's answer up."""
    count = lesions.blocks
    step = 240 / count
    totals = [math.comb(count, k) for k in range(count + 1)]
    seen = [0] * (count + 1)
    dots = []
    for kept, sure in enumerate(lesions.paths):
        length = kept.bit_count()
        spread = (seen[length] - (totals[length] - 1) / 2) * min(3.2, 0.75 * step / max(totals))
        seen[length] += 1
        names = ", ".join(str(i + 1) for i in range(count) if kept >> i & 1) or say("none")
        told = say(
            "branches kept: {names}; {label} {percent} %",
            names=names,
            label=label,
            percent=f"{100 * sure:.1f}",
        )
        dots.append(
            f'<circle cx="{44 + length * step + spread:.1f}" cy="{150 - 140 * sure:.1f}" r="{3.4 if count < 6 else 2}">'
            f"<title>{told}</title></circle>"
        )
    grid = "".join(
        f'<line x1="26" x2="310" y1="{y}" y2="{y}"/><text x="22" y="{y + 4}" text-anchor="end">{text}</text>'
        for y, text in ((10, "100"), (80, "50"), (150, "0 %"))
    )
    ticks = "".join(
        f'<text x="{44 + k * step}" y="168" text-anchor="middle">{k}</text>' for k in range(count + 1)
    )
    spoken = say(
        "Confidence in {label} for every set of residual branches, by number of branches kept", label=label
    )
    return (
        f'<svg class="paths" viewBox="-14 0 330 190" role="img" aria-label="{spoken}">{grid}{"".join(dots)}{ticks}'
        f'<text x="164" y="186" text-anchor="middle">{say("residual branches kept")}</text></svg>'
    )


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
