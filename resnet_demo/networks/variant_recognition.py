"""Which ResNet a state dict belongs to: its configuration, read from names and shapes alone.

What they cannot tell (strides, pools without parameters, the activation) is taken as in torchvision and timm,
unless ``hints`` say otherwise, and comes back as sentences for the page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor, nn

from resnet_demo.i18n import later
from resnet_demo.networks.checkpoints import CheckpointError
from resnet_demo.networks.families import Family, Recognized, register_family
from resnet_demo.networks.preprocessing_files import CIFAR_10, IMAGENET
from resnet_demo.networks.resnet_variants import StageConfig, VariantConfig, VariantResNet, build_variant
from resnet_demo.networks.state_dicts import Body, find_body

HEADS = re.compile(r"(^|[._])(fc|linear|classifier|head|last_linear|output|out)\d*(\.|$)")  # asked first
# trained beside the network and thrown away, such as by contrastive learning: no answer comes out of them
NO_HEADS = re.compile(
    r"(^|[._])(proj(ection|ector)?|prototypes|predictor|contrast\w*|decoder)(_?head)?\d*(\.|$)"
)
ANTIALIASED = re.compile(r"res(net|next)(blur|aa)\d+")  # timm's names of networks with pools for strides
ANTIALIAS: Mapping[str, Literal["blur", "average"]] = {"blur": "blur", "aa": "average"}
Shapes = Mapping[str, tuple[int, ...]]


def recognize_variant(
    tensors: Mapping[str, Tensor], hints: Mapping[str, Any], name: str
) -> Recognized | None:
    """The configuration of the ResNet in ``tensors`` and its tensors by the network's names.

    Args:
        tensors: a flat state dict, with any prefix.
        hints: a config.json of timm or transformers beside it, or {}.
        name: of the file, for sentences.

    Returns:
        None if there are no residual blocks of this family.

    Raises:
        CheckpointError: there are, but in a form that this family does not build.
    """
    body = find_body(tensors, name)
    if body is None:
        return None
    kept = {key: t for key, t in body.tensors.items() if not key.endswith("num_batches_tracked")}
    kept = {key: t for key, t in kept.items() if not re.search(r"(^|\.)(aa|maxpool)(\.\d+)?\.filt$", key)}
    if body.strays:
        raise _unknown(name, body.strays[0])
    blur = len(kept) < sum(not key.endswith("num_batches_tracked") for key in body.tensors)
    try:
        named = {} if "architecture" in hints else _architecture_in(name)
        config = _read_config({key: tuple(t.shape) for key, t in kept.items()}, {**named, **hints}, blur)
    except (LookupError, ValueError, ZeroDivisionError) as error:
        raise _unknown(name, error) from None
    _reshape_attention(kept)
    head, renamed, concat, left = _read_head(body, config.stages[-1].out)
    if any(tensor.ndim >= 4 and tensor.shape[2:].numel() > 1 for tensor in body.others.values()):
        # part of a detector or the like: what follows the blocks is no classifier, whatever fits
        head, renamed, concat, left = (), {}, False, tuple(body.others)
    kept.update(renamed)
    config = VariantConfig(**{**vars(config), "head": head, "concat_pool": concat})
    return Recognized(
        vars(config),
        kept,
        _assumed(config, hints, named, left),
        CIFAR_10 if config.pool == "none" else IMAGENET,
    )


def _unknown(name: str, reason: object) -> CheckpointError:
    return CheckpointError(
        later(
            "{file} has residual blocks of a form that is not known here ({reason}).",
            file=name,
            reason=f"{reason!s:.80}",
        )
    )


def _read_config(shapes: Shapes, hints: Mapping[str, Any], blur: bool) -> VariantConfig:
    numbers = sorted({int(m[1]) for key in shapes if (m := re.match(r"layer(\d+)\.", key))})
    if numbers != list(range(1, len(numbers) + 1)):
        raise ValueError(f"stages {numbers}")
    se, eca = "layer1.0.se.fc1.weight" in shapes, "layer1.0.se.conv.weight" in shapes
    stages = []
    for number in numbers:
        first = f"layer{number}.0."
        blocks = {int(m[1]) for key in shapes if (m := re.match(rf"layer{number}\.(\d+)\.", key))}
        bottleneck = first + "conv3.weight" in shapes
        convs = ("conv1", "conv2") if bottleneck else ("conv1",)
        inner = tuple(
            tuple(shapes[f"layer{number}.{block}.{conv}.weight"][0] for conv in convs)
            for block in range(max(blocks) + 1)
        )
        groups = inner[0][0] // shapes[first + "conv2.weight"][1] if bottleneck else 1
        if not bottleneck and shapes.get(first + "bn1.weight", inner[0])[0] != inner[0][0]:
            raise ValueError("its norms come before its convolutions: a pre-activation network")
        attention = shapes[first + "se.fc1.weight"][0] if se else 0
        attention = shapes[first + "se.conv.weight"][2] if eca else attention
        projects = any(key.startswith(first + "downsample.") for key in shapes)
        out = shapes[f"{first}conv{len(convs) + 1}.weight"][0]
        stages.append(StageConfig(inner, out, groups, attention, projects))
    stem, kernel, in_chnl = _read_stem(shapes)
    shortcut, shortcut_kernel = _read_shortcut(shapes, stages, stem[-1])
    architecture = str(hints.get("architecture", ""))
    if (act := _activation(hints)) not in ("", "relu"):
        raise ValueError(f"{act:.20} for ReLU")
    return VariantConfig(
        tuple(stages),
        in_chnl,
        stem,
        kernel,
        pool="conv" if "maxpool.0.weight" in shapes else "none" if len(stem) == 1 and kernel == 3 else "max",
        shortcut=shortcut,
        shortcut_kernel=shortcut_kernel,
        stride_first=bool(hints.get("downsample_in_bottleneck", False)),
        attention="se" if se else "eca" if eca else "",
        antialias=(
            "blur" if blur else ANTIALIAS[found[2]] if (found := ANTIALIASED.search(architecture)) else ""
        ),
        norm="batch" if "bn1.running_mean" in shapes else "group",
    )


def _architecture_in(name: str) -> Mapping[str, str]:
    """The architecture in a file's name such as resnetaa50_a1h-4cf422b3.pth, where the tensors cannot tell
    it."""
    found = ANTIALIASED.search(name.lower())
    return {"architecture": found.group()} if found else {}


def _activation(hints: Mapping[str, Any]) -> str:
    """The activation that a config.json of timm or transformers names, or ""."""
    arguments = hints.get("model_args")
    named = arguments.get("act_layer", "") if isinstance(arguments, Mapping) else ""
    return str(named or hints.get("hidden_act", "")).lower()


def _read_stem(shapes: Shapes) -> tuple[tuple[int, ...], int, int]:
    """Channels of the stem's convolutions, the kernel of the first, and the channels of the picture."""
    if "conv1.weight" in shapes:
        out, into, kernel, _ = shapes["conv1.weight"]
        if kernel not in (3, 7):
            raise ValueError(f"a stem of kernel {kernel}")
        return (out,), kernel, into
    convs = sorted(
        (int(m[1]), shape)
        for key, shape in shapes.items()
        if (m := re.match(r"conv1\.(\d+)\.weight$", key)) and len(shape) == 4
    )
    if len(convs) != 3 or any(shape[2] != 3 for _, shape in convs):
        raise ValueError(f"a stem of {len(convs)} convolutions")
    return tuple(shape[0] for _, shape in convs), 3, convs[0][1][1]


