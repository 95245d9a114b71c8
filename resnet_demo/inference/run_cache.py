"""Runs kept for redrawing, bounded in bytes, number and age: one visitor's run never crowds the server.

The page's session holds only a key. The oldest runs go first; a visitor whose run has gone is asked
for the photo again.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from resnet_demo.records import Run

MOST_BYTES = 1 << 30
MOST_RUNS = 400
OLDEST_S = 3600.0
GRACE_S = 20.0


def size_of(run: Run) -> int:
    """Bytes of the arrays of ``run``."""
    streams = (stream.nbytes for block in run.blocks for stream in block.streams.values())
    return run.photo.nbytes + sum(streams)


class KeptRuns:
    """Keys to runs, for all visitors; safe to use from many threads."""

    def __init__(
        self,
        most_bytes: int = MOST_BYTES,
        most_runs: int = MOST_RUNS,
        oldest: float = OLDEST_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = most_bytes, most_runs, oldest
        self._clock = clock
        self._lock = threading.Lock()
        self._runs: OrderedDict[str, tuple[Run, float, int]] = OrderedDict()  # least recently used first
        self._bytes = 0

    def put(self, run: Run) -> str:
        """Keep ``run``; the key that gets it back, which nobody can guess."""
        key = secrets.token_urlsafe(12)
        with self._lock:
            size = size_of(run)
            self._runs[key] = (run, self._clock(), size)
            self._bytes += size
            self._tidy()
        return key

    def get(self, key: str | None) -> Run | None:
        """The run of that key, or None if there never was one or it has gone."""
        with self._lock:
            self._tidy()
            if key is None or key not in self._runs:
                return None
            run, _, size = self._runs[key]
            self._runs[key] = (run, self._clock(), size)
            self._runs.move_to_end(key)
            return run

    def drop(self, key: str | None) -> None:
        """Forget the run of that key, if it is still here."""
        with self._lock:
            self._forget(key)

    def retire(self, key: str | None) -> None:
        """Forget the run of that key soon: an event that is under way may still ask for it."""
        with self._lock:
            if key is not None and key in self._runs:
                run, _, size = self._runs[key]
                self._runs[key] = (run, self._clock() - self._limits[2] + GRACE_S, size)
                self._runs.move_to_end(key, last=False)

    def __len__(self) -> int:
        return len(self._runs)

    @property
    def bytes(self) -> int:
        """Bytes of all runs kept."""
        return self._bytes

    def _forget(self, key: str | None) -> None:
        if key is not None and key in self._runs:
            self._bytes -= self._runs.pop(key)[2]

    def _tidy(self) -> None:
        most_bytes, most_runs, oldest = self._limits
        now = self._clock()
        while self._runs:
            key, (_, used, _) = next(iter(self._runs.items()))
            crowded = self._bytes > most_bytes or len(self._runs) > most_runs
            newest = len(self._runs) == 1  # the run just made is kept, however large
            if now - used <= oldest and not (crowded and not newest):
                return
            self._forget(key)
