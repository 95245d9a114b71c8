"""Train ResNet-20, ResNet-56 and their plain twins on CIFAR-10, as He et al. 2015 § 4.2.

``python -m resnet_demo.training.train_cifar --network resnet-56 --data DIR --work DIR --until 8000``

SGD with momentum 0.9, weight decay 1e-4, batches of 128, crops of the padded pictures and
mirrors; the same seed, order and augmentation for every network. The learning rate warms up
and then stays, with no end fixed beforehand: train on with a larger ``--until`` whenever there
is time. ``--decay STEPS`` branches off from where the stable run stands, takes the rate to
zero, and leaves the stable run as it is, so that it can go on later and decay again
(https://arxiv.org/abs/2405.18392). Stop at any moment: the same command resumes from the last
checkpoint and ends with the same bits.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from resnet_demo.networks.cifar_resnet import CifarResNet
from resnet_demo.training.cifar_data import CLASSES, MEAN, STD, CifarDataError, load, padded, random_crops

NETWORKS = {
    "resnet-20": (20, True),
    "resnet-56": (56, True),
    "plain-20": (20, False),
    "plain-56": (56, False),
}


@dataclass(frozen=True)
class CifarRecipe:
    """All settings that change the result, the same for every network.

    Attributes:
        batch: pictures a step.
        peak: learning rate after the warm-up, until the decay.
        warmup: steps of linear warm-up.
        momentum, weight_decay: of SGD; the decay is on every parameter, as in the paper.
        seed: of initial weights, order and augmentation.
        precision: "bfloat16" for autocast, or "float32".
    """

    batch: int = 128
    peak: float = 0.1
    warmup: int = 400
    momentum: float = 0.9
    weight_decay: float = 1e-4
    seed: int = 0
    precision: str = "bfloat16"

    def learning_rate(self, step: int, decay_from: int | None = None, decay_steps: int = 0) -> float:
        """Rate of ``step``, counted from 0: warm-up, then ``peak``, then linearly towards zero."""
        rate = self.peak * min(1.0, (step + 1) / self.warmup)
        if decay_from is not None and step >= decay_from:
            rate *= max(0.0, 1 - (step - decay_from + 0.5) / decay_steps)
        return rate


@dataclass
class State:
    """A run that can be stopped and resumed. ``curve`` has a record a checkpoint."""

    model: CifarResNet
    optimiser: torch.optim.SGD
    step: int
    curve: list[dict[str, Any]]


def fresh(network: str, recipe: CifarRecipe) -> State:
    """The run before its first step; twins of one depth start from the same weights."""
    depth, shortcuts = NETWORKS[network]
    torch.manual_seed(recipe.seed)
    model = CifarResNet(depth, num_logits=len(CLASSES), shortcuts=shortcuts)
    model.to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(
        model.parameters(), lr=recipe.peak, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    return State(model, optimiser, 0, [])


def save_state(state: State, path: Path, **more: Any) -> None:
    """Write the run to ``path`` at once: a reader finds the old file or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".half")
    kept = {
        "model": state.model.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "step": state.step,
        "curve": state.curve,
        **more,
    }
    with half.open("wb") as file:
        torch.save(kept, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(half, path)


def load_state(path: Path, network: str, recipe: CifarRecipe) -> tuple[State, dict[str, Any]]:
    """The run in ``path`` and what else was kept with it; CifarDataError if of another recipe."""
    kept = torch.load(path, weights_only=True)
    if kept["network"] != network or kept["recipe"] != asdict(recipe):
        raise CifarDataError(f"{path} belongs to another run: {kept['network']}, {kept['recipe']}.")
    state = fresh(network, recipe)
    state.model.load_state_dict(kept["model"])
    state.optimiser.load_state_dict(kept["optimiser"])
    state.step, state.curve = kept["step"], kept["curve"]
    return state, kept


def normalised(pixels: NDArray[np.uint8]) -> Tensor:
    """Pictures (B, 3, 32, 32) as the network's input, channels_last float32."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    x = torch.from_numpy(pixels).to(torch.float32).div_(255).sub_(mean).div_(std)
    return x.contiguous(memory_format=torch.channels_last)


def batch_of(step: int, n: int, recipe: CifarRecipe) -> NDArray[np.int64]:
    """Indices of the pictures of ``step``: every epoch is a new order of all n, its rest is left."""
    a_epoch = n // recipe.batch
    epoch, place = divmod(step, a_epoch)
    order = np.random.default_rng([recipe.seed, 1, epoch]).permutation(n)
    return order[place * recipe.batch : (place + 1) * recipe.batch]


def train_steps(
    state: State,
    pixels: NDArray[np.uint8],
    labels: NDArray[np.int64],
    recipe: CifarRecipe,
    steps: int,
    decay: tuple[int, int] | None = None,
) -> dict[str, float]:
    """Take ``steps`` steps and return their mean loss and share of wrong answers.

    Args:
        pixels: ``padded`` training pictures (N, 3, 40, 40).
        decay: (step at which the decay began, its number of steps), or None.
    """
    if len(pixels) < recipe.batch:
        raise CifarDataError(f"A batch takes {recipe.batch} pictures; there are {len(pixels)}.")
    state.model.train()
    loss_sum = wrong = 0.0
    for _ in range(steps):
        which = batch_of(state.step, len(pixels), recipe)
        rng = np.random.default_rng([recipe.seed, 2, state.step])
        x, y = normalised(random_crops(pixels, which, rng)), torch.from_numpy(labels[which])
        for group in state.optimiser.param_groups:
            group["lr"] = recipe.learning_rate(state.step, *(decay or ()))
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            logits = state.model(x)
        loss = F.cross_entropy(logits.float(), y)
        state.optimiser.zero_grad()
        loss.backward()
        state.optimiser.step()
        state.step += 1
        loss_sum += loss.item()
        wrong += (logits.argmax(1) != y).float().mean().item()
    if not np.isfinite(loss_sum):
        raise FloatingPointError(f"The loss is no longer a number at step {state.step}.")
    return {"loss": loss_sum / steps, "train_error": wrong / steps}


@torch.inference_mode()
def test_error(
    model: CifarResNet, pixels: NDArray[np.uint8], labels: NDArray[np.int64], precision: str = "float32"
) -> float:
    """Share of wrong answers on whole pictures, one view each."""
    model.eval()
    wrong = 0
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        for i in range(0, len(pixels), 250):
            answers = model(normalised(pixels[i : i + 250])).argmax(1).numpy()
            wrong += int((answers != labels[i : i + 250]).sum())
    return wrong / len(pixels)


def train(
    network: str,
    data: Path,
    work: Path,
    recipe: CifarRecipe,
    until: int,
    decay: int = 0,
    every: int = 390,
    test_photos: int = 2500,
) -> State:
    """Go on with the run in ``work / network`` until its step count is ``until``.

    Without ``decay`` this is the stable run, ``stable.pt``. With it, ``until`` is where the
    decay begins (the stable run must stand there) and ``until + decay`` where it ends, in
    ``decay-<until>-<decay>.pt``.

    Args:
        work: folder of the decoded pictures and of all runs.
        every: steps between two checkpoints and records of the curve.
        test_photos: the test error on the way is taken on so many pictures, drawn once.
    """
    folder = work / network
    pixels, labels = load(data, "train", work / "cache")
    pixels = padded(pixels)
    test_pixels, test_labels = load(data, "test", work / "cache")
    some = np.random.default_rng(0).permutation(len(test_labels))[:test_photos]
    test_pixels, test_labels = test_pixels[some], test_labels[some]

    stable = folder / "stable.pt"
    path, end, branch = stable, until, None
    if decay:
        path, end, branch = folder / f"decay-{until}-{decay}.pt", until + decay, (until, decay)
    if path.exists():
        state, _ = load_state(path, network, recipe)
    elif decay:
        state, _ = load_state(stable, network, recipe)
        if state.step != until:
            raise CifarDataError(f"The stable run of {network} stands at step {state.step}, not {until}.")
    else:
        state = fresh(network, recipe)
    while state.step < end:
        began, cpu = time.monotonic(), time.process_time()
        steps = min(every - state.step % every, end - state.step)
        record: dict[str, Any] = train_steps(state, pixels, labels, recipe, steps, branch)
        record["test_error"] = test_error(state.model, test_pixels, test_labels, recipe.precision)
        record["step"] = state.step
        record["rate"] = recipe.learning_rate(state.step - 1, *(branch or ()))
        record["seconds"] = round(time.monotonic() - began, 1)
        record["cpu_seconds"] = round(time.process_time() - cpu, 1)
        state.curve.append(record)
        save_state(state, path, network=network, recipe=asdict(recipe))
        line = json.dumps({"network": network, **record})
        with (folder / "log.jsonl").open("a") as log:
            log.write(line + "\n")
        print(line, flush=True)
    return state


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; the last line printed is the last record of the curve."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--network", required=True, choices=sorted(NETWORKS))
    parser.add_argument("--data", type=Path, required=True, help="folder with cifar10-*.tar.gz")
    parser.add_argument(
        "--work", type=Path, required=True, help="folder for decoded pictures, checkpoints, logs"
    )
    parser.add_argument("--until", type=int, required=True, help="steps of the stable run")
    parser.add_argument("--decay", type=int, default=0, help="then branch off and decay over so many steps")
    parser.add_argument("--every", type=int, default=390, help="steps between checkpoints")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    recipe = CifarRecipe(seed=chosen.seed, precision=chosen.precision)
    try:
        train(chosen.network, chosen.data, chosen.work, recipe, chosen.until, chosen.decay, chosen.every)
    except CifarDataError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