def _read_shortcut(shapes: Shapes, stages: list[StageConfig], stem: int) -> tuple[Any, int]:
    """How blocks that change the shape go around themselves, and the kernel of their convolution."""
    projecting = [i + 1 for i, stage in enumerate(stages) if stage.projects and i]
    if not projecting:
        if len(stages) > 1 and stages[0].out != stem:
            raise ValueError("blocks that change the shape have no shortcut")
        return ("pad" if len(stages) > 1 else "project"), 1
    if len(projecting) != len(stages) - 1:
        raise ValueError("some stages have a projection and some have none")
    first = f"layer{projecting[0]}.0.downsample."
    if len(shapes.get(first + "1.weight", ())) == 4:
        return "average", 1
    return "project", shapes[first + "0.weight"][2]


def _reshape_attention(tensors: dict[str, Tensor]) -> None:
    """Linear layers of squeeze-and-excitation to 1x1 convolutions, and biases where there were none."""
    for key in [k for k in tensors if re.search(r"\.se\.fc[12]\.weight$", k)]:
        tensor = tensors[key]
        if tensor.ndim == 2:
            tensors[key] = tensor[:, :, None, None]
        tensors.setdefault(key.removesuffix("weight") + "bias", tensor.new_zeros(len(tensor)))


def _natural(key: str) -> list[Any]:
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in key.split(".")]


