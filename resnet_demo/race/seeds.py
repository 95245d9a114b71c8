"""The races of ten seeds at four depths, stored for the page: ``python -m resnet_demo.race.seeds``.

What is there already is kept, so it may be interrupted. It also stores one race step by step, which the page
shows before anybody has pressed a button.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from resnet_demo.race.records import RaceSettings, RaceState

STORED = Path(__file__).with_name("ten_seeds.json")
IDENTITY = RaceSettings(10, 60, rate=0.1, networks=("rezero", "plain"), task="identity")
GROWTH = RaceSettings(5, 80, task="growth")
STORED_RUNS = {"classes": RaceSettings(), "identity": IDENTITY, "growth": GROWTH}  # task -> what is stored
DEPTHS = (5, 10, 20, 50)
SEEDS = tuple(range(10))
KINDS = ("residual", "plain")


@cache
def ten_seeds() -> dict[str, Any]:
    """depth -> network -> seed -> {"train_error", "test_accuracy", "loss" of every step, "held_out" [step,
    error]}."""
    found: dict[str, Any] = json.loads(STORED.read_text(encoding="utf-8"))
    return found


def stored_run_path(task: str) -> Path:
    """Where the one run of a task is stored."""
    return Path(__file__).with_name(f"stored_{task}.json")


@cache
def stored_run(task: str = "classes") -> list[dict[str, Any]]:
    """The events of one race, as a training process tells them."""
    found: list[dict[str, Any]] = json.loads(stored_run_path(task).read_text(encoding="utf-8"))
    return found


def known_depths() -> tuple[int, ...]:
    """The depths of which every seed's race is stored."""
    found = ten_seeds()
    return tuple(d for d in DEPTHS if all(len(found.get(str(d), {}).get(k, ())) == len(SEEDS) for k in KINDS))


def accuracies(depth: int, kind: str) -> list[float]:
    """Share of held-out digits answered right, a number for every seed."""
    return [run["test_accuracy"] for run in ten_seeds()[str(depth)][kind].values()]


def wins(depth: int) -> int:
    """In how many of the races the network with shortcuts answered more held-out digits right than its
    twin."""
    pairs = zip(accuracies(depth, "residual"), accuracies(depth, "plain"), strict=True)
    return sum(residual > plain for residual, plain in pairs)


def one(depth: int, kind: str, seed: int) -> dict[str, Any]:
    """One network's race, as stored."""
    from resnet_demo.race.tasks import run

    states: list[RaceState] = []
    race = run(RaceSettings(depth, seed=seed, networks=(kind,)), states.append)
    assert race.record is not None
    networks = [(state.step, state.networks[kind]) for state in states]
    result = race.record.results[kind]
    return {
        "test_accuracy": result.test_accuracy,
        "train_error": result.train_error,
        "loss": [float(f"{n.loss:.3g}") for _, n in networks],
        "held_out": [[step, n.held_out_error] for step, n in networks if n.held_out_error is not None],
    }


def one_run(settings: RaceSettings) -> list[dict[str, Any]]:
    """One race, its events thinned out to those that looked at the held-out digits."""
    from resnet_demo.race import worker

    out = io.BytesIO()
    pace, worker.PACE = worker.PACE, 0.0
    try:
        worker.run_race(settings.to_json(), worker.Lines.empty(), out)
    finally:
        worker.PACE = pace
    found: list[dict[str, Any]] = []
    points: dict[str, list[Any]] = {}
    out.seek(0)
    while line := out.readline():
        event = json.loads(line)
        if event["event"] == "trained":
            out.read(event["bytes"])
            continue
        if event["event"] == "state":
            for name, network in event["networks"].items():
                points.setdefault(name, []).extend(network["points"])
            if not all(network["answers"] or network["returned"] for network in event["networks"].values()):
                continue
            for name, network in event["networks"].items():
                network["points"] = points.pop(name)
        found.append(event)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m resnet_demo.race.seeds", description=__doc__)
    parser.add_argument("--only-run", action="store_true", help="store one race of each task, and no seeds")
    args = parser.parse_args(argv)
    from resnet_demo.race.command import one_thread

    one_thread()
    found = ten_seeds() if STORED.is_file() else {}
    for depth in () if args.only_run else DEPTHS:
        for seed in SEEDS:
            for kind in KINDS:
                runs = found.setdefault(str(depth), {}).setdefault(kind, {})
                if str(seed) not in runs:
                    runs[str(seed)] = one(depth, kind, seed)
                    STORED.write_text(json.dumps(found, separators=(",", ":")), encoding="utf-8")
                    print(
                        f"{depth} blocks, seed {seed}, {kind}: {runs[str(seed)]['test_accuracy']:.3f}",
                        flush=True,
                    )
    for task, settings in STORED_RUNS.items():
        text = json.dumps(one_run(settings), separators=(",", ":"))
        stored_run_path(task).write_text(text, encoding="utf-8")
    for depth in known_depths():
        print(f"{depth} blocks: with shortcuts better in {wins(depth)} of {len(SEEDS)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
