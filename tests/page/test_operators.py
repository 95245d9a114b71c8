"""What whoever runs the page meets: options for proxies and frames, a log with an end, disks and folders that
fail, a checkpoint that is damaged."""

from __future__ import annotations

import argparse
import asyncio
import errno
import io
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from conftest import draw_photo
from strangers import Attacked, ask, multipart
from test_attacks import SENTENCE, UPLOAD, jpeg, told

from resnet_demo.inference.engine import Engine, build_engine
from resnet_demo.inference.interface import EngineConfig
from resnet_demo.networks.cards import WEIGHTS, CheckpointError, available_networks, read_menu
from resnet_demo.page import faults
from resnet_demo.page.access import Access
from resnet_demo.page.bounded_log import MINUTE, BoundedLog
from resnet_demo.page.middleware import headers
from resnet_demo.page.options import access_options, chosen_access
from resnet_demo.tools.app_process import ROOT, Visitor

SCHOOL = "https://school.example"


def chosen(*options: str) -> Access:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host")
    access_options(parser)
    return chosen_access(parser, parser.parse_args(options))


@pytest.fixture(autouse=True)
def same_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    monkeypatch.setattr(os, "environ", os.environ.copy())


# ---------------------------------------------------------------- frames and proxies


def test_an_origin_that_is_named_may_frame_the_page() -> None:
    sent = {name.decode(): value.decode() for name, value in headers(False, chosen("--embed", SCHOOL))}
    assert sent["content-security-policy"].endswith(f"frame-ancestors 'self' {SCHOOL}")
    assert "x-frame-options" not in sent  # it knows no names, and old browsers would refuse all
    usual = {name.decode(): value.decode() for name, value in headers(False, chosen())}
    assert usual["content-security-policy"].endswith("frame-ancestors 'self'")
    assert usual["x-frame-options"] == "SAMEORIGIN"


@pytest.mark.parametrize(
    "origin",
    [
        "school.example",
        "https://school.example/page",
        "https://a.example; script-src *",
        "*",
        "https://*.example",
        "",
        "javascript:alert(1)",
        "https://u@school.example",
        "https://school.example 'unsafe-inline'",
    ],
)
def test_what_is_no_origin_frames_nothing(origin: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        chosen("--embed", origin)
    assert ended.value.code == 2
    assert "is no origin" in capsys.readouterr().err


def seen_by(access_options_given: list[str], client: str, forwarded: str) -> str:
    """The address that the app behind uvicorn sees."""
    import uvicorn

    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["client"][0])

    chosen(*access_options_given)
    config = uvicorn.Config(app, log_level="warning")  # as Gradio makes it
    config.load()
    scope = {"type": "http", "client": (client, 1), "scheme": "http", "method": "GET", "path": "/",
             "headers": [(b"x-forwarded-for", forwarded.encode())]}  # fmt: skip
    asyncio.run(config.loaded_app(scope, None, None))  # type: ignore[arg-type, call-arg, union-attr, operator]
    return seen[0]


@pytest.mark.parametrize(
    ("options", "client", "seen"),
    [
        ([], "127.0.0.1", "127.0.0.1"),  # or any program of this machine could be everybody
        ([], "203.0.113.5", "203.0.113.5"),
        (["--proxy", "127.0.0.1"], "127.0.0.1", "198.51.100.7"),
        (["--proxy", "127.0.0.1"], "203.0.113.5", "203.0.113.5"),
        (["--proxy", "10.0.0.0/8"], "10.1.2.3", "198.51.100.7"),
        (["--proxy", "10.0.0.0/8"], "11.1.2.3", "11.1.2.3"),
        (["--proxy", "10.0.0.1", "--proxy", "10.0.0.2"], "10.0.0.2", "198.51.100.7"),
    ],
)
def test_who_asks_is_believed_from_the_proxy_alone(options: list[str], client: str, seen: str) -> None:
    assert seen_by(options, client, "198.51.100.7") == seen


