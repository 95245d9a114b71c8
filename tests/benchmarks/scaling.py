"""How cost grows: time and memory against input side, channels shown, depth and clients, with exponents.

Part of the benchmark: ``python -m resnet_demo bench --scaling``. An exponent is the slope of log(cost) over
log(size), by least squares: 1 is linear, 2 quadratic. The work of the forward pass is quadratic in the side.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torchvision import models

from resnet_demo.analysis.layer_summary import trace_layers
from resnet_demo.drawing.road_map import roadmap_html
from resnet_demo.drawing.streams import View
from resnet_demo.inference.engine import Engine
from resnet_demo.inference.run_cache import size_of
from resnet_demo.networks.checkpoints import Card, available_networks, save_checkpoint
from resnet_demo.networks.own_networks import OwnNetwork
from resnet_demo.networks.resnet import ResNet
from resnet_demo.panels.look.inside_block import inside_html
from resnet_demo.records import Preprocessing

SIDES = (90, 180, 360, 720)
CHANNELS = (4, 16, 64)
DEPTHS = (18, 34, 50, 101, 152)
CLIENTS = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: the quantity that grows.
        size: its value.
        work: FLOPs of the forward pass, or 0 where the network does not run.
        milliseconds: of the bare forward, or 0.
        ours: milliseconds of what the page does.
        megabytes: 10**6 bytes that the run keeps, or of the pictures.
    """

    what: str
    size: int
    work: float
    milliseconds: float
    ours: float
    megabytes: float


def median_ms(thing: Callable[[], object], repetitions: int) -> float:
    """Median milliseconds of ``thing``, after one call to warm up."""
    thing()
    spent = []
    for _ in range(repetitions):
        started = time.perf_counter()
        thing()
        spent.append((time.perf_counter() - started) * 1e3)
    return statistics.median(spent)


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Slope of log(cost) over log(size)."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def measure(engine: Engine, name: str, what: str, size: int, data: bytes, repetitions: int) -> Row:
    """A photo's bytes to the road map and one block, beside the bare forward of the same network."""
    net = engine.network(name)
    side = net.card.preprocessing.size
    x = torch.randn(1, 3, side, side).to(engine.device, memory_format=torch.channels_last)

    def forward() -> None:
        with torch.inference_mode():
            net.model(x)

    def page() -> None:
        run = engine.run(data, name)
        roadmap_html(run)
        inside_html(run, View())

    bare, ours = median_ms(forward, repetitions), median_ms(page, repetitions)
    work = float(sum(line.flops for line in trace_layers(net.model, x)))
    return Row(what, size, work, bare, ours, size_of(engine.run(data, name)) / 1e6)


def by_side(data: bytes, repetitions: int) -> list[Row]:
    """The notebook's network at growing inputs."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        model = ResNet(3).eval()
        for side in SIDES:
            card = Card(f"side-{side}", model.config, Preprocessing(side, "crop"), ("cat", "dog"))
            save_checkpoint(model, card, Path(folder) / str(side))
            engine = Engine(available_networks(Path(folder) / str(side)), "auto")
            rows.append(measure(engine, f"side-{side}", "side", side, data, repetitions))
    return rows


def by_depth(data: bytes, repetitions: int) -> list[Row]:
    """torchvision's ResNets with random weights, 224 pixels."""
    from safetensors.torch import save_file

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for depth in DEPTHS:
            torch.manual_seed(0)
            model = getattr(models, f"resnet{depth}")(num_classes=2).train()
            for module in model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.momentum = None  # takes the statistics of one batch as they are
            with torch.no_grad():  # else the values of random weights would double with every block
                model(torch.randn(4, 3, 224, 224))
            path = Path(folder) / f"resnet{depth}.safetensors"
            save_file(model.state_dict(), path)
            kind = "BasicBlock" if depth < 50 else "Bottleneck"  # the streams of these are four times as wide
            engine = Engine({"deep": OwnNetwork("deep", path)}, "auto")
            rows.append(measure(engine, "deep", kind, depth, data, repetitions))
    return rows


def by_channels(engine: Engine, data: bytes, repetitions: int) -> list[Row]:
    """Another number of channels drawn of one block; the network does not run."""
    run = engine.run(data)
    rows = []
    for count in CHANNELS:
        view = replace(View(block=2), channels=count)
        spent = median_ms(lambda view=view: inside_html(run, view), repetitions)  # type: ignore[misc]
        rows.append(Row("channels", count, 0.0, 0.0, spent, len(inside_html(run, view)) / 1e6))
    return rows


def by_clients(rate: Callable[[int], float], forward_ms: float) -> list[Row]:
    """Milliseconds that each of so many clients waits for a photo; ``rate``: photos a second of them all."""
    return [Row("clients", n, 0.0, forward_ms, 1e3 * n / rate(n), 0.0) for n in CLIENTS]


def exponents(rows: Sequence[Row]) -> dict[str, float]:
    """How the page's time grows with each quantity, and with the forward pass's work where there is some."""
    found: dict[str, float] = {}
    groups: Mapping[str, list[Row]] = {row.what: [r for r in rows if r.what == row.what] for row in rows}
    for what, group in groups.items():
        found[f"{what}_exponent"] = exponent([r.size for r in group], [r.ours for r in group])
        if all(r.work for r in group):
            found[f"{what}_over_work_exponent"] = exponent([r.work for r in group], [r.ours for r in group])
            found[f"{what}_memory_over_work_exponent"] = exponent(
                [r.work for r in group], [r.megabytes for r in group]
            )
    return found


def table(rows: Sequence[Row]) -> str:
    """For people."""
    lines = [f"{'':10}{'':>6}{'GFLOP':>9}{'forward ms':>12}{'page ms':>10}{'ratio':>8}{'MB':>8}"]
    for row in rows:
        ratio = f"{row.ours / row.milliseconds:8.2f}" if row.milliseconds else " " * 8
        lines.append(
            f"{row.what:10}{row.size:6}{row.work / 1e9:9.2f}{row.milliseconds:12.1f}{row.ours:10.1f}{ratio}"
            f"{row.megabytes:8.2f}"
        )
    return "\n".join(lines)
