"""Train the network that hears spoken digits: ``python -m resnet_demo train_digits --archive FILE``.

The same ``ResNet`` with one input channel, on the mel pictures of recordings; see ``digit_data.py``. One
training a ``--held-out`` speaker, whom that network never hears; ``--held-out nobody`` trains on all. Stop
it at any moment; the same command goes on from the last finished epoch.
"""

from __future__ import annotations

import argparse
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

from resnet_demo.networks.cards import WEIGHTS
from resnet_demo.networks.checkpoints import Card, load_checkpoint, save_checkpoint
from resnet_demo.networks.resnet import ResNet, ResNetConfig
from resnet_demo.training.data import DataError
from resnet_demo.training.digit_data import (
    DIGITS,
    HEARD,
    Recording,
    plain_picture,
    random_pictures,
    read_recordings,
    speakers,
)
from resnet_demo.training.evaluate import Evaluation, logits_of, summarise, wilson
from resnet_demo.training.golden import save_golden
from resnet_demo.training.loop import Recipe, plain_pictures, train_task

KNOWS = "This network has heard the digits zero to nine in English, and must call every sound one of them."
ABOUT = "spoken digits, zero to nine · 5 blocks"
DATA = (
    "Trained on the Free Spoken Digit Dataset (https://github.com/Jakobovski/free-spoken-digit-dataset, "
    "Z. Jackson and others, CC BY-SA 4.0): 3,000 recordings of six men. The accuracy is that of six "
    "trainings which each left one speaker out, on that speaker's recordings; the network itself has heard "
    "all six."
)
GOLDEN_SIDE = 32
NOBODY = "nobody"
STRETCHED = (-0.25, 0.25)  # logarithm of the stretch in time
RAISED = (-0.12, 0.12)  # and of that of the mel scale, from the lowest band
MASKED_STEPS, MASKED_BANDS = 6, 8  # silenced at most
WIDTHS = (16, 32, 48, 64, 96)


@dataclass(frozen=True)
class DigitRecipe:
    """All settings that change the result, beside those of ``recipe``.

    Attributes:
        held_out: the speaker who is not heard, NOBODY to hear all.
        views: random views made of every recording; an epoch takes one of each, in turn.
        widths: output channels of the blocks.
        recipe: rates, decay, smoothing, averaging, dropout, seed.
    """

    held_out: str = NOBODY
    views: int = 6
    widths: tuple[int, ...] = WIDTHS
    recipe: Recipe = Recipe(stages=((HEARD.size, 48),), dropout=0.2, averaging=0.99)  # noqa: RUF009 - frozen


class DigitTask:
    """Ten spoken digits, by a logit for each; see ``loop.Task``.

    Args:
        recordings: of all speakers; those of ``settings.held_out`` are only judged.
        cache: folder in which the views are kept.

    Raises:
        DataError: there is no such speaker.
    """

    def __init__(self, recordings: Sequence[Recording], settings: DigitRecipe, cache: Path) -> None:
        known = speakers(recordings)
        if settings.held_out not in (*known, NOBODY):
            raise DataError(f"No speaker is called {settings.held_out!r}; choose one of {', '.join(known)}.")
        self.recipe, self.settings = settings.recipe, settings
        self.config = ResNetConfig(1, settings.widths, len(DIGITS), settings.recipe.dropout)
        self.pictures = random_pictures(recordings, settings.views, settings.recipe.seed, cache)
        self.heard = np.array([i for i, r in enumerate(recordings) if r.speaker != settings.held_out])
        self.training = [recordings[i] for i in self.heard]
        self.labels = np.array([r.digit for r in self.training], np.int64)
        self.held = [r for r in recordings if r.speaker == settings.held_out]

    def load(self, epoch: int) -> int:
        """All are in memory already."""
        return len(self.training)

    def views(
        self, chosen: NDArray[np.int64], epoch: int, device: torch.device, generator: torch.Generator
    ) -> Tensor:
        """Random views, see ``random_picture``, bent once more, see ``bent``."""
        pictures = torch.from_numpy(self.pictures[epoch % self.settings.views][self.heard[chosen]])
        x = bent(pictures.float().unsqueeze(1) / 255, generator)
        return ((x - HEARD.mean[0]) / HEARD.std[0]).to(device)

    def prepare(self, model: ResNet) -> None:
        """Pictures go through the network as they are."""

    def loss(self, logits: Tensor, chosen: NDArray[np.int64]) -> Tensor:
        """Cross-entropy with smoothed labels."""
        target = torch.from_numpy(self.labels[chosen]).to(logits.device)
        return F.cross_entropy(logits, target, label_smoothing=self.recipe.smoothing)

    def plain(self, count: int, epoch: int) -> Iterable[Tensor]:
        """Recordings as they are, of every digit and speaker."""
        chosen = np.random.default_rng(0).permutation(len(self.training))[:count]
        found = np.stack([plain_picture(self.training[i].samples) for i in chosen])
        return plain_pictures(found, HEARD.size, HEARD)

    def judge(self, model: ResNet, epoch: int) -> dict[str, Any]:
        """Nothing is chosen by the held-out speaker: he is judged once, after the last epoch."""
        if epoch + 1 < self.recipe.epochs or not self.held:
            return {"accuracy": None}
        found = judged(model, self.held)
        return {
            "accuracy": found.accuracy,
            "n": found.n,
            "interval": found.interval,
            "confusion": found.confusion.tolist(),
        }


