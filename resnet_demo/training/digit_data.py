"""Spoken digits: recordings by speaker, and random views of them.

A recording is named ``digit_speaker_take.wav``, as in the Free Spoken Digit Dataset. Speakers are held out,
never
takes: a network knows a voice that it was trained on.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from resnet_demo.inputs.errors import SoundError
from resnet_demo.inputs.mel_spectrogram import mel_power, power_picture
from resnet_demo.inputs.sound import hop_of
from resnet_demo.inputs.sound_decoding import open_recording
from resnet_demo.inputs.sound_stretch import begin_of, stretch_of
from resnet_demo.inputs.synthetic_sounds import RATE
from resnet_demo.records import NetworkInput, Preprocessing
from resnet_demo.training.data import DataError

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
HEARD = Preprocessing(
    size=72, resize="squash", mean=(0.25,), std=(0.25,), modality="sound", highest=4000.0, step=12.5
)
HOP = hop_of(HEARD.step)
WANTED = HEARD.size * HOP  # samples of a picture: 0.9 s

PITCH = 0.18  # by which the pitch is raised or lowered at most, as a logarithm
TEMPO = 0.22  # the same of the tempo
MOVED = 0.08  # seconds by which the word lies off the middle at most
QUIET, LOUD = 12.0, 50.0  # decibels that the noise lies below the word
ECHO = 0.5  # share of views in a room


@dataclass(frozen=True)
class Recording:
    """One recording: what is said, by whom, and its samples at RATE."""

    digit: int
    speaker: str
    samples: NDArray[np.float32]


def read_recordings(archive: Path) -> list[Recording]:
    """All of a tar file, in the order of their names, through the page's own way to samples.

    Raises:
        DataError: it is missing or damaged, or a member has another name.
    """
    found: dict[str, Recording] = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                if not member.isfile() or not member.name.endswith(".wav"):
                    continue
                name = PurePosixPath(member.name).stem
                digit, _, speaker = name.rpartition("_")[0].partition("_")
                if not speaker or digit not in map(str, range(10)):
                    raise DataError(
                        f"{archive.name} holds {member.name!r}; wanted is digit_speaker_take.wav."
                    )
                file = tar.extractfile(member)
                assert file is not None
                found[name] = Recording(int(digit), speaker, open_recording(file.read()).samples)
    except (OSError, EOFError, tarfile.TarError, SoundError) as error:
        raise DataError(f"{archive} is not a readable archive of recordings: {error}") from error
    if not found:
        raise DataError(f"{archive} holds no recordings.")
    return [found[name] for name in sorted(found)]


def plain_picture(samples: NDArray[np.floating]) -> NetworkInput:
    """The picture (72, 72, 3) of a recording as the page makes it."""
    heard = stretch_of(samples, begin_of(samples, WANTED), WANTED)
    return power_picture(mel_power(heard, HEARD.size, HEARD.highest, HOP))


def random_picture(samples: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.uint8]:
    """One random view of a recording, (72, 72) uint8: another pitch and tempo, a room, a microphone,
    noise."""
    voice = _resampled(samples.astype(np.float64), float(np.exp(rng.uniform(-PITCH, PITCH))))
    tempo = float(np.exp(rng.uniform(-TEMPO, TEMPO)))
    wanted = int(np.ceil(WANTED * tempo)) + 1
    begin = begin_of(voice, wanted) + round(rng.uniform(-MOVED, MOVED) * RATE)
    heard = stretch_of(voice, begin, wanted).astype(np.float64)
    if rng.random() < ECHO:
        heard = _in_a_room(heard, rng)
    if rng.random() < 0.8:
        level = np.sqrt(np.square(heard).max() / 20) * 10 ** (-rng.uniform(QUIET, LOUD) / 20)
        heard = heard + level * _noise(wanted, rng)
    heard = _by_a_microphone(heard, rng)
    power = mel_power(heard, HEARD.size, HEARD.highest, HOP, tempo)[:, : HEARD.size]
    return power_picture(power)[..., 0]


def random_pictures(recordings: Sequence[Recording], count: int, seed: int, cache: Path) -> NDArray[np.uint8]:
    """``count`` random views of each recording, (count, N, 72, 72), made once and kept in ``cache``."""
    kept = cache / f"views-{len(recordings)}-{count}-{seed}.npy"
    if not kept.exists():
        side = HEARD.size
        found = np.empty((count, len(recordings), side, side), np.uint8)
        for i, recording in enumerate(tqdm(recordings, desc="views", unit="recording", disable=None)):
            rng = np.random.default_rng([seed, i])
            for view in range(count):
                found[view, i] = random_picture(recording.samples, rng)
        cache.mkdir(parents=True, exist_ok=True)
        np.save(kept, found)
    loaded: NDArray[np.uint8] = np.load(kept, mmap_mode="r")
    return loaded


def _resampled(samples: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """Played ``factor`` times as fast."""
    return np.interp(np.arange(0, len(samples) - 1, factor), np.arange(len(samples)), samples)


def _in_a_room(samples: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """With an echo that dies away within a tenth to half a second."""
    length = int(RATE * rng.uniform(0.1, 0.5))
    response = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
    response *= rng.uniform(0.1, 0.6) / np.sqrt(np.square(response).sum())
    response[0] += 1
    count = 1 << (len(samples) + length).bit_length()
    found = np.fft.irfft(np.fft.rfft(samples, count) * np.fft.rfft(response, count), count)
    return found[: len(samples)]


def _noise(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Noise of mean power 1 whose spectrum falls by 0 to 9 dB an octave, at times with a hum."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    hertz = np.fft.rfftfreq(count, 1 / RATE)
    spectrum *= np.maximum(hertz, 60) ** (-rng.uniform(0, 1.5))
    noise = np.fft.irfft(spectrum, count)
    noise /= np.sqrt(np.square(noise).mean()) + 1e-12
    if rng.random() < 0.2:
        noise += rng.uniform(0.3, 2) * np.sin(
            2 * np.pi * rng.choice([50, 60, 100, 120]) * np.arange(count) / RATE
        )
    return noise


def _by_a_microphone(samples: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """With a spectrum tilted and bent by some decibels, and at times clipped."""
    spectrum = np.fft.rfft(samples)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(len(samples), 1 / RATE), 50) / 1000)
    points = np.linspace(-4.5, 3, 6)
    bent = np.interp(octaves, points, rng.normal(0, 2.5, len(points))) + rng.normal(0, 1.5) * octaves
    found = np.fft.irfft(spectrum * 10 ** (bent / 20), len(samples))
    if rng.random() < 0.15:
        most = np.abs(found).max() * rng.uniform(0.3, 0.9)
        found = np.clip(found, -most, most)
    return found


def speakers(recordings: Iterable[Recording]) -> list[str]:
    """Who speaks, in alphabetical order."""
    return sorted({recording.speaker for recording in recordings})
