"""From the bytes of a sound that a stranger uploads or records to what the network that listens takes.

``open_sound`` gives mono samples at 16 kHz, or one clear sentence. A server opens those of strangers in a
process of its own, see ``decoding.py``. Which files are sounds, and how their samples are reached, is in
``sound_containers.py``. Rules:
    * What the header says is checked before a sample is decoded, and never more than the first
      MOST_SECONDS is.
    * Channels are averaged; where they cancel each other, as in stereo whose one cable was wired the wrong
      way round, the loudest is taken instead.
    * Of a longer sound 1.92 s are used: of the stretches that hold at least nineteen twentieths of the
      energy of the one that holds most, in steps of 20 ms, the middle one of the first that lie together,
      so that a word stands in its middle. A shorter one is followed by silence.
    * Samples that are no numbers are refused; what lies beyond -1..1 is not, since level does not matter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resnet_demo.i18n import later
from resnet_demo.inputs.errors import NO_MEMORY, SoundError
from resnet_demo.inputs.files import MAX_BYTES, FileSource, Unfit, read_whole
from resnet_demo.inputs.sound_containers import samples_of
from resnet_demo.inputs.sound_stretch import Recording, outline
from resnet_demo.inputs.synthetic_sounds import LENGTH, RATE

SHORTEST = 0.05  # seconds
SILENT = 1e-4  # the largest sample of what counts as silence: -80 dB
STEP = 0.02  # seconds between the stretches compared
ENOUGH = 0.95  # of the largest energy
CANCELLED = 0.02  # of the loudest channel's energy; two unrelated channels keep a half, one of two a quarter


def open_sound(source: FileSource) -> NDArray[np.float32]:
    """Decode an untrusted sound, in this process.

    Args:
        source: the file's bytes, its path, or the file opened for reading bytes.

    Returns:
        (LENGTH,) float32 at RATE samples a second, one channel, finite: the stretch that is used.

    Raises:
        SoundError: for anything that is not a sound within the limits.
    """
    samples = open_recording(source).samples
    return np.pad(samples, (0, LENGTH - len(samples)))


def open_recording(source: FileSource) -> Recording:
    """As ``open_sound``, with what else there is to tell of the sound.

    Raises:
        SoundError: as there.
    """
    try:
        channels, rate = samples_of(read_whole(source, UNFIT))
    except MemoryError as error:
        raise SoundError(NO_MEMORY[SoundError]) from error
    if not np.isfinite(channels).all():
        raise SoundError(
            later("The sound holds samples that are not numbers: please save it anew, as 16-bit WAV.")
        )
    samples = mixed(channels)
    if len(samples) < SHORTEST * rate:
        raise SoundError(
            later(
                "The sound lasts {found} ms; at least {least} ms are needed: please record a longer one.",
                found=f"{1000 * len(samples) / rate:.0f}",
                least=f"{1000 * SHORTEST:.0f}",
            )
        )
    scale = max(float(np.abs(samples).max()), SILENT)  # first, so that no square overflows
    level = samples / scale - (samples / scale).mean()
    begin = begin_of_loudest(level, rate)
    stretch = loudest(level, rate)
    largest = float(np.abs(stretch).max(initial=0.0))
    if largest * scale < SILENT:
        raise SoundError(
            later(
                "The sound is silent: please check that the right microphone is chosen and not muted, and"
                " record again."
            )
        )
    found = resample(stretch / largest, rate)
    used = min(LENGTH, max(1, round((len(samples) - begin) * RATE / rate)))
    return Recording(
        (found / max(1.0, float(np.abs(found).max()))).astype(np.float32)[:used],
        begin / rate,
        len(samples) / rate,
        outline(level),
    )


def begin_of_loudest(samples: NDArray[np.float64], rate: int) -> int:
    """The first sample of the stretch of samples (N,) at ``rate`` that is used, see the rules above."""
    wanted = round(LENGTH * rate / RATE)
    if len(samples) <= wanted:
        return 0
    energy = np.concatenate([[0.0], np.cumsum(samples**2)])
    begins = np.arange(0, len(samples) - wanted + 1, max(1, round(STEP * rate)))
    held = energy[begins + wanted] - energy[begins]
    enough = held >= ENOUGH * held.max()
    if enough.all():
        return 0
    first = int(np.argmax(enough))
    together = int(np.argmin(np.append(enough[first:], False)))
    return int(begins[first + (together - 1) // 2])


def loudest(samples: NDArray[np.float64], rate: int) -> NDArray[np.float64]:
    """The stretch of samples (N,) at ``rate`` that is used; filled up with silence."""
    wanted = round(LENGTH * rate / RATE)
    begin = begin_of_loudest(samples, rate)
    stretch = samples[begin : begin + wanted]
    return np.pad(stretch, (0, wanted - len(stretch)))


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


def mixed(channels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Channels (N, C), finite, as one (N,): their mean, or the loudest where the mean keeps less than
    CANCELLED of it."""
    mean = channels.mean(axis=1, dtype=np.float64)
    if channels.shape[1] == 1 or not len(mean):
        return mean
    largest = float(np.abs(channels).max()) or 1.0  # first, so that no square overflows
    each = np.array([np.square(one / largest, dtype=np.float64).sum() for one in channels.T])
    if np.square(mean / largest).sum() >= CANCELLED * each.max():
        return mean
    return channels[:, int(each.argmax())].astype(np.float64)


UNFIT = Unfit(
    SoundError,
    unreadable=later("The upload did not arrive as a readable file: please upload the sound again."),
    empty=later("The file is empty: please record or upload a sound."),
    large=later(
        "The file has more than {most} MB, the most allowed: please upload a shorter sound.",
        most=MAX_BYTES // 10**6,
    ),
)
