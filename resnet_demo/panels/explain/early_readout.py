"""Where it decides: what a linear read-out after every block would answer, as a whole and place by place;
and whether each block moves its input the way that the loss asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from resnet_demo.drawing import feature_maps
from resnet_demo.drawing.signed_maps import SignedPicture, side_of, sides_of, signed_picture
from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import later, say
from resnet_demo.panels.base import Components, Panel, Values, Visit
from resnet_demo.records import Run

TEMPLATE = "panels/explain/early_readout.html"
PLACES = "panels/explain/readout_places.html"
REFINEMENT = "panels/explain/refinement.html"


@dataclass(frozen=True, eq=False)
class ReadOutPlaces:
    """One block's read-out by place.

    Attributes:
        block: the block's name.
        places: (h, w) float32, each place's share of the logit; they sum to logit - bias.
        bias, logit: of the read-out; of the network itself for its last layer.
        own: whether it is the network's last layer rather than a read-out.
    """

    block: str
    places: NDArray[np.float32]
    bias: float
    logit: float
    own: bool = False


class EarlyReadoutPanel(Panel):
    """The read-out after every block for this photo, by place too, and how often each is right in general."""

    id = "decides"
    title = later("Where it decides")
    intro = later("""<p>If the network stopped after a block, what would it say? A linear read-out of its own
    was trained for every
block on the block's averaged maps: watch from where on the answer is there, and how the early blocks are
hardly better than a guess (<a href="https://arxiv.org/abs/1610.01644" target="_blank" rel="noreferrer">Alain
and Bengio 2016</a>).</p>""")

    def layout(self) -> None:
        super().layout()
        self.places = gr.HTML(places_html(None), elem_id="readout-places")
        self.refinement = gr.HTML(refinement_html(None, None), elem_id="refinement")
        self.stop_here()

    def render(self, visit: Visit) -> str:
        return decides_html(visit.run)

    def drawings(self) -> Components:
        return {self.drawing, self.places, self.refinement}

    def draw(self, visit: Visit) -> Values:
        drawn: Values = {self.drawing: self.render(visit), self.places: places_html(visit.run)}
        return drawn if visit.run else {**drawn, self.refinement: refinement_html(None, None)}

    def studied(self) -> Components:
        return {self.refinement}

    def study(self, visit: Visit, progress: Callable[[float], None]) -> Values:
        if visit.run is None:
            return {}
        found = self.page.engine.get().explain("refinement", visit.run, progress=progress)
        return {self.refinement: refinement_html(found, visit.run)}

    def endpoints(self) -> Iterable[Callable[..., Any]]:
        engine = self.page.engine

        def read_out(run: Run) -> list[dict[str, Any]]:
            """The answer of a linear probe after every block; empty for a network without probes."""
            return [asdict(read) for read in run.read_outs]

        def read_out_places(run: Run) -> list[dict[str, Any]]:
            """Each block's read-out by place: the shares sum to its logit less its bias; the last block's are
            those of the network's own last layer."""
            return [{**asdict(read), "places": read.places.tolist()} for read in places_of(run)]

        def iterative_inference(run: Run) -> dict[str, float]:
            """For every block with an identity shortcut, the cosine of F(x) and the direction in which the
            loss of the network's own answer falls, -1 to 1: positive if the block refines that answer."""
            found: dict[str, float] = engine.get().explain("refinement", run)
            return found

        yield from (read_out, read_out_places, iterative_inference)


def decides_html(run: Run | None) -> str:
    """The read-out after every block for this photo, and how often each is right in general."""
    if run is None or not run.read_outs:
        return fill(TEMPLATE, run=run)
    answer = run.classes.index(run.prediction.label)
    names = {block.name: i for i, block in enumerate(run.blocks)}
    rows = [(names[read.block], read.chances[answer], read.accuracy) for read in run.read_outs]
    return fill(
        TEMPLATE,
        run=run,
        rows=rows,
        whole=run.prediction.confidences[0],
        turn=_turn(run, answer),
        side=side_of(run, run.prediction.label),
    )


def _turn(run: Run, answer: int) -> str:
    """From which block on all read-outs agree with the answer."""
    agree = [max(range(len(read.chances)), key=read.chances.__getitem__) == answer for read in run.read_outs]
    if not agree[-1]:
        return say("Even after the last block the read-out disagrees with the network.")
    last_wrong = max((i for i, right in enumerate(agree) if not right), default=-1)
    if last_wrong < 0:
        return say("Every read-out agrees with the answer, from the first block on.")
    return say("From block {number} on all of them agree with the answer.", number=last_wrong + 2)


def places_of(run: Run) -> list[ReadOutPlaces]:
    """Every block's read-out by place, as far as it was kept; of the last block the network's own last layer.

    A read-out is linear in the mean of its block's output over all places, so each place has a share of it:
    that of channel c, ``share_c``, is spread over the places as the channel's activation is.
    """
    reads = {read.block: read for read in run.read_outs if len(read.chances) == 2}
    found = []
    for block in run.blocks:
        shares, read = run.contributions.get(block.name), reads.get(block.name)
        if run.activation is not None and block is run.blocks[-1]:
            own = run.activation
            found.append(ReadOutPlaces(block.name, own.places, own.bias, own.logit, own=True))
        elif shares is not None and read is not None and "output" in block.streams:
            output = block.output.astype(np.float32)  # (C, h, w)
            totals = output.sum((1, 2))
            weights = np.divide(shares, totals, out=np.zeros_like(totals), where=totals > 0)
            places: NDArray[np.float32] = np.tensordot(weights, output, 1)
            found.append(ReadOutPlaces(block.name, places, read.logit - float(shares.sum()), read.logit))
    return found


def places_html(run: Run | None) -> str:
    """The read-outs by place over the photo, one a block."""
    found = places_of(run) if run is not None else []
    if run is None or len(found) < 2:
        return ""
    names = {block.name: i for i, block in enumerate(run.blocks)}
    maps: list[tuple[int, ReadOutPlaces, SignedPicture, str]] = [
        (
            names[read.block],
            read,
            signed_picture(read.places),
            f"{read.places.shape[0]}×{read.places.shape[1]}",
        )
        for read in found
    ]
    return fill(
        PLACES,
        maps=maps,
        photo=feature_maps.photo_url(run.photo),
        gradient=feature_maps.css_gradient(feature_maps.DIVERGING),
        sides=sides_of(run),
    )


def refinement_html(found: Mapping[str, float] | None, run: Run | None) -> str:
    """The cosine of F(x) and the loss's downhill direction, block by block."""
    if found is None or run is None:
        return fill(REFINEMENT, run=None)
    names = {block.name: i for i, block in enumerate(run.blocks)}
    largest = max(map(abs, found.values()), default=0.0) or 1.0
    rows = [(names[name], cosine, abs(cosine) / largest) for name, cosine in found.items()]
    positive = sum(cosine > 0 for cosine in found.values())
    return fill(REFINEMENT, run=run, rows=rows, positive=positive, blocks=len(run.blocks))
