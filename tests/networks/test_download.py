"""Downloads against a small file server on loopback: success, wrong hash, cut, silent, absent, full disk."""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest

from resnet_demo.networks import download
from resnet_demo.networks.download import DownloadError, fetch

PAYLOAD = bytes(range(256)) * 8000  # 2 MB
SHA = hashlib.sha256(PAYLOAD).hexdigest()


class Files(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        kind = self.path.strip("/").split(".")[0]
        if kind == "absent":
            self.send_error(404)
            return
        self.send_response(200)
        if kind != "unsized":
            length = 10**12 if kind == "huge" else len(PAYLOAD)
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if kind == "silent":
            time.sleep(3)
        elif kind == "cut":
            self.wfile.write(PAYLOAD[: len(PAYLOAD) // 2])
        else:
            self.wfile.write(PAYLOAD)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def files() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", ["file", "unsized"])
def test_a_file_arrives_with_progress_and_is_fetched_once(files: str, tmp_path: Path, kind: str) -> None:
    told: list[float] = []
    path = tmp_path / "sub" / f"{kind}.pth"
    assert fetch(f"{files}/{kind}.pth", path, SHA[:8], told.append) == path
    assert path.read_bytes() == PAYLOAD
    assert told == sorted(told)
    assert told[-1] == 1
    assert len(told) > (4 if kind == "file" else 0)
    asked = len(Files.asked)
    fetch(f"{files}/{kind}.pth", path, SHA[:8])
    assert len(Files.asked) == asked
    path.write_bytes(b"damaged since")
    fetch(f"{files}/{kind}.pth", path, SHA[:8])
    assert path.read_bytes() == PAYLOAD
    assert left_over(path.parent) == [path.name]


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("absent", "the server answered 404"),
        ("silent", "the server went silent"),
        ("cut", "cut after 1024000 of 2048000 bytes"),
        ("huge", "more than expected"),
    ],
)
def test_what_goes_wrong_is_one_sentence_that_says_where_to_put_the_file(
    files: str, tmp_path: Path, kind: str, sentence: str
) -> None:
    url = f"{files}/{kind}.pth"
    with pytest.raises(DownloadError, match=sentence) as caught:
        fetch(url, tmp_path / f"{kind}.pth", SHA, timeout=0.5)
    assert str(caught.value).endswith(".")
    assert f"put {kind}.pth from {url} into {tmp_path}" in str(caught.value)
    assert left_over(tmp_path) == []


def test_another_file_than_expected_is_not_kept(files: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="SHA-256 is wrong"):
        fetch(f"{files}/file.pth", tmp_path / "file.pth", "0" * 8)
    assert left_over(tmp_path) == []


def test_without_a_network_the_sentence_comes_at_once(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(DownloadError, match="no connection"):
        fetch("http://127.0.0.1:9/file.pth", tmp_path / "file.pth", SHA)
    with pytest.raises(DownloadError, match="no connection"):
        fetch("http://no-such-host.invalid/file.pth", tmp_path / "file.pth", SHA)
    assert time.monotonic() - started < 20


def test_a_full_disk_is_named_before_and_during_the_download(
    files: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=1000))
        with pytest.raises(DownloadError, match="no room on the disk"):
            fetch(f"{files}/file.pth", tmp_path / "file.pth", SHA)

    class FullFile:
        def __init__(self, **options: object) -> None:
            self.name = str(tmp_path / "file.pth.partial")
            Path(self.name).write_bytes(b"some")

        def __enter__(self) -> FullFile:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def write(self, _chunk: bytes) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(download, "NamedTemporaryFile", FullFile)
    with pytest.raises(DownloadError, match="no room on the disk"):
        fetch(f"{files}/file.pth", tmp_path / "file.pth", SHA)
    assert left_over(tmp_path) == []


def test_a_folder_that_cannot_be_made(files: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DownloadError, match=r"\.$"):
        fetch(f"{files}/file.pth", tmp_path / "file" / "x.pth", SHA)


def test_the_home_folder_is_not_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    with pytest.raises(DownloadError, match="into ~/torch/hub yourself") as caught:
        fetch("http://127.0.0.1:9/file.pth", tmp_path / "torch" / "hub" / "file.pth", SHA)
    assert str(tmp_path) not in str(caught.value)
