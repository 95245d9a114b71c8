"""Fit the score "like what the network has learned from": ``python -m resnet_demo fit_familiarity --shards …
--others …``.

A perceptron with one hidden layer on the channel means of the later blocks, the network frozen: photos of the
network's classes against photos of other things, each in several views, as many of either in a batch. The
threshold keeps 95 % of one half of the validation photos; all figures are of the other half, and of kinds of
other things of which some were not in the fit.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from resnet_demo.analysis.capture import residual_blocks
from resnet_demo.analysis.familiarity import FIGURES, Familiarity, save_familiarity
from resnet_demo.networks.cards import WEIGHTS
from resnet_demo.networks.checkpoints import CheckpointError, available_networks, load_checkpoint
from resnet_demo.records import Preprocessing
from resnet_demo.training.data import (
    DataError,
    Labelled,
    from_shards,
    load_photos,
    without,
)
from resnet_demo.training.evaluate import wilson
from resnet_demo.training.fit_probes import pooled_outputs
from resnet_demo.training.train import split

BLOCKS = 3  # the last ones: earlier blocks tell the sources of the photos apart rather than what they show
HIDDEN = 64
STEPS, BATCH, PEAK, DECAY = 1_500, 256, 2e-3, 0.3  # of AdamW; the rate rises to its peak and falls to zero
DROPPED = (0.2, 0.3)  # shares of the means and of the hidden units that a step leaves out
VIEWS = 5  # of every photo of others; there are fewer of these
ZOOMED = 0.7  # the smallest view's side, as a share of the photo's
KEPT = 0.95  # share of the network's own kind that the threshold keeps
OTHERS = ("neither",)

Photos = Sequence[Labelled]


def others_from(shard: Path) -> tuple[list[Labelled], list[Labelled]]:
    """Photos ``neither.<n>`` of other things for the fit, and those for judging it, as the column "split" of
    the table beside the shard (``<stem>.tsv``) says.

    Raises:
        DataError: the shard or its table is missing or unfit.
    """
    photos = list(from_shards([shard], OTHERS))
    try:
        with shard.with_suffix(".tsv").open(encoding="utf-8", newline="") as file:
            rows = {Path(row["member"]).stem: row["split"] for row in csv.DictReader(file, delimiter="\t")}
    except (OSError, KeyError) as error:
        raise DataError(f"{shard.with_suffix('.tsv')} must have the columns member and split") from error
    training = [photo for photo in photos if rows.get(photo.name) == "train"]
    judged = [photo for photo in photos if rows.get(photo.name) == "validation"]
    if not training or not judged:
        raise DataError(f"{shard.with_suffix('.tsv')} names no photos of train and validation")
    return training, judged


def auroc(own: NDArray[np.floating], others: NDArray[np.floating]) -> float:
    """Chance that one of ``own`` (N,) is larger than one of ``others`` (M,), ties counted half."""
    below = np.searchsorted(np.sort(others), own, "left") + np.searchsorted(np.sort(others), own, "right")
    return float(below.mean() / (2 * len(others)))


def random_view(photo: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A part of a photo (H, W, 3) enlarged to its size, mirrored half of the time."""
    height, width = photo.shape[:2]
    share = rng.uniform(ZOOMED, 1)
    left, top = rng.uniform(0, 1 - share, 2) * (width, height)
    box = (left, top, left + share * width, top + share * height)
    found = np.asarray(Image.fromarray(photo).resize((width, height), Image.Resampling.BILINEAR, box))
    return found[:, ::-1] if rng.random() < 0.5 else found


