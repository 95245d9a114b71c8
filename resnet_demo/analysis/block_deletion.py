"""Veit's experiment: delete each block of a network in turn and count the mistakes.

Veit et al. 2016 § 4.1 (https://arxiv.org/abs/1605.06431): a residual network minds the loss of
a block little, a plain one is lost without any of its layers. Deleting a block means that the
next one is given what the block was given: through its shortcut where it has one, and for a
block of a plain network as it is, subsampled and padded with zeros where the shapes differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from resnet_demo.networks.cifar_resnet import StridedBlock, SubsampleAndPad, ZeroShortcut
from resnet_demo.networks.families import split_network


@dataclass(frozen=True, eq=False)
class BlockDeletion:
    """Mistakes of a network with each of its blocks deleted in turn.

    Attributes:
        blocks: the names, in order.
        n: labelled pictures.
        whole: how many of them the whole network gets wrong.
        deleted: (blocks,) int64, how many it gets wrong without each block.
    """

    blocks: tuple[str, ...]
    n: int
    whole: int
    deleted: NDArray[np.int64]


def around(block: nn.Module, x: Tensor) -> Tensor:
    """What the next block is given in place of ``block(x)`` when ``block`` is deleted.

    Args:
        block: one with ``downsample``, which may be None: the notebook's, torchvision's, ``StridedBlock``.
        x: (B, C, H, W) what the block is given.
    """
    shortcut = getattr(block, "downsample", None)
    if isinstance(block, StridedBlock) and isinstance(shortcut, ZeroShortcut):  # of a plain network
        wanted = block.conv2.out_channels
        same = wanted == x.shape[1] and shortcut.stride == 1
        return x if same else SubsampleAndPad(x.shape[1], wanted)(x)
    return F.relu(x if shortcut is None else shortcut(x))


@torch.inference_mode()
def delete_each_block(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> BlockDeletion:
    """Run labelled pictures through ``model`` whole and without each block.

    Networks that lack different blocks share the work up to the first of the two, so N blocks
    cost about N / 2 forward passes.

    Args:
        model: a network that ``ablation.parts`` knows, in eval mode; left as it is.
        batches: normalised pictures (B, C, H, W) on the model's device with their labels (B,), class
            indices; for a network of one logit 0 and 1.

    Raises:
        ValueError: the network is in training mode, or ``parts`` does not know it.
    """
    if model.training:
        raise ValueError("Blocks are deleted from a network in eval mode; call model.eval() first.")
    stem, blocks, head = split_network(model)
    names, modules = tuple(blocks), list(blocks.values())
    deleted, whole, n = np.zeros(len(modules), np.int64), 0, 0

    def mistakes(x: Tensor, first: int, labels: Tensor) -> int:
        for block in modules[first:]:
            x = block(x)
        logits = head(x)
        answers = logits.argmax(1) if logits.shape[1] > 1 else (logits[:, 0] > 0).long()
        return int((answers != labels).sum())

    for pictures, labels in batches:
        x = stem(pictures)
        for k, block in enumerate(modules):
            deleted[k] += mistakes(around(block, x), k + 1, labels)
            x = block(x)
        whole += mistakes(x, len(modules), labels)
        n += len(labels)
    return BlockDeletion(names, n, whole, deleted)
