"""What stands between the network and Gradio: limits on bodies, headers that keep the page to itself.

Plain ASGI, so that it wraps the server from outside and depends on none of its internals.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_JSON = 2_000_000  # bytes; a live frame in base64 is the largest thing the page sends this way
UPLOAD = "/gradio_api/upload"  # has a limit of its own, the photo's

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob: mediastream:; font-src 'self' data:; "
    "worker-src 'self' blob:; connect-src 'self' data: blob:; object-src 'none'; base-uri 'self'; form-action 'self'"
)


def headers(on_spaces: bool) -> list[tuple[bytes, bytes]]:
    """Security headers of every response. A Space's page is shown inside another site's, whose
    resizing script it loads; there the browser is not told to load from this server alone."""
    found = {
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "permissions-policy": "camera=(self), microphone=(self), geolocation=()",
        "cross-origin-opener-policy": "same-origin",
    }
    if not on_spaces:
        found |= {"content-security-policy": POLICY, "x-frame-options": "SAMEORIGIN"}
    return [(name.encode(), value.encode()) for name, value in found.items()]


class Guard:
    """ASGI middleware: refuses large bodies before they are read, adds the headers.

    Args:
        app: what it wraps.
        most: bytes of a body, other than an upload's.
        on_spaces: whether the page runs as a Space; read from SPACE_ID when None.
    """

    def __init__(self, app: App, most: int = MAX_JSON, on_spaces: bool | None = None) -> None:
        self.app = app
        self.most = most
        self.headers = headers(bool(os.environ.get("SPACE_ID")) if on_spaces is None else on_spaces)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message.get("headers", [])}
                added = [pair for pair in self.headers if pair[0] not in present]
                message = {**message, "headers": [*message.get("headers", []), *added]}
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            await self.app(scope, receive, send_with_headers)
            return
        status, sentence = refusal
        body = json.dumps({"detail": sentence}).encode()
        answer = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send_with_headers({"type": "http.response.start", "status": status, "headers": answer})
        await send({"type": "http.response.body", "body": body})

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and sentence for a request whose body is too large, or of unknown length."""
        if scope["method"] not in ("POST", "PUT", "PATCH") or scope["path"].startswith(UPLOAD):
            return None
        given = dict(scope["headers"])
        if b"transfer-encoding" in given and b"content-length" not in given:
            return 411, "Send the length of the request's body."
        try:
            length = int(given.get(b"content-length", b"0"))
        except ValueError:
            return 400, "The length of the request's body is not a number."
        if length > self.most:
            return (
                413,
                f"The request's body has {length} bytes; at most {self.most} are taken. Upload photos as files.",
            )
        return None
