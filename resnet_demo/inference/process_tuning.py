"""How the server's threads share the cores and the C library's memory, and when Python looks for garbage.

By default OpenMP's threads spin while they wait for each other, which is slow as soon as the cores are busy.
Threads that sleep at once are woken again a hundred times a pass; so they spin for some microseconds first.

glibc gives every thread an arena of its own, up to eight a core, and each keeps what the largest pass that
its thread ever led has taken. Two are enough. What the passes of a crowd took is given back when it has gone.

Importing makes hundreds of thousands of objects that stay for good. Python's collector of cycles would go
through all of them time and again. What each of these saves is in tests/benchmarks/tuning.md.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# for the environment, before torch is imported
OPENMP = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "3000"}
ARENAS = 2
M_ARENA_MAX = -8  # the parameter's number in glibc's malloc.h


def share_arenas() -> None:
    """Call it before threads are started. Does nothing where the C library is another one."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)


def give_back() -> None:
    """Return to the system what was freed since the last call; a few milliseconds."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Inside, no garbage is looked for; what there is when it ends is taken to stay, and never looked at
    again."""
    gc.disable()
    try:
        yield
    finally:
        # once; what is garbage by now would stay too, and sixty open sockets of Gradio's with it
        gc.collect()
        gc.freeze()
        gc.enable()
        atexit.register(gc.unfreeze)  # what is never looked at would count as leaked at the end
