"""ResNet Demo: ``python app.py`` serves the page; ``python app.py --help`` lists the options."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported
# Read when torch is imported. By default OpenMP's threads spin while they wait for each other: with
# the cores busy, a pass of many small layers then took 8 s instead of 0.06 s.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import gradio as gr

from resnet_demo.deferred import Deferred
from resnet_demo.endpoints import offer
from resnet_demo.engines import NO_RAY, Fleet, Own, PhotoEngine, Recipe, Room, has_ray
from resnet_demo.handlers import connect, sentence_of
from resnet_demo.kept import KeptRuns
from resnet_demo.live import frame_answerer
from resnet_demo.menu import FIELD, WEIGHTS, MenuEntry, read_checkpoint, read_menu
from resnet_demo.take import taker
from resnet_demo.ui import build_page, page_options, read_static

DEVICES = ("auto", "cuda", "mps", "cpu")


def defer_engine(
    device: str = "auto", weights: Path = WEIGHTS, own: Own | None = None, fleet: Fleet | None = None
) -> Deferred[PhotoEngine]:
    """An engine that loads and warms up the default network when first needed: in this process, which
    imports torch then, or on a cluster, which starts then."""
    recipe = Recipe(device, None if weights == WEIGHTS else weights, own)

    def build() -> PhotoEngine:  # after the page is up: torch takes seconds
        if fleet is not None:
            from resnet_demo.ray_engine import RayEngine

            return RayEngine(recipe, fleet)
        from resnet_demo.engine import build_engine

        return build_engine(recipe)

    return Deferred(build)


def build_demo(
    engine: Deferred[PhotoEngine], weights: Path = WEIGHTS, own: Own | None = None, room: Room | None = None
) -> gr.Blocks:
    """The page, its events connected to ``engine``."""
    room = room or Room()
    menu: list[MenuEntry] = [read_checkpoint(own.checkpoint)] if own else []
    menu += [*read_menu(weights), *FIELD]
    kept = KeptRuns()
    names = {entry.title or entry.name: entry.name for entry in menu}
    page = build_page(
        menu,
        kept.drop,
        frame_answerer(engine, names, sentence_of, room.frames),
        taker(kept, lambda: read_static("page.css")),
    )
    with page.demo:
        connect(page, engine, menu, kept, room.runs)
        offer(page, engine)
    page.demo.queue(max_size=room.waiting)
    return page.demo


def fleet_options(parser: argparse.ArgumentParser) -> None:
    """The options that say where the networks run."""
    more = parser.add_argument_group("more than one machine (docs/scaling.md)")
    more.add_argument(
        "--engine", default="local", choices=("local", "ray"), help="in this process, or on Ray Serve"
    )
    more.add_argument("--replicas", help="copies of the networks: N, or MIN:MAX by demand (default: 1)")
    more.add_argument("--ray-address", help="of a running Ray cluster, or auto (default: start one here)")
    more.add_argument("--replica-cpus", type=float, help="cores of each replica (default: shared out evenly)")
    more.add_argument(
        "--replica-gpus", type=float, help="GPUs of each, such as 0.25 (default: shared out evenly)"
    )


def chosen_fleet(parser: argparse.ArgumentParser, args: argparse.Namespace) -> Fleet | None:
    """What the options ask for; None for the engine in this process. Ends the program if it cannot be had."""
    only_ray = (args.replicas, args.ray_address, args.replica_cpus, args.replica_gpus)
    if args.engine == "local":
        if any(option is not None for option in only_ray):
            parser.error("--replicas, --ray-address, --replica-cpus and --replica-gpus need --engine ray")
        return None
    if not has_ray():
        parser.error(NO_RAY)
    try:
        return Fleet(*Fleet.parse(args.replicas or "1"), *only_ray[1:])
    except ValueError:
        parser.error(f"--replicas {args.replicas}: N or MIN:MAX is needed, such as 2 or 1:8")


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python app.py", description=__doc__)
    parser.add_argument("--host", help="address to listen on (default: GRADIO_SERVER_NAME, else 127.0.0.1)")
    parser.add_argument(
        "--port", type=int, help="port (default: GRADIO_SERVER_PORT, else the first free from 7860)"
    )
    parser.add_argument("--inbrowser", action="store_true", help="open the page in the default browser")
    parser.add_argument(
        "--device", default="auto", choices=DEVICES, help="where the network runs (default: auto)"
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        help="a network of your own: ours with its card, or a torchvision ResNet's state dict",
    )
    parser.add_argument(
        "--classes", type=Path, help="JSON list of its class names (default: <stem>.classes.json)"
    )
    parser.add_argument(
        "--mcp",
        action="store_true",
        help="offer the experiments as MCP tools at /gradio_api/mcp/ (needs: pip install 'gradio[mcp]')",
    )
    parser.add_argument("--allow-pth", action="store_true", help="read the tensors of a .pth checkpoint")
    fleet_options(parser)
    args = parser.parse_args(argv)
    if args.checkpoint and not args.checkpoint.is_file():
        parser.error(f"{args.checkpoint} is not a file")
    own = Own(args.checkpoint, args.classes, args.allow_pth) if args.checkpoint else None
    fleet = chosen_fleet(parser, args)

    # a stop by the system is a clean stop too: Gradio removes its temporary files only then
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    room = Room() if fleet is None else Room.of(fleet.most)
    engine = defer_engine(args.device, own=own, fleet=fleet)
    demo = build_demo(engine, own=own, room=room)
    engine.start()
    demo.launch(
        server_name=args.host,
        server_port=args.port,
        inbrowser=args.inbrowser,
        mcp_server=args.mcp,
        max_threads=max(40, room.runs + room.frames + 16),
        **page_options(),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
