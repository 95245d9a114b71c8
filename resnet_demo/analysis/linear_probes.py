"""Early read-outs: one linear probe per block on its pooled output, stored beside the weights.

A probe is a logistic regression on frozen features (Alain and Bengio 2016,
https://arxiv.org/abs/1610.01644): the answer if the network stopped after that block. The last
linear layer cannot be used for that, as it reads 512 channels and earlier blocks have fewer.
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

from resnet_demo.records import Block, ReadOut

MAX_BYTES = 1_000_000


@dataclass(frozen=True, eq=False)
class Probe:
    """``logit = weight @ mean over places of the block's output + bias``.

    Attributes:
        weight: (C,) float32, or (K, C) for a network of K classes that has a logit for each.
        bias: added; (K,) float32 for K classes.
        accuracy: share of ``n`` validation photos that it gets right.
    """

    weight: NDArray[np.float32]
    bias: float | NDArray[np.float32]
    accuracy: float
    n: int


def pooled(output: NDArray[np.floating]) -> NDArray[np.float32]:
    """Mean over places of feature maps (C, H, W): (C,) float32."""
    means: NDArray[np.float32] = output.mean(axis=(1, 2), dtype=np.float32)
    return means


def read_outs(
    blocks: Sequence[Block], probes: Mapping[str, Probe], answer: int = 0
) -> tuple[tuple[ReadOut, ...], dict[str, NDArray[np.float32]]]:
    """What the probes read from each block of a run that has one, and each channel's share of it, (C,).

    Args:
        answer: the logit that the shares are of, where a probe has several.
    """
    found, shares = [], {}
    for block in blocks:
        probe = probes.get(block.name)
        if probe is None or probe.weight.shape[-1] != block.shape[0]:
            continue
        share = probe.weight * block.activity  # an output is never negative, so mean |a| is the mean
        logits = np.atleast_1d(share.sum(-1) + probe.bias).astype(np.float64)
        chances = probabilities(logits)
        several = len(logits) > 1
        top = float(logits.max())
        found.append(
            ReadOut(
                block.name,
                top,
                float(chances.max() if several else chances[1]),
                probe.accuracy,
                tuple(chances.tolist()),
            )
        )
        shares[block.name] = share[answer] if several else share
    return tuple(found), shares


def probabilities(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Softmax of K logits (K,), or of one logit the probabilities of both its classes, (2,)."""
    if len(logits) == 1:
        second = 1 / (1 + np.exp(-np.clip(logits[0], -60, 60)))
        return np.array([1 - second, second])
    powers = np.exp(logits - logits.max())
    found: NDArray[np.float64] = powers / powers.sum()
    return found


def probes_path(checkpoint: Path) -> Path:
    """Where the probes of a checkpoint are stored: ``<stem>.probes.safetensors`` beside it."""
    return checkpoint.with_suffix(".probes.safetensors")


def save_probes(probes: Mapping[str, Probe], checkpoint: Path) -> Path:
    """Write the probes beside their checkpoint."""
    tensors: dict[str, NDArray[np.float32]] = {}
    for name, probe in probes.items():
        tensors[f"{name}.weight"] = np.ascontiguousarray(probe.weight, np.float32)
        tensors[f"{name}.bias"] = np.atleast_1d(probe.bias).astype(np.float32)
    figures = {name: [probe.accuracy, probe.n] for name, probe in probes.items()}
    path = probes_path(checkpoint)
    path.write_bytes(save_safetensors(tensors, {"accuracy": json.dumps(figures)}))
    return path


def load_probes(checkpoint: Path) -> dict[str, Probe]:
    """Block name -> probe, for the checkpoint's network; empty if there are none or they cannot be read.

    The page goes on without read-outs then, as it does for networks that never had any.
    """
    path = probes_path(checkpoint)
    try:
        if path.stat().st_size > MAX_BYTES:
            return {}
        payload = path.read_bytes()
        header = json.loads(payload[8 : 8 + int.from_bytes(payload[:8], "little")])
        figures = json.loads(header["__metadata__"]["accuracy"])
        tensors = load_safetensors(payload)
        probes = {
            name: Probe(
                tensors[f"{name}.weight"].astype(np.float32),
                _bias(tensors[f"{name}.weight"], tensors[f"{name}.bias"]),
                float(accuracy),
                int(n),
            )
            for name, (accuracy, n) in figures.items()
        }
    except (OSError, SafetensorError, ValueError, TypeError, LookupError, AttributeError):
        return {}
    finite = all(np.isfinite(p.weight).all() and np.isfinite(p.bias).all() for p in probes.values())
    return probes if finite else {}


def _bias(weight: NDArray[np.floating], bias: NDArray[np.floating]) -> float | NDArray[np.float32]:
    """The bias as a probe keeps it. Raises ValueError if the two do not fit."""
    if weight.ndim == 1 and bias.shape == (1,):
        return float(bias[0])
    if weight.ndim == 2 and bias.shape == weight.shape[:1] and len(weight) > 1:
        return bias.astype(np.float32)
    raise ValueError(f"weight {weight.shape} and bias {bias.shape} are of no probe")
