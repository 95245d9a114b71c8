"""Live: one webcam frame in, what the page shows of it out, without queue or session.

The browser sends its newest frame when the last answer has arrived, so frames never pile up. A server
that is full says so at once, and the browser tries again with a newer frame.
"""

from __future__ import annotations

import base64
import binascii
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_demo.drawing.road_map import roadmap_html
from resnet_demo.i18n import label_of, later, say, speaking
from resnet_demo.inference.interface import PhotoEngine
from resnet_demo.inference.lazy import Deferred
from resnet_demo.inputs.errors import PhotoError
from resnet_demo.panels.inside_block import View, inside_html

MAX_FRAME = 1_500_000  # characters of a data URL; a 640x480 JPEG has a tenth of it
MOST_CHANNELS = 64
AT_ONCE = 16  # frames in the server at a time


def live_html() -> str:
    """The panel with the camera off."""
    return f"""<div class="live" data-state="off">
<div class="live-side"><div class="live-video"><video muted playsinline aria-label="{say("The camera")}"></video><p>{say("The camera is off.")}</p></div>
<div class="live-buttons"><button type="button" class="live-start">{say("Start the camera")}</button>
<button type="button" class="live-inspect" disabled>{say("Pause and inspect this frame")}</button></div>
<p class="live-speed" role="status"></p></div>
<div class="live-results"><div class="answer"><div class="classes"></div></div><div class="live-road"></div></div>
<div class="live-inside"></div></div>"""


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


def frame_answerer(
    engine: Deferred[PhotoEngine],
    names: Mapping[str, str],
    sentence_of: Callable[[Exception], str],
    at_once: int | None = None,
) -> Callable[[Any], dict[str, Any]]:
    """The function that the page calls with every frame.

    Args:
        names: what the menu shows -> name of the network.
        sentence_of: what to tell a visitor about an error.
        at_once: frames in the server at a time; AT_ONCE when None.
    """
    seats = threading.BoundedSemaphore(AT_ONCE if at_once is None else at_once)

    def frame(request: Any) -> dict[str, Any]:
        """{"jpeg": data URL, "network": title on the menu, "block": index, "channels": those on the screen,
        "language"} to HTML and confidences."""
        with speaking(str(request.get("language")) if isinstance(request, dict) else None):
            return answered(request)

    def answered(request: Any) -> dict[str, Any]:
        if not seats.acquire(blocking=False):
            return {"busy": True}
        try:
            started = time.perf_counter()
            if not isinstance(request, dict):
                raise PhotoError(later("That is no frame."))
            photo = frame_file(request.get("jpeg"))
            title = str(request.get("network") or "")
            run = engine.get().run(photo, names.get(title, title) or None, here=True)
            block = request.get("block")
            block = max(0, min(block, len(run.blocks) - 1)) if isinstance(block, int) else 0
            road = re.sub(r' id="[^"]*"', "", roadmap_html(run, block))  # the page has these ids already
            return {
                "classes": [[label_of(c.label), c.confidence] for c in run.prediction.confidences],
                "roadmap": road,
                "inside": inside_html(
                    run,
                    View(block=block),
                    locked_channels(request.get("channels"), run.blocks[block].shape[0]),
                ),
                "milliseconds": (time.perf_counter() - started) * 1e3,
            }
        except Exception as error:  # noqa: BLE001 - told to the visitor, logged by sentence_of
            return {"error": sentence_of(error)}
        finally:
            seats.release()

    return frame