@pytest.mark.parametrize(
    ("options", "name", "answered"),
    [
        ([], "demo.example.org", False),
        (["--allowed-host", "demo.example.org"], "demo.example.org", True),
        (["--allowed-host", "demo.example.org"], "demo.example.org:443", True),
        (["--allowed-host", "demo.example.org"], "evil.example", False),
        (["--allowed-host", "demo.example.org"], "demo.example.org.evil.example", False),
        (["--host", "0.0.0.0"], "192.168.1.7:7860", True),
        (["--host", "0.0.0.0"], "evil.example", False),
        (["--allowed-host", "*"], "evil.example", True),
    ],
)
def test_the_page_behind_a_proxy_answers_to_the_names_it_is_told(
    options: list[str], name: str, answered: bool
) -> None:
    assert chosen(*options).answers_to(name) is answered


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    """The page as behind a proxy, below a path, framed by a school."""
    options = ["--embed", SCHOOL, "--proxy", "127.0.0.1", "--allowed-host", "demo.example.org"]
    environ = {"GRADIO_ROOT_PATH": "/lessons/resnet"}
    server = Attacked(tmp_path_factory.mktemp("operated"), options, environ)
    yield server
    server.close()


def test_below_a_path_every_address_of_the_page_is_relative_or_below_it(operated: Attacked) -> None:
    proxied = {"Host": "demo.example.org", "X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.7"}
    status, page, sent = ask(operated.host, "GET", "/", given=proxied)
    assert status == 200
    assert b'rel="manifest" href="manifest.json"' in page
    assert b'="/manifest.json' not in page and b'="/modules' not in page and b'="/pwa_icon' not in page
    assert sent["content-security-policy"].endswith(f"'self' {SCHOOL}")
    config = json.loads(ask(operated.host, "GET", "/config", given=proxied)[1])
    assert config["root"].endswith("/lessons/resnet")
    manifest = json.loads(ask(operated.host, "GET", "/manifest.json", given=proxied)[1])
    assert not any(icon["src"].startswith("/") for icon in manifest["icons"])
    assert manifest["start_url"] == "./"
    assert ask(operated.host, "GET", "/", given={"Host": "evil.example"})[0] in (400, 421)


# ---------------------------------------------------------------- the log


def test_the_log_has_so_much_a_minute_and_says_what_was_left_out() -> None:
    now = [0.0]
    stream = io.StringIO()
    log = BoundedLog(stream, most=1000, clock=lambda: now[0])
    for _ in range(100_000):
        log.write("a stranger caused this line\n")
    assert len(stream.getvalue()) < 1200
    assert stream.getvalue().count("too much to log") == 1
    now[0] += MINUTE
    log.write("the next minute\n")
    assert "characters of the log were left out" in stream.getvalue()
    assert stream.getvalue().endswith("the next minute\n")
    assert len(stream.getvalue()) < 1400


def test_the_log_is_bounded_for_all_threads_together() -> None:
    stream = io.StringIO()
    log = BoundedLog(stream, most=5000)
    handler = logging.StreamHandler(log)
    threads = [
        threading.Thread(target=lambda: [handler.handle(logging.makeLogRecord({"msg": "x" * 99}))
                                         for _ in range(500)])
        for _ in range(8)
    ]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 4000 < len(stream.getvalue()) < 5200


def test_the_app_bounds_its_log(operated: Attacked) -> None:
    """Requests that log a line each; Python's and uvicorn's log together has an end."""
    code = "import sys; from resnet_demo import app; app.bound_log(); sys.stderr.write('x' * 10**6)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=200
    )
    assert len(done.stderr) < 1000 and "too much to log" in done.stderr
    assert len(operated.log()) < 100_000


# ---------------------------------------------------------------- disk, folders, memory


