"""How fast is the page beside the bare network? ``python -m resnet_demo bench``.

All ratios are over one reference, measured in the same process between the other measurements: the
notebook's network on one 180x180 photo in float32, channels_last, inference mode, all cores. Absolute
times drift from machine to machine and from hour to hour; the ratios are what counts.
"""

from __future__ import annotations

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
from resnet_demo.inference.process_tuning import OPENMP

os.environ.update({**OPENMP, **os.environ})  # as app.py does

import argparse
import base64
import io
import json
import platform
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from resnet_demo.analysis.capture import capture_blocks
from resnet_demo.drawing.answer import answer_html, trace_html
from resnet_demo.drawing.feature_maps import forget_photos
from resnet_demo.drawing.road_map import roadmap_html
from resnet_demo.inference.engine import Engine
from resnet_demo.inference.tensors import to_tensor
from resnet_demo.inputs.photo_examples import EXAMPLES, example
from resnet_demo.inputs.preprocessing import read_photo
from resnet_demo.networks.cards import WEIGHTS
from resnet_demo.networks.checkpoints import available_networks
from resnet_demo.networks.resnet import ResNet
from resnet_demo.panels.block_diagram import how_html
from resnet_demo.panels.inside_block import View, inside_html
from resnet_demo.records import Gate, Run
from resnet_demo.tools import run_folder as folder_command
from resnet_demo.tools.app_process import Server, Visitor, free_port

REFERENCE = (1, 3, 180, 180)
CLIENTS = 8
SETTLED_S = 8.0  # the server gives memory back every five seconds
FOLDER_PHOTOS = 200

MEANING = {
    "forward_ms": "the reference: bare forward of the notebook's network, 180 px, float32",
    "app_forward_ms": "the forward as the app runs it: its own size, with hooks, streams brought to the host",
    "capture_over_forward": "reference with the capture of all streams / reference",
    "run_over_forward": "bytes of a 640x480 JPEG to a finished Run / reference",
    "page_over_forward": "the same bytes to everything the first screen shows, encoded / reference",
    "redraw_ms": "another block drawn from the run",
    "block_change_ms": "all that a click on another block asks of the server",
    "gated_ms": "a gated re-run with everything that follows on the page",
    "lesions_ms": "every branch and shortcut knocked out and all paths",
    "gradient_50_ms": "gradient flow over 50 blocks, with shortcuts and without",
    "http_over_forward": "/predict of that JPEG through the real server, one client over plain HTTP / reference",
    "gradio_client_over_forward": "the same through gradio_client / reference",
    "live_fps": "webcam frames a second, road map and one block, a script sending the frames",
    "live_ms": "from sending a live frame to having its pictures",
    "live_fairness": "frames of the slowest of four live viewers / of the fastest",
    "photos_per_second": f"through /predict with {CLIENTS} clients",
    "concurrent_efficiency": f"photos a second through /predict with {CLIENTS} clients x reference",
    "folder_over_batched": "photos a second of python -m resnet_demo.run on a folder of JPEGs, once it has started / "
    "of the bare network on the same batches, already opened; higher is better",
    "import_gradio_s": "import gradio, alone in a fresh process",
    "import_s": "import torch and gradio, alone in a fresh process",
    "first_page_s": "python app.py until the page is served",
    "first_answer_s": "python app.py until the first photo is answered",
    "rss_idle_mb": "resident memory of the server after its first answer",
    "rss_after_1000_mb": "resident memory eight seconds after as many photos as 'photos' says (1000 unless told)",
}


