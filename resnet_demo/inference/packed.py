"""Convolutions whose weights are kept in the order in which the CPU's library, oneDNN, computes.

PyTorch reorders a convolution's weights at every call, 19 MB of them in the notebook's network: a fifth of the
time of a pass of one photo. ``torch.compile`` does it once when it freezes a model, by the two operators used
here, but needs a C++ compiler on the machine and half a minute. The sums are the same, rounding apart.
"""

from __future__ import annotations

import logging
import math
from typing import Any

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)


class _Packed:
    """Weights in oneDNN's order, which nobody can copy: a copy of the model goes without them."""

    def __init__(self, weight: Tensor | None = None) -> None:
        self.weight = weight

    def __deepcopy__(self, _memo: object) -> _Packed:
        return _Packed()

    def __reduce__(self) -> tuple[type[_Packed], tuple[()]]:
        return _Packed, ()


class PackedConv2d(nn.Conv2d):
    """A convolution with its weights in both orders: its own for a GPU and for copies, oneDNN's for float32 on the CPU.

    Shapes, arguments and results as of ``nn.Conv2d``, whose parameters it takes over. Not differentiable.

    Args:
        plain: in eval mode; a number as padding, filled with zeros.
        size: (B, C, H, W) of the input that it will mostly see; any other is computed too.
    """

    def __init__(self, plain: nn.Conv2d, size: tuple[int, ...]) -> None:
        like: Any = plain  # what it calls its own is typed more widely than what it takes
        super().__init__(
            like.in_channels,
            like.out_channels,
            like.kernel_size,
            like.stride,
            like.padding,
            like.dilation,
            like.groups,
            like.bias is not None,
            device="meta",  # no memory: the parameters are those of plain
        )
        self.weight, self.bias = plain.weight, plain.bias
        self.train(plain.training)
        self.packed = _Packed(
            torch.ops.mkldnn._reorder_convolution_weight(
                plain.weight.detach(), plain.padding, plain.stride, plain.dilation, plain.groups, list(size)
            )
        )

    def forward(self, input: Tensor) -> Tensor:
        weight = self.packed.weight
        if weight is None or input.device.type != "cpu" or input.dtype != torch.float32:
            return super().forward(input)
        out: Tensor = torch.ops.mkldnn._convolution_pointwise(
            input, weight, self.bias, self.padding, self.stride, self.dilation, self.groups, "none", [], ""
        )
        return out


def pack_weights(model: nn.Module, size: tuple[int, int, int, int]) -> None:
    """Pack every convolution of ``model`` in place, if this PyTorch can; else leave it as it is.

    Args:
        model: in eval mode, on the CPU, not to be trained or changed any more.
        size: (B, C, H, W) of the input that the model will mostly see.
    """
    if not torch.backends.mkldnn.is_available():
        return
    example = torch.linspace(-2, 2, math.prod(size)).view(size)
    sizes: dict[nn.Module, tuple[int, ...]] = {}

    def note(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        sizes[module] = tuple(args[0].shape)

    fit = [
        m
        for m in model.modules()
        if type(m) is nn.Conv2d and m.padding_mode == "zeros" and not isinstance(m.padding, str)
    ]
    handles = [module.register_forward_pre_hook(note) for module in fit]
    try:
        with torch.inference_mode():
            expected = model(example)
    finally:
        for handle in handles:
            handle.remove()
    try:
        packed = {
            module: PackedConv2d(module, size)
            for module, size in sizes.items()
            if isinstance(module, nn.Conv2d)
        }
    except (AttributeError, RuntimeError):  # operators that PyTorch keeps for itself may change
        log.info("weights are not packed: this PyTorch packs them in another way")
        return
    places = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if child in packed
    ]
    for parent, name, child in places:
        setattr(parent, name, packed[child])
    try:
        with torch.inference_mode():
            agrees = torch.allclose(model(example), expected, rtol=1e-4, atol=1e-4)
    except RuntimeError:
        agrees = False
    if not agrees:
        log.info("weights are not packed: this PyTorch computes differently with them")
        for parent, name, child in places:
            setattr(parent, name, child)
