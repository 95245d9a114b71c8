"""Pixels: where in the photo the logit comes from, through all layers, by three methods and a check of
each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from resnet_demo.drawing import feature_maps
from resnet_demo.drawing.signed_maps import sides_of, signed_picture, summed
from resnet_demo.drawing.templates import fill
from resnet_demo.explanations import PixelAttribution
from resnet_demo.i18n import later, say
from resnet_demo.panels.base import ABOUT_PICTURES, Visit
from resnet_demo.panels.measured import MeasuredPanel, waiting
from resnet_demo.records import Run

TEMPLATE = "panels/explain/pixels.html"
METHODS = {  # name of the method -> its name on the page, what it says, and what it promises
    "gradient × input": (
        later("gradient × input"),
        later("The photo's own share: what all paths carry, without the biases. It promises no sum."),
    ),
    "integrated gradients": (
        later("integrated gradients"),
        later(
            "The gradient averaged on the way from a photo of one mean colour; it promises the difference "
            "between the two logits, up to its 64 steps."
        ),
    ),
    "full gradient": (
        later("full gradient"),
        later(
            "Gradient × input and every bias where it acts. Both sides of each sum keep what they carry, so "
            "nothing is left over: it promises the logit itself."
        ),
    ),
}


class PixelsPanel(MeasuredPanel):
    """Three attributions over the photo, their sums, and the same of a network with random weights."""

    id = "pixels"
    title = later("Pixels")
    intro = later("""<p>Which pixels does the logit come from, back through all layers? Three methods answer,
each with the sum that it promises; below, the same maps of a network whose weights were drawn at random. A
map that looks the same there says nothing of what was learned
(<a href="https://arxiv.org/abs/1810.03292" target="_blank" rel="noreferrer">Adebayo et al. 2018</a>).</p>""")

    cannot = ABOUT_PICTURES

    def empty(self, stopped: bool) -> str:
        return pixels_html(None, None, stopped)

    def measured(self, run: Run, visit: Visit, progress: Callable[[float], None]) -> str:
        return pixels_html(self.page.engine.get().explain("pixels", run, progress=progress), run)

    def endpoints(self) -> Iterable[Callable[..., Any]]:
        def pixel_attribution(run: Run) -> list[dict[str, Any]]:
            """Where in the photo the logit of the answer comes from, by gradient × input, integrated
            gradients and full gradient: each map, what it sums to and promises, and its rank correlation
            with the same map of a network with random weights."""
            found = self.page.engine.get().explain("pixels", run)
            return [attribution_as_dict(attribution) for attribution in found]

        yield pixel_attribution


def attribution_as_dict(found: PixelAttribution) -> dict[str, Any]:
    """One attribution as the API tells it; its map is summed over squares of ``pixels`` a side."""
    squares, joined = summed(found.map)
    return {
        "method": found.method,
        "map": squares.tolist(),
        "pixels": joined,
        "total": found.total,
        "promised": found.promised,
        "similarity": found.similarity,
    }


def pixels_html(found: Sequence[PixelAttribution] | None, run: Run | None, stopped: bool = False) -> str:
    """The maps of one run side by side, and below each the same of random weights."""
    if found is None or run is None:
        empty = waiting(say("After a photo, its pixels' shares of the logit appear here."), stopped)
        return fill(TEMPLATE, found=None, empty=empty)
    methods = []
    for attribution in found:
        name, words = METHODS[attribution.method]
        methods.append(
            {
                "name": say(name),
                "words": say(words),
                "found": attribution,
                "error": None
                if attribution.promised is None
                else abs(attribution.total - attribution.promised),
                "map": signed_picture(attribution.map),
                "random": signed_picture(attribution.random),
            }
        )
    return fill(
        TEMPLATE,
        found=found,
        run=run,
        methods=methods,
        sides=sides_of(run),
        photo=feature_maps.photo_url(run.photo),
        gradient=feature_maps.css_gradient(feature_maps.DIVERGING),
    )