def jpeg() -> bytes:
    """A 640x480 JPEG photo."""
    buffer = io.BytesIO()
    example("cheetah").resize((640, 480), Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def first_screen(run: Run, view: View) -> list[str]:
    """Everything the page shows after a photo, without a click."""
    return [
        answer_html(run, "x"),
        roadmap_html(run, view.block),
        inside_html(run, view),
        trace_html(run.trace, tuple(block.name for block in run.blocks)),
        how_html(run, view.block),
    ]


def interleaved(things: dict[str, Callable[[], Any]], repetitions: int) -> dict[str, float]:
    """Median milliseconds of each, measured in turn so that drift meets all alike, and in another order every time, so
    that none always finds what the same other one has left in the caches."""
    dice = random.Random(0)
    spent: dict[str, list[float]] = {name: [] for name in things}
    for thing in things.values():
        thing()
    for _ in tqdm(range(repetitions), desc="in process", disable=None):
        for name, thing in dice.sample(list(things.items()), len(things)):
            started = time.perf_counter()
            thing()
            spent[name].append((time.perf_counter() - started) * 1e3)
    return {name: statistics.median(times) for name, times in spent.items()}


def in_process(repetitions: int) -> dict[str, float]:
    """What needs no server."""
    engine = Engine(available_networks(WEIGHTS), "auto")
    device = engine.device
    torch.manual_seed(0)
    model = ResNet(3).eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(REFERENCE).to(device, memory_format=torch.channels_last)
    data, view = jpeg(), View()
    run = engine.run(data)
    shut = [Gate(residual=0), *[Gate()] * (len(run.blocks) - 1)]
    other = replace(view, block=1)

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    def forward() -> None:
        with torch.inference_mode():
            model(x)
        wait()

    def captured() -> None:
        with capture_blocks(model):
            model(x)
        wait()

    def page(gates: Sequence[Gate] = ()) -> None:
        forget_photos()
        first_screen(engine.run(data, gates=gates), view)

    times = interleaved(
        {
            "forward": forward,
            "captured": captured,
            "app_forward": lambda: engine.run(run.photo),
            "run": lambda: engine.run(data),
            "page": page,
            "redraw": lambda: inside_html(run, other),
            "block_change": lambda: (inside_html(run, other), how_html(run, 1)),
            "gated": lambda: first_screen(engine.run(run.photo, gates=shut), view),
            "lesions": lambda: engine.ablation(run),
            "gradient": lambda: engine.gradient_flow(run, 50),
        },
        repetitions,
    )
    reference = times["forward"]
    return {
        "forward_ms": reference,
        "app_forward_ms": times["app_forward"],
        "capture_over_forward": times["captured"] / reference,
        "run_over_forward": times["run"] / reference,
        "page_over_forward": times["page"] / reference,
        "redraw_ms": times["redraw"],
        "block_change_ms": times["block_change"],
        "gated_ms": times["gated"],
        "lesions_ms": times["lesions"],
        "gradient_50_ms": times["gradient"],
    }


def make_photos(folder: Path, count: int) -> list[Path]:
    """Photos of 500x375 as JPEGs: the examples, cropped at random, the same ones every time."""
    dice = random.Random(0)
    paths = []
    for i in range(count):
        whole = example(EXAMPLES[i % len(EXAMPLES)])
        share = dice.uniform(0.6, 1)
        width, height = whole.width * share, whole.height * share
        left, top = dice.uniform(0, whole.width - width), dice.uniform(0, whole.height - height)
        photo = whole.resize((500, 375), box=(left, top, left + width, top + height))
        paths.append(folder / f"{i:04}.jpg")
        photo.save(paths[-1], quality=90)
    return paths


def folder(engine: Engine, photos: int, repetitions: int) -> dict[str, float]:
    """The folder command beside the bare network on the same batches: same size, precision and cores."""
    net = engine.network()
    with tempfile.TemporaryDirectory() as made:
        paths = make_photos(Path(made), photos)
        pixels = [read_photo(path, net.card.preprocessing) for path in paths]
        size = folder_command.BATCH
        batches = [
            to_tensor(np.stack(pixels[i : i + size]), net.card.preprocessing).to(
                net.device, memory_format=torch.channels_last
            )
            for i in range(0, photos, size)
        ]

        def batched() -> None:
            with torch.inference_mode():
                for x in batches:
                    net.model(x).cpu()

        def command() -> None:
            with open(os.devnull, "w") as nowhere:
                if folder_command.write_lines(engine, paths, None, None, nowhere):
                    raise RuntimeError("photos could not be run")

        times = interleaved({"batched": batched, "command": command}, repetitions)
    return {"folder_over_batched": times["batched"] / times["command"]}


def import_seconds(modules: str) -> float:
    """Seconds that a fresh Python takes to import ``modules``: the median of three."""
    code = f"import time; t = time.perf_counter(); import {modules}; print(time.perf_counter() - t)"
    return statistics.median(
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    )


def resident_mb(pid: int) -> float:
    """Resident memory of a process, in 10**6 bytes; 0 where the system does not tell."""
    with suppress(OSError):
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        if found:
            return int(found[1]) * 1024 / 1e6
    return 0.0


class LiveViewer:
    """Sends frames as the page's script does: the next when the last answer has come."""

    def __init__(self, url: str) -> None:
        with urllib.request.urlopen(url + "/config", timeout=30) as response:
            config = json.load(response)
        self.component = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == "live")
        self.connection = HTTPConnection(url.removeprefix("http://"), timeout=60)
        buffer = io.BytesIO()
        example("cheetah").resize((320, 240)).save(buffer, "JPEG", quality=85)
        self.jpeg = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()

    def frame(self) -> dict[str, Any]:
        """The answer to one frame."""
        body = {
            "data": {"jpeg": self.jpeg, "block": 2},
            "component_id": self.component,
            "fn_name": "frame",
            "session_hash": "bench",
        }
        self.connection.request(
            "POST", "/gradio_api/component_server", json.dumps(body), {"Content-Type": "application/json"}
        )
        answer: dict[str, Any] = json.loads(self.connection.getresponse().read())
        return answer


