"""How much a photo is like those a network has learned from: a score of its own beside the answer.

A classifier must call everything one of its classes, and does so with confidence. A logistic regression on
the channel means of its later blocks tells photos of those classes from photos of other things (outlier
exposure with frozen features, Hendrycks et al. 2019, https://arxiv.org/abs/1812.04606; a linear probe as in
Alain and Bengio 2016). The answer and its logit stay as they are.
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
    """``score = sigmoid(sum over blocks of weight @ means of the block's output + bias)``.

    Attributes:
        weights: block name -> (C,) float32.
        bias: added.
        threshold: of the score, 0..1; from it on a photo counts as familiar.
        auroc: chance that a photo of the network's classes scores higher than one of something else, on
            photos of neither the fit nor the threshold.
        kept: share of photos of the classes that are familiar, of ``n_kept``.
        recognised: share of photos of other things that are not, of ``n_others``.
    """

    weights: Mapping[str, NDArray[np.float32]]
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
        total = self.bias
        for name, weight in self.weights.items():
            found = means.get(name)
            if found is None or found.shape != weight.shape:
                return None
            total += float(weight @ found)
        return float(1 / (1 + np.exp(-np.clip(total, -60, 60)))) if np.isfinite(total) else None


FIGURES = ("threshold", "auroc", "kept", "n_kept", "recognised", "n_others")


def familiarity_path(checkpoint: Path) -> Path:
    """Where it is stored: ``<stem>.familiarity.safetensors`` beside the checkpoint."""
    return checkpoint.with_suffix(".familiarity.safetensors")


def save_familiarity(found: Familiarity, checkpoint: Path) -> Path:
    """Write it beside its checkpoint."""
    tensors = {name: np.ascontiguousarray(weight, np.float32) for name, weight in found.weights.items()}
    tensors["bias"] = np.array([found.bias], np.float32)
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
        bias = tensors.pop("bias")
        found = Familiarity(tensors, float(bias[0]), **{name: figures[name] for name in FIGURES})
    except (OSError, SafetensorError, ValueError, TypeError, LookupError, AttributeError):
        return None
    finite = all(np.isfinite(tensor).all() and tensor.ndim == 1 for tensor in (*tensors.values(), bias))
    return found if finite and tensors and 0 <= found.threshold <= 1 else None
