"""A value that is built once, on first need or ahead of it in the background.

The page appears before torch is imported; whoever needs the engine first waits for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Deferred(Generic[T]):
    """Builds its value with ``build`` at the first ``get``; a failure is raised and tried again next time."""

    def __init__(self, build: Callable[[], T]) -> None:
        self._build = build
        self._lock = threading.Lock()
        self._value: T | None = None

    def get(self) -> T:
        """The value, built now if it has not been; callers from other threads wait for it."""
        with self._lock:
            if self._value is None:
                self._value = self._build()
            return self._value

    def ready(self) -> bool:
        """True once the value exists."""
        return self._value is not None

    def start(self) -> None:
        """Begin building in a background thread; a failure there is left for ``get`` to raise."""

        def attempt() -> None:
            try:
                self.get()
            except Exception:  # noqa: BLE001 - get() raises it again to whoever needs the value
                return

        threading.Thread(target=attempt, name="deferred-build", daemon=True).start()
