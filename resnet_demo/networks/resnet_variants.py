"""The ResNets that people train, as one family: what torchvision, timm, transformers and CIFAR code build.

Basic and bottleneck blocks (He et al. 2015, https://arxiv.org/abs/1512.03385), wide and grouped ones, stems
of one 7x7 or 3x3 convolution or of three, shortcuts by projection, by average pool and projection (He et al.
2018, https://arxiv.org/abs/1812.01187) or without parameters (option A), squeeze-and-excitation (Hu et al.
2018, https://arxiv.org/abs/1709.01507), efficient channel attention (Wang et al. 2020,
https://arxiv.org/abs/1910.03151) and blur pools (Zhang 2019, https://arxiv.org/abs/1904.11486).

Parameters are named as in torchvision and timm, so that their state dicts fit as they are.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_demo.networks.cifar_resnet import SubsampleAndPad
from resnet_demo.networks.residual_blocks import BlockKind, register_block

MAX_BLOCKS, MAX_CHANNELS = 1000, 65_536


@dataclass(frozen=True)
class StageConfig:
    """One stage: blocks that give the same number of channels.

    Attributes:
        inner: for each block, the channels of its convolutions but the last: one in a basic block, two in a
            bottleneck. Those of a pruned network differ from block to block.
        out: channels that a block gives.
        groups: of a bottleneck's 3x3 convolution.
        attention: hidden channels of squeeze-and-excitation, or the kernel of channel attention; 0 without.
        projects: whether the first block's shortcut has a convolution of its own.
    """

    inner: tuple[tuple[int, ...], ...]
    out: int
    groups: int = 1
    attention: int = 0
    projects: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "inner", tuple(tuple(block) for block in self.inner))
        if not self.inner or not all(1 <= len(block) <= 2 for block in self.inner):
            raise ValueError("a stage has at least one block, and a block two or three convolutions")


@dataclass(frozen=True)
class VariantConfig:
    """All that is needed to rebuild a network of this family.

    Attributes:
        stages: from first to last; each but the first halves height and width.
        input_chnl: channels of the input picture.
        stem: channels of the stem's convolutions; more than one are 3x3.
        stem_kernel: of a stem of one convolution: 7 (stride 2) or 3 (stride 1, no pool).
        pool: between stem and blocks; "conv" is a convolution of stride 2 (Bello et al. 2021,
            https://arxiv.org/abs/2103.07579).
        shortcut: how a block that changes the shape goes around itself.
        shortcut_kernel: of its convolution.
        stride_first: whether a bottleneck strides in its first convolution, as in the paper, not in its 3x3.
        attention: how channels are weighted at the end of a branch.
        antialias: what takes the strides of branches and stem instead of convolutions, if anything.
        norm: "group" has 32 groups.
        head: what follows the pool: ("linear", in, out, bias), ("norm", channels), ("relu",); empty for none.
        concat_pool: the pool gives maxima and means of all channels, as fastai's.
    """

    stages: tuple[StageConfig, ...]
    input_chnl: int = 3
    stem: tuple[int, ...] = (64,)
    stem_kernel: int = 7
    pool: Literal["max", "none", "conv"] = "max"
    shortcut: Literal["project", "average", "pad"] = "project"
    shortcut_kernel: int = 1
    stride_first: bool = False
    attention: Literal["", "se", "eca"] = ""
    antialias: Literal["", "blur", "average"] = ""
    norm: Literal["batch", "group"] = "batch"
    head: tuple[tuple[Any, ...], ...] = ()
    concat_pool: bool = False

    def __post_init__(self) -> None:
        stages = tuple(s if isinstance(s, StageConfig) else StageConfig(**s) for s in self.stages)
        object.__setattr__(self, "stages", stages)
        object.__setattr__(self, "stem", tuple(self.stem))
        object.__setattr__(self, "head", tuple(tuple(layer) for layer in self.head))
        inner = [c for s in stages for block in s.inner for c in block]
        channels = [self.input_chnl, *self.stem, *inner, *(c for s in stages for c in (s.out, s.groups))]
        if not stages or not 1 <= min(channels) <= max(channels) <= MAX_CHANNELS:
            raise ValueError(f"channels must lie in 1..{MAX_CHANNELS} and at least one stage is needed")
        if sum(len(s.inner) for s in stages) > MAX_BLOCKS:
            raise ValueError(f"{MAX_BLOCKS} blocks at most")

    @property
    def num_logits(self) -> int:
        """Outputs of the last linear layer; 0 for a network that ends in features."""
        return next((int(layer[2]) for layer in reversed(self.head) if layer[0] == "linear"), 0)


class BlurPool(nn.Module):
    """A 3x3 binomial filter of stride 2, edges reflected: (B, C, H, W) to (B, C, ceil(H/2), ceil(W/2))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        line = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("filter", (line[:, None] * line)[None, None].repeat(channels, 1, 1, 1), False)
        self.channels, self.kernel_size, self.stride, self.padding = channels, 3, 2, 1

    filter: Tensor

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (1, 1, 1, 1), "reflect")
        return F.conv2d(padded, self.filter.to(x.dtype), stride=2, groups=self.channels)


