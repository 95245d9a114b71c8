"""How the app ends: at Ctrl-C and at a stop by the system alike, quietly, and with no visitor's photo left
behind.

A process that is killed cannot tidy up; the next one that starts removes what it left.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

try:
    from fcntl import LOCK_EX, LOCK_NB, flock
except ImportError:  # Windows: what a killed process left stays until the system's own tidying
    flock = None  # type: ignore[assignment]

PREFIX = "resnet-demo-"
FOLDER = "GRADIO_TEMP_DIR"  # where Gradio keeps what visitors send
HELD = "in-use"


class NoFolderError(RuntimeError):
    """There is no folder for what visitors send; the message is one sentence for whoever starts the page."""


def writable(folder: Path) -> Path:
    """``folder``, made if it is not there.

    Raises:
        NoFolderError: nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0")
            file.flush()
    except OSError as error:
        raise NoFolderError(
            f"Nothing can be written to {folder} ({error.strerror}), where photos of visitors go; "
            f"name another folder with {FOLDER} or TMPDIR."
        ) from error
    return folder


@contextmanager
def own_folder() -> Iterator[Path]:
    """Inside the ``with``, Gradio keeps its files in a temporary folder of this process, which goes at the
    end.

    A folder that the environment names is used as it is, and stays.

    Raises:
        NoFolderError: nothing can be written there.
    """
    if os.environ.get(FOLDER):
        yield writable(Path(os.environ[FOLDER]))
        return
    remove_left()
    try:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    except OSError as error:
        raise NoFolderError(
            f"No temporary folder can be made for photos of visitors ({error.strerror}); "
            f"name another one with TMPDIR or {FOLDER}."
        ) from error
    held = (folder / HELD).open("w")
    try:
        if flock is not None:
            flock(held, LOCK_EX | LOCK_NB)
        os.environ[FOLDER] = str(folder)
        yield folder
    finally:
        os.environ.pop(FOLDER, None)
        held.close()
        shutil.rmtree(folder, ignore_errors=True)


def remove_left() -> list[Path]:
    """Remove the folders of processes that were killed; those whose process lives are locked by it."""
    removed = []
    if flock is not None:
        for held in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{HELD}"):
            try:
                with held.open("r+") as file:
                    flock(file, LOCK_EX | LOCK_NB)
            except OSError:  # it lives, or is somebody else's
                continue
            shutil.rmtree(held.parent, ignore_errors=True)
            removed.append(held.parent)
    return removed


def stop_when_asked() -> None:
    """From now on Ctrl-C and a stop by the system raise SystemExit(0) in the main thread; a second one ends
    at once."""

    def stop(number: int, _frame: object) -> NoReturn:
        for again in (signal.SIGINT, signal.SIGTERM):
            signal.signal(again, signal.SIG_DFL)
        if number == signal.SIGINT:
            print("\nStopped.", flush=True)  # the terminal has just shown ^C
        sys.exit(0)

    for asked in (signal.SIGINT, signal.SIGTERM):
        signal.signal(asked, stop)
