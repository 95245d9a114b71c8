"""What stands between the network and Gradio: which requests pass, how large they may be, what every answer
carries.

Plain ASGI, around everything of Gradio's. The limits are in ``routes``, the names in ``access``, the shares
in ``shares``; ``SECURITY.md`` beside this file says them all in half a page.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException

from resnet_demo.inputs.files import is_address
from resnet_demo.page.access import Access
from resnet_demo.page.faults import place_of
from resnet_demo.page.routes import MAX_QUERY, Route, route_of
from resnet_demo.page.shares import PATIENCE_S, Rates, Seats

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger(__name__)

IDLE_BODY_S = 20.0  # seconds without a byte of a body that was announced
SLOWEST_BODY = 20_000  # bytes a second; with IDLE_BODY_S the time that a whole body may take
READING_EACH = 32  # bodies of one address that are read at a time; the others wait
READING = 128  # of all
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self'"
    " 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob: mediastream:; font-src 'self'"
    " data:; worker-src 'self' blob:; connect-src 'self' data: blob:; object-src 'none'; base-uri 'self';"
    " form-action 'self'"
)


def headers(on_spaces: bool, access: Access | None = None) -> list[tuple[bytes, bytes]]:
    """Security headers of every response. A Space's page is shown inside another site's, whose
    resizing script it loads; there the browser is not told to load from this server alone."""
    found = {
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "permissions-policy": "camera=(self), microphone=(self), geolocation=()",
        "cross-origin-opener-policy": "same-origin",
    }
    if not on_spaces:
        embed = access.embed if access else ()
        frames = access.frame_ancestors() if access else "frame-ancestors 'self'"
        found["content-security-policy"] = f"{POLICY}; {frames}"
        if not embed:  # it knows no names; browsers that know the policy do not look at it
            found["x-frame-options"] = "SAMEORIGIN"
    return [(name.encode(), value.encode()) for name, value in found.items()]


class Guard:
    """ASGI middleware: refuses what the page does not answer to, counts bodies as they arrive, adds the
    headers.

    Args:
        app: what it wraps.
        access: names and origins that are answered.
        rates: what every address has used; its own when None.
        own: our own answers by name, instead of Gradio's.
        tools: whether MCP is offered.
        on_spaces: whether the page runs as a Space; read from SPACE_ID when None.
    """

    def __init__(
        self,
        app: App,
        access: Access | None = None,
        rates: Rates | None = None,
        own: Mapping[str, App] | None = None,
        tools: bool = False,
        on_spaces: bool | None = None,
    ) -> None:
        self.app = app
        self.access = access or Access.of()
        self.rates = rates or Rates()
        self.own = own or {}
        self.tools = tools
        self.reading = Seats(READING_EACH, READING)
        on_spaces = bool(os.environ.get("SPACE_ID")) if on_spaces is None else on_spaces
        self.headers = headers(on_spaces, self.access)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                present = {name.lower() for name, _ in message.get("headers", [])}
                added = [pair for pair in self.headers if pair[0] not in present]
                message = {**message, "headers": [*message.get("headers", []), *added]}
            await send(message)

        try:
            await self._pass_on(scope, receive, send_with_headers)
        except HTTPException as refusal:
            if not started:
                await refuse(send_with_headers, refusal.status_code, str(refusal.detail))
        except Exception as error:  # noqa: BLE001 - uvicorn would log pages of it for every stranger
            log.warning("%s failed: %s", scope["method"], place_of(error))
            if not started:
                await refuse(send_with_headers, 500, "Something went wrong on the server; try again.")

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = headers_of(scope)
        route = self.check(scope, given)
        origin = given.get("origin")
        if origin is not None and not self.access.trusts(
            origin, given.get("host", ""), given.get("x-forwarded-host")
        ):
            if scope["method"] not in ("GET", "HEAD"):
                raise HTTPException(403, "Other sites may not use this page.")
            drop(scope, b"origin")  # no header allows that site to read the answer
        drop(scope, b"x-gradio-server")
        client = scope.get("client")
        address = client[0] if client else ""
        wait = self.rates.charge(address, route.weight)
        if wait > PATIENCE_S:
            raise HTTPException(429, "Too many requests from your address; try again in a minute.")
        if wait:
            await asyncio.sleep(wait)
        app = self.own.get(route.answered_here, self.app)
        if not route.most or not length_of(given):
            await app(scope, receive, send)
            return
        body = Body(receive, length_of(given), route.most)
        # while many of one address are being read the others wait; a seat is free again when the body has
        # arrived
        seat = self.reading.take(address)
        await seat.__aenter__()
        body.when_done = seat
        try:
            await app(scope, body, send)
        finally:
            await body.leave()

    def check(self, scope: Scope, given: Mapping[str, str]) -> Route:
        """The route of a request that may pass.

        Raises:
            HTTPException: it may not.
        """
        host, forwarded = given.get("host"), given.get("x-forwarded-host")
        for name in (host, forwarded.partition(",")[0].strip() if forwarded else None):
            if name is not None and not self.access.answers_to(name):
                raise HTTPException(
                    421,
                    f"This page does not answer to the name {name!r:.80}. Whoever runs it can let it: "
                    "--allowed-host NAME.",
                )
        if len(scope.get("query_string", b"")) > MAX_QUERY:
            raise HTTPException(
                414, f"The address is too long; at most {MAX_QUERY} characters may follow its ?."
            )
        method, path = scope["method"], scope["path"]
        if method == "OPTIONS" and "origin" in given:
            if not self.access.trusts(given["origin"], host or "", forwarded):
                raise HTTPException(403, "Other sites may not use this page.")
            route = next(filter(None, (route_of(m, path, self.tools) for m in ("GET", "POST"))), None)
        else:
            route = route_of(method, path, self.tools)
        if route is None:
            raise HTTPException(404, "There is nothing at this address.")
        if route.answered_here == "file" and is_address(path.partition("/file=")[2].lstrip("/\\ ")):
            raise HTTPException(403, "The server fetches nothing from elsewhere.")
        check_length(given, route)
        return route


def headers_of(scope: Scope) -> dict[str, str]:
    """Headers by name, in lower case.

    Raises:
        HTTPException: one that may stand there once stands there twice.
    """
    found: dict[str, str] = {}
    once = (b"host", b"content-length", b"transfer-encoding", b"origin", b"x-forwarded-host")
    for name, value in scope["headers"]:
        if name in once and name.decode() in found:
            raise HTTPException(400, f"The header {name.decode()} stands in the request twice.")
        found[name.decode("latin-1")] = value.decode("latin-1")
    return found


def length_of(given: Mapping[str, str]) -> int:
    """Bytes of the body that are announced.

    Raises:
        HTTPException: that is no number.
    """
    text = given.get("content-length", "0")
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise HTTPException(400, "The length of the request's body is not a number.")
    return int(text)


def check_length(given: Mapping[str, str], route: Route) -> None:
    """Raises HTTPException if the body is too large for ``route``, or of unknown length."""
    if "transfer-encoding" in given:
        if "content-length" in given:
            raise HTTPException(400, "A request has a length or is sent in chunks, not both.")
        raise HTTPException(411, "Send the length of the request's body.")
    length = length_of(given)
    if length > route.most:
        raise HTTPException(
            413,
            f"The request's body has {length} bytes; at most {route.most} are taken. Upload photos as files.",
        )


def drop(scope: Scope, name: bytes) -> None:
    """Take a header out of the request."""
    scope["headers"] = [pair for pair in scope["headers"] if pair[0] != name]


class Body:
    """``receive`` for a request with a body: what arrives is counted and timed."""

    def __init__(self, receive: Receive, length: int, most: int) -> None:
        self._receive, self._most = receive, min(length, most)
        self._count, self._done = 0, False
        self._until = time.monotonic() + IDLE_BODY_S + length / SLOWEST_BODY
        self.when_done: Any = None  # a seat, given back when the body has arrived

    async def __call__(self) -> Message:
        if self._done:
            return await self._receive()
        try:
            async with asyncio.timeout(min(IDLE_BODY_S, self._until - time.monotonic())):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, "The request's body took too long to arrive.") from None
        if message["type"] == "http.request":
            self._count += len(message.get("body", b""))
            if self._count > self._most:
                raise HTTPException(413, f"The request's body has more than {self._most} bytes.")
            self._done = not message.get("more_body", False)
        else:
            self._done = True
        if self._done:
            await self.leave()
        return message

    async def leave(self) -> None:
        """Give the seat back."""
        seat, self.when_done = self.when_done, None
        if seat is not None:
            await seat.__aexit__(None, None, None)


async def refuse(send: Send, status: int, sentence: str) -> None:
    """Answer with one sentence, and close the connection: what is left of the request is not read."""
    body = json.dumps({"detail": sentence}).encode()
    answer = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": answer})
    await send({"type": "http.response.body", "body": body})
