"""Receptive fields, exact: which input pixels one place of a stream can depend on.

Computed from kernel, stride, padding and dilation of the layers on the longest way to it
(Araujo et al. 2019, https://doi.org/10.23915/distill.00021). A block's residual branch sees at
least what its shortcut sees, so the sum sees what the branch sees.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from resnet_demo.networks.block_tracer import TracedSum
from resnet_demo.networks.residual_blocks import residual_blocks, sum_points
from resnet_demo.records import ReceptiveField

IN_ORDER = ("shortcut", "residual", "pre_activation", "output")  # as the API lists a block's streams
BETWEEN = "between blocks"
PIXEL = ReceptiveField(jump=1, low=0, high=0)
EVERYTHING = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)  # inside a block: squeeze-and-excitation


def after(field: ReceptiveField, layer: nn.Module) -> ReceptiveField:
    """The field behind ``layer``, given the field of its input.

    Raises:
        ValueError: the layer treats height and width differently.
    """
    kernel, stride, padding, dilation = (
        _one(getattr(layer, name, usual))
        for name, usual in (("kernel_size", 1), ("stride", 1), ("padding", 0), ("dilation", 1))
    )
    return ReceptiveField(
        jump=field.jump * stride,
        low=field.low - padding * field.jump,
        high=field.high + ((kernel - 1) * dilation - padding) * field.jump,
    )


def _one(value: Any) -> int:
    pair = value if isinstance(value, tuple) else (value, value)
    if len(set(pair)) != 1 or not isinstance(pair[0], int):
        raise ValueError(f"receptive fields need the same numbers down and across, got {value}")
    return int(pair[0])


def is_window(layer: nn.Module) -> bool:
    """Whether ``layer`` looks at a window of each picture: a convolution, a pool, or what says so of
    itself."""
    return hasattr(layer, "kernel_size") and hasattr(layer, "stride")


def receptive_fields(model: nn.Module, x: Tensor) -> dict[tuple[str, str], ReceptiveField]:
    """(block name, stream) -> receptive field, for "residual", "shortcut", "pre_activation", "output".

    Runs ``model`` once on ``x`` (B, C, H, W) to learn the order of its layers. Streams that see the whole
    picture, as all do behind a squeeze-and-excitation (Hu et al. 2018, https://arxiv.org/abs/1709.01507), are
    left out.

    Raises:
        ValueError: a layer treats height and width differently.
    """
    blocks = residual_blocks(model)
    around = {name: _shortcut_modules(block) for name, block in blocks.items()}
    field: ReceptiveField | None = PIXEL
    fields: dict[tuple[str, str], ReceptiveField] = {}
    for name, layers in _layers_in_order(model, blocks, {m for ms in around.values() for m in ms}, x):
        beside = field
        for module in around.get(name, ()):
            beside = _after(beside, module)
        for layer in layers:
            field = _after(field, layer)
        for stream in IN_ORDER if name in blocks else ():
            found = beside if stream == "shortcut" else field
            if found is not None:
                fields[name, stream] = found
    return fields


def _after(field: ReceptiveField | None, layer: nn.Module) -> ReceptiveField | None:
    """As ``after``; None stands for the whole picture, and other layers change nothing."""
    if field is None or isinstance(layer, EVERYTHING):
        return None
    return after(field, layer) if is_window(layer) else field


def _shortcut_modules(block: nn.Module) -> list[nn.Module]:
    """Every module on the way around the branch of ``block``, in order; none for the identity."""
    points = sum_points(block)
    if isinstance(points, TracedSum):
        return [module for part in points.around for module in part.modules()]
    return list(points.shortcut.modules()) if points.shortcut is not None else []


def _layers_in_order(
    model: nn.Module, blocks: Mapping[str, nn.Module], around: Collection[nn.Module], x: Tensor
) -> list[tuple[str, list[nn.Module]]]:
    """(block name, the layers of its branch) as they ran; BETWEEN for those before, between and after
    blocks."""
    layers: list[tuple[str, list[nn.Module]]] = [(BETWEEN, [])]

    def go_to(name: str) -> Callable[..., None]:
        return lambda *_: layers.append((name, []))

    def see(module: nn.Module, _args: tuple[Tensor, ...]) -> None:
        layers[-1][1].append(module)

    was_training = {module: module.training for module in model.modules()}
    handles = []
    try:
        for name, block in blocks.items():
            handles.append(block.register_forward_pre_hook(go_to(name)))
            handles.append(block.register_forward_hook(go_to(BETWEEN)))
        for module in model.modules():
            if module not in around and (is_window(module) or isinstance(module, EVERYTHING)):
                handles.append(module.register_forward_pre_hook(see))
        model.eval()
        with torch.inference_mode():
            model(x)
    finally:
        for handle in handles:
            handle.remove()
        for module, training in was_training.items():
            module.training = training
    return layers
