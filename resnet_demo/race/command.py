"""A race in the terminal: a network with shortcuts and its plain twin learn side by side.

``python -m resnet_demo race --blocks 20 --steps 80 --seed 0`` draws both losses while they fall, writes
curves.png and curves.csv with ``--out DIR``, and ends with one line of JSON. The same settings give the same
numbers on the same machine, to the last bit; the seconds alone differ.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from resnet_demo.i18n import later
from resnet_demo.race.records import DATA, LEARNING_RATE, NETWORKS, RaceRecord, RaceSettings, RaceState

MARKS = "ox"  # of the first network and of the second
ROWS = 12
COLOURS = ((71, 85, 105), (162, 28, 175))  # with shortcuts slate, the other one magenta
NAMES = {
    "residual": later("with shortcuts"),
    "plain": later("without"),
    "rezero": later("ReZero"),
    "stochastic_depth": later("stochastic depth"),
}


def drawn(states: Sequence[RaceState], width: int, steps: int) -> list[str]:
    """The losses so far as ROWS lines of text, time to the right."""
    names = list(states[0].networks)
    finite = [n.loss for s in states for n in s.networks.values() if n.loss < float("inf")]
    top = max([2.5, *finite[:4]])
    columns = max(10, width - 8)
    grid = [[" "] * columns for _ in range(ROWS)]
    for state in states:
        x = min(columns - 1, (state.step - 1) * columns // steps)
        for mark, name in zip(MARKS, names, strict=False):
            loss = state.networks[name].loss
            if loss == loss:  # no number is not drawn
                y = round((1 - min(loss, top) / top) * (ROWS - 1))
                grid[y][x] = mark
    lines = []
    for row, line in enumerate(grid):
        level = f"{top * (1 - row / (ROWS - 1)):5.2f}" if row % 3 == 0 or row == ROWS - 1 else "     "
        lines.append(f"{level} |{''.join(line)}")
    return lines


def status(state: RaceState) -> str:
    """The last step in words."""
    parts = [f"step {state.step:3}"]
    for mark, (name, network) in zip(MARKS, state.networks.items(), strict=False):
        parts.append(f"{mark} {name}: loss {network.loss:.2f}, wrong {network.error:4.0%}")
    return "  ".join(parts)


class Terminal:
    """Draws in place on a terminal; elsewhere prints a line every tenth step."""

    def __init__(self, settings: RaceSettings) -> None:
        self.settings = settings
        self.states: list[RaceState] = []
        self.height = 0

    def take(self, state: RaceState) -> None:
        self.states.append(state)
        if not sys.stdout.isatty():
            if state.step == 1 or state.step % 10 == 0 or state.step == self.settings.steps:
                print(status(state), flush=True)
            return
        width = min(100, shutil.get_terminal_size().columns)
        lines = [*drawn(self.states, width, self.settings.steps), status(state)[: width - 1]]
        if self.height:
            print(f"\x1b[{self.height}A", end="")
        print("\n".join(f"{line}\x1b[K" for line in lines), flush=True)
        self.height = len(lines)


def write_csv(states: Sequence[RaceState], path: Path) -> None:
    """One line a step and network."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["step", "network", "loss", "error", "held_out_error", "gradient_first", "gradient_last"]
        )
        for state in states:
            for name, n in state.networks.items():
                held_out = "" if n.held_out_error is None else repr(n.held_out_error)
                ends = [repr(n.gradient[0]), repr(n.gradient[-1])]
                writer.writerow([state.step, name, repr(n.loss), repr(n.error), held_out, *ends])


def write_png(states: Sequence[RaceState], record: RaceRecord, path: Path) -> None:
    """The losses as a picture of 1280x720: the batches' loss of every step."""
    from PIL import Image, ImageDraw, ImageFont

    width, height, left, top, right, bottom = 1280, 720, 90, 70, 330, 70
    image = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(24)
    finite = [n.loss for s in states for n in s.networks.values() if n.loss < float("inf")]
    high = max([2.5, *finite[:4]])
    steps = max(2, record.settings.steps)

    def place(step: float, loss: float) -> tuple[float, float]:
        x = left + (step - 1) / (steps - 1) * (width - left - right)
        return x, top + (1 - min(loss, high) / high) * (height - top - bottom)

    for level in range(int(high) + 1):
        pen.line([place(1, level), place(steps, level)], fill=(226, 232, 240))
        pen.text((left - 14, place(1, level)[1]), str(level), fill="black", font=font, anchor="rm")
    for i, (name, result) in enumerate(record.results.items()):
        points = [
            place(s.step, s.networks[name].loss) for s in states if s.networks[name].loss < float("inf")
        ]
        if len(points) > 1:
            pen.line(points, fill=COLOURS[i], width=4, joint="curve")
        label = f"{NAMES[name]}\n{result.test_accuracy:.1%} right"
        pen.multiline_text((width - right + 20, top + 90 * i), label, fill=COLOURS[i], font=font)
    s = record.settings
    title = f"Training loss, {s.blocks} blocks, {s.data}, seed {s.seed}"
    pen.text((left, 20), title, fill="black", font=font)
    pen.text(((left + width - right) / 2, height - 30), "step", fill="black", font=font, anchor="mm")
    image.save(path)


def one_thread() -> None:
    """Torch computes with one thread for each network, in the same order every time."""
    os.environ.update({"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})
    import torch

    torch.set_num_threads(1)


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="python -m resnet_demo race", description=__doc__)
    default = RaceSettings()
    found.add_argument("--blocks", type=int, default=default.blocks, help="2..50 (default %(default)s)")
    found.add_argument("--steps", type=int, default=default.steps, help="1..400 (default %(default)s)")
    found.add_argument("--seed", type=int, default=default.seed, help="of weights and batches")
    found.add_argument("--data", choices=DATA, default=default.data)
    found.add_argument(
        "--networks", nargs="+", choices=NETWORKS, default=list(default.networks), help="one or two"
    )
    found.add_argument(
        "--rate", type=float, default=LEARNING_RATE, help="learning rate (default %(default)s)"
    )
    found.add_argument("--no-norms", action="store_true", help="leave batch norm out")
    found.add_argument("--out", type=Path, help="folder for curves.png and curves.csv")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    options = parser()
    args = options.parse_args(argv)
    try:
        settings = RaceSettings(
            args.blocks, args.steps, args.seed, args.data, not args.no_norms, tuple(args.networks), args.rate
        )
    except ValueError as error:
        options.error(str(error))
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
    one_thread()
    from resnet_demo.race.tasks import run

    terminal = Terminal(settings)
    race = run(settings, terminal.take)
    record = race.record
    assert record is not None
    if args.out is not None:
        write_csv(terminal.states, args.out / "curves.csv")
        write_png(terminal.states, record, args.out / "curves.png")
        print(f"Wrote curves.png and curves.csv to {args.out}.")
    print(json.dumps(record.to_json()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
