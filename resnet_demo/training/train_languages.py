"""Train the network that tells languages apart: ``python -m resnet_demo train_languages --archive FILE``.

The same ``ResNet`` with a channel for each character, on spans of texts; see ``text_data.py``. Stop it at
any moment; the same command goes on from the last finished epoch.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from resnet_demo.inference.letters import one_hot
from resnet_demo.inputs.alphabet import Alphabet
from resnet_demo.networks.cards import WEIGHTS
from resnet_demo.networks.checkpoints import Card, load_checkpoint, save_checkpoint
from resnet_demo.networks.resnet import ResNet, ResNetConfig
from resnet_demo.records import Preprocessing
from resnet_demo.training.data import DataError
from resnet_demo.training.evaluate import fit_temperature, summarise
from resnet_demo.training.golden import save_golden
from resnet_demo.training.language_accuracy import text_logits
from resnet_demo.training.language_figures import figures_of
from resnet_demo.training.loop import Recipe, train_task
from resnet_demo.training.text_data import Spans, Texts, choose_channels, read_archive

KNOWS = "This network reads the letters of 75 languages, and must call every text one of them."
ABOUT = "75 languages by their letters · 5 blocks"
GOLDEN_SIDE = 8
WIDTHS = (96, 128, 160, 192, 224)
LONGEST = 512  # letters of a text that are read
SHORTEST = 4  # letters of a span, two of them spaces
LENGTHS = ((SHORTEST, 24, 0.3), (25, 64, 0.25), (65, 240, 0.45))  # letters of spans, and how often


@dataclass(frozen=True)
class LanguageRecipe:
    """All settings that change the result, beside those of ``recipe``.

    Attributes:
        spans: drawn of each language an epoch.
        lengths: (least, most, share) of the letters of a span; a batch has one length.
        blurred: share of letters that are read as one of their kind, so that those channels learn.
        widths: output channels of the blocks.
        recipe: rates, decay, smoothing, averaging, dropout, seed; the side of its stages is not used.
    """

    spans: int = 800
    lengths: tuple[tuple[int, int, float], ...] = LENGTHS
    blurred: float = 0.01
    widths: tuple[int, ...] = WIDTHS
    recipe: Recipe = Recipe(stages=((LONGEST, 60),), dropout=0.1)  # noqa: RUF009 - frozen


class LanguageTask:
    """Which language a text is in, by a logit for each; see ``loop.Task``.

    Args:
        texts: of each language; the classes are their names in this order.
    """

    def __init__(self, texts: Mapping[str, Texts], settings: LanguageRecipe) -> None:
        self.recipe, self.settings = settings.recipe, settings
        training = {name: t.part(validation=False) for name, t in texts.items()}
        self.preprocessing = Preprocessing(
            size=LONGEST, mean=(0.0,), std=(1.0,), modality="text", characters=choose_channels(training)
        )
        self.alphabet = Alphabet(self.preprocessing.characters)
        self.spans = Spans(training, self.alphabet)
        self.classes = tuple(texts)
        channels = len(self.alphabet.channels)
        self.config = ResNetConfig(channels, settings.widths, len(texts), settings.recipe.dropout)
        held = {name: t.part(validation=True) for name, t in texts.items()}
        self.validation = {
            "sentences": [(t, i) for i, part in enumerate(held.values()) for t in part.sentences],
            "words": [
                (f" {word} ", i)
                for i, part in enumerate(held.values())
                for pair in part.pairs
                for word in pair.split()
            ],
        }

    def load(self, epoch: int) -> int:
        """All are in memory already."""
        return self.settings.spans * len(self.classes)

    def draw(
        self, languages: NDArray[np.int64], rng: np.random.Generator, blurred: float
    ) -> NDArray[np.int16]:
        """A span of each of ``languages``, all of one random length, (B, length)."""
        shares = np.array([share for *_, share in self.settings.lengths])
        least, most, _ = self.settings.lengths[rng.choice(len(shares), p=shares / shares.sum())]
        length = int(rng.integers(least, most + 1))
        letters = np.stack([self.spans.draw(int(language), length, rng) for language in languages])
        return np.where(rng.random(letters.shape) < blurred, self.spans.shared[letters], letters)

    def views(
        self, chosen: NDArray[np.int64], epoch: int, device: torch.device, generator: torch.Generator
    ) -> Tensor:
        """Random spans, of one length in a batch: the channels of their letters (B, 1, 1, L), see
        ``prepare``."""
        seed = int(torch.randint(2**62, (1,), generator=generator))
        rng = np.random.default_rng(seed)
        letters = self.draw(chosen % len(self.classes), rng, self.settings.blurred)
        return torch.from_numpy(letters.astype(np.int64)).view(len(chosen), 1, 1, -1).to(device)

    def prepare(self, model: ResNet) -> None:
        """The first layers look the weights of letters up, see ``letters_as_lookups``."""
        letters_as_lookups(model)

    def loss(self, logits: Tensor, chosen: NDArray[np.int64]) -> Tensor:
        """Cross-entropy with smoothed labels."""
        target = torch.from_numpy(chosen % len(self.classes)).to(logits.device)
        return F.cross_entropy(logits, target, label_smoothing=self.recipe.smoothing)

    def plain(self, count: int, epoch: int) -> Iterator[Tensor]:
        """Spans whose letters are all read as they are."""
        rng = np.random.default_rng(0)
        for _ in range(count // self.recipe.batch):
            letters = self.draw(rng.integers(len(self.classes), size=self.recipe.batch), rng, 0.0)
            yield one_hot(letters, len(self.alphabet.channels))

    def judge(self, model: ResNet, epoch: int) -> dict[str, Any]:
        """The accuracy on the sentences of validation, and on its single words."""
        found = {part: self.judged(model, part) for part in self.validation}
        return {
            "accuracy": summarise(*found["sentences"]).accuracy,
            "words": summarise(*found["words"]).accuracy,
        }

    def judged(self, model: ResNet, part: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Logits and labels of one part of validation."""
        texts, labels = zip(*self.validation[part], strict=True)
        return text_logits(model, texts, self.preprocessing), np.array(labels, np.int64)


