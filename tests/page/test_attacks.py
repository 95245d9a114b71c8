"""Each test is an attack that worked once, on the app in a process of its own."""

from __future__ import annotations

import http.client
import io
import json
import re
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import draw_photo
from strangers import MARK, Attacked, ask, files_in, multipart, raw, send_json, status_of

from resnet_demo.inputs.files import MAX_BYTES
from resnet_demo.page.routes import MAX_FILES, MAX_JSON, MAX_NOTE
from resnet_demo.tools.app_process import Visitor

JOIN, UPLOAD = "/gradio_api/queue/join", "/gradio_api/upload"
SENTENCE = re.compile(r"^.{10,300}\.$", re.DOTALL)


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    server = Attacked(tmp_path_factory.mktemp("attacked"))
    yield server
    server.close()


@pytest.fixture
def quiet(attacked: Attacked) -> Iterator[Attacked]:
    """The log of what happens has no traceback, and the page still answers a photo."""
    before = len(attacked.log())
    yield attacked
    assert "Traceback" not in attacked.log()[before:]
    assert "label" in Visitor(attacked.url).ask(jpeg())


def jpeg(seed: int = 1) -> bytes:
    buffer = io.BytesIO()
    draw_photo(seed).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def told(body: bytes) -> str:
    return str(json.loads(body)["detail"])


@pytest.mark.parametrize("size", ["12000", "3", "0", "-1", "193", "1e3", "192x192", "999999999999999999999"])
def test_an_icon_has_only_the_sizes_of_the_manifest(quiet: Attacked, size: str) -> None:
    started = time.perf_counter()
    assert ask(quiet.host, "GET", f"/pwa_icon/{size}")[0] == 404
    assert time.perf_counter() - started < 2


def test_the_icons_of_the_manifest_are_there(quiet: Attacked) -> None:
    from PIL import Image

    found = json.loads(ask(quiet.host, "GET", "/manifest.json")[1])
    for icon in found["icons"]:
        assert not icon["src"].startswith("/")  # or it would be wrong below a path of a proxy
        status, body, _ = ask(quiet.host, "GET", "/" + icon["src"])
        assert status == 200
        assert "x".join(map(str, Image.open(io.BytesIO(body)).size)) == icon["sizes"]


CHUNK = b"10000\r\n" + b"[" * 0x10000 + b"\r\n"


@pytest.mark.parametrize(
    "path",
    [
        JOIN,
        UPLOAD,
        "/gradio_api/call/predict",
        "/gradio_api/component_server",
        "/gradio_api/cancel",
        "/gradio_api/reset",
    ],
)
@pytest.mark.parametrize(
    "lengths",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: chunked",
        "transfer-encoding: Chunked\r\ncontent-length: 5",
        "Content-Length: -1",
        "Content-Length: 5, 6",
        "Content-Length: 0x10",
        "Content-Length: 99999999999",
        "Content-Length: 5\r\nContent-Length: 6",
    ],
)
def test_a_body_without_one_honest_length_is_refused(attacked: Attacked, path: str, lengths: str) -> None:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {attacked.host}\r\nContent-Type:"
        f" application/json\r\n{lengths}\r\n\r\n"
    )
    answer = raw(attacked.host, head.encode() + CHUNK * 40 + b"0\r\n\r\n")
    assert status_of(answer) in (400, 411, 413), answer[:200]


def test_bodies_are_as_long_as_they_say(quiet: Attacked) -> None:
    for path, most in ((JOIN, MAX_JSON), ("/gradio_api/cancel", MAX_NOTE), ("/gradio_api/info", 0)):
        head = f"POST {path} HTTP/1.1\r\nHost: {quiet.host}\r\nContent-Length: {most + 1}\r\n\r\n"
        assert status_of(raw(quiet.host, head.encode())) in (404, 413), path
    head = f"GET /config HTTP/1.1\r\nHost: {quiet.host}\r\nContent-Length: 9\r\n\r\n123456789"
    assert status_of(raw(quiet.host, head.encode())) == 413


