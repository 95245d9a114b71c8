"""The page: components and their places, nothing else. It knows no engine.

Every part a lesson might point at has a stable ``elem_id``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from resnet_demo.drawing.answer import answer_html, status_html, trace_html
from resnet_demo.drawing.feature_maps import SEQUENTIAL
from resnet_demo.drawing.road_map import roadmap_html
from resnet_demo.i18n import languages, later, name_of, say, spoken
from resnet_demo.inputs import photo_examples as examples
from resnet_demo.inputs.components import PhotoInput
from resnet_demo.inputs.files import MAX_BYTES
from resnet_demo.inputs.sound_component import SoundInput
from resnet_demo.networks.cards import MenuEntry
from resnet_demo.page.localization import Interpreter, SpokenBlocks
from resnet_demo.page.middleware import Guard
from resnet_demo.panels.ablation import activation_html, comparison_html, gates_html, lesions_html
from resnet_demo.panels.block_diagram import how_html
from resnet_demo.panels.compare import compare_html
from resnet_demo.panels.export import take_html
from resnet_demo.panels.gradient_flow import decides_html, gradients_html, read_twin, twin_html
from resnet_demo.panels.inside_block import View, inside_html
from resnet_demo.panels.sound import SOUND_WORDS, heard_html, sound_examples_html
from resnet_demo.panels.webcam import live_html

STATIC = Path(__file__).resolve().parents[1]
RUN_KEPT_S = 3600  # seconds a visitor's run stays for redrawing

HOW = later("""
<p>A <b>residual block</b> lets its input go two ways: through the <b>residual branch</b> F, two 3×3 convolutions that
can change it, and around them on the <b>shortcut</b>. The two meet in a sum: <i>output = ReLU(F(x) + shortcut(x))</i>.</p>
<p>So the branch only has to learn the <i>difference</i> between what comes in and what should go out, doing nothing is easy
to learn (F = 0), and the gradient has a way around every block, which is what made very deep networks trainable
(<a href="https://arxiv.org/abs/1512.03385" target="_blank" rel="noreferrer">He et al. 2015</a>).</p>
<p>In the network of cats and dogs every block also halves the picture: the branch ends in a max-pool, and the shortcut is a 1×1 convolution
of stride 2, so with F = 0 what remains is a projection of the input, not the input itself. After five blocks the 512 maps are
averaged, and one linear layer makes a single number of them, the <b>logit</b>: below zero cat, above zero dog.</p>
""")

INSIDE_WORDS = later("""<p>Follow one channel from left to right: what the residual branch F(x) adds (red) or takes away (blue), what came
around on the shortcut, their sum, and what the ReLU lets through to the next block. Click a map to see the same channel
enlarged in all four
(<a href="https://arxiv.org/abs/1512.03385" target="_blank" rel="noreferrer">He et al. 2015</a>).</p>""")


OFF_WORDS = later("""<p>Turn a residual branch F(x) or a shortcut down and watch the answer, the road map and the later blocks
follow. Very deep residual networks hardly notice one lost branch; the five blocks of cats-and-dogs also halve
the picture, so each is worth more; choose a ResNet-50 for contrast
(<a href="https://arxiv.org/abs/1605.06431" target="_blank" rel="noreferrer">Veit et al. 2016</a>).</p>""")

LOOKS_WORDS = later("""<p>The network averages its last maps and adds them up with one weight a channel, so its logit can be split
exactly: every place of the picture has a share, and so has every channel. The shares add up to the logit
(<a href="https://arxiv.org/abs/1512.04150" target="_blank" rel="noreferrer">Zhou et al. 2016</a>).</p>""")

DECIDES_WORDS = later("""<p>If the network stopped after a block, what would it say? A linear read-out of its own was trained for every
block on the block's averaged maps: watch from where on the answer is there, and how the early blocks are hardly better than
a guess (<a href="https://arxiv.org/abs/1610.01644" target="_blank" rel="noreferrer">Alain and Bengio 2016</a>).</p>""")

GRADIENT_WORDS = later("""<p>Training sends a gradient from the answer back to the first block. With shortcuts it has a way around
every block and arrives about as large as it set out; without, it explodes or dies with depth, and the first blocks cannot learn
(<a href="https://arxiv.org/abs/1603.05027" target="_blank" rel="noreferrer">He et al. 2016</a>,
<a href="https://arxiv.org/abs/1702.08591" target="_blank" rel="noreferrer">Balduzzi et al. 2017</a>).</p>""")

LIVE_WORDS = later("""<p>The camera, frame by frame: move something in the picture and watch which blocks follow. Nothing is kept; pause to
look at one frame with every panel (<a href="https://arxiv.org/abs/1506.06579" target="_blank" rel="noreferrer">Yosinski et
al. 2015</a>).</p>""")

COMPARE_WORDS = later("""<p>Two photos through one network, one photo through two networks, or one photo with and without a branch. Pin a
run, then change something: the same channels stand in the same places, on one scale
(<a href="https://arxiv.org/abs/1512.03385" target="_blank" rel="noreferrer">He et al. 2015</a>).</p>""")

GATES_SCHEMA = {
    "type": "array",
    "items": {"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 1}},
    "description": "for every block [residual, shortcut], each 0 to 1",
}


@dataclass(frozen=True)
class Page:
    """The components that handlers connect."""

    demo: SpokenBlocks
    run: gr.State
    view: gr.State
    network: gr.Dropdown
    status: gr.HTML
    theme: gr.Button
    photo: PhotoInput
    examples: gr.HTML
    answer: gr.HTML
    roadmap: gr.HTML
    block: gr.Radio
    channels: gr.Radio
    order: gr.Radio
    scope: gr.Radio
    colours: gr.Radio
    inside: gr.HTML
    trace: gr.HTML
    whole: gr.State
    linked: gr.State
    off_tab: gr.Tab
    gates: gr.HTML
    comparison: gr.HTML
    lesions: gr.HTML
    looks: gr.HTML
    decides: gr.HTML
    gradient_tab: gr.Tab
    depth: gr.Slider
    norms: gr.Radio
    gradients: gr.HTML
    pinned: gr.State
    pin: gr.Button
    unpin: gr.Button
    compare: gr.HTML
    live: gr.HTML
    sound: SoundInput
    sound_examples: gr.HTML
    heard: gr.State
    heard_picture: gr.HTML
    take: gr.HTML
    how: gr.HTML
    loaded: gr.State
    predict: gr.Button
    prediction: gr.JSON
    api_gates: gr.JSON
    api_depth: gr.Number
    api_norms: gr.Checkbox


def read_static(name: str) -> str:
    """The text of a style sheet or script that ships with the package."""
    return (STATIC / name).read_text(encoding="utf-8")


def examples_html() -> str:
    """One button an example, with its picture and its name."""
    buttons = "".join(
        f'<button type="button" data-example="{i}" data-name="{escape(name)}" id="example-{i + 1}" '
        f'title="{escape(say(title))}" aria-label="{escape(say("Example: {name}", name=say(title)))}">'
        f'<img src="{examples.thumbnail_url(name)}" alt=""></button>'
        for i, (name, title) in enumerate(examples.TITLES.items())
    )
    return (
        f'<p class="examples-title">{say("or try one of these")}</p>'
        f'<div class="examples" role="group" aria-label="{say("Examples")}">{buttons}</div>'
    )


def languages_html() -> str:
    """A link to the page in every other language; ``links.js`` keeps the rest of the address."""
    links = "".join(
        f'<a href="?lang={other}" lang="{other}" hreflang="{other}" title="{name_of(other)}" '
        f'aria-label="{name_of(other)}">{other.upper()}</a>'
        for other in languages()
        if other != spoken()
    )
    return f'<nav class="languages" aria-label="{say("Language")}">{links}</nav>' if links else ""


def frame(request: Any) -> dict[str, Any]:
    """Live on a page without an engine."""
    return {"error": say("Nothing runs behind this page.")}


def take(request: Any) -> dict[str, str]:
    """Files on a page without an engine."""
    return {"error": say("Nothing runs behind this page.")}


def build_page(
    menu: Sequence[MenuEntry],
    forget: Callable[[Any], None] = lambda key: None,
    answer_frame: Callable[[Any], dict[str, Any]] = frame,
    make_file: Callable[[Any], dict[str, str]] = take,
) -> Page:
    """Lay the page out for the networks of ``menu``, the default first.

    Args:
        forget: told the key of a visitor's run when the visitor has gone.
        answer_frame: called ``frame``; answers a live frame.
        make_file: called ``take``; makes a file to save.
    """
    view = View()
    networks = [(entry.shown, entry.name) for entry in menu]
    knows = menu[0].knows if menu else later("No network was found in weights/.")
    blocks = menu[0].blocks if menu else 5
    hears = bool(menu) and menu[0].hears
    with SpokenBlocks(
        title=say("ResNet, block by block"),
        analytics_enabled=False,
        delete_cache=(600, 3600),
        fill_width=True,
    ) as demo:
        run_state = gr.State(None, time_to_live=RUN_KEPT_S, delete_callback=forget)  # a key
        pinned_state = gr.State(None, time_to_live=RUN_KEPT_S, delete_callback=forget)
        loaded_state = gr.State(None)  # the event that loads a network needs somewhere to end
        view_state = gr.State(view)
        whole_state = gr.State(None, time_to_live=RUN_KEPT_S)  # the answer with every branch open
        heard_state = gr.State(None, time_to_live=RUN_KEPT_S)  # the picture of the visitor's sound
        linked_state = gr.State(None)  # gates that the address of the page asked for

        with gr.Row(elem_id="page-head"):
            gr.HTML(f"<h1>{say('ResNet, block by block')}</h1>", elem_id="title")
            network = gr.Dropdown(
                networks,
                value=menu[0].name if menu else None,
                show_label=False,
                label=say("Network"),
                container=False,
                elem_id="network",
                interactive=True,
            )
            status = gr.HTML(status_html(None, ""), elem_id="status")
            gr.HTML(languages_html(), elem_id="languages")
            theme = gr.Button("☾", elem_id="theme", size="sm")

        with gr.Row(elem_id="first-screen"):
            with gr.Column(elem_id="photo-side"):
                photo = PhotoInput(
                    label=say("Photo"),
                    show_label=False,
                    sources=["upload", "clipboard", "webcam"],
                    type="pil",
                    height=300,
                    elem_id="photo",
                    # the saved pixels are what the camera saw, not their mirror image
                    webcam_options=gr.WebcamOptions(
                        mirror=False,
                        # on phones the camera that looks away from the person; elsewhere the only one there is
                        constraints={
                            "video": {
                                "facingMode": "environment",
                                "width": {"ideal": 640},
                                "height": {"ideal": 480},
                            }
                        },
                    ),
                    placeholder=say("Drop a photo here\n– or –\nClick to choose"),
                    buttons=[],
                )
                example_buttons = gr.HTML(
                    examples_html(), elem_id="examples", js_on_load=read_static("inputs/photo_examples.js")
                )
            with gr.Column(elem_id="answer-side"):
                answer = gr.HTML(
                    answer_html(None, knows, hears),
                    elem_id="answer",
                    js_on_load="element.setAttribute('aria-live', 'polite')",  # read out when it changes
                )
                roadmap = gr.HTML(
                    roadmap_html(None, blocks=blocks, sense="sound" if hears else "photo"),
                    elem_id="roadmap",
                    js_on_load=read_static("drawing/road_map.js"),
                )

        with gr.Tabs(elem_id="panels"):
            with gr.Tab(say("Inside a block"), id="inside", elem_id="tab-inside"):
                gr.HTML(say(INSIDE_WORDS), elem_classes="panel-words")
                with gr.Row(elem_id="inside-controls"):
                    block = gr.Radio(
                        [(str(i + 1), i) for i in range(blocks)],
                        value=view.block,
                        label=say("Block"),
                        elem_id="block",
                    )
                    channels = gr.Radio(
                        [4, 16, 64], value=view.channels, label=say("Channels"), elem_id="channels"
                    )
                    order = gr.Radio(
                        [
                            (say("mean activation"), "mean"),
                            (say("variance"), "variance"),
                            (say("logit share"), "contribution"),
                            (say("index"), "index"),
                        ],
                        value=view.order,
                        label=say("Order"),
                        elem_id="order",
                    )
                with gr.Accordion(say("More: scale and colours"), open=False, elem_id="more"), gr.Row():
                    scope = gr.Radio(
                        [(say("the whole block"), "block"), (say("each channel"), "channel")],
                        value=view.scope,
                        label=say("One colour scale for"),
                        elem_id="scope",
                    )
                    colours = gr.Radio(
                        list(SEQUENTIAL),
                        value=view.colours,
                        label=say("Colours of the output"),
                        elem_id="colours",
                    )
                inside = gr.HTML(
                    inside_html(None, view),
                    elem_id="inside",
                    js_on_load=read_static("panels/inside_block.js"),
                )
            with gr.Tab(say("Switch it off"), id="off", elem_id="tab-off") as off_tab:
                gr.HTML(say(OFF_WORDS), elem_classes="panel-words")
                gates = gr.HTML(
                    gates_html(blocks, False), elem_id="gates", js_on_load=read_static("panels/ablation.js")
                )
                comparison = gr.HTML(comparison_html(None, None), elem_id="comparison")
                lesions = gr.HTML(lesions_html(None, None), elem_id="lesions")
            with gr.Tab(say("Where it looks"), id="looks", elem_id="tab-looks"):
                gr.HTML(say(LOOKS_WORDS), elem_classes="panel-words")
                looks = gr.HTML(
                    activation_html(None),
                    elem_id="looks",
                    js_on_load=read_static("panels/class_activation.js"),
                )
            with gr.Tab(say("Where it decides"), id="decides", elem_id="tab-decides"):
                gr.HTML(say(DECIDES_WORDS), elem_classes="panel-words")
                decides = gr.HTML(decides_html(None), elem_id="decides")
            with gr.Tab(say("The gradient's way"), id="gradients", elem_id="tab-gradients") as gradient_tab:
                gr.HTML(say(GRADIENT_WORDS), elem_classes="panel-words")
                with gr.Row(elem_id="gradient-controls"):
                    depth = gr.Slider(5, 100, value=50, step=5, label=say("Blocks"), elem_id="depth")
                    norms = gr.Radio(
                        [(say("in use"), "in use"), (say("left out"), "left out")],
                        value="in use",
                        label=say("Batch norm"),
                        elem_id="norms",
                    )
                gradients = gr.HTML(gradients_html(None), elem_id="gradients", min_height=340)
                gr.HTML(twin_html(read_twin()), elem_id="twin")
            with gr.Tab(say("Live"), id="live", elem_id="tab-live"):
                gr.HTML(say(LIVE_WORDS), elem_classes="panel-words")
                live = gr.HTML(
                    live_html(),
                    elem_id="live",
                    js_on_load=read_static("panels/webcam.js"),
                    server_functions=[answer_frame],
                )
            # before there is a network that listens, nothing could be done there
            with gr.Tab(say("Sound"), id="sound", elem_id="tab-sound", visible=any(e.hears for e in menu)):
                gr.HTML(say(SOUND_WORDS), elem_classes="panel-words")
                with gr.Row(elem_id="sound-row"):
                    with gr.Column(elem_id="sound-side"):
                        sound = SoundInput(
                            label=say("Sound"),
                            show_label=False,
                            sources=["microphone", "upload"],
                            elem_id="sound",
                            buttons=[],
                            editable=False,
                        )
                        sound_examples = gr.HTML(
                            sound_examples_html(),
                            elem_id="sound-examples",
                            js_on_load=read_static("panels/sound.js"),
                        )
                    heard_picture = gr.HTML(heard_html(None), elem_id="heard")
            with gr.Tab(say("Compare"), id="compare", elem_id="tab-compare"):
                gr.HTML(say(COMPARE_WORDS), elem_classes="panel-words")
                with gr.Row(elem_id="compare-controls"):
                    pin = gr.Button(say("Pin this run"), elem_id="pin", size="sm")
                    unpin = gr.Button(say("Take the pin out"), elem_id="unpin", size="sm")
                compare = gr.HTML(compare_html(None, None, view), elem_id="compare")
            with gr.Tab(say("Layer by layer"), id="trace", elem_id="tab-trace"):
                trace = gr.HTML(trace_html(()), elem_id="trace")
            with gr.Tab(say("Take it home"), id="take", elem_id="tab-take"):
                take_home = gr.HTML(
                    take_html(None, None, view),
                    elem_id="take",
                    js_on_load=read_static("panels/export.js"),
                    server_functions=[make_file],
                )
            with gr.Tab(say("How it works"), id="how", elem_id="tab-how"):
                how = gr.HTML(how_html(None, 0), elem_id="how-drawing")
                gr.HTML(say(HOW), elem_id="how", elem_classes="panel-words")

        # not on screen: what the API uses
        predict = gr.Button(visible=False)
        prediction = gr.JSON(visible=False, label="answer")
        api_gates = gr.JSON(visible=False, label="gates")
        # Gradio describes any JSON as {"type": {}}, which is no valid schema for an MCP client
        api_gates.api_info = lambda: GATES_SCHEMA  # type: ignore[method-assign]
        api_depth = gr.Number(50, visible=False, label="depth")
        api_norms = gr.Checkbox(True, visible=False, label="norms")

    return Page(
        demo=demo,
        run=run_state,
        view=view_state,
        network=network,
        status=status,
        theme=theme,
        photo=photo,
        examples=example_buttons,
        answer=answer,
        roadmap=roadmap,
        block=block,
        channels=channels,
        order=order,
        scope=scope,
        colours=colours,
        inside=inside,
        trace=trace,
        whole=whole_state,
        linked=linked_state,
        off_tab=off_tab,
        gates=gates,
        comparison=comparison,
        lesions=lesions,
        looks=looks,
        decides=decides,
        gradient_tab=gradient_tab,
        depth=depth,
        norms=norms,
        gradients=gradients,
        pinned=pinned_state,
        pin=pin,
        unpin=unpin,
        compare=compare,
        live=live,
        sound=sound,
        sound_examples=sound_examples,
        heard=heard_state,
        heard_picture=heard_picture,
        take=take_home,
        how=how,
        loaded=loaded_state,
        predict=predict,
        prediction=prediction,
        api_gates=api_gates,
        api_depth=api_depth,
        api_norms=api_norms,
    )


def page_options() -> dict[str, Any]:
    """Arguments of ``launch`` that belong to the page: theme, styles, upload limit, privacy."""
    return {
        "theme": gr.themes.Default(
            primary_hue="orange",
            neutral_hue="slate",
            font=["system-ui", "sans-serif"],
            font_mono=["monospace"],
        ),
        "css": read_static("page/page.css"),
        "head": f"<script>{read_static('page/page.js')}{read_static('page/url_state.js')}</script>",
        "max_file_size": MAX_BYTES,
        "app_kwargs": {"middleware": [Middleware(Guard), Middleware(Interpreter)]},
        "ssr_mode": False,
        "pwa": True,
        "favicon_path": STATIC / "page" / "icon.png",
        "run_history": False,
        "show_error": False,
        "state_session_capacity": 200,
        "footer_links": ["api", "settings"],
        "enable_monitoring": False,
    }
