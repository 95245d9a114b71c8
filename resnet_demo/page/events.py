"""Connect the page to the engine: events in, component values out.

A photo runs once; everything that only changes how the run is drawn reads the visitor's
own ``Run`` from the session and never touches the engine.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
from gradio.context import LocalContext
from numpy.typing import NDArray
from PIL import Image

from resnet_demo.drawing.answer import answer_html, status_html, trace_html
from resnet_demo.drawing.road_map import roadmap_html
from resnet_demo.i18n import error_of, later, say
from resnet_demo.inference.interface import Photo, PhotoEngine
from resnet_demo.inference.lazy import Deferred
from resnet_demo.inference.run_cache import KeptRuns
from resnet_demo.inputs import photo_examples as examples
from resnet_demo.inputs.mel_spectrogram import mel_picture
from resnet_demo.inputs.photo_decoding import open_photo
from resnet_demo.inputs.synthetic_sounds import EXAMPLES as SOUNDS
from resnet_demo.networks.cards import MenuEntry
from resnet_demo.page.url_state import KEYS, read_link
from resnet_demo.panels.ablation import activation_html, comparison_html, gates_html, lesions_html, read_gates
from resnet_demo.panels.block_diagram import how_html
from resnet_demo.panels.compare import compare_html
from resnet_demo.panels.export import GONE, take_html
from resnet_demo.panels.gradient_flow import decides_html, gradients_html
from resnet_demo.panels.inside_block import View, inside_html
from resnet_demo.panels.sound import as_wave, example_samples, heard_html
from resnet_demo.panels.webcam import frame_file
from resnet_demo.records import Gate, Prediction, Run

if TYPE_CHECKING:
    from resnet_demo.page.layout import Page

log = logging.getLogger(__name__)

RADIO_BLOCKS = 8  # with more, the road map alone chooses the block

RESTARTED = later(
    "The demo was started again since you gave it a photo; give it the photo once more."  # as in page.js
)
MOST_PAGES = 20_000  # open pages remembered, a few bytes each

LEAVE_EXAMPLE = "() => { window.leaveExample(); }"  # an address names examples only
TOGGLE_THEME = "() => { document.body.classList.toggle('dark'); }"


@dataclass(frozen=True)
class Linked:
    """Gates that an address asked for: they hold for the runs that opening it sets off, and for no other.

    Attributes:
        network: which network they belong to.
        gates: one a block.
        runs: how many runs are still to come; setting the photo causes one, setting the network another.
    """

    network: str
    gates: tuple[Gate, ...]
    runs: int


def sentence_of(error: Exception) -> str:
    """What to tell a visitor about ``error``; anything unexpected is logged and not shown."""
    if type(error).__name__ in ("EngineError", "CheckpointError", "PhotoError", "SoundError"):
        return error_of(error)
    log.error("a run failed", exc_info=error)
    return say("Something went wrong while the network ran; try the photo again, or another one.")


def run_photo(
    engine: Deferred[PhotoEngine],
    photo: Photo,
    network: str | None,
    gates: Sequence[Gate] = (),
) -> Run:
    """One photo through the engine; whatever goes wrong becomes one sentence for the visitor."""
    try:
        return engine.get().run(photo, network, gates)
    except Exception as error:
        raise gr.Error(sentence_of(error), print_exception=False) from error


def connect(
    page: Page, engine: Deferred[PhotoEngine], menu: Sequence[MenuEntry], kept: KeptRuns, at_once: int = 2
) -> None:
    """Wire every event of ``page``.

    Args:
        page: the components, inside whose ``demo`` context the events are made.
        engine: built when first needed; the page must appear before it is.
        menu: the networks on offer, the default first.
        kept: where runs stay for redrawing; the session holds a key.
        at_once: runs under way at a time, the API's among them; the others queue.
    """
    entries = {entry.name: entry for entry in menu}
    opened: dict[str | None, None] = {}  # the pages that this process has served, the oldest first

    def session() -> str | None:
        request = LocalContext.request.get(None)
        return request.session_hash if isinstance(request, gr.Request) else None

    def recall(key: str | None) -> Run | None:
        """The visitor's run; None before there is one."""
        run = kept.get(key)
        if key and run is None:
            raise gr.Error(say(GONE), print_exception=False)
        return run

    def block_choices(count: int, block: int) -> Any:
        choices = [(str(i + 1), i) for i in range(count)]
        return gr.update(choices=choices, value=min(block, count - 1), visible=count <= RADIO_BLOCKS)

    def on_photo(
        photo: str | None,
        network: str,
        view: View,
        key: str | None,
        pinned_key: str | None,
        linked: Linked | None,
        heard: NDArray[np.uint8] | None,
    ) -> tuple[Any, ...]:
        """Run what the network takes: the photo, or the picture of the visitor's sound."""
        if key != pinned_key:
            kept.retire(key)
        entry = entries.get(network) or MenuEntry(network, "", 5)
        source = heard if entry.hears else photo
        if source is None:
            return (
                None,
                gr.skip(),
                answer_html(None, entry.knows, entry.hears),
                roadmap_html(None, blocks=entry.blocks, sense="sound" if entry.hears else "photo"),
                inside_html(None, view),
                trace_html(()),
                activation_html(None),
                decides_html(None),
                compare_html(kept.get(pinned_key), None, view),
                how_html(None, 0),
                take_html(None, None, view),
                heard_html(None) if entry.hears else gr.skip(),
                comparison_html(None, None),
                None,
                gates_html(entry.blocks, False),
                lesions_html(None, None),
                block_choices(entry.blocks, view.block),
                None,
            )
        run = run_photo(engine, source, network)
        whole = run.prediction
        if linked and linked.network == run.network and len(linked.gates) == len(run.blocks):
            run = run_photo(engine, run.photo, network, linked.gates)
        return (
            *shown(run, view, pinned_key),
            comparison_html(whole, run),
            whole,
            gates_html(len(run.blocks), True, run.gates),
            lesions_html(None, None),
            block_choices(len(run.blocks), view.block),
            replace(linked, runs=linked.runs - 1) if linked and linked.runs > 1 else None,
        )

    def hears(network: str) -> bool:
        return network in entries and entries[network].hears

    def on_new_photo(photo: str | None, network: str, *rest: Any) -> tuple[Any, ...]:
        """A photo given while a network listens brings back the first one that sees."""
        if not hears(network):
            return *on_photo(photo, network, *rest), gr.skip()
        seeing = next((entry.name for entry in menu if not entry.hears), None)
        if photo is None or seeing is None:
            return (gr.skip(),) * (len(after_photo) + 1)
        return *(gr.skip() for _ in after_photo), seeing  # the network's change runs the photo

    def on_sound(
        samples: NDArray[np.float32] | None,
        network: str,
        view: View,
        key: str | None,
        pinned_key: str | None,
        linked: Linked | None,
    ) -> tuple[Any, ...]:
        """A sound given while a network sees brings the first one that listens."""
        heard = None if samples is None else mel_picture(samples)
        if hears(network):
            return *on_photo(None, network, view, key, pinned_key, linked, heard), gr.skip(), heard
        listening = next((entry.name for entry in menu if entry.hears), None)
        if heard is None or listening is None:
            return (
                *(heard_html(None) if c is page.heard_picture else gr.skip() for c in after_photo),
                gr.skip(),
                heard,
            )
        return *(gr.skip() for _ in after_photo), listening, heard  # the network's change runs the sound

    def on_load(request: gr.Request) -> tuple[Any, ...]:
        """Bring the page to what its address asks for."""
        opened[request.session_hash] = None
        if len(opened) > MOST_PAGES:
            del opened[next(iter(opened))]
        if not KEYS & request.query_params.keys():
            return (gr.skip(),) * len(restored)
        link = read_link(request.query_params, menu)
        fitting = [entry.name for entry in menu if entry.hears] if link.sound else []
        name = link.network or next(iter([*fitting, *(entry.name for entry in menu)]), "")
        other = bool(menu) and name != menu[0].name
        view = link.view
        given = link.sound if hears(name) else link.example
        linked = Linked(name, link.gates, 2 if other else 1) if link.gates and given else None
        samples = example_samples(link.sound) if link.sound and hears(name) else None
        return (
            gr.update(value=name) if other else gr.skip(),
            view,
            block_choices(entries[name].blocks if name in entries else 5, view.block),
            view.channels,
            view.order,
            linked,
            examples.example(link.example) if link.example and samples is None else gr.skip(),
            gr.skip() if samples is None else as_wave(samples),
            gr.skip() if samples is None else mel_picture(samples),  # for the run that the network sets off
        )

    def shown(run: Run, view: View, pinned_key: str | None) -> tuple[Any, ...]:
        """Everything that follows from a run alone, in the order of ``results``."""
        entry = entries.get(run.network)
        key = kept.put(run)
        return (
            key,
            status_html(run, ""),
            answer_html(run, entry.knows if entry else ""),
            roadmap_html(run, view.block),
            inside_html(run, view),
            trace_html(run.trace, tuple(block.name for block in run.blocks)),
            activation_html(run),
            decides_html(run),
            compare_html(kept.get(pinned_key), run, view),
            how_html(run, view.block),
            take_html(run, key, view),
            heard_html(run) if run.sense == "sound" else gr.skip(),
        )

    def on_network(network: str, progress: gr.Progress = gr.Progress()) -> None:  # noqa: B008 - how Gradio asks for it
        """Load the network, or fetch it, before the photo is run through it."""
        try:
            engine.get().info(
                network, lambda share: progress(share, desc=say("Fetching {network}", network=network))
            )
        except Exception as error:
            raise gr.Error(sentence_of(error), print_exception=False) from error

    def on_gates(
        key: str | None, pinned_key: str | None, whole: Prediction | None, view: View, event: gr.EventData
    ) -> tuple[Any, ...]:
        run = recall(key)
        if run is None:
            raise gr.Error(say("Give the page a photo first, then move a slider."), print_exception=False)
        try:
            gates = read_gates(event.gates, len(run.blocks))
        except ValueError as error:
            sentence = say("These sliders cannot be read: {error}.", error=error_of(error))
            raise gr.Error(sentence, print_exception=False) from error
        gated = run_photo(engine, run.photo, run.network, gates)
        if key != pinned_key:
            kept.retire(key)
        return (*shown(gated, view, pinned_key), comparison_html(whole, gated))

    def on_off_tab(key: str | None) -> str:
        run = recall(key)
        if run is None:
            return lesions_html(None, None)
        try:
            return lesions_html(engine.get().ablation(run), run)
        except Exception as error:
            raise gr.Error(sentence_of(error), print_exception=False) from error

    def on_gradients(
        key: str | None,
        depth: float,
        norms: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - how Gradio asks for it
    ) -> str:
        run = recall(key)
        if run is None:
            return gradients_html(None)
        try:
            flow = engine.get().gradient_flow(run, int(depth), norms == "in use", progress)
        except Exception as error:
            raise gr.Error(sentence_of(error), print_exception=False) from error
        return gradients_html(flow, run.sense)

    def drawn(key: str | None, pinned_key: str | None, view: View) -> tuple[str, str, str, str]:
        """What changes with the view: inside a block, the comparison, how it works, what is saved.

        A page that was opened before a restart still shows its run, of which this process knows nothing.
        """
        run = recall(key)
        if run is None and session() is not None and session() not in opened:
            raise gr.Error(say(RESTARTED), print_exception=False)
        compared = compare_html(kept.get(pinned_key), run, view)
        return inside_html(run, view), compared, how_html(run, view.block), take_html(run, key, view)

    def on_view(
        key: str | None,
        pinned_key: str | None,
        block: int,
        channels: int,
        order: Any,
        scope: Any,
        colours: str,
        now: View,
    ) -> tuple[Any, ...]:
        chosen = now.block if block is None else block  # no radio with many blocks
        view = View(block=chosen, channels=channels, order=order, scope=scope, colours=colours)
        return view, *drawn(key, pinned_key, view)

    def on_block(key: str | None, pinned_key: str | None, view: View, event: gr.EventData) -> tuple[Any, ...]:
        run = recall(key)
        count = len(run.blocks) if run else 1
        view = replace(view, block=max(0, min(int(event.index), count - 1)))
        return view, *drawn(key, pinned_key, view), view.block

    def on_radio_block(key: str | None, pinned_key: str | None, view: View, block: int) -> tuple[Any, ...]:
        run = recall(key)
        view = replace(view, block=block)
        return view, *drawn(key, pinned_key, view), roadmap_html(run, block)

    def on_pin(key: str | None, pinned_key: str | None, view: View) -> tuple[Any, ...]:
        run = recall(key)
        if run is None:
            raise gr.Error(say("Give the page a photo first, then pin its run."), print_exception=False)
        if pinned_key != key:
            kept.retire(pinned_key)
        return key, compare_html(run, run, view)

    def on_unpin(key: str | None, pinned_key: str | None, view: View) -> tuple[Any, ...]:
        if pinned_key != key:
            kept.retire(pinned_key)
        return None, compare_html(None, recall(key), view)

    def on_live_frame(event: gr.EventData) -> Image.Image:
        """A paused frame becomes the page's photo."""
        try:
            return open_photo(frame_file(event.jpeg))
        except Exception as error:
            raise gr.Error(sentence_of(error), print_exception=False) from error

    def on_example(event: gr.EventData) -> Image.Image:
        index = max(0, min(int(event.index), len(examples.EXAMPLES) - 1))
        return examples.example(examples.EXAMPLES[index])

    def on_sound_example(event: gr.EventData) -> tuple[int, NDArray[np.int16]]:
        index = max(0, min(int(event.index), len(SOUNDS) - 1))
        return as_wave(example_samples(SOUNDS[index]))

    results = [
        page.run,
        page.status,
        page.answer,
        page.roadmap,
        page.inside,
        page.trace,
        page.looks,
        page.decides,
        page.compare,
        page.how,
        page.take,
        page.heard_picture,
    ]
    after_photo = [*results, page.comparison, page.whole, page.gates, page.lesions, page.block, page.linked]
    photo_inputs = [
        page.photo, page.network, page.view, page.run, page.pinned, page.linked, page.heard,
    ]  # fmt: skip
    restored = [
        page.network, page.view, page.block, page.channels, page.order, page.linked, page.photo, page.sound, page.heard,
    ]  # fmt: skip
    private: dict[str, Any] = {"api_visibility": "private"}
    run_options: dict[str, Any] = {
        "show_progress": "minimal",
        "show_progress_on": [page.answer],
        "concurrency_id": "run",
        **private,
    }
    page.photo.change(
        on_new_photo,
        photo_inputs,
        [*after_photo, page.network],
        trigger_mode="always_last",
        concurrency_limit=at_once,
        **run_options,
    )
    page.sound.change(
        on_sound,
        [page.sound, page.network, page.view, page.run, page.pinned, page.linked],
        [*after_photo, page.network, page.heard],
        trigger_mode="always_last",
        **run_options,
    )
    page.network.change(
        on_network,
        page.network,
        page.loaded,
        trigger_mode="always_last",
        show_progress="full",
        show_progress_on=[page.answer],
        concurrency_id="fetch",
        concurrency_limit=4,
        **private,
    ).success(on_photo, photo_inputs, after_photo, **run_options)
    page.gates.input(
        on_gates,
        [page.run, page.pinned, page.whole, page.view],
        [*results, page.comparison],
        trigger_mode="always_last",
        show_progress="hidden",
        concurrency_id="run",
        **private,
    )
    # these cost several forward passes: only when somebody looks, and again for a new photo
    gr.on(
        [page.off_tab.select, page.whole.change],
        on_off_tab,
        page.run,
        page.lesions,
        show_progress="minimal",
        concurrency_id="run",
        **private,
    )
    gr.on(
        [page.gradient_tab.select, page.depth.release, page.norms.input],
        on_gradients,
        [page.run, page.depth, page.norms],
        page.gradients,
        trigger_mode="always_last",
        show_progress="full",
        concurrency_id="gradients",
        concurrency_limit=1,
        **private,
    )
    redraw: dict[str, Any] = {
        "trigger_mode": "always_last",  # by default a click is lost while an earlier one is under way
        "show_progress": "hidden",
        "concurrency_id": "draw",
        "concurrency_limit": 4,
        **private,
    }
    drawn_to = [page.view, page.inside, page.compare, page.how, page.take]
    gr.on(
        [page.channels.input, page.order.input, page.scope.input, page.colours.input],
        on_view,
        [page.run, page.pinned, page.block, page.channels, page.order, page.scope, page.colours, page.view],
        drawn_to,
        **redraw,
    )
    page.roadmap.select(on_block, [page.run, page.pinned, page.view], [*drawn_to, page.block], **redraw)
    page.block.input(
        on_radio_block,
        [page.run, page.pinned, page.view, page.block],
        [*drawn_to, page.roadmap],
        **redraw,
    )
    page.pin.click(on_pin, [page.run, page.pinned, page.view], [page.pinned, page.compare], **redraw)
    page.unpin.click(on_unpin, [page.run, page.pinned, page.view], [page.pinned, page.compare], **redraw)
    page.examples.select(on_example, None, page.photo, **redraw)
    page.sound_examples.select(on_sound_example, None, page.sound, **redraw)
    page.live.select(on_live_frame, None, page.photo, **redraw)
    page.demo.load(on_load, None, restored, **redraw)
    own = [page.photo.input, page.photo.clear, page.live.select]
    own += [page.sound.input, page.sound.clear, page.sound.start_recording]
    gr.on(own, None, js=LEAVE_EXAMPLE, **private)
    page.theme.click(None, js=TOGGLE_THEME, **private)
