"""The app in a process of its own, and people who do not use a browser: requests as bytes, floods, half-sent
heads."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from resnet_demo.tools.app_process import ROOT, free_port

MARK = "----7c1d"


class Attacked:
    """``python app.py`` with a log that can be read, and a temporary folder that can be looked into."""

    def __init__(self, folder: Path, options: Sequence[str] = (), environ: Mapping[str, str] = {}) -> None:
        self.port, self.folder, self.log_file = free_port(), folder / "gradio", folder / "log.txt"
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.host}"
        given = {**os.environ, "GRADIO_TEMP_DIR": str(self.folder), **environ}
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "app.py", "--port", str(self.port), *options],
                cwd=ROOT,
                env=given,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        until = time.monotonic() + 120
        while True:
            with suppress(OSError):
                urllib.request.urlopen(self.url + "/", timeout=10).read()
                break
            if self.process.poll() is not None or time.monotonic() > until:
                self.process.kill()
                raise RuntimeError(f"app.py served no page: {self.log()}")
            time.sleep(0.05)

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def close(self) -> None:
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.process.kill()


def ask(
    server: str,
    method: str,
    path: str,
    body: bytes | None = None,
    given: Mapping[str, str] | None = None,
    source: str = "127.0.0.1",
    timeout: float = 60,
) -> tuple[int, bytes, dict[str, str]]:
    """Status, body, headers of one request on a connection of its own."""
    connection = http.client.HTTPConnection(server, timeout=timeout, source_address=(source, 0))
    try:
        connection.request(method, path, body, dict(given or {}))
        response = connection.getresponse()
        return response.status, response.read(), {k.lower(): v for k, v in response.getheaders()}
    finally:
        connection.close()


def send_json(server: str, path: str, value: Any, source: str = "127.0.0.1") -> tuple[int, bytes]:
    kind = {"Content-Type": "application/json"}
    return ask(server, "POST", path, json.dumps(value).encode(), kind, source)[:2]


def raw(server: str, data: bytes, timeout: float = 20, most: int = 100_000) -> bytes:
    """What comes back for bytes as they are; b"" if the connection is closed without a word."""
    name, _, port = server.rpartition(":")
    with socket.create_connection((name, int(port)), timeout=timeout) as connection:
        with suppress(OSError):
            connection.sendall(data)
        found = b""
        with suppress(OSError):
            while len(found) < most and (chunk := connection.recv(65_536)):
                found += chunk
                if b"\r\n\r\n" in found:
                    break
        return found


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0


def multipart(*parts: tuple[str, str | None, bytes]) -> tuple[bytes, dict[str, str]]:
    """A form of (name, file name or None, content) and its headers."""
    body = b""
    for name, filename, content in parts:
        file = "" if filename is None else f'; filename="{filename}"'
        body += f'--{MARK}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode()
        body += content + b"\r\n"
    return body + f"--{MARK}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={MARK}"}


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
