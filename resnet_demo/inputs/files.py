"""Reading an untrusted file no further than a limit, from where it may be."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from resnet_demo.i18n import Sentence
from resnet_demo.inputs.errors import InputError, one_sentence

FileSource = bytes | str | Path | BinaryIO  # a file's bytes, its path, or the file opened for reading bytes
MAX_BYTES = 10_000_000  # of what visitors send; a 12-megapixel JPEG has 3 to 6 MB


def read_beyond(source: FileSource, most: int = MAX_BYTES) -> bytes:
    """The file's bytes; of a longer one than ``most`` only so many that it can be told, ``most`` + 1.

    Raises:
        FileNotFoundError: there is no plain file at that path.
        OSError: it cannot be read.
    """
    if isinstance(source, bytes):
        return source
    if isinstance(source, str | Path):
        if not Path(source).is_file():  # a pipe would wait forever
            raise FileNotFoundError(source)
        with open(source, "rb") as file:
            return file.read(most + 1)
    return bytes(source.read(most + 1))


@dataclass(frozen=True)
class Unfit:
    """The error that a file raises, and its sentence for each case."""

    kind: type[InputError]
    unreadable: Sentence
    empty: Sentence
    large: Sentence


def read_whole(source: FileSource, unfit: Unfit) -> bytes:
    """The bytes of an untrusted file, from wherever they are.

    Raises:
        InputError: of the kind that ``unfit`` names: it cannot be read, is empty or too large.
    """
    with one_sentence(unfit.kind, unfit.unreadable):
        data = read_beyond(source)
    if not data:
        raise unfit.kind(unfit.empty)
    if len(data) > MAX_BYTES:
        raise unfit.kind(unfit.large)
    return data


def is_address(path: str) -> bool:
    """Whether what should be a file of the server is an address (``http:…``, ``data:…``) instead."""
    return bool(re.match(r"\s*[a-z][a-z0-9+.-]*:", path, re.IGNORECASE)) and not os.path.isabs(path)


def uploaded_file(path: str, folder: str | Path) -> Path | None:
    """The file that a visitor uploaded, or None: for what is elsewhere, is no plain file, or is not there.

    The three are not told apart, so that nobody learns which files the machine has. Links and ``..`` are
    followed before the comparison. Uploads lie in a folder of their own below ``folder``; what lies in it
    directly is not the visitors'.

    Args:
        path: as the visitor's request names it.
        folder: where uploads are kept.
    """
    try:
        root = Path(folder).resolve()
        found = Path(path).resolve()
        inside = len(found.relative_to(root).parts) >= 2
        return found if inside and found.is_file() else None
    except (OSError, ValueError, RuntimeError):  # no such folder, a NUL, a circle of links
        return None
