"""Which device runs the networks, and what it is called."""

from __future__ import annotations

import torch
from torch import nn

from resnet_demo.inference.interface import EngineError

DEVICES = ("auto", "cuda", "mps", "cpu")


def best_device(wanted: str = "auto") -> torch.device:
    """The device to run on: what ``wanted`` names, or for "auto" the best one that works.

    A device counts as working when a small convolution on it gives an answer.

    Raises:
        EngineError: the device asked for is unknown or does not work.
    """
    if wanted not in DEVICES:
        raise EngineError(f"Device {wanted!r} is unknown; choose one of {', '.join(DEVICES)}.")
    for name in ("cuda", "mps", "cpu") if wanted == "auto" else (wanted,):
        if _works(name):
            return torch.device(name)
    raise EngineError(f"Device {wanted!r} does not work here; choose --device auto or --device cpu.")


def _works(name: str) -> bool:
    if name == "cuda" and not torch.cuda.is_available():
        return False
    if name == "mps" and not torch.backends.mps.is_available():
        return False
    try:
        with torch.inference_mode():
            nn.functional.conv2d(
                torch.ones(1, 1, 3, 3, device=name), torch.ones(1, 1, 3, 3, device=name)
            ).cpu()
    except (RuntimeError, AssertionError, NotImplementedError):
        return False
    return True


def device_name(device: torch.device) -> str:
    """The device as shown to people."""
    if device.type == "cuda":
        return f"CUDA ({torch.cuda.get_device_name(device)})"
    return device.type.upper()