def live(url: str, seconds: float) -> dict[str, float]:
    """One viewer alone, then four together."""

    def watch(viewer: LiveViewer) -> int:
        ends, frames = time.perf_counter() + seconds, 0
        while time.perf_counter() < ends:
            frames += "roadmap" in viewer.frame()
        return frames

    viewers = [LiveViewer(url) for _ in range(4)]
    viewers[0].frame()
    alone = watch(viewers[0]) / seconds
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(watch, viewers))
    return {"live_fps": alone, "live_ms": 1e3 / alone, "live_fairness": min(together) / max(together)}


def through_the_server(photos: int, repetitions: int) -> dict[str, float]:
    """What visitors meet: cold start, one of them, many, memory."""
    torch.manual_seed(0)
    model = ResNet(3).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(REFERENCE).contiguous(memory_format=torch.channels_last)
    server, data = Server(free_port()), jpeg()
    try:
        visitor = Visitor(server.url)
        visitor.ask(data)
        first_answer = time.perf_counter() - server.started
        idle = resident_mb(server.process.pid)

        def forward() -> None:
            with torch.inference_mode():
                model(x)

        watched = live(server.url, seconds=max(1.0, repetitions / 3))
        times = interleaved(
            {"forward": forward, "http": lambda: visitor.ask(data), **by_gradio_client(server.url, data)},
            repetitions,
        )
        crowded = crowd(server.url, data, CLIENTS, photos)
        time.sleep(SETTLED_S)
        after = resident_mb(server.process.pid)
    finally:
        server.close()
    return {
        **watched,
        "http_over_forward": times["http"] / times["forward"],
        "gradio_client_over_forward": times["gradio_client"] / times["forward"],
        "photos_per_second": crowded,
        "first_page_s": server.first_page,
        "first_answer_s": first_answer,
        "rss_idle_mb": idle,
        "rss_after_1000_mb": after,
    }


def by_gradio_client(url: str, data: bytes) -> dict[str, Callable[[], Any]]:
    """The same question through Gradio's own Python client."""
    from gradio_client import Client, handle_file

    client = Client(url, verbose=False)
    path = Path(tempfile.mkdtemp()) / "photo.jpg"
    path.write_bytes(data)
    return {"gradio_client": lambda: client.predict(handle_file(path), api_name="/predict")}


