"""Fit the score "like what the network has learned from": ``python -m resnet_demo fit_familiarity --shards …
--others …``.

A logistic regression on the channel means of the later blocks, the network frozen: photos of the network's
classes against photos of other things. The threshold keeps 95 % of one half of the validation photos; all
figures are of the other half, and of kinds of other things of which some were not in the fit.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from resnet_demo.analysis.familiarity import Familiarity, save_familiarity
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
from resnet_demo.training.fit_probes import fit_probe, pooled_outputs
from resnet_demo.training.train import split

BLOCKS = 3  # the last ones: earlier blocks tell the sources of the photos apart rather than what they show
DECAY = 0.03  # of the standardised weights
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


def fit(
    model: nn.Module,
    preprocessing: Preprocessing,
    own: tuple[Photos, Photos],
    others: tuple[Photos, Photos],
) -> Familiarity:
    """The score for ``model``, from photos of its own kind and of others, each for the fit and for
    judging."""

    def features(photos: Photos, what: str) -> dict[str, NDArray[np.float32]]:
        pixels, _ = load_photos(photos, preprocessing, what)
        pooled = pooled_outputs(model, pixels, preprocessing)
        return {name: pooled[name] for name in list(pooled)[-BLOCKS:]}

    def rows(found: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.concatenate(list(found.values()), axis=1)

    mine, strange = features(own[0], "photos of its kind"), features(others[0], "photos of others")
    x = np.concatenate([rows(mine), rows(strange)])
    y = np.repeat([1, 0], [len(own[0]), len(others[0])]).astype(np.int64)
    weight, bias = fit_probe(x, y, decay=DECAY)
    known = rows(features(own[1], "its kind, held out")) @ weight + float(bias)
    unknown = rows(features(others[1], "others, held out")) @ weight + float(bias)
    cut = float(np.quantile(known[::2], 1 - KEPT))
    judged = known[1::2]
    ends = np.cumsum([0, *(part.shape[1] for part in mine.values())])
    return Familiarity(
        {name: weight[a:b] for name, a, b in zip(mine, ends, ends[1:], strict=False)},
        float(bias),
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
    parser.add_argument("--photos", type=int, default=3_500, help="of its kind (default %(default)s)")
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
    figures = {key: value for key, value in vars(replace(found, weights={})).items() if key != "weights"}
    print(json.dumps({"file": path.name, **figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
