"""Connections that are not worth keeping: heads that never end, readers that never read, more than the system
can hold.

uvicorn has no time limit for a request's head, and none for a client that does not read its answer. A
connection of ours is uvicorn's own with three timers; bodies are timed in ``middleware``, where they are
read.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.importer import import_from_string

try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None  # type: ignore[assignment]

HEAD_S = 15.0  # seconds from the first byte, or from connecting, to the end of a request's head
STALLED_S = 60.0  # seconds in which a client that is sent something reads nothing
MAX_HEAD = 65_536  # bytes of a head
SPARE_FILES = 128  # descriptors for all that is no connection
WANTED_FILES = 65_536
EACH_HALF = 256  # heads that one address may have begun and not ended


def raise_file_limit(wanted: int = WANTED_FILES) -> int:
    """Let this process open as many files as the system lets it, up to ``wanted``; how many that are."""
    if resource is None:
        return 8192
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            return most
        except (OSError, ValueError):  # some systems promise more than they give
            return soft
    return min(soft, wanted) if soft != resource.RLIM_INFINITY else wanted


class Census:
    """How many connections there are, in all and of each address."""

    def __init__(self, files: int) -> None:
        self.most = max(64, files - SPARE_FILES)
        self.each = max(32, self.most // 2)
        self.open: Counter[str] = Counter()
        self.half: Counter[str] = Counter()

    def full(self, address: str) -> bool:
        """Whether ``address`` gets no further connection."""
        return (
            self.open.total() >= self.most
            or self.open[address] >= self.each
            or self.half[address] >= EACH_HALF
        )

    @staticmethod
    def count(of: Counter[str], address: str, by: int) -> None:
        """Count one more or one less; an address without any is forgotten."""
        of[address] += by
        if of[address] <= 0:
            del of[address]


class TimedConnection(asyncio.Protocol):
    """What ``timed`` adds to one of uvicorn's protocols, which it stands before in the order of classes."""

    census: Census
    head_s: float
    stalled_s: float
    # uvicorn's
    cycle: Any
    loop: asyncio.AbstractEventLoop
    transport: Any

    _timer: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _address = ""
    _counted = False
    _head_bytes = 0

    def connection_made(self, transport: Any) -> None:
        peer = transport.get_extra_info("peername")
        self._address = str(peer[0]) if isinstance(peer, tuple) else ""
        super().connection_made(transport)
        if self.census.full(self._address):
            transport.abort()
            return
        self._counted = True
        self.census.count(self.census.open, self._address, 1)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        if self._stalled:
            self._stalled.cancel()
        if self._counted:
            self._counted = False
            self.census.count(self.census.open, self._address, -1)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        between = before is None or before.response_complete
        if between and self._timer is None:
            self._await_head()
        super().data_received(data)
        if self.cycle is not before:
            self._head_arrived()
        elif between and self._timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD:
                self._give_up()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stalled is None:
            self._stalled = self.loop.call_later(self.stalled_s, self._give_up)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._timer = self.loop.call_later(self.head_s, self._give_up)
        self.census.count(self.census.half, self._address, 1)

    def _head_arrived(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self.census.count(self.census.half, self._address, -1)

    def _give_up(self) -> None:
        if self.transport is not None:
            self.transport.abort()


def timed(
    protocol: type[Any], census: Census, head_s: float = HEAD_S, stalled_s: float = STALLED_S
) -> type[Any]:
    """``protocol``, one of uvicorn's for HTTP, with limits on time and number."""
    limits = {"census": census, "head_s": head_s, "stalled_s": stalled_s}
    return type("Timed", (TimedConnection, protocol), limits)


@contextmanager
def bounded_connections(files: int | None = None) -> Iterator[None]:
    """A server that is launched inside gives its connections the limits of this module, from the first one
    on.

    Gradio makes uvicorn's configuration itself and leaves the protocol to uvicorn's choice, ``auto``.

    Args:
        files: that this process may open; as many as the system lets it when None.
    """
    chosen = HTTP_PROTOCOLS["auto"]
    protocol = chosen if isinstance(chosen, type) else import_from_string(chosen)
    census = Census(raise_file_limit() if files is None else files)
    HTTP_PROTOCOLS["auto"] = timed(protocol, census)  # type: ignore[assignment] # a class is taken too
    try:
        yield
    finally:
        HTTP_PROTOCOLS["auto"] = chosen
