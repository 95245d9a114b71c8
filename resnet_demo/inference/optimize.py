"""Batch norm folded into the convolution before it: the same sums in fewer passes over memory.

In eval mode a batch norm scales and shifts each channel by constants, which the convolution's weights
and bias can do as well (Jacob et al. 2018, https://arxiv.org/abs/1712.05877, section 3.2). Where the
norm stood an identity stays, so that hooks find F(x) where they found it before.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


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
