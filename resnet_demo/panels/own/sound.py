"""Sound: record one, or take an example; the picture of what was heard."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import gradio as gr
import numpy as np
from gradio.components.base import Component
from numpy.typing import NDArray

from resnet_demo.drawing import feature_maps
from resnet_demo.drawing.pictures import data_url
from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import grouped, label_of, later, say
from resnet_demo.inference.run_cache import OLDEST_S
from resnet_demo.inputs.components import SoundInput
from resnet_demo.inputs.errors import SoundError
from resnet_demo.inputs.mel_spectrogram import (
    BANDS,
    COLUMNS,
    HIGHEST,
    HOP,
    LOWEST,
    RANGE,
    centres,
    mel_picture,
    to_mel,
)
from resnet_demo.inputs.sound import heard_part
from resnet_demo.inputs.sound_stretch import Recording, outline
from resnet_demo.inputs.synthetic_sounds import EXAMPLE_SEED, EXAMPLES, LENGTH, RATE, sound
from resnet_demo.networks.cards import MenuEntry
from resnet_demo.panels.base import (
    REDRAW,
    Components,
    Panel,
    Property,
    Values,
    Visit,
    one_of,
    served,
)
from resnet_demo.panels.page import Page, shown_names
from resnet_demo.panels.seats import LiveSeats
from resnet_demo.records import Run
from resnet_demo.serialize import run_as_dict

HEARD = later("The sound as the network heard it: time to the right, pitch upwards, bright where it is loud")
HEARD_WORDS = later("""What the network hears: {columns} steps of {step} ms across, {bands} mel bands from
{low} to {high} Hz up; white is the loudest point, black {range} decibels below it or less.""")
PART = later("the whole recording, {seconds} s; heard from {begin} to {end} ms")

MADE_FOR = "sounds"  # the network that the examples are for
QUIET = 0.01  # of the largest sample there can be; a moment that stays below it is shown, not answered
NO_MOMENT = later("That is no moment of a sound: samples are needed.")
TICKS = (100, 500, 1000, 2000, 4000)  # Hz, beside the picture


class SoundPanel(Panel):
    """The input of sounds, and the picture of the last one."""

    id = "sound"
    title = later("Sound")
    intro = later("""<p>A residual network does not care what a picture shows: a sound, too, becomes one,
