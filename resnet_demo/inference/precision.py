"""Fewer bits where that is faster: the convolutions of a network in bfloat16 or float16.

bfloat16 keeps 8 of float32's 24 binary digits and its whole range (https://arxiv.org/abs/1905.12322);
processors with AVX-512 BF16 or AMX multiply it in half the time or a quarter. A processor is not asked
whether it has them: a convolution is timed in both ways when the first network is loaded. Convolutions and
what is between them are computed in fewer bits, the average at the end and the last layer in float32.

Of the networks that come with a card, "auto" takes those whose card says that their accuracy was measured in
that precision. Numbers that people copy come from float32, see ``PhotoEngine.exact``.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from resnet_demo.analysis.layer_summary import stages
from resnet_demo.inference.optimize import pack_weights
from resnet_demo.networks.cards import Card

FLOAT32 = "float32"
DTYPES = {FLOAT32: torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
USUAL = {"cpu": "bfloat16", "cuda": "float16", "mps": "float16"}  # what "auto" tries
PROBE = 256  # channels of the layer that is timed
ROUNDS = 12
AT_MOST_S = 0.3
WORTH = 0.75  # of float32's time; a smaller gain would come and go with what else the machine does

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Arithmetic:
    """One way to compute a network.

    Attributes:
        model: in eval mode, takes (B, C, H, W) of the precision's dtype.
        layers: those of its trace, by name.
        precision: a name of DTYPES.
    """

    model: nn.Module
    layers: Mapping[str, nn.Module]
    precision: str = FLOAT32

    def prepared(self, x: Tensor) -> Tensor:
        """A batch (B, C, H, W) float32 in the dtype that the model takes."""
        return x.to(DTYPES[self.precision])


class ReducedInside(nn.Module):
    """An arithmetic as a network that takes (B, C, H, W) float32."""

    def __init__(self, arithmetic: Arithmetic) -> None:
        super().__init__()
        self.model, self.prepared = arithmetic.model, arithmetic.prepared

    def forward(self, x: Tensor) -> Tensor:
        return self.model(self.prepared(x)).float()  # type: ignore[no-any-return]


class Float32AvgPool2d(nn.AdaptiveAvgPool2d):
    """The average pool, in float32 whatever it is given."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.float())


class Float32Linear(nn.Linear):
    """The linear layer, in float32 whatever it is given."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.float())


def reduced(model: nn.Module, precision: str, size: tuple[int, int, int, int]) -> nn.Module | None:
    """A copy of ``model`` that convolves in fewer bits; None for a network with weights of other layers than
    convolutions, batch norms and linear ones.

    Args:
        model: in eval mode, its norms folded or not; not changed.
        precision: a name of DTYPES.
        size: (B, C, H, W) of the input that it will mostly see.
    """
    known = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)
    weighty = [m for m in model.modules() if next(m.parameters(recurse=False), None) is not None]
    if not all(isinstance(module, known) for module in weighty):
        return None
    made = copy.deepcopy(model)
    for module in made.modules():
        if isinstance(module, nn.Conv2d):
            module.to(DTYPES[precision])
        elif type(module) is nn.AdaptiveAvgPool2d:
            module.__class__ = Float32AvgPool2d
        elif type(module) is nn.Linear:
            module.__class__ = Float32Linear
    made.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if next(made.parameters()).device.type == "cpu":
        pack_weights(made, size, DTYPES[precision])
    return made


def choose(model: nn.Module, card: Card, wanted: str, example: Tensor) -> Arithmetic | None:
    """How the network is computed in fewer bits, or None where it stays with float32.

    Args:
        model: ready to run in float32; not changed.
        card: its own.
        wanted: one of ``options.PRECISIONS``; "auto" asks the card and the clock, a name asks neither.
        example: (1, C, H, W) float32 on the model's device.
    """
    precision = USUAL.get(example.device.type, FLOAT32) if wanted == "auto" else wanted
    if precision == FLOAT32 or (wanted == "auto" and precision not in card.precisions):
        return None
    _, c, h, w = example.shape
    if wanted == "auto" and share_of_time(precision, example.device) > WORTH:
        return None
    other = reduced(model, precision, (1, c, h, w))
    if other is None:
        return None
    made = Arithmetic(other, stages(other), precision)
    try:
        with torch.inference_mode():
            other(made.prepared(example))  # warms up
    except RuntimeError:
        log.warning("%s cannot be computed in %s here", card.network, precision)
        return None
    return made


@cache
def share_of_time(precision: str, device: torch.device) -> float:
    """The time that a convolution takes in that precision, in its time in float32; 1 where it cannot be
    computed. Measured once a process: the best of ROUNDS each, in turn."""
    best: dict[str, float] = {}
    try:
        with torch.inference_mode():
            layers = {name: _probe(name, device) for name in (FLOAT32, precision)}
            until = time.perf_counter() + AT_MOST_S
            for round_ in range(ROUNDS):
                if round_ > 2 and time.perf_counter() > until:
                    break
                for name, (layer, x) in layers.items():
                    started = time.perf_counter()
                    layer(x).sum().item()  # waits for a GPU
                    best[name] = min(time.perf_counter() - started, best.get(name, math.inf))
    except RuntimeError:
        return 1.0
    return best[precision] / best[FLOAT32]


def _probe(precision: str, device: torch.device) -> tuple[nn.Module, Tensor]:
    """A layer of a middle block and its input, (1, PROBE, 18, 18)."""
    x = torch.ones(1, PROBE, 18, 18, device=device, dtype=DTYPES[precision])
    layer = nn.Sequential(nn.Conv2d(PROBE, PROBE, 3, padding=1, device=device, dtype=DTYPES[precision]))
    x = x.to(memory_format=torch.channels_last)
    layer = layer.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if device.type == "cpu":
        pack_weights(layer, (1, PROBE, 18, 18), DTYPES[precision])
    return layer, x
