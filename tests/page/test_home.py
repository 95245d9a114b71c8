"""On somebody's own machine: it starts beside another one, opens the browser, installs as an app, and leaves
nothing."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest
from PIL import Image
from test_public import jpeg

from resnet_demo.page import process as leaving
from resnet_demo.tools.app_process import ROOT, Visitor

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals"),
    pytest.mark.timeout(150),
]


class App:
    """``python app.py`` as somebody types it, with what it prints in a file."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.printed = folder / "printed"
        (folder / "tmp").mkdir(parents=True)
        browser = folder / "browser"
        browser.write_text(f'#!/bin/sh\necho "$1" >> "{folder}/opened"\n')
        browser.chmod(0o755)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("GRADIO_")}
        with self.printed.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-u", "app.py", *options],
                cwd=ROOT,
                env={**environment, "TMPDIR": str(folder / "tmp"), "BROWSER": f"{browser} %s"},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def url(self) -> str:
        """Where it says that the page is."""
        while True:
            found = re.search(r"http://[\w.:]+", self.printed.read_text())
            if found:
                return found[0]
            assert self.process.poll() is None, self.printed.read_text()
            time.sleep(0.1)

    def kept(self) -> list[Path]:
        """Its own folders of temporary files."""
        return list((self.folder / "tmp").glob(leaving.PREFIX + "*"))

    def stop(self, number: int = signal.SIGINT) -> float:
        """Seconds that it took to end."""
        started = time.perf_counter()
        self.process.send_signal(number)
        self.process.wait(20)
        return time.perf_counter() - started


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[App, App]]:
    """Two of them, started as they come, the first told to open the browser."""
    first = App(tmp_path_factory.mktemp("first"), "--inbrowser")
    second = None
    try:
        first.url()
        second = App(tmp_path_factory.mktemp("second"))
        second.url()
        yield first, second
    finally:
        first.process.kill()
        if second:
            second.process.kill()


def fetch(url: str) -> tuple[bytes, str]:
    with urllib.request.urlopen(url, timeout=30) as response:
        return response.read(), response.headers["content-type"].split(";")[0]


def test_the_second_finds_a_free_port(two: tuple[App, App]) -> None:
    urls = [app.url() for app in two]
    assert urls[0] != urls[1]
    for url in urls:
        assert b"ResNet, block by block" in fetch(url + "/")[0]


def test_the_browser_is_sent_to_its_address(two: tuple[App, App]) -> None:
    opened = two[0].folder / "opened"
    for _ in range(100):
        if opened.exists():
            break
        time.sleep(0.1)
    assert [line.rstrip("/") for line in opened.read_text().split()] == [two[0].url()]
    assert not (two[1].folder / "opened").exists()


def test_it_can_be_installed_as_an_app(two: tuple[App, App]) -> None:
    url = two[0].url()
    page = fetch(url + "/")[0].decode()
    link = re.search(r'<link rel="manifest" href="([^"]+)"', page)
    assert link
    assert link[1] == "manifest.json"  # also below a path of a proxy
    where = urljoin(url + "/", link[1])  # addresses in it are relative to its own
    told, kind = fetch(where)
    assert kind == "application/manifest+json"
    manifest = json.loads(told)
    assert manifest["name"] == "ResNet, block by block"
    assert manifest["display"] == "standalone"
    assert fetch(urljoin(where, manifest["start_url"]))[1] == "text/html"
    assert {icon["sizes"] for icon in manifest["icons"]} >= {"192x192", "512x512"}  # what browsers ask for
    for icon in manifest["icons"]:
        picture, kind = fetch(urljoin(where, icon["src"]))
        assert kind == icon["type"] == "image/png"
        with Image.open(io.BytesIO(picture)) as image:
            assert f"{image.width}x{image.height}" == icon["sizes"]
    favicon, kind = fetch(f"{url}/favicon.ico")
    with Image.open(io.BytesIO(favicon)) as image:
        assert image.width == image.height >= 32


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_quietly_and_leaves_nothing(two: tuple[App, App], number: int) -> None:
    app = two[0] if number == signal.SIGINT else two[1]
    url = app.url()
    assert Visitor(url).ask(jpeg(1))["label"] in ("cat", "dog")
    (folder,) = app.kept()
    assert [path for path in folder.rglob("*.jpg") if path.is_file()]  # the photo that was sent
    beating = urllib.request.urlopen(
        f"{url}/gradio_api/heartbeat/abc", timeout=30
    )  # as an open page keeps one
    threading.Thread(target=_read, args=(beating,), daemon=True).start()
    assert app.stop(number) < 10
    assert app.process.returncode == 0
    printed = app.printed.read_text()
    assert "Traceback" not in printed
    assert "Keyboard" not in printed
    assert printed.endswith("\nStopped.\n") == (number == signal.SIGINT)
    assert app.kept() == []
    with socket.socket() as probe:  # what it listened on is free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", int(url.rsplit(":", 1)[1])))


def _read(response: object) -> None:
    try:
        response.read()  # type: ignore[attr-defined]
    except (OSError, ValueError):
        return


def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        app = App(tmp_path / "app", "--port", str(other.getsockname()[1]))
        assert app.process.wait(100) == 1
    printed = app.printed.read_text()
    assert printed == "The page cannot be served: its port is in use; choose another with --port.\n"
    assert app.kept() == []


def test_ctrl_c_while_it_starts_is_no_error(tmp_path: Path) -> None:
    app = App(tmp_path / "app")
    time.sleep(1.5)  # it is importing
    app.stop()
    assert app.process.returncode == 0
    assert "Traceback" not in app.printed.read_text()
    assert app.kept() == []


def test_what_a_killed_process_left_goes_when_the_next_one_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fcntl")
    code = (
        "import time\nfrom resnet_demo.page.process import own_folder\nwith own_folder() as f:\n print(f,"
        " flush=True)\n time.sleep(60)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    environment.pop(leaving.FOLDER, None)
    processes = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        killed, alive = (Path(process.stdout.readline().strip()) for process in processes if process.stdout)
        processes[0].kill()
        processes[0].wait(10)
        assert killed.is_dir()
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        (tmp_path / (leaving.PREFIX + "not-ours")).mkdir()
        assert leaving.remove_left() == [killed]
        assert not killed.exists()
        assert alive.is_dir()
    finally:
        for process in processes:
            process.kill()
            process.wait(10)


def test_a_folder_that_the_environment_names_is_used_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(leaving.FOLDER, str(tmp_path))
    with leaving.own_folder() as folder:
        assert folder == tmp_path
    assert tmp_path.is_dir()
    assert os.environ[leaving.FOLDER] == str(tmp_path)
