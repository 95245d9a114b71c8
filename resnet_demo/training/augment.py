"""Random views of training photos, a whole batch at a time, on whatever device the batch is on."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_demo.records import Preprocessing

AREA = (0.45, 1.0)  # share of the photo that a crop covers
STRETCH = (-0.18, 0.13)  # log of a crop's width over the square root of its area; skewed, because
# many training photos were squashed to squares from 4:3 and visitors' photos are not
ROTATION = 0.2  # radians at most
COLOUR = 0.3  # brightness, contrast; saturation a little more
CAST = 0.06  # per channel
ERASED = 0.25  # share of photos that lose a rectangle (Zhong et al. 2017, https://arxiv.org/abs/1708.04896)


def augment(pixels: Tensor, size: int, preprocessing: Preprocessing, generator: torch.Generator) -> Tensor:
    """One random view of each photo.

    Args:
        pixels: (B, 3, H, W) uint8, a little larger than ``size`` so that crops stay sharp.
        size: side of the views.
        preprocessing: mean and std of the normalisation.
        generator: on the CPU; the only source of chance.

    Returns:
        (B, 3, size, size) float32, normalised, on the device of ``pixels``.
    """
    batch, device = len(pixels), pixels.device

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.empty(batch, *shape).uniform_(low, high, generator=generator)

    root, stretch = uniform(*AREA).sqrt(), uniform(*STRETCH).exp()
    wide, high = (root * stretch).clamp(max=1), (root / stretch).clamp(max=1)
    x, y = uniform(-1, 1) * (1 - wide), uniform(-1, 1) * (1 - high)
    mirror = (uniform(0, 1) < 0.5).float() * 2 - 1
    angle = uniform(-ROTATION, ROTATION)
    cos, sin = angle.cos(), angle.sin()
    rows = (
        torch.stack([wide * cos * mirror, -high * sin, x], 1),
        torch.stack([wide * sin * mirror, high * cos, y], 1),
    )
    grid = F.affine_grid(torch.stack(rows, 1).to(device), [batch, 3, size, size], align_corners=False)
    views = F.grid_sample(pixels.float() / 255, grid, padding_mode="reflection", align_corners=False)

    views = views * uniform(1 - COLOUR, 1 + COLOUR, 1, 1, 1).to(device)
    mean = views.mean((1, 2, 3), keepdim=True)
    views = (views - mean) * uniform(1 - COLOUR, 1 + COLOUR, 1, 1, 1).to(device) + mean
    grey = views.mean(1, keepdim=True)
    views = (views - grey) * uniform(0.9 - COLOUR, 1.1 + COLOUR, 1, 1, 1).to(device) + grey
    views = views * uniform(1 - CAST, 1 + CAST, 3, 1, 1).to(device)

    constants = torch.tensor([preprocessing.mean, preprocessing.std], device=device).view(2, 1, 3, 1, 1)
    views = (views.clamp(0, 1) - constants[0]) / constants[1]
    for i in torch.nonzero(uniform(0, 1) < ERASED).flatten().tolist():
        sides = torch.rand(4, generator=generator)
        h, w = (math.floor(size * (0.15 + 0.3 * s)) for s in sides[:2].tolist())
        top, left = math.floor(sides[2].item() * (size - h)), math.floor(sides[3].item() * (size - w))
        views[i, :, top : top + h, left : left + w] = 0  # the mean colour
    return views
