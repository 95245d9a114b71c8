"""From what a checkpoint file holds to a flat state dict with the names of torchvision and timm.

Only names and shapes are read. Wrappers (``state_dict``, ``model`` …) are opened, prefixes (``module.``,
``backbone.`` … in any nesting) are taken off, and the names of transformers, fastai, of CIFAR code and of
``Sequential(*children)`` are put into torchvision's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from resnet_demo.i18n import later
from resnet_demo.networks.checkpoints import CheckpointError

# in this order: averaged weights are those that are meant to be used
WRAPPERS = (
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "module",
    "weights",
    "params",
    "net_state_dict",
    "encoder_state_dict",
    "backbone",
)
MAX_NESTING = 5
FIRST = re.compile(r"^(|.*[._])(layer1\.0\.conv1\.weight)$")
FIRST_CHILDREN = re.compile(r"^(|.*\.)4\.0\.conv1\.weight$")  # Sequential(*resnet.children())
FIRST_TRANSFORMERS = re.compile(r"^(|.*\.)encoder\.stages\.0\.layers\.0\.layer\.0\.convolution\.weight$")
FIRST_NUMBERED = re.compile(
    r"^(|.*\.)conv2_x\.0\.residual_function\.0\.weight$"
)  # the paper's names of stages
CHILDREN = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
STRAY = re.compile(r"(conv|stem|stage|transition)\w*\.")  # more convolutions beside stem and blocks
BODY = re.compile(r"^(conv1|bn1|maxpool|layer\d+)\.")


@dataclass(frozen=True)
class Body:
    """The convolutional part of a network with torchvision's names, and whatever else the file holds.

    Attributes:
        tensors: of stem and blocks.
        others: the rest, in the file's order and with its names, shortened by the prefix of the body.
        strays: names among the others of what can only be a part of the body, which then is no ResNet's.
    """

    tensors: dict[str, Tensor]
    others: dict[str, Tensor]
    strays: tuple[str, ...] = ()


def unwrap(found: Any, name: str) -> tuple[dict[str, Tensor], str]:
    """The state dict inside whatever a file held, and the name of the wrapper it was taken from.

    Raises:
        CheckpointError: there is none; the sentence says what there is instead.
    """
    taken = ""
    for _ in range(MAX_NESTING):
        if not isinstance(found, Mapping):
            break
        inner = next((k for k in WRAPPERS if isinstance(found.get(k), Mapping) and _tensors(found[k])), None)
        if inner is None:
            break
        found, taken = found[inner], inner
    if not isinstance(found, Mapping):
        raise CheckpointError(
            later("{file} holds no state dict: save model.state_dict() and bring that.", file=name)
        )
    tensors = {k: v for k, v in found.items() if isinstance(k, str) and isinstance(v, Tensor)}
    if len(tensors) < len(found):  # a wrapper of a name that nobody knows
        inside = [v for v in found.values() if isinstance(v, Mapping) and _tensors(v) > 3]
        if not tensors and len(inside) == 1:
            return unwrap(inside[0], name)
    if not tensors:
        raise CheckpointError(_without_tensors(found, name))
    return tensors, taken


def _tensors(found: Mapping[Any, Any], depth: int = 0) -> int:
    """How many tensors lie in ``found`` or in mappings within it."""
    count = sum(isinstance(v, Tensor) for v in found.values())
    if depth < MAX_NESTING:
        count += sum(_tensors(v, depth + 1) for v in found.values() if isinstance(v, Mapping))
    return count


def _without_tensors(found: Mapping[Any, Any], name: str) -> str:
    if {"state", "param_groups"} <= found.keys() or any("optim" in str(k) for k in found):
        return later(
            "{file} is an optimizer's state, without the network: save model.state_dict() and bring that.",
            file=name,
        )
    return later("{file} holds no tensors: save model.state_dict() and bring that.", file=name)


def strip_prefix(
    tensors: Mapping[str, Tensor], first: str, last: str, name: str = ""
) -> dict[str, Tensor] | None:
    """The tensors that share the prefix of those called ``first`` and ``last``, without it; None if there are
    none.

    Raises:
        CheckpointError: there are several.
    """
    prefixes = [key.removesuffix(first) for key in tensors if key == first or key.endswith("." + first)]
    prefixes = [prefix for prefix in prefixes if prefix + last in tensors]
    if not prefixes:
        return None
    _only(prefixes, name)
    return {
        key.removeprefix(prefixes[0]): tensor
        for key, tensor in tensors.items()
        if key.startswith(prefixes[0]) and not key.endswith("num_batches_tracked")
    }


def _only(prefixes: list[str], name: str) -> None:
    if len(prefixes) > 1:
        raise CheckpointError(
            later(
                "{file} holds several networks ({names}): save the state dict of one of them.",
                file=name,
                names=", ".join(sorted(repr(prefix)[:40] for prefix in prefixes)),
            )
        )


def find_body(tensors: Mapping[str, Tensor], name: str = "") -> Body | None:
    """Stem and blocks of the ResNet in ``tensors``; None if there is none.

    Raises:
        CheckpointError: there are several.
    """
    kinds: tuple[tuple[re.Pattern[str], Callable[[str], str | None]], ...] = (
        (FIRST, _from_torchvision),
        (FIRST_TRANSFORMERS, _from_transformers),
        (FIRST_CHILDREN, _from_children),
        (FIRST_NUMBERED, _from_numbered),
    )
    for first, rename in kinds:
        prefixes = [match.group(1) for key in tensors if (match := first.match(key))]
        _only(prefixes, name)
        if prefixes:
            return _split(tensors, prefixes[0], rename)
    return None


def _split(tensors: Mapping[str, Tensor], prefix: str, rename: Callable[[str], str | None]) -> Body:
    body: dict[str, Tensor] = {}
    others: dict[str, Tensor] = {}
    strays = []
    for key, tensor in tensors.items():
        inner = key.removeprefix(prefix)
        new = rename(inner) if key.startswith(prefix) else None
        if new is not None:
            body[new] = tensor
        else:
            others[inner] = tensor
            if key.startswith(prefix) and STRAY.match(inner) and tensor.ndim == 4:
                strays.append(inner)
    return Body(body, others, tuple(strays))


def _from_torchvision(key: str) -> str | None:
    """Names of torchvision, timm and CIFAR code; None for what is not stem or block."""
    if not BODY.match(key):
        return None
    key = re.sub(r"\.(shortcut|skip|proj_shortcut)\.", ".downsample.", key)
    key = key.replace(".se_module.", ".se.")
    key = re.sub(r"\.se\.(fc|excitation)\.0\.", ".se.fc1.", key)
    return re.sub(r"\.se\.(fc|excitation)\.2\.", ".se.fc2.", key)


def _from_children(key: str) -> str | None:
    """Names of ``Sequential(*list(resnet.children())[:-1])``."""
    first, _, rest = key.partition(".")
    return f"{CHILDREN[first]}.{rest}" if first in CHILDREN else None


def _from_numbered(key: str) -> str | None:
    """Names of CIFAR code that calls stages conv2_x to conv5_x, as the paper's table does."""
    layers = {"0": "conv1", "1": "bn1", "3": "conv2", "4": "bn2", "6": "conv3", "7": "bn3"}
    if match := re.match(r"^conv1\.([01])\.(.+)$", key):
        return f"{layers[match[1]]}.{match[2]}"
    block = r"^conv([2-9])_x\.(\d+)\."
    if match := re.match(block + r"residual_function\.([013467])\.(.+)$", key):
        return f"layer{int(match[1]) - 1}.{match[2]}.{layers[match[3]]}.{match[4]}"
    if match := re.match(block + r"shortcut\.(.+)$", key):
        return f"layer{int(match[1]) - 1}.{match[2]}.downsample.{match[3]}"
    return None


