"""An imitation of the package ``spaces`` as ZeroGPU has it, for a machine without a GPU; written after its
version 0.51.3 and as strict as that where the app could go wrong:

- a tensor can be moved to "cuda" only by the thread that imported this, and only until ``launch``;
- at ``launch`` what was moved leaves this process: whoever runs on it afterwards gets NaN;
- ``launch`` fails when no function has been decorated;
- a decorated function runs in a fork, in a thread that is not the one that forked, one call after the other;
  the fork is kept while it is idle, and another is made while it is not; arguments and results are pickled;
- results must not hold tensors of the GPU; what is raised there arrives as a ``gr.Error``;
- a photo that is asked for while the file ``$IMITATION/used-up`` exists is refused, as when a quota is used
up.

Everything that happens is a line in ``$IMITATION/log``.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial, wraps
from pathlib import Path
from typing import Any

import gradio as gr

if not hasattr(gr, "Blocks"):
    raise ImportError("not from within gradio")

assert "torch" not in sys.modules or not sys.modules["torch"].cuda.is_initialized()
import torch  # noqa: E402 - after the check

FOLDER = Path(os.environ["IMITATION"])
NAME = "NVIDIA Imitation"
fork = multiprocessing.get_context("fork")
in_worker = False
launched = False
owner = threading.get_ident()
decorated: list[Callable[..., Any]] = []
moved: list[tuple[torch.Tensor, torch.Tensor]] = []  # what this process has of a weight, and the weight


def note(*words: object) -> None:
    with (FOLDER / "log").open("a") as log:
        print(*words, file=log)


def is_cuda(device: object) -> bool:
    return isinstance(device, (str, torch.device)) and torch.device(device).type == "cuda"


tensor_to, module_to = torch.Tensor.to, torch.nn.Module.to


def emulated_tensor_to(self: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    device = kwargs.get("device", args[0] if args else None)
    if not is_cuda(device):
        return tensor_to(self, *args, **kwargs)
    if not in_worker:
        raise RuntimeError("Low-level CUDA init reached outside of a decorated function.")
    kwargs.pop("device", None)
    return tensor_to(self, "cpu", *args[1:], **kwargs)


def emulated_module_to(self: torch.nn.Module, *args: Any, **kwargs: Any) -> torch.nn.Module:
    if not (args and is_cuda(args[0])):
        return module_to(self, *args, **kwargs)
    if in_worker:
        note("moved in a fork")
        return self
    if launched or threading.get_ident() != owner:
        raise RuntimeError("Low-level CUDA init reached: the emulation has ended, or it is another thread's.")
    note("moved before launch")
    moved.extend((tensor, tensor.detach().clone()) for tensor in [*self.parameters(), *self.buffers()])
    return self


torch.Tensor.to = emulated_tensor_to  # type: ignore[method-assign]
torch.nn.Module.to = emulated_module_to  # type: ignore[method-assign]
torch.cuda.is_available = lambda: True  # type: ignore[assignment]
torch.cuda.synchronize = lambda *_: None  # type: ignore[assignment]
torch.cuda.get_device_name = lambda *_: NAME  # type: ignore[assignment]

launch = gr.Blocks.launch


@wraps(launch)
def launch_once(*args: Any, **kwargs: Any) -> Any:
    global launched
    if not decorated:
        raise RuntimeError("No @spaces.GPU function detected during startup")
    with torch.no_grad():
        for here, _ in moved:
            if here.is_floating_point():
                here.fill_(torch.nan)
    launched = True
    note("startup report")
    gr.Blocks.launch = launch  # type: ignore[method-assign]
    return launch(*args, **kwargs)


gr.Blocks.launch = launch_once  # type: ignore[method-assign]


class Worker:
    """A fork of this process that runs one function, again and again."""

    def __init__(self, task: Callable[..., Any]) -> None:
        self.ours, theirs = fork.Pipe()
        self.process = fork.Process(target=self._serve, args=(task, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def _serve(self, task: Callable[..., Any], pipe: Any) -> None:
        global in_worker
        in_worker = True
        self.ours.close()
        note("forked")
        before = list(moved)

        def answer(given: bytes) -> bytes:
            # in a thread of its own, as the package does it: the threads of OpenMP that the forking one had
            # are gone
            with torch.no_grad():
                while before:  # as it comes back from the disk
                    here, weight = before.pop()
                    here.copy_(weight)
            args, kwargs = pickle.loads(given)
            try:
                return pickle.dumps((True, task(*args, **kwargs)))
            except Exception as error:  # noqa: BLE001 - as the package does
                return pickle.dumps((False, type(error).__name__))

        while True:
            try:
                given = pipe.recv_bytes()
            except EOFError:
                return
            with ThreadPoolExecutor(1) as thread:
                pipe.send_bytes(thread.submit(answer, given).result())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.ours.send_bytes(pickle.dumps((args, kwargs)))
        done, found = pickle.loads(self.ours.recv_bytes())
        if not done:
            raise gr.Error(found, title="ZeroGPU worker error", print_exception=False)
        return found


def GPU(task: Callable[..., Any] | None = None, *, duration: int = 60) -> Any:  # noqa: N802 - its name
    """The decorator."""
    if task is None:
        return partial(GPU, duration=duration)
    idle: list[Worker] = []

    @wraps(task)
    def called(*args: Any, **kwargs: Any) -> Any:
        if in_worker:
            return task(*args, **kwargs)
        if (FOLDER / "used-up").exists():
            note("refused")
            raise gr.Error("You have exceeded your quota.", title="ZeroGPU quota exceeded")
        note(f"call for {duration} s")
        try:
            worker = idle.pop()
        except IndexError:
            worker = Worker(task)
        found = worker(*args, **kwargs)
        idle.append(worker)
        return found

    decorated.append(called)
    return called
