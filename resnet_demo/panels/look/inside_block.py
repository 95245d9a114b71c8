"""Inside a block: F(x) + shortcut = sum → output, the same channels in the same places."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any, get_args

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from resnet_demo.drawing import feature_maps
from resnet_demo.drawing.feature_maps import SEQUENTIAL, Order
from resnet_demo.drawing.formatting import significant
from resnet_demo.drawing.pictures import picture_url
from resnet_demo.drawing.road_map import MEASURES
from resnet_demo.drawing.seen import seen_html
from resnet_demo.drawing.streams import WIDE, View, choose_channels, columns_for, scale_ends, streams_html
from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import error_of, later, say, speaking
from resnet_demo.modalities import modality_named
from resnet_demo.networks.cards import MenuEntry
from resnet_demo.panels.base import (
    REDRAW,
    Components,
    Json,
    Panel,
    Property,
    Values,
    Visit,
    one_of,
    sentence_of,
)
from resnet_demo.panels.look.place import NO_PLACE, place_in, products_html, values_at
from resnet_demo.panels.page import GONE, Page, visitor_address
from resnet_demo.panels.seats import BusyError, WorkSeats
from resnet_demo.records import Block, Run

TEMPLATE = "panels/look/inside_block.html"
SEATS = WorkSeats(2)  # products of a kernel and a patch, each a pass of the network
BUSY = later("Other visitors are looking at kernels; try again in a moment.")
RADIO_BLOCKS = 8  # with more, the road map alone chooses the block
CHANNELS = (4, 16, 64)
ORDERS = (*get_args(Order), "contribution")
CHECKED = "input[aria-checked='true']"


def read_block(text: str, blocks: int) -> int | None:
    """A block counted from 1 as an index, if the network has it."""
    number = int(text[:6]) if text.isdecimal() else 0
    return number - 1 if 1 <= number <= blocks else None


class InsideBlockPanel(Panel):
    """The chosen block, channel by channel; its controls set the view that other panels follow too."""

    id = "inside"
    title = later("Inside a block")
    intro = later("""<p>Follow one channel from left to right: what the residual branch F(x) adds (red) or
    takes away (blue), what came
