"""How much a photo is like those a network has learned from: a score of its own beside the answer.

A classifier must call everything one of its classes, and does so with confidence. A perceptron with one
hidden layer on the channel means of its later blocks tells photos of those classes from photos of other
things (outlier exposure with frozen features, Hendrycks et al. 2019, https://arxiv.org/abs/1812.04606). The
answer and its logit stay as they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from resnet_demo.records import Block

MAX_BYTES = 1_000_000


@dataclass(frozen=True, eq=False)
class Familiarity:
    """``score = sigmoid(last @ relu(sum over blocks of means @ weights + first) + bias)``, the means being
    those of the channels of a block's output.

    Attributes:
        weights: block name -> (C, K) float32, of its channels to K hidden units.
        first: (K,), added to these.
        last: (K,), of the hidden units to the score.
        bias: added.
        threshold: of the score, 0..1; from it on a photo counts as familiar.
        auroc: chance that a photo of the network's classes scores higher than one of something else, on
            photos of neither the fit nor the threshold.
        kept: share of photos of the classes that are familiar, of ``n_kept``.
        recognised: share of photos of other things that are not, of ``n_others``.
    """

    weights: Mapping[str, NDArray[np.float32]]
    first: NDArray[np.float32]
    last: NDArray[np.float32]
    bias: float
    threshold: float
    auroc: float
    kept: float
    n_kept: int
    recognised: float
    n_others: int

    def score(self, blocks: Sequence[Block]) -> float | None:
        """Of one photo, 0..1; None if its run has not the blocks that are needed, or values out of range."""
        means = {block.name: block.means for block in blocks if block.name in self.weights}
        hidden = self.first.copy()
        for name, weight in self.weights.items():
            found = means.get(name)
            if found is None or found.shape != weight.shape[:1]:
                return None
            hidden += found @ weight
        total = float(self.last @ np.maximum(hidden, 0)) + self.bias
        return float(1 / (1 + np.exp(-np.clip(total, -60, 60)))) if np.isfinite(total) else None


ENDS = ("first", "last", "bias")
FIGURES = ("threshold", "auroc", "kept", "n_kept", "recognised", "n_others")


def familiarity_path(checkpoint: Path) -> Path:
    """Where it is stored: ``<stem>.familiarity.safetensors`` beside the checkpoint."""
    return checkpoint.with_suffix(".familiarity.safetensors")


def save_familiarity(found: Familiarity, checkpoint: Path) -> Path:
    """Write it beside its checkpoint, the weights in float16."""
    ends = {"first": found.first, "last": found.last, "bias": np.array([found.bias])}
    tensors = {name: np.ascontiguousarray(tensor, np.float16) for name, tensor in found.weights.items()}
    tensors |= {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in ends.items()}
    figures = {name: getattr(found, name) for name in FIGURES}
    path = familiarity_path(checkpoint)
    path.write_bytes(save_safetensors(tensors, {"figures": json.dumps(figures)}))
    return path


def load_familiarity(checkpoint: Path) -> Familiarity | None:
    """That of the checkpoint's network; None if there is none or it cannot be read: the page then says
    nothing about it, as it does for networks that never had any."""
    path = familiarity_path(checkpoint)
    try:
        if path.stat().st_size > MAX_BYTES:
            return None
        payload = path.read_bytes()
        header = json.loads(payload[8 : 8 + int.from_bytes(payload[:8], "little")])
        figures = json.loads(header["__metadata__"]["figures"])
        tensors = {name: tensor.astype(np.float32) for name, tensor in load_safetensors(payload).items()}
        first, last, bias = (tensors.pop(name) for name in ENDS)
        found = Familiarity(tensors, first, last, float(bias[0]), **{name: figures[name] for name in FIGURES})
    except (OSError, SafetensorError, ValueError, TypeError, LookupError, AttributeError):
        return None
    finite = all(np.isfinite(tensor).all() for tensor in (*tensors.values(), first, last, bias))
    fits = first.ndim == 1 and last.shape == first.shape and bias.shape == (1,)
    fits = fits and all(tensor.ndim == 2 and tensor.shape[1] == len(first) for tensor in tensors.values())
    return found if finite and fits and tensors and 0 <= found.threshold <= 1 else None
