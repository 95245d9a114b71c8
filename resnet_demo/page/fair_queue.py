"""The queue: every group of events has seats of its own, and every visitor a share of them.

Gradio's queue is one line for all: whoever fills it keeps the others out. Here the next event is always one
of the address, and there of the session, that has the fewest under way; none may have more than its share,
and who has a line lets those who have none go first. What changes one visitor's page happens one after the
other: Gradio reads the states that an event starts from when it starts.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from gradio.queueing import Event, EventQueue, Queue
from gradio.utils import LRUCache
from starlette.exceptions import HTTPException

from resnet_demo.page.sessions import CAPACITY, Sessions

WAITING_EACH_SESSION = 8  # events of one session that wait in one group
RUNNING_EACH_SESSION = 2  # under way
ONE = 1  # under way of one address, while others are there, in
ONE_EACH = {"run", "draw", "study"}  # the groups that take the cores
YIELD_S = 0.5  # seconds that a line waits in these while others' events are under way
COMING_S = 0.25  # and while a photo of theirs is being sent
ANNOUNCED_S = 10.0  # in which nobody else is made to wait by the same address, unless an event followed
ANNOUNCING = 1_000  # addresses at most
CHANGING = {"run", "draw"}  # groups whose events change what stands on a visitor's page
SLOW_S = 0.3, 0.9  # seconds that a refusal takes: who asks again at once gets no more of them, and those
# that are refused together do not come back together
FULL = "The queue is full: {count} of your events are waiting already. Try again when they are done."
ALL_FULL = "The queue is full: too many people are waiting. Try again in a minute."


def address_of(event: Event) -> str:
    """Where an event comes from."""
    client = getattr(event.request, "client", None)
    return client.host if client else ""


def _changes_page(event: Event) -> bool:
    """Whether it is one of the page's own events that change what stands on it; the API's change nothing."""
    return event.concurrency_id in CHANGING and event.fn.api_visibility != "public"


class FairQueue(Queue):
    """Gradio's queue with shares.

    Attributes:
        waiting: events that may wait in each group.
        waiting_each: of one address.
        others: tells whether other addresses are there than this one.
        clock: monotonic seconds.
    """

    waiting = 192
    waiting_each = 144
    others: Callable[[str], int] = staticmethod(lambda address: 0)
    clock: Callable[[], float] = staticmethod(time.monotonic)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "max_size": None})  # Gradio's own limit is one for all groups
        self.pending_messages_per_session = LRUCache(2 * CAPACITY)
        self._idle: set[str] = set()
        self._started: dict[tuple[str, str], float] = {}  # group, address -> when, in the last YIELD_S
        self._coming: dict[str, float] = {}  # address -> when it announced an event, in the last ANNOUNCED_S

    async def push(self, body: Any, request: Any, username: str | None) -> Any:
        """Take an event in, or say why not.

        Raises:
            HTTPException: there is no such event, or its session's name is none.
        """
        fn = self.blocks.fns.get(body.fn_index) if isinstance(body.fn_index, int) else None
        if fn is None:
            raise HTTPException(404, "The page has no such event; reload it.")
        session, address = body.session_hash, request.client.host if request.client else ""
        if session is not None and not 0 < len(session) <= 100:
            raise HTTPException(400, "The session's name is too long.")
        refusal = self._refusal(fn.concurrency_id, address, session)
        if refusal:
            await asyncio.sleep(random.uniform(*SLOW_S))
            return False, refusal, "queue_full"
        if session is not None:
            self._admit(session, address)
        return await super().push(body, request, username)

    def _admit(self, session: str, address: str) -> None:
        """There is a session of that name from now on."""
        holder = self.blocks.state_holder
        if isinstance(holder, Sessions):
            holder.admit(session, address)

    def _refusal(self, group: str, address: str, session: str | None) -> str:
        """Why one more event of that visitor cannot wait, or ""."""
        line = self.event_queue_per_concurrency_id.get(group)
        if line is None:
            return ""
        if len(line.queue) >= self.waiting:
            return ALL_FULL
        count = sum(event.session_hash == session for event in line.queue) if session else 0
        if count >= WAITING_EACH_SESSION:
            return FULL.format(count=count)
        count = sum(address_of(event) == address for event in line.queue)
        return FULL.format(count=count) if count >= self.waiting_each else ""

    def get_events(self) -> tuple[list[Event], bool, str] | None:
        """The next event to run, if there is one for which a seat is free."""
        for group, line in list(self.event_queue_per_concurrency_id.items()):
            if not line.queue:
                continue
            limit = line.concurrency_limit or math.inf
            if line.current_concurrency >= limit:
                continue
            event = self._next(line, self._running(group), limit)
            if event is not None:
                line.queue.remove(event)
                self._note_start(group, address_of(event))
                # the first group is tried last the next time
                self.event_queue_per_concurrency_id[group] = self.event_queue_per_concurrency_id.pop(group)
                return [event], False, group
        return None

    def announce(self, address: str) -> None:
        """An event of ``address`` will come: it has begun to send a photo. A flood's next pass then waits
        for it, instead of being in the middle when it comes."""
        now = self.clock()
        self._coming = {key: at for key, at in self._coming.items() if now - at < ANNOUNCED_S}
        if len(self._coming) < ANNOUNCING:
            self._coming.setdefault(address, now)

    def _running(self, group: str) -> list[Event]:
        return [event for job in self.active_jobs if job for event in job if event.concurrency_id == group]

    def _changing(self) -> set[str]:
        """The sessions whose page is being changed by an event under way."""
        under_way = (event for job in self.active_jobs if job for event in job)
        return {event.session_hash for event in under_way if _changes_page(event)}

    def _next(self, line: EventQueue, running: Iterable[Event], limit: float) -> Event | None:
        """The waiting event of the visitor with the fewest under way, the earliest of these."""
        running = list(running)
        of_session = Counter(event.session_hash for event in running)
        of_address = Counter(address_of(event) for event in running)
        waiting = Counter(address_of(event) for event in line.queue)
        group = line.concurrency_id
        may = {
            address
            for address in waiting
            if of_address[address] < self._share(address, group, limit)
            and not self._yields(address, group, waiting, of_address)
        }
        if not may:  # asked a thousand times a second while somebody waits
            return None
        changing = self._changing()
        best: tuple[int, int] | None = None
        found = None
        for event in line.queue:
            address, session = address_of(event), event.session_hash
            if session in changing and _changes_page(event):
                continue  # it would start from what the one under way is about to change
            if address not in may or of_session[session] >= RUNNING_EACH_SESSION:
                continue
            rank = of_address[address], of_session[session]
            if best is None or rank < best:
                best, found = rank, event
        return found

    def _share(self, address: str, group: str, limit: float) -> float:
        """Events of a group that ``address`` may have under way: all seats while it is alone, else one where
        they keep the cores busy, else a share of half."""
        others = self.others(address)
        if not others:
            return limit
        return ONE if group in ONE_EACH else max(RUNNING_EACH_SESSION, limit // (2 * (1 + others)))

    def _yields(self, address: str, group: str, waiting: Counter[str], running: Counter[str]) -> bool:
        """Whether ``address`` has a line and lets go first who has none and is under way or coming, so that
        a flood takes no core from a visitor. It starts one in YIELD_S all the same.

        Args:
            waiting, running: events of the group by address.
        """
        if group not in ONE_EACH or waiting[address] <= ONE:
            return False
        now = self.clock()
        coming = (other for other, at in self._coming.items() if now - at < COMING_S)
        if not any(waiting[other] <= ONE for other in (*running, *coming) if other != address):
            return False
        return (group, address) in self._started and now - self._started[group, address] < YIELD_S

    def _note_start(self, group: str, address: str) -> None:
        now = self.clock()
        self._started = {key: at for key, at in self._started.items() if now - at < YIELD_S}
        self._started[group, address] = now
        self._coming.pop(address, None)

    def forget_idle(self) -> None:
        """Called from time to time: forget the sessions of which nothing is pending any more, now and the
        last time, and the oldest of those whose answers nobody fetches."""
        pending = self.pending_event_ids_session
        idle = {session for session, events in pending.items() if not events}
        for session in idle & self._idle:
            pending.pop(session, None)
            self.pending_messages_per_session.pop(session, None)
        self._idle = idle
        for session in list(pending)[: max(0, len(pending) - CAPACITY)]:
            if not any(event in self.event_ids_to_events for event in pending[session]):
                pending.pop(session)
                self.pending_messages_per_session.pop(session, None)

    def compute_analytics_summary(self, records: Any) -> Any:
        """Nobody looks at Gradio's statistics, which take longer with every event."""
        return self.cached_event_analytics_summary


def make_fair(demo: Any, runs: int, waiting: int) -> FairQueue:
    """Give ``demo`` a fair queue instead of Gradio's.

    Args:
        runs: events of a group under way at a time, where the group says nothing else.
        waiting: events that may wait in each group.
    """
    demo.queue(api_open=False, default_concurrency_limit=runs)
    queue = FairQueue(
        live_updates=True,
        concurrency_count=demo.max_threads,
        update_intervals=1,
        max_size=None,
        blocks=demo,
        default_concurrency_limit=runs,
    )
    queue.waiting = waiting
    queue.waiting_each = max(WAITING_EACH_SESSION, waiting * 3 // 4)
    demo._queue = queue
    return queue
