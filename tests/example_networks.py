"""Networks and checks that the tests of hooks and experiments share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from conftest import lively
from torch import nn

from resnet_demo.analysis.capture import capture_blocks
from resnet_demo.networks.cifar_resnet import CifarResNet
from resnet_demo.networks.resnet import ResidualBlock, ResNet


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small run faster on one core, above all when the others are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def with_identity() -> nn.Module:
    """The notebook's blocks, the second with an identity shortcut."""
    first = ResidualBlock(3, 8, nn.Conv2d(3, 8, 1, stride=2, bias=False))
    return nn.Sequential(first, ResidualBlock(8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))


def field(block: str, layers: tuple[int, ...], **options: int) -> nn.Module:
    """One of torchvision's ResNets, of any depth, with four classes."""
    from torchvision.models import resnet

    return resnet.ResNet(getattr(resnet, block), list(layers), num_classes=4, **options)


SMALL: dict[str, Callable[[], nn.Module]] = {
    "notebook": lambda: ResNet(3, widths=(4, 6, 8)),
    "identity": with_identity,
    "BasicBlock": lambda: field("BasicBlock", (2, 2, 1, 1)),
    "Bottleneck": lambda: field("Bottleneck", (2, 2, 1, 1), width_per_group=16),
    "cifar": lambda: CifarResNet(14, num_logits=3),
}


def small(name: str) -> nn.Module:
    """A network of each kind of block, in eval mode, always with the same parameters."""
    torch.manual_seed(0)
    return lively(SMALL[name]())  # type: ignore[arg-type, return-value]


def identity_net() -> nn.Module:
    """A projection block, then one with the identity shortcut."""
    first = ResidualBlock(3, 8, nn.Conv2d(3, 8, 1, stride=2, bias=False))
    return lively(nn.Sequential(first, ResidualBlock(8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten()))


def whole(name: str) -> nn.Module:
    from torchvision import models

    return lively(getattr(models, name)(weights=None, num_classes=5))


NETS: dict[str, Callable[[], nn.Module]] = {
    "notebook": lambda: lively(ResNet(3)),
    "one channel": lambda: lively(ResNet(1)),
    "identity": identity_net,
    **{
        name: lambda name=name: whole(name)
        for name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
    },
}


def hooks_on(model: nn.Module) -> int:
    """How many hooks of any kind the network carries."""
    return sum(
        len(m._forward_hooks)
        + len(m._forward_pre_hooks)
        + len(m._backward_hooks)
        + len(m._backward_pre_hooks)
        for m in model.modules()
    )


def assert_same(model: nn.Module, other: nn.Module, x: torch.Tensor) -> None:
    """Two networks give the same answer and the same streams for ``x`` (B, C, H, W), rounding apart."""
    with capture_blocks(model) as streams:
        answer = model(x)
    with capture_blocks(other) as others:
        assert torch.allclose(other(x), answer, atol=1e-5, rtol=1e-5)
    for one, two in zip(streams.values(), others.values(), strict=True):
        for stream in ("residual", "shortcut", "pre_activation", "output"):
            assert torch.allclose(getattr(one, stream), getattr(two, stream), atol=1e-4, rtol=1e-4)
