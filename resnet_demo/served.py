"""``python app.py`` in a process of its own: what the benchmark, the walkthrough and the tests talk to."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Server:
    """The app on ``port``, reachable when this returns.

    Attributes:
        url: its address, without a slash at the end.
        started: ``time.perf_counter()`` when the process was started.
        first_page: seconds from then until the page was served.

    Raises:
        RuntimeError: the app ended before it served a page.
    """

    def __init__(self, port: int, options: Sequence[str] = ()) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "app.py", "--port", str(port), *options], cwd=ROOT, stdout=subprocess.DEVNULL
        )
        while True:
            with suppress(OSError):
                urllib.request.urlopen(self.url + "/", timeout=5).read()
                break
            if self.process.poll() is not None:
                raise RuntimeError("app.py ended before it served a page")
            time.sleep(0.02)
        self.first_page = time.perf_counter() - self.started

    def close(self) -> None:
        """Stop it as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.process.kill()
