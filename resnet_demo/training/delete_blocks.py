"""Veit's experiment on a network: ``python -m resnet_demo delete_blocks --network resnet-56 --shards …``

Every block is deleted in turn and the mistakes on labelled photos are counted; see
``analysis/block_deletion.py``. The last line printed is JSON; ``--store`` keeps it beside the checkpoint for
the page, and ``--picture FILE.svg`` draws it beside what is stored of the network's twin.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from resnet_demo.analysis.block_deletion import delete_each_block
from resnet_demo.inference.forward import to_tensor
from resnet_demo.networks.checkpoints import CheckpointError, available_networks, load_checkpoint
from resnet_demo.networks.stored_deletions import deletions_path, read_deletions
from resnet_demo.records import Preprocessing
from resnet_demo.training.data import DataError, load_photos
from resnet_demo.training.evaluate import PIXELS, labelled_photos, wilson
from resnet_demo.training.figures import deletion_bars


def deletion_record(
    network: str,
    model: nn.Module,
    pixels: NDArray[np.uint8],
    labels: NDArray[np.int64],
    preprocessing: Preprocessing,
) -> dict[str, Any]:
    """What was found on photos (N, S, S, 3), as JSON: "network", "n", "whole_error" and "errors" by block,
    0..1."""
    model = model.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batch = max(8, PIXELS // (pixels.shape[1] * pixels.shape[2]))
    starts = tqdm(range(0, len(pixels), batch), desc=network, unit="batch", disable=None)
    found = delete_each_block(
        model,
        (
            (to_tensor(pixels[i : i + batch], preprocessing), torch.from_numpy(labels[i : i + batch]))
            for i in starts
        ),
    )
    errors = {name: int(wrong) / found.n for name, wrong in zip(found.blocks, found.deleted, strict=True)}
    return {"network": network, "n": found.n, "whole_error": found.whole / found.n, "errors": errors}


def picture(network: str, record: Mapping[str, Any], networks: Mapping[str, Path]) -> str:
    """SVG of a record, beside that of the twin if one is stored."""
    found = {network: record}
    for other, path in networks.items():
        twin = read_deletions(path)
        if other != network and other.partition("-")[2] == network.partition("-")[2] and twin is not None:
            found[other] = {"whole_error": twin.whole_error, "errors": dict(enumerate(twin.errors))}
    bars = {name: (told["whole_error"], list(told["errors"].values())) for name, told in found.items()}
    return deletion_bars(bars, f"Each block deleted in turn, {record['n']:,} test pictures")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m resnet_demo delete_blocks", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, help="a folder that holds one folder a class")
    source.add_argument(
        "--shards", type=Path, nargs="+", help="tar shards; of cats and dogs, photos with n >= 10,000 count"
    )
    parser.add_argument("--network", help="name on the menu, or path of a checkpoint (default: the first)")
    parser.add_argument("--store", action="store_true", help="beside the checkpoint, for the page")
    parser.add_argument("--picture", type=Path, help="SVG of what is found")
    parser.add_argument("--photos", type=int, help="so many, drawn by a fixed seed (default: all)")
    args = parser.parse_args(argv)
    try:
        networks = available_networks()
        path = networks.get(args.network or next(iter(networks), "")) or Path(args.network or "weights")
        model, card = load_checkpoint(path)
        photos = labelled_photos(args.data, args.shards or (), card.classes)
        if args.photos is not None:
            drawn = np.random.default_rng(0).permutation(len(photos))[: max(1, args.photos)]
            photos = [photos[i] for i in sorted(drawn)]
        pixels, labels = load_photos(photos, card.preprocessing)
    except (CheckpointError, DataError) as error:
        print(error, file=sys.stderr)
        return 1
    record = deletion_record(card.network, model, pixels, labels, card.preprocessing)
    for name, share in {"whole network": record["whole_error"], **record["errors"]}.items():
        low, high = wilson(round(share * record["n"]), record["n"])
        print(f"{name:>14}: {100 * share:6.2f} % wrong ({100 * low:.2f} to {100 * high:.2f})")
    if args.store:
        record["data"] = card.details.get("data", "")
        deletions_path(path).write_text(json.dumps(record) + "\n", encoding="utf-8")
    if args.picture:
        args.picture.write_text(picture(card.network, record, networks), encoding="utf-8")
    print(json.dumps(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
