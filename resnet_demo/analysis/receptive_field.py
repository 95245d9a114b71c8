"""Receptive fields, exact: which input pixels one place of a stream can depend on.

Computed from kernel, stride, padding and dilation of the layers on the longest way to it
(Araujo et al. 2019, https://doi.org/10.23915/distill.00021). A block's residual branch sees at
least what its shortcut sees, so the sum sees what the branch sees.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from resnet_demo.networks.residual_blocks import residual_blocks
from resnet_demo.records import ReceptiveField

PIXEL = ReceptiveField(jump=1, low=0, high=0)
Window = nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d


def after(field: ReceptiveField, layer: Window) -> ReceptiveField:
    """The field behind ``layer``, given the field of its input.

    Raises:
        ValueError: the layer treats height and width differently.
    """
    kernel, stride, padding, dilation = (
        _one(getattr(layer, name, 1)) for name in ("kernel_size", "stride", "padding", "dilation")
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


def receptive_fields(model: nn.Module, x: Tensor) -> dict[tuple[str, str], ReceptiveField]:
    """(block name, stream) -> receptive field, for "residual", "shortcut", "pre_activation", "output".

    Runs ``model`` once on ``x`` (B, C, H, W) to learn the order of its layers.

    Raises:
        ValueError: a layer treats height and width differently.
    """
    blocks = residual_blocks(model)
    layers: dict[str, list[Window]] = {"": []}  # block name -> its branch's; "": those before the blocks
    inside, on_shortcut = "", False
    handles = []

    def enter(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: tuple[Tensor, ...]) -> None:
            nonlocal inside
            inside = name
            layers[name] = []

        return hook

    def shortcut(value: bool) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            nonlocal on_shortcut
            on_shortcut = value

        return hook

    def see(module: nn.Module, _args: tuple[Tensor, ...]) -> None:
        if not on_shortcut and isinstance(module, Window):
            layers[inside].append(module)

    was_training = {module: module.training for module in model.modules()}
    try:
        for name, block in blocks.items():
            handles.append(block.register_forward_pre_hook(enter(name)))
            if isinstance(block.downsample, nn.Module):
                handles.append(block.downsample.register_forward_pre_hook(shortcut(True)))
                handles.append(block.downsample.register_forward_hook(shortcut(False)))
        for module in model.modules():
            if isinstance(module, Window):
                handles.append(module.register_forward_pre_hook(see))
        model.eval()
        with torch.inference_mode():
            model(x)
    finally:
        for handle in handles:
            handle.remove()
        for module, training in was_training.items():
            module.training = training

    field = PIXEL
    for layer in layers[""]:
        field = after(field, layer)
    fields: dict[tuple[str, str], ReceptiveField] = {}
    for name, block in blocks.items():
        around = field
        windows = block.downsample.modules() if isinstance(block.downsample, nn.Module) else ()
        for module in windows:
            if isinstance(module, Window):
                around = after(around, module)
        for layer in layers[name]:
            field = after(field, layer)
        fields[name, "shortcut"] = around
        for stream in ("residual", "pre_activation", "output"):
            fields[name, stream] = field
    return fields
