"""The server refuses what is too large and tells browsers to keep the page to itself."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from conftest import draw_photo
from gradio_client import Client, handle_file

from resnet_demo.inference import forward
from resnet_demo.inference.engine import Engine, EngineError
from resnet_demo.networks.checkpoints import available_networks
from resnet_demo.page.middleware import headers
from resnet_demo.page.routes import MAX_JSON


def send(server: str, path: str, body: bytes, given: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection(urlsplit(server).netloc, timeout=30)
    connection.putrequest("POST", path)
    for name, value in given.items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(body)
    response = connection.getresponse()
    return response.status, response.read(), {k.lower(): v for k, v in response.getheaders()}


@pytest.mark.parametrize(
    "path", ["/gradio_api/queue/join", "/gradio_api/component_server", "/gradio_api/call/predict"]
)
def test_large_bodies_are_refused_before_they_are_read(server: str, path: str) -> None:
    length = {"Content-Type": "application/json", "Content-Length": str(MAX_JSON + 1)}
    status, body, _ = send(server, path, b"", length)  # nothing of it was sent yet
    assert status == 413
    assert "bytes; at most" in json.loads(body)["detail"]


def test_bodies_of_unknown_or_wrong_length_are_refused(server: str) -> None:
    path = "/gradio_api/queue/join"
    assert send(server, path, b"", {"Transfer-Encoding": "chunked"})[0] == 411
    assert send(server, path, b"", {"Content-Length": "many"})[0] == 400


def test_every_answer_carries_the_headers(server: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(server).netloc, timeout=30)
    for path in ("/", "/config", "/no-such-page"):
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        for name, value in headers(on_spaces=False):
            assert response.getheader(name.decode()) == value.decode(), path


def test_a_space_may_be_framed() -> None:
    names = {name for name, _ in headers(on_spaces=True)}
    assert b"x-content-type-options" in names
    assert not names & {b"x-frame-options", b"content-security-policy"}


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[str]]]:
    """A server that notes who asks it for a photo."""
    asked: list[str] = []

    class Photos(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *args: object) -> None:
            pass

    photos = ThreadingHTTPServer(("127.0.0.1", 0), Photos)
    threading.Thread(target=photos.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{photos.server_port}", asked
    photos.shutdown()


def call(server: str, photo: object) -> str:
    """What /predict streams back for a photo given as raw JSON."""
    body = json.dumps({"data": [photo, "test-net"]}).encode()
    given = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    status, answer, _ = send(server, "/gradio_api/call/predict", body, given)
    if status != 200:
        return answer.decode()
    connection = http.client.HTTPConnection(urlsplit(server).netloc, timeout=30)
    connection.request("GET", f"/gradio_api/call/predict/{json.loads(answer)['event_id']}")
    return connection.getresponse().read().decode()


def test_the_server_fetches_nothing_for_anyone(server: str, elsewhere: tuple[str, list[str]]) -> None:
    address, asked = elsewhere
    for url in (
        f"{address}/a.jpg",
        address.replace("127.0.0.1", "localhost") + "/b.jpg",
        "HTTP://100.64.0.1/c.jpg",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "ftp://127.0.0.1/d",
        f" {address}/e.jpg",
    ):
        told = call(server, {"path": url, "meta": {"_type": "gradio.FileData"}})
        assert "error" in told, url
        assert "complete" not in told
        assert "root:" not in told
        call(server, {"path": "x", "url": url, "meta": {"_type": "gradio.FileData"}})
        call(server, url)
    told = call(server, {"path": f"{address}/a.jpg", "meta": {"_type": "gradio.FileData"}})
    assert "Photos are not fetched from addresses." in told
    assert asked == []


def test_files_of_the_server_are_not_served(server: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(server).netloc, timeout=30)
    here = Path(__file__).resolve()
    for path in (
        "/etc/passwd",
        str(here),
        str(here.parents[2] / "weights"),
        f"{here.parent}/../app.py",
        "../app.py",
        "%2e%2e/app.py",
        "/proc/self/environ",
        ".env",
        str(here.parents[2] / ".env"),
        str(next((here.parents[2] / "weights").glob("*.safetensors"))),
        "weights/golden.safetensors",
        "..%2f..%2f..%2fetc%2fpasswd",
        "....//....//etc/passwd",
        "C:%5CWindows%5Cwin.ini",
    ):
        connection.request("GET", f"/gradio_api/file={path}")
        response = connection.getresponse()
        body = response.read()
        assert response.status in (403, 404), path
        assert b"root:" not in body
    for path in (
        "/file=/etc/passwd",
        "/gradio_api/file/etc/passwd",
        "/static/../../app.py",
        "/assets/../../../app.py",
        "/gradio_api/proxy=http://127.0.0.1:9/",
        "/gradio_api/stream/../../etc/passwd",
    ):
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        assert response.status >= 400, path
        assert b"root:" not in body


def test_other_sites_may_not_use_a_visitors_browser(server: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(server).netloc, timeout=30)
    connection.request("GET", "/config", headers={"Origin": "https://example.org"})
    response = connection.getresponse()
    response.read()
    assert response.getheader("access-control-allow-origin") in (None, "null") or (
        "example.org" not in str(response.getheader("access-control-allow-origin"))
    )


def test_whoever_waits_too_long_is_told_to_come_back(
    weights_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(available_networks(weights_dir), "cpu")
    monkeypatch.setattr(forward, "PATIENCE_S", 0.05)
    with engine.network().lock, pytest.raises(EngineError, match="busy with other people's photos"):
        engine.run(draw_photo(1))
    assert engine.run(draw_photo(1)).prediction.label  # the lock is free again


def test_a_photo_still_arrives(server: str, tmp_path: Path) -> None:
    draw_photo(2).save(tmp_path / "a:b.png")  # a colon in a name is no address
    answer = Client(server, verbose=False).predict(handle_file(tmp_path / "a:b.png"), api_name="/predict")
    assert answer["label"] in ("cat", "dog")
