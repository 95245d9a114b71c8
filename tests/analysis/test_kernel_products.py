"""A kernel times a patch, scaled and shifted, is the value that enters the sum, wherever one asks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import lively
from torch import nn
from torchvision.models import resnet18, resnet50

from resnet_demo.analysis.capture import capture_blocks
from resnet_demo.analysis.kernel_products import kernel_products
from resnet_demo.networks.cifar_resnet import CifarResNet
from resnet_demo.networks.resnet import ResNet

NETWORKS = {
    "notebook": (lambda: lively(ResNet(3)), 64),
    "cifar": (lambda: lively(CifarResNet(20)), 32),
    "basic": (lambda: lively(resnet18()), 64),
    "bottleneck": (lambda: lively(resnet50()), 64),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_products_make_the_value_that_enters_the_sum(kind: str) -> None:
    torch.manual_seed(1)
    build, side = NETWORKS[kind]
    model: nn.Module = build().eval().requires_grad_(False)
    x = torch.randn(1, 3, side, side)
    with capture_blocks(model) as captured:
        model(x)
    found = [block.tensors for block in captured.values()]
    rng = np.random.default_rng(0)
    for index in (0, len(found) // 2, len(found) - 1):
        streams = found[index]
        for _ in range(4):
            place = tuple(int(rng.integers(n)) for n in streams["residual"].shape[-3:])
            ours, around = kernel_products(model, x, index, *place)
            for product, stream in ((ours, "residual"), (around, "shortcut")):
                wanted = float(streams[stream].reshape(streams[stream].shape[-3:])[place])
                if product is None:  # an identity
                    assert stream == "shortcut"
                    continue
                made = product.scale * (float((product.kernel * product.patch).sum()) + product.bias)
                assert made + product.shift == pytest.approx(wanted, abs=1e-3, rel=1e-3)
                assert product.value == pytest.approx(wanted, abs=1e-3, rel=1e-3)
            assert ours is not None


def test_what_is_not_there_is_refused() -> None:
    model = lively(ResNet(3)).requires_grad_(False)
    x = torch.randn(1, 3, 64, 64)
    with pytest.raises(ValueError, match="blocks 0 to 4, not 5"):
        kernel_products(model, x, 5, 0, 0, 0)
    with pytest.raises(ValueError, match="no place"):
        kernel_products(model, x, 0, 0, 99, 0)
