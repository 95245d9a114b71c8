"""A network as ONNX, with every stream of every block as an output and the gates as an input:
``python -m resnet_demo onnx NETWORK``.

Inputs are ``input`` (batch, channels, height, width) float32, normalised as the network's card says, and
``gates`` (blocks, 2) float32: what residual and shortcut of each block are multiplied by, all ones for the
network as it is. Outputs are ``logits`` and, for each block, ``<block>.residual``, ``.shortcut``,
``.pre_activation`` and ``.output``. Needs the packages onnx and onnxscript.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from resnet_demo.analysis.capture import hook_streams, residual_blocks
from resnet_demo.inference.engine import Engine
from resnet_demo.inference.interface import EngineError
from resnet_demo.modalities import modality_named
from resnet_demo.networks.block_tracer import TracedSum
from resnet_demo.networks.cards import WEIGHTS, CheckpointError
from resnet_demo.networks.residual_blocks import sum_points
from resnet_demo.networks.sources import networks_on_offer
from resnet_demo.records import STREAM_NAMES


class WithStreams(nn.Module):
    """A network that takes gates and gives its streams.

    Input (B, C, H, W) and gates (blocks, 2); output the logits (B, K), and then for each block its four
    streams (B, c, h, w) in the order of STREAM_NAMES.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model.eval()
        self.names = list(residual_blocks(model))

    def forward(self, x: Tensor, gates: Tensor) -> tuple[Tensor, ...]:
        streams: dict[tuple[str, str], Tensor] = {}
        with ExitStack() as stack:
            for i, (name, block) in enumerate(residual_blocks(self.model).items()):
                stack.enter_context(gated_by(block, gates[i, 0], gates[i, 1]))

                def put(stream: str, tensor: Tensor, name: str = name) -> None:
                    streams[name, stream] = tensor.clone()

                stack.enter_context(hook_streams(block, put))
            logits = self.model(x)
        return (logits, *(streams[name, stream] for name in self.names for stream in STREAM_NAMES))


@contextmanager
def gated_by(block: nn.Module, residual: Tensor, shortcut: Tensor) -> Iterator[None]:
    """Inside the ``with``, the two sides of the sum of ``block`` are multiplied by tensors, as ``gated`` does
    by numbers.

    Raises:
        ValueError: the sum of the block was found by tracing it, and has no modules.
    """
    points = sum_points(block)
    if isinstance(points, TracedSum):
        raise ValueError(f"{type(block).__name__} is of no registered kind of block")
    whole: list[Tensor] = []

    def scale_residual(_module: nn.Module, _args: tuple[Tensor, ...], out: Tensor) -> Tensor:
        return out * residual

    def scale_shortcut(_module: nn.Module, _args: tuple[Tensor, ...], out: Tensor) -> Tensor:
        return out * shortcut

    def before_block(_module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        whole[:] = args[:1]
        return (args[0] * shortcut,)

    def before_branch(_module: nn.Module, _args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (whole.pop(),)

    handles = [points.residual.register_forward_hook(scale_residual, prepend=True)]
    if points.shortcut is not None:
        handles.append(points.shortcut.register_forward_hook(scale_shortcut, prepend=True))
    else:  # what the block is given goes around it; its branch is given the unscaled input
        handles.append(block.register_forward_pre_hook(before_block, prepend=True))
        handles.append(points.start.register_forward_pre_hook(before_branch, prepend=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def output_names(model: nn.Module) -> list[str]:
    """The names of the ONNX file's outputs."""
    return ["logits", *(f"{name}.{stream}" for name in residual_blocks(model) for stream in STREAM_NAMES)]


def export(model: nn.Module, example: Tensor, path: Path) -> None:
    """Write ``model`` as ONNX.

    Args:
        model: on the CPU, as its file has it.
        example: (2, C, H, W), an input of the size that the file will take; the batch stays free.

    Raises:
        ModuleNotFoundError: onnx or onnxscript is not installed.
        ValueError: it has blocks of no registered kind.
    """
    import onnxscript  # noqa: F401 - the exporter would say so in a page of words

    wrapped = WithStreams(model)
    gates = torch.ones(len(wrapped.names), 2)
    batch = torch.export.Dim("batch")
    program = torch.export.export(wrapped, (example, gates), dynamic_shapes=({0: batch}, None), strict=False)
    names = output_names(model)
    torch.onnx.export(
        program, (), str(path), input_names=["input", "gates"], output_names=names, external_data=False,
        verbose=False,
    )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m resnet_demo onnx", description=__doc__)
    parser.add_argument("network", nargs="?", help="a name on the menu, or a checkpoint file; else the first")
    parser.add_argument("--out", type=Path, help="file to write; NETWORK.onnx here if none")
    args = parser.parse_args(argv)
    try:
        networks = dict(networks_on_offer(WEIGHTS, None))
        if args.network and args.network not in networks:
            networks = {Path(args.network).stem: Path(args.network)}
        engine = Engine(networks, "cpu")
        name = args.network if args.network in networks else engine.default
        found = engine.read(name)
        taken = found.card.preprocessing
        high, wide = modality_named(taken.modality).usual(taken)
        channels = next(found.model.parameters()).shape[1]
        path = args.out or Path(f"{name}.onnx")
        export(found.model, torch.zeros(2, channels, high, wide), path)
    except (EngineError, CheckpointError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    told = {
        "file": str(path),
        "bytes": path.stat().st_size,
        "input": ["batch", channels, high, wide],
        "gates": [len(residual_blocks(found.model)), 2],
        "outputs": output_names(found.model),
        "classes": list(found.card.classes),
        "mean": list(taken.mean),
        "std": list(taken.std),
    }
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
