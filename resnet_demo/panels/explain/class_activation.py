"""Where it looks: each place's and each channel's share of the logit, over the photo (class activation
mapping)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import gradio as gr
import numpy as np

from resnet_demo.drawing import feature_maps
from resnet_demo.drawing.formatting import significant
from resnet_demo.drawing.letters import letters_html, letters_of, stretched, strips_of
from resnet_demo.drawing.pictures import picture_url
from resnet_demo.drawing.signed_maps import sides_of
from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import later
from resnet_demo.modalities import modality_named
from resnet_demo.panels.base import Panel, Visit
from resnet_demo.records import Run

TEMPLATE = "panels/explain/class_activation.html"
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

    def render(self, visit: Visit) -> str:
        return activation_html(visit.run)

    def endpoints(self) -> Iterable[Callable[..., Any]]:
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

        yield class_activation


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


def activation_html(run: Run | None) -> str:
    """Each place's share of the logit over the photo, at native resolution and smoothed; each channel's
    share."""
    if run is None or run.activation is None:
        return fill(TEMPLATE, found=None)
    found = run.activation
    end = float(np.abs(found.places).max())
    indices = feature_maps.quantise(found.places[None], np.array([end], np.float32), signed=True)[0]
    order = np.argsort(-np.abs(found.channels))[:SHARES_SHOWN]
    largest = float(np.abs(found.channels[order]).max(initial=0)) or 1.0
    return fill(
        TEMPLATE,
        found=found,
        letters=letters_of_shares(run),
        photo="" if letters_of(run) else feature_maps.photo_url(run.photo),
        pixels=run.photo.shape[0],
        picture=picture_url(feature_maps.indexed_png(indices, feature_maps.DIVERGING)),
        size=f"{found.places.shape[0]}×{found.places.shape[1]}",
        shares=[
            (int(c), float(found.channels[c]), abs(float(found.channels[c])) / largest / 2) for c in order
        ],
        gradient=feature_maps.css_gradient(feature_maps.DIVERGING),
        sides=sides_of(run),
        end=significant(end),
        strength=modality_named(run.modality).strength,
    )
