"""From the bytes of a sound that a stranger uploads or records to what the network that listens takes.

``open_sound`` gives mono samples at 16 kHz, or one clear sentence. libsndfile decodes, by way of
soundfile: WAV, FLAC, OGG (Vorbis, Opus), MP3, AIFF and AU. Rules:
    * What the header says is checked before a sample is decoded, and never more than the first
      MOST_SECONDS is.
    * Channels are averaged.
    * Of a longer sound 1.92 s are used: the earliest stretch that holds at least nine tenths of the energy of
      the one that holds most, in steps of 20 ms. A shorter one is followed by silence.
    * Samples that are no numbers are refused; what lies beyond -1..1 is not, since level does not matter.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from resnet_demo.i18n import later
from resnet_demo.inputs.files import MAX_BYTES, FileSource, read_beyond
from resnet_demo.inputs.synthetic_sounds import LENGTH, RATE

ALLOWED = later("WAV, FLAC, OGG or MP3")  # for sentences
FORMATS = {"WAV", "WAVEX", "RF64", "W64", "FLAC", "OGG", "MP3", "MPEG", "AIFF", "AU", "CAF"}
MAX_CHANNELS = 8
RATES = (4_000, 192_000)  # samples a second
MOST_SECONDS = 30.0  # looked at
SHORTEST = 0.05  # seconds
SILENT = 1e-4  # the largest sample of what counts as silence: -80 dB
STEP = 0.02  # seconds between the stretches compared
ENOUGH = 0.9  # of the largest energy


class SoundError(ValueError):
    """A sound that cannot be used.

    The message is one sentence of at most 200 characters for the visitor: what arrived, what
    is allowed, what to do. It never holds a path or anything else out of the file.
    """


def open_sound(source: FileSource) -> NDArray[np.float32]:
    """Decode an untrusted sound.

    Args:
        source: the file's bytes, its path, or the file opened for reading bytes.

    Returns:
        (LENGTH,) float32 at RATE samples a second, one channel, finite: the stretch that is used.

    Raises:
        SoundError: for anything that is not a sound within the limits.
    """
    samples, rate = _decode(_read(source))
    if not np.isfinite(samples).all():
        raise SoundError(
            later("The sound holds samples that are not numbers: please save it anew, as 16-bit WAV.")
        )
    if len(samples) < SHORTEST * rate:
        raise SoundError(
            later(
                "The sound lasts {found} ms; at least {least} ms are needed: please record a longer one.",
                found=f"{1000 * len(samples) / rate:.0f}",
                least=f"{1000 * SHORTEST:.0f}",
            )
        )
    scale = max(float(np.abs(samples).max()), SILENT)  # first, so that no square overflows
    stretch = loudest(samples / scale - (samples / scale).mean(), rate)
    largest = float(np.abs(stretch).max(initial=0.0))
    if largest * scale < SILENT:
        raise SoundError(
            later(
                "The sound is silent: please check that the right microphone is chosen and not muted, and record again."
            )
        )
    found = resample(stretch / largest, rate)
    return (found / max(1.0, float(np.abs(found).max()))).astype(np.float32)


def loudest(samples: NDArray[np.float64], rate: int) -> NDArray[np.float64]:
    """The stretch of samples (N,) at ``rate`` that is used, see the rules above; filled up with silence."""
    wanted = round(LENGTH * rate / RATE)
    if len(samples) <= wanted:
        return np.pad(samples, (0, wanted - len(samples)))
    energy = np.concatenate([[0.0], np.cumsum(samples**2)])
    begins = np.arange(0, len(samples) - wanted + 1, max(1, round(STEP * rate)))
    held = energy[begins + wanted] - energy[begins]
    begin = int(begins[int(np.argmax(held >= ENOUGH * held.max()))])  # the earliest
    return samples[begin : begin + wanted]


def resample(samples: NDArray[np.float64], rate: int) -> NDArray[np.float64]:
    """Samples (N,) at ``rate`` as (LENGTH,) at RATE; what RATE cannot hold is left out, not folded back.

    Done on the spectrum, which is exact for a sound that begins and ends in silence; the mirrored
    margin keeps the ends of others from running into each other.
    """
    if rate == RATE and len(samples) == LENGTH:
        return samples
    margin = round(0.04 * rate)
    padded = np.pad(samples, margin, mode="symmetric")
    extra = 640  # the same 0.04 s at RATE
    count = LENGTH + 2 * extra
    spectrum = np.fft.rfft(padded)
    kept = np.zeros(count // 2 + 1, np.complex128)
    shared = min(len(kept) - 1, len(spectrum) - 1)  # the highest frequency has no partner
    kept[:shared] = spectrum[:shared]
    found: NDArray[np.float64] = np.fft.irfft(kept, count) * (count / len(padded))
    return found[extra : extra + LENGTH]


def _read(source: FileSource) -> bytes:
    """At most MAX_BYTES from wherever they are."""
    with _one_sentence(later("The upload did not arrive as a readable file: please upload the sound again.")):
        data = read_beyond(source)
    if not data:
        raise SoundError(later("The file is empty: please record or upload a sound."))
    if len(data) > MAX_BYTES:
        raise SoundError(
            later(
                "The file has more than {most} MB, the most allowed: please upload a shorter sound.",
                most=MAX_BYTES // 10**6,
            )
        )
    return data


def _decode(data: bytes) -> tuple[NDArray[np.float64], int]:
    """(N,) the mean of the channels of the first MOST_SECONDS, and the samples a second."""
    import soundfile  # here, not above: the page is built without it

    damaged = later(
        "This is damaged or no sound that can be read: please upload a whole {allowed} file.", allowed=ALLOWED
    )
    with _one_sentence(damaged), soundfile.SoundFile(io.BytesIO(data)) as file:
        if file.format not in FORMATS:
            raise SoundError(damaged)
        rate, channels = int(file.samplerate), int(file.channels)
        if not 1 <= channels <= MAX_CHANNELS:
            raise SoundError(
                later(
                    "The sound has {channels} channels; at most {most} are allowed: please save it with one or two.",
                    channels=channels,
                    most=MAX_CHANNELS,
                )
            )
        if not RATES[0] <= rate <= RATES[1]:
            raise SoundError(
                later(
                    "The sound has {rate} samples a second; {low} to {high} are allowed: please save it with 44100.",
                    rate=rate,
                    low=RATES[0],
                    high=RATES[1],
                )
            )
        most = int(MOST_SECONDS * rate)
        blocks: list[NDArray[np.float64]] = []
        while most > 0:  # by pieces, so that a header that lies about its length costs nothing
            block = file.read(min(most, 1 << 16), dtype="float64", always_2d=True)
            if not len(block):
                break
            blocks.append(block.mean(axis=1))
            most -= len(block)
    if not blocks:
        raise SoundError(later("The sound has a header but no samples: please record or upload it again."))
    return np.concatenate(blocks), rate


@contextmanager
def _one_sentence(sentence: str) -> Iterator[None]:
    """Whatever goes wrong inside becomes ``SoundError(sentence)``."""
    try:
        yield
    except SoundError:
        raise
    except Exception as error:
        raise SoundError(sentence) from error
