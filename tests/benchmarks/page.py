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
import json
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import explanations, isolation, machine, opening
from benchmarks.server import CLIENTS, crowd, import_seconds, through_the_server
from benchmarks.timing import REFERENCE, interleaved, jpeg
from resnet_demo.analysis.capture import capture_blocks
from resnet_demo.drawing.answer import answer_html
from resnet_demo.drawing.feature_maps import forget_photos
from resnet_demo.drawing.pictures import PictureStore, kept_in
from resnet_demo.drawing.road_map import roadmap_html
from resnet_demo.drawing.streams import View
from resnet_demo.inference.engine import Engine
from resnet_demo.inference.forward import to_tensor
from resnet_demo.inputs.photo_examples import EXAMPLES, example
from resnet_demo.inputs.preprocessing import read_photo
from resnet_demo.networks.cards import WEIGHTS
from resnet_demo.networks.checkpoints import available_networks
from resnet_demo.networks.resnet import ResNet
from resnet_demo.panels.look.inside_block import inside_html
from resnet_demo.records import Gate, Run
from resnet_demo.tools import run_folder as folder_command
from resnet_demo.tools.app_process import Server, Visitor, free_port

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
    "http_over_forward": (
        "/predict of that JPEG through the real server, one client over plain HTTP / reference"
    ),
    "gradio_client_over_forward": "the same through gradio_client / reference",
    "live_fps": "webcam frames a second, road map and one block, a script sending the frames",
    "live_ms": "from sending a live frame to having its pictures",
    "live_fairness": "frames of the slowest of four live viewers / of the fastest",
    "photos_per_second": f"through /predict with {CLIENTS} clients",
    "concurrent_efficiency": f"photos a second through /predict with {CLIENTS} clients x reference",
    "folder_over_batched": (
        "photos a second of python -m resnet_demo run on a folder of JPEGs, once it has started / "
        "of the bare network on the same batches, already opened; higher is better"
    ),
    "import_gradio_s": "import gradio, alone in a fresh process",
    "import_s": "import torch and gradio, alone in a fresh process",
    "first_page_s": "python app.py until the page is served",
    "first_answer_s": "python app.py until the first photo is answered",
    **opening.MEANING,
    **isolation.MEANING,
    **explanations.MEANING,
    "rss_idle_mb": "resident memory of the server after its first answer",
    "rss_after_1000_mb": (
        "resident memory eight seconds after as many photos as 'photos' says (1000 unless told)"
    ),
}


def first_screen(run: Run, view: View) -> list[str]:
    """Everything the page shows after a photo, without a click: panels are drawn when they are opened, and
    pictures lie where the browser fetches them."""
    with kept_in(PictureStore()):
        return [answer_html(run, "x"), roadmap_html(run, view.block), inside_html(run, view)]


def in_process(repetitions: int) -> dict[str, float]:
    """What needs no server."""
    engine = Engine(available_networks(WEIGHTS), "auto", "auto")
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
            "block_change": lambda: (inside_html(run, other), roadmap_html(run, 1)),
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

        bare = net.arithmetic()

        def batched() -> None:
            with torch.inference_mode():
                for x in batches:
                    bare.model(bare.prepared(x)).cpu()

        def command() -> None:
            with open(os.devnull, "w") as nowhere:
                if folder_command.write_lines(engine, paths, None, None, nowhere):
                    raise RuntimeError("photos could not be run")

        times = interleaved({"batched": batched, "command": command}, repetitions)
    return {"folder_over_batched": times["batched"] / times["command"]}


def grow(repetitions: int, photos: int) -> int:
    """Print how cost grows, and the exponents as JSON."""
    from benchmarks import scaling

    data = jpeg()
    engine = Engine(available_networks(WEIGHTS), "auto", "auto")
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
    print(json.dumps({**{k: round(v, 3) for k, v in found.items()}, **machine.hardware()}))
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
    parser.add_argument(
        "--keep", action="store_true", help="add the figures to tests/benchmarks/history.jsonl"
    )
    args = parser.parse_args(argv)
    if args.scaling:
        return grow(args.repetitions, args.photos)
    figures = in_process(args.repetitions)
    figures |= isolation.figures(args.repetitions)
    figures |= explanations.figures(args.repetitions)
    photos = min(FOLDER_PHOTOS, 40 * args.repetitions)
    figures |= folder(
        Engine(available_networks(WEIGHTS), "auto", "auto"), photos, max(1, args.repetitions // 5)
    )
    if not args.no_server:
        figures["import_gradio_s"] = import_seconds("gradio")
        figures["import_s"] = import_seconds("torch, gradio")
        figures |= through_the_server(args.photos, args.repetitions)
        figures |= opening.figures()
        # over the reference as it was before the server shared its cores
        figures["concurrent_efficiency"] = figures["photos_per_second"] * figures["forward_ms"] / 1e3
    if args.peers:
        from benchmarks import peers

        times = interleaved(peers.things(jpeg(), REFERENCE), max(3, args.repetitions // 5))
        figures |= {
            f"{name}_over_forward": t / times["forward"] for name, t in times.items() if name != "forward"
        }
        MEANING.update(peers.MEANING)
    precision = Engine(available_networks(WEIGHTS), "auto", "auto").run(jpeg()).precision
    conditions = {"repetitions": args.repetitions, "photos": args.photos, "precision": precision}
    conditions |= machine.hardware()
    report(figures, conditions)
    if args.keep:
        machine.keep({k: round(v, 4) for k, v in figures.items()}, conditions)
    return 0


def report(figures: Mapping[str, float], conditions: Mapping[str, Any]) -> None:
    """Print the figures, what they were in the last line of the history from the same machine, and all as
    JSON."""
    before = machine.last_on(conditions)
    changes = machine.compared(figures, before)
    if before:
        print(f"{'':24} {'now':>10} {'at ' + before['commit']:>15}   of {before['when']}")
    for name, value in figures.items():
        change = f" {changes.get(name, ''):19}" if before else ""
        print(f"{name:24} {value:10.2f}{change}   {MEANING[name]}")
    print(json.dumps({**{k: round(v, 4) for k, v in figures.items()}, **conditions}))


if __name__ == "__main__":
    sys.exit(main())
