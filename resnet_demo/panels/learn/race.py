"""The race: a network with shortcuts and one without learn side by side while the visitor watches."""

from __future__ import annotations

import hashlib
import math
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from gradio.components.base import Component
from gradio.utils import get_upload_folder
from PIL import Image

from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import error_of, later, say
from resnet_demo.panels.base import REDRAW, Json, Values, Visit
from resnet_demo.panels.learn.lending import lend_trained
from resnet_demo.panels.learn.training import (
    NO_PICTURE,
    NOT_KEPT,
    TrainingPanel,
    is_share,
    keep,
    trained_races,
    training_queue,
)
from resnet_demo.panels.page import Page, session
from resnet_demo.race.process import QueueFullError, message_of
from resnet_demo.race.records import RaceSettings
from resnet_demo.race.seeds import KINDS, SEEDS, accuracies, known_depths, stored_run, ten_seeds, wins

DATA = {
    "digits": later("handwritten digits, 8×8"),
    "pictures": later("pictures drawn by formula, 16×16"),
    "sounds": later("sounds, as pictures of 16×16"),
}
RIVALS = {
    "plain": later("without shortcuts"),
    "rezero": later("shortcuts, gates grown from zero (ReZero)"),
    "stochastic_depth": later("shortcuts, stochastic depth"),
}
GUESSES = {
    "residual": later("with shortcuts"),
    "plain": later("without"),
    "same": later("neither"),
}


CREDITS = later(
    "Digits: Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI Machine Learning"
    " Repository, CC BY 4.0. Width 16, batches of 64, SGD with momentum 0.9 and a rate that falls to "
    "zero. The gradient is that of the batch's loss by the block's output; the seconds are those of a "
    "processor for that network's steps."
)


class RacePanel(TrainingPanel):
    """Two networks of the notebook's blocks, trained from the same weights with the same batches."""

    id = "race"
    title = later("The race")
    intro = later("""<p>Two networks of the notebook's blocks start from the same weights and learn from the
same batches; one has shortcuts, the other has none. Which curve will fall? Say so, then press Train
(<a href="https://arxiv.org/abs/1512.03385" target="_blank" rel="noreferrer">He et al. 2015</a>).</p>""")

    def layout(self) -> None:
        super().layout()
        self.api_blocks = gr.Number(20, visible=False, label="blocks")
        self.api_steps = gr.Number(80, visible=False, label="steps")
        self.api_seed = gr.Number(0, visible=False, label="seed")

    def render(self, visit: Visit) -> str:
        return race_html()

    def connect(self, page: Page) -> None:
        def on_look(event: gr.EventData) -> Values:
            """One of the networks just trained comes onto the visitor's menu, and a digit onto the page."""
            try:
                photo = digit_file(getattr(event, "grey", None))
                ticket, kind = getattr(event, "ticket", None), str(getattr(event, "kind", ""))
                entry = lend_trained(page.lending, trained_races(), session(), ticket, kind)
            except ValueError as error:
                raise gr.Error(error_of(error), print_exception=False) from None
            if entry is None:
                raise gr.Error(say(NOT_KEPT), print_exception=False)
            choices = page.lending.choices(session())
            network = gr.update(choices=choices, value=entry.name)
            return {page.network: network, page.lent: page.lending.html(session()), page.photo: photo}

        gr.on(self.drawing.select, on_look, None, {page.network, page.lent, page.photo}, **REDRAW)
        page.leaves_example(self.drawing.select)

    def server_functions(self) -> Iterable[Callable[[Any], Json]]:
        return *super().server_functions(), self.stored

    def stored(self, request: Any) -> Json:
        """What is shown before anybody has pressed."""
        return stored()

    def arguments(self) -> Mapping[str, Component]:
        return {"blocks": self.api_blocks, "steps": self.api_steps, "seed": self.api_seed}

    def endpoints(self) -> Iterable[Callable[..., Any]]:
        async def train_race(blocks: float, steps: float, seed: float) -> AsyncIterator[dict[str, Any]]:
            """Train a network with shortcuts and one without: streams their states and, last, the record."""
            try:
                settings = RaceSettings(*(whole(value) for value in (blocks, steps, seed)))
                ticket = training_queue().join(settings)
            except (ValueError, QueueFullError) as error:
                raise gr.Error(error_of(error), print_exception=False) from None
            async for event in ticket.arriving():
                if event["event"] == "failed":
                    raise gr.Error(message_of(event), print_exception=False)
                yield event["record"] if event["event"] == "end" else event
            keep(ticket)

        yield train_race


def digit_file(grey: Any) -> str:
    """The path of a small picture, grey values in 0..1 row by row, among the page's uploads.

    Raises:
        ValueError: it is no picture; the message is a sentence for the visitor.
    """
    if not (isinstance(grey, list) and len(grey) in (64, 256) and all(map(is_share, grey))):
        raise ValueError(later(NO_PICTURE.pattern, count=64))
    side = math.isqrt(len(grey))
    pixels = np.rint(np.asarray(grey, np.float64) * 255).astype(np.uint8).reshape(side, side)
    folder = Path(get_upload_folder()) / hashlib.sha256(pixels.tobytes()).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "digit.png"
    if not path.is_file():
        Image.fromarray(pixels).save(path)
    return str(path)


def whole(value: Any) -> Any:
    """A whole number that came as 20.0 as an int; anything else as it is, for ``RaceSettings`` to refuse."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def band(depth: int, kind: str) -> list[list[float]]:
    """[step, least, middle, most] held-out error of ten seeds, at every look."""
    runs = [run["held_out"] for run in ten_seeds()[str(depth)][kind].values()]
    found = []
    for looks in zip(*runs, strict=True):
        errors = sorted(error for _, error in looks)
        middle = (errors[(len(errors) - 1) // 2] + errors[len(errors) // 2]) / 2
        found.append([looks[0][0], errors[0], round(middle, 4), errors[-1]])
    return found


def stored() -> dict[str, Any]:
    """What the script draws before anybody has pressed: one race, and the bands of ten seeds."""
    return {
        "events": stored_run(),
        "bands": {str(depth): {kind: band(depth, kind) for kind in KINDS} for depth in known_depths()},
    }


def race_html() -> str:
    """The panel as it is before anything was trained; its script fills it."""
    return fill(
        "panels/learn/race.html",
        guesses=GUESSES,
        data=DATA,
        rivals=RIVALS,
        default=RaceSettings(),
        table=table(),
        seeds=len(SEEDS),
        credits=CREDITS,
    )


def table() -> list[tuple[Any, ...]]:
    """Depth, races that the network with shortcuts won, and how right both were, for every depth stored."""
    return [
        (depth, wins(depth), *(spread(accuracies(depth, kind)) for kind in KINDS)) for depth in known_depths()
    ]


def spread(shares: list[float]) -> str:
    """Median, least and most of shares, in per cent."""
    ordered = sorted(100 * share for share in shares)
    half = len(ordered) // 2
    median = (ordered[half] + ordered[-half - 1]) / 2
    return f"{median:.0f} % ({ordered[0]:.0f}–{ordered[-1]:.0f})"
