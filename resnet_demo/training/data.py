"""Labelled photos for training and evaluation, from tar shards, a folder, or the Hugging Face hub.

A photo is named ``<class>.<n>``, as in the set of "Dogs vs. Cats": n >= 10,000 is
validation. Photos are decoded once into memory, as squares of the size a training stage needs.
"""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from resnet_demo.inputs.errors import PhotoError
from resnet_demo.inputs.preprocessing import read_photo
from resnet_demo.records import Preprocessing

CLASSES = ("cat", "dog")  # the second is what a positive logit means
VALIDATION_FROM = 10_000
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
HUB_SET = "microsoft/cats_vs_dogs"
WAITING = 256  # encoded photos decoded at a time


class DataError(RuntimeError):
    """The data cannot be read; the message says what arrived and what is needed."""


@dataclass(frozen=True)
class Labelled:
    """One encoded photo: its name (``cat.17``), its class index, and how to get its bytes."""

    name: str
    label: int
    data: bytes | Path

    @property
    def number(self) -> int:
        """n of ``cat.n``; -1 if the name has none."""
        tail = self.name.rpartition(".")[2]
        return int(tail) if tail.isdecimal() else -1


def from_shards(shards: Iterable[Path], classes: Sequence[str] = CLASSES) -> Iterator[Labelled]:
    """Photos of WebDataset-style tar files, compressed or not, with members ``<class>.<n>.<suffix>``.

    Raises:
        DataError: a shard is missing or not a tar file, or a member has another name.
    """
    for shard in shards:
        try:
            with tarfile.open(shard) as tar:
                for member in tar:
                    if member.isfile():
                        stem = Path(member.name).stem
                        file = tar.extractfile(member)
                        assert file is not None
                        label = _label(stem.partition(".")[0], member.name, classes)
                        yield Labelled(stem, label, file.read())
        except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
            raise DataError(f"{shard} is not a readable tar shard: {error}") from error


def from_folder(folder: Path, classes: Sequence[str] = CLASSES) -> Iterator[Labelled]:
    """Photos of a folder that holds one folder a class, ``cat/`` and ``dog/`` (any depth below them).

    Raises:
        DataError: one of them is missing or empty.
    """
    for label, name in enumerate(classes):
        inside = [p for p in sorted((folder / name).rglob("*")) if p.suffix.lower() in SUFFIXES]
        if not inside:
            named = ", ".join(f"{n}/" for n in classes[:-1]) + f" and {classes[-1]}/"
            raise DataError(f"{folder} must hold photos in {named}; {name}/ has none.")
        yield from (Labelled(f"{name}.{path.stem}", label, path) for path in inside)


def from_hub(name: str = HUB_SET) -> Iterator[Labelled]:
    """The training split of a set on the Hugging Face hub with ``image`` and ``labels`` (0 cat, 1 dog).

    Raises:
        DataError: the ``datasets`` package is not installed, or the hub cannot be reached.
    """
    try:
        from datasets import load_dataset  # type: ignore[import-not-found]
    except ImportError:
        raise DataError("Reading from the hub needs the datasets package: pip install datasets") from None
    try:
        rows = load_dataset(name, split="train")
    except Exception as error:
        raise DataError(f"{name} could not be fetched from the hub: {error}") from error
    for i, row in enumerate(rows):
        buffer = io.BytesIO()
        row["image"].convert("RGB").save(buffer, "JPEG", quality=95)
        yield Labelled(f"{CLASSES[row['labels']]}.{i // 2}", int(row["labels"]), buffer.getvalue())


def without(photos: Iterable[Labelled], lists: Path) -> Iterator[Labelled]:
    """Leave out of training what ``suspects.txt`` names, and the training half of each pair in
    ``near_duplicates.tsv`` that crosses the split. Either file may be absent."""
    dropped: set[str] = set()
    if (lists / "suspects.txt").exists():
        dropped.update((lists / "suspects.txt").read_text().split())
    if (lists / "near_duplicates.tsv").exists():
        for line in (lists / "near_duplicates.tsv").read_text().splitlines():
            pair = line.split("\t")
            training = [name for name in pair if int(name.rpartition(".")[2]) < VALIDATION_FROM]
            if len(training) == 1:
                dropped.update(training)
    return (p for p in photos if p.number >= VALIDATION_FROM or p.name not in dropped)


def load_photos(
    photos: Sequence[Labelled], preprocessing: Preprocessing, what: str = "photos"
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Decode and fit every photo, on all cores, with a progress bar.

    Returns:
        pixels (N, size, size, 3) uint8 and labels (N,); photos that cannot be opened are
        left out, with a line on how many.

    Raises:
        DataError: not one of them can be opened.
    """
    pixels = np.empty((len(photos), preprocessing.size, preprocessing.size, 3), np.uint8)
    labels = np.empty(len(photos), np.int64)
    kept = 0

    def decode(photo: Labelled) -> NDArray[np.uint8] | None:
        try:
            return read_photo(photo.data, preprocessing)
        except PhotoError:
            return None

    with ThreadPoolExecutor() as pool, tqdm(total=len(photos), desc=what, unit="photo", disable=None) as bar:
        todo = iter(photos)
        while batch := list(islice(todo, WAITING)):
            for photo, decoded in zip(batch, pool.map(decode, batch), strict=True):
                if decoded is not None:
                    pixels[kept], labels[kept] = decoded, photo.label
                    kept += 1
            bar.update(len(batch))
    if photos and not kept:
        raise DataError(f"None of the {len(photos)} {what} can be opened; look at {photos[0].name}.")
    if kept < len(photos):
        print(f"{len(photos) - kept} of {len(photos)} {what} could not be opened and are left out.")
    return pixels[:kept], labels[:kept]


def _label(name: str, member: str, classes: Sequence[str]) -> int:
    if name not in classes:
        raise DataError(f"{member} is not named <class>.<n> with a class of {', '.join(classes)}.")
    return list(classes).index(name)


__all__ = [
    "CLASSES",
    "DataError",
    "Labelled",
    "from_folder",
    "from_hub",
    "from_shards",
    "load_photos",
    "without",
]
