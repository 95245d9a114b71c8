"""The networks whose explanations are tested: ours, ResNet-56, and a ResNet-18 of random weights that was
brought."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from conftest import lively
from safetensors.torch import save_file

from resnet_demo.inference.engine import Engine
from resnet_demo.networks.cards import WEIGHTS
from resnet_demo.networks.checkpoints import available_networks

NAMES = ("cats-and-dogs", "resnet-56", "resnet18")


def brought(folder: Path) -> Path:
    """The state dict of a ResNet-18 with random weights."""
    from torchvision.models import resnet18

    torch.manual_seed(0)
    path = folder / "resnet18.safetensors"
    save_file(lively(resnet18(num_classes=5)).state_dict(), path)  # type: ignore[arg-type]
    return path


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    shipped = available_networks(WEIGHTS)
    yield Engine({**shipped, "resnet18": brought(tmp_path_factory.mktemp("brought"))}, "cpu")
