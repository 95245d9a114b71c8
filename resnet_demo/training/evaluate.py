"""Accuracy of a network on photos, recordings or texts: ``python -m resnet_demo evaluate --data DIR``.

Each takes the page's own way: opened, fitted and normalised by the same functions, as the network's card
says. The last line printed is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from resnet_demo.analysis.intervals import wilson
from resnet_demo.inference.forward import to_tensor
from resnet_demo.inference.optimize import fold_norms
from resnet_demo.inference.options import precision_option
from resnet_demo.inference.precision import FLOAT32, ReducedInside, choose
from resnet_demo.modalities import modality_named
from resnet_demo.networks.checkpoints import Card, CheckpointError, available_networks, load_checkpoint
from resnet_demo.records import Preprocessing
from resnet_demo.training.data import (
    CLASSES,
    VALIDATION_FROM,
    DataError,
    Labelled,
    from_folder,
    from_shards,
    load_photos,
)

BATCH = 8  # photos of 144 px a pass; the tensors of larger ones do not fit the caches
PIXELS = BATCH * 144 * 144


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was found on n photos.

    Attributes:
        accuracy: share right, 0..1.
        n: number of photos.
        interval: 95 % Wilson interval of the accuracy.
        confusion: (K, K) counts for K classes, rows true class, columns answered class.
        calibration_error: expected calibration error of the confidences, 15 bins
            (Guo et al. 2017, https://arxiv.org/abs/1706.04599).
    """

    accuracy: float
    n: int
    interval: tuple[float, float]
    confusion: NDArray[np.int64]
    calibration_error: float