def _read_head(
    body: Body, channels: int
) -> tuple[tuple[tuple[Any, ...], ...], dict[str, Tensor], bool, tuple[str, ...]]:
    """The layers after the pool that lead from ``channels`` on, their tensors as ``fc…``, whether the pool
    gives maxima too, and the names of tensors that lead nowhere."""
    modules: dict[str, dict[str, Tensor]] = {}
    for key in sorted(body.others, key=lambda k: (not HEADS.search(k), _natural(k))):
        module, _, kind = key.rpartition(".")
        modules.setdefault(module, {})[kind] = body.others[key]
    width, concat, relu_due = channels, False, False
    layers: list[tuple[Any, ...]] = []
    tensors: list[tuple[int, str, Tensor]] = []
    left: list[str] = []
    place: tuple[str, int | None] = ("", None)
    for module, parts in modules.items():
        weight = parts.get("weight")
        matrix = weight is not None and (
            weight.ndim == 2 or (weight.ndim == 4 and weight.shape[2:].numel() == 1)
        )
        is_norm = weight is not None and weight.ndim == 1 and "running_mean" in parts
        gives = (
            weight.shape[1]
            if matrix and weight is not None
            else len(weight)
            if is_norm and weight is not None
            else 0
        )
        if not layers and gives == 2 * channels:
            width, concat = gives, True
        if gives != width or weight is None or NO_HEADS.search(module):
            left += [
                f"{module}.{kind}" if module else kind for kind in parts if kind != "num_batches_tracked"
            ]
            continue
        parent, _, number = module.rpartition(".")
        gap = (
            place[0] == parent and number.isdecimal() and place[1] is not None and int(number) - place[1] > 1
        )
        if relu_due and (
            matrix or gap
        ):  # Linear, ReLU, norm or Linear, norm, ReLU: the gap in the numbers tells
            layers.append(("relu",))
            relu_due = False
        place = parent, int(number) if number.isdecimal() else None
        index = len(layers)
        if matrix:
            layers.append(("linear", width, int(weight.shape[0]), "bias" in parts))
            parts = {**parts, "weight": weight.flatten(1)}
            width, relu_due = int(weight.shape[0]), True
        else:
            layers.append(("norm", width))
        tensors += [(index, kind, t) for kind, t in parts.items() if kind != "num_batches_tracked"]
    single = len(layers) == 1
    named = {f"fc.{kind}" if single else f"fc.{i}.{kind}": tensor for i, kind, tensor in tensors}
    return tuple(layers), named, concat, tuple(left)


def _assumed(
    config: VariantConfig, hints: Mapping[str, Any], named: Mapping[str, str], left: tuple[str, ...]
) -> tuple[str, ...]:
    found: list[str] = []
    if not config.head:
        found.append(later("The file has no last layer, so there is no answer, only what the blocks do."))
    if named:
        found.append(
            later(
                "Assumed from the file's name: strides, pools and activations as in timm's {architecture}.",
                architecture=named["architecture"],
            )
        )
    elif not {"downsample_in_bottleneck", "architecture"} & hints.keys():
        found.append(
            later(
                "Assumed, since the file cannot tell: strides, pools and activations as in torchvision's"
                " ResNets, without timm's blurred (blur) or averaged (aa) strides."
            )
        )
    if config.pool == "none":
        found.append(later("Assumed, since the file cannot tell: a 3×3 stem of stride 1 without a pool."))
    if config.shortcut == "pad":
        found.append(
            later("Assumed, since the file cannot tell: shortcuts without parameters that pad with zeros.")
        )
    if config.norm == "group":
        found.append(later("Assumed, since the file has no running means: group norms of 32 groups."))
    if sum(layer[0] == "linear" for layer in config.head) > 1:
        found.append(later("Assumed, since the file cannot tell: ReLU between the last linear layers."))
    if config.concat_pool:
        found.append(later("Assumed, since the file cannot tell: the pool gives maxima, then means."))
    if left:
        found.append(
            later(
                "{count} tensors are no part of the network and were left aside, such as {key}.",
                count=len(left),
                key=f"{left[0]:.60}",
            )
        )
    return tuple(found)


register_family(
    Family(
        "resnet",
        VariantResNet,
        build_variant,
        recognize_variant,
        stem=lambda model: nn.Sequential(model.conv1, model.bn1, model.relu, model.maxpool),
        head=lambda model: nn.Sequential(model.avgpool, nn.Flatten(), model.fc),
    )
)
