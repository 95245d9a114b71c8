"""What a benchmark ran on, and the history of its figures: a line of JSON a machine and commit."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

HISTORY = Path(__file__).parent / "history.jsonl"
PACKAGES = ("torch", "torchvision", "gradio", "numpy", "pillow")
SAME_MACHINE = ("processor", "cores", "gpu")


def hardware() -> dict[str, Any]:
    """What it ran on."""
    processor = platform.processor() or platform.machine()
    with suppress(OSError):
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        processor = found[1] if found else processor
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "processor": processor,
        "cores": cores,
        "threads": torch.get_num_threads(),
        "gpu": gpu,
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }


def commit() -> str:
    """The checkout's commit, with a + if files differ from it; empty outside a checkout."""

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        done = subprocess.run(command, cwd=HISTORY.parent, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ":!" + HISTORY.name)
    return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")


def last_on(machine: Mapping[str, Any], history: Path = HISTORY) -> dict[str, Any] | None:
    """The latest line of ``history`` that was measured on the same processor, cores and GPU; None if there is
    none."""
    if not history.is_file():
        return None
    lines = [json.loads(line) for line in history.read_text(encoding="utf-8").splitlines() if line.strip()]
    same = [line for line in lines if all(line.get(key) == machine.get(key) for key in SAME_MACHINE)]
    return same[-1] if same else None


def keep(figures: Mapping[str, float], conditions: Mapping[str, Any], history: Path = HISTORY) -> None:
    """Put one line into ``history``, in place of that of the same machine and commit if there is one."""
    line = {"commit": commit(), "when": datetime.now(UTC).strftime("%Y-%m-%d"), **conditions, **figures}
    key = ("commit", *SAME_MACHINE)
    lines = history.read_text(encoding="utf-8").splitlines() if history.is_file() else []
    others = [old for old in lines if any(json.loads(old).get(name) != line[name] for name in key)]
    partial = history.with_name(history.name + ".partial")
    partial.write_text("\n".join([*others, json.dumps(line)]) + "\n", encoding="utf-8")
    partial.replace(history)


def compared(figures: Mapping[str, float], before: Mapping[str, Any] | None) -> dict[str, str]:
    """For each figure what it was before and the change in per cent, ready to be printed; empty without a
    line before."""
    told = {}
    for name, value in figures.items():
        old = (before or {}).get(name)
        if isinstance(old, int | float) and old:
            told[name] = f"{old:10.2f} {100 * (value - old) / old:+6.1f} %"
    return told