class SqueezeExcitation(nn.Module):
    """Scales each channel by a share 0..1 that a small network reads from all channels' means."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.squeeze = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        share = self.fc2(torch.relu(self.fc1(self.squeeze(x))))  # (B, C, 1, 1)
        return x * torch.sigmoid(share)


class ChannelAttention(nn.Module):
    """Scales each channel by a share 0..1 read from the means of its neighbours in the order of channels."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.squeeze = nn.AdaptiveAvgPool2d(1)
        self.conv = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        means = self.squeeze(x).flatten(1)[:, None]  # (B, 1, C)
        return x * torch.sigmoid(self.conv(means))[:, 0, :, None, None]


class VariantBlock(nn.Module):
    """``relu(F(x) + shortcut(x))``; F is two 3x3 convolutions, or 1x1, 3x3 and 1x1.

    Input (B, in_chnl, H, W); output (B, stage.out, ceil(H/stride), ceil(W/stride)).

    Args:
        number: of the block in its stage; the first one strides, and projects its shortcut if any does.
    """

    def __init__(
        self, in_chnl: int, stage: StageConfig, config: VariantConfig, stride: int, number: int
    ) -> None:
        super().__init__()
        inner = stage.inner[number]
        kernels = (1, 3, 1) if len(inner) == 2 else (3, 3)
        widths = (in_chnl, *inner, stage.out)
        strided = 1 if len(inner) == 2 and not config.stride_first else 0
        self.count, self.blurred = len(kernels), strided if config.antialias and stride == 2 else -1
        for i, kernel in enumerate(kernels):
            step = stride if i == strided and self.blurred < 0 else 1
            groups = stage.groups if len(inner) == 2 and i == 1 else 1
            conv = nn.Conv2d(widths[i], widths[i + 1], kernel, step, kernel // 2, groups=groups, bias=False)
            setattr(self, f"conv{i + 1}", conv)
            setattr(self, f"bn{i + 1}", _norm(config, widths[i + 1]))
        self.relu = nn.ReLU(inplace=True)
        self.aa = _antialias(config, inner[strided]) if self.blurred >= 0 else None
        self.se = _attention(config, stage)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_chnl != stage.out or (stage.projects and number == 0):
            self.downsample = _shortcut(in_chnl, stage.out, stride, config)

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for i in range(self.count):
            out = getattr(self, f"bn{i + 1}")(getattr(self, f"conv{i + 1}")(out))
            if i < self.count - 1:
                out = self.relu(out)
            if self.aa is not None and i == self.blurred:
                out = self.aa(out)  # (B, inner, ceil(H/2), ceil(W/2))
        out = self.se(out)
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)  # type: ignore[no-any-return]


register_block(
    VariantBlock,
    BlockKind("se", takes_sum="relu", call=lambda block: block.count, activation="relu"),
)


def _norm(config: VariantConfig, channels: int) -> nn.Module:
    return nn.GroupNorm(32, channels) if config.norm == "group" else nn.BatchNorm2d(channels)


def _antialias(config: VariantConfig, channels: int) -> nn.Module:
    return BlurPool(channels) if config.antialias == "blur" else nn.AvgPool2d(2)