around on the shortcut, their sum, and what the ReLU lets through to the next block. Click a map to see the
same channel enlarged in all four
(<a href="https://arxiv.org/abs/1512.03385" target="_blank" rel="noreferrer">He et al. 2015</a>).</p>""")
    follows = frozenset({"run", "view"})
    address = (
        Property(
            "block", f"#roadmap .cell.selected, #block {CHECKED}", "data-block", read_block, from_one=True
        ),
        Property("channels", f"#channels {CHECKED}", read=lambda text, _: one_of(CHANNELS, text)),
        Property("order", f"#order {CHECKED}", read=lambda text, _: one_of(ORDERS, text)),
        Property("measure", "#roadmap .measures", "data-measure", lambda text, _: one_of(MEASURES, text)),
        Property("channel", "#inside .tile.lit", "data-channel"),  # the script lights it
    )

    def controls(self) -> None:
        visit = self.page.empty_visit()
        with gr.Row(elem_id="inside-controls"):
            self.block = gr.Radio(
                [(str(i + 1), i) for i in range(visit.network.blocks)],
                value=visit.view.block,
                label=say("Block"),
                elem_id="block",
            )
            self.channels = gr.Radio(
                list(CHANNELS), value=visit.view.channels, label=say("Channels"), elem_id="channels"
            )
            self.order = gr.Radio(
                [
                    (say("mean activation"), "mean"),
                    (say("variance"), "variance"),
                    (say("logit share"), "contribution"),
                    (say("index"), "index"),
                ],
                value=visit.view.order,
                label=say("Order"),
                elem_id="order",
            )
        with gr.Accordion(say("More: scale and colours"), open=False, elem_id="more"), gr.Row():
            self.scope = gr.Radio(
                [(say("the whole block"), "block"), (say("each channel"), "channel")],
                value=visit.view.scope,
                label=say("One colour scale for"),
                elem_id="scope",
            )
            self.colours = gr.Radio(
                list(SEQUENTIAL),
                value=visit.view.colours,
                label=say("Colours of the output"),
                elem_id="colours",
            )

    def render(self, visit: Visit) -> str:
        return inside_html(visit.run, visit.view, key=visit.key)

    def server_functions(self) -> Iterable[Callable[[Any], Json]]:
        return self.place, self.products

    def place(self, request: Any) -> dict[str, str]:
        """{"key", "block", "channel", "row", "column", "language"} to the four values of that place, or
        {"error"}; the key of a run is known to its visitor alone."""
        return self.asked_at(request, lambda run, *place: values_at(run, *place))

    def products(self, request: Any) -> dict[str, str]:
        """The same to {"html"}: the kernels and patches behind the two sides of the sum."""

        def html(run: Run, block: int, *place: int) -> dict[str, str]:
            channel, row, column = place
            options = {"block": block, "channel": channel, "row": row, "column": column}
            with SEATS.take(visitor_address()):
                found = self.page.engine.get().explain("products", run, options)
            return {"html": products_html(run, block, found)}

        return self.asked_at(request, html)

    def asked_at(self, request: Any, answer: Callable[..., dict[str, str]]) -> dict[str, str]:
        """``answer`` of the run and the place that a request names, or the sentence why there is none."""
        if not isinstance(request, dict):
            return {"error": say(NO_PLACE)}
        with speaking(str(request.get("language"))):
            key = request.get("key")
            try:
                run = self.page.recall(key if isinstance(key, str) else "")
                if run is None:
                    return {"error": say(GONE)}
                place = place_in(request, run)
                return answer(self.page.exact(run), *place)  # a sum that anybody may check
            except gr.Error as error:
                return {"error": str(error.message)}
            except BusyError:
                return {"error": say(BUSY)}
            except ValueError as error:
                return {"error": error_of(error)}
            except Exception as error:  # noqa: BLE001 - told to the visitor, logged by sentence_of
                return {"error": sentence_of(error)}

    def adjusted(self) -> Components:
        return {self.block}

    def adjust(self, visit: Visit) -> Values:
        count = len(visit.run.blocks) if visit.run else visit.network.blocks
        return {self.block: block_choices(count, visit.view.block)}

    def connect(self, page: Page) -> None:
        def on_view(values: Values) -> Values:
            view = replace(
                values[page.view],
                channels=values[self.channels],
                order=values[self.order],
                scope=values[self.scope],
                colours=values[self.colours],
            )
            return page.show_view(view, values)

        def on_block(values: Values) -> Values:
            view = replace(values[page.view], block=values[self.block])
            shown = page.show_view(view, values)
            shown.pop(self.block, None)  # it is being moved: an answer must not set it back
            return {
                **shown,
                page.roadmap: page.map_of(replace(page.visit(values), view=view)),
            }

        settings = {self.channels, self.order, self.scope, self.colours}
        outputs = {page.view, *page.drawings}
        page.on([c.input for c in settings], on_view, outputs, settings, **REDRAW)
        page.on(self.block.input, on_block, outputs | {page.roadmap}, {self.block}, **REDRAW)

    def restored(self) -> Components:
        return {self.page.view, self.block, self.channels, self.order}

    def restore(self, asked: Mapping[str, Any], network: MenuEntry) -> Values:
        named = {name: asked[name] for name in ("block", "channels", "order", "measure") if name in asked}
        view = replace(View(), **named)
        return {
            self.page.view: view,
            self.block: block_choices(network.blocks, view.block),
            self.channels: view.channels,
            self.order: view.order,
        }

    def endpoints(self) -> Iterable[Callable[..., Any]]:
        def receptive_field(run: Run) -> list[dict[str, Any]]:
            """For every stream of every block: place i sees the pixels i * jump + low to i * jump + high."""
            return [
                {"block": b, "stream": s, **asdict(f), "size": f.size} for (b, s), f in run.fields.items()
            ]

        yield receptive_field


def block_choices(count: int, block: int) -> Any:
    """The radio of blocks for a network of ``count``; hidden where there are too many for it."""
    choices = [(str(i + 1), i) for i in range(count)]
    return gr.update(choices=choices, value=min(block, count - 1), visible=count <= RADIO_BLOCKS)


def inside_html(
    run: Run | None,
    view: View,
    locked: NDArray[np.intp] | None = None,
    photo: bool = True,
    key: str | None = None,
) -> str:
    """The block of ``view``: photo and what the block adds, then the four streams channel by channel.

    Args:
        locked: channels to draw instead of those that ``view`` would choose, so that they stay in their
            places from frame to frame.
        photo: whether the photo and the block's figures stand below the streams.
        key: of the run, for whoever may ask for single values of it.
    """
    if run is None:
        return fill(TEMPLATE, run=None)
    index = min(view.block, len(run.blocks) - 1)  # the last network may have had more blocks
    block = run.blocks[index]
    channels = choose_channels(run, block, view) if locked is None else locked
    columns = columns_for(channels)
    return fill(
        TEMPLATE,
        run=run,
        index=index,
        smooth=block.shape[2] > WIDE,  # averaged by the browser, not dropped
        axes=run.axes,
        key=key,
        silence=say(modality_named(run.modality).silent),
        flat=block.shape[1] == 1,
        columns=columns,
        rows=-(-len(channels) // columns),
        overview=overview(run, block, view, len(channels)) if photo else None,
        streams=streams_html(run, block, channels, scale_ends((block,), channels, view.scope), view),
    )


def silent_share(block: Block) -> float:
    """Share of the block's output channels that are zero everywhere for this photo, 0..1."""
    return float((block.activity == 0).mean())


def overview(run: Run, block: Block, view: View, shown: int) -> dict[str, Any]:
    """The photo, what the residual branch adds to each place, and the block in figures."""
    end = float(np.abs(block.added[np.isfinite(block.added)]).max(initial=0.0))
    indices = feature_maps.quantise(block.added[None], np.array([end], np.float32), signed=True)[0]
    c, h, w = block.shape
    ratio = block.residual_norm / block.shortcut_norm if block.shortcut_norm else float("inf")
    facts = [
        (say("‖F(x)‖ ÷ ‖shortcut‖"), significant(ratio)),
        (say("cosine between the two"), significant(block.cosine)),
        (say("silent channels"), f"{100 * silent_share(block):.0f} %"),
        (
            say("shown"),
            say("{shown} of {count} channels, each {shape}", shown=shown, count=c, shape=f"{h}×{w}"),
        ),
    ]
    if view.order == "contribution" and block.name not in run.contributions:
        facts.append((say("order"), say("mean activation: no share of the logit is known for this block")))
    field, modality = run.fields.get((block.name, "output")), modality_named(run.modality)
    return {
        "seen": seen_html(run, modality.as_seen),
        "sees": modality.reach(field.size, run.axes) if field else "",
        "added": picture_url(feature_maps.indexed_png(indices, feature_maps.DIVERGING)),
        "end": significant(end),
        "facts": facts,
    }
