"""The gradient's way around: its norm at every block of a fresh network, with shortcuts and without.

A trained network with its shortcuts cut off is a lesion and not a plain network. So this builds
a new network of any depth, gives the plain twin the very same initial weights, and sends one
photo forward and the gradient back through both.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from resnet_demo.analysis.gating import gated
from resnet_demo.explanations import GradientFlow
from resnet_demo.networks.resnet import ResidualBlock
from resnet_demo.records import Gate

DEPTHS = range(5, 101)
CHANNELS = 16
SIDE = 32  # pixels; the photo is averaged down to this


class DeepResNet(nn.Module):
    """A convolution, ``depth`` of the notebook's blocks with identity shortcuts at one resolution,
    global average pool and linear layer: input (B, 3, H, W), output (B, 1)."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, CHANNELS, kernel_size=3, padding=1, bias=False)
        self.blocks = nn.Sequential(*(ResidualBlock(CHANNELS, CHANNELS, dropout=0.0) for _ in range(depth)))
        self.linear = nn.Linear(CHANNELS, 1)

    def stages(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The logit (B, 1) and the outputs of the stem and of every block, each (B, 16, H, W)."""
        outputs = [self.stem(x)]
        for block in self.blocks:
            outputs.append(block(outputs[-1]))
        return self.linear(outputs[-1].mean((2, 3))), outputs


def gradient_flow(
    photo: Tensor,
    depth: int,
    norms: bool = True,
    seed: int = 0,
    progress: Callable[[float], None] = lambda share: None,
) -> GradientFlow:
    """Gradient norms at initialisation for a network of ``depth`` blocks and its plain twin.

    Both have the same weights; the twin's shortcuts are gated to zero, which removes them from
    the forward and the backward pass alike. Computed in float64, where a gradient that has died
    away over 100 blocks is still a number.

    Args:
        photo: (1, 3, H, W) normalised, on the CPU; averaged down to at most 32x32.
        depth: blocks, 5 to 100.
        norms: batch norm with the photo's own statistics, as in training; False leaves it out.
        seed: of the initial weights.
        progress: told the share done, 0..1.

    Raises:
        ValueError: a depth out of range, or not one photo.
    """
    if depth not in DEPTHS:
        raise ValueError(f"the depth must lie in {DEPTHS[0]}..{DEPTHS[-1]}, got {depth}")
    if photo.ndim != 4 or photo.shape[:2] != (1, 3):
        raise ValueError(f"one photo (1, 3, H, W) is needed, got {tuple(photo.shape)}")
    started = time.perf_counter()
    x = nn.functional.adaptive_avg_pool2d(
        photo.double(), (min(SIDE, photo.shape[2]), min(SIDE, photo.shape[3]))
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = DeepResNet(depth).double()
    if not norms:
        model.eval()  # with the statistics of a fresh network, mean 0 and variance 1, it passes all through
    curves: list[tuple[float, ...]] = []
    with torch.enable_grad():
        for shortcut in (1.0, 0.0):
            progress(len(curves) / 2)
            with gated(model, {f"blocks.{i}": Gate(1.0, shortcut) for i in range(depth)}):
                logit, outputs = model.stages(x)
            gradients = torch.autograd.grad(logit.sum(), outputs)
            curves.append(tuple(float(gradient.norm()) for gradient in gradients))
    progress(1.0)
    return GradientFlow(curves[0], curves[1], norms, seed, (time.perf_counter() - started) * 1e3)
