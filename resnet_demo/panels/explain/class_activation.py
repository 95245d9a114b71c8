"""Where it looks: each place's and each channel's share of the logit, over the photo (class activation
mapping)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from resnet_demo.analysis.deletion_insertion import (
    Curve,
    erased,
    mean_curve,
    order_of,
    shuffled,
    steps_between,
)
from resnet_demo.drawing import feature_maps
from resnet_demo.drawing.feature_sheets import face
from resnet_demo.drawing.formatting import significant
from resnet_demo.drawing.letters import letters_html, letters_of, stretched, strips_of
from resnet_demo.drawing.line_chart import Series, line_chart
from resnet_demo.drawing.pictures import picture_url
from resnet_demo.drawing.signed_maps import one_logit, sides_of
from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import label_of, later, say
from resnet_demo.inference.interface import PhotoEngine
from resnet_demo.modalities import modality_named
from resnet_demo.panels.base import Components, Panel, Values, Visit
from resnet_demo.panels.measured import waiting
from resnet_demo.records import NetworkInput, Prediction, Run

TEMPLATE = "panels/explain/class_activation.html"
FAITHFULNESS = "panels/explain/faithfulness.html"
RANDOM_ORDERS = 2
AT_ONCE = 13  # pictures of a test that share a pass: 37 are three
SHARES_SHOWN = (
    8  # channels with the largest shares of the logit  # channels with the largest shares of the logit
)


class ClassActivationPanel(Panel):
    """The last block's maps as shares of the logit."""

    id = "looks"
    title = later("Where it looks")
    intro = later("""<p>The network averages its last maps and adds them up with one weight a channel, so its
    logit can be split
exactly: every place of the picture has a share, and so has every channel. The shares add up to the logit
(<a href="https://arxiv.org/abs/1512.04150" target="_blank" rel="noreferrer">Zhou et al. 2016</a>).</p>""")

    def layout(self) -> None:
        super().layout()
        self.faithfulness = gr.HTML(faithfulness_html(None), elem_id="faithfulness")
        self.stop_here()

    def render(self, visit: Visit) -> str:
        return activation_html(visit.run)

    def drawings(self) -> Components:
        return {self.drawing, self.faithfulness}

    def draw(self, visit: Visit) -> Values:
        drawn: Values = {self.drawing: self.render(visit)}
        return drawn if visit.run else {**drawn, self.faithfulness: faithfulness_html(None)}

    def studied(self) -> Components:
        return {self.faithfulness}

    def study(self, visit: Visit, progress: Callable[[float], None]) -> Values:
        if visit.run is None:
            return {}
        if visit.run.activation is None or letters_of(visit.run) is not None:
            return {self.faithfulness: ""}
        curves = deletion_and_insertion(self.page.engine.get(), visit.run, progress)
        return {self.faithfulness: faithfulness_html(curves, visit.run)}

    def stopped(self, visit: Visit) -> Values:
        return {self.faithfulness: faithfulness_html(None, stopped=True)}

    def endpoints(self) -> Iterable[Callable[..., Any]]:
        engine = self.page.engine

        def class_activation(run: Run) -> dict[str, Any]:
            """Each place's and each channel's exact share of the logit; both sum to logit - bias."""
            found = run.activation
            if found is None:
                raise gr.Error(
                    "This network does not end in a pool and a linear layer.", print_exception=False
                )
            return {
                "places": found.places.tolist(),
                "channels": found.channels.tolist(),
                "bias": found.bias,
                "logit": found.logit,
            }

        def deletion_insertion(run: Run) -> dict[str, Any]:
            """Is the class activation map faithful? How sure the network stays while what the map marks is
            erased (deletion) or put back (insertion) in 36 steps, beside the map's places in random order;
            area below each curve."""
            if run.activation is None or letters_of(run) is not None:
                raise gr.Error(
                    "This network takes no pictures, or does not end in a pool and a linear layer.",
                    print_exception=False,
                )
            curves = deletion_and_insertion(engine.get(), run)
            names = ("deletion", "insertion", "random_deletion", "random_insertion")
            return {
                name: {"confidence": list(curve.chances), "area": curve.area}
                for name, curve in zip(names, curves, strict=True)
            }

        yield from (class_activation, deletion_insertion)


def support_of(run: Run) -> NDArray[np.float32]:
    """(h, w) how much each place speaks for the answer, of a run whose shares are known: of one logit a
    negative share speaks for the first class."""
    assert run.activation is not None
    places: NDArray[np.float32] = run.activation.places
    return -places if one_logit(run) and run.prediction.logit < 0 else places


