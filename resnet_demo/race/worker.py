"""The process in which races are run: settings come in as lines of JSON, what happens goes out the same way.

Torch and the digits are loaded before the first settings arrive, so that a race begins at once. It ends when
nobody has said anything for a while (``--idle SECONDS``), and when the process that started it is gone. It is
nice: whoever serves the page comes first.

Lines out are ``{"event": "ready"}``, then for every race "start", "state" (at most ten a second), "trained"
(followed by as many raw bytes as it says) and "end", or "failed". Lines in are ``{"settings": …}``,
``{"stop": true}`` and ``{"stay": true}``, somebody may soon ask.
"""

from __future__ import annotations

import argparse
import base64
import ctypes
import gc
import json
import os
import select
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any, BinaryIO

NICE = 10
IDLE = 120.0  # seconds without a line
MEMORY = 2 << 30  # bytes of its own data
PACE = 0.1  # seconds between states at least
DIGITS = 5  # significant ones of what is drawn; results are told in full


class Lines:
    """Lines of JSON from a pipe, looked for without waiting longer than one wants."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.rest = b""
        self.ended = False
        self.silent = False

    @classmethod
    def empty(cls) -> Lines:
        """A pipe on which nobody will ever say anything."""
        found = cls(-1)
        found.silent = True
        return found

    def next(self, seconds: float) -> dict[str, Any] | None:
        """The next line, or None if none is there in time or none will ever be."""
        if self.silent:
            return None
        until = time.monotonic() + seconds
        while b"\n" not in self.rest:
            left = max(0.0, until - time.monotonic())
            if self.ended or not select.select([self.descriptor], [], [], left)[0]:
                return None
            part = os.read(self.descriptor, 65536)
            self.rest += part
            self.ended = not part
        line, _, self.rest = self.rest.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found


def tell(out: BinaryIO, event: dict[str, Any], raw: bytes = b"") -> None:
    """One line, and the bytes that belong to it."""
    out.write(json.dumps(event, separators=(",", ":")).encode() + b"\n" + raw)
    out.flush()


def shorter(value: Any) -> Any:
    """Floats inside ``value`` at DIGITS significant digits; those that are no numbers become None, as in
    JSON."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if abs(value) < float("inf") else None
    if isinstance(value, list | tuple):
        return [shorter(v) for v in value]
    if isinstance(value, dict):
        return {k: shorter(v) for k, v in value.items()}
    return value


class Reporter:
    """States as they go out: the curves' points since the last one, and how the blocks are now."""

    def __init__(self, out: BinaryIO) -> None:
        self.out = out
        self.points: dict[str, list[list[Any]]] = {}
        self.last = 0.0

    def take(self, state: Any, final: bool) -> None:
        """Send it, or keep its points for the next one."""
        for name, network in state.networks.items():
            self.points.setdefault(name, []).append(
                [state.step, network.loss, network.error, network.held_out_error]
            )
        now = time.monotonic()
        if not final and now - self.last < PACE:
            return
        networks = {}
        for name, network in state.networks.items():
            known = asdict(network)
            blocks = {
                key: known[key] for key in ("gradient", "ratio", "gate", "answers", "returned", "seconds")
            }
            networks[name] = {**blocks, "points": self.points.pop(name)}
        tell(
            self.out,
            shorter({"event": "state", "step": state.step, "seconds": state.seconds, "networks": networks}),
        )
        self.last = now


def run_race(settings: dict[str, Any], lines: Lines, out: BinaryIO) -> None:
    """One race, told from start to end."""
    import safetensors.torch

    from resnet_demo.race.records import RaceSettings
    from resnet_demo.race.tasks import race_for

    race = race_for(RaceSettings(**settings))
    data = race.data
    tell(
        out,
        {
            "event": "start",
            "settings": race.settings.to_json(),
            "classes": list(data.classes),
            "side": data.side,
            "row": base64.b64encode(data.row().tobytes()).decode(),
            "counts": [len(data.train), len(data.test)],
        },
    )
    reporter = Reporter(out)
    asked_to_stop = False

    def stopped() -> bool:
        nonlocal asked_to_stop
        if (line := lines.next(0)) is not None and line.get("stop"):
            asked_to_stop = True
        return asked_to_stop or lines.ended

    for state in race.states(stopped):
        reporter.take(state, state.step == race.settings.steps)
    record = race.record
    if record is None or lines.ended:
        return
    for name, racer in race.racers.items():
        weights = safetensors.torch.save(dict(racer.network.state_dict()))
        tell(out, {"event": "trained", "network": name, "bytes": len(weights)}, weights)
    results = {name: asdict(result) for name, result in record.results.items()}
    tell(out, {"event": "end", "record": record.to_json(), "results": results})


def be_nice() -> None:
    """Whoever serves the page goes first from now on."""
    with suppress(OSError, AttributeError):
        os.nice(NICE)


def give_back() -> None:
    """Return a race's memory to the system: networks refer to each other in circles, 90 to 180 MB."""
    gc.collect()
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def main(argv: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(prog="python -m resnet_demo.race.worker", description=__doc__)
    options.add_argument(
        "--idle", type=float, default=IDLE, help="seconds without a line (default %(default)s)"
    )
    options.add_argument("--ahead", action="store_true", help="nobody waits yet: be nice from the start")
    asked = options.parse_args(argv)
    if asked.ahead:
        be_nice()
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    out, lines = os.fdopen(os.dup(1), "wb"), Lines(0)
    os.dup2(2, 1)  # whatever a library prints is no event
    gc.disable()  # imports leave no garbage, and looking for it takes a tenth of their time
    import torch

    from resnet_demo.race.data import load
    from resnet_demo.race.tasks import warm_up

    torch.set_num_threads(1)
    load("digits")
    gc.freeze()
    gc.enable()
    first = lines.next(0)
    if first is None or "settings" not in first:  # otherwise the race itself warms up
        warm_up()
    if not asked.ahead:
        be_nice()  # not before: somebody has pressed already
    tell(out, {"event": "ready"})
    while (line := first or lines.next(asked.idle)) is not None:
        first = None
        if "settings" not in line:
            continue  # a stop that came when its race was over, or a word to stay
        try:
            run_race(line["settings"], lines, out)
        except ValueError as error:
            tell(out, {"event": "failed", "message": str(error)})
        except (MemoryError, RuntimeError) as error:
            print(error, file=sys.stderr)
            tell(out, {"event": "failed", "message": ""})
        give_back()
        if lines.ended:
            break
    return 0


if __name__ == "__main__":
    with suppress(BrokenPipeError, KeyboardInterrupt):
        sys.exit(main())
