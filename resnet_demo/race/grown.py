"""What a race has trained, as a network that the rest of the page can look into.

While it trains, a network is a ``RaceNetwork``, whose blocks know of gates and of dropped branches. Here it
becomes the notebook's blocks and nothing else: what F(x) was multiplied by goes into its last batch norm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

import safetensors.torch
import torch
from torch import Tensor, nn

from resnet_demo.networks.cards import Card
from resnet_demo.networks.cifar_resnet import StridedBlock, ZeroShortcut
from resnet_demo.networks.families import Family, register_family
from resnet_demo.networks.resnet import ResidualBlock
from resnet_demo.race.data import RaceData, load
from resnet_demo.race.networks import WIDTH, RaceBlock, RaceNetwork
from resnet_demo.race.records import RaceSettings
from resnet_demo.records import Preprocessing

FAMILY = "race"


@dataclass(frozen=True)
class GrownConfig:
    """What rebuilds a network.

    Attributes:
        blocks: residual blocks, all of one width.
        shortcuts: whether anything goes around them.
        norms: batch norm after every convolution.
        stride: of the stem.
        num_logits: one a class.
    """

    blocks: int
    shortcuts: bool = True
    norms: bool = True
    stride: int = 1
    num_logits: int = 10


class GrownNetwork(nn.Module):
    """Stem, blocks of WIDTH channels, global average pool, linear layer.

    Input (B, 1, H, W) float32; output (B, classes) logits.
    """

    def __init__(self, config: GrownConfig) -> None:
        super().__init__()
        self.config = config
        norm: list[nn.Module] = [nn.BatchNorm2d(WIDTH)] if config.norms else []
        conv = nn.Conv2d(1, WIDTH, kernel_size=3, stride=config.stride, padding=1, bias=False)
        self.stem = nn.Sequential(conv, *norm, nn.ReLU())
        self.blocks = nn.Sequential(*(_block(config) for _ in range(config.blocks)))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(WIDTH, config.num_logits)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(x))  # (B, WIDTH, H, W)
        return cast(Tensor, self.linear(self.flatten(self.avgpool(x))))


def _block(config: GrownConfig) -> nn.Module:
    """The notebook's block, or what it is without a shortcut."""
    block: Any = StridedBlock(WIDTH, WIDTH, 1, ZeroShortcut(WIDTH, 1))
    if config.shortcuts:
        block = ResidualBlock(WIDTH, WIDTH, downsample=None, dropout=0.0)
    if not config.norms:
        block.bn1, block.bn2 = nn.Identity(), nn.Identity()
    return cast(nn.Module, block)


register_family(
    Family(
        FAMILY,
        GrownNetwork,
        lambda config: GrownNetwork(GrownConfig(**config)),
        stem=lambda model: model.stem,
    )
)


def grown(settings: RaceSettings, kind: str, weights: bytes, name: str) -> tuple[GrownNetwork, Card]:
    """The network called ``kind`` of a race, in eval mode, and its card.

    Args:
        settings: of the race.
        weights: the network's own, a safetensors file as the training process tells it.
        name: that the card has.
    """
    data = load(settings.data)
    with torch.random.fork_rng(devices=[]):
        trained = RaceNetwork(kind, settings.blocks, norms=settings.norms, stride=data.stride)
    trained.load_state_dict(safetensors.torch.load(weights))
    config = GrownConfig(settings.blocks, kind != "plain", settings.norms, data.stride, len(data.classes))
    network = GrownNetwork(config)
    network.stem.load_state_dict(trained.stem.state_dict())
    network.linear.load_state_dict(trained.linear.state_dict())
    for ours, theirs in zip(network.blocks, trained.blocks, strict=True):
        _take(ours, cast(RaceBlock, theirs.eval()))
    return network.eval(), card_of(name, asdict(config), data)


def _take(block: nn.Module, trained: RaceBlock) -> None:
    """Give ``block`` the weights of a trained one; its last layer gives F(x) as it enters the sum."""
    state = {key: value for key, value in trained.state_dict().items() if key != "gate"}
    block.load_state_dict(state)
    factor = float(trained.factor().detach())
    last = block.bn2 if isinstance(block.bn2, nn.BatchNorm2d) else block.conv2
    with torch.no_grad():
        for parameter in cast(nn.Module, last).parameters():
            parameter.mul_(factor)


def card_of(name: str, config: Mapping[str, Any], data: RaceData) -> Card:
    """What the page needs to know of a network that was trained on ``data``."""
    preprocessing = Preprocessing(data.side, "squash", (data.mean,), (data.std,))
    return Card(name, config, preprocessing, data.classes, family=FAMILY, blocks=config["blocks"])
