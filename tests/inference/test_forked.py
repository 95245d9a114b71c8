"""A forked child is told in one sentence what it cannot do, instead of waiting for ever; others work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import multiprocessing, os, sys
sys.path.insert(0, {root!r})
import numpy as np
from resnet_demo import Engine

PHOTO = np.zeros((60, 80, 3), np.uint8)

def ask(engine=None):
    try:
        return "answer " + (engine or Engine(device="cpu")).run(PHOTO, keep=()).prediction.label
    except RuntimeError as error:
        return f"{{type(error).__name__}}: {{error}}"

def child():
    return ask()
"""
HOW = {
    "os.fork, an engine that has done nothing yet": """
engine = Engine(device="cpu")
print("answer cat", flush=True)
if os.fork() == 0:
    print(ask(engine), flush=True)
    os._exit(0)
os.wait()
""",
    "os.fork, the engine of the parent": """
engine = Engine(device="cpu")
print(ask(engine), flush=True)
if os.fork() == 0:
    print(ask(engine), flush=True)
    os._exit(0)
os.wait()
""",
    "os.fork, an engine of its own": """
print(ask(), flush=True)
if os.fork() == 0:
    print(ask(), flush=True)
    os._exit(0)
os.wait()
""",
    "multiprocessing": """
if __name__ == "__main__":
    print(ask(), flush=True)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(pool.apply_async(child).get(60), flush=True)
""",
}


def printed(folder: Path, program: str) -> list[str]:
    path = folder / "script.py"
    path.write_text(PROGRAM.format(root=str(ROOT)) + program)
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("how", HOW)
def test_a_forked_child_gets_a_sentence(how: str, tmp_path: Path) -> None:
    first, second = printed(tmp_path, HOW[how])
    assert first in ("answer cat", "answer dog")
    assert second.startswith("EngineError: This process was forked") and "spawn" in second
    assert second.endswith(".")


def test_a_spawned_child_answers(tmp_path: Path) -> None:
    program = """
if __name__ == "__main__":
    print(ask(), flush=True)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.apply_async(child).get(100), flush=True)
"""
    first, second = printed(tmp_path, program)
    assert first == second and first in ("answer cat", "answer dog")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_that_was_forked_before_answers(tmp_path: Path) -> None:
    program = """
if os.fork() == 0:
    print(ask(), flush=True)
    os._exit(0)
os.wait()
print(ask(), flush=True)
"""
    first, second = printed(tmp_path, program)
    assert first == second and first in ("answer cat", "answer dog")