def _attention(config: VariantConfig, stage: StageConfig) -> nn.Module:
    if config.attention == "se":
        return SqueezeExcitation(stage.out, stage.attention)
    return ChannelAttention(stage.attention) if config.attention == "eca" else nn.Identity()


def _shortcut(in_chnl: int, out_chnl: int, stride: int, config: VariantConfig) -> nn.Module:
    if config.shortcut == "pad":
        return SubsampleAndPad(in_chnl, out_chnl)
    if config.shortcut == "average":
        pool = nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False) if stride == 2 else nn.Identity()
        return nn.Sequential(pool, nn.Conv2d(in_chnl, out_chnl, 1, bias=False), _norm(config, out_chnl))
    kernel = config.shortcut_kernel if stride == 2 else 1
    conv = nn.Conv2d(in_chnl, out_chnl, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, _norm(config, out_chnl))


class MaxAndMean(nn.Module):
    """The largest and the mean value of each channel: (B, C, H, W) to (B, 2 C, 1, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([F.adaptive_max_pool2d(x, 1), F.adaptive_avg_pool2d(x, 1)], 1)


class VariantResNet(nn.Module):
    """A ResNet as its configuration says.

    Input (B, input_chnl, H, W) float, normalised as the card says; output (B, num_logits) unscaled logits, or
    the pooled features (B, C) of a network without a last layer.
    """

    def __init__(self, config: VariantConfig) -> None:
        super().__init__()
        self.config = config
        self.conv1 = _stem(config)
        self.bn1 = _norm(config, config.stem[-1])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = _pool(config)
        channels = config.stem[-1]
        for i, stage in enumerate(config.stages):
            blocks = []
            for j in range(len(stage.inner)):
                blocks.append(VariantBlock(channels, stage, config, 2 if i and not j else 1, j))
                channels = stage.out
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
        self.avgpool = MaxAndMean() if config.concat_pool else nn.AdaptiveAvgPool2d((1, 1))
        self.fc = _head(config)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))  # a quarter of height and width, or all of it
        for i in range(len(self.config.stages)):
            x = getattr(self, f"layer{i + 1}")(x)
        x = torch.flatten(self.avgpool(x), 1)  # (B, C)
        return self.fc(x)  # type: ignore[no-any-return]


def _stem(config: VariantConfig) -> nn.Module:
    if len(config.stem) == 1:
        k = config.stem_kernel
        return nn.Conv2d(config.input_chnl, config.stem[0], k, 2 if k > 3 else 1, k // 2, bias=False)
    layers: list[nn.Module] = []
    channels = config.input_chnl
    for i, width in enumerate(config.stem):
        if i:
            layers += [_norm(config, channels), nn.ReLU(inplace=True)]
        layers.append(nn.Conv2d(channels, width, 3, 1 if i else 2, 1, bias=False))
        channels = width
    return nn.Sequential(*layers)


def _pool(config: VariantConfig) -> nn.Module:
    channels = config.stem[-1]
    if config.pool == "none":
        return nn.Identity()
    if config.pool == "conv":
        conv = nn.Conv2d(channels, channels, 3, 2, 1, bias=False)
        return nn.Sequential(conv, _norm(config, channels), nn.ReLU(inplace=True))
    if config.antialias == "average":
        return nn.AvgPool2d(2)
    if config.antialias == "blur":
        return nn.Sequential(nn.MaxPool2d(3, 1, 1), BlurPool(channels))
    return nn.MaxPool2d(3, 2, 1)


def _head(config: VariantConfig) -> nn.Module:
    layers: list[nn.Module] = []
    for kind, *numbers in config.head:
        if kind == "linear":
            layers.append(nn.Linear(numbers[0], numbers[1], bias=bool(numbers[2])))
        elif kind == "norm":
            layers.append(nn.BatchNorm1d(numbers[0]))
        else:
            layers.append(nn.ReLU())
    if len(layers) == 1:
        return layers[0]  # as torchvision's: one linear layer, of which class activation maps are made
    return nn.Sequential(OrderedDict((str(i), layer) for i, layer in enumerate(layers)))


def build_variant(config: Mapping[str, Any]) -> VariantResNet:
    """The network of a card's configuration, with fresh parameters."""
    return VariantResNet(VariantConfig(**config))
