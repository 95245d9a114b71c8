"""Every address that the page answers to: who may call it, with how large a body, and what a call weighs.

What is not in ``OPEN`` does not exist for the network, whatever Gradio offers behind it. ``CLOSED`` names
Gradio's other routes and why they are shut, so that a test can tell a new route from a known one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from resnet_demo.inputs.files import MAX_BYTES

MAX_NOTE = 16_384  # bytes of a request that carries a few names
MAX_JSON = 2_000_000  # bytes; a live frame in base64 is the largest thing the page sends this way
MAX_FILES = 2  # of one upload: one photo and one sound are all that anybody sends
MAX_UPLOAD = MAX_FILES * MAX_BYTES + MAX_NOTE  # bytes of a whole upload
MAX_QUERY = 8_192  # characters after the question mark; the longest address of the page has a tenth
ICON_SIZES = (192, 512)  # pixels; those that the manifest names


@dataclass(frozen=True)
class Route:
    """One kind of request.

    Attributes:
        methods: "GET HEAD" and the like.
        path: a regular expression for the whole path.
        most: bytes of its body.
        weight: what it costs the server, in about a millisecond of one core; see ``shares.Rates``.
        who: "page": a browser that shows the page; "script": also programs; "anyone": it says nothing of
        anybody.
        answered_here: which of our own answers it gets instead of Gradio's, or "".
    """

    methods: str
    path: str
    most: int
    weight: float
    who: str
    answered_here: str = ""

    @cached_property
    def _methods(self) -> frozenset[str]:
        return frozenset(self.methods.split())

    @cached_property
    def _path(self) -> re.Pattern[str]:
        return re.compile(self.path, re.DOTALL)

    def fits(self, method: str, path: str) -> bool:
        """Whether a request of ``method`` for ``path`` is of this kind."""
        return method in self._methods and self._path.fullmatch(path) is not None


API = "/gradio_api"
NAME = r"[^/]{1,200}"
OPEN = (
    # what a browser loads
    Route("GET HEAD", r"/(assets|static|svelte|modules)/.+", 0, 0.1, "anyone"),
    Route("GET HEAD", rf"({API})?/theme\.css|/robots\.txt|/favicon\.ico", 0, 0.5, "anyone"),
    Route("GET HEAD", r"/manifest\.json", 0, 0.5, "anyone", "manifest"),
    Route("GET HEAD", r"/(SKILL\.md|llms\.txt)", 0, 0.5, "anyone", "skill"),
    Route("GET HEAD", rf"/pwa_icon(/({'|'.join(map(str, ICON_SIZES))}))?", 0, 0.5, "anyone", "icon"),
    Route("GET HEAD", r"/", 0, 10, "anyone"),
    Route("GET", r"/config/?", 0, 10, "script"),
    Route("GET", rf"{API}/(info/?|openapi\.json)", 0, 10, "script"),
    Route("GET", rf"{API}/(startup-events|app_id/?|login_check/?|queue/status)", 0, 1, "script"),
    Route("GET HEAD", rf"{API}/file=.+", 0, 2, "script", "file"),
    # of an answer: only who got it knows the names
    Route("GET HEAD", r"/pictures/[0-9a-f]{32}", 0, 0.5, "page"),
    # of a network, the same for everybody
    Route("GET HEAD", r"/features/[\w.-]{1,100}/[\w.-]{1,100}\.webp", 0, 0.5, "anyone"),
    # what a visitor's events need; whose session or event it is, only its owner knows
    Route("GET", rf"{API}/heartbeat/{NAME}", 0, 1, "page"),
    Route("GET", rf"{API}/queue/data", 0, 1, "script"),
    Route("GET", rf"{API}/call/(v2/)?{NAME}/{NAME}", 0, 1, "script"),
    Route("GET", rf"{API}/upload_progress", 0, 1, "page"),
    Route("POST", rf"{API}/upload", MAX_UPLOAD, 5, "script", "upload"),
    Route("POST", rf"{API}/queue/join", MAX_JSON, 5, "script"),
    Route("POST", rf"{API}/call/(v2/)?{NAME}/?", MAX_JSON, 5, "script"),
    Route("POST", rf"{API}/component_server/?", MAX_JSON, 2, "page"),
    Route("POST", rf"{API}/(cancel|reset/?)", MAX_NOTE, 1, "script"),
)
TOOLS = Route("GET POST DELETE", rf"{API}/mcp(/.*)?", MAX_JSON, 5, "script")  # open only with --mcp
CLOSED = {
    r"/(login|logout)/?": "the page knows no users",
    rf"{API}/(user|token)/?": "the page knows no users",
    r"/openapi\.json|/docs.*|/redoc": (
        "describes Gradio's routes; the page's own are in /gradio_api/openapi.json"
    ),
    rf"{API}/(run|api)/.+": "goes around the queue",
    rf"{API}/dev/reload": "a stream without an end, for whoever writes a page",
    rf"{API}/runs/?|{API}/run-history/.+": "the page remembers no runs",
    rf"{API}/deep_link": "writes a visitor's page to disk",
    rf"{API}/proxy=.*": "makes the server connect elsewhere",
    rf"{API}/file/.*": "an old name of /file=",
    rf"{API}/stream/.+": "no component of the page streams",
    rf"{API}/custom_component/.+": "the page has no components with a front end of their own",
    r"/monitoring(/.*)?": "nobody watches",
    rf"{API}/process_recording": "takes a video from anybody",
    rf"{API}/(undo-)?vibe-.+": "rewrites the app's own source",
    rf"{API}/profiling/.+": "for whoever writes a page",
}


def route_of(method: str, path: str, tools: bool = False) -> Route | None:
    """The kind of a request, or None if the page does not answer it.

    Args:
        tools: whether MCP is offered.
    """
    for route in (*OPEN, TOOLS) if tools else OPEN:
        if route.fits(method, path):
            return route
    return None
