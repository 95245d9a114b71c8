"""The page: head, first screen, and the panels, in chapters. It lays components out, and connects nothing.

Every part a lesson might point at has a stable ``elem_id``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from resnet_demo.drawing.answer import answer_html, status_html
from resnet_demo.drawing.road_map import roadmap_html
from resnet_demo.drawing.streams import View
from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import languages, name_of, say, short_name_of, spoken, tag_of
from resnet_demo.inference.run_cache import OLDEST_S, memory_here
from resnet_demo.inputs import photo_examples as examples
from resnet_demo.inputs.components import PhotoInput
from resnet_demo.inputs.files import MAX_BYTES
from resnet_demo.page.access import Access
from resnet_demo.page.assets import address_of, modules, routes, style
from resnet_demo.page.localization import SpokenBlocks
from resnet_demo.page.server import guarded
from resnet_demo.page.sessions import CAPACITY
from resnet_demo.page.url_state import as_script
from resnet_demo.panels import load_panels
from resnet_demo.panels.base import Json, Panel, started
from resnet_demo.panels.chapters import CHAPTERS
from resnet_demo.panels.page import Loaded, Page

KEPT = """window.hasKeptPhoto = () => {
  try { return Boolean(sessionStorage.getItem('photo')); } catch { return false; }
};"""  # asked before any module has run
ICON = Path(__file__).parent / "icon.png"
PLENTY = 4 << 30  # bytes of memory from which a page that is opened has a training process made ready: 310 MB


def examples_html(first: str = "") -> str:
    """The shelf: one button an example, with its picture and its name; ``first`` is the one that runs at
    once."""
    shelf = [(found, index, examples.thumbnail_url(found.name)) for index, found in enumerate(examples.SHELF)]
    return fill(
        "inputs/photo_examples.html",
        first=first,
        seen=[entry for entry in shelf if entry[0].seen],
        unseen=[entry for entry in shelf if not entry[0].seen],
    )


def languages_html() -> str:
    """A link to the page in every other language; ``url_state.js`` keeps the rest of the address."""
    others = [
        {"name": name, "tag": tag_of(name), "title": name_of(name), "short": short_name_of(name)}
        for name in languages()
        if name != spoken()
    ]
    return fill("page/languages.html", others=others)


def chapters_html() -> str:
    """The bar of chapters; ``chapters.js`` opens them."""
    return fill("page/chapters.html", chapters=CHAPTERS)


def chapter_soon(page: Page) -> Callable[[Any], Json]:
    """What ``chapters.js`` calls when somebody is about to open a chapter, or has opened the page."""

    def soon(request: Any) -> Json:
        """{"chapter"}: its panels may begin to get ready; all may for {}, where memory is plenty."""
        wanted = request.get("chapter") if isinstance(request, dict) else None
        for panel in page.panels:
            if panel.chapter().id == wanted or (wanted is None and memory_here() >= PLENTY):
                panel.soon()
        return {}

    return soon


def headings_html(panel: Panel) -> str:
    """Chapter and panel as headings, for those who go from heading to heading; the tabs say it to all
    others."""
    chapter = panel.chapter()
    return fill("page/headings.html", chapter=chapter, panel=panel)


def chapters_style() -> str:
    """Of the panels' tabs those of the open chapter are shown; the first chapter's before a script runs."""
    shown = [
        f"#panels[data-chapter='{panel.chapter().id}'] [data-tab-id='{panel.id}']" for panel in load_panels()
    ]
    shown += [
        f"#panels:not([data-chapter]) [data-tab-id='{panel.id}']"
        for panel in load_panels()
        if panel.chapter() == CHAPTERS[0]
    ]
    return f"{', '.join(shown)} {{ display: block; }}\n"


def chapters_script() -> str:
    """Which panel stands in which chapter, for ``chapters.js``."""
    return f"window.chapters = {json.dumps({panel.id: panel.chapter().id for panel in load_panels()})};"


def build_page(page: Page) -> SpokenBlocks:
    """Lay ``page`` out for the networks of its menu, the default first."""
    with SpokenBlocks(
        title=say("ResNet, block by block"),
        analytics_enabled=False,
        delete_cache=(600, 3600),
        fill_width=True,
    ) as demo:
        page.demo = demo
        page.run = gr.State(None, time_to_live=OLDEST_S, delete_callback=page.runs.drop)  # a key
        page.view = gr.State(View())
        page.whole = gr.State(None, time_to_live=OLDEST_S)
        page.opened = gr.State(page.panels[0].id)
        page.cut = gr.State(None)
        page.kept = gr.Checkbox(False, visible=False)  # whether the tab has a photo of its own
        page.loaded = gr.State(Loaded(page.empty_visit().network.name))
        lay_out_head(page)
        with gr.Row(elem_id="first-screen"):
            lay_out_photo(page)
            lay_out_answer(page)
        gr.HTML(
            chapters_html(),
            elem_id="chapters",
            js_on_load=started(page.modules + "page/chapters.js"),
            server_functions=[chapter_soon(page)],
        )
        with gr.Tabs(elem_id="panels", overflow_behavior="wrap"):
            for panel in page.panels:
                with gr.Tab(
                    say(panel.title), id=panel.id, elem_id=f"tab-{panel.id}", visible=panel.visible()
                ) as panel.tab:
                    gr.HTML(headings_html(panel), elem_classes="headings")
                    panel.layout()
        # not on screen: what scripts read, and what the API uses
        page.lent = gr.HTML("", elem_id="lent")
        page.api_button = gr.Button(visible=False)
        page.api_answer = gr.JSON(visible=False, label="answer")
    return demo


def lay_out_head(page: Page) -> None:
    """Title, choice of the network, status, languages, theme."""
    with gr.Row(elem_id="page-head"):
        skip = f"<a class='skip' href='#chapters'>{say('Skip to the panels')}</a>"
        gr.HTML(f"{skip}<h1>{say('ResNet, block by block')}</h1>", elem_id="title")
        page.network = gr.Dropdown(
            [(entry.shown, entry.name) for entry in page.menu],
            value=page.menu[0].name if page.menu else None,
            show_label=False,
            label=say("Network"),
            container=False,
            elem_id="network",
            interactive=True,
        )
        gr.HTML(fill("page/story.html", lessons=page.lessons), elem_id="story")
        page.status = gr.HTML(status_html(None, ""), elem_id="status")
        gr.HTML(languages_html(), elem_id="languages")
        page.theme = gr.Button("☾", elem_id="theme", size="sm")


def lay_out_photo(page: Page) -> None:
    """The input of photos, and examples."""
    # on phones the camera that looks away from the person; elsewhere the only one there is
    camera = {"facingMode": "environment", "width": {"ideal": 640}, "height": {"ideal": 480}}
    with gr.Column(elem_id="photo-side"):
        page.photo = PhotoInput(
            label=say("Photo"),
            show_label=False,
            sources=["upload", "clipboard", "webcam"],
            type="pil",
            height=236,
            elem_id="photo",
            # the saved pixels are what the camera saw, not their mirror image
            webcam_options=gr.WebcamOptions(mirror=False, constraints={"video": camera}),
            placeholder=say("Drop a photo here\n– or –\nClick to choose"),
            buttons=[],
        )
        gr.HTML(
            f"<p>{say('The answer is not about this photo, but about what was given in “Try”.')}</p>",
            elem_id="stale-photo",
        )
        page.examples = gr.HTML(
            examples_html(page.first_example()),
            elem_id="examples",
            js_on_load=started(page.modules + "inputs/photo_examples.js"),
        )


def lay_out_answer(page: Page) -> None:
    """The answer above the road map."""
    entry = page.empty_visit().network
    with gr.Column(elem_id="answer-side"):
        page.answer = gr.HTML(
            answer_html(None, entry.knows, entry.modality),
            elem_id="answer",
            js_on_load=started(page.modules + "drawing/answer.js"),
        )
        page.roadmap = gr.HTML(
            roadmap_html(None, blocks=entry.blocks, modality=entry.modality),
            elem_id="roadmap",
            js_on_load=started(page.modules + "drawing/road_map.js"),
        )


def page_options(access: Access | None = None) -> dict[str, Any]:
    """Arguments of ``launch`` that belong to the page: theme, styles, upload limit, privacy, the guard.

    Args:
        access: under which names the page answers; those of an address of this machine when None.
    """
    scripts = modules()
    return {
        "theme": gr.themes.Default(
            primary_hue="zinc",  # the interface is neutral: orange is F(x)
            neutral_hue="slate",
            font=["system-ui", "sans-serif"],
            font_mono=["monospace"],
        ),
        "css": style() + chapters_style(),
        "head": f"<script>{as_script()}{chapters_script()}{KEPT}</script>"
        + "".join(
            f'<script type="module" src="{address_of(scripts)}page/{name}.js"></script>'
            for name in (
                "page",
                "url_state",
                "chapters",
                "photo_ways",
                "kept",
                "strip",
                "links",
                "story",
                "present",
            )
        )
        + "".join(f'<link rel="modulepreload" href="{address_of(scripts)}{place}">' for place in scripts),
        "max_file_size": MAX_BYTES,
        "app_kwargs": {**guarded(access), "routes": routes(scripts)},
        "ssr_mode": False,
        "pwa": True,
        "favicon_path": ICON,
        "run_history": False,
        "show_error": False,
        "state_session_capacity": CAPACITY,
        "footer_links": ["api", "settings"],
        "enable_monitoring": False,
    }
