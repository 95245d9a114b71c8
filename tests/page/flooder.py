"""One client that asks without end, in a process of its own: ``python flooder.py HOST SOURCE METHOD PATH FILE
KIND``."""

from __future__ import annotations

import sys
import threading
from http.client import HTTPConnection, HTTPException
from pathlib import Path

THREADS = 32


def flood(host: str, source: str, method: str, path: str, body: bytes | None, kind: str) -> None:
    """Ask until the process is ended."""
    while True:
        connection = HTTPConnection(host, timeout=60, source_address=(source, 0))
        try:
            connection.request(method, path, body, {"Content-Type": kind} if kind else {})
            connection.getresponse().read()
            print(".", end="", flush=True)
        except (OSError, HTTPException):
            pass
        finally:
            connection.close()


if __name__ == "__main__":
    host, source, method, path, file, kind = sys.argv[1:]
    body = Path(file).read_bytes() or None
    threads = [
        threading.Thread(target=flood, args=(host, source, method, path, body, kind), daemon=True)
        for _ in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
