"""Train the network from scratch: ``python -m resnet_demo train --shards …`` or ``--data DIR``.

Progressive resizing; the rest of the recipe is in ``loop.py``. Stop it at any moment; the same command goes
on from the last finished epoch. Several GPUs: ``accelerate launch -m resnet_demo.train …``.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from resnet_demo.networks.cards import WEIGHTS
from resnet_demo.networks.checkpoints import Card, CheckpointError, load_checkpoint, save_checkpoint
from resnet_demo.networks.resnet import ResNet, ResNetConfig
from resnet_demo.records import Preprocessing
from resnet_demo.training.augment import augment
from resnet_demo.training.data import (
    CLASSES,
    HUB_SET,
    VALIDATION_FROM,
    DataError,
    Labelled,
    from_folder,
    from_hub,
    from_shards,
    load_photos,
    without,
)
from resnet_demo.training.evaluate import fit_temperature, logits_of, summarise
from resnet_demo.training.golden import save_golden
from resnet_demo.training.loop import Recipe, plain_pictures, train_task

KNOWS = "This network has seen only cats and dogs, and must call everything one of them."
PLAIN = Preprocessing(resize="squash")


def view_side(side: int) -> int:
    """Side at which photos are kept for views of ``side``: crops of them lose no detail."""
    return side * 5 // 4


def evaluation_side(side: int) -> int:
    """Side for evaluating a network trained at ``side``: objects look larger in random crops,
    so whole photos are shown larger (Touvron et al. 2019, https://arxiv.org/abs/1906.06423)."""
    return side * 5 // 4


class PhotoTask:
    """Cats and dogs, by one logit; see ``loop.Task``.

    Args:
        training, validation: encoded photos; accuracy is taken on ``validation`` each epoch.

    Raises:
        DataError: no photos.
    """

    def __init__(self, training: Sequence[Labelled], validation: Sequence[Labelled], recipe: Recipe) -> None:
        if not training or not validation:
            raise DataError(
                f"Training needs photos of both halves; got {len(training)} and {len(validation)}."
            )
        self.training, self.validation = training, validation
        self.recipe = self.settings = recipe
        self.config = ResNetConfig(dropout=recipe.dropout, shortcuts=recipe.shortcuts)
        self.side = 0  # of the views for which photos are in memory

    def load(self, epoch: int) -> int:
        """Decode the photos anew when a stage needs another size."""
        side = self.recipe.stage(epoch)
        if side != self.side:
            kept = replace(PLAIN, size=view_side(side), resize="crop")
            self.pixels, self.labels = load_photos(self.training, kept, "training photos")
            self.valid, self.valid_labels = load_photos(self.validation, kept, "validation photos")
            self.side = side
        return len(self.pixels)

    def views(
        self, chosen: NDArray[np.int64], epoch: int, device: torch.device, generator: torch.Generator
    ) -> Tensor:
        """Random crops and more, see ``augment``."""
        photos = torch.from_numpy(self.pixels[chosen]).to(device).permute(0, 3, 1, 2)
        return augment(photos, self.recipe.stage(epoch), Preprocessing(), generator)

    def prepare(self, model: ResNet) -> None:
        """Pictures go through the network as they are."""

    def loss(self, logits: Tensor, chosen: NDArray[np.int64]) -> Tensor:
        """Binary cross-entropy with smoothed labels."""
        target = torch.from_numpy(self.labels[chosen]).to(logits.device).float()
        target = target * (1 - self.recipe.smoothing) + self.recipe.smoothing / 2
        return F.binary_cross_entropy_with_logits(logits.squeeze(1), target)

    def plain(self, count: int, epoch: int) -> Iterable[Tensor]:
        """Whole training photos."""
        return plain_pictures(self.pixels[:count], evaluation_side(self.recipe.stage(epoch)), PLAIN)

    def judge(self, model: ResNet, epoch: int) -> dict[str, Any]:
        """The accuracy on the validation photos."""
        side = self.recipe.stage(epoch)
        shown = replace(PLAIN, size=evaluation_side(side))
        logits = logits_of(model, self.valid, shown, progress=False)
        return {"side": side, "accuracy": summarise(logits, self.valid_labels).accuracy}


def train(
    training: Sequence[Labelled],
    validation: Sequence[Labelled],
    recipe: Recipe,
    checkpoints: Path,
    minutes: float = math.inf,
    start: ResNet | None = None,
) -> tuple[ResNet, list[dict[str, Any]]]:
    """Train on photos; args as of ``PhotoTask`` and ``train_task``."""
    return train_task(PhotoTask(training, validation, recipe), checkpoints, minutes, start)


def _stages(text: str) -> tuple[tuple[int, int], ...]:
    """ "64:10,96:6" as ((64, 10), (96, 6))."""
    try:
        stages = tuple(
            (int(side), int(epochs)) for side, epochs in (part.split(":") for part in text.split(","))
        )
    except ValueError:
        raise argparse.ArgumentTypeError(f"stages look like 64:10,96:6 (side:epochs), got {text!r}") from None
    if any(side < 32 or epochs < 1 for side, epochs in stages):
        raise argparse.ArgumentTypeError("a stage needs a side of at least 32 pixels and at least one epoch")
    return stages


def _parser(base: Recipe) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m resnet_demo train", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--shards", type=Path, nargs="+", help="tar shards of cat.<n> and dog.<n>")
    source.add_argument("--data", type=Path, help="a folder that holds cat/ and dog/")
    source.add_argument("--hub", nargs="?", const=HUB_SET, help=f"a set on the hub (default {HUB_SET})")
    parser.add_argument(
        "--stages", type=_stages, default=base.stages, help="side:epochs,… (default 64:10,96:6,128:6)"
    )
    parser.add_argument(
        "--peak", type=float, default=base.peak, help="peak learning rate (default %(default)s)"
    )
    parser.add_argument(
        "--dropout", type=float, default=base.dropout, help="in every block (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=base.seed)
    parser.add_argument("--start", type=Path, help="a weight file to start from, such as a first cycle's")
    parser.add_argument("--no-shortcuts", action="store_true", help="train the plain twin")
    parser.add_argument("--checkpoints", type=Path, default=Path("runs/cats-and-dogs"), help="for resuming")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="stop after the epoch that passes this"
    )
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="where the finished weights go")
    parser.add_argument(
        "--input-size", type=int, help="side of the shipped network's input (default: 5/4 of the last stage)"
    )
    parser.add_argument(
        "--resize", choices=("squash", "crop", "pad"), default="crop", help="how it is reached (default crop)"
    )
    parser.add_argument("--name", default="cats-and-dogs", help="name on the menu")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    base = Recipe()
    args = _parser(base).parse_args(argv)
    recipe = replace(
        base,
        stages=args.stages,
        peak=args.peak,
        dropout=args.dropout,
        seed=args.seed,
        shortcuts=not args.no_shortcuts,
    )
    start = None
    try:
        if args.start:
            start, begun = load_checkpoint(args.start)
            recipe = replace(recipe, start=begun.sha256)
        if args.shards:
            photos = list(without(from_shards(args.shards), args.shards[0].parent))
        else:
            photos = list(from_folder(args.data) if args.data else from_hub(args.hub))
        training, validation = split(photos)
        model, history = train(training, validation, recipe, args.checkpoints, args.minutes, start)
    except (DataError, CheckpointError) as error:
        print(error, file=sys.stderr)
        return 1
    if len(history) < recipe.epochs:
        print(f"Stopped after epoch {len(history)} of {recipe.epochs}; the same command goes on.")
    size = args.input_size or evaluation_side(recipe.stage(len(history) - 1))
    shown = Preprocessing(size=size, resize=args.resize)
    path = export(model, history, recipe, validation, args.name, args.out, len(training), shown)
    print(f"Saved {path.name}: {100 * history[-1]['accuracy']:.2f} % on {len(validation)} validation photos.")
    return 0