time to the right and pitch upwards, and every panel shows what each block does with
it (<a href="https://arxiv.org/abs/1609.09430" target="_blank"
rel="noreferrer">Hershey et al. 2017</a>). Say a digit, “zero” to “nine”, in English:
record it, or press “Listen live” and speak.</p>
<p>The network <b>digits</b> learnt from recordings of six men, the <a
href="https://github.com/Jakobovski/free-spoken-digit-dataset" target="_blank" rel="noreferrer">Free
Spoken Digit Dataset</a> (Z. Jackson and others, CC BY-SA 4.0). The network <b>sounds</b> was trained only
on sounds that this project's own program made, and never heard a recording. Each must call whatever it
hears one of its ten kinds.</p>""")
    address = (
        Property(
            "sound",
            "#sound-examples [data-chosen]",
            "data-chosen",
            lambda text, _: one_of(EXAMPLES, text),
            network=MADE_FOR,
        ),
    )

    def __init__(self, page: Page) -> None:
        super().__init__(page)
        self.listening = [entry.name for entry in page.menu if entry.modality == "sound"]
        self.names = shown_names(page.menu)
        self.seats = LiveSeats(page.limits.frames)

    def visible(self) -> bool:
        return any(
            entry.modality == "sound" for entry in self.page.menu
        )  # without one that listens, nothing could be done here

    def layout(self) -> None:
        self.words()
        self.heard = gr.State(None, time_to_live=OLDEST_S)  # the visitor's sound, a Recording
        with gr.Row(elem_id="sound-row"):
            with gr.Column(elem_id="sound-side"):
                self.sound = SoundInput(
                    label=say("Sound"),
                    show_label=False,
                    sources=["microphone", "upload"],
                    elem_id="sound",
                    buttons=[],
                    editable=False,
                )
                self.examples = gr.HTML(
                    sound_examples_html(), elem_id="sound-examples", js_on_load=self.script()
                )
            with gr.Column(elem_id="heard-side"):
                self.live = gr.HTML(
                    fill("panels/own/sound_live.html"),
                    elem_id="sound-live",
                    js_on_load=self.script(),
                    server_functions=[served(self.frame)],
                )
                self.drawing = gr.HTML(heard_html(None), elem_id="heard")
        self.page.holders["sound"] = self.heard
        self.listener = gr.Dropdown(self.listening, value=next(iter(self.listening), None), visible=False)

    def reads(self) -> Components:
        return {self.heard}

    def draw(self, visit: Visit) -> Values:
        # a sound beside the answer to something else would be taken for what was answered
        if visit.run is None or visit.run.modality != "sound":
            return {self.drawing: heard_html(None)}
        return {self.drawing: heard_html(visit.run, visit.values.get(self.heard))}

    def connect(self, page: Page) -> None:
        def on_example(network: str, event: gr.EventData) -> tuple[Any, Any]:
            index = max(0, min(int(event.index), len(EXAMPLES) - 1))
            known = any(entry.name == MADE_FOR for entry in page.menu)
            chosen = MADE_FOR if known and network != MADE_FOR else gr.skip()
            return as_wave(example_samples(EXAMPLES[index])), chosen

        page.takes("sound", self.sound, lambda recording: recording)
        self.sound.clear(lambda: heard_html(None), None, self.drawing, **REDRAW)
        self.examples.select(on_example, page.network, [self.sound, page.network], **REDRAW)
        page.leaves_example(self.sound.input, self.sound.clear, self.sound.start_recording)

    def restored(self) -> Components:
        return {self.sound, self.heard}

    def restore(self, asked: Mapping[str, Any], network: MenuEntry) -> Values:
        if "sound" not in asked or network.modality != "sound":
            return {}
        samples = example_samples(asked["sound"])
        return {
            self.sound: as_wave(samples),
            self.heard: recording_of(samples),
        }  # for the run that the network sets off

    def arguments(self) -> Mapping[str, Component]:
        return {"sound": self.sound, "network": self.listener}

    def endpoints(self) -> Iterable[Callable[..., Any]]:
        def listen(sound: Any, network: str) -> dict[str, Any]:
            """Run one sound through a network that listens and describe what every residual block did."""
            if sound is None:
                raise gr.Error("No sound arrived; send one as the first argument.", print_exception=False)
            return run_as_dict(self.page.engine.get().hear(sound, network))

        yield listen

    def frame(self, request: Any) -> dict[str, Any]:
        """{"samples": base64 of 16-bit samples at RATE, "network": title on the menu, "language"} to the
        answer and the picture of the last moment."""
        return self.seats.answer(request, self.answered)

    def answered(self, request: Any) -> dict[str, Any]:
        """What the script shows of one moment of the microphone.

        Raises:
            SoundError, EngineError: it cannot be.
        """
        started = time.perf_counter()
        if not isinstance(request, dict):
            raise SoundError(NO_MOMENT)
        samples = moment(request.get("samples"))
        title = str(request.get("network") or "")
        name = self.names.get(title, title)
        if name not in self.listening:
            name = self.listening[0]
        quiet = float(np.abs(samples).max()) < QUIET
        run = self.page.engine.get().run(samples, name, here=True)
        return {
            "quiet": quiet,
            "html": heard_html(run, live=True),
            "classes": [[label_of(c.label), c.confidence] for c in run.prediction.confidences],
            "milliseconds": (time.perf_counter() - started) * 1e3,
        }


def moment(text: object) -> NDArray[np.float32]:
    """The samples (LENGTH,) in -1..1 in base64 of 16-bit numbers, the lower byte first.

    Raises:
        SoundError: it is nothing of that kind, or of another length.
    """
    if not isinstance(text, str) or len(text) > 4 * LENGTH:
        raise SoundError(NO_MOMENT)
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise SoundError(NO_MOMENT) from None
    if len(data) != 2 * LENGTH:
        raise SoundError(NO_MOMENT)
    return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768)


def recording_of(samples: NDArray[np.float32]) -> Recording:
    """An example as if it had been recorded."""
    return Recording(samples, 0.0, len(samples) / RATE, outline(samples.astype(np.float64)))


def example_samples(name: str) -> NDArray[np.float32]:
    """The example called ``name``, (LENGTH,) float32 in -1..1.

    Raises:
        ValueError: no example has that name.
    """
    return sound(name, EXAMPLE_SEED, wear=0.5)


def as_wave(samples: NDArray[np.float32]) -> tuple[int, NDArray[np.int16]]:
    """Samples (N,) in -1..1 as Gradio's audio takes them: samples a second, 16 bits."""
    return RATE, (samples * 32767).round().astype(np.int16)


