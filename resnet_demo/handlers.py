"""Connect the page to the engine: events in, component values out.

A photo runs once; everything that only changes how the run is drawn reads the visitor's
own ``Run`` from the session and never touches the engine.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_demo import examples
from resnet_demo.deferred import Deferred
from resnet_demo.lessons import activation_html, comparison_html, gates_html, lesions_html, read_gates
from resnet_demo.menu import MenuEntry
from resnet_demo.panels import View, answer_html, inside_html, status_html, trace_html
from resnet_demo.records import Gate, Prediction, Run
from resnet_demo.roadmap import roadmap_html

if TYPE_CHECKING:
    from resnet_demo.engine import Engine
    from resnet_demo.ui import Page

log = logging.getLogger(__name__)

TOGGLE_THEME = "() => { document.body.classList.toggle('dark'); }"


def run_as_dict(run: Run) -> dict[str, Any]:
    """What ``/predict`` answers: plain numbers and names, no pictures."""
    return {
        "label": run.prediction.label,
        "confidences": [{"label": c.label, "confidence": c.confidence} for c in run.prediction.confidences],
        "logit": run.prediction.logit,
        "network": run.network,
        "device": run.device,
        "milliseconds": run.timings.total,
        "blocks": [
            {
                "name": block.name,
                "shape": list(block.shape),
                "residual_norm": block.residual_norm,
                "shortcut_norm": block.shortcut_norm,
                "output_norm": block.output_norm,
                "cosine": block.cosine,
            }
            for block in run.blocks
        ],
    }


def sentence_of(error: Exception) -> str:
    """What to tell a visitor about ``error``; anything unexpected is logged and not shown."""
    if type(error).__name__ in ("EngineError", "CheckpointError", "PhotoError"):
        return str(error)
    log.error("a run failed", exc_info=error)
    return "Something went wrong while the network ran; try the photo again, or another one."


def run_photo(
    engine: Deferred[Engine],
    photo: Image.Image | NDArray[np.uint8],
    network: str | None,
    gates: Sequence[Gate] = (),
) -> Run:
    """One photo through the engine; whatever goes wrong becomes one sentence for the visitor."""
    try:
        return engine.get().run(photo, network, gates)
    except Exception as error:
        raise gr.Error(sentence_of(error), print_exception=False) from error


def connect(page: Page, engine: Deferred[Engine], menu: Sequence[MenuEntry]) -> None:
    """Wire every event of ``page``.

    Args:
        page: the components, inside whose ``demo`` context the events are made.
        engine: built when first needed; the page must appear before it is.
        menu: the networks on offer, the default first.
    """
    entries = {entry.name: entry for entry in menu}

    def on_photo(photo: Image.Image | None, network: str, view: View) -> tuple[Any, ...]:
        entry = entries.get(network) or MenuEntry(network, "", 5)
        knows = entry.knows
        if photo is None:
            empty = roadmap_html(None, blocks=entry.blocks)
            nothing = (
                None,
                gr.skip(),
                answer_html(None, knows),
                empty,
                inside_html(None, view),
                trace_html(()),
            )
            return (
                *nothing,
                activation_html(None),
                comparison_html(None, None),
                None,
                gates_html(entry.blocks, False),
                lesions_html(None, None),
            )
        run = run_photo(engine, photo, network)
        whole = run.prediction
        return (
            *shown(run, view),
            comparison_html(whole, run),
            whole,
            gates_html(len(run.blocks), True),
            lesions_html(None, None),
        )

    def shown(run: Run, view: View) -> tuple[Any, ...]:
        """Everything that follows from a run alone, in the order of ``results``."""
        entry = entries.get(run.network)
        return (
            run,
            status_html(run, ""),
            answer_html(run, entry.knows if entry else ""),
            roadmap_html(run, view.block),
            inside_html(run, view),
            trace_html(run.trace, tuple(block.name for block in run.blocks)),
            activation_html(run),
        )

    def on_gates(
        run: Run | None, whole: Prediction | None, view: View, event: gr.EventData
    ) -> tuple[Any, ...]:
        if run is None:
            raise gr.Error("Give the page a photo first, then move a slider.", print_exception=False)
        try:
            gates = read_gates(event.gates, len(run.blocks))
        except ValueError as error:
            raise gr.Error(f"These sliders cannot be read: {error}.", print_exception=False) from error
        gated = run_photo(engine, run.photo, run.network, gates)
        return (*shown(gated, view), comparison_html(whole, gated))

    def on_off_tab(run: Run | None) -> str:
        if run is None:
            return lesions_html(None, None)
        try:
            return lesions_html(engine.get().lesions(run), run)
        except Exception as error:
            raise gr.Error(sentence_of(error), print_exception=False) from error

    def on_view(
        run: Run | None, block: int, channels: int, order: Any, scope: Any, colours: str
    ) -> tuple[View, str]:
        view = View(block=block, channels=channels, order=order, scope=scope, colours=colours)
        return view, inside_html(run, view)

    def on_block(run: Run | None, view: View, event: gr.EventData) -> tuple[View, str, int]:
        count = len(run.blocks) if run else 1
        view = replace(view, block=max(0, min(int(event.index), count - 1)))
        return view, inside_html(run, view), view.block

    def on_radio_block(run: Run | None, view: View, block: int) -> tuple[View, str, str]:
        view = replace(view, block=block)
        return view, inside_html(run, view), roadmap_html(run, block)

    def on_example(event: gr.EventData) -> Image.Image:
        index = max(0, min(int(event.index), len(examples.EXAMPLES) - 1))
        return examples.example(examples.EXAMPLES[index])

    def predict(photo: Image.Image | None, network: str) -> dict[str, Any]:
        """Run one photo and describe what every residual block did."""
        if photo is None:
            raise gr.Error("No photo arrived; send one as the first argument.", print_exception=False)
        return run_as_dict(run_photo(engine, photo, network))

    results = [page.run, page.status, page.answer, page.roadmap, page.inside, page.trace, page.looks]
    view_controls = [page.block, page.channels, page.order, page.scope, page.colours]
    private: dict[str, Any] = {"api_visibility": "private"}

    gr.on(
        [page.photo.change, page.network.change],
        on_photo,
        [page.photo, page.network, page.view],
        [*results, page.comparison, page.whole, page.gates, page.lesions],
        trigger_mode="always_last",
        show_progress="minimal",
        show_progress_on=[page.answer],
        concurrency_id="run",
        concurrency_limit=2,
        **private,
    )
    page.gates.input(
        on_gates,
        [page.run, page.whole, page.view],
        [*results, page.comparison],
        trigger_mode="always_last",
        show_progress="hidden",
        concurrency_id="run",
        **private,
    )
    # all paths cost several forward passes: only when somebody looks, and again for a new photo
    gr.on(
        [page.off_tab.select, page.whole.change],
        on_off_tab,
        page.run,
        page.lesions,
        show_progress="minimal",
        concurrency_id="run",
        **private,
    )
    redraw: dict[str, Any] = {
        "show_progress": "hidden",
        "concurrency_id": "draw",
        "concurrency_limit": 4,
        **private,
    }
    gr.on(
        [page.channels.input, page.order.input, page.scope.input, page.colours.input],
        on_view,
        [page.run, *view_controls],
        [page.view, page.inside],
        **redraw,
    )
    page.roadmap.select(on_block, [page.run, page.view], [page.view, page.inside, page.block], **redraw)
    page.block.input(
        on_radio_block, [page.run, page.view, page.block], [page.view, page.inside, page.roadmap], **redraw
    )
    page.examples.select(on_example, None, page.photo, **redraw)
    page.theme.click(None, js=TOGGLE_THEME, **private)
    page.predict.click(
        predict,
        [page.photo, page.network],
        page.prediction,
        api_name="predict",
        concurrency_id="run",
    )
