"""State dicts in which one tensor has another shape: each loads, or is refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
import torch
from torch import Tensor, nn

from resnet_demo.networks.cards import CheckpointError
from resnet_demo.networks.cifar_resnet import CifarResNet
from resnet_demo.networks.own_networks import recognize
from resnet_demo.networks.resnet import ResNet

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "notebook": lambda: ResNet(3, widths=(4, 6)),
    "cifar": lambda: CifarResNet(8, num_logits=3),
}


def misshapen(tensor: Tensor) -> Iterable[Tensor]:
    """Too wide, one channel, one dimension more, none at all, empty; no memory behind any of them."""
    rest = tensor.shape[1:]
    zero = torch.tensor(0.0)
    yield zero.expand(100_000, *rest)
    yield zero.expand(1, *rest)
    yield zero.expand(*tensor.shape, 1)
    yield zero
    yield torch.zeros([0] * tensor.ndim)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("network", NETWORKS)
def test_every_wrong_shape_ends_in_a_sentence(network: str) -> None:
    whole = NETWORKS[network]().state_dict()
    refused = 0
    for key, tensor in whole.items():
        for wrong in misshapen(tensor):
            try:
                recognize({**whole, key: wrong}, {}, "mine.pth")
            except CheckpointError:
                refused += 1
    assert refused > 2 * len(whole)
