"""A sound as a picture: mel bands up, steps of 20 ms across, as many of each, brightness in decibels.

How many, and up to which frequency, a network's card says: 96 and 8 kHz for any sound, 64 and 4 kHz for a
spoken word.

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

HOP = 320  # samples from column to column, 20 ms, unless a card says another step
COLUMNS = LENGTH // HOP  # 96
BANDS = COLUMNS  # rows; the lowest band is at the bottom
WINDOW = 1024  # samples under each column, 64 ms, so neighbours overlap; as many steps of every length
LOWEST, HIGHEST = 50.0, 8000.0  # Hz, where the outermost triangles end, unless a card says another end
RANGE = 60.0  # decibels from black to white


def to_mel(hertz: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Hertz to mel."""
    found: NDArray[np.float64] = 2595 * np.log10(1 + np.asarray(hertz, np.float64) / 700)
    return found


def to_hertz(mel: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Mel to hertz."""
    found: NDArray[np.float64] = 700 * (10 ** (np.asarray(mel, np.float64) / 2595) - 1)
    return found


def corners(bands: int = BANDS, highest: float = HIGHEST) -> NDArray[np.float64]:
    """(bands + 2,) the frequencies in Hz between which the triangles stand, the lowest first."""
    return to_hertz(np.linspace(to_mel(LOWEST), to_mel(highest), bands + 2))


def centres(bands: int = BANDS, highest: float = HIGHEST) -> NDArray[np.float64]:
    """(bands,) the frequency in Hz at the peak of every band, the lowest first."""
    return corners(bands, highest)[1:-1]


@lru_cache(maxsize=8)
def filters(bands: int = BANDS, highest: float = HIGHEST) -> NDArray[np.float64]:
    """(bands, WINDOW // 2 + 1) the weight of each frequency of the spectrum in each band, 0..1."""
    hertz = np.fft.rfftfreq(WINDOW, 1 / RATE)
    low, middle, high = (corners(bands, highest)[i : i + bands, None] for i in range(3))
    rising, falling = (hertz - low) / (middle - low), (high - hertz) / (high - middle)
    found: NDArray[np.float64] = np.clip(np.minimum(rising, falling), 0, None)
    return found


def mel_power(
    samples: NDArray[np.floating],
    bands: int = BANDS,
    highest: float = HIGHEST,
    hop: int = HOP,
    tempo: float = 1.0,
) -> NDArray[np.float64]:
    """The power in every band at every step.

    Args:
        samples: (N,) at RATE samples a second, finite, at least one step long.
        bands, highest: how many bands, and where in Hz the last of them ends.
        hop: samples from step to step.
        tempo: how much faster it is played, its pitch left as it is.

    Returns:
        (bands, N // (tempo hop)), the lowest band first, not below 0.

    Raises:
        ValueError: another shape, or too few samples.
    """
    if samples.ndim != 1 or len(samples) < hop:
        raise ValueError(f"samples are {samples.shape}; (N,) with N of at least {hop:g} is needed")
    window = WINDOW * hop // HOP
    around = (window - hop) // 2  # a column's window lies around its own step
    padded = np.pad(samples.astype(np.float64), (around, window))
    begins = np.rint(np.arange(int(len(samples) / (tempo * hop))) * tempo * hop).astype(int)
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[begins]  # (columns, window)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    spectrum = np.abs(np.fft.rfft(frames * hann, WINDOW, axis=1)) ** 2
    found: NDArray[np.float64] = filters(bands, highest) @ spectrum.T
    return found


def mel_picture(
    samples: NDArray[np.floating], side: int = BANDS, highest: float = HIGHEST, hop: int = HOP
) -> NetworkInput:
    """The picture of a sound: white is the loudest point of it, black RANGE decibels below.

    Relative to the loudest point, so how far away the microphone was does not matter.

    Args:
        samples: (side * hop,) at RATE samples a second, finite.
        side: columns, and bands.
        highest: where in Hz the last band ends.
        hop: samples from column to column.

    Returns:
        (side, side, 3) uint8, three times the same grey; time runs to the right, pitch upwards.
        Digital silence is black.

    Raises:
        ValueError: another shape.
    """
    if samples.shape != (side * hop,):
        raise ValueError(f"samples are {samples.shape}; ({side * hop},) is needed")
    return power_picture(mel_power(samples, side, highest, hop))


def power_picture(power: NDArray[np.floating]) -> NetworkInput:
    """The picture (bands, columns, 3) of ``mel_power`` (bands, columns), see ``mel_picture``."""
    loudest = float(power.max(initial=0.0))
    if loudest <= 0:
        return NetworkInput.of(np.zeros((*power.shape, 3), np.uint8))
    decibels = 10 * np.log10(np.maximum(power / loudest, 10 ** (-RANGE / 10)))  # -RANGE..0
    grey = np.rint(255 * (1 + decibels / RANGE)).astype(np.uint8)[::-1]  # the lowest band to the bottom
    return NetworkInput.of(np.repeat(grey[:, :, None], 3, axis=2))
