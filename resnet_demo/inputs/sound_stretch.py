"""Which stretch of a sound a network hears, when the sound is longer or shorter than its picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TAIL = 0.01  # share of the energy that may lie before the middle part, and after it
OUTLINE = 240  # parts of a whole sound, of which the largest sample is told


@dataclass(frozen=True, eq=False)
class Recording:
    """A sound that was opened.

    Attributes:
        samples: float32 at RATE samples a second, one channel, finite, -1..1: the stretch that is used, at
            most LENGTH and no longer than the sound.
        begin: seconds before it.
        seconds: how long the sound is, as far as it was looked at.
        outline: (OUTLINE,) float32, 0..1: how loud each part of the whole is, the loudest 1.
    """

    samples: NDArray[np.float32]
    begin: float = 0.0
    seconds: float = 0.0
    outline: NDArray[np.float32] | None = None

    def tobytes(self) -> bytes:
        """The samples, by which one recording is told from another."""
        return self.samples.tobytes()


def outline(samples: NDArray[np.float64]) -> NDArray[np.float32]:
    """(OUTLINE,) the largest sample of each part of a sound (N,), relative to the largest of all."""
    edges = np.linspace(0, len(samples), OUTLINE + 1).astype(int)[:-1]
    edges = np.minimum(edges, len(samples) - 1)
    found = np.maximum.reduceat(np.abs(samples), edges)
    return (found / max(float(found.max()), 1e-12)).astype(np.float32)


def middle_of(samples: NDArray[np.floating]) -> float:
    """The middle of the part that holds all but TAIL of the energy at either end, in samples; 0 for
    silence."""
    energy = np.cumsum(np.square(samples, dtype=np.float64))
    if not len(energy) or energy[-1] <= 0:
        return 0.0
    first, last = np.searchsorted(energy, [TAIL * energy[-1], (1 - TAIL) * energy[-1]])
    return float(first + last) / 2


def begin_of(samples: NDArray[np.floating], wanted: int) -> int:
    """Where the stretch of ``wanted`` samples begins that a network for words hears: the word in its
    middle. It may lie before the first sample."""
    return round(middle_of(samples) - wanted / 2)


def stretch_of(samples: NDArray[np.floating], begin: int, wanted: int) -> NDArray[np.floating]:
    """The ``wanted`` samples from ``begin`` on; silence where there are none."""
    first, last = max(0, begin), min(len(samples), begin + wanted)
    found = np.zeros(wanted, samples.dtype)
    if first < last:
        found[first - begin : last - begin] = samples[first:last]
    return found
