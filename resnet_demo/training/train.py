"""Train the network from scratch: ``python -m resnet_demo train --shards …`` or ``--data DIR``.

Progressive resizing, AdamW without decay on norms and biases, warm-up and cosine, label
smoothing, an exponential moving average of the weights with fresh batch-norm statistics.
Stop it at any moment; the same command goes on from the last finished epoch and ends with
the result of an unbroken run. Several GPUs: ``accelerate launch -m resnet_demo.train …``.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import sys
import time
import types
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

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
from resnet_demo.training.evaluate import logits_of, summarise
from resnet_demo.training.golden import save_golden

CURVE = 20  # points of the loss curve an epoch
KNOWS = "This network has seen only cats and dogs, and must call everything one of them."


@dataclass(frozen=True)
class Recipe:
    """All settings that change the result.

    Attributes:
        stages: (side of the training views in pixels, epochs), in order.
        batch: photos a step, over all devices.
        peak: learning rate after the warm-up.
        warmup: epochs until then.
        decay: weight decay of convolutions and the linear layer.
        smoothing: share of each label given to the other class.
        averaging: weight of the past in the moving average, once it has warmed up.
        dropout: the notebook's setting in every block.
        shortcuts: False trains the plain twin.
        seed: of initial weights, order and augmentation.
        start: SHA-256 of the weight file that training started from, None for random weights.
    """

    stages: tuple[tuple[int, int], ...] = ((64, 10), (96, 6), (128, 6))
    batch: int = 64
    peak: float = 2e-3
    warmup: float = 1.0
    decay: float = 0.05
    smoothing: float = 0.06
    averaging: float = 0.998
    dropout: float = 0.05
    shortcuts: bool = True
    seed: int = 0
    start: str | None = None

    @property
    def epochs(self) -> int:
        return sum(epochs for _, epochs in self.stages)

    def stage(self, epoch: int) -> int:
        """Side of the training views in ``epoch``."""
        for side, epochs in self.stages:
            if epoch < epochs:
                return side
            epoch -= epochs
        raise ValueError("the epoch is beyond the last stage")

    def learning_rate(self, epoch: float) -> float:
        """Linear warm-up times a cosine to zero; ``epoch`` may be between two."""
        return (
            self.peak
            * min(1.0, (epoch + 0.01) / self.warmup)
            * 0.5
            * (1 + math.cos(math.pi * epoch / self.epochs))
        )


def view_side(side: int) -> int:
    """Side at which photos are kept for views of ``side``: crops of them lose no detail."""
    return side * 5 // 4


def evaluation_side(side: int) -> int:
    """Side for evaluating a network trained at ``side``: objects look larger in random crops,
    so whole photos are shown larger (Touvron et al. 2019, https://arxiv.org/abs/1906.06423)."""
    return side * 5 // 4


class Averaged:
    """An exponential moving average of a network's parameters that warms up with its steps."""

    def __init__(self, model: ResNet, most: float) -> None:
        self.model = ResNet.from_config(model.config)
        self.model.load_state_dict(model.state_dict())
        self.most, self.steps = most, 0

    @torch.no_grad()
    def update(self, model: ResNet) -> None:
        self.steps += 1
        keep = min(self.most, 1 - (self.steps + 1) ** -0.9)
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), 1 - keep)

    @torch.no_grad()
    def refresh_norms(self, pixels: NDArray[np.uint8], side: int, preprocessing: Preprocessing) -> None:
        """Batch-norm statistics of the averaged weights, from plain views of (N, H, W, 3) photos."""
        norms = [m for m in self.model.modules() if isinstance(m, nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over the batches
        self.model.train()
        device = next(self.model.parameters()).device
        for i in range(0, max(1, len(pixels) - 63), 64):
            self.model(normalised(pixels[i : i + 64], side, preprocessing).to(device))
        self.model.eval()


def shortcuts_as_products(model: ResNet) -> None:
    """Compute every 1x1 shortcut as the matrix product it is, on every second pixel.

    The same sums under the same parameter names. In channels_last on the CPU it makes a step 1.7
    times as fast as contiguous tensors do (128 pixels, bfloat16), where oneDNN's backward pass of
    strided 1x1 convolutions corrupts the heap (seen with torch 2.13 and 2.15).
    """

    def forward(shortcut: nn.Conv2d, x: Tensor) -> Tensor:
        every_second = x[:, :, ::2, ::2].permute(0, 2, 3, 1)
        return F.linear(every_second, shortcut.weight[:, :, 0, 0]).permute(0, 3, 1, 2)

    for block in model.blocks:
        if isinstance(block.downsample, nn.Conv2d):
            block.downsample.forward = types.MethodType(forward, block.downsample)  # type: ignore[assignment]


def normalised(pixels: NDArray[np.uint8], side: int, preprocessing: Preprocessing) -> Tensor:
    """Whole photos (B, H, W, 3) as input (B, channels, side, side), resized with antialiasing."""
    x = torch.from_numpy(pixels[..., : len(preprocessing.mean)]).permute(0, 3, 1, 2).float() / 255
    x = F.interpolate(x, (side, side), mode="bilinear", antialias=True, align_corners=False)
    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (preprocessing.mean, preprocessing.std))
    return (x - mean) / std


def optimiser(model: ResNet, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW that spares norms and biases from weight decay."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    spared = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.decay}, {"params": spared, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.peak, betas=(0.9, 0.99))


def train(
    training: Sequence[Labelled],
    validation: Sequence[Labelled],
    recipe: Recipe,
    checkpoints: Path,
    minutes: float = math.inf,
    start: ResNet | None = None,
) -> tuple[ResNet, list[dict[str, Any]]]:
    """Train, or go on training, and return the averaged network with one record an epoch.

    Args:
        training, validation: encoded photos; accuracy is taken on ``validation`` each epoch.
        recipe: the settings; a checkpoint of another recipe is refused.
        checkpoints: folder for the resumable state.
        minutes: stop after the epoch in which this much time has passed.
        start: a network whose parameters to start from, of the same configuration.

    Raises:
        DataError: no photos, or the checkpoint belongs to another recipe.
    """
    if not training or not validation:
        raise DataError(f"Training needs photos of both halves; got {len(training)} and {len(validation)}.")
    accelerator = Accelerator()
    torch.manual_seed(recipe.seed)
    model = ResNet.from_config(ResNetConfig(dropout=recipe.dropout, shortcuts=recipe.shortcuts))
    if start is not None:
        model.load_state_dict(start.state_dict())
    if accelerator.device.type == "cpu":
        shortcuts_as_products(model)
    average = Averaged(model, recipe.averaging)
    average.model.to(accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = optimiser(model, recipe)
    wrapped, optimizer = accelerator.prepare(model, optimizer)
    generator = torch.Generator().manual_seed(recipe.seed)

    state_file = checkpoints / "state.pt"
    checkpoints.mkdir(parents=True, exist_ok=True)
    history: list[dict[str, Any]] = []
    if state_file.exists():
        state = torch.load(state_file, weights_only=False, map_location="cpu")  # our own file
        if state["recipe"] != asdict(recipe):
            raise DataError(f"{state_file} belongs to another recipe; choose another --checkpoints folder.")
        model.load_state_dict(state["model"])
        average.model.load_state_dict(state["average"])
        average.steps = state["steps"]
        optimizer.load_state_dict(state["optimizer"])
        generator.set_state(state["generator"])
        torch.set_rng_state(state["rng"])
        history = state["history"]

    plain = Preprocessing(resize="squash")
    started, loaded_side = time.monotonic(), 0
    pixels, labels, valid_pixels, valid_labels = (np.empty(0, np.uint8), np.empty(0, np.int64)) * 2  # type: ignore[assignment]
    for epoch in range(len(history), recipe.epochs):
        side = recipe.stage(epoch)
        if side != loaded_side:
            kept = replace(plain, size=view_side(side), resize="crop")
            pixels, labels = load_photos(training, kept, "training photos")
            valid_pixels, valid_labels = load_photos(validation, kept, "validation photos")
            loaded_side = side
        record = _epoch(
            accelerator, wrapped, model, average, optimizer, pixels, labels, epoch, recipe, generator
        )
        average.refresh_norms(pixels[: 64 * 30], evaluation_side(side), plain)
        judged = replace(plain, size=evaluation_side(side))
        logits = logits_of(average.model, valid_pixels, judged, progress=False)[:, 0]
        record |= {"epoch": epoch + 1, "side": side, "accuracy": summarise(logits, valid_labels).accuracy}
        history.append(record)
        if accelerator.is_main_process:
            print(json.dumps(record), flush=True)
            state = {
                "recipe": asdict(recipe),
                "model": model.state_dict(),
                "average": average.model.state_dict(),
                "steps": average.steps,
                "optimizer": optimizer.state_dict(),
                "generator": generator.get_state(),
                "rng": torch.get_rng_state(),
                "history": history,
            }
            torch.save(state, state_file.with_suffix(".partial"))
            os.replace(state_file.with_suffix(".partial"), state_file)
        if time.monotonic() - started > 60 * minutes:
            break
    return average.model, history


def _epoch(
    accelerator: Accelerator,
    wrapped: nn.Module,
    model: ResNet,
    average: Averaged,
    optimizer: Any,
    pixels: NDArray[np.uint8],
    labels: NDArray[np.int64],
    epoch: int,
    recipe: Recipe,
    generator: torch.Generator,
) -> dict[str, Any]:
    """One pass over the photos; returns its loss, speed, and the share of time spent preparing data."""
    wrapped.train()
    order = torch.randperm(len(pixels), generator=generator).numpy()
    steps = max(1, len(order) // recipe.batch)
    rank, ranks = accelerator.process_index, accelerator.num_processes
    autocast = torch.autocast(accelerator.device.type, torch.bfloat16)
    started, waited = time.perf_counter(), 0.0
    losses: list[float] = []
    bar = tqdm(
        range(steps),
        desc=f"epoch {epoch + 1}/{recipe.epochs}",
        disable=not accelerator.is_main_process or None,
    )
    for step in bar:
        began = time.perf_counter()
        chosen = order[step * recipe.batch : (step + 1) * recipe.batch][rank::ranks]
        photos = torch.from_numpy(pixels[chosen]).to(accelerator.device).permute(0, 3, 1, 2)
        views = augment(photos, recipe.stage(epoch), Preprocessing(), generator)
        views = views.contiguous(memory_format=torch.channels_last)
        target = torch.from_numpy(labels[chosen]).to(accelerator.device).float()
        target = target * (1 - recipe.smoothing) + recipe.smoothing / 2
        waited += time.perf_counter() - began

        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate(epoch + step / steps)
        with autocast:
            logits = wrapped(views)
        loss = F.binary_cross_entropy_with_logits(logits.float().squeeze(1), target)
        optimizer.zero_grad()
        accelerator.backward(loss)
        optimizer.step()
        average.update(model)
        losses.append(float(loss.detach()))
        bar.set_postfix(loss=f"{np.mean(losses):.3f}")
    seconds = time.perf_counter() - started
    return {
        "loss": float(np.mean(losses)),
        "losses": [float(part.mean()) for part in np.array_split(losses, min(CURVE, steps))],
        "photos_per_second": steps * min(recipe.batch, len(order)) / seconds,
        "waiting": waited / seconds,
        "seconds": seconds,
    }


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


def main(argv: Sequence[str] | None = None) -> int:
    base = Recipe()
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
    args = parser.parse_args(argv)
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


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The temperature that minimises the negative log-likelihood of binary ``logits`` (N,)
    (Guo et al. 2017, https://arxiv.org/abs/1706.04599), within 0.2 … 10."""
    candidates = np.geomspace(0.2, 10, 400)
    sign = np.where(labels == 1, 1.0, -1.0)
    losses = [np.logaddexp(0, -sign * logits.astype(np.float64) / t).mean() for t in candidates]
    return float(candidates[int(np.argmin(losses))])


if __name__ == "__main__":
    sys.exit(main())