@pytest.fixture
def full_disk(served: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The page, on whose disk nothing more can be written."""
    if not Path("/dev/full").exists():
        pytest.skip("it writes to /dev/full, a device that is always full; only Linux has it")
    folder = served[1].middleware_stack.own["upload"].folder
    real, numbers = folder.new_file, iter(range(1000))

    def new_file() -> Path:
        real().unlink(missing_ok=True)
        part = tmp_path / "uploads" / str(next(numbers)) / "part"
        part.parent.mkdir(parents=True)
        part.symlink_to("/dev/full")
        return part

    monkeypatch.setattr(folder, "new_file", new_file)
    return served[0]


def test_an_upload_to_a_full_disk_gets_a_sentence(
    full_disk: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = full_disk.removeprefix("http://")
    body, kind = multipart(("files", "a.jpg", jpeg() * 20))
    status, answer, _ = ask(host, "POST", UPLOAD, body, kind)
    assert status == 507
    assert "no room for uploads" in told(answer) and SENTENCE.match(told(answer))
    assert list((tmp_path / "uploads").iterdir()) == []  # what was begun is gone
    monkeypatch.undo()  # there is room again
    assert "label" in Visitor(full_disk).ask(jpeg())


FULL = OSError(errno.ENOSPC, "No space left on device", "/secret/place")


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (FULL, 507, "disk is full"),
        (OSError(errno.EDQUOT, "quota", "/secret/place"), 507, "disk is full"),
        (MemoryError("/secret/place"), 503, "short of memory"),
        (RuntimeError("/secret/place"), 500, "Something went wrong on the server"),
        (
            OSError(errno.EIO, "input/output error", "/secret/place"),
            500,
            "Something went wrong on the server",
        ),
        (KeyError("/secret/place"), 404, "nothing of that name"),
        (ValueError("/secret/place"), 400, "cannot be read"),
    ],
)
def test_what_fails_behind_a_request_is_one_sentence(error: Exception, status: int, said: str) -> None:
    answer = asyncio.run(faults.answer(None, error))
    assert answer.status_code == status
    sentence = told(bytes(answer.body))
    assert said in sentence and SENTENCE.match(sentence) and "secret" not in sentence


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FULL, "disk is full"),
        (MemoryError("/secret/place"), "short of memory"),
        (ValueError("x"), "could not read"),
    ],
)
def test_what_fails_behind_an_event_is_one_sentence(
    error: Exception, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither ``{"error": null}`` nor the upload is to blame; the log has a line, no traceback."""
    wrapped = RuntimeError("Gradio's own")
    wrapped.__cause__ = error
    for each in (error, wrapped):
        found = faults.as_told(each)
        assert isinstance(found, gr.Error) and found.print_exception is False
        assert said in str(found.message) and SENTENCE.match(str(found.message))
        assert "secret" not in str(found.message)
    assert "Traceback" not in caplog.text and len(caplog.text.splitlines()) == 2


def test_a_sentence_that_names_the_temporary_folder_is_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", "/tmp/resnet-demo-abc")
    told_of = faults.as_told(gr.Error("Cannot read /tmp/resnet-demo-abc/0123/photo.jpg."))
    assert "/tmp" not in str(told_of.message)
    long = faults.as_told(gr.Error("x" * 5000))
    assert len(str(long.message)) < 400


@pytest.mark.parametrize("name", ["GRADIO_TEMP_DIR", "TMPDIR"])
def test_a_temporary_folder_that_cannot_be_written_is_one_sentence_at_the_start(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    given = {**os.environ, name: str(tmp_path / "file" / "below")}
    code = "import sys, tempfile; from resnet_demo import app; sys.exit(app.main([]))"
    if name == "TMPDIR":  # where none of Python's other choices can be written either
        given.pop("GRADIO_TEMP_DIR", None)
        code = f"import tempfile; tempfile.tempdir = {str(tmp_path / 'file')!r}; {code}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=given, capture_output=True, text=True, timeout=200,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line]
    assert line.endswith(".") and "photos" in line and "TMPDIR" in line


# ---------------------------------------------------------------- a checkpoint that is damaged


def damaged(folder: Path) -> Path:
    """The networks that ship, the default one damaged."""
    for path in WEIGHTS.iterdir():
        if path.suffix in (".json", ".safetensors") and "golden" not in path.name:
            shutil.copy(path, folder / path.name)
    default = next(iter(available_networks(folder)))
    path = available_networks(folder)[default]
    path.write_bytes(path.read_bytes()[:1000])
    return folder


def test_only_who_asks_for_a_damaged_network_is_told(tmp_path: Path) -> None:
    menu = read_menu(damaged(tmp_path))
    engine = build_engine(EngineConfig("cpu", tmp_path))
    assert isinstance(engine, Engine)
    for _ in range(2):
        with pytest.raises(CheckpointError, match=r"fetch it again\.$"):
            engine.run(draw_photo(1))
        other = next(entry.name for entry in menu[1:] if entry.modality == "photo")
        assert engine.run(draw_photo(1), other).prediction.label


@pytest.mark.timeout(280)
def test_on_the_page_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from resnet_demo import app
    from resnet_demo.inputs.synthetic_sounds import sound, wav_bytes
    from resnet_demo.page.layout import page_options

    menu = read_menu(damaged(tmp_path))
    engine = app.defer_engine("cpu", tmp_path)
    demo = app.build_demo(engine, tmp_path)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **page_options())
    try:
        visitor = Visitor(url.rstrip("/"))
        assert SENTENCE.match(visitor.ask(jpeg())["error"])
        other = next(entry.name for entry in menu[1:] if entry.modality == "photo")
        assert "label" in visitor.ask(jpeg(), network=other)
        if any(entry.modality == "sound" for entry in menu):
            from test_mutations import listened

            assert listened(visitor, wav_bytes(sound("siren", 1)), "s.wav")["label"]
    finally:
        demo.close()
