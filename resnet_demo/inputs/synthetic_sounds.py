"""Sounds made by formula: ten classes of short sounds, each another one for every seed.

They are what the network that listens was trained on, what the page offers as examples, and what
the tests feed it. ``python -m resnet_demo sounds --out DIR --n 5`` writes some as WAV files.
Pitch, level, timbre, envelope, tempo and background differ from seed to seed; ``wear`` adds what a
room and a cheap microphone would: echo, hiss, hum, a missing bass, clipping.
"""

from __future__ import annotations

import argparse
import io
import sys
import wave
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE = 16_000  # samples a second
LENGTH = 30_720  # samples of a sound: 1.92 s
CLASSES = (
    "steady tone",
    "chord",
    "melody",
    "rising sweep",
    "falling sweep",
    "siren",
    "tremolo",
    "noise",
    "noise bursts",
    "clicks",
)
EXAMPLES = CLASSES  # one of each
EXAMPLE_SEED = 7
TOP = 7_400.0  # Hz; no partial is higher, so that none is folded back
HELD_OUT, VALIDATION, TRAINING = 0, 1_000_000, 2_000_000  # where the seeds of each part begin
CHORDS = ((0, 4, 7), (0, 3, 7), (0, 5, 9), (0, 3, 8), (0, 5, 8), (0, 4, 7, 12), (0, 3, 7, 12), (0, 4, 7, 10))

Samples = NDArray[np.float32]
Wave = NDArray[np.float64]
Random = np.random.Generator


def sound(label: str, seed: int, wear: float = 1.0) -> Samples:
    """One sound of class ``label``.

    Args:
        label: one of CLASSES.
        seed: the same seed gives the same samples; seeds are at least 0.
        wear: 0 leaves it as synthesised, 1 is an ordinary room and microphone, 2 a bad one.

    Returns:
        (LENGTH,) float32 in -1..1 at RATE samples a second.

    Raises:
        ValueError: there is no such class.
    """
    if label not in CLASSES:
        raise ValueError(f"There is no class called {label!r}; choose one of {', '.join(CLASSES)}.")
    rng = np.random.default_rng([CLASSES.index(label), seed])
    clean = _MAKERS[label](rng)
    clean = clean / max(float(np.abs(clean).max()), 1e-9)
    worn = _worn(clean, rng, wear)
    level = 10 ** (rng.uniform(-24, -1) / 20)
    return np.clip(worn / max(float(np.abs(worn).max()), 1e-9) * level, -1, 1).astype(np.float32)


