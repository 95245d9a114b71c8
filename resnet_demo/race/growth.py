"""A block is added in the middle of training.

With a shortcut, a block whose branch starts at zero changes nothing: the network answers as before, to the
last bit. Without one, a fresh block stands in the way of everything. Net2Net (Chen et al. 2016,
https://arxiv.org/abs/1511.05641) gives a plain network a block that is built to hand on what it is given:
kernels with a single 1, and a batch norm that undoes itself.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resnet_demo.race.loop import Race
from resnet_demo.race.networks import RaceBlock, RaceNetwork, race_block

NEW_SEED = 1_000_003  # of the new block: this plus the seed


def identity_block(norms: bool, given: Tensor) -> RaceBlock:
    """A block without a shortcut that hands on what it is given, (N, C, H, W) and not negative.

    Args:
        norms: with batch norm, which is set to undo itself for the mean and variance of ``given``.
        given: what the network gives the block at its place.
    """
    block = race_block("plain", norms, 1.0)
    with torch.no_grad():
        for conv in (block.conv1, block.conv2):
            nn.init.dirac_(conv.weight)
        if norms:
            mean, variance = given.mean((0, 2, 3)), given.var((0, 2, 3))
            for norm in (block.bn1, block.bn2):
                norm.running_mean.copy_(mean)  # type: ignore[union-attr]
                norm.running_var.copy_(variance)  # type: ignore[union-attr]
                norm.weight.copy_((variance + norm.eps).sqrt())
                norm.bias.copy_(mean)
    return block


def new_block(kind: str, norms: bool, seed: int, given: Tensor) -> RaceBlock:
    """The block that a network called ``kind`` gets: its branch at zero with a shortcut, fresh or, for
    "net2net", the identity without."""
    if kind == "net2net":
        return identity_block(norms, given)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return race_block("plain" if kind == "plain" else "rezero", norms, 1.0)


def insert(network: RaceNetwork, block: RaceBlock) -> int:
    """Put ``block`` in the middle of ``network``; returns its place."""
    place = len(network.blocks) // 2
    network.blocks.insert(place, block)
    return place


class GrowthRace(Race):
    """Classes, with a block added before the middle step."""

    def before(self, step: int) -> bool:
        if step != self.settings.steps // 2 or step == 0:
            return False
        for kind, racer in self.racers.items():
            racer.network.eval()
            with torch.no_grad():
                stages = racer.network.stages(self._train)[1]
                given = stages[len(stages) // 2].x
            insert(racer.network, new_block(kind, self.settings.norms, NEW_SEED + self.settings.seed, given))
        return True
