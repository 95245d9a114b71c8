"""Runs inside a network namespace without any route (see test_unplugged.py): the app, a client, and a note
of every address that either process's Python asks for. Prints one JSON object."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SPY = """
import sys
def hook(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.gethostbyname"):
        address = args[1] if event in ("socket.connect", "socket.sendto") else args[0]
        with open({log!r}, "a") as log:
            print(event, repr(address), file=log)
sys.addaudithook(hook)
"""


def loopback_up() -> None:
    """A new namespace has a loopback device that is down (SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        request = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack("16xh14x", fcntl.ioctl(s, 0x8913, request))
        fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", flags | 1))


def main() -> None:
    loopback_up()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "addresses"
        log.touch()
        (Path(folder) / "sitecustomize.py").write_text(SPY.format(log=str(log)))
        sys.path.insert(0, str(ROOT))
        for tests in ("tests", "tests/page", "tests/inputs"):
            sys.path.insert(0, str(ROOT / tests))
        os.environ["PYTHONPATH"] = folder  # every Python started from here on is watched, from its first line
        os.environ["GRADIO_TEMP_DIR"] = folder + "/gradio"
        os.environ["TORCH_HOME"] = folder + "/torch"
        from test_public import jpeg

        from resnet_demo.tools.app_process import Visitor

        errors = Path(folder) / "errors"
        with errors.open("w") as stderr:
            server = subprocess.Popen(
                [sys.executable, "app.py", "--port", "7999"],
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
        try:
            visitor, deadline = Visitor("http://127.0.0.1:7999"), time.monotonic() + 90
            while True:
                try:
                    page = visitor.request("GET", "/")[1]
                    break
                except OSError:
                    if time.monotonic() > deadline or server.poll() is not None:
                        raise
                    time.sleep(0.1)
            answer = visitor.ask(jpeg(1))
            fetched = visitor.ask(jpeg(1), network="ResNet-18")  # weights that would be fetched
        finally:
            server.terminate()
            server.wait(20)
        addresses = sorted(set(log.read_text().splitlines()))
        logged = errors.read_text()
    found = {"page": len(page), "answer": answer, "fetched": fetched, "addresses": addresses}
    print(json.dumps({**found, "log": logged}))


if __name__ == "__main__":
    main()
