"""Touch the photo: paint, blur, erase or move a part, and the answer, the road and the map follow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from resnet_demo.drawing import feature_maps
from resnet_demo.drawing.road_map import roadmap_html
from resnet_demo.drawing.signed_maps import side_of, signed_picture
from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import label_of, later
from resnet_demo.inference.interface import Photo
from resnet_demo.inputs.decoding import decode_picture
from resnet_demo.inputs.errors import PhotoError
from resnet_demo.modalities import modality_named
from resnet_demo.panels.base import ABOUT_PICTURES, Json, Panel, Visit
from resnet_demo.panels.explain.class_activation import support_of
from resnet_demo.panels.own.webcam import frame_file
from resnet_demo.panels.page import Page
from resnet_demo.panels.seats import LiveSeats
from resnet_demo.records import NetworkInput, Run

TEMPLATE = "panels/explain/touch.html"


class TouchPanel(Panel):
    """A canvas with the photo as the network saw it; every stroke is one forward pass."""

    id = "touch"
    title = later("Touch the photo")
    intro = later("""<p>Paint over a part, blur it, erase it or move it: the answer, the road map and the
map of shares follow while you do. What must go before the answer goes (<a
href="https://arxiv.org/abs/1311.2901" target="_blank" rel="noreferrer">Zeiler and Fergus 2013</a>)?</p>""")

    cannot = ABOUT_PICTURES

    def __init__(self, page: Page) -> None:
        super().__init__(page)
        self.seats = LiveSeats(page.limits.frames)

    def render(self, visit: Visit) -> str:
        return touch_html(visit.run)

    def server_functions(self) -> Iterable[Callable[[Any], Json]]:
        return (self.edited,)

    def edited(self, request: Any) -> dict[str, Any]:
        """{"picture": data URL, "network", "language"} to the answer, the road map and the map of shares."""
        return self.seats.answer(request, self.answered)

    def answered(self, request: Any) -> dict[str, Any]:
        """What the script shows of one edited picture: one forward pass.

        Raises:
            PhotoError, EngineError: it cannot be.
        """
        started = time.perf_counter()
        if not isinstance(request, dict):
            raise PhotoError(later("That is no picture: it must come as a data URL."))
        network = str(request.get("network") or "") or None
        engine = self.page.engine.get()
        size = engine.info(network).preprocessing.size
        pixels = np.asarray(decode_picture(frame_file(request.get("picture"))))
        given: Photo = NetworkInput.of(pixels) if pixels.shape == (size, size, 3) else pixels
        run = engine.run(given, network, here=True)
        return {
            "classes": [[label_of(c.label), c.confidence] for c in run.prediction.confidences],
            "roadmap": roadmap_html(run, -1, own=False),
            **shares_of(run),
            "milliseconds": (time.perf_counter() - started) * 1e3,
        }


def shares_of(run: Run) -> dict[str, Any]:
    """The map of shares as a picture, and how much each place speaks for the answer, (h, w) as lists."""
    found = run.activation
    if found is None:
        return {"map": "", "support": []}
    return {"map": signed_picture(found.places).url, "support": support_of(run).tolist()}


def touch_html(run: Run | None) -> str:
    """The canvas of a run, its tools, and the answer as it was."""
    if run is None:
        return fill(TEMPLATE, run=None)
    modality = modality_named(run.modality)
    return fill(
        TEMPLATE,
        run=run,
        photo=feature_maps.photo_url(run.photo),
        as_seen=modality.as_seen,
        height=run.photo.shape[0],
        width=run.photo.shape[1],
        classes=run.prediction.confidences[:5],
        side=partial(side_of, run),
        map=shares_of(run)["map"],
        roadmap=roadmap_html(run, -1, own=False),
    )