def numbered(index: int, first: int = HELD_OUT, wear: float = 1.0) -> tuple[Samples, int]:
    """Sound number ``index`` of the part whose seeds begin at ``first``, and the index of its class.

    Classes take turns, so any run of ten holds one of each.
    """
    label = index % len(CLASSES)
    return sound(CLASSES[label], first + index // len(CLASSES), wear), label


def wav_bytes(samples: NDArray[np.floating], rate: int = RATE) -> bytes:
    """Samples (N,) in -1..1 as a WAV file of one channel and 16 bits."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).round().astype("<i2").tobytes())
    return buffer.getvalue()


def _clock() -> Wave:
    """Seconds at each sample."""
    return np.arange(LENGTH) / RATE


def _log_uniform(rng: Random, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _timbre(rng: Random, most: int) -> Wave:
    """Amplitudes of the partials 1 to at most ``most``: falling, at times the odd ones alone."""
    count = int(rng.integers(1, most + 1))
    partials = np.arange(1, count + 1) ** -rng.uniform(0.7, 2.2) * rng.uniform(0.5, 1, count)
    if rng.random() < 0.25:
        partials[1::2] = 0
    partials[0] = 1
    found: Wave = partials
    return found


def _voice(rng: Random, frequency: Wave | float, partials: Wave) -> Wave:
    """A harmonic sound whose pitch follows ``frequency`` in Hz, (LENGTH,) or one number."""
    hertz = np.broadcast_to(np.asarray(frequency, np.float64), LENGTH)
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    total = np.zeros(LENGTH)
    for number, amplitude in enumerate(partials, 1):
        if amplitude:
            audible = hertz * number < TOP
            total += amplitude * audible * np.sin(number * phase + rng.uniform(0, 2 * np.pi))
    return total


def _envelope(rng: Random, begin: float, end: float, decays: bool = False) -> Wave:
    """0..1 over the sound: rises at ``begin`` and is gone at ``end``, both in seconds."""
    t = _clock()
    attack, release = rng.uniform(0.004, 0.06), rng.uniform(0.01, 0.15)
    shape = np.clip((t - begin) / attack, 0, 1) * np.clip((end - t) / release, 0, 1)
    if decays:
        shape = shape * np.exp(-np.maximum(t - begin, 0) / rng.uniform(0.35, 1.5))
    found: Wave = shape
    return found


def _span(rng: Random, shortest: float) -> tuple[float, float]:
    """Beginning and end in seconds of a sound that lasts at least ``shortest``."""
    whole = LENGTH / RATE
    length = whole if rng.random() < 0.4 else rng.uniform(shortest, whole)
    begin = rng.uniform(0, whole - length)
    return float(begin), float(begin + length)


def _steady_tone(rng: Random) -> Wave:
    frequency = _log_uniform(rng, 110, 3000)
    drift = 1 + rng.uniform(0, 0.006) * np.sin(2 * np.pi * rng.uniform(0.2, 6) * _clock())
    envelope = _envelope(rng, *_span(rng, 0.9), decays=rng.random() < 0.3)
    return _voice(rng, frequency * drift, _timbre(rng, 8)) * envelope


def _chord(rng: Random) -> Wave:
    root = _log_uniform(rng, 150, 800)
    partials = _timbre(rng, 4)
    begin, end = _span(rng, 0.9)
    decays = rng.random() < 0.5
    total = np.zeros(LENGTH)
    for step in CHORDS[rng.integers(len(CHORDS))]:
        late = begin + (rng.uniform(0, 0.03) if decays else 0)
        tone = _voice(rng, root * 2 ** (step / 12), partials) * rng.uniform(0.7, 1)
        total += tone * _envelope(rng, late, end, decays)
    return total


def _melody(rng: Random) -> Wave:
    count = int(rng.integers(4, 9))
    semitone = rng.integers(0, 13)
    base = _log_uniform(rng, 150, 900)
    partials = _timbre(rng, 6)
    edges = np.linspace(rng.uniform(0, 0.15), LENGTH / RATE - rng.uniform(0, 0.1), count + 1)
    decays = rng.random() < 0.5
    gap = rng.uniform(0, 0.04)
    total = np.zeros(LENGTH)
    for begin, end in pairwise(edges):
        step = int(rng.choice([-7, -5, -4, -3, -2, 2, 3, 4, 5, 7]))
        semitone = semitone + step if -5 <= semitone + step <= 17 else semitone - step
        tone = _voice(rng, base * 2 ** (semitone / 12), partials)
        total += tone * _envelope(rng, float(begin), float(end) - gap, decays) * rng.uniform(0.7, 1)
    return total


def _sweep(rng: Random, rising: bool) -> Wave:
    octaves = rng.uniform(1.0, 4.0)
    low = _log_uniform(rng, 100, 5500 / 2**octaves)
    begin, end = _span(rng, 0.7)
    way = np.clip((_clock() - begin) / (end - begin), 0, 1)
    if not rising:
        way = 1 - way
    evenly = rng.random() < 0.3
    frequency = low * (1 + (2**octaves - 1) * way if evenly else 2 ** (octaves * way))
    return _voice(rng, frequency, _timbre(rng, 5)) * _envelope(rng, begin, end)


def _siren(rng: Random) -> Wave:
    rate = _log_uniform(rng, 1.1, 6)
    depth = rng.uniform(2.5, 9)  # semitones to either side
    turn = 2 * np.pi * (rate * _clock() + rng.random())
    swing = np.sin(turn) if rng.random() < 0.6 else np.arcsin(np.sin(turn)) * 2 / np.pi
    frequency = _log_uniform(rng, 250, 2200) * 2 ** (depth * swing / 12)
    return _voice(rng, frequency, _timbre(rng, 5)) * _envelope(rng, *_span(rng, 1.5))


def _tremolo(rng: Random) -> Wave:
    rate = _log_uniform(rng, 3, 11)
    swing = 0.5 + 0.5 * np.sin(2 * np.pi * (rate * _clock() + rng.random()))
    depth = rng.uniform(0.75, 1)
    tone = _voice(rng, _log_uniform(rng, 150, 2500), _timbre(rng, 6))
    return tone * (1 - depth + depth * swing) * _envelope(rng, *_span(rng, 1.2))


def _coloured(rng: Random) -> Wave:
    """Noise whose spectrum slopes, at times a band of it alone."""
    spectrum = np.fft.rfft(rng.normal(size=LENGTH))
    hertz = np.maximum(np.fft.rfftfreq(LENGTH, 1 / RATE), 20)
    shape = hertz ** -rng.uniform(0, 0.9)
    if rng.random() < 0.4:
        octaves = np.log2(hertz / _log_uniform(rng, 500, 4000))
        shape = shape * np.exp(-0.5 * (octaves / rng.uniform(0.5, 1.5)) ** 2)
    noise: Wave = np.fft.irfft(spectrum * shape, LENGTH)
    return noise / noise.std()


def _noise(rng: Random) -> Wave:
    return _coloured(rng) * _envelope(rng, *_span(rng, 0.9))


def _noise_bursts(rng: Random) -> Wave:
    rate = rng.uniform(2, 6)
    share = rng.uniform(0.25, 0.6)
    fades = rng.random() < 0.5
    place = (rate * _clock() + rng.random()) % 1
    edge = 0.012 * rate
    gate = np.clip(place / edge, 0, 1) * np.clip((share - place) / edge, 0, 1)
    if fades:
        gate = gate * np.exp(-3 * place / share)
    return _coloured(rng) * gate * _envelope(rng, *_span(rng, 1.5))


def _clicks(rng: Random) -> Wave:
    gap = 1 / rng.uniform(2, 9)
    at = np.arange(rng.uniform(0, gap), LENGTH / RATE - 0.02, gap)
    at = at + rng.normal(0, rng.choice([0, 0.03]) * gap, len(at))
    ringing = np.arange(int(0.06 * RATE)) / RATE
    decay = _log_uniform(rng, 0.0007, 0.006)
    hertz = _log_uniform(rng, 600, 5000)
    click = np.exp(-ringing / decay) * np.sin(2 * np.pi * hertz * ringing + rng.uniform(0, 6))
    if rng.random() < 0.5:
        click = np.exp(-ringing / decay) * rng.normal(size=len(ringing))
    total = np.zeros(LENGTH + len(click))
    for start in (np.clip(at, 0, LENGTH / RATE) * RATE).astype(int):
        total[start : start + len(click)] += click * rng.uniform(0.6, 1)
    return total[:LENGTH]


def _worn(clean: Wave, rng: Random, wear: float) -> Wave:
    """What a room and a microphone make of a sound whose peak is 1."""
    if wear <= 0:
        return clean
    found = clean
    size = 2 * LENGTH
    hertz = np.maximum(np.fft.rfftfreq(size, 1 / RATE), 20)
    change = np.ones(len(hertz), np.complex128)
    if rng.random() < 0.6:  # echo
        decay = rng.uniform(0.03, 0.12 + 0.1 * wear)
        t = np.arange(int(5 * decay * RATE)) / RATE
        tail = rng.normal(size=len(t)) * np.exp(-t / decay)
        tail *= 10 ** (rng.uniform(-24, -12 + 4 * wear) / 20) / np.sqrt((tail**2).sum())
        change = change + np.fft.rfft(tail, size)
    if rng.random() < 0.7:  # a tilt, no bass, no treble
        change = change * (hertz / 1000) ** (rng.uniform(-0.3, 0.3) * wear)
        change = change / np.sqrt(1 + (rng.uniform(40, 40 + 130 * wear) / hertz) ** 4)
        change = change / np.sqrt(1 + (hertz / rng.uniform(9000 - 2400 * wear, 9000)) ** 8)
    found = np.fft.irfft(np.fft.rfft(found, size) * change, size)[:LENGTH]
    if rng.random() < 0.3:  # clipped
        drive = rng.uniform(1, 1 + 2 * wear)
        found = np.tanh(drive * found / max(float(np.abs(found).max()), 1e-9))
    loud = float(np.sqrt(np.mean(found**2)))
    if rng.random() < 0.85:  # hiss
        below = rng.uniform(34 - 10 * wear, 60)
        found = found + _coloured(rng) * loud * 10 ** (-below / 20)
    if rng.random() < 0.3:  # hum of the mains
        below = rng.uniform(36 - 10 * wear, 60)
        hum = _voice(rng, float(rng.choice([50.0, 60.0])), np.array([1, 0.3, 0.5, 0.1, 0.2]))
        found = found + hum * loud * 10 ** (-below / 20)
    return found


_MAKERS: dict[str, Callable[[Random], Wave]] = {
    "steady tone": _steady_tone,
    "chord": _chord,
    "melody": _melody,
    "rising sweep": lambda rng: _sweep(rng, rising=True),
    "falling sweep": lambda rng: _sweep(rng, rising=False),
    "siren": _siren,
    "tremolo": _tremolo,
    "noise": _noise,
    "noise bursts": _noise_bursts,
    "clicks": _clicks,
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m resnet_demo sounds", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the WAV files")
    parser.add_argument("--n", type=int, default=1, help="sounds of each class (default %(default)s)")
    parser.add_argument("--first", type=int, default=HELD_OUT, help="the first seed (default %(default)s)")
    parser.add_argument("--wear", type=float, default=1.0, help="0 clean, 1 ordinary, 2 bad")
    args = parser.parse_args(argv)
    if args.n < 1 or args.first < 0:
        parser.error("--n must be at least 1 and --first at least 0")
    args.out.mkdir(parents=True, exist_ok=True)
    for label in CLASSES:
        for seed in range(args.first, args.first + args.n):
            name = f"{label.replace(' ', '-')}-{seed}.wav"
            (args.out / name).write_bytes(wav_bytes(sound(label, seed, args.wear)))
    print(f"Wrote {args.n * len(CLASSES)} sounds of {LENGTH / RATE:.2f} s to {args.out}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
