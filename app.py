"""ResNet Demo: ``python app.py`` serves the page; ``--help`` lists the options."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported

from resnet_demo.deferred import Deferred
from resnet_demo.handlers import connect
from resnet_demo.ui import build_page, page_options

KNOWS = "This network has seen only cats and dogs, and must call everything one of them."


def build_demo(device: str = "auto"):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """The page with its events, and the engine behind it, which is not built yet."""

    def build_engine():  # type: ignore[no-untyped-def]  # noqa: ANN202
        from resnet_demo.engine import Engine  # imports torch: after the page is up

        engine = Engine(device=device)
        engine.network()  # load and warm up, so that the first photo does not wait
        return engine

    engine = Deferred(build_engine)
    page = build_page(["cats-and-dogs"], KNOWS)
    with page.demo:
        connect(page, engine, KNOWS)
    return page.demo, engine


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python app.py", description=__doc__)
    parser.add_argument("--host", help="address to listen on (default: GRADIO_SERVER_NAME, else 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port (default: GRADIO_SERVER_PORT, else the first free from 7860)")
    parser.add_argument("--inbrowser", action="store_true", help="open the page in the default browser")
    parser.add_argument("--device", default="auto", choices=("auto", "cuda", "mps", "cpu"), help="where to run")
    args = parser.parse_args(argv)

    demo, engine = build_demo(args.device)
    engine.start()
    # a stop by the system is a clean stop too: Gradio removes its temporary files only then
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    demo.queue(max_size=16)
    demo.launch(server_name=args.host, server_port=args.port, inbrowser=args.inbrowser, **page_options())
    return 0


if __name__ == "__main__":
    sys.exit(main())
