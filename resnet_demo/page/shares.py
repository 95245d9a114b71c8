"""What one visitor may take while others are there: requests in a second, and things under way at a time.

A visitor is an address here: a session's name costs nothing to make up. While only one address asks for
anything it may have nearly all; a school behind one address is not slowed down by itself.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

MOST_ADDRESSES = 20_000  # remembered, some hundred bytes each
MANY = 8  # addresses; further ones make no difference
ACTIVE_S = 10.0  # an address counts as there for so long after a request
RATE = 100.0  # of a route's weights, in a second, for one address while others are there
BURST = 1_000.0  # saved up before that holds; a page with all its files weighs about 40
PATIENCE_S = 60.0  # a request that would have to wait longer is refused


@dataclass
class Account:
    """What one address has saved up.

    Attributes:
        left: weights.
        at: when that was counted, monotonic seconds.
    """

    left: float
    at: float


class Rates:
    """A token bucket for every address. Used from the event loop alone."""

    def __init__(
        self, rate: float = RATE, burst: float = BURST, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._accounts: OrderedDict[str, Account] = OrderedDict()  # the most recently active last

    def others(self, address: str) -> int:
        """How many other addresses asked for something lately."""
        now, count = self._clock(), 0
        for other in reversed(self._accounts):
            if now - self._accounts[other].at > ACTIVE_S:
                break
            count += other != address
            if count >= MANY:
                break
        return count

    def alone(self, address: str) -> bool:
        """Whether nobody else asked for anything lately."""
        now = self._clock()
        for other in reversed(self._accounts):
            if now - self._accounts[other].at > ACTIVE_S:
                return True
            if other != address:
                return False
        return True

    def charge(self, address: str, weight: float) -> float:
        """Take ``weight`` off the account of ``address``; seconds that it has to wait, None being 0."""
        now = self._clock()
        account = self._accounts.pop(address, None) or Account(self._burst, now)
        account.left = min(self._burst, account.left + (now - account.at) * self._rate) - weight
        account.at = now
        self._accounts[address] = account
        while len(self._accounts) > MOST_ADDRESSES:
            self._accounts.popitem(last=False)
        if account.left >= 0:
            return 0.0
        if self.alone(address):
            account.left = 0.0
            return 0.0
        wait = -account.left / self._rate
        if wait > PATIENCE_S:
            account.left += weight  # a refused request costs nothing more
        return wait


class Seats:
    """So many at a time for each address, and in all; the others wait in line. Used from the event loop
    alone."""

    def __init__(self, each: int, in_all: int) -> None:
        self._each = each
        self._all = asyncio.Semaphore(in_all)
        self._lines: dict[str, tuple[asyncio.Semaphore, list[int]]] = {}

    @asynccontextmanager
    async def take(self, address: str) -> AsyncIterator[None]:
        """Inside the ``with``, one seat is taken."""
        line, inside = self._lines.setdefault(address, (asyncio.Semaphore(self._each), [0]))
        inside[0] += 1
        try:
            async with line, self._all:
                yield
        finally:
            inside[0] -= 1
            if not inside[0]:
                self._lines.pop(address, None)
