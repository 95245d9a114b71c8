"""Fit the early read-outs of a network: ``python -m resnet_demo fit_probes --shards …``.

A logistic regression per block on the block's pooled output, the network frozen. Fitted on training
photos, judged on validation, written beside the checkpoint.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from resnet_demo.analysis.capture import capture_blocks
from resnet_demo.analysis.linear_probes import Probe, save_probes
from resnet_demo.inference.forward import to_tensor
from resnet_demo.networks.cards import WEIGHTS
from resnet_demo.networks.checkpoints import CheckpointError, available_networks, load_checkpoint
from resnet_demo.records import Preprocessing
from resnet_demo.training.data import DataError, from_folder, from_shards, load_photos, without
from resnet_demo.training.evaluate import PIXELS, wilson
from resnet_demo.training.train import split

DECAY = 1e-4  # of the standardised weights; keeps nearly collinear channels from cancelling each other


def pooled_outputs(
    model: nn.Module, pixels: NDArray[np.uint8], preprocessing: Preprocessing
) -> dict[str, NDArray[np.float32]]:
    """Block name -> mean over places of its output (N, C), for photos (N, H, W, 3)."""
    model = model.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    means: dict[str, list[NDArray[np.float32]]] = {}
    many = max(8, PIXELS // (pixels.shape[1] * pixels.shape[2]))
    for i in tqdm(range(0, len(pixels), many), desc="pooled outputs", disable=None):
        batch = to_tensor(pixels[i : i + many], preprocessing)
        with capture_blocks(model, keep=lambda t: t.mean((2, 3))) as streams:
            model(batch.contiguous(memory_format=torch.channels_last))
        for name, block in streams.items():
            means.setdefault(name, []).append(block.output.float().numpy())
    return {name: np.concatenate(parts) for name, parts in means.items()}


def fit_probe(
    features: NDArray[np.float32], labels: NDArray[np.int64], classes: int = 2, decay: float = DECAY
) -> tuple[NDArray[np.float32], float | NDArray[np.float32]]:
    """Weight and bias of a logistic regression of ``labels`` (N,) on ``features`` (N, C).

    Returns:
        (C,) and a number for two classes, of which a positive logit means the second; (K, C) and (K,) for K.
    """
    mean, std = features.mean(0), features.std(0)
    std[std == 0] = 1  # a channel that is always silent says nothing, whatever its weight
    x, y = torch.from_numpy((features - mean) / std), torch.from_numpy(labels)
    rows = 1 if classes == 2 else classes
    weight = torch.zeros(rows, x.shape[1], requires_grad=True)
    bias = torch.zeros(rows, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=300, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        solver.zero_grad()
        logits = F.linear(x, weight, bias)
        if rows == 1:
            value = F.binary_cross_entropy_with_logits(logits[:, 0], y.float())
        else:
            value = F.cross_entropy(logits, y)
        value = value + decay * weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    solver.step(loss)  # type: ignore[no-untyped-call]
    raw = weight.detach().numpy() / std
    offset = bias.detach().numpy() - raw @ mean
    if rows == 1:
        return raw[0].astype(np.float32), float(offset[0])
    return raw.astype(np.float32), offset.astype(np.float32)


def fit(
    model: nn.Module,
    training: tuple[NDArray[np.uint8], NDArray[np.int64]],
    validation: tuple[NDArray[np.uint8], NDArray[np.int64]],
    preprocessing: Preprocessing,
    classes: int = 2,
) -> dict[str, Probe]:
    """One probe a block, fitted on ``training`` (photos, labels) and judged on ``validation``."""
    seen = pooled_outputs(model, training[0], preprocessing)
    judged = pooled_outputs(model, validation[0], preprocessing)
    probes = {}
    for name, features in seen.items():
        weight, bias = fit_probe(features, training[1], classes)
        logits = judged[name] @ weight.T + bias
        right = (logits > 0 if logits.ndim == 1 else logits.argmax(1)) == validation[1]
        probes[name] = Probe(weight, bias, float(right.mean()), len(right))
    return probes


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m resnet_demo fit_probes", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--shards", type=Path, nargs="+", help="tar shards of cat.<n> and dog.<n>")
    source.add_argument("--data", type=Path, help="a folder that holds cat/ and dog/")
    parser.add_argument("--network", help="a name on the menu, or a checkpoint file")
    parser.add_argument("--photos", type=int, default=10_000, help="training photos (default %(default)s)")
    args = parser.parse_args(argv)
    try:
        networks = available_networks(WEIGHTS)
        name = args.network or next(iter(networks), "")
        checkpoint = networks.get(name) or Path(name)
        model, card = load_checkpoint(checkpoint)
        photos = (
            list(without(from_shards(args.shards), args.shards[0].parent))
            if args.shards
            else list(from_folder(args.data))
        )
        training, validation = split(photos)
        chosen = training[:: max(1, len(training) // args.photos)]
        probes = fit(
            model,
            load_photos(chosen, card.preprocessing, "training photos"),
            load_photos(validation, card.preprocessing, "validation photos"),
            card.preprocessing,
        )
    except (DataError, CheckpointError) as error:
        print(error, file=sys.stderr)
        return 1
    path = save_probes(probes, checkpoint)
    for block, probe in probes.items():
        low, high = wilson(round(probe.accuracy * probe.n), probe.n)
        print(
            f"{block}: {100 * probe.accuracy:.2f} % ({100 * low:.2f} to {100 * high:.2f}), n = {probe.n}, "
            f"{len(probe.weight)} channels"
        )
    print(json.dumps({"file": path.name, "accuracy": {b: p.accuracy for b, p in probes.items()}}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
