"""Pixels to the tensor that a network takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from resnet_demo.records import Preprocessing

if TYPE_CHECKING:
    import torch


def to_tensor(pixels: NDArray[np.uint8], preprocessing: Preprocessing) -> torch.Tensor:
    """Normalise pixels for the network: ``(pixels / 255 - mean) / std`` per channel.

    Args:
        pixels: (H, W, 3) or (B, H, W, 3) uint8 RGB.
        preprocessing: the network's card; with one mean, the first channel alone is taken.

    Returns:
        (B, 3 or 1, H, W) float32 on the CPU, in channels_last memory order (that of the pixels).

    Raises:
        ValueError: for another shape or dtype.
    """
    if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4) or pixels.shape[-1] != 3:
        raise ValueError(
            f"pixels are {pixels.dtype} {pixels.shape}; (H, W, 3) or (B, H, W, 3) uint8 is needed"
        )
    import torch  # here, not above: photos are opened before torch is needed

    channels = len(preprocessing.mean)
    batch = pixels.reshape(-1, *pixels.shape[-3:])[..., :channels]  # (B, H, W, channels)
    batch = np.require(batch, requirements=["C", "W"])  # torch refuses negative strides and read-only arrays
    count, height, width, _ = batch.shape
    mean = (255 * torch.tensor(preprocessing.mean)).repeat(width)  # as long as a row of pixels, so that
    std = (255 * torch.tensor(preprocessing.std)).repeat(width)  # the subtraction runs along memory
    rows = (
        torch.from_numpy(batch).view(count * height, width * channels).to(torch.float32).sub_(mean).div_(std)
    )
    return rows.view(count, height, width, channels).permute(0, 3, 1, 2)
