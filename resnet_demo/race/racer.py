"""One network of a race: how it takes a step, and what can be seen on the way."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from resnet_demo.race.data import WATCHED, RaceData
from resnet_demo.race.networks import RaceNetwork, build
from resnet_demo.race.records import NetworkResult, NetworkState, RaceSettings

MOMENTUM = 0.9
CHUNK = 360  # pictures of one pass when testing


class Racer:
    """One network of a race, and how it learns."""

    def __init__(self, kind: str, settings: RaceSettings, data: RaceData) -> None:
        self.network: RaceNetwork = build(
            kind, settings.blocks, settings.seed, norms=settings.norms, stride=data.stride
        )
        self.velocity: dict[nn.Parameter, Tensor] = {}
        self.draw = torch.Generator().manual_seed(settings.seed)
        self.seconds = 0.0

    def step(self, pictures: Tensor, wanted: Tensor, rate: float) -> NetworkState:
        """Learn from one batch, (B, 1, H, W) and (B,), and tell what was seen on the way."""
        started = time.thread_time()
        self.network.train()
        output, stages = self.network.stages(pictures, self.draw)
        for stage in stages:
            stage.output.retain_grad()
        loss = self.loss(output, wanted)
        self.network.zero_grad()
        loss.backward()
        blocks = self.network.blocks
        gates = [float(block.gate.detach()) for block in blocks]  # type: ignore[operator, union-attr]
        self._descend(rate)
        with torch.no_grad():
            ratios = [_ratio(stage.branch.norm(), stage.x.norm()) for stage in stages]
            gradients = [0.0 if s.output.grad is None else float(s.output.grad.norm()) for s in stages]
            error = self.error(output, wanted)
        self.seconds += time.thread_time() - started
        return NetworkState(
            float(loss.detach()), error, tuple(gradients), tuple(ratios), tuple(gates), seconds=self.seconds
        )

    def loss(self, output: Tensor, wanted: Tensor) -> Tensor:
        """What is made small, a scalar: cross-entropy of logits (B, classes) and classes (B,)."""
        return cross_entropy(output, wanted)

    def error(self, output: Tensor, wanted: Tensor) -> float:
        """The share of logits (B, classes) that answer wrong."""
        return share(output.argmax(1) != wanted)

    def _descend(self, rate: float) -> None:
        """SGD with momentum, as ``torch.optim.SGD``, which would import torch's compiler on its first
        step."""
        with torch.no_grad():
            for parameter in self.network.parameters():
                if parameter.grad is not None:
                    velocity = self.velocity.setdefault(parameter, torch.zeros_like(parameter))
                    velocity.mul_(MOMENTUM).add_(parameter.grad)
                    parameter.add_(velocity, alpha=-rate)

    def look(
        self, pictures: Tensor, labels: Tensor, row: int = 10
    ) -> tuple[float, tuple[tuple[int, float], ...]]:
        """Share of ``pictures`` answered wrong, and class and probability of the first ``row``."""
        chances = torch.softmax(self.logits(pictures), 1)
        best = chances.max(1)
        wrong = share(best.indices != labels)
        return wrong, tuple(zip(best.indices[:row].tolist(), best.values[:row].tolist(), strict=True))

    def logits(self, pictures: Tensor) -> Tensor:
        """(N, classes), batch norm with its running statistics."""
        self.network.eval()
        with torch.no_grad():
            return torch.cat([self.network(part) for part in pictures.split(CHUNK)])

    def result(self, data: RaceData) -> NetworkResult:
        """How the network ended."""
        train = self.logits(torch.from_numpy(data.train)).argmax(1)
        test = self.logits(torch.from_numpy(data.test)).argmax(1)
        train_error = share(train != torch.from_numpy(data.train_labels))
        accuracy = share(test == torch.from_numpy(data.test_labels))
        watched, labels_ = torch.from_numpy(data.test[:WATCHED]), torch.from_numpy(data.test_labels[:WATCHED])
        with torch.no_grad():
            logits, stages = self.network.stages(watched)
            inputs = [stage.x for stage in stages]
            cut = [self.network.without_block(inputs, i) for i in range(len(inputs))]
        accuracies = [share(answer.argmax(1) == labels_) for answer in [logits, *cut]]
        return NetworkResult(train_error, accuracy, self.seconds, tuple(accuracies[1:]), accuracies[0])


def share(right: Tensor) -> float:
    """How much of a boolean (N,) is true."""
    return int(right.sum()) / len(right)


def _ratio(branch: Tensor, x: Tensor) -> float:
    below = float(x)
    return float(branch) / below if below else 0.0