def fit_perceptron(
    own: NDArray[np.float32], others: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], float]:
    """A perceptron that tells the rows of ``own`` (N, C) from those of ``others`` (M, C).

    Returns:
        (C, HIDDEN) and (HIDDEN,) to the hidden units, (HIDDEN,) and a number from there to the logit of
        "own"; for rows as they are.
    """
    both = np.concatenate([own, others])
    mean, spread = both.mean(0), both.std(0) + 1e-6
    sides = [torch.from_numpy((rows - mean) / spread) for rows in (own, others)]
    torch.manual_seed(0)
    first, last = nn.Linear(own.shape[1], HIDDEN), nn.Linear(HIDDEN, 1)
    layers = nn.Sequential(nn.Dropout(DROPPED[0]), first, nn.ReLU(), nn.Dropout(DROPPED[1]), last)
    optimiser = torch.optim.AdamW(layers.parameters(), PEAK, weight_decay=DECAY)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK, total_steps=STEPS)
    truth = torch.arange(BATCH) < BATCH // 2
    for _ in range(STEPS):
        rows = torch.cat([side[torch.randint(len(side), (BATCH // 2,))] for side in sides])
        loss = F.binary_cross_entropy_with_logits(layers(rows)[:, 0], truth.float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rate.step()
    weight = (first.weight.detach() / torch.from_numpy(spread)).numpy()
    bias = first.bias.detach().numpy() - weight @ mean
    # a hidden unit may be any size, since what follows it makes up for that: float16 holds them all so
    size = np.abs(weight).max(1)
    ends = last.weight.detach().numpy()[0] * size
    return np.ascontiguousarray((weight / size[:, None]).T), bias / size, ends, float(last.bias.detach())


def fit(
    model: nn.Module,
    preprocessing: Preprocessing,
    own: tuple[Photos, Photos],
    others: tuple[Photos, Photos],
) -> Familiarity:
    """The score for ``model``, from photos of its own kind and of others, each for the fit and for
    judging."""

    names = list(residual_blocks(model))[-BLOCKS:]
    rng = np.random.default_rng(0)

    def means(photos: Photos, what: str, views: int = 0) -> list[NDArray[np.float32]]:
        """(N, C) a block, of photos as they are or in random views."""
        pixels, _ = load_photos(photos, preprocessing, what)
        seen = [np.stack([random_view(photo, rng) for photo in pixels]) for _ in range(views)] or [pixels]
        pooled = [pooled_outputs(model, view, preprocessing) for view in seen]
        return [np.concatenate([each[name] for each in pooled]) for name in names]

    mine, strange = means(own[0], "photos of its kind", 1), means(others[0], "photos of others", VIEWS)
    weight, first, last, bias = fit_perceptron(np.hstack(mine), np.hstack(strange))
    weight = weight.astype(np.float16).astype(np.float32)  # judged as it is stored

    def scores(photos: Photos, what: str) -> NDArray[np.float32]:
        hidden = np.hstack(means(photos, what)) @ weight + first
        found: NDArray[np.float32] = np.maximum(hidden, 0) @ last + bias
        return found

    known, unknown = scores(own[1], "its kind, held out"), scores(others[1], "others, held out")
    cut = float(np.quantile(known[::2], 1 - KEPT))
    judged = known[1::2]
    parts = np.split(weight, np.cumsum([part.shape[1] for part in mine])[:-1])
    return Familiarity(
        dict(zip(names, parts, strict=True)),
        first,
        last,
        bias,
        float(1 / (1 + np.exp(-cut))),
        auroc(judged, unknown),
        float((judged >= cut).mean()),
        len(judged),
        float((unknown < cut).mean()),
        len(unknown),
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m resnet_demo fit_familiarity", description=__doc__)
    parser.add_argument(
        "--shards", type=Path, nargs="+", required=True, help="tar shards of the network's kind"
    )
    parser.add_argument("--others", type=Path, required=True, help="a tar of neither.<n>, its .tsv beside it")
    parser.add_argument("--network", help="a name on the menu, or a checkpoint file")
    parser.add_argument("--photos", type=int, default=13_000, help="of its kind (default %(default)s)")
    args = parser.parse_args(argv)
    try:
        networks = available_networks(WEIGHTS)
        name = args.network or next(iter(networks), "")
        checkpoint = networks.get(name) or Path(name)
        model, card = load_checkpoint(checkpoint)
        photos = list(without(from_shards(args.shards), args.shards[0].parent))
        training, validation = split(photos)
        # evenly from all shards, so that no source is left out
        chosen = training[:: max(1, round(len(training) / args.photos))]
        found = fit(model, card.preprocessing, (chosen, validation), others_from(args.others))
    except (DataError, CheckpointError) as error:
        print(error, file=sys.stderr)
        return 1
    path = save_familiarity(found, checkpoint)
    for share, n, what in (
        (found.kept, found.n_kept, "of its kind are familiar"),
        (found.recognised, found.n_others, "of other things are not"),
    ):
        low, high = wilson(round(share * n), n)
        print(f"{100 * share:.2f} % ({100 * low:.2f} to {100 * high:.2f}) {what}, n = {n}")
    figures = {name: getattr(found, name) for name in FIGURES}
    print(json.dumps({"file": path.name, **figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
