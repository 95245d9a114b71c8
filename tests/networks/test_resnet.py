"""The network is the notebook's: same names, same mathematics, both ways."""

from __future__ import annotations

import pytest
import torch
from conftest import lively
from torch import nn

from resnet_demo.networks.resnet import NoShortcut, ResidualBlock, ResNet, ResNetConfig, count_parameters


class NotebookBlock(nn.Module):
    """The teaching notebook's block, kept as the thing to agree with."""

    def __init__(self, in_chnl, out_chnl, downsample=None, dropout=0.5):
        super().__init__()
        self.conv1 = nn.Conv2d(in_chnl, out_chnl, kernel_size=3, stride=1, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_chnl)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(out_chnl, out_chnl, kernel_size=3, stride=1, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_chnl)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.downsample = downsample
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        residual = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            out = self.maxpool(out)
            residual = self.downsample(residual)
        out = out + residual
        out = self.dropout(out)
        return self.relu(out)


class NotebookNet(nn.Module):
    def __init__(self, input_chnl):
        super().__init__()
        in_chnls = [input_chnl, 32, 64, 128, 256]
        out_chnls = [32, 64, 128, 256, 512]
        pairs = list(zip(in_chnls, out_chnls, strict=True))
        downs = [nn.Conv2d(i, o, kernel_size=1, stride=2, bias=False) for i, o in pairs]
        self.blocks = nn.Sequential(*[NotebookBlock(i, o, d) for (i, o), d in zip(pairs, downs, strict=True)])
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(512, 1)

    def forward(self, x):
        return self.linear(self.flatten(self.avgpool(self.blocks(x))))


@pytest.mark.parametrize(
    ("channels", "height", "width"), [(3, 180, 180), (1, 180, 180), (3, 97, 131), (1, 33, 7)]
)
@pytest.mark.parametrize("ours_first", [True, False])
def test_state_dicts_load_strictly_both_ways(
    channels: int, height: int, width: int, ours_first: bool
) -> None:
    torch.manual_seed(1)
    source, target = (ResNet, NotebookNet) if ours_first else (NotebookNet, ResNet)
    saved, loaded = lively(source(channels)), target(channels)
    loaded.load_state_dict(saved.state_dict(), strict=True)
    x = torch.randn(2, channels, height, width)
    with torch.inference_mode():
        assert torch.allclose(saved(x), loaded.eval()(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize("strided", [True, False])
def test_block_equals_the_notebooks_in_both_states_of_downsample(strided: bool) -> None:
    torch.manual_seed(2)
    down = nn.Conv2d(8, 12, 1, stride=2, bias=False) if strided else None
    wide = 12 if strided else 8
    theirs, ours = NotebookBlock(8, wide, down), ResidualBlock(8, wide, down)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(2, 8, 21, 34)
    for mode in (True, False):  # with dropout from the same seed, and without
        theirs.train(mode), ours.train(mode)
        torch.manual_seed(3)
        expected = theirs(x)
        torch.manual_seed(3)
        assert torch.allclose(ours(x), expected, atol=1e-5, rtol=0)


def test_the_notebooks_network_has_its_size() -> None:
    assert count_parameters(ResNet(3)) == 4_888_897


def test_config_rebuilds_the_network() -> None:
    config = ResNetConfig(input_chnl=1, widths=[4, 8], num_logits=3, dropout=0.1)
    model = ResNet.from_config(config)
    assert model.config == config
    assert config.widths == (4, 8)
    assert model.eval()(torch.zeros(1, 1, 9, 9)).shape == (1, 3)
    assert model.blocks[0].dropout.p == 0.1


@pytest.mark.parametrize(
    "bad", [{"input_chnl": 0}, {"widths": ()}, {"widths": (4, 0)}, {"num_logits": 0}, {"dropout": 1.0}]
)
def test_impossible_configs_are_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match=r"got"):
        ResNetConfig(**bad)


def test_the_plain_twin_differs_by_its_shortcuts_alone() -> None:
    torch.manual_seed(4)
    with_shortcuts, plain = ResNet(3, widths=(4, 6)), ResNet(3, widths=(4, 6), shortcuts=False)
    state = {k: v for k, v in with_shortcuts.state_dict().items() if "downsample" not in k}
    plain.load_state_dict(state, strict=True)
    for block in with_shortcuts.blocks:
        block.downsample.weight.data.zero_()
    assert all(isinstance(block.downsample, NoShortcut) for block in plain.blocks)
    x = torch.randn(2, 3, 20, 20)
    assert torch.equal(plain.eval()(x), with_shortcuts.eval()(x))


def test_forward_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    ResNet(3, widths=(4,)).eval()(torch.zeros(1, 3, 8, 8))
    assert capsys.readouterr().out == ""
