"""Records of what explains one answer: paths, attacks, pixels. As ``records``: frozen, numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class PathLedger:
    """One logit as a sum over all paths through the blocks, plus the biases (``analysis.path_ledger``).

    Attributes:
        branches: for each of the P = 2**N paths, which blocks it crosses by the residual branch (True) rather
            than by the shortcut, in the order of the blocks.
        shares: (P,) float64, each path's share of the logit.
        maps: (P, H, W) float32, the same share by place of the input.
        biases: (where it enters, share): "stem" where there is one with biases, each block's name, "head".
        logit: the logit explained; shares and biases sum to it.
    """

    branches: tuple[tuple[bool, ...], ...]
    shares: NDArray[np.float64]
    maps: NDArray[np.float32]
    biases: tuple[tuple[str, float], ...]
    logit: float


@dataclass(frozen=True)
class PathLengths:
    """One logit as a sum over the lengths of paths: how many residual branches they cross.

    Attributes:
        shares: N + 1 shares, of the paths that cross 0, 1, … N residual branches together.
        biases, logit: as in ``PathLedger``.
    """

    shares: tuple[float, ...]
    biases: tuple[tuple[str, float], ...]
    logit: float


@dataclass(frozen=True, eq=False)
class Attack:
    """The smallest change tried that flips an answer, and its way through the blocks
    (``analysis.adversarial``).

    Attributes:
        epsilon: the largest change of a pixel that was needed, or the largest tried, in 1/255.
        flipped: whether the answer is another one now.
        tried: (epsilon, by how much the old answer still leads), in the order of trying.
        change: (C, H, W) float32, what was added to the pixels, for pixels of 0..1.
        noise: (C, H, W) float32, noise of the same length for comparison.
        logits_before, logits_after, logits_noise: (K,) float64.
        drift: the length of the change over the length of the stream: at the input, then after every block.
        noise_drift: the same for noise of the same length at the input.
        chances: probabilities of every class before, after, and with the noise; empty where nobody
            calibrated them.
    """

    epsilon: float
    flipped: bool
    tried: tuple[tuple[float, float], ...]
    change: NDArray[np.float32]
    noise: NDArray[np.float32]
    logits_before: NDArray[np.float64]
    logits_after: NDArray[np.float64]
    logits_noise: NDArray[np.float64]
    drift: tuple[float, ...]
    noise_drift: tuple[float, ...]
    chances: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, eq=False)
class FeatureVisualization:
    """A picture under way that excites one channel (``analysis.feature_visualization``).

    Attributes:
        picture: (H, W, 3) uint8.
        excitation: mean of the channel over all places at the last step, in the stream's own units.
        step: steps of gradient ascent so far.
        state: what the next steps begin with: arrays, for whoever goes on.
    """

    picture: NDArray[np.uint8]
    excitation: float
    step: int
    state: tuple[NDArray[np.float32], ...]


@dataclass(frozen=True, eq=False)
class PixelAttribution:
    """One logit by the pixels that it comes from (``analysis.pixel_attribution``).

    Attributes:
        method: its name, as in the paper.
        map: (H, W) float32, each place's share.
        total: what the map sums to.
        promised: what the method says that it sums to, or None if it promises nothing.
        random: (H, W) float32, the same map of the network with its weights drawn anew.
        similarity: rank correlation of the two maps' sizes, -1..1; near 0 if the map speaks of what was
        learned.
    """

    method: str
    map: NDArray[np.float32]
    total: float
    promised: float | None
    random: NDArray[np.float32]
    similarity: float


@dataclass(frozen=True, eq=False)
class Ablation:
    """How sure a network is of its own answer with parts of it removed (Veit et al. 2016,
    https://arxiv.org/abs/1605.06431). All are probabilities of ``label``, 0..1.

    Attributes:
        label: what the whole network answers.
        whole: how sure it is of that.
        without_branch: (N,) float64, each with the residual branch of one block removed.
        without_shortcut: (N,) float64, each with the shortcut of one block removed.
        paths: (2**N,) float64, every set of residual branches kept; bit i of the index means that
            block i keeps its own. Empty for a network of too many blocks.
    """

    label: str
    whole: float
    without_branch: NDArray[np.float64]
    without_shortcut: NDArray[np.float64]
    paths: NDArray[np.float64]

    @property
    def blocks(self) -> int:
        """N, the number of blocks."""
        return len(self.without_branch)


@dataclass(frozen=True)
class GradientFlow:
    """How large the gradient is on its way back through a fresh network, with shortcuts and without
    (He et al. 2016, https://arxiv.org/abs/1603.05027; Balduzzi et al. 2017,
    https://arxiv.org/abs/1702.08591).

    Attributes:
        with_shortcuts, without: norm of d logit / d output of each stage, the stem's first, then one a
            block; both from the same initial weights and the same photo.
        norms: True if batch norm was in use, with the statistics of this photo as in training.
        seed: of the initial weights.
        milliseconds: spent on both.
    """

    with_shortcuts: tuple[float, ...]
    without: tuple[float, ...]
    norms: bool
    seed: int
    milliseconds: float

    @property
    def depth(self) -> int:
        """Blocks."""
        return len(self.without) - 1


@dataclass(frozen=True, eq=False)
class KernelProduct:
    """One value of a side of a block's sum as its last convolution makes it (``analysis.kernel_products``).

    ``value = scale * (sum(kernel * patch) + bias) + shift``.

    Attributes:
        layer: the convolution's name in its block.
        kernel, patch: (C, kh, kw) float32, the weights of the channel, and what they lie on, zeros outside.
        bias: of the convolution.
        scale, shift: what follows it makes of its value: batch norm in eval mode.
        value: what enters the sum.
        place: (row, column) of the convolution's output that a max-pool chose; that of the value without one.
    """

    layer: str
    kernel: NDArray[np.float32]
    patch: NDArray[np.float32]
    bias: float
    scale: float
    shift: float
    value: float
    place: tuple[int, int]
