"""Live: one webcam frame in, what the page shows of it out, without queue or session.

The browser sends its newest frame when the last answer has arrived, so frames never pile up. A server
that is full says so at once, and the browser tries again with a newer frame.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable, Iterable
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_demo.drawing.road_map import roadmap_html
from resnet_demo.drawing.streams import View
from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import label_of, later
from resnet_demo.inputs.decoding import decode_picture
from resnet_demo.inputs.errors import PhotoError
from resnet_demo.panels.base import REDRAW, Json, Panel, Visit, told
from resnet_demo.panels.look.inside_block import inside_html
from resnet_demo.panels.page import Page, shown_names
from resnet_demo.panels.seats import LiveSeats

MAX_FRAME = 1_500_000  # characters of a data URL; a 640x480 JPEG has a tenth of it
MOST_CHANNELS = 64


class WebcamPanel(Panel):
    """The camera, frame by frame, beside a road map and one block."""

    id = "live"
    title = later("Live")
    intro = later("""<p>The camera, frame by frame: move something in the picture and watch which blocks
    follow. Nothing is kept; pause to
look at one frame with every panel (<a href="https://arxiv.org/abs/1506.06579" target="_blank"
rel="noreferrer">Yosinski et al. 2015</a>).</p>""")

    def __init__(self, page: Page) -> None:
        super().__init__(page)
        self.names = shown_names(page.menu)
        self.seats = LiveSeats(page.limits.frames)

    def render(self, visit: Visit) -> str:
        return fill("panels/own/webcam.html")  # with the camera off

    def draw(self, visit: Visit) -> dict[Any, Any]:
        return {}  # its script draws

    def connect(self, page: Page) -> None:
        def on_frame(event: gr.EventData) -> Image.Image:
            """A paused frame becomes the page's photo."""
            try:
                return decode_picture(frame_file(event.jpeg))
            except Exception as error:
                raise told(error) from error

        self.drawing.select(on_frame, None, page.photo, **REDRAW)
        page.leaves_example(self.drawing.select)

    def server_functions(self) -> Iterable[Callable[[Any], Json]]:
        return (self.frame,)

    def frame(self, request: Any) -> dict[str, Any]:
        """{"jpeg": data URL, "network": title on the menu, "block": index, "channels": those on the screen,
        "language"} to HTML and confidences."""
        return self.seats.answer(request, self.answered)

    def answered(self, request: Any) -> dict[str, Any]:
        """What the script shows of one frame.

        Raises:
            PhotoError, EngineError: it cannot be.
        """
        started = time.perf_counter()
        if not isinstance(request, dict):
            raise PhotoError(later("That is no frame."))
        photo = frame_file(request.get("jpeg"))
        title = str(request.get("network") or "")
        run = self.page.engine.get().run(photo, self.names.get(title, title) or None, here=True)
        block = request.get("block")
        block = max(0, min(block, len(run.blocks) - 1)) if isinstance(block, int) else 0
        channels = locked_channels(request.get("channels"), run.blocks[block].shape[0])
        return {
            "classes": [[label_of(c.label), c.confidence] for c in run.prediction.confidences],
            "roadmap": roadmap_html(run, block, own=False),
            "inside": inside_html(run, View(block=block), channels, photo=False),
            "milliseconds": (time.perf_counter() - started) * 1e3,
        }


def frame_file(jpeg: object) -> bytes:
    """The file in a data URL.

    Raises:
        PhotoError: too long, or no data URL of a picture.
    """
    if not isinstance(jpeg, str) or not jpeg.startswith("data:image/"):
        raise PhotoError(later("That is no frame: a picture as a data URL is needed."))
    if len(jpeg) > MAX_FRAME:
        raise PhotoError(
            later(
                "The frame has {count} characters; at most {most} are taken.", count=len(jpeg), most=MAX_FRAME
            )
        )
    try:
        return base64.b64decode(jpeg.partition(",")[2], validate=True)
    except binascii.Error:
        raise PhotoError(later("That is no frame: its data cannot be read.")) from None


def locked_channels(wanted: object, count: int) -> NDArray[np.intp] | None:
    """The channels that the browser wants to go on seeing, or None if it names none that exist."""
    if not isinstance(wanted, list) or not 0 < len(wanted) <= MOST_CHANNELS:
        return None
    if not all(isinstance(c, int) and 0 <= c < count for c in wanted):
        return None
    return np.array(wanted, np.intp)