def test_a_form_field_stays_small(quiet: Attacked) -> None:
    body, kind = multipart(("note", None, b"x" * 3_000_000))
    status, answer, _ = ask(quiet.host, "POST", UPLOAD, body, kind)
    assert (status, bool(SENTENCE.match(told(answer)))) == (413, True)
    body, kind = multipart(*[("note", None, b"x")] * 50)
    assert ask(quiet.host, "POST", UPLOAD, body, kind)[0] == 413
    assert files_in(quiet.folder) == [f for f in files_in(quiet.folder) if f.name != ".part"]


def test_an_upload_has_few_files_and_they_are_counted_together(quiet: Attacked) -> None:
    photo = jpeg()
    body, kind = multipart(*[("files", f"{i}.jpg", photo) for i in range(MAX_FILES + 1)])
    before = files_in(quiet.folder)
    status, answer, _ = ask(quiet.host, "POST", UPLOAD, body, kind)
    assert (status, bool(SENTENCE.match(told(answer)))) == (413, True)
    body, kind = multipart(*[("files", f"{i}.jpg", bytes(9_900_000)) for i in range(40)])
    with suppress(OSError):  # the server does not read on
        assert ask(quiet.host, "POST", UPLOAD, body, kind)[0] == 413
    body, kind = multipart(("files", "a.jpg", bytes(MAX_BYTES + 1)))
    assert ask(quiet.host, "POST", UPLOAD, body, kind)[0] == 413
    assert sorted(files_in(quiet.folder)) == sorted(before)
    body, kind = multipart(("files", "a.jpg", photo), ("files", "b.jpg", photo))
    status, answer, _ = ask(quiet.host, "POST", UPLOAD, body, kind)
    assert (status, [Path(p).read_bytes() for p in json.loads(answer)]) == (200, [photo, photo])


def test_what_was_cut_off_is_removed(quiet: Attacked) -> None:
    before = sorted(files_in(quiet.folder))
    head = (
        f"POST {UPLOAD} HTTP/1.1\r\nHost: {quiet.host}\r\nContent-Length: 5000000\r\n"
        f"Content-Type: multipart/form-data; boundary={MARK}\r\n\r\n--{MARK}\r\n"
        'Content-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
    ).encode()
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", quiet.port)) as connection:
            connection.sendall(head + bytes(1_000_000))
            time.sleep(0.3)
    body, kind = multipart(("files", "a.jpg", bytes(3_000_000)))
    assert ask(quiet.host, "POST", UPLOAD, body[:-12], kind)[0] == 400  # no end
    until = time.monotonic() + 10
    while sorted(files_in(quiet.folder)) != before and time.monotonic() < until:
        time.sleep(0.2)
    assert sorted(files_in(quiet.folder)) == before


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "/",
        "..jpg",
        ".hidden.jpg",
        "....",
        "a/b/../../../c.jpg",
        "C:\\x\\y.jpg",
        "\\\\host\\share\\z.jpg",
        "con.jpg",
        "x" * 4000 + ".jpg",
        "é" * 300 + ".jpg",
        "a\tb.jpg",
        " .jpg",
        "%2e%2e%2fz.jpg",
        "photo",
    ],
)
def test_a_file_may_be_called_anything(quiet: Attacked, name: str) -> None:
    photo = jpeg()
    body, kind = multipart(("files", name, photo))
    status, answer, _ = ask(quiet.host, "POST", UPLOAD, body, kind)
    assert status == 200
    path = Path(json.loads(answer)[0])
    assert path.resolve().is_relative_to(quiet.folder.resolve())
    assert not path.name.startswith(".")
    assert path.read_bytes() == photo
    visitor = Visitor(quiet.url)
    photo_data = {"path": str(path), "meta": {"_type": "gradio.FileData"}}
    event = json.loads(send_json(quiet.host, "/gradio_api/call/predict", {"data": [photo_data, None]})[1])[
        "event_id"
    ]
    assert "event: complete" in visitor.request("GET", f"/gradio_api/call/predict/{event}")[1]


