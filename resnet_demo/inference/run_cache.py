"""Runs kept for redrawing, bounded in bytes, number and age: one visitor's run never crowds the server.

The page's session holds only a key. When there is no room, the least recently used run goes of the address
that holds the most. Its photo stays a while longer, so that the run can be made again when it is asked for.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from resnet_demo.records import Run

MOST_BYTES = 1 << 30
SHARE_OF_MEMORY = 1 / 8  # of what the machine or the container has
SHARE_OF_PHOTOS = 1 / 4  # of that, for what runs that went can be made from
MOST_RUNS = 20_000
OLDEST_S = 3600.0
GRACE_S = 20.0
CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_here(files: tuple[str, ...] = CGROUPS) -> int:
    """Bytes of memory that this process may use at most: the machine's, or its container's if that has
    less."""
    found = []
    for file in files:
        with suppress(OSError, ValueError):  # "max" where there is no limit
            found.append(int(Path(file).read_text()))
    with suppress(AttributeError, OSError, ValueError):  # not on Windows
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min(found, default=8 * MOST_BYTES)


def room_for_runs(memory: int | None = None) -> int:
    """Bytes that kept runs may have in all."""
    return min(MOST_BYTES, int((memory_here() if memory is None else memory) * SHARE_OF_MEMORY))


def size_of(run: Run) -> int:
    """Bytes of the arrays of ``run``."""
    streams = (stream.nbytes for block in run.blocks for stream in block.streams.values())
    return run.photo.nbytes + sum(streams)


@dataclass(frozen=True)
class Kept:
    """A run and what is known of it; of one that went only what it can be made from.

    Attributes:
        used: when it was last asked for, in the clock's seconds.
        size: bytes.
        owner: whose it is.
    """

    run: Run
    used: float
    size: int
    owner: str


class KeptRuns:
    """Keys to runs, for all visitors; safe to use from many threads.

    Args:
        most_bytes: of all runs; by the memory of the machine when None.
        again: makes a run of which the maps have gone once more; without it such a run is gone.
        owner: whose a run is that is put in now; all belong to one without it.
    """

    def __init__(
        self,
        most_bytes: int | None = None,
        most_runs: int = MOST_RUNS,
        oldest: float = OLDEST_S,
        clock: Callable[[], float] = time.monotonic,
        again: Callable[[Run], Run] | None = None,
        owner: Callable[[], str] = str,
    ) -> None:
        self._most_bytes = room_for_runs() if most_bytes is None else most_bytes
        self._most_runs, self._oldest = most_runs, oldest
        self._clock, self._again, self._owner = clock, again, owner
        self._lock = threading.Lock()
        self._runs: OrderedDict[str, Kept] = OrderedDict()  # least recently used first
        self._gone: OrderedDict[str, Kept] = OrderedDict()  # whose photo is still here
        self._bytes = self._photo_bytes = 0
        self._of: Counter[str] = Counter()

    def put(self, run: Run) -> str:
        """Keep ``run``; the key that gets it back, which nobody can guess."""
        key = secrets.token_urlsafe(12)
        with self._lock:
            self._keep(key, run, self._owner())
        return key

    def get(self, key: str | None) -> Run | None:
        """The run of that key, or None if there never was one or it has gone."""
        with self._lock:
            self._tidy()
            if key is not None and key in self._runs:
                kept = self._runs[key] = replace(self._runs[key], used=self._clock())
                self._runs.move_to_end(key)
                return kept.run
            gone = self._gone.get(key) if key is not None else None
        if key is None or gone is None or self._again is None:
            return None
        run = self._again(gone.run)
        with self._lock:
            if key in self._gone:  # nobody else has made it meanwhile, and it was not dropped
                self._forget_photo(key)
                self._keep(key, run, gone.owner)
        return run

    def drop(self, key: str | None) -> None:
        """Forget the run of that key, if it is still here."""
        with self._lock:
            self._forget(key)
            self._forget_photo(key)

    def retire(self, key: str | None) -> None:
        """Forget the run of that key soon: an event that is under way may still ask for it."""
        with self._lock:
            if key is not None and key in self._runs:
                soon = self._clock() - self._oldest + GRACE_S
                self._runs[key] = replace(self._runs[key], used=soon)
                self._runs.move_to_end(key, last=False)
            self._forget_photo(key)

    def __len__(self) -> int:
        return len(self._runs)

    @property
    def bytes(self) -> int:
        """Bytes of all runs kept."""
        return self._bytes

    def _keep(self, key: str, run: Run, owner: str) -> None:
        size = size_of(run)
        self._runs[key] = Kept(run, self._clock(), size, owner)
        self._bytes += size
        self._of[owner] += size
        self._tidy()

    def _forget(self, key: str | None) -> Kept | None:
        if key is None or key not in self._runs:
            return None
        kept = self._runs.pop(key)
        self._bytes -= kept.size
        self._of[kept.owner] -= kept.size
        if self._of[kept.owner] <= 0:
            del self._of[kept.owner]
        return kept

    def _forget_photo(self, key: str | None) -> None:
        if key is not None and key in self._gone:
            self._photo_bytes -= self._gone.pop(key).size

    def _tidy(self) -> None:
        """Let go of what is too old, and of what there is no room for; the run just made is kept, however
        large."""
        now = self._clock()
        for entries, forget in ((self._runs, self._forget), (self._gone, self._forget_photo)):
            while entries and now - next(iter(entries.values())).used > self._oldest:
                forget(next(iter(entries)))
        while len(self._runs) > 1 and (self._bytes > self._most_bytes or len(self._runs) > self._most_runs):
            key = self._next_to_go()
            kept = self._forget(key)
            if kept is not None and self._again is not None:
                self._keep_photo(key, kept)

    def _next_to_go(self) -> str:
        """The least recently used run of whoever holds the most."""
        newest = next(reversed(self._runs))
        first = next(iter(self._runs))
        if len(self._of) < 2:
            return first
        most = max(self._of, key=self._of.__getitem__)
        own = (key for key, kept in self._runs.items() if kept.owner == most and key != newest)
        return next(own, first)

    def _keep_photo(self, key: str, kept: Kept) -> None:
        """Keep of a run what it can be made from: the photo as the network saw it, the network, the gates."""
        run = replace(
            kept.run, blocks=(), trace=(), activation=None, read_outs=(), contributions={}, fields={}
        )
        self._gone[key] = replace(kept, run=run, size=run.photo.nbytes)
        self._photo_bytes += run.photo.nbytes
        while self._photo_bytes > self._most_bytes * SHARE_OF_PHOTOS:
            self._forget_photo(next(iter(self._gone)))
