"""The four streams of a block, F(x) + shortcut = sum → output: the same channels in the same places. HTML
only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from markupsafe import escape
from numpy.typing import NDArray

from resnet_demo.drawing import feature_maps
from resnet_demo.drawing.feature_maps import Order, Scope
from resnet_demo.drawing.feature_sheets import face
from resnet_demo.drawing.formatting import significant
from resnet_demo.drawing.pictures import picture_url
from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import later, say
from resnet_demo.modalities import modality_named
from resnet_demo.records import Block, Run

STREAMS = (
    ("residual", "F(x)", later("residual branch"), True),
    ("shortcut", later("shortcut"), later("what goes around"), True),
    ("pre_activation", later("sum"), later("F(x) + shortcut"), True),
    ("output", later("output"), later("ReLU(sum)"), False),
)
OPERATORS = ("", "+", "=", "→")  # before each of them
WIDE = 72  # maps of more columns are larger than a tile on the screen


@dataclass(frozen=True)
class View:
    """How the chosen block is drawn. Changing it never runs the network.

    Attributes:
        block: index of the block.
        channels: how many are drawn, 4, 16 or 64.
        order: which come first; "contribution" is by |share| of the logit, or of the block's read-out.
        scope: one colour scale for the block, or one for each channel.
        colours: the map for activations after the ReLU; signed streams are always diverging.
        measure: how strong what travels on a road is, one of ``road_map.MEASURES``.
    """

    block: int = 0
    channels: int = 16
    order: Order | Literal["contribution"] = "mean"
    scope: Scope = "block"
    colours: str = feature_maps.SEQUENTIAL[0]
    measure: str = "rms"


@dataclass(frozen=True)
class Sheet:
    """One stream's maps (K, H, W) of the channels on show, and their picture as a URL."""

    maps: NDArray[np.float32]
    colours: str
    picture: str


def choose_channels(run: Run, block: Block, view: View) -> NDArray[np.intp]:
    """The channels of ``block`` to draw, the first first."""
    if view.order in ("variance", "index"):
        return feature_maps.rank_channels(block.output, view.order, view.channels)
    shares = run.contributions.get(block.name) if view.order == "contribution" else None
    if shares is None:  # by mean activation; or neither the last block nor one with a read-out
        return feature_maps.largest_first(block.activity, view.channels)
    return feature_maps.largest_first(np.abs(shares), view.channels)


def scale_ends(
    blocks: tuple[Block, ...], channels: NDArray[np.intp], scope: Scope
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Ends of the colour scales of the ``channels``, shared by all ``blocks``: signed streams, output."""
    signed = tuple(s for b in blocks for s in (b.residual, b.shortcut, b.pre_activation))
    return (
        feature_maps.limits(signed, channels, scope),
        feature_maps.limits(tuple(b.output for b in blocks), channels, scope),
    )


def columns_for(channels: NDArray[np.intp]) -> int:
    """Tiles in a row of a grid."""
    return 2 if len(channels) <= 4 else 4


def draw_sheets(
    block: Block,
    channels: NDArray[np.intp],
    ends: tuple[NDArray[np.float32], NDArray[np.float32]],
    view: View,
) -> list[Sheet]:
    """The four streams of one block as pictures, in the order of STREAMS."""
    sheets = []
    for field, *_, signed in STREAMS:
        maps = getattr(block, field)[channels]
        tiles = feature_maps.quantise(maps, ends[0] if signed else ends[1], signed)
        colours = feature_maps.DIVERGING if signed else view.colours
        picture = picture_url(
            feature_maps.indexed_png(feature_maps.mosaic(tiles, columns_for(channels)), colours)
        )
        sheets.append(Sheet(feature_maps.widened(maps), colours, picture))
    return sheets


@dataclass(frozen=True)
class Tile:
    """One channel's map in the grid of a stream: how it is read out, its figures, its place on the sheet.

    All are escaped: the template takes them as they are, since sixty-four tiles take a millisecond otherwise.
    """

    channel: int
    silent: bool
    words: str
    facts: str
    place: str
    face: str = ""


def streams_html(
    run: Run,
    block: Block,
    channels: NDArray[np.intp],
    ends: tuple[NDArray[np.float32], NDArray[np.float32]],
    view: View,
) -> str:
    """The four grids of one block with the operators between them."""
    streams = []
    for stream, sheet, operator in zip(
        STREAMS, draw_sheets(block, channels, ends, view), OPERATORS, strict=True
    ):
        field, name, meaning, signed = stream
        end = ends[0] if signed else ends[1]
        sees = run.fields.get((block.name, field))
        streams.append(
            {
                "operator": operator,
                "field": field,
                "name": say(name),
                "meaning": say(meaning),
                "places": f"{sheet.maps.shape[2]} {sheet.maps.shape[1]}",
                "sees": f"{sees.jump} {sees.low} {sees.high}" if sees else "",
                "picture": sheet.picture,
                "gradient": feature_maps.css_gradient(sheet.colours),
                "tiles": [
                    replace(tile, face=face(run.network, block.name, field, tile.channel))
                    for tile in _tiles(
                        sheet.maps, channels, end, view, say(name), say(modality_named(run.modality).silent)
                    )
                ],
                "ends": _ends(end, view, signed),
            }
        )
    return fill("drawing/streams.html", streams=streams)


def _tiles(
    maps: NDArray[np.float32],
    channels: NDArray[np.intp],
    ends: NDArray[np.float32],
    view: View,
    name: str,
    silence: str,
) -> list[Tile]:
    """The tiles of one stream; ``silence`` is what is said of a map without any signal."""
    columns = columns_for(channels)
    rows = -(-len(channels) // columns)
    same = significant(float(ends[0])) if view.scope == "block" and len(ends) else ""  # for all of them
    tiles = []
    for k, stats in enumerate(feature_maps.channel_stats(maps)):
        channel, silent = int(channels[k]), stats.low == stats.high
        x = 100 * (k % columns) / max(columns - 1, 1)
        y = 100 * (k // columns) / max(rows - 1, 1)
        facts = [significant(value) for value in vars(stats).values()]
        facts.append(same or significant(float(ends[k])))  # in this order inside_block.js reads them
        found = silence if silent else say("from {low} to {high}", low=facts[0], high=facts[1])
        words = escape(say("{stream}, channel {channel}, {found}", stream=name, channel=channel, found=found))
        tiles.append(Tile(channel, silent, words, "|".join(facts), f"{x:.3f}% {y:.3f}%"))
    return tiles


def _ends(ends: NDArray[np.float32], view: View, signed: bool) -> tuple[str, str, str]:
    """What stands below the left end, the middle and the right end of a colour scale."""
    if view.scope == "channel":
        return ("−max", "0", "max") if signed else ("0", "", "max")
    end = significant(float(ends[0])) if len(ends) else "0"
    return (f"−{end}", "0", end) if signed else ("0", "", end)