NO_FORM = [
    b"",
    b"x",
    b"--",
    b"--" + MARK.encode(),
    f"--{MARK}\r\n\r\n".encode(),
    f"--{MARK}--\r\n".encode() * 3,
]


@pytest.mark.parametrize("body", NO_FORM)
def test_an_upload_that_is_no_form_gets_a_sentence(quiet: Attacked, body: bytes) -> None:
    for kind in (
        f"multipart/form-data; boundary={MARK}",
        "multipart/form-data",
        "text/plain",
        "multipart/form-data; boundary=" + "b" * 5000,
    ):
        status = ask(quiet.host, "POST", UPLOAD, body, {"Content-Type": kind})[0]
        assert status in (200, 400, 431), (kind[:60], status)


CLOSED = [
    "/gradio_api/run/predict",
    "/gradio_api/run/predict/",
    "/gradio_api/api/predict",
    "/gradio_api/run/on_gradients",
    "/gradio_api/api/gradient_flow",
    "/login",
    "/gradio_api/process_recording",
    "/gradio_api/vibe-edit",
    "/gradio_api/stream/x",
]


@pytest.mark.parametrize("path", CLOSED)
def test_nothing_goes_around_the_queue(quiet: Attacked, path: str) -> None:
    assert send_json(quiet.host, path, {"data": [None, 100, True], "fn_index": 6, "session_hash": "s"})[
        0
    ] in (404, 405)


def test_streams_without_an_end_are_for_visitors_only(quiet: Attacked) -> None:
    for path in ("/gradio_api/dev/reload", "/gradio_api//dev/reload", "/gradio_api/dev/reload/"):
        assert ask(quiet.host, "GET", path, timeout=5)[0] == 404


def test_the_server_connects_nowhere_for_anybody(quiet: Attacked) -> None:
    asked: list[str] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *args: object) -> None:
            pass

    other = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    started = time.perf_counter()
    for address in (
        f"http://127.0.0.1:{other.server_port}/x",
        "https://example.invalid/x",
        "https://[::1]/x",
    ):
        for way in (
            address,
            address.replace("://", ":%2f%2f"),
            "%20" + address,
            address.upper(),
            "/" + address,
        ):
            for where in ("file=", "file/", "proxy=", "proxy=/"):
                assert ask(quiet.host, "GET", f"/gradio_api/{where}{way}")[0] in (400, 403, 404), way
    assert asked == []
    assert time.perf_counter() - started < 20  # no name was looked up
    other.shutdown()


