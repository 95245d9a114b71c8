"""Take a run home: its numbers, its streams, its pictures, a report, and the code that made it."""

from __future__ import annotations

import os
import platform
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from resnet_demo.records import Run

PACKAGES = ("torch", "torchvision", "gradio", "numpy", "pillow")


def run_as_dict(run: Run) -> dict[str, Any]:
    """The answer of ``run`` and what every block did: plain numbers and names, no pictures."""
    return {
        "label": run.prediction.label,
        "confidences": [{"label": c.label, "confidence": c.confidence} for c in run.prediction.confidences],
        "logit": run.prediction.logit,
        **({} if run.familiar is None else {"familiar": run.familiar, "familiarity": run.familiarity}),
        "network": run.network,
        "device": run.device,
        "milliseconds": run.timings.total,
        "notice": run.notice,
        "blocks": [
            {
                "name": block.name,
                "shape": list(block.shape),
                "residual_norm": block.residual_norm,
                "shortcut_norm": block.shortcut_norm,
                "output_norm": block.output_norm,
                "cosine": block.cosine,
            }
            for block in run.blocks
        ],
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a run depends on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def streams_of(run: Run) -> dict[str, Any]:
    """ "block/stream" -> array (C, H, W), and "photo" (H, W, 3) uint8."""
    arrays: dict[str, Any] = {"photo": run.photo}
    for block in run.blocks:
        arrays |= {f"{block.name}/{stream}": maps for stream, maps in block.streams.items()}
    return arrays


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that is at ``path`` whole when the ``with`` ends, or not at all; its folder is made.

    Raises:
        OSError: it cannot be written; what was written of it is gone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def save_streams(run: Run, path: str | Path) -> Path:
    """Write every stream of ``run`` to a compressed ``.npz`` file; see ``streams_of``.

    Returns:
        Where it is: ``path``, with ``.npz`` at the end.

    Raises:
        OSError: it cannot be written; there is no half file.
    """
    path = Path(path)
    if path.suffix != ".npz":
        path = path.with_name(path.name + ".npz")
    with whole_file(path) as file:
        np.savez_compressed(file, **streams_of(run))
    return path


def record_of(run: Run) -> dict[str, Any]:
    """What ``record.json`` holds."""
    return {
        **run_as_dict(run),
        "precision": run.precision,
        "units": {
            "norms": "Euclidean, over all values of a stream",
            "milliseconds": "photo to record",
            "logit": "before temperature",
        },
        "gates": [[gate.residual, gate.shortcut] for gate in run.gates],
        "read_outs": [vars(read) for read in run.read_outs],
        "trace": [vars(line) for line in run.trace],
        "versions": versions(),
    }
