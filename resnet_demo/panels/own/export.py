"""Take it home: the panel, and the files it hands to the browser. No temporary files: the browser saves them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from html import escape
from typing import Any

from resnet_demo.drawing.road_map import block_title
from resnet_demo.drawing.streams import View
from resnet_demo.i18n import later, say, speaking
from resnet_demo.panels.base import Json, Panel, Visit
from resnet_demo.panels.own.report import bundle, report_html, sheets, snippet
from resnet_demo.panels.page import GONE
from resnet_demo.records import STREAM_NAMES, Run


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
        """{"key", "block", "what", "language"} to {"name", "type", "data": base64} or {"error": sentence}; the key of a
        run is known to its visitor alone."""
        if not isinstance(request, dict):
            return {"error": "That is no request for a file."}
        with speaking(str(request.get("language"))):
            key, block = request.get("key"), request.get("block")
            run = self.page.runs.get(key) if isinstance(key, str) else None
            if run is None:
                return {"error": say(GONE)}
            index = max(0, min(block, len(run.blocks) - 1)) if isinstance(block, int) else 0
            return made(run, View(block=index), request.get("what"), self.page.style)


def made(run: Run, view: View, what: Any, style: str) -> dict[str, str]:
    """One file of a run, as the browser saves it."""
    if what == "zip":
        name, kind, data = "resnet-demo.zip", "application/zip", bundle(run, view, style)
    elif what == "report":
        name, kind = "resnet-demo.html", "text/html"
        data = report_html(run, view, style).encode()
    elif what in STREAM_NAMES:
        name, data = next((n, png) for n, png in sheets(run.blocks[view.block]).items() if f"-{what}-" in n)
        kind = "image/png"
    else:
        return {"error": say("There is no such file.")}
    return {"name": name, "type": kind, "data": base64.b64encode(data).decode()}


def take_html(run: Run | None, key: str | None, view: View) -> str:
    """Buttons for the files, and the code that makes this run again."""
    if run is None or key is None:
        empty = say("After a photo, its pictures, streams and numbers can be saved here.")
        return f'<p class="is-empty">{empty}</p>'
    index = min(view.block, len(run.blocks) - 1)
    title = block_title(index).capitalize()
    return f"""<div class="take" data-key="{escape(key)}" data-block="{index}">
<div class="take-buttons">
<button type="button" data-what="zip">{say("Everything as a ZIP")}</button>
<button type="button" data-what="output">{say("{block}, output as PNG", block=title)}</button>
<button type="button" data-what="residual">{say("{block}, F(x) as PNG", block=title)}</button>
<button type="button" data-what="report">{say("A report as one page")}</button></div>
<p class="small" role="status"></p>
<h4>{say("The same from Python")}</h4>
<pre><code>{escape(snippet(run, view))}</code></pre>
<button type="button" data-what="copy">{say("Copy the code")}</button></div>"""
