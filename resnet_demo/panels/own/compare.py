"""Compare: two runs side by side, with the same channels in the same places on one scale."""

from __future__ import annotations

import gradio as gr

from resnet_demo.drawing.seen import seen_html
from resnet_demo.drawing.streams import WIDE, View, choose_channels, columns_for, scale_ends, streams_html
from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import later, say
from resnet_demo.inference.run_cache import OLDEST_S
from resnet_demo.modalities import modality_named
from resnet_demo.panels.base import REDRAW, Components, Panel, Values, Visit
from resnet_demo.panels.page import Page
from resnet_demo.records import Run

TEMPLATE = "panels/own/compare.html"


class ComparePanel(Panel):
    """A pinned run beside the present one."""

    id = "compare"
    title = later("Compare")
    intro = later("""<p>Two photos through one network, one photo through two networks, or one photo with and
    without a branch. Pin a
run, then change something: the same channels stand in the same places, on one scale
(<a href="https://arxiv.org/abs/1512.03385" target="_blank" rel="noreferrer">He et al. 2015</a>).</p>""")
    follows = frozenset({"run", "view"})

    def controls(self) -> None:
        self.pinned = gr.State(None, time_to_live=OLDEST_S, delete_callback=self.page.runs.drop)  # a key
        with gr.Row(elem_id="compare-controls"):
            self.pin = gr.Button(say("Pin this run"), elem_id="pin", size="sm")
            self.unpin = gr.Button(say("Take the pin out"), elem_id="unpin", size="sm")

    def reads(self) -> Components:
        return {self.pinned}

    def keeps(self) -> Components:
        return {self.pinned}

    def render(self, visit: Visit) -> str:
        return compare_html(self.page.runs.get(visit.values.get(self.pinned)), visit.run, visit.view)

    def connect(self, page: Page) -> None:
        def on_pin(values: Values) -> Values:
            key = values[page.run]
            if page.recall(key) is None:
                raise gr.Error(say("Give the page a photo first, then pin its run."), print_exception=False)
            return pinned(key, values)

        def pinned(key: str | None, values: Values) -> Values:
            if values[self.pinned] not in (key, values[page.run]):
                page.runs.retire(values[self.pinned])
            return {self.pinned: key, **self.draw(page.visit({**values, self.pinned: key}))}

        outputs = {self.pinned, *self.drawings()}
        page.on(self.pin.click, on_pin, outputs, **REDRAW)
        page.on(self.unpin.click, lambda values: pinned(None, values), outputs, **REDRAW)


def compare_html(pinned: Run | None, run: Run | None, view: View) -> str:
    """The pinned run above the present one; channels are chosen by the pinned run and locked.

    Blocks are matched by position. Blocks of different width cannot share channels by number: they then
    show the first by their own order, and the page says so.
    """
    if run is None or pinned is None:
        return fill(TEMPLATE, run=run, parts=())
    index = min(view.block, len(pinned.blocks) - 1, len(run.blocks) - 1)
    first, second = pinned.blocks[index], run.blocks[index]
    channels = choose_channels(pinned, first, view)
    alike = first.shape[0] == second.shape[0]
    if alike:
        ends = scale_ends((first, second), channels, view.scope)
        rows = [(pinned, first, channels, ends), (run, second, channels, ends)]
    else:
        own = choose_channels(run, second, view)
        rows = [
            (pinned, first, channels, scale_ends((first,), channels, view.scope)),
            (run, second, own, scale_ends((second,), own, view.scope)),
        ]
    parts = [
        {
            "title": title,
            "run": which,
            "block": block,
            "ratio": block.residual_norm / block.shortcut_norm if block.shortcut_norm else float("inf"),
            "seen": seen_html(which, modality_named(which.modality).of_run),
            "columns": columns_for(chosen),
            "rows": -(-len(chosen) // columns_for(chosen)),
            "streams": streams_html(which, block, chosen, scale, view),
        }
        for title, (which, block, chosen, scale) in zip((say("pinned"), say("now")), rows, strict=True)
    ]
    return fill(TEMPLATE, run=run, parts=parts, index=index, alike=alike, count=len(channels), wide=WIDE)
