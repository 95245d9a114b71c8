"""Does each block move its input the way that the loss asks for? (Jastrzębski et al. 2018,
https://arxiv.org/abs/1710.04773)

With identity shortcuts every block adds F(h) to h. If residual networks refine one estimate step by step,
F(h) points against the gradient of the loss at h: their cosine, of F and -d loss / d h, is positive.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnet_demo.analysis.capture import hook_blocks, residual_blocks


def refinement(model: nn.Module, x: Tensor) -> dict[str, float]:
    """Cosine of F(h) and -d loss / d h of every block whose shortcut is the identity, averaged over the
    photos.

    The loss is the cross-entropy of the network's own answer, so that it is defined for any photo.

    Args:
        model: in eval mode.
        x: (B, C, H, W) as the network takes it.

    Returns:
        block name -> cosine, -1..1; blocks with another shortcut, whose input has another shape than F, are
        left out.
    """
    blocks = residual_blocks(model)
    kept: dict[str, dict[str, Tensor]] = {name: {} for name in blocks}

    def putter(name: str) -> Callable[[str, Tensor], None]:
        def put(stream: str, tensor: Tensor) -> None:
            if stream == "residual":
                kept[name]["residual"] = tensor.detach().clone()

        return put

    inputs: dict[str, Tensor] = {}
    handles = []
    try:
        with hook_blocks(model, blocks, putter), torch.inference_mode(False), torch.enable_grad():
            for name, block in blocks.items():
                handles.append(block.register_forward_pre_hook(_remember(inputs, name)))
            logits = model(x.detach().clone().requires_grad_())
            gradients = torch.autograd.grad(own_loss(logits), list(inputs.values()))
    finally:
        for handle in handles:
            handle.remove()
    found = {}
    for name, gradient in zip(inputs, gradients, strict=True):
        branch = kept[name]["residual"]
        if branch.shape == gradient.shape:
            cosines = F.cosine_similarity(branch.flatten(1), -gradient.flatten(1), dim=1)
            found[name] = float(cosines.mean())
    return found


def own_loss(logits: Tensor) -> Tensor:
    """Cross-entropy of (B, K) logits with the answers that they give themselves, summed; K = 1 is binary."""
    if logits.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits, (logits > 0).to(logits), reduction="sum")
    return F.cross_entropy(logits, logits.argmax(1), reduction="sum")


def _remember(
    inputs: dict[str, Tensor], name: str
) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]:
    def hook(_module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        # the copy that is kept is what both sides of the block read, and is safe from changes in place
        inputs[name] = args[0].clone()
        return (inputs[name], *args[1:])

    return hook
