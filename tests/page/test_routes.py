"""Every route of the running app is classified, and SECURITY.md says what the code does."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from resnet_demo.inference import run_cache
from resnet_demo.inputs.files import MAX_BYTES
from resnet_demo.page import (
    bounded_log,
    connections,
    fair_queue,
    middleware,
    routes,
    sessions,
    shares,
    upload_folder,
    uploads,
)
from resnet_demo.page.routes import CLOSED, OPEN, TOOLS, Route, route_of
from resnet_demo.panels.own import teachings
from resnet_demo.panels.own.export import FILES_AT_ONCE

SECURITY = Path(routes.__file__).with_name("SECURITY.md").read_text(encoding="utf-8")
# Gradio's answers to HEAD come with those to GET
SAMPLES = {
    "path": "x/y.js",
    "session_hash": "abc",
    "event_id": "abc",
    "api_name": "predict",
    "path_or_url": "/x",
    "name": "0" * 32,
    "file": "blocks.0.residual.webp",
    "size": "192",
    "url_path": "x",
    "key": "k",
    "place": "page/page.js",
}


def routes_of(app: Any) -> Iterator[tuple[str, str]]:
    """(method, path) of every route, those of routers inside too."""
    for route in app.routes:
        if hasattr(route, "original_router"):
            yield from routes_of(route.original_router)
            continue
        if getattr(route, "methods", None):
            for method in route.methods:
                yield method, route.path
        elif hasattr(route, "path"):  # a mounted app
            for method in ("GET", "POST", "DELETE"):
                yield method, route.path + "/x"


def filled(path: str) -> str:
    """``path`` with something in the place of its parameters."""
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda found: SAMPLES.get(found[1], "1"), path)


def closed(path: str) -> str | None:
    return next((why for pattern, why in CLOSED.items() if re.fullmatch(pattern, path)), None)


@pytest.fixture
def app(served: tuple[str, Any]) -> Any:
    return served[1]


def test_every_route_is_classified(app: Any) -> None:
    found = [(method, filled(path)) for method, path in routes_of(app)]
    assert len(found) > 80
    unknown = [
        (method, path)
        for method, path in found
        if (route_of(method, path, tools=True) is None) == (closed(path) is None)
    ]
    assert not unknown  # say in routes.py who may call it and with what, or why nobody may


def test_each_says_who_and_how_much() -> None:
    for route in (*OPEN, TOOLS):
        assert route.who in ("anyone", "page", "script")
        assert 0 <= route.most <= routes.MAX_UPLOAD
        assert route.weight > 0
        assert (route.most > 0) == ("POST" in route.methods), route.path


def test_a_new_route_of_gradio_would_be_noticed_and_is_shut_until_then() -> None:
    for path in (
        "/gradio_api/brand-new",
        "/gradio_api/upload2",
        "/gradio_api/queue/everything",
        "/gradio_api/call",
    ):
        assert route_of("GET", path) is None
        assert route_of("POST", path) is None
        assert closed(path) is None
    assert Route("GET", "/x", 0, 1, "anyone").fits("GET", "/x\n") is False


def test_what_is_closed_is_closed_and_what_is_open_answers(app: Any, server: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(server).netloc, timeout=30)
    for method, path in sorted({(method, filled(path)) for method, path in routes_of(app)}):
        route = route_of(method, path)
        if route is not None and re.search("heartbeat|queue/data|upload_progress|call/.*/abc", path):
            continue  # streams
        body = b"{}" if method == "POST" else None
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        response = connection.getresponse()
        told = response.read()
        if route is None:
            assert response.status == 404, (method, path)
            if method != "HEAD":
                assert b"There is nothing at this address." in told, (method, path)
        else:
            assert response.status < 500, (method, path)


def test_the_document_says_what_the_code_does() -> None:
    text = re.sub(r"\s+", " ", SECURITY)
    for said in (
        f"JSON: at most {routes.MAX_JSON} bytes",
        f"notes (cancel, reset): {routes.MAX_NOTE}",
        (
            f"an upload: {routes.MAX_UPLOAD} in all, {routes.MAX_FILES} files of {MAX_BYTES} and"
            f" {uploads.MAX_FIELDS} form fields"
        ),
        f"the `?`: {routes.MAX_QUERY}",
        f"may pause for {middleware.IDLE_BODY_S:g} s, a head may take {connections.HEAD_S:g} s",
        f"have {connections.MAX_HEAD} bytes",
        f"stall for {connections.STALLED_S:g} s",
        f"at most {upload_folder.MOST_BYTES} bytes or {upload_folder.SHARE_OF_DISK:.0%}".replace("%", " %"),
        (
            f"{fair_queue.FairQueue.waiting} may wait, {fair_queue.FairQueue.waiting_each} of one address,"
            f" {fair_queue.WAITING_EACH_SESSION} of one session; {fair_queue.RUNNING_EACH_SESSION} of a"
            " session run at a time"
        ),
        f"within the last {shares.ACTIVE_S:g} s an address has {fair_queue.ONE} run, drawing and study",
        f"if more than {fair_queue.ONE} of it wait, it starts none for {fair_queue.YIELD_S:g} s",
        f"while their photo arrives ({fair_queue.COMING_S:g} s)",
        f"weighs {shares.RATE:g} a second",
        f"{shares.BURST:g} saved up",
        f"raised to {connections.WANTED_FILES}",
        f"{connections.EACH_HALF} unfinished heads",
        f"{sessions.CAPACITY} in all, {sessions.EACH} of one address",
        f"({run_cache.MOST_BYTES} bytes at most)",
        f"{bounded_log.MOST} characters a minute",
        f"made {FILES_AT_ONCE} at a time",
        f"{teachings.EACH_BYTES} bytes each, {teachings.ALL_BYTES} in all",
    ):
        assert said in text, said
    assert sorted(fair_queue.ONE_EACH) == ["draw", "run", "study"]
    assert upload_folder.SHARE_OF_ADDRESS == 0.5
    assert run_cache.SHARE_OF_MEMORY == 1 / 8
    assert run_cache.OLDEST_S == 3600
    assert len(SECURITY.split()) < 450  # half a page
    for option in ("--allowed-host", "--proxy", "--embed"):
        assert option in SECURITY


def test_the_queue_in_use_has_the_shares_of_the_document(app: Any) -> None:
    queue = app.get_blocks()._queue
    assert isinstance(queue, fair_queue.FairQueue)
    assert (queue.waiting, queue.waiting_each) == (
        fair_queue.FairQueue.waiting,
        fair_queue.FairQueue.waiting_each,
    )
    assert isinstance(app.state_holder, sessions.Sessions)
    assert isinstance(app.middleware_stack, middleware.Guard)
    groups = {fn.api_name: fn.concurrency_id for fn in app.get_blocks().fns.values() if fn.queue}
    assert groups["gradient_flow"] == "study"
    limits = [fn.concurrency_limit for fn in app.get_blocks().fns.values() if fn.concurrency_id == "study"]
    assert min(limit for limit in limits if isinstance(limit, int)) == 2
