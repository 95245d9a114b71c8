"""What strangers cause is not written to the log without end: so much a minute, then only how much was left
out."""

from __future__ import annotations

import io
import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO

MOST = 64_000  # characters a minute; a start with every sentence it may say has a tenth
MINUTE = 60.0


class BoundedLog(io.TextIOBase):
    """A text stream that passes on ``most`` characters a minute."""

    def __init__(self, stream: TextIO, most: int = MOST, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._most, self._clock = stream, most, clock
        self._lock = threading.RLock()  # a signal's handler may print while a print is under way
        self._since, self._written, self._left_out = clock(), 0, 0

    def write(self, text: str) -> int:
        """Write ``text``, or leave it out."""
        with self._lock:
            now = self._clock()
            if now - self._since >= MINUTE:
                if self._left_out:
                    self._stream.write(f"... {self._left_out} characters of the log were left out.\n")
                self._since, self._written, self._left_out = now, 0, 0
            if self._written + len(text) > self._most:
                if not self._left_out:
                    self._stream.write("\n... too much to log; the rest of this minute is left out.\n")
                self._left_out += len(text)
            else:
                self._written += len(text)
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream below."""
        self._stream.flush()

    def fileno(self) -> int:
        """That of the stream below."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Whether somebody sits before the stream below."""
        return self._stream.isatty()

    def writable(self) -> bool:
        """Always."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream below."""
        return self._stream.encoding


def bound_log() -> None:
    """From now on Python writes no more than so much a minute to stderr."""
    if not isinstance(sys.stderr, BoundedLog):
        sys.stderr = BoundedLog(sys.stderr)
