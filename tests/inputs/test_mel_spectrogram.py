"""The picture of a sound agrees with the textbook's formulas, and a pure tone lies where it should."""

from __future__ import annotations

import numpy as np
import pytest

from resnet_demo.inputs import mel_spectrogram as mel
from resnet_demo.inputs.mel_spectrogram import (
    BANDS,
    COLUMNS,
    HOP,
    RANGE,
    WINDOW,
    centres,
    filters,
    mel_picture,
    mel_power,
)
from resnet_demo.inputs.synthetic_sounds import LENGTH, RATE, sound


def tone(hertz: float, level: float = 0.5) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hertz * np.arange(LENGTH) / RATE)).astype(np.float32)


def test_the_mel_scale_is_the_textbooks() -> None:
    assert mel.to_mel(1000.0) == pytest.approx(1000, abs=0.1)  # how the scale is defined
    assert mel.to_mel(0.0) == 0
    assert mel.to_mel(4000.0) == pytest.approx(2146.06, abs=0.01)
    hertz = np.linspace(0, 8000, 50)
    assert mel.to_hertz(mel.to_mel(hertz)) == pytest.approx(hertz, abs=1e-6)


def test_the_bands_are_triangles_that_overlap_by_half() -> None:
    found = filters()
    assert found.shape == (BANDS, WINDOW // 2 + 1)
    assert (found >= 0).all()
    assert (found <= 1).all()
    assert (found.max(1) > 0.5).all()  # every band hears something
    hertz = np.fft.rfftfreq(WINDOW, 1 / RATE)
    inner = (hertz > centres()[0]) & (hertz < centres()[-1])
    assert found.sum(0)[inner] == pytest.approx(1)  # neighbours share what lies between them
    steps = np.diff(mel.to_mel(centres()))
    assert steps == pytest.approx(steps[0])


@pytest.mark.parametrize("hertz", [120.0, 440.0, 1000.0, 3000.0, 7000.0])
def test_a_pure_tone_lands_in_its_band(hertz: float) -> None:
    band = int(np.argmin(np.abs(mel.to_mel(centres()) - mel.to_mel(hertz))))
    power = mel_power(tone(hertz))
    assert (np.abs(power[:, 5:-5].argmax(0) - band) <= 1).all()
    picture = mel_picture(tone(hertz))
    assert np.abs((BANDS - 1 - picture[:, 40, 0].argmax()) - band) <= 1  # low frequencies at the bottom


def test_power_agrees_with_the_definition_written_out() -> None:
    samples = sound("siren", 1)
    power = mel_power(samples)
    column = 37
    begin = column * HOP - (WINDOW - HOP) // 2
    frame = samples[begin : begin + WINDOW].astype(np.float64)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    for band in (3, 40, 90):
        corners = mel.to_hertz(np.linspace(mel.to_mel(50.0), mel.to_mel(8000.0), BANDS + 2))[band : band + 3]
        total = 0.0
        for k in range(WINDOW // 2 + 1):
            hertz = k * RATE / WINDOW
            weight = np.interp(hertz, corners, [0, 1, 0]) if corners[0] < hertz < corners[2] else 0.0
            if weight:
                turn = np.exp(-2j * np.pi * k * np.arange(WINDOW) / WINDOW)
                total += weight * abs(np.sum(frame * window * turn)) ** 2
        assert power[band, column] == pytest.approx(total, rel=1e-9)


def test_time_runs_to_the_right_in_steps_of_20_ms() -> None:
    samples = np.zeros(LENGTH, np.float32)
    samples[1000 * RATE // 1000 : 1000 * RATE // 1000 + 3] = 1  # a click after one second
    assert abs(int(mel_power(samples).sum(0).argmax()) - 50) <= 1


def test_the_picture_is_grey_and_knows_no_loudness() -> None:
    picture = mel_picture(sound("chord", 2))
    assert picture.shape == (BANDS, COLUMNS, 3)
    assert picture.dtype == np.uint8
    assert picture.flags.writeable
    assert np.array_equal(picture[..., 0], picture[..., 2])
    assert picture.max() == 255
    quiet = mel_picture(sound("chord", 2) * np.float32(0.01))
    assert np.abs(quiet.astype(int) - picture).max() <= 1


def test_brightness_is_in_decibels() -> None:
    both = np.concatenate([tone(1000)[: LENGTH // 2], tone(1000, 0.05)[LENGTH // 2 :]])  # 20 dB less
    picture = mel_picture(both)[..., 0].astype(int)
    row = picture[:, 20].argmax()
    assert picture[row, 20] - picture[row, 75] == pytest.approx(255 * 20 / RANGE, abs=2)


def test_silence_is_black_and_another_length_is_refused() -> None:
    assert mel_picture(np.zeros(LENGTH, np.float32)).max() == 0
    with pytest.raises(ValueError, match="is needed"):
        mel_picture(np.zeros(100, np.float32))