@pytest.mark.parametrize(
    "name",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "[::2]",
        "evil.example:80",
        "",
        "127.0.0.1@evil.example",
        "127.0.0.1/x",
        "0.0.0.0",
        "a b",
    ],
)
def test_a_page_on_this_machine_answers_to_its_names_only(quiet: Attacked, name: str) -> None:
    for path in ("/", "/config", "/gradio_api/info"):
        answer = raw(quiet.host, f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        assert status_of(answer) in (400, 421), answer[:100]
        answer = raw(
            quiet.host,
            f"GET {path} HTTP/1.1\r\nHost: {quiet.host}\r\nX-Forwarded-Host: {name or 'x'}\r\n"
            "Connection: close\r\n\r\n".encode(),
        )
        assert status_of(answer) in (400, 421), answer[:100]


def test_its_own_names_are_answered(quiet: Attacked) -> None:
    for name in (quiet.host, f"localhost:{quiet.port}", "localhost", "LOCALHOST", "[::1]", "127.0.0.1"):
        assert ask(quiet.host, "GET", "/config", given={"Host": name})[0] == 200, name
    shown = ask(quiet.host, "GET", "/config", given={"X-Gradio-Server": "http://evil.example"})[1]
    assert b"evil.example" not in shown


def test_another_site_reads_and_does_nothing(quiet: Attacked) -> None:
    for origin in (
        "https://evil.example",
        "null",
        "http://127.0.0.1:9",
        f"https://{quiet.host}.evil.example",
    ):
        status, _, headers = ask(quiet.host, "GET", "/config", given={"Origin": origin})
        assert not any(name.startswith("access-control") for name in headers), origin
        assert (
            ask(quiet.host, "POST", JOIN, b"{}", {"Origin": origin, "Content-Type": "text/plain"})[0] == 403
        )
        body, kind = multipart(("files", "a.jpg", jpeg()))
        assert ask(quiet.host, "POST", UPLOAD, body, {**kind, "Origin": origin})[0] == 403
        preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        status, _, headers = ask(quiet.host, "OPTIONS", JOIN, given=preflight)
        assert status == 403
        assert "access-control-allow-origin" not in headers
    own = {"Origin": f"http://{quiet.host}", "Content-Type": "application/json"}
    assert ask(quiet.host, "POST", "/gradio_api/call/predict", b'{"data": [null, null]}', own)[0] == 200


FORGED = [
    {"fn_index": 999_999},
    {"fn_index": -1},
    {"fn_index": None},
    {"fn_index": "x"},
    {"fn_index": 0, "data": []},
    {"fn_index": 0, "data": [1] * 50},
    {"fn_index": 0, "data": None},
    {"fn_index": 7, "data": [{}] * 8},
    {"fn_index": 8, "event_data": {"index": "x"}},
    {"fn_index": 8, "event_data": [[]]},
    {"fn_index": 12, "event_data": None},
    {"fn_index": 14, "event_data": {"jpeg": 7}},
    {"fn_index": 0, "trigger_id": "x"},
    {"fn_index": 0, "trigger_id": 10**9},
    {"fn_index": 0, "data": [{"path": None}] * 7},
    {"fn_index": 0, "data": [{"path": ""}] * 7},
    {"session_hash": "x" * 5000},
    {"session_hash": 5},
    {"event_id": "x", "fn_index": 3},
    {"batched": True, "fn_index": 5},
    {"simple_format": 7},
]


@pytest.mark.parametrize("number", range(len(FORGED)))
def test_a_forged_event_gets_a_sentence_and_no_traceback(quiet: Attacked, number: int) -> None:
    session = secrets.token_hex(5)
    event = {"data": [None] * 7, "fn_index": 0, "session_hash": session, **FORGED[number]}
    status, answer = send_json(quiet.host, JOIN, event)
    assert status in (200, 400, 404, 422), answer
    if status == 200:
        connection = Visitor(quiet.url)
        text = connection.request("GET", f"/gradio_api/queue/data?session_hash={event['session_hash']}")[1]
        assert "process_completed" in text
        assert '"error":null' not in text.replace(" ", "")
        assert str(quiet.folder) not in text
    else:
        assert json.loads(answer)["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"data": 5}',
        b'{"data": {}, "component_id": 99999, "session_hash": "s", "fn_name": "frame"}',
        b'{"data": {}, "component_id": "x", "session_hash": "s", "fn_name": "__init__"}',
        b'{"data": {}, "component_id": 56, "session_hash": null, "fn_name": "frame"}',
        b'{"data": {}, "component_id": [1], "session_hash": [], "fn_name": 7}',
    ],
)
def test_a_forged_body_gets_a_status_and_no_traceback(quiet: Attacked, body: bytes) -> None:
    kind = {"Content-Type": "application/json"}
    for path in (
        JOIN,
        "/gradio_api/component_server",
        "/gradio_api/call/predict",
        "/gradio_api/call/nothing",
        "/gradio_api/call/v2/predict",
        "/gradio_api/call/v2/nothing",
        "/gradio_api/cancel",
        "/gradio_api/reset",
    ):
        status, _, _ = ask(quiet.host, "POST", path, body, kind)
        assert status < 500, (path, status)
    form, kind = multipart(("data", None, b"1"), ("component_id", None, b"x"))
    assert ask(quiet.host, "POST", "/gradio_api/component_server", form, kind)[0] < 500


