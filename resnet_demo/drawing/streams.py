"""The four streams of a block, F(x) + shortcut = sum → output: the same channels in the same places. HTML only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from resnet_demo.drawing import feature_maps
from resnet_demo.drawing.feature_maps import Order, Scope
from resnet_demo.drawing.road_map import significant
from resnet_demo.i18n import later, say
from resnet_demo.modalities import modality_named
from resnet_demo.records import Block, ReceptiveField, Run

STREAMS = (
    ("residual", "F(x)", later("residual branch"), True),
    ("shortcut", later("shortcut"), later("what goes around"), True),
    ("pre_activation", later("sum"), later("F(x) + shortcut"), True),
    ("output", later("output"), later("ReLU(sum)"), False),
)
OPERATORS = ("+", "=", "→")
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
    """

    block: int = 0
    channels: int = 16
    order: Order | Literal["contribution"] = "mean"
    scope: Scope = "block"
    colours: str = feature_maps.SEQUENTIAL[0]


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
        maps = getattr(block, field)[channels].astype(np.float32)
        tiles = feature_maps.quantise(maps, ends[0] if signed else ends[1], signed)
        colours = feature_maps.DIVERGING if signed else view.colours
        picture = feature_maps.data_url(
            feature_maps.indexed_png(feature_maps.mosaic(tiles, columns_for(channels)), colours)
        )
        sheets.append(Sheet(maps, colours, picture))
    return sheets


def streams_html(
    run: Run,
    block: Block,
    channels: NDArray[np.intp],
    ends: tuple[NDArray[np.float32], NDArray[np.float32]],
    view: View,
    sheets: Sequence[Sheet] | None = None,
) -> str:
    """The four grids of one block with the operators between them; ``sheets`` are drawn here when None."""
    grids = []
    drawn = draw_sheets(block, channels, ends, view) if sheets is None else sheets
    for i, ((field, name, meaning, signed), sheet) in enumerate(zip(STREAMS, drawn, strict=True)):
        if i:
            grids.append(f'<span class="operator" aria-hidden="true">{OPERATORS[i - 1]}</span>')
        sees = run.fields.get((block.name, field))
        words = say(name), say(meaning), say(modality_named(run.modality).silent)
        grids.append(
            _grid(field, *words, signed, sheet, channels, ends[0] if signed else ends[1], view, sees)
        )
    return "".join(grids)


def _grid(
    field: str,
    name: str,
    meaning: str,
    silence: str,
    signed: bool,
    sheet: Sheet,
    channels: np.ndarray,
    ends: np.ndarray,
    view: View,
    sees: ReceptiveField | None,
) -> str:
    maps, columns = sheet.maps, columns_for(channels)
    places = f"{maps.shape[2]} {maps.shape[1]}"
    window = f"{sees.jump} {sees.low} {sees.high}" if sees else ""
    rows = -(-len(channels) // columns)
    tiles = []
    every = feature_maps.channel_stats(maps)
    same = significant(float(ends[0])) if view.scope == "block" and len(ends) else ""  # for all of them
    for k, channel in enumerate(channels):
        stats = every[k]
        flat = stats.low == stats.high
        x = 100 * (k % columns) / max(columns - 1, 1)
        y = 100 * (k // columns) / max(rows - 1, 1)
        facts = [significant(value) for value in vars(stats).values()]
        facts.append(same or significant(float(ends[k])))  # in this order inside.js reads them
        silent = " silent" if flat else ""
        found = silence if flat else say("from {low} to {high}", low=facts[0], high=facts[1])
        spoken = say("{stream}, channel {channel}, {found}", stream=name, channel=channel, found=found)
        tiles.append(
            f'<button type="button" class="tile{silent}" data-channel="{channel}" tabindex="{0 if k == 0 else -1}" '
            f'aria-label="{spoken}" title="{spoken}" data-facts="{"|".join(facts)}">'
            f'<i style="background-position:{x:.3f}% {y:.3f}%"></i><span>{channel}</span></button>'
        )
    if view.scope == "block":
        end = same or "0"
        low, zero = (f"−{end}", "0") if signed else ("0", "")
    else:
        low, zero, end = ("−max", "0", "max") if signed else ("0", "", "max")
    legend = (
        f'<div class="legend"><i style="background:{feature_maps.css_gradient(sheet.colours)}"></i>'
        f"<span>{low}</span><span>{zero}</span><span>{end}</span></div>"
    )
    return f"""<section class="stream" data-stream="{field}" data-places="{places}" data-sees="{window}" aria-label="{name}: {meaning}" style="--sheet:url({sheet.picture})">
<h4>{name}<small>{meaning}</small></h4>
<div class="tiles" role="group">{"".join(tiles)}</div>{legend}
<div class="large" aria-live="polite"><i></i><p></p></div></section>"""
