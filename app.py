"""ResNet Demo: ``python app.py`` serves the page; ``python app.py --help`` lists the options."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported

import gradio as gr

from resnet_demo.deferred import Deferred
from resnet_demo.handlers import connect
from resnet_demo.menu import WEIGHTS, read_menu
from resnet_demo.ui import build_page, page_options

if TYPE_CHECKING:
    from resnet_demo.engine import Engine

DEVICES = ("auto", "cuda", "mps", "cpu")


def defer_engine(device: str = "auto", weights: Path = WEIGHTS) -> Deferred[Engine]:
    """An engine that imports torch, loads and warms up the default network when first needed."""

    def build() -> Engine:
        from resnet_demo.engine import Engine  # after the page is up: torch takes seconds
        from resnet_demo.weights import available_networks

        engine = Engine(available_networks(weights), device)
        engine.network()
        return engine

    return Deferred(build)


def build_demo(engine: Deferred[Engine], weights: Path = WEIGHTS) -> gr.Blocks:
    """The page, its events connected to ``engine``."""
    menu = read_menu(weights)
    page = build_page(menu)
    with page.demo:
        connect(page, engine, menu)
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
    args = parser.parse_args(argv)

    # a stop by the system is a clean stop too: Gradio removes its temporary files only then
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    engine = defer_engine(args.device)
    demo = build_demo(engine)
    engine.start()
    demo.launch(server_name=args.host, server_port=args.port, inbrowser=args.inbrowser, **page_options())
    return 0


if __name__ == "__main__":
    sys.exit(main())
