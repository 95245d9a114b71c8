"""Reading an untrusted file no further than a limit, from wherever it is."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import BinaryIO

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


def is_address(path: str) -> bool:
    """Whether what should be a file of the server is an address (``http:…``, ``data:…``) instead."""
    return bool(re.match(r"\s*[a-z][a-z0-9+.-]*:", path, re.IGNORECASE)) and not os.path.isabs(path)
