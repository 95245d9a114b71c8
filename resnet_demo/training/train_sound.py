"""Train the network that listens: ``python -m resnet_demo train_sound``.

The same ``ResNet`` with one input channel, on the pictures of sounds that ``sounds.py`` makes from
seeds: training, validation and held-out test have seeds of their own. The pictures are made once
and kept in ``runs/``. Stop it at any moment; the same command goes on from the last finished epoch.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from resnet_demo.inputs.mel_spectrogram import BANDS, COLUMNS, mel_picture
from resnet_demo.inputs.synthetic_sounds import CLASSES, HELD_OUT, TRAINING, VALIDATION, numbered
from resnet_demo.networks.cards import WEIGHTS
from resnet_demo.networks.checkpoints import Card, save_checkpoint
from resnet_demo.networks.resnet import ResNet, ResNetConfig
from resnet_demo.records import Preprocessing
from resnet_demo.training.data import DataError
from resnet_demo.training.evaluate import fit_temperature, logits_of, summarise
from resnet_demo.training.loop import Recipe, plain_pictures, train_task

KNOWS = (
    "Trained only on sounds that this project's own program made; it must call every sound one of its ten"
    " kinds."
)
SHOWN = Preprocessing(size=BANDS, resize="squash", mean=(0.25,), std=(0.25,), modality="sound")
WIDTHS = (16, 32, 64, 128, 256)
VALIDATED = 1_000  # sounds judged after every epoch; the temperature is fitted on them
SHIFT = 3  # bands and steps by which a picture is moved at most while training
DECIBELS = 0.15  # by which brightness is stretched at most


@dataclass(frozen=True)
class SoundRecipe:
    """All settings that change the result, beside those of ``recipe``.

    Attributes:
        training: sounds to train on, the first this many from seed TRAINING on.
        wears: one wear a sound in turn (see ``sounds.sound``).
        epochs: passes over them.
        widths: output channels of the blocks.
        recipe: rates, decay, smoothing, averaging, dropout, seed; its stages are not used.
    """

    training: int = 8_000
    wears: tuple[float, ...] = (0.0, 0.5, 1.0, 1.0, 1.5)
    epochs: int = 5
    widths: tuple[int, ...] = WIDTHS
    recipe: Recipe = Recipe(stages=((BANDS, 5),), dropout=0.05, decay=0.05)  # noqa: RUF009 - frozen


def pictures(
    count: int, first: int, wears: Sequence[float], cache: Path | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pictures of ``count`` sounds whose seeds begin at ``first``, and their classes.

    Args:
        wears: one a sound, taken in turn after every ten.
        cache: folder in which they are kept.

    Returns:
        (count, BANDS, COLUMNS) uint8 and (count,) int64.
    """
    name = f"sounds-{count}-{first}-{'-'.join(f'{w:g}' for w in wears)}.npy"
    labels = np.arange(count, dtype=np.int64) % len(CLASSES)
    if cache is not None and (cache / name).exists():
        kept: NDArray[np.uint8] = np.load(cache / name)
        return kept, labels
    found = np.empty((count, BANDS, COLUMNS), np.uint8)
    for i in tqdm(range(count), desc="sounds", unit="sound", disable=None):
        samples, _ = numbered(i, first, wears[i // len(CLASSES) % len(wears)])
        found[i] = mel_picture(samples)[..., 0]
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
        np.save(cache / name, found)
    return found, labels


def grey(found: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures (N, H, W) as RGB (N, H, W, 3)."""
    return np.repeat(found[..., None], 3, axis=3)


def judge(model: ResNet, found: NDArray[np.uint8], batch: int = 500) -> NDArray[np.float32]:
    """Logits (N, classes) of pictures (N, BANDS, COLUMNS), by the page's own way to the network."""
    parts = [
        logits_of(model, grey(found[i : i + batch]), SHOWN, progress=False)
        for i in range(0, len(found), batch)
    ]
    return np.concatenate(parts)


def moved(found: NDArray[np.uint8], generator: torch.Generator) -> Tensor:
    """Normalised input (B, 1, H, W) from pictures (B, H, W): each moved a little, dimmed or brightened.

    What is moved in from outside is black: silence.
    """
    x = torch.from_numpy(found).float().unsqueeze(1) / 255
    shifts = torch.randint(-SHIFT, SHIFT + 1, (len(x), 2), generator=generator).tolist()
    x = torch.stack(
        [_shifted(picture, down, right) for picture, (down, right) in zip(x, shifts, strict=True)]
    )
    stretch = 1 + DECIBELS * (2 * torch.rand(len(x), 1, 1, 1, generator=generator) - 1)
    x = (1 - (1 - x) * stretch).clamp(0, 1)
    return (x - SHOWN.mean[0]) / SHOWN.std[0]


def _shifted(picture: Tensor, down: int, right: int) -> Tensor:
    return F.pad(picture, (right, -right, down, -down))


class SoundTask:
    """Ten kinds of sounds, by a logit for each; see ``loop.Task``.

    Args:
        cache: folder in which the pictures are kept.
    """

    def __init__(self, settings: SoundRecipe, cache: Path) -> None:
        self.recipe, self.settings = settings.recipe, settings
        self.config = ResNetConfig(1, settings.widths, len(CLASSES), settings.recipe.dropout)
        self.found, self.labels = pictures(settings.training, TRAINING, settings.wears, cache)
        self.valid, self.valid_labels = pictures(VALIDATED, VALIDATION, (1.0,), cache)

    def load(self, epoch: int) -> int:
        """All are in memory already."""
        return len(self.found)

    def views(
        self, chosen: NDArray[np.int64], epoch: int, device: torch.device, generator: torch.Generator
    ) -> Tensor:
        """See ``moved``."""
        return moved(self.found[chosen], generator).to(device)

    def prepare(self, model: ResNet) -> None:
        """Pictures go through the network as they are."""

    def loss(self, logits: Tensor, chosen: NDArray[np.int64]) -> Tensor:
        """Cross-entropy with smoothed labels."""
        target = torch.from_numpy(self.labels[chosen]).to(logits.device)
        return F.cross_entropy(logits, target, label_smoothing=self.recipe.smoothing)

    def plain(self, count: int, epoch: int) -> Iterable[Tensor]:
        """The pictures as they are."""
        return plain_pictures(grey(self.found[:count]), BANDS, SHOWN)

    def judge(self, model: ResNet, epoch: int) -> dict[str, Any]:
        """The accuracy on the validation sounds."""
        return {"accuracy": summarise(judge(model, self.valid), self.valid_labels).accuracy}


def train(
    settings: SoundRecipe, checkpoints: Path, minutes: float = math.inf
) -> tuple[ResNet, list[dict[str, Any]]]:
    """Train on sounds, whose pictures are kept in ``checkpoints`` too; args as of ``train_task``."""
    return train_task(SoundTask(settings, checkpoints), checkpoints, minutes)


def accuracy(model: ResNet, count: int, wear: float, cache: Path | None = None) -> dict[str, Any]:
    """How many of ``count`` held-out sounds of that wear the network gets right.

    Returns:
        "accuracy", "n", "interval" (95 % Wilson), "confusion" (rows true, columns answered).
    """
    found, labels = pictures(count, HELD_OUT, (wear,), cache)
    result = summarise(judge(model, found), labels)
    return {
        "accuracy": result.accuracy,
        "n": count,
        "interval": result.interval,
        "confusion": result.confusion.tolist(),
    }


def export(
    model: ResNet,
    history: list[dict[str, Any]],
    settings: SoundRecipe,
    directory: Path,
    checkpoints: Path,
    count: int = 2000,
) -> Path:
    """Judge the network as shipped (float16) on held-out sounds and write it with its card."""
    shipped = copy.deepcopy(model).half().float()
    valid, valid_labels = pictures(VALIDATED, VALIDATION, (1.0,), checkpoints)
    plain = accuracy(shipped, count, 1.0, checkpoints)
    card = Card(
        network="sounds",
        config=model.config,
        preprocessing=SHOWN,
        classes=CLASSES,
        accuracy=plain["accuracy"],
        n=plain["n"],
        interval=plain["interval"],
        temperature=fit_temperature(judge(shipped, valid), valid_labels),
        knows=KNOWS,
        details={
            "recipe": asdict(settings),
            "history": history,
            "held_out": {
                "clean (wear 0)": accuracy(shipped, count, 0.0, checkpoints),
                "ordinary (wear 1)": plain,
                "bad (wear 2)": accuracy(shipped, count, 2.0, checkpoints),
            },
            "torch": torch.__version__,
        },
    )
    return save_checkpoint(model, card, directory)


def main(argv: Sequence[str] | None = None) -> int:
    base = SoundRecipe()
    parser = argparse.ArgumentParser(prog="python -m resnet_demo train_sound", description=__doc__)
    parser.add_argument("--training", type=int, default=base.training, help="sounds (default %(default)s)")
    parser.add_argument("--epochs", type=int, default=base.epochs, help="(default %(default)s)")
    parser.add_argument("--seed", type=int, default=base.recipe.seed)
    parser.add_argument("--held-out", type=int, default=2000, help="sounds to judge on (default %(default)s)")
    parser.add_argument("--checkpoints", type=Path, default=Path("runs/sounds"), help="for resuming")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="stop after the epoch that passes this"
    )
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="where the finished weights go")
    args = parser.parse_args(argv)
    settings = SoundRecipe(
        training=args.training,
        epochs=args.epochs,
        recipe=Recipe(stages=((BANDS, args.epochs),), dropout=0.05, seed=args.seed),
    )
    try:
        model, history = train(settings, args.checkpoints, args.minutes)
    except DataError as error:
        print(error, file=sys.stderr)
        return 1
    if len(history) < settings.epochs:
        print(f"Stopped after epoch {len(history)} of {settings.epochs}; the same command goes on.")
        return 0
    path = export(model, history, settings, args.out, args.checkpoints, args.held_out)
    print(f"Saved {path.name}.")
    card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    for name, found in card["details"]["held_out"].items():
        low, high = found["interval"]
        print(
            f"{name}: {100 * found['accuracy']:.2f} % right of n = {found['n']} "
            f"(95 % interval {100 * low:.2f} to {100 * high:.2f} %)"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
