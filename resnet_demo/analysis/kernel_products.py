"""One value of F(x) or of the shortcut as what it is made of: a kernel times a patch, added up.

The last convolution on either side of a block's sum makes ``Σ kernel · patch + bias`` at every place of
a channel.
What follows it, batch norm and a max-pool, makes ``scale · that + shift`` of one such value: of which
one, and with
which scale, the gradient of the value says exactly, since a max-pool hands on one value and batch norm
is affine in eval mode.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from resnet_demo.explanations import KernelProduct
from resnet_demo.networks.residual_blocks import SumPoints, residual_blocks, sum_points


@dataclass
class Seen:
    """A convolution as it ran: what it was given (1, C, H, W), and what it made of it."""

    layer: nn.Conv2d
    name: str
    given: Tensor
    made: Tensor


def kernel_products(
    model: nn.Module, x: Tensor, block: int, channel: int, row: int, column: int
) -> tuple[KernelProduct | None, KernelProduct | None]:
    """The products behind one place of F(x) and of the shortcut.

    Args:
        model: in eval mode; left as it was.
        x: (1, C, H, W), what the model is given.
        block: index of the residual block.
        channel, row, column: of the place in the block's streams.

    Returns:
        Of F(x) and of the shortcut; None where a side ends in no convolution, as an identity does, or
        where what follows the convolution mixes several of its values.

    Raises:
        ValueError: there is no such block or place, or nobody knows where the block's F(x) is.
    """
    blocks = list(residual_blocks(model).values())
    if not 0 <= block < len(blocks):
        raise ValueError(f"the network has blocks 0 to {len(blocks) - 1}, not {block}")
    chosen = blocks[block]
    points = sum_points(chosen)
    if not isinstance(points, SumPoints):
        raise ValueError("nobody has said which layer of this block ends in F(x)")
    seen: list[Seen] = []
    ends: dict[str, Tensor] = {}
    names = {module: name for name, module in chosen.named_modules()}

    def convolved(layer: Any, given: Any, made: Tensor) -> None:
        seen.append(Seen(layer, names[layer], given[0].detach(), made))

    hooks = [m.register_forward_hook(convolved) for m in chosen.modules() if isinstance(m, nn.Conv2d)]
    for side, module in (("residual", points.residual), ("shortcut", points.shortcut)):
        if module is not None:

            def ended(_: Any, __: Any, made: Tensor, side: str = side) -> Tensor:
                ends[side] = made
                return made.clone()  # torchvision's blocks add in place

            hooks.append(module.register_forward_hook(ended))
    try:
        with torch.enable_grad():
            model(x.detach().clone().requires_grad_())
    finally:
        for hook in hooks:
            hook.remove()
    around = set(points.shortcut.modules()) if points.shortcut is not None else set()
    place = channel, row, column
    return (
        _product(ends.get("residual"), [s for s in seen if s.layer not in around], place),
        _product(ends.get("shortcut"), [s for s in seen if s.layer in around], place),
    )


def _product(end: Tensor | None, seen: list[Seen], place: tuple[int, int, int]) -> KernelProduct | None:
    if end is None or not seen:
        return None
    if any(not 0 <= i < n for i, n in zip(place, end.shape[1:], strict=True)):
        raise ValueError(f"the block's streams are {tuple(end.shape[1:])}, and have no place {place}")
    last, value = seen[-1], end[(0, *place)]
    if last.made is end:
        scale, at = 1.0, place
    else:
        (slope,) = torch.autograd.grad(value, last.made, retain_graph=True, allow_unused=True)
        touched = slope[0].nonzero() if slope is not None else torch.empty(0, 3)
        if len(touched) != 1:
            return None
        channel, row, column = (int(i) for i in touched[0])
        scale, at = float(slope[0, channel, row, column]), (channel, row, column)
    kernel = last.layer.weight[at[0]].detach()
    patch = patch_of(last.layer, last.given, at)
    bias = float(last.layer.bias[at[0]]) if last.layer.bias is not None else 0.0
    convolved = float((kernel * patch).sum()) + bias
    return KernelProduct(
        last.name,
        kernel.numpy(),
        patch.numpy(),
        bias,
        scale,
        float(value.detach()) - scale * convolved,
        float(value.detach()),
        at[1:],
    )


def patch_of(layer: nn.Conv2d, given: Tensor, at: tuple[int, int, int]) -> Tensor:
    """What the kernel of ``at`` = (channel, row, column) lies on: (C / groups, kh, kw), with the
    padding's zeros."""
    channel, row, column = at
    (kh, kw), (sh, sw), (dh, dw) = layer.kernel_size, layer.stride, layer.dilation
    if isinstance(layer.padding, str):
        raise ValueError("padding by name is not known here")
    ph, pw = layer.padding
    padded = functional.pad(given[0], (pw, pw, ph, ph))
    inputs = layer.in_channels // layer.groups
    first = (channel // (layer.out_channels // layer.groups)) * inputs
    top, left = row * sh, column * sw
    return padded[first : first + inputs, top : top + dh * kh : dh, left : left + dw * kw : dw]
