"""The race itself: networks that differ in the shortcut alone learn from the same batches, step by step.

SGD with momentum 0.9 and a learning rate that falls evenly to zero. Nothing here knows of pages or processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import torch
from torch import Tensor

from resnet_demo.race.data import WATCHED, batches, load
from resnet_demo.race.racer import Racer
from resnet_demo.race.records import NetworkResult, NetworkState, RaceRecord, RaceSettings, RaceState

LOOK_EVERY = 5  # steps between looks at the held-out pictures
LIMIT = 120.0  # seconds; a race that takes longer ends with the steps it has made


def rate_at(step: int, steps: int) -> float:
    """The share of the learning rate that step number ``step``, from 0, is made with."""
    return 1 - step / steps


class Race:
    """A race that has been set up; ``states`` runs it. The tasks that are no classes are subclasses.

    Attributes:
        racers: network -> its racer; the trained networks stay here.
        record: how it ended, after ``states`` is through.
    """

    def __init__(self, settings: RaceSettings) -> None:
        self.settings = settings
        self.data = load(settings.data)
        self.racers: dict[str, Racer] = {kind: self.racer(kind) for kind in settings.networks}
        self.record: RaceRecord | None = None
        self._order = batches(len(self.data.train), settings.steps, settings.seed)
        self._train, self._labels = (
            torch.from_numpy(self.data.train),
            torch.from_numpy(self.data.train_labels),
        )
        self._watched = torch.from_numpy(self.data.test[:WATCHED])
        self._watched_labels = torch.from_numpy(self.data.test_labels[:WATCHED])

    # what the task is

    def racer(self, kind: str) -> Racer:
        """A fresh racer."""
        return Racer(kind, self.settings, self.data)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """What all networks are given at a step, and what they should answer."""
        return self._train[self._order[step]], self._labels[self._order[step]]

    def before(self, step: int) -> bool:
        """Change the networks before a step; True if that is worth a look before the step is made."""
        return False

    def looked(self, racer: Racer, state: NetworkState) -> NetworkState:
        """``state`` with what the held-out pictures show."""
        error, row = racer.look(self._watched, self._watched_labels)
        return replace(state, held_out_error=error, answers=row)

    def result(self, racer: Racer) -> NetworkResult:
        """How a network ended."""
        return racer.result(self.data)

    # how it runs

    def states(
        self, stopped: Callable[[], bool] = lambda: False, limit: float = LIMIT
    ) -> Iterator[RaceState]:
        """Train, one state a step; all networks take a step at the same time, each in a thread of its own.

        Torch should be told to use one thread for each (``torch.set_num_threads(1)``): results are then the
        same to the last bit on the same machine.

        Args:
            stopped: asked before every step; True ends the race there.
            limit: seconds after which no further step begins.
        """
        steps = self.settings.steps
        started = time.perf_counter()
        done = 0
        states: dict[str, NetworkState] = {}
        with ThreadPoolExecutor(len(self.racers)) as pool:

            def each(turn: Callable[[str], NetworkState]) -> RaceState:
                states.update(zip(self.racers, pool.map(turn, self.racers), strict=True))
                return RaceState(done, dict(states), time.perf_counter() - started)

            def look(kind: str) -> NetworkState:
                return self.looked(self.racers[kind], states[kind])

            while done < steps and not stopped() and time.perf_counter() - started <= limit:
                if self.before(done) and states:
                    yield each(look)
                pictures, wanted = self.batch(done)
                rate = self.settings.rate * rate_at(done, steps)
                looks = done == 0 or (done + 1) % LOOK_EVERY == 0 or done + 1 == steps

                def turn(kind: str) -> NetworkState:
                    # done before the loop goes on, so the loop's variables are those of this step
                    state = self.racers[kind].step(pictures, wanted, rate)  # noqa: B023
                    return self.looked(self.racers[kind], state) if looks else state  # noqa: B023

                done += 1
                yield each(turn)
            results = pool.map(self.result, self.racers.values())
            ended = dict(zip(self.racers, results, strict=True))
        self.record = RaceRecord(self.settings, done, ended, time.perf_counter() - started)
