"""The race itself: networks that differ in the shortcut alone learn from the same batches, step by step.

SGD with momentum 0.9 and a learning rate that falls evenly to zero; cross-entropy. Nothing here knows of pages
or processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from resnet_demo.race.data import WATCHED, RaceData, batches, load
from resnet_demo.race.networks import RaceNetwork, build
from resnet_demo.race.records import (
    NetworkResult,
    NetworkState,
    RaceRecord,
    RaceSettings,
    RaceState,
)

MOMENTUM = 0.9
LOOK_EVERY = 5  # steps between looks at the held-out pictures
LIMIT = 120.0  # seconds; a race that takes longer ends with the steps it has made
CHUNK = 360  # pictures of one pass when testing


class Racer:
    """One network of a race, and how it learns."""

    def __init__(self, kind: str, settings: RaceSettings, data: RaceData) -> None:
        self.network: RaceNetwork = build(
            kind, settings.blocks, settings.seed, norms=settings.norms, stride=data.stride
        )
        self.velocity = [torch.zeros_like(p) for p in self.network.parameters()]
        self.draw = torch.Generator().manual_seed(settings.seed)
        self.seconds = 0.0

    def step(self, pictures: Tensor, labels: Tensor, rate: float) -> NetworkState:
        """Learn from one batch, (B, 1, H, W) and (B,), and tell what was seen on the way."""
        started = time.thread_time()
        self.network.train()
        logits, stages = self.network.stages(pictures, self.draw)
        for stage in stages:
            stage.output.retain_grad()
        loss = cross_entropy(logits, labels)
        self.network.zero_grad()
        loss.backward()
        gates = [float(block.gate.detach()) for block in self.network.blocks]  # type: ignore[operator, union-attr]
        self._descend(rate)
        with torch.no_grad():
            ratios = [_ratio(stage.branch.norm(), stage.x.norm()) for stage in stages]
            gradients = [0.0 if s.output.grad is None else float(s.output.grad.norm()) for s in stages]
            error = _share(logits.argmax(1) != labels)
        self.seconds += time.thread_time() - started
        return NetworkState(
            float(loss.detach()), error, tuple(gradients), tuple(ratios), tuple(gates), seconds=self.seconds
        )

    def _descend(self, rate: float) -> None:
        """SGD with momentum, as ``torch.optim.SGD``, which would import torch's compiler on its first step."""
        with torch.no_grad():
            for parameter, velocity in zip(self.network.parameters(), self.velocity, strict=True):
                if parameter.grad is not None:
                    velocity.mul_(MOMENTUM).add_(parameter.grad)
                    parameter.add_(velocity, alpha=-rate)

    def look(
        self, pictures: Tensor, labels: Tensor, row: int = 10
    ) -> tuple[float, tuple[tuple[int, float], ...]]:
        """Share of ``pictures`` answered wrong, and class and probability of the first ``row``."""
        chances = torch.softmax(self.logits(pictures), 1)
        best = chances.max(1)
        wrong = _share(best.indices != labels)
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
        train_error = _share(train != torch.from_numpy(data.train_labels))
        accuracy = _share(test == torch.from_numpy(data.test_labels))
        watched, labels_ = torch.from_numpy(data.test[:WATCHED]), torch.from_numpy(data.test_labels[:WATCHED])
        with torch.no_grad():
            logits, stages = self.network.stages(watched)
            inputs = [stage.x for stage in stages]
            cut = [self.network.without_block(inputs, i) for i in range(len(inputs))]
        accuracies = [_share(answer.argmax(1) == labels_) for answer in [logits, *cut]]
        return NetworkResult(train_error, accuracy, self.seconds, tuple(accuracies[1:]), accuracies[0])


def rate_at(step: int, steps: int) -> float:
    """The share of the learning rate that step number ``step``, from 0, is made with."""
    return 1 - step / steps


def _share(right: Tensor) -> float:
    """How much of a boolean (N,) is true."""
    return int(right.sum()) / len(right)


def _ratio(branch: Tensor, x: Tensor) -> float:
    below = float(x)
    return float(branch) / below if below else 0.0


class Race:
    """A race that has been set up; ``states`` runs it.

    Attributes:
        racers: network -> its racer; the trained networks stay here.
        record: how it ended, after ``states`` is through.
    """

    def __init__(self, settings: RaceSettings) -> None:
        self.settings = settings
        self.data = load(settings.data)
        self.racers = {kind: Racer(kind, settings, self.data) for kind in settings.networks}
        self.record: RaceRecord | None = None

    def states(
        self, stopped: Callable[[], bool] = lambda: False, limit: float = LIMIT
    ) -> Iterator[RaceState]:
        """Train, one state a step; both networks take a step at the same time, each in a thread of its own.

        Torch should be told to use one thread for each (``torch.set_num_threads(1)``): results are then the
        same to the last bit on the same machine.

        Args:
            stopped: asked before every step; True ends the race there.
            limit: seconds after which no further step begins.
        """
        settings, data = self.settings, self.data
        started = time.perf_counter()
        order = batches(len(data.train), settings.steps, settings.seed)
        train, labels = torch.from_numpy(data.train), torch.from_numpy(data.train_labels)
        watched, watched_labels = (
            torch.from_numpy(data.test[:WATCHED]),
            torch.from_numpy(data.test_labels[:WATCHED]),
        )
        done = 0
        with ThreadPoolExecutor(len(self.racers)) as pool:
            for step, indices in enumerate(order):
                if stopped() or time.perf_counter() - started > limit:
                    break
                batch, answers = train[indices], labels[indices]
                rate = settings.rate * rate_at(step, settings.steps)
                looks = step == 0 or (step + 1) % LOOK_EVERY == 0 or step + 1 == settings.steps

                def turn(racer: Racer) -> NetworkState:
                    state = racer.step(batch, answers, rate)  # noqa: B023 (done before the loop goes on)
                    if not looks:  # noqa: B023
                        return state
                    error, row = racer.look(watched, watched_labels)
                    return replace(state, held_out_error=error, answers=row)

                states = dict(zip(self.racers, pool.map(turn, self.racers.values()), strict=True))
                done = step + 1
                yield RaceState(done, states, time.perf_counter() - started)
            results = dict(
                zip(self.racers, pool.map(lambda r: r.result(data), self.racers.values()), strict=True)
            )
        self.record = RaceRecord(settings, done, results, time.perf_counter() - started)


def run(settings: RaceSettings, told: Callable[[RaceState], None] = lambda state: None) -> Race:
    """A whole race; ``told`` hears of every step."""
    race = Race(settings)
    for state in race.states():
        told(state)
    return race


def warm_up() -> None:
    """Two steps of a small race: what torch sets up on first use is then there."""
    for _ in Race(RaceSettings(blocks=2, steps=2)).states():
        pass
