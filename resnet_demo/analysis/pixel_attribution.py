"""Which pixels the answer comes from, through all layers: three methods that say what they sum to.

- Gradient x input: the photo's own share; with ReLU and max-pool choices frozen it is the sum of all paths of
  ``analysis.path_ledger``, so it sums to the logit less what all biases contribute.
- Integrated gradients (Sundararajan et al. 2017, https://arxiv.org/abs/1703.01365): the gradient averaged on
  the way from a baseline picture; sums to the logit less the baseline's logit, up to the steps of the
  average.
- Full gradient (Srinivas and Fleuret 2019, https://arxiv.org/abs/1905.00780): gradient x input and every
  bias's share where it acts, so nothing is left over: it sums to the logit itself. Both sides of a residual
  sum get what they carry, which rules that redistribute a value at a sum do not promise.

The check of Adebayo et al. 2018 (https://arxiv.org/abs/1810.03292): the same maps of a network whose weights
were drawn anew must look different, or the map does not speak of what was learned.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

IG_STEPS = 64


def gradient_x_input(model: nn.Module, x: Tensor, index: int) -> Tensor:
    """(H, W): d logit / d x times x, summed over the channels. ``x`` is (1, C, H, W) as the network takes
    it."""
    return (_gradient(model, x, index) * x).sum(1)[0]


def integrated_gradients(
    model: nn.Module,
    x: Tensor,
    index: int,
    baseline: Tensor | None = None,
    steps: int = IG_STEPS,
    batch: int = 8,
    progress: Callable[[float], None] = lambda share: None,
) -> Tensor:
    """(H, W), by the midpoint rule over ``steps`` pictures between ``baseline`` (zeros: the mean colour)
    and ``x``.

    The pictures lie closer together near the baseline, where the network's choices change fastest.
    """
    start = torch.zeros_like(x) if baseline is None else baseline
    total = torch.zeros_like(x)
    edges = (torch.arange(steps + 1, dtype=x.dtype, device=x.device) / steps).square()
    middles = ((torch.arange(steps, dtype=x.dtype, device=x.device) + 0.5) / steps).square()
    widths = edges[1:] - edges[:-1]
    for first in range(0, steps, batch):
        part = slice(first, first + batch)
        between = start + middles[part, None, None, None] * (x - start)  # (B, C, H, W)
        gradients = _gradient(model, between, index) * widths[part, None, None, None]
        total += gradients.sum(0, keepdim=True)
        progress(min(1.0, (first + batch) / steps))
    return ((x - start) * total).sum(1)[0]


def full_gradient(model: nn.Module, x: Tensor, index: int) -> tuple[Tensor, Tensor]:
    """Gradient x input, and the biases' shares as a map; together they sum to the logit.

    Each layer's biases act at the places of its output; their map is resized to the photo's with its sum
    kept. A linear layer's bias has no place: it is spread evenly.

    Returns:
        (H, W) of the photo itself, and (H, W) of all biases.
    """
    side = x.shape[-2:]
    outputs: list[tuple[nn.Module, Tensor, Tensor]] = []

    def hook(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> Tensor:
        outputs.append((module, args[0], out))
        return out.clone()  # what is changed in place later is the copy

    handles = [m.register_forward_hook(hook) for m in model.modules() if _has_bias(m)]
    try:
        with torch.enable_grad():
            here = x.detach().clone().requires_grad_()
            logit = model(here)[0, index]
            wanted = [here, *(out for _, _, out in outputs)]
            gradients = torch.autograd.grad(logit, wanted, allow_unused=True)
    finally:
        for handle in handles:
            handle.remove()
    biases = x.new_zeros(side)
    for (module, _, out), gradient in zip(outputs, gradients[1:], strict=True):
        if gradient is not None:
            biases += _spread(gradient * _bias_of(module, out), side)
    assert gradients[0] is not None
    return (gradients[0] * x).sum(1)[0].detach(), biases.detach()


def randomised(model: nn.Module, seed: int = 0) -> nn.Module:
    """A copy of ``model`` whose weights were drawn anew, layer by layer, with the spread that they had."""
    generator = torch.Generator().manual_seed(seed)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            if parameter.ndim > 1:
                fresh = torch.randn(parameter.shape, generator=generator).to(parameter)
                parameter.copy_(fresh * parameter.std())
    return other


def _gradient(model: nn.Module, x: Tensor, index: int) -> Tensor:
    with torch.enable_grad():
        here = x.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(model(here)[:, index].sum(), here)
    return gradient


def _has_bias(module: nn.Module) -> bool:
    if isinstance(module, nn.BatchNorm2d):
        return True
    return isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None


def _bias_of(module: nn.Module, out: Tensor) -> Tensor:
    """What ``module`` adds to a linear function of its input, shaped to go with its output."""
    if isinstance(module, nn.BatchNorm2d):
        assert module.running_mean is not None and module.running_var is not None
        scale = torch.rsqrt(module.running_var + module.eps)
        scale = scale if module.weight is None else scale * module.weight
        shift = -module.running_mean * scale
        bias = shift if module.bias is None else shift + module.bias
    else:
        assert isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None
        bias = module.bias
    return bias[:, None, None] if out.ndim == 4 else bias


def _spread(shares: Tensor, side: torch.Size) -> Tensor:
    """Shares (1, C, h, w) or (1, K) over a map of ``side``, their sum kept."""
    if shares.ndim == 2:
        return shares.sum().expand(side) / side.numel()
    map_ = shares.sum(1, keepdim=True)  # (1, 1, h, w)
    wide = F.interpolate(map_, size=side, mode="bilinear", align_corners=False)[0, 0]
    total = wide.sum()
    wanted = map_.sum()
    return wide + (wanted - total) / side.numel()
