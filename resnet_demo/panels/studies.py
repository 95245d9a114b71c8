"""Studies, the measurements that take a second or more: each page has one under way, and can stop it.

A study learns that it was stopped where it tells of its progress: ``follow`` makes of a progress bar one
that raises ``StudyStoppedError`` once somebody pressed Stop, or the same page began another study.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class StudyStoppedError(Exception):
    """The visitor does not want the answer any more."""


class Study:
    """One study under way."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.pressed = False  # it was stopped by hand

    def follow(self, progress: Callable[..., Any]) -> Callable[[float], None]:
        """``progress``, told the share that is done; it ends the study where that was asked for.

        Raises:
            StudyStoppedError: when called after the study was stopped.
        """

        def tell(share: float) -> None:
            if self.over.is_set():
                raise StudyStoppedError
            progress(share)

        return tell


class Studies:
    """The study that each page has under way, by session."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[str | None, Study] = {}

    def begin(self, session: str | None) -> Study:
        """A new study of that page; the one before, if any, ends. Calls without a session end no other."""
        study = Study()
        if session is not None:
            with self._lock:
                before = self._under_way.get(session)
                self._under_way[session] = study
            if before is not None:
                before.over.set()
        return study

    def stop(self, session: str | None) -> None:
        """End the study of that page."""
        with self._lock:
            study = self._under_way.get(session)
        if study is not None:
            study.pressed = True
            study.over.set()

    def end(self, session: str | None, study: Study) -> None:
        """It has ended; nothing of it is kept."""
        with self._lock:
            if self._under_way.get(session) is study:
                del self._under_way[session]