def letters_as_lookups(model: ResNet) -> None:
    """Let the first block of ``model`` take the channels of letters, (B, 1, 1, L) whole numbers, instead of
    a 1 among zeros, (B, channels, 1, L): what the first convolution and the first shortcut add up is then
    looked up."""

    def convolve(conv: nn.Conv2d, x: Tensor) -> Tensor:
        length = x.shape[3]
        letters = F.pad(x[:, 0, 0] + 1, (1, 1))  # 0 stands for the padding
        before, at, after = F.pad(conv.weight[:, :, 1].permute(2, 1, 0), (0, 0, 1, 0))
        found = (
            F.embedding(letters[:, :length], before)
            + F.embedding(letters[:, 1:-1], at)
            + F.embedding(letters[:, 2:], after)
        )
        return found.permute(0, 2, 1).unsqueeze(2)

    def shortcut(conv: nn.Conv2d, x: Tensor) -> Tensor:
        found = F.embedding(x[:, 0, 0, ::2], conv.weight[:, :, 0, 0].t())
        return found.permute(0, 2, 1).unsqueeze(2)

    first = model.blocks[0]
    assert isinstance(first.conv1, nn.Conv2d) and isinstance(first.downsample, nn.Conv2d)
    first.conv1.forward = types.MethodType(convolve, first.conv1)  # type: ignore[method-assign]
    first.downsample.forward = types.MethodType(shortcut, first.downsample)  # type: ignore[method-assign]


def train(
    texts: Mapping[str, Texts], settings: LanguageRecipe, checkpoints: Path, minutes: float = math.inf
) -> tuple[LanguageTask, ResNet, list[dict[str, Any]]]:
    """Train on ``texts``; args as of ``train_task``."""
    task = LanguageTask(texts, settings)
    return task, *train_task(task, checkpoints, minutes)


