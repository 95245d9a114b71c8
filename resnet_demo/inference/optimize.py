"""The same sums in less time, for networks in eval mode that will not be trained again.

Batch norms are folded into the convolutions before them, for fewer passes over memory. In eval mode a batch
norm scales and shifts each channel by constants, which the convolution's weights and bias can do as well
(Jacob et al. 2018, https://arxiv.org/abs/1712.05877, section 3.2). Where the norm stood an identity stays, so
that hooks find F(x) where they found it before.

On the CPU, weights are kept in the order in which its library, oneDNN, computes: PyTorch reorders a
convolution's weights at every call. ``torch.compile`` does it once when it freezes a model, by the two
operators used here, but needs a C++ compiler on the machine.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

log = logging.getLogger(__name__)


def fold_norms(model: nn.Module) -> None:
    """Fold every batch norm of ``model``, which is in eval mode and will not be trained again, in place.

    Pairs are ``convN`` with ``bnN`` of one module, and a convolution with the norm right after it in an
    ``nn.Sequential``: all of the notebook's and torchvision's ResNets. Answers change by rounding alone.
    """
    for parent, conv, norm in list(_pairs(model)):
        convolution, batch_norm = getattr(parent, conv), getattr(parent, norm)
        setattr(parent, conv, fuse_conv_bn_eval(convolution, batch_norm))
        setattr(parent, norm, nn.Identity().eval())


def _pairs(model: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    """(module, name of its convolution, name of the batch norm that takes its output)."""
    for parent in model.modules():
        children = dict(parent.named_children())
        for name, child in children.items():
            follower = (
                str(int(name) + 1)
                if isinstance(parent, nn.Sequential) and name.isdecimal()
                else (name.replace("conv", "bn"))
            )
            if isinstance(child, nn.Conv2d) and isinstance(children.get(follower), nn.BatchNorm2d):
                yield parent, name, follower


class _Packed:
    """Weights in oneDNN's order, which nobody can copy: a copy of the model goes without them."""

    def __init__(self, weight: Tensor | None = None, dtype: torch.dtype | None = None) -> None:
        self.weight, self.dtype = weight, dtype

    def __deepcopy__(self, _memo: object) -> _Packed:
        return _Packed()

    def __reduce__(self) -> tuple[type[_Packed], tuple[()]]:
        return _Packed, ()


class PackedConv2d(nn.Conv2d):
    """A convolution with its weights in both orders: its own for a GPU and for copies, oneDNN's for the CPU.

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
            ),
            plain.weight.dtype,
        )

    def forward(self, input: Tensor) -> Tensor:
        weight = self.packed.weight
        if weight is None or input.device.type != "cpu" or input.dtype != self.packed.dtype:
            return super().forward(input)
        out: Tensor = torch.ops.mkldnn._convolution_pointwise(
            input, weight, self.bias, self.padding, self.stride, self.dilation, self.groups, "none", [], ""
        )
        return out


def pack_weights(
    model: nn.Module, size: tuple[int, int, int, int], dtype: torch.dtype = torch.float32
) -> None:
    """Pack every convolution of ``model`` in place, if this PyTorch can; else leave it as it is.

    Args:
        model: in eval mode, on the CPU, not to be trained or changed any more.
        size: (B, C, H, W) of the input that the model will mostly see.
        dtype: of that input.
    """
    if not torch.backends.mkldnn.is_available():
        return
    example = torch.linspace(-2, 2, math.prod(size)).view(size).to(dtype)
    sizes, expected = _input_sizes(model, example)
    try:
        packed = {module: PackedConv2d(module, size) for module, size in sizes.items()}
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
            near = 1e-4 if dtype == torch.float32 else 16 * torch.finfo(dtype).eps
            agrees = torch.allclose(model(example), expected, rtol=near, atol=near)
    except RuntimeError:
        agrees = False
    if not agrees:
        log.info("weights are not packed: this PyTorch computes differently with them")
        for parent, name, child in places:
            setattr(parent, name, child)


def _input_sizes(model: nn.Module, example: Tensor) -> tuple[dict[nn.Conv2d, tuple[int, ...]], Tensor]:
    """The size of the input of every convolution that can be packed when ``model`` is given ``example``, and
    the model's answer."""
    sizes: dict[nn.Conv2d, tuple[int, ...]] = {}

    def note(module: nn.Conv2d, args: tuple[Tensor, ...]) -> None:
        sizes[module] = tuple(args[0].shape)

    handles = [
        module.register_forward_pre_hook(note)
        for module in model.modules()
        if (type(module) is nn.Conv2d or (isinstance(module, PackedConv2d) and module.packed.weight is None))
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
    ]
    try:
        with torch.inference_mode():
            return sizes, model(example)
    finally:
        for handle in handles:
            handle.remove()
