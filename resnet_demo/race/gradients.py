"""Gradients in fresh networks: how large they are at each block, and how they change along a line of inputs.

Three acts, each measured: without batch norm the gradient of a plain network dies on its way to the first
block; with it, it grows with depth (Yang et al. 2019, https://arxiv.org/abs/1902.08129); with shortcuts it
grows far less, and with branches that start at zero it keeps its size. He et al. 2015 § 4.1 found it
"healthy" in plain networks with batch norm and looked for another reason; Balduzzi et al. 2017
(https://arxiv.org/abs/1702.08591) found one: the gradients of deep plain networks are shattered, those at two
neighbouring inputs have little to do with each other.

``python -m resnet_demo.race.gradients`` measures them anew and stores them for the page, in some minutes.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from resnet_demo.race.data import RaceData, load
from resnet_demo.race.networks import RaceNetwork, build
from resnet_demo.race.records import BATCH
from resnet_demo.race.stored_gradients import DEPTHS, SEEDS, STORED
from resnet_demo.race.worker import shorter

POINTS = 256  # inputs on a line, as many as in the paper
LINES = 8
LAGS = 15
SETTLING = 8  # batches from which batch norm takes its statistics
ACTS = {  # act -> network, batch norm
    "without_norms": ("plain", False),
    "with_norms": ("plain", True),
    "residual": ("residual", True),
    "rezero": ("rezero", True),
}
SHATTERED = {"shallow": ("plain", 1), "plain": ("plain", None), "residual": ("residual", None)}


@dataclass(frozen=True)
class GradientActs:
    """Norm of d loss / d output of each block of fresh networks, the stem first, mean over a batch of digits.

    Attributes:
        blocks: residual blocks of each network.
        norms: act -> blocks + 1 norms.
    """

    blocks: int
    norms: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Shattering:
    """How the gradient changes along lines of inputs.

    Attributes:
        blocks: of the deep networks; "shallow" has one.
        traces: network -> POINTS derivatives of the first logit along one line, over the largest of them.
        correlations: network -> their autocorrelation at lags of 1..LAGS inputs, mean over lines.
    """

    blocks: int
    traces: dict[str, tuple[float, ...]]
    correlations: dict[str, tuple[float, ...]]


def gradient_acts(blocks: int, seed: int = 0) -> GradientActs:
    """The acts in networks of ``blocks`` blocks, all with the same initial weights."""
    digits = load("digits")
    pictures, wanted = torch.from_numpy(digits.train[:BATCH]), torch.from_numpy(digits.train_labels[:BATCH])
    norms = {act: block_gradients(build(kind, blocks, seed, norms=normed), pictures, wanted)
             for act, (kind, normed) in ACTS.items()}  # fmt: skip
    return GradientActs(blocks, norms)


def block_gradients(network: RaceNetwork, pictures: Tensor, wanted: Tensor) -> tuple[float, ...]:
    """Norms of the gradient of the loss of a batch (B, 1, H, W) at the stem's and every block's output."""
    network.train()
    logits, stages = network.stages(pictures)
    values = [stages[0].x, *(stage.output for stage in stages)]
    found = torch.autograd.grad(cross_entropy(logits, wanted), values)
    return tuple(float(gradient.norm()) for gradient in found)


def shattering(blocks: int, seeds: int = SEEDS) -> Shattering:
    """Derivatives along straight lines between digits in a shallow, a deep plain and a deep residual network.

    The traces are those of the first line through the first network, the correlations means over all.
    """
    digits = load("digits")
    traces, correlations = {}, {}
    for name, (kind, depth) in SHATTERED.items():
        networks = [settled(build(kind, depth or blocks, seed), digits) for seed in range(seeds)]
        lines = [derivatives(net, line(digits, i)) for net in networks for i in range(LINES)]
        largest = float(np.abs(lines[0]).max()) or 1.0
        traces[name] = tuple((lines[0] / largest).tolist())
        correlations[name] = tuple(np.mean([autocorrelation(one) for one in lines], 0).tolist())
    return Shattering(blocks, traces, correlations)


def line(digits: RaceData, number: int) -> Tensor:
    """(POINTS, 1, 8, 8): pictures on the straight line between two held-out digits of different kinds."""
    start, end = (torch.from_numpy(digits.test[i]) for i in (number, number + 1))
    share = torch.linspace(0, 1, POINTS)[:, None, None, None]
    return start + share * (end - start)


def settled(network: RaceNetwork, digits: RaceData) -> RaceNetwork:
    """``network`` in eval mode, batch norm with the statistics of its own inputs for training digits."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the mean of all batches
        norm.reset_running_stats()
    network.train()
    with torch.no_grad():
        for i in range(SETTLING):
            network(torch.from_numpy(digits.train[i * BATCH : (i + 1) * BATCH]))
    return network.eval()


def derivatives(network: RaceNetwork, pictures: Tensor) -> NDArray[np.float64]:
    """(N,) derivatives of the first logit along the line that ``pictures`` (N, 1, H, W) lie on."""
    x = pictures.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(x)[:, 0].sum(), x)
    way = (pictures[-1] - pictures[0]).flatten()
    found: NDArray[np.float64] = (gradient.flatten(1) @ (way / way.norm())).double().numpy()
    return found


def autocorrelation(values: NDArray[np.float64], lags: int = LAGS) -> NDArray[np.float64]:
    """(lags,) correlation of a series with itself 1, 2, … places on: 0 for white noise, 1 for a constant."""
    apart = values - values.mean()
    whole = float(apart @ apart)
    if not whole:
        return np.ones(lags)
    return np.array([float(apart[:-lag] @ apart[lag:]) / whole for lag in range(1, lags + 1)])


def main() -> int:
    """Measure, and store for the page."""
    torch.set_num_threads(1)
    found = {}
    for blocks in DEPTHS:
        acts, shattered = gradient_acts(blocks), shattering(blocks)
        found[str(blocks)] = shorter({**asdict(acts), **asdict(shattered)})
        print(f"{blocks} blocks measured", flush=True)
    STORED.write_text(json.dumps(found, separators=(",", ":")) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
