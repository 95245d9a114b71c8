"""A child that was forked from a process in which PyTorch had worked: it would wait for ever.

A fork copies the memory of a process but none of its threads, and PyTorch's wait for each other. Such a child
is told so in one sentence. One that was forked before an engine was made may work, and one that was spawned
always may.
"""

from __future__ import annotations

import os

from resnet_demo.i18n import later
from resnet_demo.inference.interface import EngineError

FORKED = later(
    "This process was forked from one in which PyTorch had worked, and would wait for ever: "
    'start it with multiprocessing.get_context("spawn"), or make the engine after the fork.'
)


class _Process:
    """What holds for this process."""

    worked = False
    cannot_work = False


def about_to_work() -> None:
    """Remember that PyTorch works in this process.

    Raises:
        EngineError: it would never end, see above.
    """
    if _Process.cannot_work:
        raise EngineError(FORKED)
    _Process.worked = True


def _in_child() -> None:
    _Process.cannot_work = _Process.cannot_work or _Process.worked


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
