"""The smallest change of a photo that flips the answer, and how it grows from block to block.

Projected gradient descent in pixels (Madry et al. 2018, https://arxiv.org/abs/1706.06083): every pixel may
change by at most epsilon, and each step moves all of them against the answer. Noise of the same length in a
random direction is carried along for comparison: it is not amplified, which is what tells an attack from
noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from resnet_demo.analysis.capture import capture_blocks
from resnet_demo.explanations import Attack
from resnet_demo.records import Preprocessing

STEPS = 10
MORE_STEPS = 4  # for every further epsilon
STEP = 0.25  # of epsilon


def attack(
    model: nn.Module,
    x: Tensor,
    preprocessing: Preprocessing,
    epsilons: Sequence[float],
    seed: int = 0,
    progress: Callable[[float], None] = lambda share: None,
) -> Attack:
    """Try one epsilon after the other, smallest first, until the answer flips.

    Args:
        model: in eval mode, on contiguous CPU tensors or any device.
        x: (1, C, H, W), the photo as the network takes it.
        preprocessing: its mean and std turn values of ``x`` into pixels of 0..1.
        epsilons: largest changes of a pixel, in units of 1/255, ascending.
        seed: of the noise.
        progress: told the share of the steps that is done, were every epsilon needed.

    Raises:
        ValueError: no epsilon, or more than one photo.
    """
    if len(x) != 1 or not epsilons:
        raise ValueError(f"one photo and at least one epsilon are needed, got {len(x)} and {len(epsilons)}")
    std = x.new_tensor(preprocessing.std)[:, None, None]
    mean = x.new_tensor(preprocessing.mean)[:, None, None]
    low, high = -mean / std, (1 - mean) / std
    with torch.no_grad():
        logits = model(x)[0]
    trials: list[float] = []
    changed = x
    for number, epsilon in enumerate(epsilons):

        def tell(share: float, number: int = number) -> None:
            progress((number + share) / len(epsilons))

        # a larger epsilon goes on from what a smaller one has found, as much stronger as may be
        stronger = epsilon / epsilons[number - 1] if number else 1.0
        start, steps = x + (changed - x) * stronger, MORE_STEPS if number else STEPS
        changed = _descend(model, x, start, steps, epsilon / 255 / std, (low, high), logits, tell)
        with torch.no_grad():
            after = model(changed)[0]
        trials.append(_margin(after, logits))
        if trials[-1] < 0:
            break
    change = changed - x
    noise = _noise_like(change, std, seed)
    with torch.no_grad():
        noisy = model(x + noise)[0]
    return Attack(
        epsilon=float(epsilons[len(trials) - 1]),
        flipped=trials[-1] < 0,
        tried=tuple(zip(map(float, epsilons), trials, strict=False)),
        change=(change[0] * std).cpu().float().numpy(),
        noise=(noise[0] * std).cpu().float().numpy(),
        logits_before=logits.cpu().double().numpy(),
        logits_after=after.cpu().double().numpy(),
        logits_noise=noisy.cpu().double().numpy(),
        drift=block_drift(model, x, changed),
        noise_drift=block_drift(model, x, x + noise),
    )


def _noise_like(change: Tensor, std: Tensor, seed: int) -> Tensor:
    """Gaussian noise, the same in every channel of pixels, of the length of ``change``."""
    noise = torch.randn(change.shape, generator=torch.Generator().manual_seed(seed)).to(change) / std
    return noise * (change.norm() / noise.norm().clamp_min(torch.finfo(change.dtype).tiny))


def _margin(logits: Tensor, before: Tensor) -> float:
    """How far the answer of ``before`` still leads in ``logits``; negative once another answer leads."""
    if len(before) == 1:
        return float(logits[0] * before[0].sign())
    winner = int(before.argmax())
    others = torch.cat((logits[:winner], logits[winner + 1 :]))
    return float(logits[winner] - others.max())


def _descend(
    model: nn.Module,
    x: Tensor,
    start: Tensor,
    steps: int,
    epsilon: Tensor,
    bounds: tuple[Tensor, Tensor],
    before: Tensor,
    progress: Callable[[float], None],
) -> Tensor:
    """``x`` changed by at most ``epsilon`` (C, 1, 1) so that the answer of ``before`` leads by as little as
    can be, in ``steps`` steps from ``start``; within ``bounds``, those of pixels."""
    changed = start.clone()
    for step in range(steps):
        with torch.enable_grad():
            here = changed.detach().requires_grad_()
            logits = model(here)[0]
            if len(before) == 1:
                margin = logits[0] * before[0].sign()
            else:
                winner = int(before.argmax())
                margin = logits[winner] - torch.cat((logits[:winner], logits[winner + 1 :])).max()
            (gradient,) = torch.autograd.grad(margin, here)
        changed = changed - STEP * epsilon * gradient.sign()
        changed = torch.minimum(torch.maximum(changed, x - epsilon), x + epsilon)
        changed = torch.minimum(torch.maximum(changed, bounds[0]), bounds[1])
        progress((step + 1) / steps)
    return changed.detach()


def block_drift(model: nn.Module, x: Tensor, changed: Tensor) -> tuple[float, ...]:
    """How far ``changed`` is from ``x``, as a share of the length of ``x``: at the input, then after every
    block.

    Args:
        x, changed: (1, C, H, W) each.
    """
    with capture_blocks(model) as streams:
        model(torch.cat((x, changed)))
    pairs = [torch.cat((x, changed)), *(block.output for block in streams.values())]
    return tuple(float((pair[1] - pair[0]).norm() / pair[0].norm().clamp_min(1e-30)) for pair in pairs)
