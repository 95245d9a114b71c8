"""The sounds are what they are called, another one for every seed, and the same for the same seed."""

from __future__ import annotations

import wave
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from resnet_demo.inputs import synthetic_sounds as sounds
from resnet_demo.inputs.synthetic_sounds import CLASSES, LENGTH, RATE, numbered, sound, wav_bytes


def loudest_hertz(samples: np.ndarray, begin: float, end: float) -> float:
    part = samples[int(begin * len(samples)) : int(end * len(samples))]
    spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part))))
    return float(np.fft.rfftfreq(len(part), 1 / RATE)[spectrum.argmax()])


@pytest.mark.parametrize("label", CLASSES)
def test_every_class_is_reproducible_and_within_range(label: str) -> None:
    first = sound(label, 3)
    assert first.shape == (LENGTH,)
    assert first.dtype == np.float32
    assert np.isfinite(first).all()
    assert 0.05 < np.abs(first).max() <= 1
    assert np.array_equal(first, sound(label, 3))
    assert not np.array_equal(first, sound(label, 4))
    assert not np.array_equal(first, sound(label, 3, wear=2))


def test_no_two_classes_share_a_sound() -> None:
    made = [sound(label, 5).tobytes() for label in CLASSES]
    assert len(set(made)) == len(CLASSES)


@pytest.mark.parametrize("seed", range(8))
def test_sweeps_go_where_they_are_said_to_go(seed: int) -> None:
    for label, rises in (("rising sweep", True), ("falling sweep", False)):
        samples = sound(label, seed, wear=0)
        heard = np.flatnonzero(np.abs(samples) > 0.05 * np.abs(samples).max())
        whole = samples[heard[0] : heard[-1]]
        early, late = loudest_hertz(whole, 0.02, 0.2), loudest_hertz(whole, 0.8, 0.98)
        assert (late > 1.2 * early) if rises else (early > 1.2 * late)


@pytest.mark.parametrize("seed", range(8))
def test_a_steady_tone_keeps_its_pitch(seed: int) -> None:
    samples = sound("steady tone", seed, wear=0)
    heard = np.flatnonzero(np.abs(samples) > 0.1 * np.abs(samples).max())
    whole = samples[heard[0] : heard[-1]]
    early, late = loudest_hertz(whole, 0.05, 0.45), loudest_hertz(whole, 0.5, 0.9)
    assert early == pytest.approx(late, rel=0.02)


def test_parts_have_seeds_of_their_own_and_classes_take_turns() -> None:
    assert [numbered(i)[1] for i in range(12)] == [*range(10), 0, 1]
    assert np.array_equal(numbered(12)[0], sound(CLASSES[2], 1))
    begins = sorted((sounds.HELD_OUT, sounds.VALIDATION, sounds.TRAINING))
    assert min(b - a for a, b in pairwise(begins)) >= 100_000  # a million sounds fit


def test_an_unknown_class_is_named() -> None:
    with pytest.raises(ValueError, match="no class called 'bark'"):
        sound("bark", 0)


def test_the_command_writes_wav_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sounds.main(["--out", str(tmp_path), "--n", "2", "--first", "40"]) == 0
    assert len(list(tmp_path.glob("*.wav"))) == 2 * len(CLASSES)
    with wave.open(str(tmp_path / "siren-41.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (RATE, 1, LENGTH)
    assert (tmp_path / "siren-41.wav").read_bytes() == wav_bytes(sound("siren", 41))
    assert "Wrote 20 sounds of 1.92 s" in capsys.readouterr().out
