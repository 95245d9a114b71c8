"""Which files of the folders on a command line are photos: by their ending, and without one by how they
begin."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ENDINGS = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".pjpeg",
        ".pjp",
        ".mpo",
        ".png",
        ".apng",
        ".webp",
        ".gif",
        ".bmp",
        ".dib",
        ".tif",
        ".tiff",
        ".avif",
        ".avifs",
        ".heic",
        ".heif",
        ".hif",
        ".jxl",
    ]
)
STARTS = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    *(b"\xff\x0a", b"\0\0\0\x0cJXL "),
)
BRANDS = frozenset(b"avif avis heic heix heim heis hevc hevx hevm hevs mif1 msf1".split())
NO_PHOTO = b"\0\x05\x16\x07"  # what macOS leaves beside a photo as ._photo.jpg
HEAD = 32  # bytes that tell


@dataclass
class Found:
    """What a search came to.

    Attributes:
        photos: in the order of the arguments, and in a folder of their names; each once.
        skipped: how many files were no photos, by ending.
        unreadable: folders that could not be listed, with the reason.
    """

    photos: list[Path] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)


def begins_like_a_photo(head: bytes) -> bool:
    """Whether a file's first HEAD bytes are those of a photo."""
    if head.startswith(STARTS):
        return True
    if head[4:8] == b"ftyp":
        return head[8:12] in BRANDS
    if head[:4] == b"RIFF":
        return head[8:12] == b"WEBP"
    return head[:2] == b"BM" and head[14:18] in (
        n.to_bytes(4, "little") for n in (12, 40, 52, 56, 64, 108, 124)
    )


def ending(name: str) -> str:
    """A file's ending in small letters, empty where what follows the last dot is none (``IMG.0001``)."""
    found = os.path.splitext(name)[1].lower()
    return found if re.fullmatch(r"\.[a-z][a-z0-9]{0,9}", found) else ""


def is_photo(path: Path) -> bool:
    """Whether to look at a file: by its ending, or without one by its first bytes. One that cannot be read
    counts if its ending says so, since whoever looks at it says what is wrong."""
    kind = ending(path.name)
    if kind and kind not in ENDINGS:
        return False
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError:
        return bool(kind)
    return not head.startswith(NO_PHOTO) if kind else begins_like_a_photo(head)


def find_photos(arguments: Iterable[Path], out: Path | None = None) -> Found:
    """The photos among ``arguments``: files as they are, and what lies in folders and below.

    A folder that is reached twice, as by a link to a folder above it, is searched once; ``out``, where
    results go, not at all unless it is named.
    """
    found, listed, arguments = Found(), dict[Path, None](), list(arguments)
    seen = {_identity(out)} if out is not None else set()
    seen -= {_identity(argument) for argument in arguments}
    for argument in arguments:
        if argument.is_dir():
            inside = sorted(_photos_in(argument, found, seen), key=lambda path: path.parts)
            listed.update(dict.fromkeys(inside))
        else:
            listed[argument] = None
    once = {os.path.abspath(path): path for path in reversed(list(listed))}
    found.photos = list(reversed(once.values()))
    return found


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        told = folder.stat()
    except OSError:
        return None
    return told.st_dev, told.st_ino


def _photos_in(folder: Path, found: Found, seen: set[tuple[int, int] | None]) -> Iterator[Path]:
    """The photos below ``folder``; links to folders come last, so that a folder keeps its own name."""
    waiting, links = [folder], list[Path]()
    while waiting or links:
        here = waiting.pop() if waiting else links.pop(0)
        identity = _identity(here)
        if identity is not None and identity in seen:
            continue
        seen.add(identity)
        try:
            with os.scandir(here) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            found.unreadable.append((here, error.strerror or type(error).__name__))
            continue
        for entry in listed:
            path = here / entry.name
            if entry.is_dir():
                (links if entry.is_symlink() else waiting).append(path)
            elif entry.is_file() or (entry.is_symlink() and not path.exists()):
                if is_photo(path):
                    yield path
                else:
                    found.skipped[ending(entry.name) or "without ending"] += 1
            else:  # a pipe or a device
                found.skipped["special"] += 1
