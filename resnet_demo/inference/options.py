"""Options of the command line that say which network runs and where: the same for the page and for a
folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from resnet_demo.inference.interface import OwnCheckpoint
from resnet_demo.networks.cards import checkpoint_at

DEVICES = ("auto", "cuda", "mps", "cpu")
PRECISIONS = ("auto", "float32", "bfloat16")


def network_options(parser: argparse.ArgumentParser) -> None:
    """Add --device, and what describes a network of one's own."""
    parser.add_argument(
        "--device", default="auto", choices=DEVICES, help="where the network runs (default: auto)"
    )
    precision_option(parser)
    parser.add_argument(
        "--checkpoint",
        type=Path,
        help="a network of your own: ours with its card, or the state dict of a ResNet",
    )
    parser.add_argument(
        "--classes",
        type=Path,
        help="its class names: JSON, CSV or one a line (default: what lies beside it)",
    )
    parser.add_argument(
        "--preprocessing",
        type=Path,
        help="JSON of size, crop_share, mean and std (default: what lies beside it)",
    )
    parser.add_argument("--allow-pth", action="store_true", help="read the tensors of a .pth checkpoint")


def precision_option(parser: argparse.ArgumentParser) -> None:
    """Add --precision."""
    parser.add_argument(
        "--precision",
        default="auto",
        choices=PRECISIONS,
        help="of the convolutions (default: fewer bits where that was measured to be faster here, and the"
        " network's card says what it costs in accuracy)",
    )


def chosen_checkpoint(parser: argparse.ArgumentParser, args: argparse.Namespace) -> OwnCheckpoint | None:
    """The network of one's own that the options name, if any. Ends the program if there is no such file."""
    if args.checkpoint is None:
        return None
    checkpoint = checkpoint_at(args.checkpoint)
    if not checkpoint.is_file():
        parser.error(f"{args.checkpoint} is not a file")
    return OwnCheckpoint(checkpoint, args.classes, args.allow_pth, args.preprocessing)