def _from_transformers(key: str) -> str | None:
    """Names of transformers' ResNet."""
    parts = {"convolution": ("conv", "0"), "normalization": ("bn", "1")}
    if match := re.match(r"^embedder\.embedder\.(convolution|normalization)\.(.+)$", key):
        return f"{parts[match[1]][0]}1.{match[2]}"
    block = r"^encoder\.stages\.(\d+)\.layers\.(\d+)\."
    if match := re.match(block + r"layer\.(\d+)\.(convolution|normalization)\.(.+)$", key):
        return f"layer{int(match[1]) + 1}.{match[2]}.{parts[match[4]][0]}{int(match[3]) + 1}.{match[5]}"
    if match := re.match(block + r"shortcut\.(convolution|normalization)\.(.+)$", key):
        return f"layer{int(match[1]) + 1}.{match[2]}.downsample.{parts[match[3]][1]}.{match[4]}"
    return None


REFUSALS = (  # pattern among the names, what that is
    (
        r"(^|\.)(blocks|layers|layer|encoder_layer_\d+)\.\d+\.(attn|attention|self_attention|self_attn)\.",
        later("a transformer"),
    ),
    (
        r"(cls_token|pos_embed|class_embedding|position_embeddings)",
        later("a network of attention, such as a vision transformer"),
    ),
    (
        r"(^|\.)(generator|netG|discriminator|netD|mapping|synthesis)\.|^(main|deconv)\.",
        later("a generative network"),
    ),
    (
        r"(^|\.)stages\.\d+\.(blocks\.)?\d+\.(conv_dw|dwconv|gamma)|(^|\.)features\.\d+\.\d+\.block\.",
        later("a ConvNeXt, EfficientNet or MobileNet"),
    ),
    (r"(^|\.)denseblock\d|(^|\.)denselayer\d", later("a DenseNet")),
    (
        r"(^|\.)(_blocks|blocks)\.\d+\.(\d+\.)?(_?conv_pw|_?conv_dw|_?depthwise_conv)",
        later("an EfficientNet, MobileNet or GhostNet"),
    ),
    (r"(^|\.)features\.\d+\.conv\.\d", later("a MobileNet")),
    (r"(^|\.)features\.\d+\.(weight|bias)$", later("a VGG, AlexNet or SqueezeNet")),
    (r"(lora_[AB]|lora_up|lora_down)", later("a LoRA adapter")),
    (r"(^|\.)(exp_avg|momentum_buffer)", later("an optimizer's state")),
    (r"(^|\.)(rpn|roi_heads|box_head|mask_head)\.", later("a detector")),
)


def what_is_it(tensors: Mapping[str, Tensor]) -> str:
    """A word or two on the network that these names belong to, if they tell; else ""."""
    for pattern, kind in REFUSALS:
        if any(re.search(pattern, key) for key in tensors):
            return kind
    return ""
