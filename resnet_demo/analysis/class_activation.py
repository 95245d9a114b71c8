"""Class activation: a logit split exactly over the places and channels of the last feature maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resnet_demo.records import ClassActivation


def class_activation(
    output: NDArray[np.floating], weight: NDArray[np.float32], bias: float
) -> ClassActivation:
    """Split a logit exactly over places and channels.

    With a global average pool and a linear layer, logit = bias + mean over places of
    sum over channels of weight * output, so each place and each channel has a share
    (Zhou et al. 2016, https://arxiv.org/abs/1512.04150).

    Args:
        output: (C, h, w) the last block's output.
        weight: (C,) the linear layer's row for the class.
        bias: its bias.
    """
    maps = output.astype(np.float32)
    if maps.ndim != 3 or weight.shape != maps.shape[:1]:
        raise ValueError(
            f"output (C, h, w) and weight (C,) are needed, got {output.shape} and {weight.shape}"
        )
    area = maps.shape[1] * maps.shape[2]
    places = np.tensordot(weight, maps, 1) / area
    channels = weight * maps.mean(axis=(1, 2))
    return ClassActivation(places, channels, bias, float(places.sum() + bias))
