"""Networks of the field: torchvision's ResNets with ImageNet weights, and state dicts of one's own.

Weights are fetched on first use into torch's own cache, where torchvision keeps them too, and
read as plain tensors (``weights_only``): nothing in a file is ever executed.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from resnet_demo.i18n import later
from resnet_demo.networks.cards import FIELD
from resnet_demo.networks.checkpoints import Card, CheckpointError, load_strictly, read_tensors
from resnet_demo.networks.download import Progress, fetch, nothing
from resnet_demo.networks.families import Family, register_family
from resnet_demo.records import Preprocessing

SERVER = "https://download.pytorch.org/models/"
FILES = {  # torchvision's IMAGENET1K_V1; each name ends in the first eight digits of its SHA-256
    "ResNet-18": "resnet18-f37072fd.pth",
    "ResNet-34": "resnet34-b627a593.pth",
    "ResNet-50": "resnet50-0676ba61.pth",
    "ResNet-101": "resnet101-63fe2227.pth",
    "ResNet-152": "resnet152-394f9c45.pth",
}
SIDE = 224  # pixels, of photos for torchvision's ResNets
MAX_BYTES = 500_000_000


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


@dataclass(frozen=True)
class OwnNetwork:
    """A torchvision ResNet's state dict on this machine, with the names of its classes."""

    name: str
    path: Path
    classes: tuple[str, ...]
    allow_pickle: bool = False


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

    path = fetch(network.url, network.path(), network.sha256, progress)
    entry = next((e for e in FIELD if e.name == network.name), None)
    model = build(read_state(path, allow_pickle=True), path.name)
    classes = tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])
    if outputs(model) != len(classes):  # not ImageNet's after all
        classes = tuple(f"class {i}" for i in range(outputs(model)))
    return model, Card(
        network.name, None, Preprocessing(SIDE, "crop"), classes, knows=entry.knows if entry else ""
    )


def own_network(path: Path, classes: Path | None = None, allow_pickle: bool = False) -> OwnNetwork:
    """A state dict and its class names: a JSON list in ``classes``, or beside it as ``<stem>.classes.json``.

    A .pth file is read, as tensors alone, only with ``allow_pickle``.

    Raises:
        CheckpointError: no list of names there.
    """
    names = classes or path.with_suffix(".classes.json")
    try:
        listed = json.loads(names.read_text(encoding="utf-8"))
        if not listed or not isinstance(listed, list) or not all(isinstance(n, str) for n in listed):
            raise ValueError
    except (OSError, ValueError, RecursionError):
        raise CheckpointError(
            later(
                "{names} must be a JSON list of class names, in the order of {file}'s outputs.",
                names=names.name,
                file=path.name,
            )
        ) from None
    return OwnNetwork(path.stem, path, tuple(listed), allow_pickle)


def load_own(network: OwnNetwork) -> tuple[nn.Module, Card]:
    """The network of one's own, in eval mode, float32, on the CPU, and a card for it.

    Raises:
        CheckpointError: it is missing, not a ResNet's state dict, or its classes are of another number.
    """
    model = build(read_state(network.path, network.allow_pickle), network.path.name)
    count = outputs(model)
    wanted = 2 if count == 1 else count
    if len(network.classes) != wanted:
        raise CheckpointError(
            later(
                "{file} has {count} outputs, which need {wanted} class names, not {found}.",
                file=network.path.name,
                count=count,
                wanted=wanted,
                found=len(network.classes),
            )
        )
    knows = f"This network is your own, {network.path.name}; it knows {len(network.classes)} classes."
    return model, Card(network.name, None, Preprocessing(SIDE, "crop"), network.classes, knows=knows)


def outputs(model: nn.Module) -> int:
    """How many logits a torchvision ResNet has."""
    return len(model.state_dict()["fc.bias"])


def read_state(path: Path, allow_pickle: bool) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a .pth through ``weights_only`` where that is allowed.

    Raises:
        CheckpointError: missing, too large, damaged, or with anything but tensors in it.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CheckpointError(
                later(
                    "{file} is larger than {most} bytes, which is the most that is read.",
                    file=path.name,
                    most=MAX_BYTES,
                )
            )
        if path.suffix == ".safetensors":
            return read_tensors(path.name, path.read_bytes())
        if not allow_pickle:
            raise CheckpointError(
                later(
                    "{file} is not a .safetensors file; convert it, or allow pickled tensors with --allow-pth.",
                    file=path.name,
                )
            )
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(
            later(
                "{file} could not be read: {reason}.",
                file=path.name,
                reason=error.strerror or "no such file",
            )
        ) from None
    except (
        RuntimeError,
        pickle.UnpicklingError,
        EOFError,
        ValueError,
        LookupError,
        zipfile.BadZipFile,
    ) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            later("{file} is damaged, or holds more than tensors; it was not loaded.", file=path.name)
        ) from error
    if not isinstance(state, dict) or not all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()
    ):
        raise CheckpointError(later("{file} is not a state dict of tensors.", file=path.name))
    return state


def build(state: Mapping[str, Tensor], name: str) -> nn.Module:
    """The ResNet of torchvision that ``state`` fits: block, depth, width and classes are read from it.

    Raises:
        CheckpointError: it is none's, or a tensor is missing, extra or misshapen.
    """
    from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

    try:
        depths = []
        for stage in range(1, 5):
            numbers = {int(key.split(".")[1]) for key in state if key.startswith(f"layer{stage}.")}
            depths.append(max(numbers) + 1)
        first, conv2 = state["layer1.0.conv1.weight"], state["layer1.0.conv2.weight"]
        block = Bottleneck if "layer1.0.conv3.weight" in state else BasicBlock
        groups = first.shape[0] // conv2.shape[1]
        model = ResNet(
            block,
            depths,
            num_classes=len(state["fc.bias"]),
            groups=groups,
            width_per_group=first.shape[0] // groups,
        )
    except (LookupError, ValueError, IndexError, ZeroDivisionError, TypeError, RuntimeError):
        raise CheckpointError(
            later("{file} is not the state dict of one of torchvision's ResNets.", file=name)
        ) from None
    load_strictly(model, dict(state), name)
    return model.eval()


def _no_card(config: Mapping[str, object]) -> nn.Module:
    raise ValueError("torchvision's networks are built from their state dicts")


register_family(
    Family(
        "torchvision",
        "torchvision.models.resnet.ResNet",
        _no_card,
        stem=lambda model: nn.Sequential(model.conv1, model.bn1, model.relu, model.maxpool),
        head=lambda model: nn.Sequential(model.avgpool, nn.Flatten(), model.fc),
    )
)