def sound_examples_html() -> str:
    """A button for every example, with its picture."""
    pictures = {name: _thumbnail_url(name) for name in EXAMPLES}
    return fill("panels/own/sound_examples.html", pictures=pictures)


def heard_html(run: Run | None, recording: Recording | None = None, live: bool = False) -> str:
    """The answer in one line, the picture of the sound with its axes, and which part of the recording it
    is; the empty frame before there is a run.

    Args:
        live: a moment of the microphone, of which nothing is kept.
    """
    step, bottom, top = map(float, run.axes.split()) if run else (1000 * HOP / RATE, LOWEST, HIGHEST)
    side = run.photo.shape[0] if run else COLUMNS
    low, high = float(to_mel(bottom)), float(to_mel(top))
    middle, milliseconds = centres(side, top), side * step
    words = say(
        HEARD_WORDS,
        columns=side,
        step=f"{step:g}",
        bands=side,
        low=grouped(middle[0]),
        high=grouped(middle[-1]),
        range=f"{RANGE:.0f}",
    )
    return fill(
        "panels/own/sound.html",
        run=run,
        picture=feature_maps.photo_url(run.photo) if run else "",
        alt=HEARD,
        ticks=[((float(to_mel(hertz)) - low) / (high - low), hertz) for hertz in TICKS if hertz < top],
        times=[f"{share * milliseconds:.0f} ms" if share else "0 ms" for share in (0, 0.5, 1)],
        words=words,
        part=_part(recording, side, step) if run and not live else None,
    )


def _part(recording: Recording | None, side: int, step: float) -> dict[str, Any] | None:
    """The whole recording as bars, and the part of it that is heard."""
    if not isinstance(recording, Recording) or recording.outline is None or recording.seconds <= 0:
        return None
    begin, end = heard_part(recording, side, step)
    return {
        "bars": [(i, round(100 * float(loud), 1)) for i, loud in enumerate(recording.outline)],
        "count": len(recording.outline),
        "left": begin / recording.seconds,
        "width": (end - begin) / recording.seconds,
        "words": say(
            PART,
            seconds=f"{recording.seconds:.2f}",
            begin=f"{1000 * begin:.0f}",
            end=f"{1000 * end:.0f}",
        ),
    }


@cache
def _thumbnail_url(name: str) -> str:
    """The picture of an example at half its size in 16 greys: a tenth of the bytes, since the page carries
    ten."""
    picture = mel_picture(example_samples(name))
    halves = picture[..., 0].reshape(BANDS // 2, 2, COLUMNS // 2, 2).mean((1, 3))
    grey = (halves / 17).round().astype(np.uint8) * 17
    return data_url(feature_maps.photo_png(np.repeat(grey[..., None], 3, axis=2)))
