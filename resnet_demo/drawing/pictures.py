"""Addresses of pictures: in an answer of the page a short one, from which the browser fetches it; elsewhere the picture.

A picture in HTML as base64 takes four characters for three bytes, and takes them again wherever it is shown. Where
pictures are ``kept_in`` a store, the HTML names them by their content: whatever shows the same picture, in this answer
or the next, has the same address, and the browser fetches it once.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

FOLDER = "pictures/"
MOST_BYTES = 128 << 20


class PictureStore:
    """The pictures of the latest answers, in memory; the oldest go first. Nobody can guess the name of one."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._key = secrets.token_bytes(16)
        self._lock = threading.Lock()
        self._pictures: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    def put(self, png: bytes) -> str:
        """Keep a picture; its name."""
        name = hashlib.blake2b(png, digest_size=16, key=self._key).hexdigest()
        with self._lock:
            if name not in self._pictures:
                self._bytes += len(png)
            self._pictures[name] = png
            self._pictures.move_to_end(name)
            while self._bytes > self._most_bytes and len(self._pictures) > 1:
                self._bytes -= len(self._pictures.popitem(last=False)[1])
        return name

    def get(self, name: str) -> bytes | None:
        """The picture of that name, or None if there never was one or it has gone."""
        with self._lock:
            return self._pictures.get(name)


_store: ContextVar[PictureStore | None] = ContextVar("store", default=None)


@contextmanager
def kept_in(store: PictureStore | None) -> Iterator[None]:
    """Inside, ``picture_url`` puts pictures into ``store``."""
    token = _store.set(store)
    try:
        yield
    finally:
        _store.reset(token)


def picture_url(png: bytes) -> str:
    """Where the browser finds the picture, a PNG: in the store, or else in the address itself."""
    store = _store.get()
    return data_url(png) if store is None else FOLDER + store.put(png)


def data_url(png: bytes) -> str:
    """A PNG as a URL that carries the picture itself: no file, no second request."""
    return "data:image/png;base64," + base64.b64encode(png).decode()
