"""The network: five residual blocks, a global average pool, one linear layer.

Every submodule and parameter is named as in the teaching notebook this demo grew
out of, so that a ``state_dict`` saved there loads here strictly, and the other way
round. The residual connection is that of He et al. 2015 (https://arxiv.org/abs/1512.03385).
Unlike the paper's blocks, a block here halves the resolution with a max-pool at the
end of its residual branch, and its shortcut is a 1x1 convolution of stride 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from resnet_demo.networks.families import Family, Recognized, register_family
from resnet_demo.networks.residual_blocks import BlockKind, register_block
from resnet_demo.networks.state_dicts import strip_prefix
from resnet_demo.records import Preprocessing

MAX_WEIGHTS = 125_000_000  # numbers, 500 MB in float32


@dataclass(frozen=True)
class ResNetConfig:
    """All that is needed to rebuild a network from its checkpoint.

    Attributes:
        input_chnl: channels of the input picture, 3 for RGB.
        widths: output channels of each block, in order; one block per entry.
        num_logits: outputs of the linear layer; 1 means a binary decision by sigmoid.
        dropout: probability of zeroing an element of a block's sum while training.
        shortcuts: False builds the plain twin, in which nothing goes around a block.
    """

    input_chnl: int = 3
    widths: tuple[int, ...] = (32, 64, 128, 256, 512)
    num_logits: int = 1
    dropout: float = 0.5
    shortcuts: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))  # JSON gives a list
        if self.input_chnl < 1 or self.num_logits < 1 or not self.widths or min(self.widths) < 1:
            raise ValueError(
                f"channels, widths and logits must be positive and at least one block is needed; got {self}"
            )
        numbers = (self.input_chnl, self.num_logits, *self.widths)
        if not all(isinstance(number, int) for number in numbers):
            raise ValueError(f"channels, widths and logits must be whole numbers; got {self}")
        weights = sum(9 * o * (i + o) for i, o in pairwise((self.input_chnl, *self.widths)))
        if weights + self.widths[-1] * self.num_logits > MAX_WEIGHTS:
            raise ValueError(f"at most {MAX_WEIGHTS} weights are built")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}")


class ResidualBlock(nn.Module):
    """``relu(F(x) + shortcut(x))`` with F = conv, norm, relu, conv, norm (then max-pool).

    With ``downsample`` the shortcut is that module (it must halve height and width) and
    the residual branch ends in a max-pool of stride 2. Without it the shortcut is the
    identity, the resolution stays, and ``in_chnl`` must equal ``out_chnl``.

    Input (B, in_chnl, H, W) float; output (B, out_chnl, ceil(H/2), ceil(W/2)) with
    ``downsample``, (B, out_chnl, H, W) without.
    """

    def __init__(
        self,
        in_chnl: int,
        out_chnl: int,
        downsample: nn.Module | None = None,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_chnl, out_chnl, kernel_size=3, stride=1, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_chnl)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(out_chnl, out_chnl, kernel_size=3, stride=1, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_chnl)

        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.downsample = downsample
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        residual = x  # the notebook's name; what goes around the block is the shortcut

        out = self.conv1(x)  # (B, out_chnl, H, W)
        out = self.bn1(out)
        out = self.relu(out)

        out = self.conv2(out)  # (B, out_chnl, H, W)
        out = self.bn2(out)

        if self.downsample is not None:
            out = self.maxpool(out)  # (B, out_chnl, ceil(H/2), ceil(W/2))
            residual = self.downsample(residual)  # (B, out_chnl, ceil(H/2), ceil(W/2))

        out = out + residual
        out = self.dropout(out)
        out = self.relu(out)
        return out


register_block(
    ResidualBlock,
    BlockKind(
        lambda block: block.bn2 if block.downsample is None else block.maxpool,
        takes_sum="dropout",
        activation="relu",
    ),
)


class NoShortcut(nn.Module):
    """Stands where a block's shortcut would be and lets nothing through.

    Takes (B, C, H, W), returns zeros (1, 1, 1, 1), which leave any sum unchanged. The
    block keeps its max-pool, so the plain twin differs by the shortcut alone.
    """

    def forward(self, x: Tensor) -> Tensor:
        return x.new_zeros(1, 1, 1, 1)


class ResNet(nn.Module):
    """The notebook's network. ``ResNet(3)`` is exactly it; other widths and logits are options.

    Input (B, input_chnl, H, W) float, normalised as the checkpoint's card says, any
    H, W >= 1; output (B, num_logits) unscaled logits.
    """

    def __init__(
        self,
        input_chnl: int,
        *,
        widths: tuple[int, ...] = (32, 64, 128, 256, 512),
        num_logits: int = 1,
        dropout: float = 0.5,
        shortcuts: bool = True,
    ) -> None:
        super().__init__()
        self.config = ResNetConfig(input_chnl, tuple(widths), num_logits, dropout, shortcuts)

        in_chnls = [input_chnl, *widths[:-1]]
        blocks = [
            ResidualBlock(
                i,
                o,
                nn.Conv2d(i, o, kernel_size=1, stride=2, bias=False) if shortcuts else NoShortcut(),
                dropout,
            )
            for i, o in zip(in_chnls, widths, strict=True)
        ]
        self.blocks = nn.Sequential(*blocks)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(widths[-1], num_logits)

    @classmethod
    def from_config(cls, config: ResNetConfig) -> ResNet:
        """Rebuild the network that ``config`` describes, with fresh random parameters."""
        return cls(
            config.input_chnl,
            widths=config.widths,
            num_logits=config.num_logits,
            dropout=config.dropout,
            shortcuts=config.shortcuts,
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(x)  # (B, widths[-1], ceil(H/32), ceil(W/32)) with five blocks
        x = self.avgpool(x)  # (B, widths[-1], 1, 1)
        x = self.flatten(x)  # (B, widths[-1])
        x = self.linear(x)  # (B, num_logits)
        return x


def count_parameters(module: nn.Module) -> int:
    """Number of scalars that training adjusts in ``module``, frozen or not."""
    return sum(p.numel() for p in module.parameters())


def _recognize(tensors: Mapping[str, Tensor], _hints: Mapping[str, Any], name: str) -> Recognized | None:
    """A state dict of the notebook's network, of any widths and classes, whatever stands before its names."""
    found = strip_prefix(tensors, "blocks.0.conv1.weight", "linear.weight", name)
    if found is None or "stem.0.weight" in found:
        return None
    widths: list[int] = []
    while (conv := found.get(f"blocks.{len(widths)}.conv1.weight")) is not None:
        widths.append(len(conv))
    shortcuts = "blocks.0.downsample.weight" in found
    first, logits = found["blocks.0.conv1.weight"], len(found["linear.weight"])
    config = ResNetConfig(first.shape[1], tuple(widths), logits, shortcuts=shortcuts)
    return Recognized(vars(config), found, preprocessing=Preprocessing())


register_family(
    Family("notebook", ResNet, lambda config: ResNet.from_config(ResNetConfig(**config)), _recognize)
)

__all__ = ["NoShortcut", "ResNet", "ResNetConfig", "ResidualBlock", "count_parameters"]
