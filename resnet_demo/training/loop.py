"""The training loop that photos, sounds and texts share; what differs between them is a ``Task``.

AdamW without decay on norms and biases, warm-up and cosine, label smoothing, an exponential moving average of
the weights with fresh batch-norm statistics. It can be stopped at any moment; called again, it goes on from
the last finished epoch and ends with the result of an unbroken run.
"""

from __future__ import annotations

import json
import math
import os
import time
import types
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from resnet_demo.networks.resnet import ResNet, ResNetConfig
from resnet_demo.records import Preprocessing
from resnet_demo.training.data import DataError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

CURVE = 20  # points of the loss curve an epoch
PLAIN = 64 * 30  # examples whose plain views give the batch-norm statistics


@dataclass(frozen=True)
class Recipe:
    """All settings that change the result.

    Attributes:
        stages: (side of the training views in pixels, epochs), in order.
        batch: examples a step, over all devices.
        peak: learning rate after the warm-up.
        warmup: epochs until then.
        decay: weight decay of convolutions and the linear layer.
        smoothing: share of each label given to the other classes.
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
        """Of all stages."""
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


class Task(Protocol):
    """What is learned: examples, their views, the loss, and how well it went.

    Attributes:
        recipe: of the training.
        config: of the network.
    """

    recipe: Recipe
    config: ResNetConfig

    @property
    def settings(self) -> DataclassInstance:
        """What a resumed training must agree on: the recipe, or what holds it."""

    def load(self, epoch: int) -> int:
        """Have the examples of ``epoch`` in memory; how many there are."""

    def views(
        self, chosen: NDArray[np.int64], epoch: int, device: torch.device, generator: torch.Generator
    ) -> Tensor:
        """Random views of the ``chosen`` examples, normalised, (B, C, H, W); ``generator`` is the only
        chance."""

    def prepare(self, model: ResNet) -> None:
        """Change how ``model`` computes while it is trained, never what: the same sums for views as these."""

    def loss(self, logits: Tensor, chosen: NDArray[np.int64]) -> Tensor:
        """Mean loss of logits (B, K), float32."""

    def plain(self, count: int, epoch: int) -> Iterable[Tensor]:
        """Some ``count`` examples as they are judged, not as they are trained on: batches (B, C, H, W),
        normalised."""

    def judge(self, model: ResNet, epoch: int) -> dict[str, Any]:
        """How good the averaged network is: "accuracy", and what else the record of the epoch should hold."""


class Averaged:
    """An exponential moving average of a network's parameters that warms up with its steps."""

    def __init__(self, model: ResNet, most: float) -> None:
        self.model = ResNet.from_config(model.config)
        self.model.load_state_dict(model.state_dict())
        self.most, self.steps = most, 0

    @torch.no_grad()
    def update(self, model: ResNet) -> None:
        """Take the parameters after a step in."""
        self.steps += 1
        keep = min(self.most, 1 - (self.steps + 1) ** -0.9)
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), 1 - keep)

    @torch.no_grad()
    def refresh_norms(self, batches: Iterable[Tensor]) -> None:
        """Batch-norm statistics of the averaged weights, from plain examples in batches (B, C, H, W)."""
        norms = [m for m in self.model.modules() if isinstance(m, nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over the batches
        self.model.train()
        device = next(self.model.parameters()).device
        for batch in batches:
            self.model(batch.to(device))
        self.model.eval()


def normalised(pixels: NDArray[np.uint8], side: int, preprocessing: Preprocessing) -> Tensor:
    """Whole pictures (B, H, W, 3) as input (B, channels, side, side), resized with antialiasing."""
    x = torch.from_numpy(pixels[..., : len(preprocessing.mean)]).permute(0, 3, 1, 2).float() / 255
    x = F.interpolate(x, (side, side), mode="bilinear", antialias=True, align_corners=False)
    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (preprocessing.mean, preprocessing.std))
    return (x - mean) / std


def plain_pictures(
    pixels: NDArray[np.uint8], side: int, preprocessing: Preprocessing, batch: int = 64
) -> Iterator[Tensor]:
    """Whole pictures (N, H, W, 3) in normalised batches; what is left over after full ones is left out."""
    for i in range(0, max(1, len(pixels) - batch + 1), batch):
        yield normalised(pixels[i : i + batch], side, preprocessing)


def shortcuts_as_products(model: ResNet) -> None:
    """Compute every 1x1 shortcut as the matrix product it is, on every second pixel.

    The same sums under the same parameter names. In channels_last on the CPU a step is faster so than with
    contiguous tensors, and oneDNN's backward pass of strided 1x1 convolutions there corrupts the heap (seen
    with torch 2.13 and 2.15).
    """

    def forward(shortcut: nn.Conv2d, x: Tensor) -> Tensor:
        every_second = x[:, :, ::2, ::2].permute(0, 2, 3, 1)
        return F.linear(every_second, shortcut.weight[:, :, 0, 0]).permute(0, 3, 1, 2)

    for block in model.blocks:
        if isinstance(block.downsample, nn.Conv2d):
            block.downsample.forward = types.MethodType(forward, block.downsample)  # type: ignore[assignment]


def optimiser(model: ResNet, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW that spares norms and biases from weight decay."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    spared = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.decay}, {"params": spared, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.peak, betas=(0.9, 0.99))


class Training:
    """A training under way: the network, its average, and everything that a resumed one needs to go on alike.

    Args:
        start: a network whose parameters to start from, of the same configuration.
    """

    def __init__(self, task: Task, start: ResNet | None = None) -> None:
        self.task, self.recipe = task, task.recipe
        self.accelerator = Accelerator()
        torch.manual_seed(self.recipe.seed)
        self.model = ResNet.from_config(task.config)
        if start is not None:
            self.model.load_state_dict(start.state_dict())
        if self.accelerator.device.type == "cpu":
            shortcuts_as_products(self.model)
        task.prepare(self.model)
        self.average = Averaged(self.model, self.recipe.averaging)
        layout = torch.channels_last
        self.average.model.to(self.accelerator.device, memory_format=layout)  # type: ignore[call-overload]
        self.model = self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.wrapped, self.optimizer = self.accelerator.prepare(
            self.model, optimiser(self.model, self.recipe)
        )
        self.generator = torch.Generator().manual_seed(self.recipe.seed)
        self.history: list[dict[str, Any]] = []

    def save(self, path: Path) -> None:
        """Write the state, whole or not at all."""
        state = {
            "recipe": asdict(self.task.settings),
            "model": self.model.state_dict(),
            "average": self.average.model.state_dict(),
            "steps": self.average.steps,
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "rng": torch.get_rng_state(),
            "history": self.history,
        }
        torch.save(state, path.with_suffix(".partial"))
        os.replace(path.with_suffix(".partial"), path)

    def resume(self, path: Path) -> None:
        """Go on from the state that ``save`` wrote.

        Raises:
            DataError: it belongs to another recipe.
        """
        state = torch.load(path, weights_only=False, map_location="cpu")  # our own file
        if state.get("recipe") != asdict(self.task.settings):
            raise DataError(f"{path} belongs to another recipe; choose another --checkpoints folder.")
        self.model.load_state_dict(state["model"])
        self.average.model.load_state_dict(state["average"])
        self.average.steps = state["steps"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["rng"])
        self.history = state["history"]

    def epoch(self, epoch: int) -> dict[str, Any]:
        """One pass over the examples; its loss, its speed, and the share of time spent on preparing data."""
        count, recipe, device = self.task.load(epoch), self.recipe, self.accelerator.device
        self.wrapped.train()
        order = torch.randperm(count, generator=self.generator).numpy()
        steps = max(1, count // recipe.batch)
        rank, ranks = self.accelerator.process_index, self.accelerator.num_processes
        started, waited = time.perf_counter(), 0.0
        losses: list[float] = []
        bar = tqdm(
            range(steps),
            desc=f"epoch {epoch + 1}/{recipe.epochs}",
            disable=not self.accelerator.is_main_process or None,
        )
        for step in bar:
            began = time.perf_counter()
            chosen = order[step * recipe.batch : (step + 1) * recipe.batch][rank::ranks]
            views = self.task.views(chosen, epoch, device, self.generator)
            views = views.contiguous(memory_format=torch.channels_last)
            waited += time.perf_counter() - began
            for group in self.optimizer.param_groups:
                group["lr"] = recipe.learning_rate(epoch + step / steps)
            losses.append(self._step(views, chosen))
            bar.set_postfix(loss=f"{np.mean(losses):.3f}")
        seconds = time.perf_counter() - started
        return {
            "loss": float(np.mean(losses)),
            "losses": [float(part.mean()) for part in np.array_split(losses, min(CURVE, steps))],
            "examples_per_second": steps * min(recipe.batch, count) / seconds,
            "waiting": waited / seconds,
            "seconds": seconds,
        }

    def _step(self, views: Tensor, chosen: NDArray[np.int64]) -> float:
        """One step of the optimiser; its loss."""
        with torch.autocast(self.accelerator.device.type, torch.bfloat16):
            logits = self.wrapped(views)
        loss = self.task.loss(logits.float(), chosen)
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        self.optimizer.step()
        self.average.update(self.model)
        return float(loss.detach())


def train_task(
    task: Task, checkpoints: Path, minutes: float = math.inf, start: ResNet | None = None
) -> tuple[ResNet, list[dict[str, Any]]]:
    """Train, or go on training, and return the averaged network with one record an epoch.

    Args:
        checkpoints: folder for the resumable state.
        minutes: stop after the epoch in which this much time has passed.
        start: a network whose parameters to start from, of the same configuration.

    Raises:
        DataError: the state in ``checkpoints`` belongs to another recipe.
    """
    training = Training(task, start)
    checkpoints.mkdir(parents=True, exist_ok=True)
    state_file = checkpoints / "state.pt"
    if state_file.exists():
        training.resume(state_file)
    started, average = time.monotonic(), training.average
    for epoch in range(len(training.history), task.recipe.epochs):
        record = training.epoch(epoch)
        average.refresh_norms(task.plain(PLAIN, epoch))
        training.history.append(record | {"epoch": epoch + 1} | task.judge(average.model, epoch))
        if training.accelerator.is_main_process:
            print(json.dumps(training.history[-1]), flush=True)
            training.save(state_file)
        if time.monotonic() - started > 60 * minutes:
            break
    return average.model, training.history
