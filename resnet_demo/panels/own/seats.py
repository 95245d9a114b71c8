"""Seats for work of which one piece takes a while: a visitor holds one, and few wait, so that no thread is
held up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

WAITING = 6  # threads that may wait for a seat
PATIENCE_S = 3.0


class BusyError(RuntimeError):
    """Every seat is taken, and enough people are waiting."""


class WorkSeats:
    """``at_once`` seats, of which every address holds one at most. Safe to use from many threads."""

    def __init__(self, at_once: int, waiting: int = WAITING, patience: float = PATIENCE_S) -> None:
        self._free, self._waiting, self._patience = at_once, waiting, patience
        self._holders: set[str] = set()
        self._changed = threading.Condition()
        self._in_line = 0

    @contextmanager
    def take(self, address: str) -> Iterator[None]:
        """Inside the ``with``, ``address`` holds a seat.

        Raises:
            BusyError: there was none in time.
        """
        with self._changed:
            if not self._can_sit(address):
                self._wait(address)
            self._free -= 1
            self._holders.add(address)
        try:
            yield
        finally:
            with self._changed:
                self._free += 1
                self._holders.discard(address)
                self._changed.notify_all()

    def _can_sit(self, address: str) -> bool:
        return self._free > 0 and address not in self._holders

    def _wait(self, address: str) -> None:
        if self._in_line >= self._waiting:
            raise BusyError
        self._in_line += 1
        try:
            if not self._changed.wait_for(lambda: self._can_sit(address), self._patience):
                raise BusyError
        finally:
            self._in_line -= 1
