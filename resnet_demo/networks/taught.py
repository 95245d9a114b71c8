"""Networks that were taught classes of somebody's own: a known network up to one of its blocks, global
average pool, one linear layer.

What comes before the cut is the known network's own, unchanged; the linear layer is a read-out that was
fitted on the channel means there (``analysis.ridge_readout``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnet_demo.networks.families import Family, family_named, family_of, register_family, split_network

FAMILY = "taught"


@dataclass(frozen=True)
class TaughtConfig:
    """What rebuilds a network.

    Attributes:
        family: of the network that was taught.
        base: its configuration, as its family builds it.
        blocks: how many of its residual blocks are kept, from the first.
        channels: of the last of them.
        num_logits: one a class.
    """

    family: str
    base: Mapping[str, Any] = field(default_factory=dict)
    blocks: int = 1
    channels: int = 1
    num_logits: int = 2

    def __post_init__(self) -> None:
        numbers = (self.blocks, self.channels, self.num_logits)
        if not all(isinstance(number, int) and 1 <= number <= 65_536 for number in numbers):
            raise ValueError(f"blocks, channels and logits must be whole numbers from 1, got {numbers}")
        if self.family == FAMILY or not isinstance(self.base, Mapping):
            raise ValueError("a taught network is made from one that was not")


class TaughtNetwork(nn.Module):
    """Stem, the first blocks of a known network, global average pool, linear layer.

    Input as the known network takes it, (B, C, H, W) float; output (B, num_logits) unscaled logits.

    Args:
        config: what it is.
        body: the known network, whose stem and blocks it takes; a fresh one when None.

    Raises:
        ValueError: the known network has fewer blocks.
    """

    def __init__(self, config: TaughtConfig, body: nn.Module | None = None) -> None:
        super().__init__()
        self.config = config
        if body is None:
            body = family_named(config.family).build(config.base)
        stem, blocks, _ = split_network(body)
        if len(blocks) < config.blocks:
            raise ValueError(f"the network has {len(blocks)} blocks, of which {config.blocks} are wanted")
        self.stem = stem
        self.blocks = nn.Sequential(*list(blocks.values())[: config.blocks])
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(config.channels, config.num_logits)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(x))  # (B, channels, h, w)
        return cast(Tensor, self.linear(self.flatten(self.avgpool(x))))  # (B, num_logits)


register_family(
    Family(
        FAMILY,
        TaughtNetwork,
        lambda config: TaughtNetwork(TaughtConfig(**config)),
        stem=lambda model: model.stem,
    )
)


def taught(
    model: nn.Module, blocks: int, weight: NDArray[np.float32], bias: NDArray[np.float32]
) -> TaughtNetwork:
    """``model`` cut after its first ``blocks`` residual blocks, a read-out in the place of what followed.

    Args:
        model: a network of a known family, in eval mode; its modules become those of the new one.
        weight, bias: of the read-out, (K, C) and (K,).

    Raises:
        ValueError: it is of no known family, or has fewer blocks.
    """
    if isinstance(model, TaughtNetwork):
        family, base = model.config.family, model.config.base
    else:
        known = family_of(model)
        if known is None:
            raise ValueError(f"{type(model).__name__} is of no known family of networks")
        family, base = known.name, asdict(cast(Any, model.config))
    config = TaughtConfig(family, base, blocks, weight.shape[1], weight.shape[0])
    with torch.random.fork_rng(devices=[]):  # the linear layer is drawn, and then replaced
        network = TaughtNetwork(config, model)
    with torch.no_grad():
        network.linear.weight.copy_(torch.from_numpy(weight))
        network.linear.bias.copy_(torch.from_numpy(bias))
    return network.eval()
