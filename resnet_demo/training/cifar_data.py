"""CIFAR-10 from tar archives of small pictures, kept decoded as .npy, and its augmentation."""

from __future__ import annotations

import io
import os
import re
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32
MARGIN = 4  # pixels around a picture, from which the crops of He et al. 2015 § 4.2 are taken
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)
MEMBER = re.compile(r"([a-z]+)\.(\d+)\.(?:jpg|jpeg|png)")


class CifarDataError(ValueError):
    """Pictures that cannot be trained on; the message says what was found."""


def read_archives(archives: Sequence[Path]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pictures (N, 3, 32, 32) and labels (N,), sorted by class and number.

    A member is named ``class.number.jpg``. Raises CifarDataError for other names, sizes and
    for archives without pictures.
    """
    found: dict[tuple[int, int], NDArray[np.uint8]] = {}
    for archive in archives:
        with tarfile.open(archive) as tar:
            for member in tar:
                if not member.isfile():
                    continue
                named = MEMBER.fullmatch(Path(member.name).name)
                if named is None or named[1] not in CLASSES:
                    raise CifarDataError(f"{archive.name} holds {member.name!r}; wanted is class.number.jpg.")
                file = tar.extractfile(member)
                assert file is not None
                with Image.open(io.BytesIO(file.read())) as picture:
                    pixels = np.asarray(picture.convert("RGB"))
                if pixels.shape != (SIDE, SIDE, 3):
                    raise CifarDataError(
                        f"{member.name!r} is {pixels.shape[1]}×{pixels.shape[0]}, not 32×32."
                    )
                found[CLASSES.index(named[1]), int(named[2])] = pixels.transpose(2, 0, 1)
    if not found:
        raise CifarDataError(f"No pictures in {', '.join(str(a) for a in archives) or 'no archive'}.")
    keys = sorted(found)
    return np.stack([found[k] for k in keys]), np.array([k[0] for k in keys], dtype=np.int64)


def load(data: Path, split: str, cache: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pictures and labels of ``split``, "train" or "test": from ``cache``, or decoded into it once.

    Args:
        data: folder with ``cifar10-<split>*.tar.gz``.
        cache: folder for ``<split>-pixels.npy`` and ``<split>-labels.npy``.
    """
    kept = [cache / f"{split}-{what}.npy" for what in ("pixels", "labels")]
    if not all(path.exists() for path in kept):
        pixels, labels = read_archives(sorted(data.glob(f"cifar10-{split}*.tar.gz")))
        cache.mkdir(parents=True, exist_ok=True)
        _save(kept[0], pixels)
        _save(kept[1], labels)
    pixels, labels = (np.load(path) for path in kept)
    return pixels, labels


def _save(path: Path, array: NDArray[Any]) -> None:
    half = path.with_suffix(f".{os.getpid()}.half.npy")
    np.save(half, array)
    os.replace(half, path)


def padded(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(N, 3, 40, 40): four pixels of the mean colour, which is zero once normalised, on each side."""
    n, channels, height, width = pixels.shape
    out = np.empty((n, channels, height + 2 * MARGIN, width + 2 * MARGIN), dtype=np.uint8)
    out[:] = np.round(np.array(MEAN) * 255).astype(np.uint8)[None, :, None, None]
    out[:, :, MARGIN:-MARGIN, MARGIN:-MARGIN] = pixels
    return out


def random_crops(
    around: NDArray[np.uint8], which: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """A random 32×32 crop of each of the pictures ``which``, mirrored half of the time.

    Args:
        around: ``padded`` pictures (N, 3, 40, 40).
        which: indices (B,).

    Returns (B, 3, 32, 32).
    """
    windows = np.lib.stride_tricks.sliding_window_view(around, (SIDE, SIDE), axis=(2, 3))
    top, left = rng.integers(0, 2 * MARGIN + 1, (2, len(which)))
    crops = windows[which, :, top, left]  # (B, 3, 32, 32), a copy
    mirrored = rng.random(len(which)) < 0.5
    crops[mirrored] = crops[mirrored][..., ::-1]
    return crops


__all__ = [
    "CLASSES",
    "MEAN",
    "SIDE",
    "STD",
    "CifarDataError",
    "load",
    "padded",
    "random_crops",
    "read_archives",
]
