"""Experiments on a network and one photo: each a function that returns a record.

None changes the network; hold the model's lock around those that run it.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet_demo.capture import capture_blocks
from resnet_demo.model import ResNet
from resnet_demo.records import ClassActivation, Lesions

MAX_PATH_BLOCKS = 8  # 2**8 networks at once; beyond that the question is not for a page


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


def lesions(model: ResNet, x: Tensor, temperature: float = 1.0) -> Lesions:
    """The answers of all 2**N networks that keep some of the N residual branches, and of the
    N that lack one shortcut.

    Networks that agree up to a block share the work up to there: block k runs on 2**k
    inputs and not on 2**N, which for five blocks is about six forward passes and not 37.

    Args:
        model: a network with one logit, in eval mode.
        x: (1, C, H, W) one normalised photo on the model's device.
        temperature: of the card, passed on.

    Raises:
        ValueError: more than one photo or logit, or too many blocks.
    """
    count = len(model.blocks)
    if len(x) != 1 or model.config.num_logits != 1 or count > MAX_PATH_BLOCKS:
        raise ValueError(
            f"one photo, one logit and at most {MAX_PATH_BLOCKS} blocks are needed; "
            f"got {len(x)}, {model.config.num_logits} and {count}"
        )
    with capture_blocks(model) as streams:
        states = x  # row s: the networks whose kept branches so far are the bits of s
        cut = x[:0]  # row k: the network without the shortcut of block k
        for k, block in enumerate(model.blocks):
            after = block(torch.cat([states, cut]))  # (2**k + k, C', H', W')
            stream = streams[f"blocks.{k}"]
            whole = len(states)
            without_branch = torch.relu(stream.shortcut[:whole].expand_as(after[:whole]))
            without_shortcut = torch.relu(stream.residual[whole - 1 : whole])
            cut = torch.cat([after[whole:], without_shortcut])
            states = torch.cat([without_branch, after[:whole]])  # bit k is the highest so far
        logits = (
            model.linear(model.flatten(model.avgpool(torch.cat([states, cut]))))[:, 0].float().cpu().numpy()
        )
    return Lesions(logits[: 2**count], logits[2**count :], temperature)