def crowd(url: str, data: bytes, clients: int, photos: int) -> float:
    """Photos a second of ``clients`` visitors who each ask again as soon as they are answered.

    Raises:
        RuntimeError: somebody got no answer, or another one than the others.
    """
    people = [Visitor(url) for _ in range(clients)]
    for visitor in people:
        visitor.ask(data)
    share = [photos // clients + (i < photos % clients) for i in range(clients)]
    bar = tqdm(total=photos, desc=f"{clients} clients", disable=None)

    def come(i: int) -> list[dict[str, Any]]:
        told = []
        for _ in range(share[i]):
            while "busy" in (answer := people[i].ask(data)):  # the queue is full: come back
                time.sleep(0.05)
            told.append(answer)
            bar.update()
        return told

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        answers = [answer for told in pool.map(come, range(clients)) for answer in told]
    spent = time.perf_counter() - started
    bar.close()
    logits = [float(answer["logit"]) for answer in answers if "logit" in answer]
    if len(logits) != photos or max(logits) - min(logits) > 1e-5:
        raise RuntimeError("answers were lost or mixed")
    return photos / spent


def hardware() -> dict[str, Any]:
    """What it ran on."""
    processor = platform.processor() or platform.machine()
    with suppress(OSError):
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        processor = found[1] if found else processor
    versions = {}
    from importlib.metadata import version

    for package in ("torch", "torchvision", "gradio", "numpy", "pillow"):
        versions[package] = version(package)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "processor": processor,
        "cores": cores,
        "threads": torch.get_num_threads(),
        "gpu": gpu,
        "python": platform.python_version(),
        **versions,
    }


def grow(repetitions: int, photos: int) -> int:
    """Print how cost grows, and the exponents as JSON."""
    from resnet_demo.tools import bench_scaling as scaling

    data = jpeg()
    engine = Engine(available_networks(WEIGHTS), "auto")
    rows = scaling.by_side(data, repetitions) + scaling.by_depth(data, repetitions)
    rows += scaling.by_channels(engine, data, repetitions)
    server = Server(free_port())
    try:
        Visitor(server.url).ask(data)
        forward = next(row.milliseconds for row in rows if (row.what, row.size) == ("side", 180))
        rows += scaling.by_clients(lambda n: crowd(server.url, data, n, max(photos // 5, 2 * n)), forward)
    finally:
        server.close()
    print(scaling.table(rows))
    found = scaling.exponents(rows)
    print(json.dumps({**{k: round(v, 3) for k, v in found.items()}, **hardware()}))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m resnet_demo bench", description=__doc__)
    parser.add_argument(
        "--repetitions", type=int, default=25, help="of each measurement (default %(default)s)"
    )
    parser.add_argument("--photos", type=int, default=1000, help="through the server (default %(default)s)")
    parser.add_argument("--no-server", action="store_true", help="only what needs no server")
    parser.add_argument("--scaling", action="store_true", help="only how cost grows: a table and exponents")
    parser.add_argument("--peers", action="store_true", help="rivals too (.ci/requirements-peers.txt)")
    args = parser.parse_args(argv)
    if args.scaling:
        return grow(args.repetitions, args.photos)
    figures = in_process(args.repetitions)
    photos = min(FOLDER_PHOTOS, 40 * args.repetitions)
    figures |= folder(Engine(available_networks(WEIGHTS), "auto"), photos, max(1, args.repetitions // 5))
    if not args.no_server:
        figures["import_gradio_s"] = import_seconds("gradio")
        figures["import_s"] = import_seconds("torch, gradio")
        figures |= through_the_server(args.photos, args.repetitions)
        # over the reference as it was before the server shared its cores
        figures["concurrent_efficiency"] = figures["photos_per_second"] * figures["forward_ms"] / 1e3
    if args.peers:
        from resnet_demo.tools import bench_peers as peers

        times = interleaved(peers.things(jpeg(), REFERENCE), max(3, args.repetitions // 5))
        figures |= {
            f"{name}_over_forward": t / times["forward"] for name, t in times.items() if name != "forward"
        }
        MEANING.update(peers.MEANING)
    for name, value in figures.items():
        print(f"{name:24} {value:10.2f}   {MEANING[name]}")
    conditions = {"repetitions": args.repetitions, "photos": args.photos, **hardware()}
    print(json.dumps({**{k: round(v, 4) for k, v in figures.items()}, **conditions}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
