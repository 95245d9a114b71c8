"""Where the folder command puts a photo's streams: in the photos' own folders, one file a photo, none
twice."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

import numpy as np

from resnet_demo.records import Run
from resnet_demo.serialize import save_streams
from resnet_demo.tools.find_photos import ending

MAX_NAME = 255  # bytes that file systems take


class StreamFiles:
    """The ``.npz`` files below ``folder``.

    ``cat/001.jpg`` becomes ``cat/001.npz``. Where that belongs to another photo, of this run or an earlier
    one, it becomes ``cat/001-2.npz``; the same photo again takes the place of its own file.

    Args:
        folder: where they go.
        arguments: the files and folders of the command line; folders below what these have in common are
        kept.
    """

    def __init__(self, folder: Path, arguments: Iterable[Path]) -> None:
        self.folder = folder
        self.taken: set[Path] = set()
        tops = {os.path.abspath(path if path.is_dir() else path.parent) for path in arguments}
        try:
            self.root = Path(os.path.commonpath(tops))
        except ValueError:  # on several drives of Windows
            self.root = Path(os.path.abspath(os.curdir))

    def prepare(self) -> None:
        """Make the folder and see that it can be written to.

        Raises:
            OSError: it cannot.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.folder) as file:
            file.write(b"1")

    def names(self, photo: Path) -> Iterator[Path]:
        """The files that a photo may have, the first choice first."""
        whole = Path(os.path.abspath(photo))
        try:
            folder = self.folder / whole.parent.relative_to(self.root)
        except ValueError:  # on another drive
            folder = self.folder / Path(*whole.parent.parts[1:])
        kind = ending(whole.name)
        stem = whole.name[: -len(kind)] if kind else whole.name
        for number in count(1):
            end = ".npz" if number == 1 else f"-{number}.npz"
            yield folder / (fitting(stem, MAX_NAME - len(end)) + end)

    def save(self, run: Run, photo: Path) -> Path:
        """Write the streams of ``run``; where they are.

        Raises:
            OSError: they cannot be written; there is no half file.
        """
        path = next(
            name
            for name in self.names(photo)
            if name not in self.taken and (not os.path.lexists(name) or is_of(run, name))
        )
        self.taken.add(path)
        return save_streams(run, path)


def fitting(stem: str, most: int) -> str:
    """A name of at most so many bytes: a longer one is cut, with a hash of the whole."""
    data = os.fsencode(stem)
    if len(data) <= most:
        return stem
    digest = hashlib.sha256(data).hexdigest()[:16]
    return data[: most - 17].decode(errors="ignore") + "-" + digest


def is_of(run: Run, path: Path) -> bool:
    """Whether the file of streams at ``path`` shows the photo of ``run``."""
    try:
        with np.load(path) as held:
            return bool(np.array_equal(held["photo"], run.photo))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return False
