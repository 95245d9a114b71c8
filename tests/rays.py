"""What the Ray tests share: the processes that this one started, and how to end one as a power cut would."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path


def children(of: int | None = None) -> dict[int, str]:
    """Processes that descend from ``of`` (this one), with how they call themselves."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            after = (folder / "stat").read_text().rpartition(")")[2].split()
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has just ended
        if after[0] != "Z":
            parents[int(folder.name)], names[int(folder.name)] = int(after[1]), words
    found: dict[int, str] = {}
    new = {of or os.getpid()}
    while new:
        new = {pid for pid, parent in parents.items() if parent in new} - set(found)
        found |= {pid: names[pid] for pid in new}
    return found


def replicas(name: str = "networks", of: int | None = None) -> list[int]:
    """The replicas of the deployment among them."""
    return [
        pid for pid, words in children(of).items() if words.startswith("ray::ServeReplica") and name in words
    ]


def alive(pid: int) -> bool:
    """Whether that process runs; one that has ended and waits to be noticed does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def cut(pid: int) -> None:
    """SIGKILL: nothing is tidied up."""
    os.kill(pid, signal.SIGKILL)


def until(true: Callable[[], bool], seconds: float = 60) -> bool:
    """Wait for it; whether it came."""
    deadline = time.monotonic() + seconds
    while not (came := true()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return came
