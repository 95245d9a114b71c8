"""The folder in which visitors' files lie until their runs are made: so much in all, and so much from one
address."""

from __future__ import annotations

import os
import secrets
import shutil
import threading
import time
from collections import Counter, OrderedDict
from contextlib import suppress
from pathlib import Path

MOST_BYTES = 2_000_000_000
SHARE_OF_DISK = 0.25  # of what was free at the start
SHARE_OF_ADDRESS = 0.5  # of the folder
STALE_S = 600.0  # a part of an upload that nobody has touched for so long was cut off
TIDY_S = 30.0  # between two looks at the whole folder
PART = ".part"
FORBIDDEN = '<>:"/\\|?*\0'


class FolderFullError(OSError):
    """There is no room for a file, even without the oldest ones."""


def safe_name(name: str) -> str:
    """What a file that a visitor calls ``name`` is called here: no path, no control signs, no dot in
    front."""
    name = name.replace("\\", "/").rpartition("/")[2]
    name = "".join(sign for sign in name if sign.isprintable() and sign not in FORBIDDEN)
    stem, dot, ending = name.rpartition(".")
    stem, ending = (stem.strip(". "), ending.strip()) if dot else (ending.strip(), "")
    stem = stem.encode()[:120].decode(errors="ignore") or "file"
    ending = ending.encode()[:20].decode(errors="ignore")
    return f"{stem}.{ending}" if ending else stem


class UploadFolder:
    """Where uploads go. Safe to use from many threads.

    Args:
        path: Gradio's folder; made when first needed.
        most: bytes of everything in it; by the free disk when None.
    """

    def __init__(self, path: str | Path, most: int | None = None) -> None:
        self.path = Path(path)
        self._most = most
        self._lock = threading.Lock()
        self._files: OrderedDict[Path, tuple[str, int]] = OrderedDict()  # the oldest first: address, bytes
        self._of: Counter[str] = Counter()
        self._others = 0  # bytes of what Gradio itself put there, when last looked
        self._looked = 0.0

    @property
    def most(self) -> int:
        """Bytes that the folder may hold."""
        if self._most is None:
            self.path.mkdir(parents=True, exist_ok=True)
            self._most = min(MOST_BYTES, int(shutil.disk_usage(self.path).free * SHARE_OF_DISK))
        return self._most

    def new_file(self) -> Path:
        """A path for a file that is being written, in a folder of its own whose name nobody can guess."""
        folder = self.path / secrets.token_hex(16)
        folder.mkdir(parents=True)
        return folder / PART

    def keep(self, part: Path, name: str, address: str) -> Path:
        """Give the finished ``part`` its name; where it lies now."""
        path = part.with_name(safe_name(name))
        part.rename(path)
        size = path.stat().st_size
        with self._lock:
            self._files[path] = (address, size)
            self._of[address] += size
        return path

    def remove(self, path: Path) -> None:
        """Remove a file and its folder, if they are still there."""
        with self._lock:
            self._forget(path)
        with suppress(OSError):
            path.unlink(missing_ok=True)
            path.parent.rmdir()

    def make_room(self, address: str, size: int) -> None:
        """See to it that ``size`` bytes from ``address`` fit: its own oldest files go first.

        Raises:
            FolderFullError: they do not fit, or the disk is full.
        """
        if time.monotonic() - self._looked > TIDY_S:
            self.tidy()
        gone = []
        with self._lock:
            share = int(self.most * SHARE_OF_ADDRESS)
            while self._files and self._of[address] and self._of[address] + size > share:
                gone.append(self._oldest(address))
            while self._files and self._of.total() + self._others + size > self.most:
                gone.append(self._oldest(max(self._of, key=self._of.__getitem__)))
            fits = self._of.total() + self._others + size <= self.most and size <= share
        for path in gone:
            self.remove(path)
        if not fits or shutil.disk_usage(self.path).free < 2 * size:
            raise FolderFullError("no room for uploads")

    def tidy(self, now: float | None = None) -> None:
        """Look at the whole folder: remove what was cut off, and the oldest of what Gradio put there if it is
        too much."""
        self._looked = time.monotonic()
        now = time.time() if now is None else now
        self.path.mkdir(parents=True, exist_ok=True)
        found: list[tuple[float, int, Path]] = []
        for folder, below, names in os.walk(self.path, topdown=False):
            for name in names:
                path = Path(folder, name)
                with suppress(OSError):
                    status = path.lstat()
                    old = now - status.st_mtime > STALE_S
                    if old and (name == PART or (Path(folder) == self.path and name.startswith("tmp"))):
                        path.unlink()
                    else:
                        found.append((status.st_mtime, status.st_size, path))
            if not names and not below and Path(folder) != self.path:
                with suppress(OSError):
                    if now - os.stat(folder).st_mtime > STALE_S:
                        os.rmdir(folder)
        with self._lock:
            here = {path for _, _, path in found}
            for path in [path for path in self._files if path not in here]:
                self._forget(path)
            others = sorted(entry for entry in found if entry[2] not in self._files)
            self._others = sum(size for _, size, _ in others)
            gone = []
            while others and self._others > self.most * SHARE_OF_ADDRESS:
                _, size, path = others.pop(0)
                self._others -= size
                gone.append(path)
        for path in gone:
            self.remove(path)

    def _oldest(self, address: str) -> Path:
        """Strike the oldest file of ``address`` off the books."""
        path = next(path for path, (owner, _) in self._files.items() if owner == address)
        self._forget(path)
        return path

    def _forget(self, path: Path) -> None:
        owner, size = self._files.pop(path, ("", 0))
        self._of[owner] -= size
        if self._of[owner] <= 0:
            del self._of[owner]