def split(photos: Sequence[Labelled]) -> tuple[list[Labelled], list[Labelled]]:
    """Training and validation: by number where names have one from 10,000 on, else every tenth photo."""
    if any(p.number >= VALIDATION_FROM for p in photos):
        return (
            [p for p in photos if p.number < VALIDATION_FROM],
            [p for p in photos if p.number >= VALIDATION_FROM],
        )
    return [p for i, p in enumerate(photos) if i % 10], list(photos[::10])


def export(
    model: ResNet,
    history: list[dict[str, Any]],
    recipe: Recipe,
    validation: Sequence[Labelled],
    name: str,
    directory: Path,
    trained_on: int,
    preprocessing: Preprocessing,
) -> Path:
    """Judge the network as shipped (float16, the page's own pipeline) and write it with its card."""
    shipped = copy.deepcopy(model).half().float().to("cpu")
    pixels, labels = load_photos(validation, preprocessing, "validation photos")
    logits = logits_of(shipped, pixels, preprocessing)[:, 0]
    temperature = fit_temperature(logits[::2], labels[::2])
    found = summarise(logits, labels)
    card = Card(
        network=name,
        config=model.config,
        preprocessing=preprocessing,
        classes=CLASSES,
        accuracy=found.accuracy,
        n=found.n,
        interval=found.interval,
        temperature=temperature,
        knows=KNOWS,
        details={
            "recipe": asdict(recipe),
            "history": history,
            "training_photos": trained_on,
            "calibration_error": summarise(logits[1::2], labels[1::2], temperature).calibration_error,
            "torch": torch.__version__,
        },
    )
    path = save_checkpoint(model, card, directory)
    save_golden(load_checkpoint(path)[0], directory / "golden.safetensors")
    return path


if __name__ == "__main__":
    sys.exit(main())
