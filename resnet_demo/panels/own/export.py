"""Take it home: the panel, and the files it hands to the browser. No temporary files: the browser saves
them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from typing import Any

import gradio as gr

from resnet_demo.drawing.streams import View
from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import later, say, speaking
from resnet_demo.panels.base import Json, Panel, Visit
from resnet_demo.panels.own.network_graph import graph_svg
from resnet_demo.panels.own.report import bundle, report_html, sheets, snippet
from resnet_demo.panels.page import GONE, visitor_address
from resnet_demo.panels.seats import BusyError, WorkSeats
from resnet_demo.records import STREAM_NAMES, Run

FILES_AT_ONCE = 2  # a ZIP takes a quarter of a second of one core
SEATS = WorkSeats(FILES_AT_ONCE)
BUSY = later("Files of other visitors are being made; try again in a moment.")


class ExportPanel(Panel):
    """Files of a run, and the code that makes it again."""

    id = "take"
    title = later("Take it home")
    follows = frozenset({"run", "view"})

    def render(self, visit: Visit) -> str:
        return take_html(visit.run, visit.key, visit.view)

    def server_functions(self) -> Iterable[Callable[[Any], Json]]:
        return (self.take,)

    def take(self, request: Any) -> dict[str, str]:
        """{"key", "block", "what", "language"} to {"name", "type", "data": base64} or {"error": sentence};
        the key of a run is known to its visitor alone."""
        if not isinstance(request, dict):
            return {"error": "That is no request for a file."}
        with speaking(str(request.get("language"))):
            key, block = request.get("key"), request.get("block")
            try:
                with SEATS.take(visitor_address()):
                    run = self.page.recall(key if isinstance(key, str) else "")
                    if run is None:
                        return {"error": say(GONE)}
                    run = self.page.exact(run)
                    index = max(0, min(block, len(run.blocks) - 1)) if isinstance(block, int) else 0
                    return made(run, View(block=index), request.get("what"), self.page.style)
            except BusyError:
                return {"error": say(BUSY)}
            except gr.Error as error:
                return {"error": str(error.message)}


def made(run: Run, view: View, what: Any, style: str) -> dict[str, str]:
    """One file of a run, as the browser saves it."""
    if what == "zip":
        name, kind, data = "resnet-demo.zip", "application/zip", bundle(run, view, style)
    elif what == "report":
        name, kind = "resnet-demo.html", "text/html"
        data = report_html(run, view, style).encode()
    elif what == "graph":
        name, kind, data = f"{run.network}.svg", "image/svg+xml", graph_svg(run).encode()
    elif what in STREAM_NAMES:
        name, data = next((n, png) for n, png in sheets(run.blocks[view.block]).items() if f"-{what}-" in n)
        kind = "image/png"
    else:
        return {"error": say("There is no such file.")}
    return {"name": name, "type": kind, "data": base64.b64encode(data).decode()}


def take_html(run: Run | None, key: str | None, view: View) -> str:
    """Buttons for the files, and the code that makes this run again."""
    if run is None or key is None:
        return fill("panels/own/export.html", key=None)
    index = min(view.block, len(run.blocks) - 1)
    return fill("panels/own/export.html", key=key, index=index, code=snippet(run, view))
