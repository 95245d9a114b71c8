"""Seats for work of which one piece takes a while: a visitor holds one, and few wait, so that no thread is
held up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from resnet_demo.i18n import speaking
from resnet_demo.panels.base import sentence_of

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


class LiveSeats:
    """Room for ``count`` live frames at a time; further ones are told that the server is busy."""

    def __init__(self, count: int) -> None:
        self._free = threading.BoundedSemaphore(count)

    def answer(self, request: Any, answered: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """What ``answered`` makes of a request, in the request's "language"; or that the server is "busy", or
        an "error" as a sentence for the visitor."""
        with speaking(str(request.get("language")) if isinstance(request, dict) else None):
            if not self._free.acquire(blocking=False):
                return {"busy": True}
            try:
                return answered(request)
            except Exception as error:  # noqa: BLE001 - told to the visitor, logged by sentence_of
                return {"error": sentence_of(error)}
            finally:
                self._free.release()
