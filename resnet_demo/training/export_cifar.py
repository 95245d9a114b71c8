"""Write trained CIFAR networks as checkpoints: ``python -m resnet_demo export_cifar --work DIR --until N
--decay M``

The ends of the decayed runs of ``train_cifar`` become float16 weights with their cards (accuracy on all test
pictures as shipped, interval, temperature, recipe), golden tensors, and one file with all curves for the
page.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from resnet_demo.analysis.linear_probes import save_probes
from resnet_demo.networks.cards import WEIGHTS
from resnet_demo.networks.checkpoints import Card, load_checkpoint, save_checkpoint
from resnet_demo.records import Preprocessing
from resnet_demo.training.cifar_data import CLASSES, MEAN, SIDE, STD, CifarDataError, load
from resnet_demo.training.evaluate import logits_of, summarise
from resnet_demo.training.figures import error_curves
from resnet_demo.training.fit_probes import fit
from resnet_demo.training.golden import save_golden
from resnet_demo.training.train_cifar import NETWORKS, CifarRecipe, load_state

CURVES = "cifar10-curves.json"
KNOWS = (
    "This network has seen the ten classes of CIFAR-10, 32 by 32 pixels small, and must call everything one"
    " of them."
)
ABOUT = {
    "resnet-20": "ten kinds of things, 32 px · 9 blocks, identity shortcuts",
    "resnet-56": "ten kinds of things, 32 px · 27 blocks, identity shortcuts",
    "plain-20": "ten kinds of things, 32 px · 9 blocks, no shortcuts",
    "plain-56": "ten kinds of things, 32 px · 27 blocks, no shortcuts: deeper learns worse",
}
PREPROCESSING = Preprocessing(SIDE, "crop", MEAN, STD)
PROBED = 5_000  # training pictures that the read-outs are fitted on
JUDGED = 2_500  # test pictures that they are judged on
GOLDEN_SIDE = 16  # pixels: every block's output is kept, and there are 27


def fit_softmax_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The temperature that minimises the negative log-likelihood of ``logits`` (N, K)
    (Guo et al. 2017, https://arxiv.org/abs/1706.04599), within 0.2 … 10."""
    candidates = np.geomspace(0.2, 10, 400)

    def loss(temperature: float) -> float:
        scaled = logits.astype(np.float64) / temperature
        scaled -= scaled.max(1, keepdims=True)
        return float((np.log(np.exp(scaled).sum(1)) - scaled[np.arange(len(labels)), labels]).mean())

    return float(min(candidates, key=loss))


def curve_of(records: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """The columns of a run's records that the page draws."""
    return {
        key: [round(record[key], 5) for record in records]
        for key in ("step", "train_error", "test_error", "rate")
    }


def export(
    network: str, state_path: Path, recipe: CifarRecipe, work: Path, data: Path, directory: Path
) -> tuple[Path, dict[str, list[float]]]:
    """Write one network's checkpoint, card and golden tensors; returns the checkpoint's path and its
    curve."""
    state, _ = load_state(state_path, network, recipe)
    pixels, labels = load(data, "test", work / "cache")
    photos = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
    for tensor in state.model.state_dict().values():  # judged as shipped, in float16
        if tensor.is_floating_point():
            tensor.copy_(tensor.half())
    logits = logits_of(state.model, photos, PREPROCESSING, progress=False)
    order = np.random.default_rng(0).permutation(len(labels))  # the pictures are sorted by class
    fitted, judged = order[::2], order[1::2]
    temperature = fit_softmax_temperature(logits[fitted], labels[fitted])
    found = summarise(logits, labels)
    hours = sum(record["cpu_seconds"] for record in state.curve) / 3600
    card = Card(
        network=network,
        config=state.model.config,
        preprocessing=PREPROCESSING,
        classes=CLASSES,
        accuracy=found.accuracy,
        n=found.n,
        interval=found.interval,
        temperature=temperature,
        knows=KNOWS,
        about=ABOUT[network],
        details={
            "data": "CIFAR-10, JPEG copies of about 940 bytes a picture, not the originals",
            "recipe": asdict(recipe),
            "steps": state.step,
            "train_error": state.curve[-1]["train_error"],
            "calibration_error": summarise(logits[judged], labels[judged], temperature).calibration_error,
            "cpu_hours": round(hours, 3),
            "torch": torch.__version__,
        },
    )
    path = save_checkpoint(state.model, card, directory)
    train_pixels, train_labels = load(data, "train", work / "cache")
    some = np.sort(np.random.default_rng(1).permutation(len(train_labels))[:PROBED])
    seen = np.ascontiguousarray(train_pixels[some].transpose(0, 2, 3, 1))
    validation = (photos[order[:JUDGED]], labels[order[:JUDGED]])
    shipped = load_checkpoint(path)[0]
    probes = fit(shipped, (seen, train_labels[some]), validation, PREPROCESSING, len(CLASSES))
    save_probes(probes, path)
    save_golden(load_checkpoint(path)[0], path.with_suffix(".golden.safetensors"), GOLDEN_SIDE)
    return path, curve_of(state.curve)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m resnet_demo export_cifar", description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of train_cifar")
    parser.add_argument("--data", type=Path, required=True, help="folder with cifar10-*.tar.gz")
    parser.add_argument("--until", type=int, required=True, help="steps of the stable run")
    parser.add_argument("--decay", type=int, required=True, help="steps of the decay")
    parser.add_argument("--networks", nargs="+", choices=sorted(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--precision", choices=("bfloat16", "float32"), default="bfloat16", help="of the training"
    )
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--picture", type=Path, help="SVG of the curves")
    args = parser.parse_args(argv)
    recipe = CifarRecipe(seed=args.seed, precision=args.precision)
    kept = args.out / CURVES
    curves = json.loads(kept.read_text())["networks"] if kept.exists() else {}
    accuracy = {}
    try:
        for network in args.networks:
            state_path = args.work / network / f"decay-{args.until}-{args.decay}.pt"
            path, curves[network] = export(network, state_path, recipe, args.work, args.data, args.out)
            accuracy[network] = json.loads(path.with_suffix(".json").read_text())["accuracy"]
            print(f"{path.name}: {100 * accuracy[network]:.2f} %", flush=True)
    except (CifarDataError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1
    told = {
        "data": "CIFAR-10, JPEG copies",
        "batch": recipe.batch,
        "test_pictures": 2500,
        "networks": curves,
    }
    (args.out / CURVES).write_text(json.dumps(told) + "\n")
    if args.picture:
        args.picture.write_text(
            error_curves(curves, "CIFAR-10 (JPEG copies): networks with shortcuts, and plain")
        )
    print(json.dumps({"accuracy": accuracy}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
