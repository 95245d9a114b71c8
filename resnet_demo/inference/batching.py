"""Dynamic batching: requests that arrive during a forward pass share the next one.

Nobody waits for company: an idle server serves at once. Whoever comes first leads, serves what has gathered,
up to a limit, and hands the lead to the first of those who came meanwhile.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class StillBusyError(RuntimeError):
    """The turn did not come in time."""


@dataclass(eq=False)
class _Ticket(Generic[Item, Result]):
    item: Item
    called: threading.Event = field(default_factory=threading.Event)  # served, or to lead
    results: list[Result] = field(default_factory=list)
    error: BaseException | None = None

    @property
    def served(self) -> bool:
        return bool(self.results) or self.error is not None


class Batcher(Generic[Item, Result]):
    """Callable from many threads; ``serve`` is called by one at a time.

    Args:
        serve: items to their results, in order. If it fails for several, each is served alone, so that nobody
            fails because of somebody else's item.
        most: items in one call of ``serve``.
        turn: entered around every call of ``serve``; may raise, and then its leader's call raises.
    """

    def __init__(
        self,
        serve: Callable[[Sequence[Item]], Sequence[Result]],
        most: int,
        turn: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._serve, self._most, self._turn = serve, most, turn
        self._mutex = threading.Lock()
        self._waiting: deque[_Ticket[Item, Result]] = deque()
        self._led = False

    def __call__(self, item: Item, patience: float) -> Result:
        """The result for ``item``.

        Args:
            patience: seconds to wait to be served or to lead.

        Raises:
            StillBusyError: patience ran out.
            Exception: what ``serve`` or ``turn`` raised.
        """
        ticket: _Ticket[Item, Result] = _Ticket(item)
        with self._mutex:
            self._waiting.append(ticket)
            leads, self._led = not self._led, True
        if not leads and not ticket.called.wait(patience):
            with self._mutex:
                if ticket in self._waiting and not ticket.called.is_set():
                    self._waiting.remove(ticket)
                    raise StillBusyError("the turn did not come in time")
            ticket.called.wait()  # it is being served just now
        if not ticket.served:
            self._lead(ticket)
        if ticket.error is not None:
            raise ticket.error
        return ticket.results[0]

    def _lead(self, own: _Ticket[Item, Result]) -> None:
        """Serve what has gathered, ``own`` among it, and hand the lead on."""
        group: list[_Ticket[Item, Result]] = []
        try:
            with self._turn():
                with self._mutex:
                    while self._waiting and len(group) < self._most:
                        group.append(self._waiting.popleft())
                self._serve_group(group)
        finally:
            for ticket in group:
                ticket.called.set()
            with self._mutex:
                if own in self._waiting:  # its turn never came
                    self._waiting.remove(own)
                self._led = bool(self._waiting)
                if self._waiting:
                    self._waiting[0].called.set()

    def _serve_group(self, group: Sequence[_Ticket[Item, Result]]) -> None:
        try:
            results = self._serve([ticket.item for ticket in group])
        except Exception as error:  # noqa: BLE001 - it belongs to whoever's item it was
            if len(group) == 1:
                group[0].error = error
                return
            for ticket in group:
                self._serve_group([ticket])
            return
        for ticket, result in zip(group, results, strict=True):
            ticket.results.append(result)
