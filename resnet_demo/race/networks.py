"""The networks of the race: a stem, N of the notebook's blocks at one width, average pool, linear layer.

Each is built from the same draws, so that the same seed gives all of them the same weights; what differs is
what goes around a block and what F(x) is multiplied by:

- residual: relu(F(x) + x), the notebook's block (He et al. 2015, https://arxiv.org/abs/1512.03385)
- plain: relu(F(x))
- rezero: relu(a F(x) + x) with a learned a that starts at 0 (ReZero, Bachlechner et al. 2020,
  https://arxiv.org/abs/2003.04887; SkipInit, De and Smith 2020, https://arxiv.org/abs/2002.10444)
- stochastic_depth: relu(b F(x) + x), b = 0 or 1 drawn anew for every batch, its chance of 1 falling evenly
  to 0.5 at the last block; b is that chance when testing (Huang et al. 2016,
  https://arxiv.org/abs/1603.09382)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from resnet_demo.networks.resnet import ResidualBlock

WIDTH = 16
LAST_SURVIVES = 0.5


class RaceBlock(ResidualBlock):
    """The notebook's block of one width with its two sides apart: F(x) = ``branch(x)``, and a factor on each.

    Input and output (B, C, H, W) float32.
    """

    gate: Tensor

    def __init__(
        self, channels: int, *, norms: bool, shortcut: bool, learned_gate: bool, survives: float
    ) -> None:
        super().__init__(channels, channels, downsample=None, dropout=0.0)
        if not norms:
            self.bn1, self.bn2 = cast(nn.BatchNorm2d, nn.Identity()), cast(nn.BatchNorm2d, nn.Identity())
        self.has_shortcut = shortcut
        self.survives = survives
        if learned_gate:
            self.gate = nn.Parameter(torch.zeros(()))
        else:
            self.register_buffer("gate", torch.ones(()), persistent=False)

    def branch(self, x: Tensor) -> Tensor:
        """F(x), (B, C, H, W): convolution, norm, relu, convolution, norm."""
        return self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))

    def factor(self, draw: torch.Generator | None = None) -> Tensor:
        """What F(x) is multiplied by now, a scalar: the gate, and with stochastic depth this batch's 0 or 1
        (drawn from ``draw`` while training) or its expectation."""
        if self.survives == 1:
            return self.gate
        if not self.training:
            return self.gate * self.survives
        return self.gate * (torch.rand((), generator=draw) < self.survives)

    def sides(self, x: Tensor, draw: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """F(x) as it enters the sum, and the block's output."""
        branch = self.branch(x)
        if self.survives != 1 or isinstance(self.gate, nn.Parameter):
            branch = self.factor(draw) * branch
        return branch, self.relu(branch + x if self.has_shortcut else branch)

    def forward(self, x: Tensor) -> Tensor:
        return self.sides(x)[1]


@dataclass(frozen=True)
class Stage:
    """What a block was given, what its F(x) added, and what it gave, each (B, C, H, W)."""

    x: Tensor
    branch: Tensor
    output: Tensor


class RaceNetwork(nn.Module):
    """A stem, ``len(blocks)`` blocks of WIDTH channels, global average pool, linear layer.

    Input (B, 1, H, W) float32; a stem of stride 2 halves pictures of 16x16, so that every block works on 8x8.
    Output (B, classes) logits.
    """

    def __init__(
        self, kind: str, blocks: int, *, norms: bool = True, stride: int = 1, classes: int = 10
    ) -> None:
        super().__init__()
        self.kind = kind
        stem: list[nn.Module] = [nn.Conv2d(1, WIDTH, kernel_size=3, stride=stride, padding=1, bias=False)]
        if norms:
            stem.append(nn.BatchNorm2d(WIDTH))
        self.stem = nn.Sequential(*stem, nn.ReLU())
        self.blocks = nn.ModuleList(
            race_block(kind, norms, 1 - (i + 1) / blocks * (1 - LAST_SURVIVES)) for i in range(blocks)
        )
        self.linear = nn.Linear(WIDTH, classes)

    def stages(self, x: Tensor, draw: torch.Generator | None = None) -> tuple[Tensor, list[Stage]]:
        """The logits (B, classes), and what happened in each block."""
        x = self.stem(x)
        found = []
        for block in self.blocks:
            branch, output = cast(RaceBlock, block).sides(x, draw)
            found.append(Stage(x, branch, output))
            x = output
        return self.linear(x.mean((2, 3))), found

    def forward(self, x: Tensor) -> Tensor:
        return self.stages(x)[0]

    def without_block(self, inputs: list[Tensor], left_out: int) -> Tensor:
        """The logits (B, classes) if a block handed on what it is given.

        Args:
            inputs: what each block is given in the whole network (``Stage.x``).
            left_out: which block, from 0.
        """
        x = inputs[left_out]
        for block in self.blocks[left_out + 1 :]:
            x = block(x)
        return cast(Tensor, self.linear(x.mean((2, 3))))


def race_block(kind: str, norms: bool, survives: float) -> RaceBlock:
    """A fresh block of a network called ``kind``."""
    return RaceBlock(
        WIDTH,
        norms=norms,
        shortcut=kind not in ("plain", "net2net"),
        learned_gate=kind == "rezero",
        survives=survives if kind == "stochastic_depth" else 1.0,
    )


def build(kind: str, blocks: int, seed: int, *, norms: bool = True, stride: int = 1) -> RaceNetwork:
    """A fresh network; the same seed gives every kind the same weights. The global generator stays as it
    was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return RaceNetwork(kind, blocks, norms=norms, stride=stride)
