"""A sound as a picture: 96 mel bands up, 96 steps of 20 ms across, brightness in decibels.

The mel scale is that of O'Shaughnessy 1987 and of HTK, ``mel = 2595 log10(1 + f / 700)``; the bands are
triangles that overlap by half, as in Davis and Mermelstein 1980 (https://doi.org/10.1109/TASSP.1980.1163420).
Such pictures are what networks for images were first given to hear with (Hershey et al. 2017,
https://arxiv.org/abs/1609.09430).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from resnet_demo.inputs.synthetic_sounds import LENGTH, RATE
from resnet_demo.records import NetworkInput

BANDS = 96  # rows; the lowest band is at the bottom
HOP = 320  # samples from column to column: 20 ms
COLUMNS = LENGTH // HOP  # 96
WINDOW = 1024  # samples under each column: 64 ms, so neighbours overlap
LOWEST, HIGHEST = 50.0, 8000.0  # Hz, where the outermost triangles end
RANGE = 60.0  # decibels from black to white


def to_mel(hertz: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Hertz to mel."""
    found: NDArray[np.float64] = 2595 * np.log10(1 + np.asarray(hertz, np.float64) / 700)
    return found


def to_hertz(mel: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Mel to hertz."""
    found: NDArray[np.float64] = 700 * (10 ** (np.asarray(mel, np.float64) / 2595) - 1)
    return found


def centres() -> NDArray[np.float64]:
    """(BANDS,) the frequency in Hz at the peak of every band, the lowest first."""
    return to_hertz(np.linspace(to_mel(LOWEST), to_mel(HIGHEST), BANDS + 2))[1:-1]


@lru_cache(maxsize=1)
def filters() -> NDArray[np.float64]:
    """(BANDS, WINDOW // 2 + 1) the weight of each frequency of the spectrum in each band, 0..1."""
    corners = to_hertz(np.linspace(to_mel(LOWEST), to_mel(HIGHEST), BANDS + 2))
    hertz = np.fft.rfftfreq(WINDOW, 1 / RATE)
    low, middle, high = (corners[i : i + BANDS, None] for i in range(3))
    rising, falling = (hertz - low) / (middle - low), (high - hertz) / (high - middle)
    found: NDArray[np.float64] = np.clip(np.minimum(rising, falling), 0, None)
    return found


def mel_power(samples: NDArray[np.floating]) -> NDArray[np.float64]:
    """The power in every band at every step.

    Args:
        samples: (LENGTH,) at RATE samples a second, finite.

    Returns:
        (BANDS, COLUMNS), the lowest band first, not below 0.

    Raises:
        ValueError: another shape.
    """
    if samples.shape != (LENGTH,):
        raise ValueError(f"samples are {samples.shape}; ({LENGTH},) is needed")
    around = (WINDOW - HOP) // 2  # a column's window lies around its own 20 ms
    padded = np.pad(samples.astype(np.float64), (around, WINDOW - HOP - around))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]  # (COLUMNS, WINDOW)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    spectrum = np.abs(np.fft.rfft(frames * hann, axis=1)) ** 2
    found: NDArray[np.float64] = filters() @ spectrum.T
    return found


def mel_picture(samples: NDArray[np.floating]) -> NetworkInput:
    """The picture of a sound: white is the loudest point of it, black RANGE decibels below.

    Relative to the loudest point, so how far away the microphone was does not matter.

    Args:
        samples: as for ``mel_power``.

    Returns:
        (BANDS, COLUMNS, 3) uint8, three times the same grey; time runs to the right, pitch upwards.
        Digital silence is black.
    """
    power = mel_power(samples)
    loudest = float(power.max(initial=0.0))
    if loudest <= 0:
        return NetworkInput.of(np.zeros((BANDS, COLUMNS, 3), np.uint8))
    decibels = 10 * np.log10(np.maximum(power / loudest, 10 ** (-RANGE / 10)))  # -RANGE..0
    grey = np.rint(255 * (1 + decibels / RANGE)).astype(np.uint8)[::-1]  # the lowest band to the bottom
    return NetworkInput.of(np.repeat(grey[:, :, None], 3, axis=2))
