"""Teach a network classes of your own from a folder: ``python -m resnet_demo teach FOLDER``.

FOLDER holds a folder of pictures for every class. The network is frozen; a linear read-out is fitted after
every block and judged by leave-one-out, as on the page's "Teach it". The best can be saved as a checkpoint.
The last line printed is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from resnet_demo.analysis.ridge_readout import (
    RidgeReadOut,
    best_of,
    fit_read_outs,
    interval,
    not_told_apart,
)
from resnet_demo.inference.engine import Engine
from resnet_demo.inference.interface import MAX_BATCH, EngineError, as_pixels
from resnet_demo.inputs.errors import InputError
from resnet_demo.networks.cards import CheckpointError, available_networks
from resnet_demo.networks.checkpoints import Card, save_checkpoint
from resnet_demo.networks.taught import taught
from resnet_demo.training.data import DataError


def folders_of(folder: Path, pictures: int) -> dict[str, list[Path]]:
    """Class -> its first ``pictures`` files by name, of every folder in ``folder``.

    Raises:
        DataError: there are fewer than two classes.
    """
    found = {
        inside.name: sorted(path for path in inside.iterdir() if path.is_file())[:pictures]
        for inside in sorted(folder.iterdir() if folder.is_dir() else [])
        if inside.is_dir()
    }
    if len(found) < 2:
        raise DataError(f"{folder.name} needs a folder of pictures for each of two classes or more.")
    return found


def channel_means(
    engine: Engine, network: str, files: Sequence[Path]
) -> tuple[dict[str, NDArray[np.float32]], list[int]]:
    """Block name -> channel means of its output (N, C), and which of ``files`` could be read; the others are
    named on stderr."""
    info = engine.info(network)
    means: dict[str, list[NDArray[np.float32]]] = {}
    read: list[int] = []
    for start in tqdm(range(0, len(files), MAX_BATCH), desc="pictures", disable=None):
        inputs = []
        for i in range(start, min(start + MAX_BATCH, len(files))):
            try:
                inputs.append(as_pixels(files[i], info))
                read.append(i)
            except InputError as error:
                print(f"{files[i].name}: {error}", file=sys.stderr)
        for run in engine.run(inputs, network, keep=()):
            for block in run.blocks:
                means.setdefault(block.name, []).append(block.activity)
    return {name: np.stack(rows) for name, rows in means.items()}, read


def save(
    engine: Engine, network: str, names: Sequence[str], labels: NDArray[np.int64], best: int,
    read_out: RidgeReadOut, out: Path,
) -> Path:  # fmt: skip
    """Write the taught network and its card into the folder ``out``."""
    base = engine.read(network)
    model = taught(base.model, best + 1, *read_out.logits())
    card = Card(
        out.name or "taught",
        model.config,
        base.card.preprocessing,
        tuple(names),
        accuracy=read_out.right(labels) / len(labels),
        n=len(labels),
        interval=interval(read_out, labels),
        knows=f"This network was taught {', '.join(names)} by {len(labels)} pictures.",
        details={"taught_on": network, "read_out_after": read_out.block, "accuracy_is": "leave-one-out"},
    )
    return save_checkpoint(model, card, out)


def report(
    read_outs: Sequence[RidgeReadOut], labels: NDArray[np.int64], best: int, names: Sequence[str]
) -> None:
    """Print a line a block, and what cannot be told apart."""
    for i, read_out in enumerate(read_outs):
        low, high = interval(read_out, labels)
        share = read_out.right(labels) / len(labels)
        print(
            f"{'*' if i == best else ' '} {read_out.block}: {100 * share:.1f} % "
            f"({100 * low:.1f} to {100 * high:.1f}), n = {len(labels)}, {read_out.weight.shape[1]} channels"
        )
    unsure = not_told_apart(read_outs[best].confusion(labels))
    if unsure:
        print(f"{names[unsure[0]]} is found no more surely than by guessing; taken for {names[unsure[1]]}.")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m resnet_demo teach", description=__doc__)
    parser.add_argument("folder", type=Path, help="holds a folder of pictures for every class")
    parser.add_argument("--network", help="a name on the menu, or a checkpoint file")
    parser.add_argument("--pictures", type=int, default=200, help="of a class at most (default %(default)s)")
    parser.add_argument("--out", type=Path, help="folder for the checkpoint of the best, and its card")
    args = parser.parse_args(argv)
    try:
        classes = folders_of(args.folder, args.pictures)
        networks = dict(available_networks())
        if args.network and args.network not in networks:
            networks = {Path(args.network).stem: Path(args.network)}
        engine = Engine(networks)
        network = args.network if args.network in networks else engine.default
        files = [path for paths in classes.values() for path in paths]
        numbers = [label for label, paths in enumerate(classes.values()) for _ in paths]
        features, read = channel_means(engine, network, files)
        labels = np.array(numbers, np.int64)[read]
        read_outs = fit_read_outs(features, labels, len(classes))
        best = best_of(read_outs, labels)
        path = (
            save(engine, network, list(classes), labels, best, read_outs[best], args.out)
            if args.out
            else None
        )
    except (DataError, EngineError, CheckpointError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    report(read_outs, labels, best, list(classes))
    told = {
        "network": network,
        "n": len(labels),
        "best": read_outs[best].block,
        "accuracy": {read_out.block: read_out.right(labels) / len(labels) for read_out in read_outs},
        "file": str(path) if path else None,
    }
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
