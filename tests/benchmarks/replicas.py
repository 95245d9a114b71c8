"""How much do replicas carry? ``python -m resnet_demo bench_ray`` (after ``pip install -r
requirements-ray.txt``).

The engine in this process, one replica and two, asked in turn by the same clients with the same JPEG; then a
folder on Ray Data and without; then what that makes of a classroom, a viral Space and ten million photos a
day. Prints the tables of docs/scaling.md; the last line is JSON.
"""

from __future__ import annotations

import os

from resnet_demo.inference.process_tuning import OPENMP

os.environ.update({**OPENMP, **os.environ})  # as app.py does

import argparse
import base64
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.machine import hardware
from benchmarks.timing import jpeg
from resnet_demo.inference.interface import EngineConfig, Limits, PhotoEngine, ReplicaConfig
from resnet_demo.inference.lazy import Deferred
from resnet_demo.inference.ray_cluster import cores, join_ray, threads_of
from resnet_demo.inference.run_cache import KeptRuns, size_of
from resnet_demo.panels.own.webcam import WebcamPanel
from resnet_demo.panels.page import Page

CLIENTS = 8
LOAD = 0.7  # of what a core can do: the rest is for bursts
CASES = (  # what, people, photos a second of each
    ("class of 300, everyone live at 5 frames a second", 300, 5.0),
    ("class of 300, everyone live at 1 frame a second", 300, 1.0),
    ("class of 300, a photo a minute each", 300, 1 / 60),
    ("viral Space, 10,000 people at once, a photo a minute each", 10_000, 1 / 60),
    ("10 million photos a day (no page)", 1, 10e6 / 86_400),
)


def crowd(engine: PhotoEngine, data: bytes, photos: int) -> float:
    """Photos a second of ``CLIENTS`` who each ask again as soon as they are answered.

    Raises:
        RuntimeError: an answer is another than the others.
    """
    started = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        logits = list(pool.map(lambda _: engine.run(data).prediction.logit, range(photos)))
    spent = time.perf_counter() - started
    if max(logits) - min(logits) > 1e-5:
        raise RuntimeError("answers were mixed up")
    return photos / spent


def alone(engine: PhotoEngine, data: bytes, photos: int) -> float:
    """Median milliseconds of one photo after the other."""
    spent = []
    for _ in range(photos):
        started = time.perf_counter()
        engine.run(data)
        spent.append((time.perf_counter() - started) * 1e3)
    return statistics.median(spent)


def page_ms(engine: PhotoEngine, data: bytes, frames: int = 30) -> float:
    """Median milliseconds of the page's own work on a live frame: everything but the network."""
    run = engine.run(data)

    class Known:
        def run(self, *_: Any, **__: Any) -> Any:
            return run

    known: Any = Known()
    answer = WebcamPanel(Page(Deferred(lambda: known), (), KeptRuns(), Limits(), [])).frame
    request = {"jpeg": "data:image/jpeg;base64," + base64.b64encode(data).decode(), "block": 2}
    spent = []
    for _ in range(frames):
        started = time.perf_counter()
        if "error" in (told := answer(request)):
            raise RuntimeError(told["error"])
        spent.append((time.perf_counter() - started) * 1e3)
    return statistics.median(spent)


