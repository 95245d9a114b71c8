"""What the networks of a race learn from: small grey pictures of ten kinds, and which of them are held out.

- digits: 1,797 handwritten digits of 8x8, the "Optical Recognition of Handwritten Digits" data of the UCI
  repository (Alpaydin and Kaynak 1998, https://doi.org/10.24432/C50P49, CC BY 4.0), as scikit-learn carries
  them
- pictures: 16x16, drawn by formula here, another one for every number
- sounds: the project's synthetic sounds as mel pictures of 16x16, kept in ``sounds.npz``, which
  ``python -m resnet_demo.race.data`` makes anew
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnet_demo.i18n import later
from resnet_demo.inputs.mel_spectrogram import mel_picture
from resnet_demo.inputs.synthetic_sounds import CLASSES as SOUNDS
from resnet_demo.inputs.synthetic_sounds import HELD_OUT, TRAINING, numbered
from resnet_demo.race.records import BATCH

Grey = NDArray[np.float32]
Part = tuple[Grey, NDArray[np.int64]]  # pictures (N, H, W) in 0..1, and their classes
Random = np.random.Generator

SIDE = 16  # of pictures and sounds
SPLIT_SEED = 0
DIGITS_HELD_OUT = 360
PICTURES = (1200, 300)  # training, held out
SOUND_COUNTS = (1000, 300)
STORED_SOUNDS = Path(__file__).with_name("sounds.npz")
WATCHED = 100  # held-out pictures that are looked at while training
KINDS = (
    later("horizontal stripes"),
    later("vertical stripes"),
    later("rising stripes"),
    later("falling stripes"),
    later("checkerboard"),
    later("disc"),
    later("ring"),
    later("frame"),
    later("plus sign"),
    later("triangle"),
)


@dataclass(frozen=True, eq=False)
class RaceData:
    """Pictures to learn from, and pictures held out.

    Attributes:
        name: "digits", "pictures" or "sounds".
        train, test: (N, 1, H, W) float32, the training pictures of mean 0 and deviation 1; the first ten of
            ``test`` are one of each class, in order.
        train_labels, test_labels: (N,) int64, 0..9.
        classes: their names.
        mean, std: what was subtracted from values in 0..1, and what the rest was divided by.
        stride: of the stem; 2 halves 16x16 to 8x8.
    """

    name: str
    train: Grey
    train_labels: NDArray[np.int64]
    test: Grey
    test_labels: NDArray[np.int64]
    classes: tuple[str, ...]
    mean: float
    std: float
    stride: int

    @property
    def side(self) -> int:
        """Pixels of a side."""
        return int(self.test.shape[-1])

    def row(self) -> NDArray[np.uint8]:
        """(10, H, W) uint8, the first ten held-out pictures as a page shows them."""
        grey = self.test[:10, 0] * self.std + self.mean
        shown: NDArray[np.uint8] = np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8)
        return shown

    def prepared(self, grey: NDArray[np.floating]) -> Grey:
        """A picture (H, W) of values in 0..1 as the networks take it, (1, 1, H, W) float32."""
        found: Grey = ((grey - self.mean) / self.std).astype(np.float32)[None, None]
        return found


@cache
def load(name: str) -> RaceData:
    """The data called ``name``; read or drawn once.

    Raises:
        ValueError: there is no such data.
    """
    makers: dict[str, Callable[[], RaceData]] = {"digits": _digits, "pictures": _pictures, "sounds": _sounds}
    if name not in makers:
        raise ValueError(f"There is no data called {name!r}; choose one of {', '.join(makers)}.")
    return makers[name]()


def batches(count: int, steps: int, seed: int) -> NDArray[np.int64]:
    """(steps, BATCH) indices below ``count``: every picture once before any comes again.

    Every network of a race is given the same.
    """
    rng = np.random.default_rng(seed)
    rounds = -(-steps * BATCH // count)
    order = np.concatenate([rng.permutation(count) for _ in range(rounds)])
    return order[: steps * BATCH].reshape(steps, BATCH)


def picture(index: int, first: int = 0) -> tuple[Grey, int]:
    """Picture number ``index`` drawn by formula: (16, 16) float32 in 0..1, and its class; classes take
    turns."""
    label = index % len(KINDS)
    rng = np.random.default_rng([first, label, index])
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    shape = _SHAPES[label](x - rng.uniform(5.5, 9.5), y - rng.uniform(5.5, 9.5), rng)
    dark, bright = rng.uniform(0, 0.35), rng.uniform(0.6, 1.0)
    if rng.random() < 0.5:
        dark, bright = bright, dark
    grey = dark + (bright - dark) * np.clip(shape, 0, 1) + rng.normal(0, 0.08, (SIDE, SIDE))
    return np.clip(grey, 0, 1).astype(np.float32), label


def _stripes(along: NDArray[np.float64], rng: Random) -> NDArray[np.float64]:
    found: NDArray[np.float64] = 0.5 + 1.5 * np.sin(2 * np.pi * (along / rng.uniform(3.2, 7) + rng.random()))
    return found


def _checkerboard(x: NDArray[np.float64], y: NDArray[np.float64], rng: Random) -> NDArray[np.float64]:
    period = rng.uniform(4, 8)
    found: NDArray[np.float64] = 0.5 + 2 * np.sin(2 * np.pi * x / period) * np.sin(2 * np.pi * y / period)
    return found


def _disc(x: NDArray[np.float64], y: NDArray[np.float64], rng: Random) -> NDArray[np.float64]:
    found: NDArray[np.float64] = rng.uniform(3, 5.5) - np.hypot(x, y) + 0.5
    return found


def _ring(x: NDArray[np.float64], y: NDArray[np.float64], rng: Random) -> NDArray[np.float64]:
    found: NDArray[np.float64] = rng.uniform(0.8, 1.3) - np.abs(np.hypot(x, y) - rng.uniform(3.5, 5.5)) + 0.5
    return found


def _frame(x: NDArray[np.float64], y: NDArray[np.float64], rng: Random) -> NDArray[np.float64]:
    far = np.maximum(np.abs(x), np.abs(y))
    found: NDArray[np.float64] = rng.uniform(0.7, 1.2) - np.abs(far - rng.uniform(3.5, 5.5)) + 0.5
    return found


def _plus(x: NDArray[np.float64], y: NDArray[np.float64], rng: Random) -> NDArray[np.float64]:
    arm, thick = rng.uniform(4, 6.5), rng.uniform(0.7, 1.5)
    across = np.minimum(thick - np.abs(y), arm - np.abs(x))
    down = np.minimum(thick - np.abs(x), arm - np.abs(y))
    found: NDArray[np.float64] = np.maximum(across, down) + 0.5
    return found


def _triangle(x: NDArray[np.float64], y: NDArray[np.float64], rng: Random) -> NDArray[np.float64]:
    half = rng.uniform(3.5, 5.5)
    found: NDArray[np.float64] = np.minimum(half - y, (y + half) / 2 - np.abs(x)) + 0.5
    return found


_SHAPES: tuple[Callable[[NDArray[np.float64], NDArray[np.float64], Random], NDArray[np.float64]], ...] = (
    lambda x, y, rng: _stripes(y, rng),
    lambda x, y, rng: _stripes(x, rng),
    lambda x, y, rng: _stripes((x + y) / np.sqrt(2), rng),
    lambda x, y, rng: _stripes((x - y) / np.sqrt(2), rng),
    _checkerboard,
    _disc,
    _ring,
    _frame,
    _plus,
    _triangle,
)


def _split(name: str, train: Part, test: Part, classes: tuple[str, ...], stride: int) -> RaceData:
    """Standardised by the training pictures; one held-out picture of each class in front."""
    mean, std = float(train[0].mean()), float(train[0].std())
    first = [int(np.flatnonzero(test[1] == label)[0]) for label in range(len(classes))]
    order = np.array([*first, *(i for i in range(len(test[0])) if i not in first)])
    return RaceData(
        name,
        ((train[0] - mean) / std)[:, None].astype(np.float32),
        train[1],
        ((test[0][order] - mean) / std)[:, None].astype(np.float32),
        test[1][order],
        classes,
        mean,
        std,
        stride,
    )


def _digits() -> RaceData:
    numbers = _digits_table()
    grey = (numbers[:, :-1].reshape(-1, 8, 8) / 16).astype(np.float32)
    labels = numbers[:, -1].astype(np.int64)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(grey))
    test, train = order[:DIGITS_HELD_OUT], order[DIGITS_HELD_OUT:]
    names = tuple(str(digit) for digit in range(10))
    return _split("digits", (grey[train], labels[train]), (grey[test], labels[test]), names, 1)


def _digits_table() -> NDArray[np.float64]:
    """(1797, 65): 64 pixels of 0..16 and the digit, a row each, from the file inside scikit-learn.

    The file is read as ``sklearn.datasets.load_digits`` does, without importing the package, which would take
    longer than the whole start of a race and 80 MB.
    """
    package = find_spec("sklearn")  # looks for it, imports nothing
    for folder in (package.submodule_search_locations or ()) if package else ():
        path = Path(folder, "datasets", "data", "digits.csv.gz")
        if path.is_file():
            return np.loadtxt(path, delimiter=",")
    from sklearn.datasets import load_digits  # another version may keep it elsewhere

    found = load_digits()
    return np.column_stack([found.data, found.target])


def _pictures() -> RaceData:
    train, test = (_drawn(count, first) for first, count in enumerate(PICTURES))
    return _split("pictures", train, test, KINDS, 2)


def _drawn(count: int, first: int) -> Part:
    drawn = [picture(index, first) for index in range(count)]
    return np.stack([grey for grey, _ in drawn]), np.array([label for _, label in drawn], np.int64)


def _sounds() -> RaceData:
    with np.load(STORED_SOUNDS, allow_pickle=False) as stored:
        train, test = _heard(stored["train"]), _heard(stored["test"])
    return _split("sounds", train, test, SOUNDS, 2)


def _heard(grey: NDArray[np.uint8]) -> Part:
    return (grey / 255).astype(np.float32), np.arange(len(grey), dtype=np.int64) % len(SOUNDS)


def small_sound(index: int, first: int) -> NDArray[np.uint8]:
    """(16, 16) uint8: the mel picture of sound number ``index``, averaged down."""
    large = mel_picture(numbered(index, first)[0])[..., 0]
    step = len(large) // SIDE
    found: NDArray[np.uint8] = np.rint(large.reshape(SIDE, step, SIDE, step).mean((1, 3))).astype(np.uint8)
    return found


def main() -> int:
    """Make ``sounds.npz``."""
    train, test = (
        np.stack([small_sound(index, first) for index in range(count)])
        for first, count in zip((TRAINING, HELD_OUT), SOUND_COUNTS, strict=True)
    )
    np.savez_compressed(STORED_SOUNDS, train=train, test=test)
    print(f"Wrote {len(train)} + {len(test)} pictures to {STORED_SOUNDS.name}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
