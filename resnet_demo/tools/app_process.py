"""The page in a process of its own, and a visitor's script: for the benchmark, the walkthrough and the
tests."""

from __future__ import annotations

import json
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]  # the checkout, or where the package is installed
IS_CHECKOUT = (ROOT / "app.py").is_file() and (ROOT / "tests").is_dir()
SERVE = (sys.executable, "-m", "resnet_demo", "serve")
IDLE_S = 3.0  # a connection unused for longer is opened anew: the server closes it after five seconds


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Server:
    """The app on ``port``, reachable when this returns.

    Args:
        options: of the command.
        command, folder, environment: how and where it is started; as from a checkout unless told.

    Attributes:
        url: its address, without a slash at the end.
        started: ``time.perf_counter()`` when the process was started.
        first_page: seconds from then until the page was served.

    Raises:
        RuntimeError: the app ended before it served a page.
    """

    def __init__(
        self,
        port: int,
        options: Sequence[str] = (),
        command: Sequence[str] = SERVE,
        folder: Path = ROOT,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [*command, "--port", str(port), *options],
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        while True:
            with suppress(OSError):
                urllib.request.urlopen(self.url + "/", timeout=5).read()
                break
            if self.process.poll() is not None:
                raise RuntimeError("The app ended before it served a page.")
            time.sleep(0.02)
        self.first_page = time.perf_counter() - self.started

    def close(self) -> None:
        """Stop it as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.process.kill()


class Visitor:
    """One person's script over plain HTTP, for use from one thread: uploads a photo, asks an endpoint, reads
    the answer. The connection is kept."""

    def __init__(self, url: str) -> None:
        self.host = urlsplit(url).netloc
        self.connection = HTTPConnection(self.host, timeout=120)
        self.used = time.monotonic()
        self.session = secrets.token_hex(8)

    def request(self, method: str, path: str, body: bytes = b"", kind: str = "") -> tuple[int, str]:
        """Status and text of one request.

        Raises:
            OSError, http.client.HTTPException: the server is gone.
        """
        if time.monotonic() - self.used > IDLE_S:
            self.connection.close()
        try:
            self.connection.request(method, path, body or None, {"Content-Type": kind} if kind else {})
            response = self.connection.getresponse()
            return response.status, response.read().decode()
        except (OSError, HTTPException):
            self.connection.close()
            raise
        finally:
            self.used = time.monotonic()

    def upload(self, data: bytes, name: str = "photo.jpg") -> str:
        """The server's path of the file."""
        mark = "----9f2b"
        head = (
            f'--{mark}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        body = head.encode() + data + f"\r\n--{mark}--\r\n".encode()
        kind = f"multipart/form-data; boundary={mark}"
        status, text = self.request("POST", "/gradio_api/upload", body, kind)
        if status != 200:
            raise RuntimeError(f"the upload was answered {status}: {text}")
        return str(json.loads(text)[0])

    def ask(self, data: bytes, name: str = "photo.jpg", network: str | None = None) -> dict[str, Any]:
        """{"label": …} as /predict answers, {"error": sentence}, or {"busy": sentence}."""
        photo = {"path": self.upload(data, name), "meta": {"_type": "gradio.FileData"}}
        # as every client of Gradio does; without a session the server makes a new one for every question
        body = json.dumps({"data": [photo, network], "session_hash": self.session}).encode()
        status, text = self.request("POST", "/gradio_api/call/predict", body, "application/json")
        if status == 503:
            return {"busy": text}
        if status != 200:
            raise RuntimeError(f"the request was answered {status}: {text}")
        _, events = self.request("GET", f"/gradio_api/call/predict/{json.loads(text)['event_id']}")
        event, told = re.findall(r"event: (\w+)\ndata: (.*)", events)[-1]
        if event == "complete":
            return dict(json.loads(told)[0])
        return {"error": json.loads(told)["error"] if told.startswith("{") else None}
