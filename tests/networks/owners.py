"""What else people do with a state dict, and whose code wrote it: networks and wrappings for the table."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

State = dict[str, Tensor]


class PaperBlock(nn.Module):
    """As in the CIFAR-100 networks that people copy: the branch is a Sequential, ReLU is a function."""

    def __init__(self, into: int, out: int, stride: int, deep: bool) -> None:
        super().__init__()
        wide = 4 * out if deep else out
        convs = [(into, out, 1, 1), (out, out, 3, stride), (out, wide, 1, 1)] if deep else []
        convs = convs or [(into, out, 3, stride), (out, out, 3, 1)]
        layers: list[nn.Module] = []
        for a, b, kernel, by in convs:
            layers += [nn.Conv2d(a, b, kernel, by, kernel // 2, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
        self.residual_function = nn.Sequential(*layers[:-1])
        self.shortcut = nn.Sequential()
        if stride != 1 or into != wide:
            self.shortcut = nn.Sequential(nn.Conv2d(into, wide, 1, stride, bias=False), nn.BatchNorm2d(wide))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.residual_function(x) + self.shortcut(x))


class PaperNames(nn.Module):
    """A CIFAR ResNet whose stages are called as in the paper's table: conv2_x to conv5_x."""

    def __init__(self, deep: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        into = 16
        for i in range(4):
            blocks = []
            for j in range(2):
                blocks.append(PaperBlock(into, 16 * 2**i, 2 if i and not j else 1, deep))
                into = 16 * 2**i * (4 if deep else 1)
            self.add_module(f"conv{i + 2}_x", nn.Sequential(*blocks))
        self.avg_pool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(into, 100)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        for i in range(4):
            x = getattr(self, f"conv{i + 2}_x")(x)
        return self.fc(self.avg_pool(x).flatten(1))  # type: ignore[no-any-return]


def preactivated() -> State:
    """A state dict of the CIFAR code's PreActResNet: norms stand before convolutions, the stem has none."""
    state: State = {"conv1.weight": torch.zeros(64, 3, 3, 3)}
    into = 64
    for stage, out in enumerate((64, 128, 256, 512), 1):
        for block in range(2):
            at = f"layer{stage}.{block}."
            for number, (a, b) in enumerate(((into, out), (out, out)), 1):
                state |= {f"{at}bn{number}.{kind}": torch.ones(a)
                          for kind in ("weight", "bias", "running_mean", "running_var")}  # fmt: skip
                state[f"{at}conv{number}.weight"] = torch.zeros(b, a, 3, 3)
            if into != out:
                state[f"{at}shortcut.0.weight"] = torch.zeros(out, into, 1, 1)
            into = out
    return {**state, "linear.weight": torch.zeros(10, 512), "linear.bias": torch.zeros(10)}


def prefixed(*prefixes: str) -> Callable[[State], Any]:
    return lambda state: {"".join(prefixes) + key: tensor for key, tensor in state.items()}


def averaged(state: State) -> Any:
    """What torch.optim.swa_utils.AveragedModel saves."""
    return {"n_averaged": torch.tensor(7), **prefixed("module.")(state)}


def mixed(state: State) -> Any:
    """Convolutions in half precision, norms in bfloat16, the head in single."""
    kinds = {"conv": torch.float16, "bn": torch.bfloat16}
    found = {key: next((dtype for part, dtype in kinds.items() if part in key), None) for key in state}
    return {k: v.to(found[k]) if found[k] and v.is_floating_point() else v for k, v in state.items()}


def contrasted(state: State) -> Any:
    """A ResNet of contrastive learning: its last layers were for training alone."""
    body = {key: tensor for key, tensor in state.items() if not key.startswith("fc")}
    return body | {
        "projection_head.0.weight": torch.ones(64, 512),
        "projection_head.0.bias": torch.ones(64),
        "projection_head.3.weight": torch.ones(16, 64),
        "prototypes.weight": torch.ones(30, 16),
    }


def mmlab(state: State) -> Any:
    """What OpenMMLab's programs write."""
    named = {("head." if k.startswith("fc") else "backbone.") + k: v for k, v in state.items()}
    return {"meta": {"epoch": 100, "CLASSES": ("a", "b", "c", "d")}, "state_dict": named, "optimizer": {}}


def vissl(state: State) -> Any:
    """What VISSL's programs write; its trunk has no head, this one has kept torchvision's."""
    trunk = prefixed("_feature_blocks.")(state)
    return {"classy_state_dict": {"base_model": {"model": {"trunk": trunk, "heads": {}}}}}


def run_options(state: State) -> Any:
    """A script's options beside the weights: an argparse.Namespace, paths, numpy numbers."""
    options = argparse.Namespace(lr=0.1, out=Path("runs/1"), acc=np.float64(0.93))
    return {"args": options, "epoch": np.int64(3), "model": state, "rng": torch.get_rng_state()}


def channels_last(state: State) -> Any:
    return {
        k: v.contiguous(memory_format=torch.channels_last) if v.ndim == 4 else v for k, v in state.items()
    }


def as_parameters(state: State) -> Any:
    return {k: nn.Parameter(v) if v.is_floating_point() else v for k, v in state.items()}


def beside_projection(state: State) -> Any:
    return {"projector.0.weight": torch.ones(64, 512), "projector.0.bias": torch.ones(64), **state}
