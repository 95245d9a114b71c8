"""torchvision's five ResNets with the weights that it publishes, IMAGENET1K_V1.

They are fetched on first use into torch's own cache, where torchvision keeps them too. A file of the right
hash that lies there, or in the cache of the Hugging Face hub, is taken as it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from resnet_demo.networks.cards import FIELD, FIELD_FILES, Card
from resnet_demo.networks.checkpoint_files import read_checkpoint_file
from resnet_demo.networks.download import Progress, fetch, has_hash, nothing
from resnet_demo.networks.families import Family, register_family
from resnet_demo.networks.own_networks import recognize
from resnet_demo.networks.preprocessing_files import IMAGENET

SERVER = "https://download.pytorch.org/models/"
FILES = FIELD_FILES


@dataclass(frozen=True)
class FieldNetwork:
    """Where the weights of one of torchvision's ResNets come from.

    Attributes:
        name: on the menu.
        url: of the state dict; its file name is kept.
        sha256: first hex digits of its hash.
        cache: folder for it; torch's own when None.
    """

    name: str
    url: str
    sha256: str
    cache: Path | None = None

    def path(self) -> Path:
        """Where the file lies, or will."""
        folder = self.cache or Path(torch.hub.get_dir()) / "checkpoints"
        return folder / self.url.rsplit("/", 1)[1]


def field_networks() -> dict[str, FieldNetwork]:
    """The five, by their names on the menu."""
    return {
        name: FieldNetwork(name, SERVER + file, file.partition("-")[2].removesuffix(".pth"))
        for name, file in FILES.items()
    }


def load_field(network: FieldNetwork, progress: Progress = nothing) -> tuple[nn.Module, Card]:
    """The network in eval mode, float32, on the CPU, fetched if need be, and its card.

    Raises:
        DownloadError: it is not here and cannot be fetched.
        CheckpointError: what is here is not a ResNet's state dict.
    """
    from torchvision.models import ResNet18_Weights

    path = network.path()
    if not path.is_file():
        path = next(_in_hub_cache(path.name, network.sha256), path)
    path = fetch(network.url, path, network.sha256, progress)
    entry = next((e for e in FIELD if e.name == network.name), None)
    model, _, _ = recognize(read_checkpoint_file(path, allow_pickle=True), {}, path.name)
    classes = tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])
    config: Any = model.config
    count = int(config.num_logits)
    if count != len(classes):  # not ImageNet's after all
        classes = tuple(f"class {i}" for i in range(count))
    return model, Card(network.name, None, IMAGENET, classes, knows=entry.knows if entry else "")


def _in_hub_cache(file: str, sha256: str) -> Iterator[Path]:
    """Files of this hash in the cache of the Hugging Face hub, whose files are named by it, or of this
    name."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    hub = Path(os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or home / "hub")
    for pattern in (f"models--*/blobs/{sha256}*", f"models--*/snapshots/*/{file}"):
        for path in sorted(hub.glob(pattern)):
            if path.is_file() and has_hash(path, sha256):
                yield path


def _no_card(config: object) -> nn.Module:
    raise ValueError("torchvision's own classes are not rebuilt from cards")


register_family(  # for whoever brings a model of torchvision's own class in Python
    Family(
        "torchvision",
        "torchvision.models.resnet.ResNet",
        _no_card,
        stem=lambda model: nn.Sequential(model.conv1, model.bn1, model.relu, model.maxpool),
        head=lambda model: nn.Sequential(model.avgpool, nn.Flatten(), model.fc),
    )
)
