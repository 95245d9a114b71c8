"""Visitors' sessions: one exists once an event of it was taken into the queue, and stays for far more than a
crowd.

Gradio makes a session for every hash that anybody sends and throws out the oldest at its capacity, whoever
they belong to. Here a hash that did nothing real costs nothing, and an address that opens too many loses its
own.
"""

from __future__ import annotations

import datetime
from collections import Counter, OrderedDict
from copy import copy
from typing import Any

from gradio.state_holder import SessionState, StateHolder

CAPACITY = 10_000  # sessions; docs/scaling.md counts with classes of 300
EACH = 2_000  # of one address, behind which a whole school may be
LOST = 50_000  # hashes of sessions that were thrown out, remembered to say so
CHECKED = 500  # sessions looked at for what has expired, at a time
CLOSED_S = 3600  # seconds that a session stays whose page was closed


class Session(SessionState):
    """What Gradio keeps for one visitor, without a second copy of the page: that is for links that we do not
    offer."""

    def __init__(self, blocks: Any) -> None:
        self.blocks_config = copy(blocks.default_config)
        self.config_values = {}
        self.state_data = {}
        self._state_ttl = {}
        self.is_closed = False
        self.STATE_TTL_WHEN_CLOSED = CLOSED_S

    def __setitem__(self, key: int, value: Any) -> None:
        super().__setitem__(key, value)
        self.config_values.clear()

    def _update_config(self, key: int) -> None:
        """Nothing to keep."""

    def _update_value_in_config(self, key: int, value: Any) -> None:
        """Nothing to keep."""


class Sessions(StateHolder):
    """Gradio's holder of sessions with shares. Used under ``lock`` where it changes.

    Args:
        capacity: sessions in all.
        each: of one address.
    """

    def __init__(self, capacity: int = CAPACITY, each: int = EACH) -> None:
        super().__init__()
        self._most, self._each = capacity, each
        self._address: dict[str, str] = {}
        self._of: Counter[str] = Counter()
        self._lost: OrderedDict[str, None] = OrderedDict()
        self._next = 0

    def set_blocks(self, blocks: Any) -> None:
        """Serve ``blocks``."""
        super().set_blocks(blocks)
        self.capacity = self._most

    def __getitem__(self, session_id: str) -> SessionState:
        """The session; for a hash of which nothing was admitted one that nobody keeps."""
        found = self.session_data.get(session_id)
        if found is None:
            return Session(self.blocks)
        with self.lock:
            if session_id in self.session_data:
                self.session_data.move_to_end(session_id)
        return found

    def admit(self, session_id: str, address: str) -> None:
        """From now on there is a session of that hash: an event of it was taken in."""
        with self.lock:
            gone = []
            if session_id not in self.session_data:
                self.session_data[session_id] = Session(self.blocks)
                self._address[session_id] = address
                self._of[address] += 1
                if self._of[address] > self._each:
                    gone.append(self._take_out(self._oldest(address)))
                elif len(self.session_data) > self.capacity:
                    gone.append(self._take_out(self._oldest(self._of.most_common(1)[0][0])))
            self.session_data[session_id].is_closed = False
            self.session_data.move_to_end(session_id)
            self.time_last_used[session_id] = datetime.datetime.now()
        for state in gone:
            forget(state)

    def lost(self, session_id: str | None) -> bool:
        """Whether the session of that hash was thrown out to make room."""
        return session_id in self._lost

    def found(self, session_id: str | None) -> None:
        """That session has something again, or nothing that it could have lost."""
        with self.lock:
            self._lost.pop(session_id or "", None)

    def delete_all_expired_state(self) -> None:
        """Called every second: looks at the next few sessions, and takes out those that are closed and
        empty."""
        names = list(self.session_data)
        start = self._next if self._next < len(names) else 0
        self._next = start + CHECKED
        now = datetime.datetime.now()
        for name in names[start : self._next]:
            self.delete_state(name, expired_only=True)
            state, used = self.session_data.get(name), self.time_last_used.get(name, now)
            if state and state.is_closed and (now - used).total_seconds() > CLOSED_S:
                with self.lock:
                    self._take_out(name)
                    self._lost.pop(name, None)
                forget(state)

    def _oldest(self, address: str) -> str:
        """The session of ``address`` that was used least recently; one whose page is closed before any
        other."""
        own = [name for name in self.session_data if self._address.get(name) == address]
        return next((name for name in own if self.session_data[name].is_closed), own[0])

    def _take_out(self, name: str) -> SessionState:
        state = self.session_data.pop(name)
        self.time_last_used.pop(name, None)
        address = self._address.pop(name, "")
        self._of[address] -= 1
        if self._of[address] <= 0:
            del self._of[address]
        self._lost[name] = None
        while len(self._lost) > LOST:
            self._lost.popitem(last=False)
        return state


def forget(state: SessionState) -> None:
    """Tell the states of a session that has ended, so that what they stand for goes too."""
    for component, value, _ in state.state_components:
        component.delete_callback(value)
