"""The identity task: give back what came in.

Sixteen handwritten digits come in as the sixteen channels of one picture, and should come out again. There is
no stem and no linear layer, only blocks. With shortcuts and branches that start at zero the network is the
identity before it has learned anything (He et al. 2015, § 3.1, https://arxiv.org/abs/1512.03385: "if an
identity mapping were optimal, it would be easier to push the residual to zero than to fit an identity
mapping"); without them it has to learn what a block does to every channel.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from resnet_demo.race.data import RaceData
from resnet_demo.race.loop import Race
from resnet_demo.race.networks import WIDTH, RaceBlock, RaceNetwork, Stage, race_block
from resnet_demo.race.racer import Racer
from resnet_demo.race.records import NetworkResult, NetworkState, RaceSettings

SAMPLES = 32  # pictures of sixteen digits in a batch
WATCHED_SAMPLES = 20


class IdentityNetwork(RaceNetwork):
    """Blocks alone: (B, 16, H, W) in 0..1 to the same shape."""

    def __init__(self, kind: str, blocks: int, *, norms: bool = True) -> None:
        nn.Module.__init__(self)
        self.kind = kind
        self.blocks = nn.ModuleList(race_block(kind, norms, 1.0) for _ in range(blocks))

    def stages(self, x: Tensor, draw: torch.Generator | None = None) -> tuple[Tensor, list[Stage]]:
        """What comes out (B, 16, H, W), and what happened in each block."""
        found = []
        for block in self.blocks:
            branch, output = cast(RaceBlock, block).sides(x, draw)
            found.append(Stage(x, branch, output))
            x = output
        return x, found


def relative_error(output: Tensor, wanted: Tensor) -> Tensor:
    """Squared error over the squares of what was wanted: 0 is right, 1 is what a black picture has."""
    return (output - wanted).square().sum() / wanted.square().sum()


class IdentityRacer(Racer):
    """Learns to give back what came in."""

    def __init__(self, kind: str, settings: RaceSettings, data: RaceData) -> None:
        super().__init__(kind, settings, data)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.network = IdentityNetwork(kind, settings.blocks, norms=settings.norms)

    def loss(self, output: Tensor, wanted: Tensor) -> Tensor:
        return relative_error(output, wanted)

    def error(self, output: Tensor, wanted: Tensor) -> float:
        return float(relative_error(output, wanted))


class IdentityRace(Race):
    """Networks learn to give back sixteen digits at a time."""

    def __init__(self, settings: RaceSettings) -> None:
        super().__init__(settings)
        rng = np.random.default_rng(settings.seed)
        data = self.data
        train, test = (
            torch.from_numpy((x * data.std + data.mean)[:, 0]).clamp(0, 1) for x in (data.train, data.test)
        )
        self._pictures = train
        self._drawn = rng.integers(0, len(train), (settings.steps, SAMPLES, WIDTH))
        self._held_out = test[: WATCHED_SAMPLES * WIDTH].unflatten(0, (-1, WIDTH))  # (20, 16, H, W)

    def racer(self, kind: str) -> Racer:
        return IdentityRacer(kind, self.settings, self.data)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        pictures = self._pictures[self._drawn[step]]  # (32, 16, H, W)
        return pictures, pictures

    def looked(self, racer: Racer, state: NetworkState) -> NetworkState:
        output = racer.logits(self._held_out)
        row = (output[0, :10].clamp(0, 1) * 255).round().int().flatten(1).tolist()
        error = float(relative_error(output, self._held_out))
        return replace(state, held_out_error=error, returned=tuple(map(tuple, row)))

    def result(self, racer: Racer) -> NetworkResult:
        train = self._pictures[: 40 * WIDTH].unflatten(0, (-1, WIDTH))
        errors = [float(relative_error(racer.logits(x), x)) for x in (train, self._held_out)]
        return NetworkResult(errors[0], None, racer.seconds, test_error=errors[1])
