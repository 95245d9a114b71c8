"""ResNet Demo: ``python app.py`` serves the page; ``python app.py --help`` lists the options."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported
# Read when torch is imported. By default OpenMP's threads spin while they wait for each other: with
# the cores busy, a pass of many small layers then took 8 s instead of 0.06 s.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from resnet_demo.leaving import own_folder, stop_when_asked

if __name__ == "__main__":
    stop_when_asked()  # importing gradio takes seconds, in which Ctrl-C is no error either

import gradio as gr

from resnet_demo import zerogpu
from resnet_demo.deferred import Deferred
from resnet_demo.endpoints import offer
from resnet_demo.handlers import connect, sentence_of
from resnet_demo.kept import KeptRuns
from resnet_demo.live import frame_answerer
from resnet_demo.menu import FIELD, WEIGHTS, MenuEntry, read_checkpoint, read_menu
from resnet_demo.take import taker
from resnet_demo.ui import build_page, page_options, read_static
from resnet_demo.words import languages, speaking

if TYPE_CHECKING:
    from resnet_demo.engine import Engine

DEVICES = ("auto", "cuda", "mps", "cpu")


@dataclass(frozen=True)
class Own:
    """A network of one's own, from the command line."""

    checkpoint: Path
    classes: Path | None = None
    allow_pth: bool = False


def defer_engine(device: str = "auto", weights: Path = WEIGHTS, own: Own | None = None) -> Deferred[Engine]:
    """An engine that imports torch, loads and warms up the default network when first needed."""

    def build() -> Engine:
        from resnet_demo.engine import Engine, Source  # after the page is up: torch takes seconds
        from resnet_demo.field import field_networks, own_network
        from resnet_demo.weights import available_networks

        networks: dict[str, Source] = {}
        if own is not None:
            is_ours = own.checkpoint.with_suffix(".json").is_file()
            name = read_checkpoint(own.checkpoint).name
            networks[name] = (
                own.checkpoint if is_ours else own_network(own.checkpoint, own.classes, own.allow_pth)
            )
        engine = Engine({**networks, **available_networks(weights), **field_networks()}, device)
        engine.network()
        return engine

    return Deferred(build)


def build_demo(engine: Deferred[Engine], weights: Path = WEIGHTS, own: Own | None = None) -> gr.Blocks:
    """The page, its events connected to ``engine``."""
    menu: list[MenuEntry] = [read_checkpoint(own.checkpoint)] if own else []
    menu += [*read_menu(weights), *FIELD]
    kept = KeptRuns()
    names = {entry.title or entry.name: entry.name for entry in menu}
    page = build_page(
        menu,
        kept.drop,
        frame_answerer(engine, names, sentence_of),
        taker(kept, lambda: read_static("page.css")),
    )
    with page.demo:
        connect(page, engine, menu, kept)
        offer(page, engine)
    for language in languages()[1:]:
        with speaking(language):  # laid out again for its texts alone
            page.demo.learn(language, build_page(menu).demo)
    page.demo.queue(max_size=16)
    return page.demo


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
    args = parser.parse_args(argv)
    if args.checkpoint and not args.checkpoint.is_file():
        parser.error(f"{args.checkpoint} is not a file")
    own = Own(args.checkpoint, args.classes, args.allow_pth) if args.checkpoint else None

    with own_folder():
        return serve(args, own)


def serve(args: argparse.Namespace, own: Own | None) -> int:
    """Launch the page and keep it up until SystemExit; the exit code when it cannot be launched."""
    engine = defer_engine("cpu" if zerogpu.lent() else args.device, own=own)
    if zerogpu.lent():
        zerogpu.borrow(engine)
    demo = build_demo(engine, own=own)
    engine.start()
    try:
        demo.launch(
            server_name=args.host,
            server_port=args.port,
            inbrowser=args.inbrowser,
            mcp_server=args.mcp,
            prevent_thread_lock=True,  # or Gradio answers Ctrl-C with words of its own
            **page_options(),
        )
        while True:
            time.sleep(60)
    except OSError as error:
        taken = "empty port" in str(error)  # Gradio's words are for whoever writes the program
        why = "its port is in use; choose another with --port." if taken else str(error)
        print(f"The page cannot be served: {why}", file=sys.stderr)
        return 1
    finally:
        demo.close(verbose=False)  # Gradio removes what it made


if __name__ == "__main__":
    sys.exit(main())