def engines_in_turn(data: bytes, photos: int, rounds: int) -> dict[str, float]:
    """Throughput and latency of the local engine and of one and two replicas, interleaved."""
    from resnet_demo.inference.engine import build_engine
    from resnet_demo.inference.ray_engine import RayEngine

    here = cores()
    join_ray(cpus=2 * here)  # room for both fleets; they are never asked at the same time
    one = RayEngine(EngineConfig(), ReplicaConfig(1, 1, cpus=here))
    two = RayEngine(EngineConfig(), ReplicaConfig(2, 2, cpus=max(1, here // 2)))
    engines: dict[str, PhotoEngine] = {"local": build_engine(EngineConfig()), "ray_1": one, "ray_2": two}
    carried: dict[str, list[float]] = {name: [] for name in engines}
    waited: dict[str, list[float]] = {name: [] for name in engines}
    for engine in engines.values():
        crowd(engine, data, 2 * CLIENTS)
    for _ in range(rounds):
        for name, engine in engines.items():
            carried[name].append(crowd(engine, data, max(CLIENTS, photos // rounds)))
            waited[name].append(alone(engine, data, 10))
    figures = {f"{name}_photos_per_s": statistics.median(rates) for name, rates in carried.items()}
    figures |= {f"{name}_ms": statistics.median(times) for name, times in waited.items()}
    figures["page_ms"] = page_ms(engines["local"], data)
    figures["run_mb"] = size_of(engines["local"].run(data)) / 1e6
    two.close()
    return figures


def folder(data: bytes, photos: int) -> dict[str, float]:
    """Photos a second of a folder, on Ray Data and by the local command; starting up is left out."""

    def spend(count: int, options: Sequence[str], out: Path) -> tuple[float, str]:
        source = out / "photos"
        source.mkdir(parents=True)
        for i in range(count):
            (source / f"{i:06}.jpg").write_bytes(data)
        command = [sys.executable, "-m", "resnet_demo.tools.run_folder", str(source), *options]
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return time.perf_counter() - started, done.stdout

    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        seconds, said = spend(photos, ["--engine", "ray", "--out", str(base / "out")], base / "ray")
        on_ray = float(json.loads(said.splitlines()[-1])["photos_per_s"])
        short, _ = spend(max(16, photos // 4), [], base / "few")
        long, _ = spend(photos, [], base / "many")
    here = (photos - max(16, photos // 4)) / (long - short) if long > short else photos / long
    return {
        "folder_ray_photos_per_s": on_ray,
        "folder_ray_start_s": seconds - photos / on_ray,
        "folder_local_photos_per_s": here,
        "folder_local_start_s": max(0.0, long - photos / here),
    }


def sizing(figures: dict[str, float], here: int) -> str:
    """The table of CASES: replicas of two cores, page processes and the network between them."""
    a_core = figures["ray_2_photos_per_s"] / here
    in_folder = figures.get("folder_ray_photos_per_s", figures["ray_2_photos_per_s"]) / here
    lines = [
        (
            "| case | photos/s | cores for the networks | replicas of 2 cores | page processes | Gbit/s of"
            " runs |"
        ),
        "|---|---|---|---|---|---|",
    ]
    for what, people, each in CASES:
        rate = people * each
        has_page = "no page" not in what
        networks = math.ceil(rate / (LOAD * (a_core if has_page else in_folder)))
        pages = str(math.ceil(rate * figures["page_ms"] / 1e3 / LOAD)) if has_page else "none"
        gbits = f"{rate * figures['run_mb'] * 8 / 1e3:.1f}" if has_page else "none"
        replicas = str(math.ceil(networks / 2)) if has_page else "none"
        lines.append(f"| {what} | {rate:,.1f} | {networks:,} | {replicas} | {pages} | {gbits} |")
    return "\n".join(lines)


def engines_table(figures: dict[str, float], here: int) -> str:
    """Local, one replica, two."""
    share = max(1, here // 2)
    lines = [
        f"| | photos/s, {CLIENTS} clients | against local | one photo alone, ms |",
        "|---|---|---|---|",
    ]
    for name, what in (
        ("local", f"the engine in the page's process, {here} threads"),
        ("ray_1", f"Ray Serve, 1 replica of {threads_of(here)} threads"),
        ("ray_2", f"Ray Serve, 2 replicas of {threads_of(share)} threads"),
    ):
        rate = figures[f"{name}_photos_per_s"]
        against = rate / figures["local_photos_per_s"]
        lines.append(f"| {what} | {rate:.1f} | {against:.2f} | {figures[f'{name}_ms']:.1f} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m resnet_demo bench_ray", description=__doc__)
    parser.add_argument("--photos", type=int, default=400, help="to each engine (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="in so many turns (default %(default)s)")
    parser.add_argument("--folder", type=int, default=1200, help="photos in the folder; 0: none")
    args = parser.parse_args(argv)
    here, data = cores(), jpeg()
    figures = engines_in_turn(data, args.photos, args.rounds)
    if args.folder:
        figures |= folder(data, args.folder)
    print(engines_table(figures, here))
    if args.folder:
        for way in ("ray", "local"):
            rate, start = figures[f"folder_{way}_photos_per_s"], figures[f"folder_{way}_start_s"]
            print(f"\nfolder, --engine {way}: {rate:.1f} photos/s after {start:.0f} s of starting up", end="")
        print()
    print(f"\npage: {figures['page_ms']:.1f} ms a live frame; a run is {figures['run_mb']:.2f} MB\n")
    print(sizing(figures, here))
    from importlib.metadata import version

    conditions = {"photos": args.photos, "rounds": args.rounds, "folder": args.folder, **hardware()}
    print(json.dumps({**{k: round(v, 3) for k, v in figures.items()}, **conditions, "ray": version("ray")}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
