"""Sound: record one, or take an example; the picture of what was heard."""

from __future__ import annotations

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
from resnet_demo.i18n import grouped, later, say
from resnet_demo.inference.run_cache import OLDEST_S
from resnet_demo.inputs.components import SoundInput
from resnet_demo.inputs.mel_spectrogram import (
    BANDS,
    COLUMNS,
    HIGHEST,
    LOWEST,
    RANGE,
    centres,
    mel_picture,
    to_mel,
)
from resnet_demo.inputs.synthetic_sounds import EXAMPLE_SEED, EXAMPLES, LENGTH, RATE, sound
from resnet_demo.networks.cards import MenuEntry
from resnet_demo.panels.base import REDRAW, Components, Panel, Property, Values, Visit, one_of
from resnet_demo.panels.page import Page
from resnet_demo.records import Run
from resnet_demo.serialize import run_as_dict

HEARD = later("The sound as the network heard it: time to the right, pitch upwards, bright where it is loud")
HEARD_WORDS = later("""What the network hears: {columns} steps of {step} ms across, {bands} mel bands from
{low} to {high} Hz up; white is the loudest point, black {range} decibels below it or less.
Of a longer sound the loudest {seconds} s are taken.""")

MADE_FOR = "sounds"  # the network that the examples are for
TICKS = (100, 500, 1000, 2000, 4000)  # Hz, beside the picture


class SoundPanel(Panel):
    """The input of sounds, and the picture of the last one."""

    id = "sound"
    title = later("Sound")
    intro = later("""<p>A residual network does not care what a picture shows: a sound, too, becomes one, time
    to the right and pitch
upwards, and every panel shows what each block does with it. Take a steady tone, then the siren, and look
under “Inside a block” for channels that follow the slope
(<a href="https://arxiv.org/abs/1609.09430" target="_blank" rel="noreferrer">Hershey et al. 2017</a>).</p>
<p><b>The network “sounds” was trained only on sounds that this project's own program made</b>, tones, chords,
sweeps, noises and rhythms, and never heard a recording: it must call your voice, too, one of its ten
kinds.</p>""")
    address = (
        Property(
            "sound",
            "#sound-examples [data-chosen]",
            "data-chosen",
            lambda text, _: one_of(EXAMPLES, text),
            network=MADE_FOR,
        ),
    )

    def visible(self) -> bool:
        return any(
            entry.modality == "sound" for entry in self.page.menu
        )  # without one that listens, nothing could be done here

    def layout(self) -> None:
        self.words()
        self.heard = gr.State(None, time_to_live=OLDEST_S)  # the picture of the visitor's sound
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
            self.drawing = gr.HTML(heard_html(None), elem_id="heard")
        self.page.holders["sound"] = self.heard

    def draw(self, visit: Visit) -> Values:
        if visit.run is None:
            return {self.drawing: heard_html(None)} if visit.network.modality == "sound" else {}
        return {self.drawing: heard_html(visit.run)} if visit.run.modality == "sound" else {}

    def connect(self, page: Page) -> None:
        def on_example(event: gr.EventData) -> tuple[int, NDArray[np.int16]]:
            index = max(0, min(int(event.index), len(EXAMPLES) - 1))
            return as_wave(example_samples(EXAMPLES[index]))

        page.takes("sound", self.sound, lambda samples: None if samples is None else mel_picture(samples))
        self.sound.clear(lambda: heard_html(None), None, self.drawing, **REDRAW)
        self.examples.select(on_example, None, self.sound, **REDRAW)
        page.leaves_example(self.sound.input, self.sound.clear, self.sound.start_recording)

    def restored(self) -> Components:
        return {self.sound, self.heard}

    def restore(self, asked: Mapping[str, Any], network: MenuEntry) -> Values:
        if "sound" not in asked or network.modality != "sound":
            return {}
        samples = example_samples(asked["sound"])
        return {
            self.sound: as_wave(samples),
            self.heard: mel_picture(samples),
        }  # for the run that the network sets off

    def arguments(self) -> Mapping[str, Component]:
        return {"sound": self.sound}

    def endpoints(self) -> Iterable[Callable[..., Any]]:
        def listen(sound: NDArray[np.float32] | None) -> dict[str, Any]:
            """Run one sound through the network that listens and describe what every residual block did."""
            if sound is None:
                raise gr.Error("No sound arrived; send one as the first argument.", print_exception=False)
            return run_as_dict(self.page.engine.get().hear(sound))

        yield listen


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


def heard_html(run: Run | None) -> str:
    """The answer in one line and the picture of the sound with its axes; the empty frame before there is a
    run."""
    low, high = float(to_mel(LOWEST)), float(to_mel(HIGHEST))
    middle, seconds = centres(), LENGTH / RATE
    words = say(
        HEARD_WORDS,
        columns=COLUMNS,
        step=f"{1000 * seconds / COLUMNS:.0f}",
        bands=BANDS,
        low=grouped(middle[0]),
        high=grouped(middle[-1]),
        range=f"{RANGE:.0f}",
        seconds=f"{seconds:.2f}",
    )
    return fill(
        "panels/own/sound.html",
        run=run,
        picture=feature_maps.photo_url(run.photo) if run else "",
        alt=HEARD,
        ticks=[((float(to_mel(hertz)) - low) / (high - low), hertz) for hertz in TICKS],
        times=[f"{share * seconds:.2f} s" if share else "0 s" for share in (0, 0.5, 1)],
        words=words,
    )


@cache
def _thumbnail_url(name: str) -> str:
    """The picture of an example at half its size in 16 greys: a tenth of the bytes, since the page carries
    ten."""
    picture = mel_picture(example_samples(name))
    halves = picture[..., 0].reshape(BANDS // 2, 2, COLUMNS // 2, 2).mean((1, 3))
    grey = (halves / 17).round().astype(np.uint8) * 17
    return data_url(feature_maps.photo_png(np.repeat(grey[..., None], 3, axis=2)))
