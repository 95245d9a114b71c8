"""Sounds as a modality: the picture is the mel spectrogram, time to the right and pitch upwards."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_demo.i18n import later, say
from resnet_demo.inputs.mel_spectrogram import COLUMNS, HOP, LOWEST, mel_picture
from resnet_demo.inputs.sound_stretch import Recording, begin_of, stretch_of
from resnet_demo.inputs.synthetic_sounds import LENGTH, RATE
from resnet_demo.modalities import Modality, register
from resnet_demo.records import Preprocessing


def sound_picture(given: Any, preprocessing: Preprocessing) -> NDArray[np.uint8] | None:
    """A sound, as ``open_sound`` or ``open_recording`` give it, as the network takes it."""
    samples = given.samples if isinstance(given, Recording) else given
    if (
        not isinstance(samples, np.ndarray)
        or not np.issubdtype(samples.dtype, np.floating)
        or samples.ndim != 1
    ):
        return None
    hop = hop_of(preprocessing.step)
    stretch = stretch_of(samples, begin_for(samples, preprocessing), preprocessing.size * hop)
    return mel_picture(stretch, preprocessing.size, preprocessing.highest, hop)


def hop_of(step: float) -> int:
    """Samples from column to column, of ``step`` milliseconds."""
    return round(step * RATE / 1000)


def begin_for(samples: NDArray[np.floating], preprocessing: Preprocessing) -> int:
    """Which of ``samples``, at most LENGTH of them, is the first that the network hears: that of the sound
    for one that hears LENGTH; for one that hears less, such that the word is in the middle."""
    wanted = preprocessing.size * hop_of(preprocessing.step)
    return 0 if wanted >= LENGTH else begin_of(samples, wanted)


def heard_part(recording: Recording, side: int, step: float) -> tuple[float, float]:
    """Where in a recording the network begins to hear, whose picture has ``side`` columns of ``step``
    milliseconds, and where it ends; both in seconds, clipped to the recording."""
    heard = Preprocessing(size=side, modality="sound", step=step)
    begin = recording.begin + begin_for(recording.samples, heard) / RATE
    return max(0.0, begin), min(recording.seconds, begin + side * step / 1000)


def extent(size: int, axes: str = "") -> str:
    """How much ``size`` columns and rows of a spectrogram are, for people."""
    bands = min(size, COLUMNS)
    step = float(axes.split()[0]) if axes else 1000 * HOP / RATE
    return say(
        "one place of the output hears {milliseconds} ms of {bands} bands",
        milliseconds=f"{bands * step:.0f}",
        bands=bands,
    )


register(
    Modality(
        name="sound",
        to_picture=sound_picture,
        extent=extent,
        extent_in=extent,
        code='hear(open_sound("sound.wav")',
        noun=later("sound"),
        taken=later("as heard"),
        as_seen=later("The sound as the network heard it: time to the right, pitch upwards"),
        as_taken=later("the sound as the network took it"),
        of_run=later("The sound of this run"),
        title=later("One sound through {network}"),
        imports=("open_sound",),
        # milliseconds a column; the rows are an equal share of the mels between two frequencies
        axes=lambda preprocessing: f"{preprocessing.step:g} {LOWEST:g} {preprocessing.highest:g}",
        block=later("{block} for your sound"),
        silent=later("silent for this sound"),
        spent=later("sound to tensor {prepare} ms, network with capture {forward} ms, all {total} ms"),
        strength=later("Strength of the colours over the sound"),
        fresh=later(
            "Fresh networks of {depth} blocks with the same initial weights, this sound at 32×32 pixels,"
            " batch norm {norms}<span class='clock'>; {milliseconds} ms for both</span>."
        ),
        invitation=later(
            "This network listens: record a sound or take an example in the panel “Sound” below."
        ),
        refusal=later(
            "{name} listens and cannot see a photo: give it a sound, or choose a network that sees."
        ),
        missing=later("No network here listens: put the sound network and its card into weights/."),
    )
)