@torch.inference_mode()
def logits_of(
    model: nn.Module, pixels: NDArray[np.uint8], preprocessing: Preprocessing, progress: bool = True
) -> NDArray[np.float32]:
    """Logits (N, num_logits) of photos (N, S, S, 3) uint8, on the model's device, in batches."""
    device = next(model.parameters()).device
    model = model.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batch = max(BATCH, PIXELS // max(1, pixels.shape[1] * pixels.shape[2]))
    parts = [
        model(to_tensor(pixels[i : i + batch], preprocessing).to(device)).float().cpu().numpy()
        for i in tqdm(
            range(0, len(pixels), batch), desc="network", unit="batch", disable=None if progress else True
        )
    ]
    return np.concatenate(parts)


def summarise(logits: NDArray[np.float32], labels: NDArray[np.int64], temperature: float = 1.0) -> Evaluation:
    """Judge ``logits`` against ``labels`` (N,): (N,) or (N, 1) for two classes, (N, K) for K."""
    scaled = logits.reshape(len(labels), -1).astype(np.float64) / temperature
    if scaled.shape[1] == 1:
        scaled = np.concatenate([np.zeros_like(scaled), scaled], 1)
    answers = scaled.argmax(1)
    right = answers == labels
    confusion = np.zeros((scaled.shape[1], scaled.shape[1]), np.int64)
    np.add.at(confusion, (labels, answers), 1)
    chance = 1 / np.exp(scaled - scaled.max(1, keepdims=True)).sum(1)  # of the class answered
    bins = np.minimum((chance * 15).astype(int), 14)
    error = sum(
        abs(chance[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean()
        for b in range(15)
        if (bins == b).any()
    )
    n = len(labels)
    return Evaluation(
        float(right.mean()) if n else 0.0, n, wilson(int(right.sum()), n), confusion, float(error)
    )


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The temperature that minimises the negative log-likelihood of ``logits`` (N,), (N, 1) or (N, K), within
    0.2 … 10 (Guo et al. 2017, https://arxiv.org/abs/1706.04599).

    1 if every answer is right: there is no smallest loss then, and the network would claim to be certain.
    """
    scores = logits.reshape(len(labels), -1).astype(np.float64)
    if scores.shape[1] == 1:
        scores = np.concatenate([np.zeros_like(scores), scores], 1)
    if (scores.argmax(1) == labels).all():
        return 1.0
    candidates = np.geomspace(0.2, 10, 400)
    own = scores[np.arange(len(labels)), labels]

    def loss(temperature: float) -> float:
        return float((np.logaddexp.reduce(scores / temperature, 1) - own / temperature).mean())

    return float(candidates[int(np.argmin([loss(t) for t in candidates]))])


def labelled_photos(folder: Path | None, shards: Sequence[Path], classes: Sequence[str]) -> list[Labelled]:
    """The photos that a network of these classes is judged on: all of a folder; of shards those of the
    validation split (n >= 10,000) for cats and dogs, whose shards hold both splits, and all for others.

    Raises:
        DataError: there is none, or one is of another class.
    """
    if folder is not None:
        return list(from_folder(folder, classes))
    photos = list(from_shards(shards, classes))
    if tuple(classes) == CLASSES:
        photos = [photo for photo in photos if photo.number >= VALIDATION_FROM]
        if not photos:
            raise DataError("No photo to evaluate on: the shards hold none with n >= 10,000.")
    if not photos:
        raise DataError("No photo to evaluate on: the shards are empty.")
    return photos


@dataclass(frozen=True, eq=False)
class Judged:
    """Logits (N, K) of N examples, their labels (N,), and in a few words how they were looked at."""

    logits: NDArray[np.float32]
    labels: NDArray[np.int64]
    how: str


def judge_photos(model: nn.Module, card: Card, args: argparse.Namespace) -> Judged:
    """Photos of a folder or of shards, resized as the card says or as the command does."""
    photos = labelled_photos(args.data, args.shards or (), card.classes)
    preprocessing = replace(
        card.preprocessing,
        size=args.size or card.preprocessing.size,
        resize=args.resize or card.preprocessing.resize,
    )
    pixels, labels = load_photos(photos, preprocessing)
    how = f"{preprocessing.resize} to {preprocessing.size} px, one view"
    return Judged(logits_of(model, pixels, preprocessing), labels, how)


def judge_recordings(model: nn.Module, card: Card, args: argparse.Namespace) -> Judged:
    """Recordings of a folder that holds a folder a class."""
    from resnet_demo.training.sound_accuracy import labelled_recordings, load_recordings

    pictures, labels = load_recordings(labelled_recordings(args.data, card.classes), card.preprocessing)
    return Judged(logits_of(model, pictures, card.preprocessing), labels, "recordings, one view")


def judge_texts(model: nn.Module, card: Card, args: argparse.Namespace) -> Judged:
    """Texts of a folder that holds a file a class, a text a line."""
    from resnet_demo.training.language_accuracy import labelled_texts, text_logits

    texts, labels = labelled_texts(args.data, card.classes)
    how = f"the first {card.preprocessing.size} letters of each"
    return Judged(text_logits(model, texts, card.preprocessing), labels, how)


JUDGES = {"photo": judge_photos, "sound": judge_recordings, "text": judge_texts}


def as_on_the_page(model: nn.Module, card: Card, precision: str) -> tuple[nn.Module, str]:
    """``model``, which is changed, as the page computes it, and in which precision that is.

    Returns:
        A module that takes and gives float32, and a name of ``precision.DTYPES``.
    """
    high, wide = modality_named(card.preprocessing.modality).usual(card.preprocessing)
    model.eval().requires_grad_(False)
    fold_norms(model)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    example = torch.zeros(1, next(model.parameters()).shape[1], high, wide)
    arithmetic = choose(model, card, precision, example)
    return (model, FLOAT32) if arithmetic is None else (ReducedInside(arithmetic), arithmetic.precision)


def print_result(result: Evaluation, card: Card, how: str) -> None:
    """Accuracy with n and interval, what each class was called, the closest pairs, calibration; the last
    line is JSON."""
    low, high = result.interval
    print(
        f"{card.network}: {100 * result.accuracy:.2f} % right of n = {result.n} "
        f"(95 % interval {100 * low:.2f} to {100 * high:.2f} %), {how}"
    )
    for name, row in zip(card.classes, result.confusion, strict=True):
        called = sorted(zip(row.tolist(), card.classes, strict=True), key=lambda pair: -pair[0])
        if row.sum():
            print(f"  {name:>10}: " + ", ".join(f"{n} called {c}" for n, c in called if n))
    print(
        f"expected calibration error {100 * result.calibration_error:.2f} % at temperature"
        f" {card.temperature:.3f}"
    )
    print(json.dumps({"accuracy": result.accuracy, "n": result.n, "network": card.network}))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m resnet_demo evaluate", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--data",
        type=Path,
        help="a folder that holds a folder of photos or recordings for each class, or for texts a file"
        " xx.txt, a text a line; all count",
    )
    source.add_argument(
        "--shards", type=Path, nargs="+", help="tar shards; of cats and dogs, photos with n >= 10,000 count"
    )
    parser.add_argument("--network", help="name on the menu, or path of a checkpoint (default: the first)")
    precision_option(parser)
    parser.add_argument("--resize", choices=("squash", "crop", "pad"), help="instead of what the card says")
    parser.add_argument("--size", type=int, help="side of the input in pixels, instead of what the card says")
    args = parser.parse_args(argv)
    try:
        networks = available_networks()
        path = networks.get(args.network or next(iter(networks), "")) or Path(args.network or "weights")
        model, card = load_checkpoint(path)
        modality = card.preprocessing.modality
        if modality not in JUDGES:
            raise DataError(f"{card.network} takes {modality}s, which cannot be judged here.")
        if modality != "photo" and (args.data is None or args.size or args.resize):
            raise DataError(
                f"{card.network} takes no photos: give it --data DIR, and neither --size nor --resize."
            )
        model, precision = as_on_the_page(model, card, args.precision)
        judged = JUDGES[modality](model, card, args)
    except (CheckpointError, DataError) as error:
        print(error, file=sys.stderr)
        return 1
    print_result(
        summarise(judged.logits, judged.labels, card.temperature), card, f"{judged.how}, {precision}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