def bent(x: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures (B, 1, H, W) in 0..1 as other voices and rooms would have made them: stretched and moved in
    time and pitch, harmonics blurred in half of them, dimmed or brightened, a stretch of time and one of
    bands silenced (Park et al. 2019, https://arxiv.org/abs/1904.08779)."""
    batch, _, height, width = x.shape

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(batch).uniform_(low, high, generator=generator)

    across, up = uniform(*STRETCHED).exp(), uniform(*RAISED).exp()
    zero = torch.zeros(batch)
    rows = torch.stack([across, zero, uniform(-0.1, 0.1)], 1), torch.stack([zero, up, 1 - up], 1)
    grid = F.affine_grid(torch.stack(rows, 1), [batch, 1, height, width], align_corners=False)
    x = F.grid_sample(x, grid, align_corners=False)
    blurred = F.avg_pool2d(x, (5, 1), stride=1, padding=(2, 0), count_include_pad=False)
    x = torch.where((uniform(0, 1) < 0.5).view(-1, 1, 1, 1), blurred, x)
    x = (1 - (1 - x) * uniform(0.75, 1.3).view(-1, 1, 1, 1)).clamp(0, 1)
    for most, along in ((MASKED_STEPS, 3), (MASKED_BANDS, 2)):
        size = x.shape[along]
        begin, long = uniform(0, size), uniform(0, most)
        place = torch.arange(size).view(1, -1)
        mask = (place >= begin.view(-1, 1)) & (place < (begin + long).view(-1, 1))
        x = x.masked_fill(mask.view(batch, 1, *((1, size) if along == 3 else (size, 1))), 0.0)
    return x


def judged(model: ResNet, recordings: Sequence[Recording]) -> Evaluation:
    """How many of ``recordings`` the network gets right, by the page's own way to the network."""
    pictures = np.stack([plain_picture(r.samples) for r in recordings])
    labels = np.array([r.digit for r in recordings], np.int64)
    return summarise(logits_of(model, pictures, HEARD, progress=False), labels)


def train(
    recordings: Sequence[Recording], settings: DigitRecipe, checkpoints: Path, minutes: float = math.inf
) -> tuple[ResNet, list[dict[str, Any]]]:
    """Train without one speaker, or on all; args as of ``train_task``."""
    task = DigitTask(recordings, settings, checkpoints)
    return train_task(task, checkpoints / settings.held_out, minutes)


def held_out_figures(checkpoints: Path, names: Iterable[str]) -> dict[str, Any]:
    """What the trainings found that each left one speaker out: name -> accuracy, n, interval, confusion.

    Raises:
        DataError: one of them is not finished.
    """
    found = {}
    for name in names:
        path = checkpoints / name / "held_out.json"
        if not path.is_file():
            raise DataError(f"Nobody has trained without {name} yet: --held-out {name} first.")
        found[name] = json.loads(path.read_text(encoding="utf-8"))
    return found


def export(
    model: ResNet,
    history: list[dict[str, Any]],
    settings: DigitRecipe,
    held_out: dict[str, Any],
    directory: Path,
) -> Path:
    """Write the network that has heard all, with a card whose figures are those of the speakers held out in
    turn."""
    confusion = np.sum([np.array(f["confusion"]) for f in held_out.values()], axis=0)
    n, right = int(confusion.sum()), int(np.trace(confusion))
    card = Card(
        network="digits",
        config=model.config,
        preprocessing=HEARD,
        classes=DIGITS,
        accuracy=right / n,
        n=n,
        interval=wilson(right, n),
        knows=KNOWS,
        about=ABOUT,
        details={
            "data": DATA,
            "recipe": asdict(settings),
            "history": history,
            "held_out": held_out,
            "torch": torch.__version__,
        },
    )
    path = save_checkpoint(model, card, directory)
    save_golden(load_checkpoint(path)[0], path.with_suffix(".golden.safetensors"), GOLDEN_SIDE)
    return path


def main(argv: Sequence[str] | None = None) -> int:
    base = DigitRecipe()
    parser = argparse.ArgumentParser(prog="python -m resnet_demo train_digits", description=__doc__)
    parser.add_argument("--archive", type=Path, required=True, help="tar file of digit_speaker_take.wav")
    parser.add_argument(
        "--held-out", nargs="+", default=[NOBODY], help="speakers, one training each (default nobody)"
    )
    parser.add_argument("--epochs", type=int, default=base.recipe.epochs, help="(default %(default)s)")
    parser.add_argument("--seed", type=int, default=base.recipe.seed)
    parser.add_argument("--checkpoints", type=Path, default=Path("runs/digits"), help="for resuming")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="stop after the epoch that passes this"
    )
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="where the finished weights go")
    args = parser.parse_args(argv)
    recipe = Recipe(
        stages=((HEARD.size, args.epochs),),
        dropout=base.recipe.dropout,
        averaging=base.recipe.averaging,
        seed=args.seed,
    )
    try:
        recordings = read_recordings(args.archive)
        for name in args.held_out:
            settings = DigitRecipe(held_out=name, recipe=recipe)
            model, history = train(recordings, settings, args.checkpoints, args.minutes)
            if len(history) < args.epochs:
                print(f"Stopped after epoch {len(history)} of {args.epochs}; the same command goes on.")
                return 0
            if name == NOBODY:
                figures = held_out_figures(args.checkpoints, speakers(recordings))
                print(f"Saved {export(model, history, settings, figures, args.out).name}.")
                continue
            last = {key: history[-1][key] for key in ("accuracy", "n", "interval", "confusion")}
            last["seconds"] = sum(epoch["seconds"] for epoch in history)
            (args.checkpoints / name / "held_out.json").write_text(json.dumps(last), encoding="utf-8")
            print(f"Without {name}: {100 * last['accuracy']:.2f} % of his {last['n']} recordings right.")
    except DataError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
