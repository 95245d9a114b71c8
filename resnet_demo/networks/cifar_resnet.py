"""The residual networks for 32x32 pictures of He et al. 2015, § 4.2, and their plain twins.

A stem (3x3 convolution, batch norm, relu; 16 channels), three stages of n blocks at 16, 32
and 64 channels, a global average pool, one linear layer: 6n + 2 layers, so n = 3 gives
ResNet-20 and n = 9 ResNet-56. Only the first blocks of the second and third stage change
the shape; every other block's shortcut is the identity, and such a block is the notebook's
own ``ResidualBlock`` without ``downsample``. https://arxiv.org/abs/1512.03385
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from resnet_demo.i18n import later
from resnet_demo.networks.families import Family, Recognized, register_family
from resnet_demo.networks.preprocessing_files import CIFAR_10
from resnet_demo.networks.residual_blocks import BlockKind, register_block
from resnet_demo.networks.resnet import ResidualBlock
from resnet_demo.networks.state_dicts import strip_prefix

STAGE_WIDTHS = (16, 32, 64)
MAX_DEPTH = 1202  # the paper's deepest


@dataclass(frozen=True)
class CifarResNetConfig:
    """All that is needed to rebuild a network from its checkpoint.

    Attributes:
        depth: layers that have weights, 6n + 2 with n blocks a stage: 20, 32, 44, 56, …
        num_logits: outputs of the linear layer, one a class.
        shortcuts: False builds the plain twin, in which nothing goes around a block.
    """

    depth: int = 20
    num_logits: int = 10
    shortcuts: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.depth, int) or not 8 <= self.depth <= MAX_DEPTH or (self.depth - 2) % 6:
            raise ValueError(f"depth must be 6n + 2 with n of at least 1 (8, 14, 20, …); got {self.depth}")
        if not 1 <= self.num_logits <= 65_536:
            raise ValueError(f"at least one logit is needed; got {self.num_logits}")

    @property
    def blocks_per_stage(self) -> int:
        return (self.depth - 2) // 6


class SubsampleAndPad(nn.Module):
    """The paper's option A: a shortcut without parameters for a block that changes the shape.

    Takes every second row and column and fills the further channels with zeros:
    (B, in_chnl, H, W) to (B, out_chnl, ceil(H/2), ceil(W/2)).
    """

    def __init__(self, in_chnl: int, out_chnl: int) -> None:
        super().__init__()
        if out_chnl < in_chnl:
            raise ValueError(f"option A can only add channels; got {in_chnl} in and {out_chnl} out")
        self.in_chnl, self.out_chnl = in_chnl, out_chnl
        self.kernel_size, self.stride = 1, 2  # as of a layer, for receptive fields

    def forward(self, x: Tensor) -> Tensor:
        missing = self.out_chnl - self.in_chnl
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, missing // 2, missing - missing // 2))

    def extra_repr(self) -> str:
        return f"{self.in_chnl}, {self.out_chnl}"


class ZeroShortcut(nn.Module):
    """Stands where a plain block's shortcut would be and lets nothing through.

    (B, C, H, W) to zeros (B, out_chnl, ceil(H/stride), ceil(W/stride)), of one number in memory.
    """

    def __init__(self, out_chnl: int, stride: int) -> None:
        super().__init__()
        self.out_chnl, self.stride = out_chnl, stride

    def forward(self, x: Tensor) -> Tensor:
        height, width = (-(-side // self.stride) for side in x.shape[2:])
        return x.new_zeros(1).expand(x.shape[0], self.out_chnl, height, width)  # len() would fix an export

    def extra_repr(self) -> str:
        return f"{self.out_chnl}, stride={self.stride}"


class StridedBlock(nn.Module):
    """``relu(F(x) + shortcut(x))`` with F = conv of stride ``stride``, norm, relu, conv, norm.

    What the notebook's ``ResidualBlock`` cannot be: a block that halves the resolution by
    its first convolution, and a block of the plain twin at any stride. Its parameters have
    the names of ``ResidualBlock``, so the twins' state dicts have the same keys.

    Input (B, in_chnl, H, W) float; output (B, out_chnl, ceil(H/stride), ceil(W/stride)).
    """

    def __init__(self, in_chnl: int, out_chnl: int, stride: int, shortcut: nn.Module) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_chnl, out_chnl, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_chnl)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(out_chnl, out_chnl, kernel_size=3, stride=1, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_chnl)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu(out + self.downsample(x))


register_block(StridedBlock, BlockKind("bn2", takes_sum="relu", call=2, activation="relu"))


class CifarResNet(nn.Module):
    """ResNet-20, ResNet-56, … of He et al. 2015 § 4.2, or with ``shortcuts=False`` plain-20, ….

    The twins draw the same initial weights from the same seed: option A has no parameters,
    and the blocks are made in the same order.

    Input (B, 3, H, W) float, normalised as the checkpoint's card says; output
    (B, num_logits) unscaled logits.
    """

    def __init__(self, depth: int, *, num_logits: int = 10, shortcuts: bool = True) -> None:
        super().__init__()
        self.config = CifarResNetConfig(depth, num_logits, shortcuts)
        self.stem = nn.Sequential(
            nn.Conv2d(3, STAGE_WIDTHS[0], kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(STAGE_WIDTHS[0]),
            nn.ReLU(),
        )
        blocks, width = [], STAGE_WIDTHS[0]
        for out_width in STAGE_WIDTHS:
            for _ in range(self.config.blocks_per_stage):
                blocks.append(_block(width, out_width, shortcuts))
                width = out_width
        self.blocks = nn.Sequential(*blocks)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(STAGE_WIDTHS[-1], num_logits)
        for module in self.modules():  # He et al. 2015, https://arxiv.org/abs/1502.01852
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")

    @classmethod
    def from_config(cls, config: CifarResNetConfig) -> CifarResNet:
        """Rebuild the network that ``config`` describes, with fresh random parameters."""
        return cls(config.depth, num_logits=config.num_logits, shortcuts=config.shortcuts)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (B, 16, H, W)
        x = self.blocks(x)  # (B, 64, ceil(H/4), ceil(W/4))
        x = self.avgpool(x)  # (B, 64, 1, 1)
        x = self.flatten(x)  # (B, 64)
        return self.linear(x)  # (B, num_logits)


def _block(in_chnl: int, out_chnl: int, shortcuts: bool) -> nn.Module:
    """One block: the notebook's where the shortcut is the identity, a ``StridedBlock`` otherwise."""
    if shortcuts and in_chnl == out_chnl:
        return ResidualBlock(in_chnl, out_chnl, downsample=None, dropout=0.0)
    stride = 1 if in_chnl == out_chnl else 2
    around = SubsampleAndPad(in_chnl, out_chnl) if shortcuts else ZeroShortcut(out_chnl, stride)
    return StridedBlock(in_chnl, out_chnl, stride, around)


def _recognize(tensors: Mapping[str, Tensor], _hints: Mapping[str, Any], name: str) -> Recognized | None:
    """A state dict of this family; those of twins look alike, so shortcuts are assumed."""
    found = strip_prefix(tensors, "stem.0.weight", "linear.weight", name)
    if found is None or "blocks.0.conv1.weight" not in found:
        return None
    count = len({key.split(".")[1] for key in found if key.startswith("blocks.")})
    config = CifarResNetConfig(2 * count + 2, len(found["linear.weight"]))
    assumed = later("Assumed, since the file cannot tell: shortcuts without parameters that pad with zeros.")
    return Recognized(vars(config), found, (assumed,), CIFAR_10)


register_family(
    Family(
        "cifar",
        CifarResNet,
        lambda config: CifarResNet.from_config(CifarResNetConfig(**config)),
        _recognize,
        stem=lambda model: model.stem,
    )
)

__all__ = [
    "STAGE_WIDTHS",
    "CifarResNet",
    "CifarResNetConfig",
    "StridedBlock",
    "SubsampleAndPad",
    "ZeroShortcut",
]
