"""Addresses of pictures: in an answer of the page a short one, from which the browser fetches it; elsewhere
the picture.

A picture in HTML as base64 takes four characters for three bytes, and takes them again wherever it is shown.
Where pictures are ``kept_in`` a store, the HTML names them by their content: whatever shows the same picture,
in this answer or the next, has the same address, and the browser fetches it once.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

FOLDER = "pictures/"
MOST_BYTES = 128 << 20
OLDEST_S = 3600.0  # as long as the run that was drawn
OVERHEAD = 300  # bytes that a picture takes besides its own: name, entry, object


class PictureStore:
    """The pictures of the latest answers, in memory, bounded in bytes and age; the oldest go first.

    A name is a hash of the picture under a key of this process: who has the picture gets its name here, and
    nobody else can, not even from the same photo on another server.

    Args:
        most_bytes: of all pictures, with what it takes to keep them.
        oldest: seconds after which a picture that no answer showed again is gone.
        clock: seconds.
    """

    def __init__(
        self,
        most_bytes: int = MOST_BYTES,
        oldest: float = OLDEST_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most_bytes, self._oldest, self._clock = most_bytes, oldest, clock
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._pictures: OrderedDict[str, tuple[bytes, float]] = OrderedDict()  # least recently shown first
        self._bytes = 0

    def put(self, png: bytes) -> str:
        """Keep a picture; its name."""
        name = hashlib.sha256(self._key + png).hexdigest()[:32]
        with self._lock:
            if name not in self._pictures:
                self._bytes += len(png) + OVERHEAD
            self._pictures[name] = png, self._clock()
            self._pictures.move_to_end(name)
            self._tidy()
        return name

    def get(self, name: str) -> bytes | None:
        """The picture of that name, or None if there never was one or it has gone."""
        with self._lock:
            self._tidy()
            return self._pictures[name][0] if name in self._pictures else None

    @property
    def bytes(self) -> int:
        """Bytes of all pictures kept, with what it takes to keep them."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._pictures)

    def _tidy(self) -> None:
        now = self._clock()
        while self._pictures:
            name, (png, shown) = next(iter(self._pictures.items()))
            crowded = (
                self._bytes > self._most_bytes and len(self._pictures) > 1
            )  # the newest is kept, however large
            if now - shown <= self._oldest and not crowded:
                return
            del self._pictures[name]
            self._bytes -= len(png) + OVERHEAD


_store: ContextVar[PictureStore | None] = ContextVar("store", default=None)


@contextmanager
def kept_in(store: PictureStore | None) -> Iterator[None]:
    """Inside, ``picture_url`` puts pictures into ``store``."""
    token = _store.set(store)
    try:
        yield
    finally:
        _store.reset(token)


def addressed() -> bool:
    """Whether what is drawn now may name addresses of this server: it stays on the page."""
    return _store.get() is not None


def picture_url(png: bytes) -> str:
    """Where the browser finds the picture, a PNG: in the store, or else in the address itself."""
    store = _store.get()
    return data_url(png) if store is None else FOLDER + store.put(png)


def data_url(png: bytes) -> str:
    """A PNG as a URL that carries the picture itself: no file, no second request."""
    return "data:image/png;base64," + base64.b64encode(png).decode()
