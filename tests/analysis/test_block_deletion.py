"""Veit's experiment, against networks from which the block was really taken out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from resnet_demo.analysis.block_deletion import around, delete_each_block
from resnet_demo.networks.cifar_resnet import CifarResNet
from resnet_demo.networks.resnet import ResNet
from tests.conftest import lively


class Without(nn.Module):
    """Does to its input what is left when a block of the CIFAR networks is gone."""

    def __init__(self, stride: int, more: int) -> None:
        super().__init__()
        self.stride, self.more = stride, more

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        zeros = x.new_zeros(len(x), self.more // 2, *x.shape[2:])
        return torch.cat([zeros, x, zeros], 1)


def pictures(count: int, side: int = 32) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(count, 3, side, side, generator=generator)
    y = torch.randint(0, 10, (count,), generator=generator)
    return [(x[:7], y[:7]), (x[7:], y[7:])]


@pytest.mark.parametrize("shortcuts", [True, False])
def test_counts_equal_those_of_networks_rebuilt_without_the_block(shortcuts: bool) -> None:
    torch.manual_seed(1)
    model = lively(CifarResNet(20, shortcuts=shortcuts))
    nn.init.normal_(model.linear.weight, 0, 3)  # so that answers vary
    batches = pictures(40)
    found = delete_each_block(model, batches)
    assert found.blocks == tuple(f"blocks.{i}" for i in range(9)) and found.n == 40
    x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    with torch.inference_mode():
        assert found.whole == int((model(x).argmax(1) != y).sum())
        for k in range(9):
            changes = k in (3, 6)
            kept = list(model.blocks)
            kept[k] = Without(2, 16 if k == 3 else 32) if changes else nn.Identity()
            rebuilt = nn.Sequential(model.stem, *kept, model.avgpool, model.flatten, model.linear)
            assert found.deleted[k] == int((rebuilt(x).argmax(1) != y).sum())


def test_a_projection_is_what_is_left_of_a_block_that_has_one() -> None:
    for model in (lively(ResNet(3, widths=(8, 16))), lively(resnet18(num_classes=10))):
        blocks = [m for m in model.modules() if getattr(m, "downsample", None) is not None]
        x = torch.randn(2, blocks[0].conv1.in_channels, 16, 16)
        with torch.inference_mode():
            assert torch.equal(around(blocks[0], x), blocks[0].downsample(x).relu())
        before = {k: v.clone() for k, v in model.state_dict().items()}
        assert delete_each_block(model, pictures(9, 64)).n == 9
        assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_one_logit_answers_by_its_sign() -> None:
    model = lively(ResNet(3, widths=(8, 16)))
    batches = [(x, y % 2) for x, y in pictures(20)]
    found = delete_each_block(model, batches)
    with torch.inference_mode():
        wrong = sum(int(((model(x)[:, 0] > 0).long() != y).sum()) for x, y in batches)
    assert found.whole == wrong


def test_a_network_in_training_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="eval mode"):
        delete_each_block(CifarResNet(8).train(), pictures(9))
