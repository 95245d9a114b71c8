"""Ablation: the answers of networks that lack a residual branch, a shortcut, or any set of branches (Veit et
al. 2016, https://arxiv.org/abs/1605.06431). The network itself is not changed; hold its lock.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnet_demo.analysis.capture import capture_blocks
from resnet_demo.networks.families import split_network
from resnet_demo.networks.residual_blocks import activation_of

MAX_PATH_BLOCKS = 8  # 2**8 networks at once; beyond that the question is not for a page


def ablate(
    model: nn.Module, x: Tensor
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """The logits of the networks that lack one residual branch, of those that lack one shortcut,
    and of all 2**N that keep some of the N branches.

    Networks that agree up to a block share the work up to there: block k runs on 2**k inputs
    and not on 2**N. Beyond
    MAX_PATH_BLOCKS blocks there are too many paths, and block k runs on 2 k + 1 inputs.

    Args:
        model: a network of a known family, in eval mode.
        x: (1, C, H, W) one normalised photo on the model's device.

    Returns:
        (N, K), (N, K) and (2**N, K) float32 for K logits; bit i of the last one's index means that
        block i keeps its branch. The last one is (0, K) beyond MAX_PATH_BLOCKS.

    Raises:
        ValueError: more than one photo, or a network of no known family.
    """
    if len(x) != 1:
        raise ValueError(f"one photo is needed, got {len(x)}")
    stem, blocks, head = split_network(model)
    all_paths = len(blocks) <= MAX_PATH_BLOCKS
    with capture_blocks(model) as streams:
        states = stem(
            x
        )  # row s: the networks whose kept branches so far are the bits of s; the whole comes last
        cut = states[:0]  # row k: the network without the shortcut of block k
        cut_branch = states[:0]  # row k: without the branch of block k, where it is not among the paths
        for name, block in blocks.items():
            after = block(torch.cat([states, cut, cut_branch]))
            stream, activation = streams[name], activation_of(block)
            whole, cuts = len(states), len(states) + len(cut)
            kept = after[:whole]
            without_branch = activation(stream.shortcut[:whole].expand_as(kept).clone())
            without_shortcut = activation(stream.residual[whole - 1 : whole].clone())
            cut = torch.cat([after[whole:cuts], without_shortcut])
            if all_paths:
                states = torch.cat([without_branch, kept])  # bit k is the highest so far
                cut_branch = after[:0]
            else:
                states, cut_branch = kept, torch.cat([after[cuts:], without_branch])
        logits = head(torch.cat([states, cut, cut_branch])).float().cpu().numpy()
    count = len(blocks)
    paths, shortcuts, branches = np.split(logits, [len(states), len(states) + count])
    if not all_paths:
        return branches, shortcuts, logits[:0]
    return paths[[len(paths) - 1 - (1 << k) for k in range(count)]], shortcuts, paths
