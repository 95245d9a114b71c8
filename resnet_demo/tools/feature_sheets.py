"""Make the pictures that excite every channel of a network: ``python -m resnet_demo feature_visualization``.

What is done is kept in the folder ``--work`` until the sheets are whole, so that it can be stopped and goes
on where it was. The sheets come to lie beside the checkpoint, where the page finds them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from tqdm import tqdm

from resnet_demo.analysis.capture import capture_blocks
from resnet_demo.analysis.feature_visualization import STEPS, begin, climb, pictures_of
from resnet_demo.drawing.feature_sheets import (
    COLUMNS,
    STREAMS,
    TILE,
    FeatureSheets,
    file_of,
    save_index,
    sheets_folder,
)
from resnet_demo.networks.cards import WEIGHTS
from resnet_demo.networks.checkpoints import Card, CheckpointError, available_networks, load_checkpoint
from resnet_demo.serialize import whole_file

BATCH = 16  # channels that climb together
QUALITY = 62  # of WebP; with it the sheets of 992 channels stay below MOST_BYTES
MOST_BYTES = 6_000_000


def widths(model: nn.Module, card: Card) -> dict[str, int]:
    """Block -> channels of its streams."""
    side = card.preprocessing.size
    with capture_blocks(model, keep=lambda t: torch.tensor(t.shape[1])) as streams:
        model(torch.zeros(1, len(card.preprocessing.mean), side, side))
    return {name: int(block.output) for name, block in streams.items()}


def draw(
    model: nn.Module, card: Card, block: str, stream: str, channels: Sequence[int], steps: int
) -> NDArray[np.uint8]:
    """(N, TILE, TILE, 3) pictures, one for each of ``channels``."""
    start = begin(model, block, stream, channels, TILE, len(card.preprocessing.mean))
    ascent = climb(model, start, card.preprocessing, steps)
    found = pictures_of(ascent).permute(0, 2, 3, 1)  # (N, h, w, C)
    pixels: NDArray[np.uint8] = (found.expand(-1, -1, -1, 3) * 255 + 0.5).to(torch.uint8).numpy()
    return pixels


def draw_or_recall(
    work: Path, model: nn.Module, card: Card, block: str, stream: str, first: int, last: int, steps: int
) -> NDArray[np.uint8]:
    """As ``draw`` for channels ``first`` to ``last``, from the folder ``work`` if they are there already."""
    path = work / f"{block}.{stream}.{first}-{last}.{steps}.npy"
    if path.is_file():
        kept: NDArray[np.uint8] = np.load(path, allow_pickle=False)
        return kept
    found = draw(model, card, block, stream, range(first, last), steps)
    with whole_file(path) as file:
        np.save(file, found)
    return found


def as_sheet(pictures: NDArray[np.uint8]) -> Image.Image:
    """Pictures (N, TILE, TILE, 3) row by row, the last row filled up with grey."""
    rows = -(-len(pictures) // COLUMNS)
    full = np.full((rows * COLUMNS, TILE, TILE, 3), 128, np.uint8)
    full[: len(pictures)] = pictures
    laid = full.reshape(rows, COLUMNS, TILE, TILE, 3).swapaxes(1, 2)
    return Image.fromarray(laid.reshape(rows * TILE, COLUMNS * TILE, 3))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m resnet_demo feature_visualization", description=__doc__)
    parser.add_argument("--network", help="a name on the menu, or a checkpoint file (default: the first)")
    parser.add_argument("--steps", type=int, default=STEPS, help="of gradient ascent (default %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of the processor (default %(default)s)")
    parser.add_argument(
        "--bfloat16", action="store_true", help="convolve in bfloat16: faster where the processor has it"
    )
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("runs/feature_visualization"),
        help="what is done so far is kept here",
    )
    args = parser.parse_args(argv)
    if args.steps < 1 or args.threads < 1:
        parser.error("steps and threads must be at least 1")
    torch.set_num_threads(args.threads)
    try:
        networks = available_networks(WEIGHTS)
        name = args.network or next(iter(networks), "")
        checkpoint = networks.get(name) or Path(name)
        model, card = load_checkpoint(checkpoint)
    except CheckpointError as error:
        print(error, file=sys.stderr)
        return 1
    model = model.eval().requires_grad_(False).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    started = time.process_time()
    sheets = FeatureSheets(sheets_folder(checkpoint).name, widths(model, card), args.steps)
    with torch.autocast("cpu", torch.bfloat16, enabled=args.bfloat16):
        total = make_sheets(model, card, sheets, checkpoint, args.work / checkpoint.stem)
    if total > MOST_BYTES:
        print(f"The sheets have {total} bytes; {MOST_BYTES} are shipped at most.", file=sys.stderr)
        return 1
    seconds = round(time.process_time() - started, 1)
    channels = len(STREAMS) * sum(sheets.channels.values())
    print(json.dumps({"folder": sheets.name, "pictures": channels, "bytes": total, "cpu_seconds": seconds}))
    return 0


def make_sheets(model: nn.Module, card: Card, sheets: FeatureSheets, checkpoint: Path, work: Path) -> int:
    """Draw and write them all, and their list; how many bytes they have."""
    total = 0
    parts = [(block, stream) for block in sheets.channels for stream in STREAMS]
    channels = len(STREAMS) * sum(sheets.channels.values())
    with tqdm(total=channels, desc="channels", disable=None) as bar:
        for block, stream in parts:
            pictures = []
            for first in range(0, sheets.channels[block], BATCH):
                last = min(first + BATCH, sheets.channels[block])
                pictures.append(draw_or_recall(work, model, card, block, stream, first, last, sheets.steps))
                bar.update(last - first)
            with whole_file(sheets_folder(checkpoint) / file_of(block, stream)) as file:
                as_sheet(np.concatenate(pictures)).save(file, "WEBP", quality=QUALITY, method=6)
                total += file.tell()
    save_index(sheets, checkpoint)
    return total


if __name__ == "__main__":
    sys.exit(main())
