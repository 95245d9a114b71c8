"""The shape trace: what every layer hands on, what it costs, and how long it took.

Taken by forward hooks, so the network itself prints and measures nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from resnet_demo.networks.residual_blocks import residual_blocks
from resnet_demo.networks.resnet import count_parameters
from resnet_demo.records import LayerTrace


def stages(model: nn.Module) -> dict[str, nn.Module]:
    """The layers worth a line each: the model's children, with containers of blocks opened up."""
    blocks = residual_blocks(model)
    found: dict[str, nn.Module] = {}
    for name, child in model.named_children():
        inside = {block: module for block, module in blocks.items() if block.startswith(name + ".")}
        found.update(inside or {name: child})
    return found


def trace_layers(
    model: nn.Module, x: Tensor, layers: dict[str, nn.Module] | None = None
) -> tuple[LayerTrace, ...]:
    """Run ``model`` once on ``x`` and describe the output of each layer, the input first.

    Args:
        model: any network; it is put in eval mode for the run and given back as it came.
        x: (B, C, H, W) float on the model's device. Shapes are reported without the batch.
        layers: name -> module to report; ``stages(model)`` when None.

    Returns:
        One LayerTrace a layer in the order they ran; ``milliseconds`` is None.
    """
    layers = stages(model) if layers is None else layers
    batch = x.shape[0]
    shapes: dict[str, tuple[int, ...]] = {}
    flops = dict.fromkeys(layers, 0)
    handles = []

    def shape_hook(name: str) -> Callable[..., None]:
        def hook(_m: nn.Module, _a: tuple[Tensor, ...], out: Tensor) -> None:
            shapes[name] = tuple(out.shape[1:])

        return hook

    def flop_hook(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, _a: tuple[Tensor, ...], out: Tensor) -> None:
            flops[name] += _flops(module, out) // batch

        return hook

    was_training = {module: module.training for module in model.modules()}
    try:
        for name, layer in layers.items():
            handles.append(layer.register_forward_hook(shape_hook(name)))
            for leaf in layer.modules():
                if isinstance(leaf, (nn.Conv2d, nn.Linear)):
                    handles.append(leaf.register_forward_hook(flop_hook(name)))
        model.eval()
        with torch.inference_mode():
            model(x)
    finally:
        for handle in handles:
            handle.remove()
        for module, training in was_training.items():
            module.training = training

    first = LayerTrace("input", "photo", tuple(x.shape[1:]), 0, 0)
    rest = (
        LayerTrace(name, type(layers[name]).__name__, shape, count_parameters(layers[name]), flops[name])
        for name, shape in shapes.items()
    )
    return (first, *rest)


def _flops(module: nn.Module, out: Tensor) -> int:
    """Two per multiply-add; biases, norms, pools and activations are left out, as is usual."""
    if isinstance(module, nn.Conv2d):
        kernel = module.kernel_size[0] * module.kernel_size[1]
        return 2 * out.numel() * kernel * module.in_channels // module.groups
    assert isinstance(module, nn.Linear)
    return 2 * out.numel() * module.in_features


@contextmanager
def time_layers(layers: Mapping[str, nn.Module], device: torch.device) -> Iterator[dict[str, float]]:
    """Inside the ``with``, the milliseconds each layer took in the forward pass are filled in.

    A GPU works ahead of Python, so its queue is drained around each layer there.
    """
    spent: dict[str, float] = {}
    started: dict[str, float] = {}
    handles = []

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        elif device.type == "mps":
            torch.mps.synchronize()

    def before(name: str) -> Callable[..., None]:
        def hook(_m: nn.Module, _a: tuple[Tensor, ...]) -> None:
            wait()
            started[name] = time.perf_counter()

        return hook

    def after(name: str) -> Callable[..., None]:
        def hook(_m: nn.Module, _a: tuple[Tensor, ...], _out: Tensor) -> None:
            wait()
            spent[name] = (time.perf_counter() - started[name]) * 1e3

        return hook

    try:
        for name, layer in layers.items():
            handles.append(layer.register_forward_pre_hook(before(name)))
            handles.append(layer.register_forward_hook(after(name)))
        yield spent
    finally:
        for handle in handles:
            handle.remove()


def with_times(trace: tuple[LayerTrace, ...], spent: Mapping[str, float]) -> tuple[LayerTrace, ...]:
    """The same trace with the milliseconds of one run filled in."""
    return tuple(replace(line, milliseconds=spent.get(line.name)) for line in trace)
