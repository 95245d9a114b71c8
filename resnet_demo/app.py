"""Serve the page: its options, and how it is built and launched.

``python app.py`` in a checkout, ``resnet-demo`` once installed, ``python -m resnet_demo serve`` in both.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported

from resnet_demo.inference.process_tuning import OPENMP, give_back, share_arenas, undisturbed
from resnet_demo.page.bounded_log import bound_log
from resnet_demo.page.process import NoFolderError, own_folder

os.environ.update({**OPENMP, **os.environ})  # read when torch is imported

from resnet_demo.drawing.feature_sheets import offer_sheets
from resnet_demo.i18n import error_of, languages, speaking
from resnet_demo.inference import zerogpu
from resnet_demo.inference.interface import (
    NO_RAY,
    EngineConfig,
    Limits,
    OwnCheckpoint,
    PhotoEngine,
    ReplicaConfig,
    has_ray,
)
from resnet_demo.inference.lazy import Deferred
from resnet_demo.inference.options import chosen_checkpoint, network_options
from resnet_demo.inference.run_cache import KeptRuns
from resnet_demo.inputs import decoding
from resnet_demo.lesson import Lesson, LessonError, read_lesson
from resnet_demo.networks.cards import (
    FIELD,
    WEIGHTS,
    CheckpointError,
    MenuEntry,
    available_networks,
    read_checkpoint,
    read_menu,
)
from resnet_demo.page.access import Access
from resnet_demo.page.assets import address_of, modules, style
from resnet_demo.page.connections import bounded_connections
from resnet_demo.page.events import connect
from resnet_demo.page.fair_queue import make_fair
from resnet_demo.page.layout import build_page, page_options
from resnet_demo.page.localization import SpokenBlocks
from resnet_demo.page.options import access_options, chosen_access
from resnet_demo.panels import load_panels
from resnet_demo.panels.page import Page, visitor_address
from resnet_demo.records import Run

GIVE_BACK_S = 5.0


def defer_engine(
    device: str = "auto",
    weights: Path = WEIGHTS,
    own: OwnCheckpoint | None = None,
    fleet: ReplicaConfig | None = None,
    precision: str = "auto",
) -> Deferred[PhotoEngine]:
    """An engine that loads and warms up the default network when first needed: in this process, which
    imports torch then, or on a cluster, which starts then."""
    recipe = EngineConfig(device, None if weights == WEIGHTS else weights, own, precision)

    def build() -> PhotoEngine:  # after the page is up: torch takes seconds
        if fleet is not None:
            from resnet_demo.inference.ray_engine import RayEngine

            return RayEngine(recipe, fleet)
        with undisturbed():
            from resnet_demo.inference.engine import build_engine

            return build_engine(recipe)

    return Deferred(build)


def read_whole_menu(weights: Path = WEIGHTS, own: OwnCheckpoint | None = None) -> list[MenuEntry]:
    """The networks on offer, the default first."""
    return [*([read_checkpoint(own.checkpoint, own.blocks)] if own else []), *read_menu(weights), *FIELD]


def build_demo(
    engine: Deferred[PhotoEngine],
    weights: Path = WEIGHTS,
    own: OwnCheckpoint | None = None,
    room: Limits | None = None,
    in_every_language: bool = True,
    lessons: Sequence[Lesson] = (),
) -> SpokenBlocks:
    """The page, its events connected to ``engine``; in English alone until ``translate`` is called, if so
    wanted."""
    room = room or Limits()
    for name, checkpoint in available_networks(weights).items():
        offer_sheets(name, checkpoint)
    page = make_page(engine, read_whole_menu(weights, own), room, lessons)
    demo = build_page(page)
    with demo:
        connect(page)
    if in_every_language:
        translate(demo, page.menu, lessons)
    # Gradio's own default is 1, and the lowest limit of a group of events holds for all of them
    make_fair(demo, room.runs, 4 * room.waiting)
    return demo


def make_page(
    engine: Deferred[PhotoEngine],
    menu: Sequence[MenuEntry],
    room: Limits,
    lessons: Sequence[Lesson] = (),
) -> Page:
    """The page with its panels, not laid out yet."""

    def again(gone: Run) -> Run:
        """The same run once more; ``photo`` is what the network takes as it is."""
        return engine.get().run(gone.photo, gone.network, gone.gates)

    runs = KeptRuns(again=again, owner=visitor_address)
    return Page(engine, menu, runs, room, load_panels(), style(), address_of(modules()), lessons)


def no_engine() -> PhotoEngine:
    """For pages that are laid out for their texts alone."""
    raise RuntimeError("Nothing runs behind this page.")


def translate(demo: SpokenBlocks, menu: Sequence[MenuEntry], lessons: Sequence[Lesson] = ()) -> None:
    """Teach the page every other language: it is laid out again in each, for its texts alone."""
    for language in languages()[1:]:
        with speaking(language):
            demo.learn(language, build_page(make_page(Deferred(no_engine), menu, Limits(), lessons)))


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


def chosen_fleet(parser: argparse.ArgumentParser, args: argparse.Namespace) -> ReplicaConfig | None:
    """What the options ask for; None for the engine in this process. Ends the program if it cannot be had."""
    only_ray = (args.replicas, args.ray_address, args.replica_cpus, args.replica_gpus)
    if args.engine == "local":
        if any(option is not None for option in only_ray):
            parser.error("--replicas, --ray-address, --replica-cpus and --replica-gpus need --engine ray")
        return None
    if not has_ray():
        parser.error(NO_RAY)
    try:
        return ReplicaConfig(*ReplicaConfig.parse(args.replicas or "1"), *only_ray[1:])
    except ValueError:
        parser.error(f"--replicas {args.replicas}: N or MIN:MAX is needed, such as 2 or 1:8")


def main(argv: Sequence[str] | None = None, program: str = "python app.py") -> int:
    """Serve until SystemExit, see ``__main__.serve``; the exit code when the page cannot be served."""
    parser = argparse.ArgumentParser(prog=program, description="Serve the page until Ctrl-C.")
    parser.add_argument("--host", help="address to listen on (default: GRADIO_SERVER_NAME, else 127.0.0.1)")
    parser.add_argument(
        "--port", type=int, help="port (default: GRADIO_SERVER_PORT, else the first free from 7860)"
    )
    parser.add_argument("--inbrowser", action="store_true", help="open the page in the default browser")
    network_options(parser)
    parser.add_argument(
        "--mcp",
        action="store_true",
        help="offer the experiments as MCP tools at /gradio_api/mcp/ (needs: pip install 'gradio[mcp]')",
    )
    parser.add_argument(
        "--lesson",
        dest="lessons",
        action="append",
        default=[],
        type=lesson_file,
        metavar="FILE",
        help="a story of your own, as tools/walkthrough.yaml is one; of several ?lesson=NAME chooses",
    )
    access_options(parser)
    fleet_options(parser)
    args = parser.parse_args(argv)
    own = chosen_checkpoint(parser, args)
    fleet = chosen_fleet(parser, args)

    access = chosen_access(parser, args)
    bound_log()
    try:
        own = checked(own) if own is not None else None
        with own_folder():
            return serve(args, own, fleet, access)
    except (NoFolderError, CheckpointError) as error:
        print(error_of(error), file=sys.stderr)
        return 1


def lesson_file(text: str) -> Lesson:
    """The lesson of that file, for argparse."""
    try:
        return read_lesson(Path(text))
    except LessonError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def checked(own: OwnCheckpoint) -> OwnCheckpoint:
    """The network of one's own with the number of its blocks; it is loaded to find out.

    Raises:
        CheckpointError: it cannot be; one sentence.
    """
    from resnet_demo.networks.sources import as_source, load_source

    _model, card = load_source(as_source(own.name, own.network()))
    return replace(own, blocks=card.blocks)


def serve(
    args: argparse.Namespace, own: OwnCheckpoint | None, fleet: ReplicaConfig | None, access: Access
) -> int:
    """Launch the page and keep it up until SystemExit; the exit code when it cannot be launched."""
    share_arenas()
    room = Limits() if fleet is None else Limits.of(fleet.most)
    room = replace(room, networks=args.visitors_networks == "yes")
    # on a GPU that is lent the CPU only stands in, and must give the same answers
    device, precision = ("cpu", "float32") if zerogpu.lent() else (args.device, args.precision)
    if fleet is not None and precision == "auto":
        precision = (
            "float32"  # each replica would ask its own clock, and a photo's answer must not depend on it
        )
    engine = defer_engine(device, own=own, fleet=fleet, precision=precision)
    if zerogpu.lent():
        zerogpu.borrow(engine)
    demo = build_demo(engine, own=own, room=room, in_every_language=False, lessons=args.lessons)
    try:
        with undisturbed(), bounded_connections():
            demo.launch(
                server_name=args.host,
                server_port=args.port,
                inbrowser=args.inbrowser,
                mcp_server=args.mcp,
                max_threads=max(48, room.runs + room.frames + 24),
                prevent_thread_lock=True,  # or Gradio answers Ctrl-C with words of its own
                **page_options(access),
            )
            # the page is up; what would have held it up comes now
            translate(demo, read_whole_menu(own=own), args.lessons)
        decoding.start()
        engine.start()
        while True:
            time.sleep(GIVE_BACK_S)
            give_back()
    except OSError as error:
        taken = "empty port" in str(error)  # Gradio's words are for whoever writes the program
        why = "its port is in use; choose another with --port." if taken else str(error)
        print(f"The page cannot be served: {why}", file=sys.stderr)
        return 1
    finally:
        demo.close(verbose=False)  # Gradio removes what it made
