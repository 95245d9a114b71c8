"""Where it looks: each place's and each channel's share of the logit, over the photo (class activation mapping)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape
from typing import Any

import gradio as gr
import numpy as np

from resnet_demo.drawing import feature_maps
from resnet_demo.drawing.road_map import significant
from resnet_demo.i18n import label_of, later, say
from resnet_demo.modalities import modality_named
from resnet_demo.panels.base import Panel, Visit
from resnet_demo.records import Run

SHARES_SHOWN = (
    8  # channels with the largest shares of the logit  # channels with the largest shares of the logit
)


class ClassActivationPanel(Panel):
    """The last block's maps as shares of the logit."""

    id = "looks"
    title = later("Where it looks")
    intro = later("""<p>The network averages its last maps and adds them up with one weight a channel, so its logit can be split
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


def activation_html(run: Run | None) -> str:
    """Each place's share of the logit over the photo, at native resolution and smoothed; each channel's share."""
    if run is None or run.activation is None:
        return f'<p class="is-empty">{say("Where the answer comes from appears here.")}</p>'
    found = run.activation
    end = float(np.abs(found.places).max())
    ends = np.array([end], np.float32)
    picture = feature_maps.data_url(
        feature_maps.indexed_png(
            feature_maps.quantise(found.places[None], ends, signed=True)[0], feature_maps.DIVERGING
        )
    )
    photo = feature_maps.photo_url(run.photo)
    h, w = found.places.shape
    negative, positive = say("against"), say("for")
    if len(run.classes) == 2:
        negative, positive = (label_of(name) for name in run.classes)
    overlays = "".join(
        f'<figure><div class="overlay"><img src="{photo}" alt=""><img class="{kind}" src="{picture}" alt="{alt}"></div>'
        f"<figcaption>{caption}</figcaption></figure>"
        for kind, alt, caption in (
            ("native", say("Share of each place"), say("exact, {size} places", size=f"{h}×{w}")),
            (
                "smooth",
                say("Share of each place, smoothed"),
                say("smoothed, {size} → {pixels}", size=f"{h}×{w}", pixels=run.photo.shape[0]),
            ),
        )
    )
    order = np.argsort(-np.abs(found.channels))[:SHARES_SHOWN]
    largest = float(np.abs(found.channels[order]).max(initial=0)) or 1.0
    rows = "".join(
        f'<div class="share"><span>{say("channel {channel}", channel=c)}</span><span class="both"><i class="{"up" if found.channels[c] > 0 else "down"}" '
        f'style="width:{50 * abs(float(found.channels[c])) / largest:.1f}%"></i></span>'
        f"<span>{significant(float(found.channels[c]))}</span></div>"
        for c in order
    )
    total = say(
        "all {count} channels {sum} + bias {bias} = logit <b>{logit}</b>",
        count=len(found.channels),
        sum=significant(found.logit - found.bias),
        bias=significant(found.bias),
        logit=significant(found.logit),
    )
    return (
        f'<div class="looks"><div class="overlays">{overlays}</div>'
        f'<section class="shares"><h4>{say("channels with the largest shares of the logit")}</h4>{rows}'
        f'<p class="sum">{total}</p></section></div>'
        f'<div class="legend looks-legend"><i style="background:{feature_maps.css_gradient(feature_maps.DIVERGING)}"></i>'
        f"<span>{escape(negative)} −{significant(end)}</span><span>0</span><span>{escape(positive)} {significant(end)}</span></div>"
        f'<label class="opacity">{say("strength of the colours")} <input type="range" min="0" max="1" step="0.05" '
        f'value="0.6" aria-label="{say(modality_named(run.modality).strength)}"></label>'
    )
