"""Threads that take memory at the same time share two arenas; the collector of cycles rests when asked."""

from __future__ import annotations

import gc
import platform
import subprocess
import sys
import weakref

import pytest

from resnet_demo.inference.process_tuning import undisturbed

WORK = """
import ctypes, sys, threading
from resnet_demo.inference.process_tuning import share_arenas
if sys.argv[1] == "shared":
    share_arenas()
ready = threading.Barrier(8)

def take():
    piece = bytearray(100_000)
    ready.wait()
    return piece

threads = [threading.Thread(target=take) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, out)
libc.fflush(out)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such arenas")
def test_threads_share_two_arenas() -> None:
    def arenas(how: str) -> int:
        done = subprocess.run([sys.executable, "-c", WORK, how], capture_output=True, text=True, check=True)
        return done.stdout.count("<heap nr=")

    assert arenas("shared") <= 2 < arenas("own")


def test_the_collector_rests_inside_and_works_afterwards() -> None:
    class Thing:
        pass

    kept, ended = [], []
    try:
        with pytest.raises(ValueError, match="given up"), undisturbed():
            assert not gc.isenabled()
            kept.append([])
            circle = Thing()
            circle.itself = circle  # type: ignore[attr-defined]
            weakref.finalize(circle, ended.append, "collected")
            del circle
            assert not ended
            raise ValueError("given up")
        assert ended == ["collected"]  # it had become garbage inside
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
        assert not any(thing is kept for thing in gc.get_objects())  # it is not looked at again
    finally:
        gc.unfreeze()
