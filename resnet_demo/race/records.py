"""What a race is asked for, and what it tells while it runs: plain numbers, frozen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from resnet_demo.i18n import later

BLOCKS = range(2, 51)
STEPS = range(1, 401)
SEEDS = range(2**31)
RATES = (0.001, 1.0)  # lowest and highest learning rate
BATCH = 64
DATA = ("digits", "pictures", "sounds")
TASKS = ("classes", "identity", "growth")
NETWORKS = ("residual", "plain", "rezero", "stochastic_depth", "net2net")  # the last is plain but for growth
LEARNING_RATE = 0.02
OUT_OF_RANGE = later("{name} must be a whole number from {low} to {high}; got {value}.")


@dataclass(frozen=True)
class RaceSettings:
    """Everything that decides how a race goes: the same settings give the same numbers on the same machine.

    Attributes:
        blocks: residual blocks of every network, 2..50.
        steps: batches of 64 pictures that each network learns from, 1..400.
        seed: of the initial weights and of the order of the batches.
        data: "digits" (8x8, handwritten), "pictures" (16x16, drawn by formula) or "sounds" (16x16, mel).
        norms: batch norm in every block; False leaves it out.
        networks: which ones run, at most two of NETWORKS, no two alike.
        rate: learning rate of SGD with momentum 0.9.
        task: "classes"; "identity", to give back what came in; "growth", classes with a block added halfway.

    Raises:
        ValueError: a setting out of range; the message is a sentence for the visitor.
    """

    blocks: int = 20
    steps: int = 80
    seed: int = 0
    data: str = "digits"
    norms: bool = True
    networks: tuple[str, ...] = ("residual", "plain")
    rate: float = LEARNING_RATE
    task: str = "classes"

    def __post_init__(self) -> None:
        object.__setattr__(self, "networks", tuple(self.networks))  # JSON gives a list
        limits = {"blocks": BLOCKS, "steps": STEPS, "seed": SEEDS}
        for name, allowed in limits.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value not in allowed:
                raise ValueError(
                    later(
                        OUT_OF_RANGE.pattern,
                        name=name,
                        low=allowed[0],
                        high=allowed[-1],
                        value=repr(value)[:40],
                    )
                )
        if self.task not in TASKS:
            raise ValueError(
                later(
                    "There is no task called {value}; choose one of {known}.",
                    value=repr(self.task)[:40],
                    known=", ".join(TASKS),
                )
            )
        if self.data not in DATA:
            raise ValueError(
                later(
                    "There is no data called {value}; choose one of {known}.",
                    value=repr(self.data)[:40],
                    known=", ".join(DATA),
                )
            )
        if (
            not 1 <= len(self.networks) <= 2
            or len(set(self.networks)) < len(self.networks)
            or not all(name in NETWORKS for name in self.networks)
        ):
            raise ValueError(
                later(
                    "One or two different networks of {known} can train; got {value}.",
                    value=repr(self.networks)[:80],
                    known=", ".join(NETWORKS),
                )
            )
        number = isinstance(self.rate, int | float) and not isinstance(self.rate, bool)
        if not number or not (math.isfinite(self.rate) and RATES[0] <= self.rate <= RATES[1]):
            raise ValueError(
                later(
                    "The learning rate must be a number from {low} to {high}; got {value}.",
                    low=RATES[0],
                    high=RATES[1],
                    value=repr(self.rate)[:40],
                )
            )
        if not isinstance(self.norms, bool):
            raise ValueError(later("norms must be true or false; got {value}.", value=repr(self.norms)[:40]))

    def to_json(self) -> dict[str, Any]:
        """As a dict of plain values; ``RaceSettings(**that)`` is equal to it."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**found, "networks": list(self.networks)}


@dataclass(frozen=True)
class NetworkState:
    """Where one network is after a step.

    Attributes:
        loss: cross-entropy of the step's batch, before the step.
        error: share of the batch answered wrong, 0..1, before the step.
        gradient: norm of d loss / d output of each block, first block first.
        ratio: norm of F(x) as it enters the sum, over the norm of x, each block; 0 where F was dropped.
        gate: the factor on F(x), each block.
        held_out_error: share of the watched held-out pictures answered wrong after the step, or None if this
            step did not look.
        returned: (10, H * W) grey values 0..255 of the row as an identity network gives it back, or empty.
        answers: (class, probability) for each picture of the row shown, or empty if this step did not look.
        seconds: processor time that the network's steps have taken so far.
    """

    loss: float
    error: float
    gradient: tuple[float, ...]
    ratio: tuple[float, ...]
    gate: tuple[float, ...]
    held_out_error: float | None = None
    answers: tuple[tuple[int, float], ...] = ()
    returned: tuple[tuple[int, ...], ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class RaceState:
    """A race after a step of all its networks."""

    step: int
    networks: Mapping[str, NetworkState]
    seconds: float


@dataclass(frozen=True)
class NetworkResult:
    """How one network ended, batch norm with its running statistics.

    Attributes:
        train_error: share of all training pictures answered wrong; of an identity network the squared error
            over the squares of what came in.
        test_accuracy: share of all held-out pictures answered right; None of an identity network.
        seconds: processor time of its steps.
        without_block: accuracy on the watched held-out pictures with each block taken out (what it is given
            goes on as it is).
        watched_accuracy: the same with every block in.
        test_error: of an identity network, on held-out pictures.
    """

    train_error: float
    test_accuracy: float | None
    seconds: float
    without_block: tuple[float, ...] = ()
    watched_accuracy: float | None = None
    test_error: float | None = None

    def to_json(self) -> dict[str, float]:
        """The measures that there are."""
        found = {"train_error": self.train_error}
        for name in ("test_accuracy", "test_error"):
            if (value := getattr(self, name)) is not None:
                found[name] = value
        return found


@dataclass(frozen=True)
class RaceRecord:
    """The end of a race.

    Attributes:
        settings: what was asked for.
        steps: those that were made; fewer than asked for if time ran out.
        results: network -> how it ended.
        seconds: from beginning to end.
    """

    settings: RaceSettings
    steps: int
    results: Mapping[str, NetworkResult] = field(default_factory=dict)
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The record that the command's last line and ``/train_race`` end with."""
        found: dict[str, Any] = {
            "blocks": self.settings.blocks,
            "steps": self.steps,
            "seed": self.settings.seed,
        }
        for name, result in self.results.items():
            found[name] = result.to_json()
        found["seconds"] = round(self.seconds, 3)
        return found
