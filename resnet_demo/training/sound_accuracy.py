"""Recordings in folders, one a class, as the page makes them the input of a network that listens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from resnet_demo.inputs.errors import SoundError
from resnet_demo.inputs.sound import sound_picture
from resnet_demo.inputs.sound_decoding import open_recording
from resnet_demo.records import Preprocessing
from resnet_demo.training.data import DataError
from resnet_demo.training.digit_data import DIGITS

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".m4a", ".webm", ".aiff", ".au", ".caf")


def labelled_recordings(folder: Path, classes: Sequence[str]) -> list[tuple[Path, int]]:
    """The recordings of a folder that holds one folder a class (any depth below), and their labels. Digits
    may be written as figures, classes may be missing.

    Raises:
        DataError: there are none.
    """
    found = []
    for label, name in enumerate(classes):
        names = [name, str(label)] if tuple(classes) == DIGITS else [name]
        for inside in (folder / n for n in names):
            paths = sorted(path for path in inside.rglob("*") if path.suffix.lower() in SUFFIXES)
            found += [(path, label) for path in paths]
    if not found:
        named = f"{classes[0]}/ to {classes[-1]}/"
        raise DataError(f"{folder} must hold recordings in {named}, a folder a class; there are none.")
    return found


def load_recordings(
    found: Sequence[tuple[Path, int]], preprocessing: Preprocessing
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pictures (N, size, size, 3) of recordings, by the page's own way, and their labels (N,).

    Raises:
        DataError: one of them cannot be opened.
    """
    pictures = []
    for path, _ in tqdm(found, desc="recordings", unit="recording", disable=None):
        try:
            picture = sound_picture(open_recording(path), preprocessing)
        except SoundError as error:
            raise DataError(f"{path} cannot be used: {error.args[0]}") from error
        assert picture is not None
        pictures.append(picture)
    return np.stack(pictures), np.array([label for _, label in found], np.int64)
