"""Print the shapes that travel through the network: ``python -m resnet_demo trace``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch

from resnet_demo.analysis.layer_summary import trace_layers
from resnet_demo.networks.resnet import ResNet


def trace_lines(channels: int, height: int, width: int, batch: int = 1) -> list[str]:
    """The notebook's five lines for an input of (batch, channels, height, width), randomly filled."""
    model = ResNet(channels)
    trace = trace_layers(model, torch.zeros(batch, channels, height, width), dict(model.named_children()))
    return [f"{line.name:<7} - {torch.Size((batch, *line.shape))}" for line in trace]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m resnet_demo trace", description=__doc__)
    parser.add_argument(
        "height", nargs="?", type=int, default=180, help="input height in pixels (default 180)"
    )
    parser.add_argument("width", nargs="?", type=int, help="input width in pixels (default: the height)")
    parser.add_argument("--channels", type=int, default=3, help="input channels (default 3)")
    parser.add_argument("--batch", type=int, default=1, help="photos at once (default 1)")
    args = parser.parse_args(argv)
    width = args.height if args.width is None else args.width
    sizes = (args.batch, args.channels, args.height, width)
    if min(sizes) < 1:
        parser.error(f"every size must be at least 1, got {sizes}")
    print("\n".join(trace_lines(args.channels, args.height, width, args.batch)))


if __name__ == "__main__":
    main()