def deletion_and_insertion(
    engine: PhotoEngine, run: Run, progress: Callable[[float], None] = lambda share: None
) -> tuple[Curve, Curve, Curve, Curve]:
    """Deletion and insertion in the map's order, and the means of both in random orders.

    Raises:
        EngineError: the network failed.
    """
    support, side, blur = support_of(run), run.photo.shape[0], erased(run.photo)
    answer = run.classes.index(run.prediction.label)
    maps = [support, *(shuffled(support, seed) for seed in range(RANDOM_ORDERS))]
    found: list[tuple[Curve, Curve]] = []
    for number, map_ in enumerate(maps):
        order = order_of(map_, side)
        both = []
        for half, (first, last) in enumerate(((run.photo, blur), (blur, run.photo))):
            pictures = [NetworkInput.of(picture) for picture in steps_between(first, last, order)]
            sure: list[float] = []
            for start in range(0, len(pictures), AT_ONCE):
                runs = engine.run(pictures[start : start + AT_ONCE], run.network, run.gates, keep=())
                sure += [chance_of(one.prediction, answer) for one in runs]
                progress((number + (half + len(sure) / len(pictures)) / 2) / len(maps))
            both.append(Curve(tuple(sure)))
        found.append((both[0], both[1]))
    deletions, insertions = ([pair[which] for pair in found[1:]] for which in (0, 1))
    return *found[0], mean_curve(deletions), mean_curve(insertions)


def chance_of(prediction: Prediction, answer: int) -> float:
    """The probability of the class of that index."""
    return float(prediction.chances[answer])


def faithfulness_html(curves: Sequence[Curve] | None, run: Run | None = None, stopped: bool = False) -> str:
    """The curves of deletion and insertion beside those of random orders."""
    if curves is None or run is None:
        empty = waiting(say("Whether the map is faithful appears here."), stopped)
        return fill(FAITHFULNESS, curves=None, empty=empty)
    deletion, insertion, random_deletion, random_insertion = curves
    faithful = deletion.area < random_deletion.area, insertion.area > random_insertion.area
    label = label_of(run.prediction.label)
    if all(faithful):
        said = say(
            "Yes, for this photo: {label} goes sooner and comes sooner than in random order.", label=label
        )
    elif any(faithful):
        said = say("Half: only one of the two tests does better for {label} than random order.", label=label)
    else:
        said = say("No, not for this photo: random order does as well for {label} as the map.", label=label)
    return fill(
        FAITHFULNESS,
        curves=curves,
        said=said,
        deletion=faithfulness_chart(deletion, random_deletion, say("photo erased, %"), label),
        insertion=faithfulness_chart(insertion, random_insertion, say("photo put back, %"), label),
    )


def faithfulness_chart(curve: Curve, random: Curve, across: str, label: str) -> str:
    """One test in the map's order and in random order."""
    steps = len(curve.chances) - 1
    series = [
        Series(name, [(100 * i / steps, 100 * y) for i, y in enumerate(one.chances)], kind=kind)
        for name, one, kind in ((say("the map"), curve, "ink"), (say("random"), random, "aside"))
    ]
    up = say("{label}, %", label=label)
    return line_chart(series, label=f"{up} / {across}", across=across, up=up)


def letters_of_shares(run: Run) -> str:
    """The letters of a text, coloured by the share of the place whose field has its middle nearest; "" for
    what is no text."""
    text, found = letters_of(run), run.activation
    if text is None or found is None:
        return ""
    field = run.fields.get((run.blocks[-1].name, "output"))
    shares = stretched(found.places[None], field, len(text))
    end = np.array([np.abs(found.places).max()], np.float32)
    tint = strips_of(shares, True, feature_maps.DIVERGING, end)
    return letters_html(text, tint=tint, classes="tinted")


def channel_maps(run: Run, channels: NDArray[np.intp]) -> list[str]:
    """The maps of ``channels`` of the last block's output, each on its own scale, as addresses of
    pictures; empty ones if they were not kept."""
    if "output" not in run.blocks[-1].streams:
        return [""] * len(channels)
    output = run.blocks[-1].output
    ends = feature_maps.limits((output,), channels, "channel")
    indices = feature_maps.quantise(output[channels], ends, signed=False)
    return [picture_url(feature_maps.indexed_png(one, feature_maps.SEQUENTIAL[0])) for one in indices]


def activation_html(run: Run | None) -> str:
    """Each place's share of the logit over the photo, at native resolution and smoothed; each channel's
    share."""
    if run is None or run.activation is None:
        return fill(TEMPLATE, run=run, found=None)
    found = run.activation
    end = float(np.abs(found.places).max())
    indices = feature_maps.quantise(found.places[None], np.array([end], np.float32), signed=True)[0]
    order = np.argsort(-np.abs(found.channels))[:SHARES_SHOWN]
    largest = float(np.abs(found.channels[order]).max(initial=0)) or 1.0
    return fill(
        TEMPLATE,
        run=run,
        found=found,
        letters=letters_of_shares(run),
        photo="" if letters_of(run) else feature_maps.photo_url(run.photo),
        pixels=run.photo.shape[0],
        picture=picture_url(feature_maps.indexed_png(indices, feature_maps.DIVERGING)),
        size=f"{found.places.shape[0]}×{found.places.shape[1]}",
        shares=[
            (
                int(c),
                float(found.channels[c]),
                abs(float(found.channels[c])) / largest / 2,
                face(run.network, run.blocks[-1].name, "output", int(c)),
                map_url,
            )
            for c, map_url in zip(order, channel_maps(run, order), strict=True)
        ],
        gradient=feature_maps.css_gradient(feature_maps.DIVERGING),
        sides=sides_of(run),
        end=significant(end),
        strength=modality_named(run.modality).strength,
    )
