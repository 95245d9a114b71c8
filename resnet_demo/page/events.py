"""What happens on the page: a new input, another network, another block, another panel, a link that is
opened.

An input runs once; everything that only changes how the run is drawn takes the visitor's own run from the run
cache and never touches the engine. Each event fans out to the panels through ``Page``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gradio as gr
from PIL import Image

from resnet_demo.i18n import say
from resnet_demo.inputs import photo_examples as examples
from resnet_demo.page.endpoints import offer
from resnet_demo.page.url_state import Linked, example_of, is_link, mark_of, read_link
from resnet_demo.panels.base import PRIVATE, REDRAW, Components, Panel, Values, told
from resnet_demo.panels.page import Giver, Page, session
from resnet_demo.panels.studies import StudyStoppedError

LEAVE_EXAMPLE = "() => { window.leaveExample(); }"  # an address names examples only
WITH_BAR = gr.Progress()  # as the default of a parameter it asks Gradio for a progress bar
TOGGLE_THEME = "() => { document.body.classList.toggle('dark'); }"


def connect(page: Page) -> None:
    """Wire every event of ``page``, inside whose ``demo`` context they are made."""
    page.takes("photo", page.photo, lambda path: path)
    page.holders["photo"] = page.photo
    for panel in page.panels:
        panel.connect(page)
        connect_panel(page, panel)
    for giver in page.givers:
        connect_input(page, giver)
    connect_network(page)
    connect_block(page)
    connect_studies(page)
    connect_link(page)
    page.examples.select(on_example, None, page.photo, **REDRAW)
    page.leaves_example(page.photo.input, page.photo.clear)
    gr.on(page.examples_left, None, js=LEAVE_EXAMPLE, **PRIVATE)
    page.theme.click(None, js=TOGGLE_THEME, **PRIVATE)
    offer(page)


def run_options(page: Page) -> dict[str, Any]:
    """How Gradio treats events that run the network."""
    return {
        "show_progress": "minimal",
        "show_progress_on": [page.answer],
        "concurrency_id": "run",
        "concurrency_limit": page.limits.runs,
    }


def run_given(page: Page, values: Values) -> Values:
    """Run what the chosen network takes: whatever the visitor gave last of its modality."""
    entry = page.entry(values[page.network])
    holder = page.holders.get(entry.modality)
    given = values.get(holder) if holder is not None else None
    if given is None:
        return {**page.clear(values), page.whole: None, page.linked: None}
    run = page.run_photo(given, entry.name)
    whole, linked, mark = run.prediction, values[page.linked], mark_of(given)
    if linked and linked.given not in (None, mark):
        linked = None
    if linked and linked.network == run.network and len(linked.gates) == len(run.blocks):
        run = page.run_photo(run.photo, run.network, linked.gates)
    return {
        **page.show(run, whole, values),
        page.whole: whole,
        page.linked: replace(linked, given=mark) if linked else None,
    }


def connect_input(page: Page, giver: Giver) -> None:
    """Something is given: it runs, through the first network that takes it if the chosen one does not."""
    holder = page.holders[giver.modality]

    def on_input(values: Values) -> Values:
        given = giver.read(values[giver.component])
        kept: Values = {} if holder is giver.component else {holder: given}
        if page.entry(values[page.network]).modality == giver.modality:
            return {**run_given(page, {**values, holder: given}), **kept}
        fitting = next((entry.name for entry in page.menu if entry.modality == giver.modality), None)
        if given is None or fitting is None:
            return kept or gr.skip()
        return {page.network: fitting, **kept}  # its change runs what was given

    page.on(
        giver.component.change,
        on_input,
        page.results | {page.whole, page.linked, page.network, holder},
        {page.linked, giver.component, holder},
        trigger_mode="always_last",
        **run_options(page),
    )


def connect_network(page: Page) -> None:
    """Another network is loaded, or fetched, before what was given runs through it."""

    def on_network(network: str, progress: gr.Progress = WITH_BAR) -> None:
        def fetching(share: float) -> None:
            progress(share, desc=say("Fetching {network}", network=network))

        try:
            page.engine.get().info(network, fetching)
        except Exception as error:
            raise told(error) from error

    loaded = page.network.change(
        on_network,
        page.network,
        page.loaded,
        trigger_mode="always_last",
        show_progress="full",
        show_progress_on=[page.answer],
        concurrency_id="fetch",
        concurrency_limit=4,
        **PRIVATE,
    )
    loaded.success(
        lambda values: run_given(page, values),
        page.inputs.union({page.linked}, page.holders.values()),
        page.results | {page.whole, page.linked},
        **run_options(page),
        **PRIVATE,
    )


def connect_block(page: Page) -> None:
    """A block of the road map is chosen."""

    def on_block(values: Values, event: gr.EventData) -> Values:
        run = page.recall(values[page.run])
        count = len(run.blocks) if run else 1
        view = replace(values[page.view], block=max(0, min(int(event.index), count - 1)))
        return page.show_view(view, values)

    page.on(page.roadmap.select, on_block, {page.view, *page.drawings}, **REDRAW)


def connect_panel(page: Page, panel: Panel) -> None:
    """A panel is opened: it is drawn, and from now on drawn again whenever what it follows changes."""

    def on_open(values: Values) -> Values:
        try:
            drawn = panel.drawn(page.visit(values))
        except gr.Error as error:  # the run was put away; the panel is open all the same
            gr.Warning(error.message)
            drawn = {}
        return {page.opened: panel.id, **drawn}

    page.on(panel.tab.select, on_open, {page.opened, *panel.drawings()}, **REDRAW)


def connect_studies(page: Page) -> None:
    """What takes a while is measured only when somebody looks, and again for a new input."""

    def on_study(panel: Panel | None, values: Values, progress: gr.Progress) -> Values:
        if panel is None or not panel.studied():
            return gr.skip()
        visit, whose = page.visit(values), session()
        if panel.unable(visit) is not None:
            return gr.skip()
        study = page.studies.begin(whose)
        try:
            return panel.study(visit, study.follow(progress)) or gr.skip()
        except StudyStoppedError:
            return panel.stopped(visit) if study.pressed else gr.skip()
        except Exception as error:
            raise told(error) from error
        finally:
            page.studies.end(whose, study)

    def on_answer(values: Values, progress: gr.Progress = WITH_BAR) -> Values:
        return on_study(page.panel(values[page.opened]), values, progress)

    options: dict[str, Any] = {
        "trigger_mode": "always_last",
        "show_progress": "full",
        "concurrency_id": "study",
        "concurrency_limit": max(2, page.limits.runs // 4),  # each takes some hundred megabytes
    }
    for panel in page.panels:
        if panel.studied():

            def on_look(values: Values, progress: gr.Progress = WITH_BAR, panel: Panel = panel) -> Values:
                return on_study(panel, values, progress)

            page.on([panel.tab.select, *panel.study_again()], on_look, panel.studied(), **options)
        if panel.stop_button is not None:
            panel.stop_button.click(lambda: page.studies.stop(session()), None, None, **REDRAW)

    def on_leave(request: gr.Request) -> None:
        page.studies.stop(request.session_hash)

    page.demo.unload(on_leave)
    every: Components = set().union(*(panel.studied() for panel in page.panels))
    page.on(page.whole.change, on_answer, every, **options)


def connect_link(page: Page) -> None:
    """The page is opened: bring it to what its address asks for."""

    def on_load(request: gr.Request) -> Values:
        page.arrived(request.session_hash)
        if not is_link(request.query_params):
            return gr.skip()
        link = read_link(request.query_params, page.menu)
        first = page.menu[0].name if page.menu else None
        found: Values = {}
        for panel in page.panels:
            found |= panel.restore(link.asked, link.network)
        if link.network.name != first:
            found[page.network] = link.network.name
        gates = link.asked.get("gates")
        if gates and example_of(link):
            found[page.linked] = Linked(link.network.name, gates)
        if "example" in link.asked and (link.network.modality == "photo" or not example_of(link)):
            found[page.photo] = examples.example(link.asked["example"])
        return found

    outputs = {page.network, page.linked, page.photo}.union(*(panel.restored() for panel in page.panels))
    gr.on(page.demo.load, on_load, None, outputs, **REDRAW)


def on_example(event: gr.EventData) -> Image.Image:
    """An example becomes the page's photo."""
    index = max(0, min(int(event.index), len(examples.EXAMPLES) - 1))
    return examples.example(examples.EXAMPLES[index])