@torch.no_grad()
def without_unused_rows(model: ResNet) -> ResNet:
    """A copy whose kernels are zero in the rows above and below the middle one, which meet nothing but
    padding in a
    picture one pixel high: the answers are the same."""
    copied = copy.deepcopy(model)
    for module in copied.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            module.weight[:, :, [0, 2]] = 0
    return copied


DATA = (
    "Trained on sentences and word pairs of lingua (https://github.com/pemistahl/lingua-py, Apache License "
    "2.0), whose texts come from the Leipzig Corpora Collection; letters that the Spanish ones had lost were "
    "put back with the word list of pyspellchecker. Tested on the Universal Declaration of Human Rights."
)


def export(
    task: LanguageTask,
    model: ResNet,
    history: list[dict[str, Any]],
    directory: Path,
    test: Path | None = None,
) -> Path:
    """Judge the network as shipped (float16) on validation, and on a test folder if there is one, and write
    it with its card and golden tensors."""
    model = without_unused_rows(model)
    shipped = copy.deepcopy(model).half().float()
    judged = {part: task.judged(shipped, part) for part in task.validation}
    every = tuple(np.concatenate(both) for both in zip(*judged.values(), strict=True))
    temperature = fit_temperature(*every)
    found = {part: summarise(*logits_and_labels) for part, logits_and_labels in judged.items()}
    validation = {
        part: {"accuracy": e.accuracy, "n": e.n, "interval": e.interval} for part, e in found.items()
    }
    tested = {}
    if test is not None:
        tested = figures_of(shipped, task.preprocessing, task.classes, test, temperature)
    told = tested.get("sentences", validation["sentences"])
    card = Card(
        network="languages",
        config=model.config,
        preprocessing=task.preprocessing,
        classes=task.classes,
        accuracy=told["accuracy"],
        n=told["n"],
        interval=told["interval"],
        temperature=temperature,
        knows=KNOWS,
        about=ABOUT,
        details={
            "data": DATA,
            "recipe": asdict(task.settings),
            "history": history,
            "validation": validation,
            "test": tested,
            "torch": torch.__version__,
        },
    )
    path = save_checkpoint(model, card, directory)
    save_golden(load_checkpoint(path)[0], path.with_suffix(".golden.safetensors"), GOLDEN_SIDE)
    return path


def main(argv: Sequence[str] | None = None) -> int:
    base = LanguageRecipe()
    parser = argparse.ArgumentParser(prog="python -m resnet_demo train_languages", description=__doc__)
    parser.add_argument(
        "--archive", type=Path, required=True, help="tar file of sentences/xx.txt and word-pairs/xx.txt"
    )
    parser.add_argument(
        "--spans", type=int, default=base.spans, help="of a language an epoch (default %(default)s)"
    )
    parser.add_argument("--epochs", type=int, default=base.recipe.epochs, help="(default %(default)s)")
    parser.add_argument("--seed", type=int, default=base.recipe.seed)
    parser.add_argument("--checkpoints", type=Path, default=Path("runs/languages"), help="for resuming")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="stop after the epoch that passes this"
    )
    parser.add_argument("--test", type=Path, help="folder of the command udhr, for the figures in the card")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="where the finished weights go")
    args = parser.parse_args(argv)
    recipe = Recipe(stages=((LONGEST, args.epochs),), dropout=base.recipe.dropout, seed=args.seed)
    settings = LanguageRecipe(spans=args.spans, recipe=recipe)
    try:
        task, model, history = train(read_archive(args.archive), settings, args.checkpoints, args.minutes)
    except DataError as error:
        print(error, file=sys.stderr)
        return 1
    if len(history) < args.epochs:
        print(f"Stopped after epoch {len(history)} of {args.epochs}; the same command goes on.")
        return 0
    path = export(task, model, history, args.out, args.test)
    card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    print(f"Saved {path.name}: " + json.dumps(card["details"]["validation"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
