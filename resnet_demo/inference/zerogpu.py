"""ZeroGPU, the free GPU of Hugging Face's Spaces: lent for the seconds of one call, in a process of its own.

What the package ``spaces``, which is installed there, asks for (read in its version 0.51.3), and how it is
met:

- It is imported before torch meets CUDA. It lets this process believe in a GPU, in the thread that imported
  it: tensors can be moved to "cuda" until ``launch``, which writes them to disk; after that nothing here may
  touch them. So a copy of the network is moved, in the main thread, and the one that is on the CPU stays.
- At least one function is decorated with ``spaces.GPU`` before ``launch``. Only such a function meets the
  real GPU. It runs in a fork of this process that may be kept for later calls; its arguments and its result
  are pickled. So it is one function, the innermost: arrays in, arrays out. It takes no lock, since a lock
  that another thread held at the fork would never be released there, and it fetches what the fork cannot
  know: a network that a visitor chose later.
- A call reserves ``SECONDS`` of the visitor's share, and fails when that is used up or no GPU is free. The
  photo then runs on the CPU, and the page says so. Live frames always do.
- Nothing is compiled: ``torch.compile`` does not work in such a fork.

This has been tried against an imitation of the package (``tests/zerogpu/``) and, on a machine without a GPU,
with the package itself up to the start of CUDA in the fork; not on the platform.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_demo.inference.interface import PhotoEngine
from resnet_demo.inference.lazy import Deferred
from resnet_demo.records import Gate

if TYPE_CHECKING:
    from resnet_demo.inference.forward import Task

SECONDS = 10  # the first call of a fork starts CUDA; one photo takes milliseconds


def lent() -> bool:
    """Whether this process runs as a Space on ZeroGPU."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def borrow(engine: Deferred[PhotoEngine]) -> None:
    """Let the photos of ``engine`` run on the GPU that ZeroGPU lends; call it in the main thread, before
    ``launch``.

    Args:
        engine: one for the CPU; it is built here and now.
    """
    spaces: Any = importlib.import_module("spaces")  # before torch: see above
    from resnet_demo.inference.engine import Engine
    from resnet_demo.inference.forward import compute

    here = engine.get()
    assert isinstance(here, Engine)  # a cluster has GPUs of its own
    on_gpu = {here.default: here.network().copy_on("cuda")}

    @spaces.GPU(duration=SECONDS)
    def run_on_gpu(
        task: Task, network: str, x: NDArray[np.float32], gates: tuple[Gate, ...], keep: tuple[str, ...]
    ) -> Any:
        if network not in on_gpu:
            on_gpu[network] = here.read(network).copy_on("cuda")
        return compute(on_gpu[network], task, x, gates, keep)

    here.elsewhere = run_on_gpu
