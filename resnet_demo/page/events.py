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

from resnet_demo.drawing.answer import failed_html
from resnet_demo.drawing.road_map import MEASURES
from resnet_demo.i18n import say
from resnet_demo.inputs import photo_examples as examples
from resnet_demo.networks.cards import MenuEntry
from resnet_demo.page.endpoints import offer
from resnet_demo.page.url_state import example_of, is_link, read_link
from resnet_demo.panels.base import PRIVATE, REDRAW, Components, Panel, Values, one_of, sentence_of, told
from resnet_demo.panels.page import Cut, Giver, Loaded, Page, session
from resnet_demo.panels.studies import StudyStoppedError
from resnet_demo.records import Run

LEAVE_EXAMPLE = "() => { window.leaveExample(); }"  # an address names examples only
WITH_BAR = gr.Progress()  # as the default of a parameter it asks Gradio for a progress bar
TOGGLE_THEME = "() => { window.toggleTheme(); }"
HAS_KEPT = "() => window.hasKeptPhoto()"
GIVE_KEPT = "() => { window.pageLoaded = true; window.giveKeptPhoto?.(); }"


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
        return {**page.clear(values), page.whole: None}
    run = page.run_photo(given, entry.name)
    whole, cut = run.prediction, values[page.cut]
    if cut is None or cut.network != run.network or len(cut.gates) != len(run.blocks):
        return {**page.show(run, whole, values), page.whole: whole}
    return {**page.show(page.run_photo(run.photo, run.network, cut.gates), whole, values), page.whole: whole}


def uncut(page: Page, run: Run, values: Values) -> Values:
    """The same input with every branch open."""
    opened = page.run_photo(run.photo, run.network)
    return {**page.show(opened, opened.prediction, values), page.whole: opened.prediction, page.cut: None}


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
        page.results | {page.whole, page.network, holder},
        {giver.component, holder},
        trigger_mode="always_last",
        **run_options(page),
    )


def connect_network(page: Page) -> None:
    """Another network is loaded, or fetched, before what was given runs through it. If that fails, the menu
    falls back to the last one that worked, and the sentence stands where the answer stood."""

    def on_network(values: Values, progress: gr.Progress = WITH_BAR) -> Values:
        network, before = values[page.network], values[page.loaded]

        def fetching(share: float) -> None:
            progress(share, desc=say("Fetching {network}", network=network))

        if before.failed is not None and network == before.network:
            return {page.loaded: before}  # the menu has just fallen back to it
        try:
            page.engine.get().info(network, fetching)
        except Exception as error:  # noqa: BLE001 - told to the visitor, logged by sentence_of
            fallback = page.entry(before.network).shown
            return {
                page.loaded: replace(before, failed=network),
                page.network: before.network,
                page.answer: failed_html(sentence_of(error), network, fallback),
            }
        return {page.loaded: Loaded(network)}

    def on_loaded(values: Values) -> Values:
        return gr.skip() if values[page.loaded].failed is not None else run_given(page, values)

    def on_button(values: Values, event: gr.EventData) -> Values:
        before, wanted = values[page.loaded], event.network
        if wanted is None:  # everything is opened again
            run = page.recall(values[page.run])
            return {page.cut: None} if run is None else uncut(page, run, values)
        if wanted and wanted == before.failed:
            return {page.loaded: Loaded(before.network), page.network: wanted}  # its change loads it
        return {page.loaded: Loaded(before.network), **run_given(page, values)}

    given = {page.loaded}.union(page.holders.values())
    loaded = page.on(
        page.network.change,
        on_network,
        {page.loaded, page.network, page.answer},
        {page.loaded},
        trigger_mode="always_last",
        show_progress="full",
        show_progress_on=[page.answer],
        concurrency_id="fetch",
        concurrency_limit=4,
    )
    ended = page.results | {page.whole}
    loaded.success(on_loaded, page.inputs.union(given), ended, **run_options(page), **PRIVATE)
    outputs = ended | {page.loaded, page.network, page.cut}
    page.on(page.answer.select, on_button, outputs, given, **run_options(page))


def connect_block(page: Page) -> None:
    """A block of the road map is chosen, or a measure of its roads."""

    def on_block(values: Values, event: gr.EventData) -> Values:
        run = page.recall(values[page.run])
        measure = one_of(MEASURES, str(getattr(event, "measure", "")))
        if measure is not None:
            view = replace(values[page.view], measure=measure)
            return {page.view: view, page.roadmap: page.map_of(replace(page.visit(values), view=view))}
        count = len(run.blocks) if run else 1
        view = replace(values[page.view], block=max(0, min(int(event.index), count - 1)))
        return page.show_view(view, values)

    page.on(page.roadmap.select, on_block, {page.view, page.roadmap, *page.drawings}, **REDRAW)


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
        page.lending.leave(request.session_hash)

    page.demo.unload(on_leave)
    every: Components = set().union(*(panel.studied() for panel in page.panels))
    page.on(page.whole.change, on_answer, every, **options)


def connect_link(page: Page) -> None:
    """The page is opened: bring it to what its address asks for, else to the photo that the tab has
    kept, else to an example, so that it opens running."""

    def on_load(kept: bool, request: gr.Request) -> Values:
        page.arrived(request.session_hash)
        if not is_link(request.query_params):
            return opening(page, page.empty_visit().network, kept) or gr.skip()
        link = read_link(request.query_params, page.menu)
        first = page.menu[0].name if page.menu else None
        found: Values = {}
        for panel in page.panels:
            found |= panel.restore(link.asked, link.network)
        if link.network.name != first:
            found[page.network] = link.network.name
        if gates := link.asked.get("gates"):
            found[page.cut] = Cut(link.network.name, gates)
        named = link.asked.get("example")
        if link.network.modality != "photo" and example_of(link):
            return found  # an example of another kind
        if named is None:
            return {**found, **opening(page, link.network, kept)}
        return found if named == examples.NONE else {**found, page.photo: examples.example(named)}

    outputs = {page.network, page.cut, page.photo}.union(*(panel.restored() for panel in page.panels))
    opened = gr.on(page.demo.load, on_load, page.kept, outputs, js=HAS_KEPT, **REDRAW)
    opened.then(None, js=GIVE_KEPT, **PRIVATE)


def opening(page: Page, network: MenuEntry, kept: bool) -> Values:
    """The example that a page opens with; nothing where the tab gives its own photo, or the network
    takes none."""
    if kept or network.modality != "photo" or not page.first_example():
        return {}
    return {page.photo: examples.example(page.first_example())}


def on_example(event: gr.EventData) -> Image.Image:
    """An example becomes the page's photo."""
    index = max(0, min(int(event.index), len(examples.EXAMPLES) - 1))
    return examples.example(examples.EXAMPLES[index])