@pytest.mark.parametrize(
    "query",
    [
        "lang=" + "x" * 70_000,
        "lang=" + "x" * 7_000,
        "lang=%ff%fe",
        "lang=../../etc/passwd",
        "lang=en&lang=es",
        "__theme=" + "y" * 70_000,
        "deep_link=../../x",
        "page=zz",
    ],
)
def test_an_address_may_say_anything(quiet: Attacked, query: str) -> None:
    for path in ("/", "/config"):
        assert status_of(
            raw(quiet.host, f"GET {path}?{query} HTTP/1.1\r\nHost: {quiet.host}\r\n\r\n".encode())
        ) in (200, 400, 404, 414)


def test_streams_of_nobody_end(quiet: Attacked) -> None:
    for path in (
        "queue/data?session_hash=nobody",
        "queue/data",
        "call/predict/none",
        "upload_progress?upload_id=none",
        "upload_progress",
    ):
        with suppress(http.client.IncompleteRead):
            assert ask(quiet.host, "GET", f"/gradio_api/{path}", timeout=20)[0] < 500, path


def test_no_sentence_names_a_folder_of_the_server(quiet: Attacked) -> None:
    visitor = Visitor(quiet.url)
    for data in (b"", b"nothing", jpeg()[:500], b"GIF89a" + bytes(99)):
        answer = visitor.ask(data)
        assert SENTENCE.match(answer["error"])
        assert str(quiet.folder) not in answer["error"]
    for path in (str(quiet.folder / "none.jpg"), str(quiet.folder), "/etc/passwd", str(Path(__file__))):
        for data in ({"path": path}, {"path": path, "meta": {"_type": "gradio.FileData"}}, path):
            _, answer = send_json(quiet.host, "/gradio_api/call/predict", {"data": [data, None]})
            text = visitor.request(
                "GET", f"/gradio_api/call/predict/{json.loads(answer).get('event_id', 'x')}"
            )[1]
            assert str(quiet.folder) not in text + answer.decode(), data
            assert '{"error": null}' not in text


def is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return bool(connection.recv(1000))
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


@pytest.mark.timeout(280)
def test_half_sent_heads_shut_nobody_out(tmp_path: Path) -> None:
    """1,100 of them, with a soft limit of 1,024 files."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    try:
        server = Attacked(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    held: list[socket.socket] = []
    try:
        for i in range(1100):
            with suppress(OSError):
                connection = socket.socket()
                connection.bind(("127.0.0.2", 0))
                connection.settimeout(5)
                connection.connect(("127.0.0.1", server.port))
                connection.sendall(b"POST /gradio_api/queue/join HTTP/1.1\r\nHost: x\r\nX-Slow: ")
                held.append(connection)
            if i % 100 == 0:
                assert ask(server.host, "GET", "/config", timeout=10)[0] == 200
        assert ask(server.host, "GET", "/config", timeout=10)[0] == 200
        assert "label" in Visitor(server.url).ask(jpeg())
        until = time.monotonic() + 60  # a head has 15 seconds from when the server could first look at it
        open_still = list(held)
        while open_still and time.monotonic() < until:
            time.sleep(1)
            open_still = [connection for connection in open_still if is_open(connection)]
        assert not open_still
        body = f"POST {JOIN} HTTP/1.1\r\nHost: {server.host}\r\nContent-Length: 1000\r\n\r\n{{"
        started = time.monotonic()
        assert status_of(raw(server.host, body.encode(), timeout=60)) in (0, 400, 408)
        assert time.monotonic() - started < 40
        assert len(server.log()) < 100_000
        assert "Traceback" not in server.log()
    finally:
        for connection in held:
            connection.close()
        server.close()
