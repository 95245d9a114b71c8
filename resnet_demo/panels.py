"""What the page says about a run besides the road map: answer, inside a block, shape trace. HTML only."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from html import escape

import numpy as np

from resnet_demo import drawing
from resnet_demo.drawing import Order, Scope
from resnet_demo.records import BlockStreams, LayerTrace, Run
from resnet_demo.roadmap import block_title, shape_text, significant


@dataclass(frozen=True)
class View:
    """How the chosen block is drawn. Changing it never runs the network.

    Attributes:
        block: index of the block.
        channels: how many are drawn, 4, 16 or 64.
        order: which come first.
        scope: one colour scale for the block, or one for each channel.
        colours: the map for activations after the ReLU; signed streams are always diverging.
    """

    block: int = 0
    channels: int = 16
    order: Order = "mean"
    scope: Scope = "block"
    colours: str = drawing.SEQUENTIAL[0]


STREAMS = (
    ("residual", "F(x)", "residual branch", True),
    ("shortcut", "shortcut", "what goes around", True),
    ("pre_activation", "sum", "F(x) + shortcut", True),
    ("output", "output", "ReLU(sum)", False),
)
OPERATORS = ("+", "=", "→")


def answer_html(run: Run | None, knows: str) -> str:
    """The prediction with its confidence, and ``knows``: what the network has ever seen."""
    if run is None:
        return (
            '<div class="answer is-empty"><p class="invite">Drop a photo on the left, paste one, use the camera, '
            f'or take an example.</p><p class="knows">{escape(knows)}</p></div>'
        )
    rows = "".join(
        f'<div class="class-row"><span class="label">{escape(c.label)}</span>'
        f'<span class="bar" aria-hidden="true"><i style="width:{100 * c.confidence:.2f}%"></i></span>'
        f'<span class="percent">{100 * c.confidence:.1f} %</span></div>'
        for c in run.prediction.confidences
    )
    sentences = [run.notice, "Some branches are turned down: see “Switch it off”." if run.gates else ""]
    notice = "".join(f'<p class="notice" role="status">{escape(s)}</p>' for s in sentences if s)
    return f'<div class="answer"><div class="classes">{rows}</div><p class="knows">{escape(knows)}</p>{notice}</div>'


def status_html(run: Run | None, device: str) -> str:
    """Where and how fast: "on CPU · 31 ms"."""
    if run is None:
        return f'<div class="status">on {escape(device)}</div>' if device else '<div class="status"></div>'
    title = (
        f"photo to tensor {run.timings.prepare:.1f} ms, network with capture {run.timings.forward:.1f} ms, "
        f"all {run.timings.total:.1f} ms"
    )
    return f'<div class="status" title="{title}">on {escape(run.device)} · <b>{run.timings.total:.0f} ms</b></div>'


def inside_html(run: Run | None, view: View) -> str:
    """F(x) + shortcut = sum → output of one block: the same channels in the same places."""
    if run is None:
        return (
            '<div class="inside is-empty"><p>The chosen block appears here: its residual branch, '
            "its shortcut, their sum and its output, channel by channel.</p></div>"
        )
    index = min(view.block, len(run.blocks) - 1)  # the last network may have had more blocks
    block = run.blocks[index]
    streams = {field: getattr(block, field) for field, *_ in STREAMS}
    channels = drawing.rank_channels(block.output, view.order, view.channels)
    signed_ends = drawing.limits((block.residual, block.shortcut, block.pre_activation), channels, view.scope)
    output_ends = drawing.limits((block.output,), channels, view.scope)
    columns = 2 if len(channels) <= 4 else 4

    grids = []
    for i, (field, name, meaning, signed) in enumerate(STREAMS):
        ends = signed_ends if signed else output_ends
        colours = drawing.DIVERGING if signed else view.colours
        sheet = drawing.mosaic(drawing.quantise(streams[field][channels], ends, signed), columns)
        picture = drawing.data_url(drawing.indexed_png(sheet, colours))
        if i:
            grids.append(f'<span class="operator" aria-hidden="true">{OPERATORS[i - 1]}</span>')
        grids.append(
            _grid(
                field,
                name,
                meaning,
                signed,
                streams[field][channels],
                channels,
                ends,
                picture,
                columns,
                view,
                colours,
            )
        )
    c, h, w = block.shape
    ratio = block.residual_norm / block.shortcut_norm if block.shortcut_norm else float("inf")
    facts = (
        f"‖F‖ ÷ ‖shortcut‖ = {significant(ratio)} · cosine {significant(block.cosine)} · "
        f"{len(channels)} of {c} channels, each {h}×{w}"
    )
    smooth = " smooth" if w > 72 else ""  # larger than a tile on screen: averaged by the browser, not dropped
    return f"""<div class="inside{smooth}" data-block="{index}" style="--columns:{columns};--rows:{-(-len(channels) // columns)}">
<h3>{block_title(index).capitalize()}<span class="facts">{facts}</span></h3>
<div class="streams">{"".join(grids)}</div></div>"""


def _grid(
    field: str,
    name: str,
    meaning: str,
    signed: bool,
    maps: drawing.Maps,
    channels: np.ndarray,
    ends: np.ndarray,
    picture: str,
    columns: int,
    view: View,
    colours: str,
) -> str:
    rows = -(-len(channels) // columns)
    tiles = []
    for k, channel in enumerate(channels):
        stats = drawing.channel_stats(maps[k])
        flat = stats.low == stats.high
        x = 100 * (k % columns) / max(columns - 1, 1)
        y = 100 * (k // columns) / max(rows - 1, 1)
        facts = {key: significant(value) for key, value in asdict(stats).items()} | {
            "end": significant(float(ends[k]))
        }
        silent = " silent" if flat else ""
        spoken = f"{name}, channel {channel}, " + (
            "silent for this photo" if flat else f"from {facts['low']} to {facts['high']}"
        )
        tiles.append(
            f'<button type="button" class="tile{silent}" data-channel="{channel}" tabindex="{0 if k == 0 else -1}" '
            f'aria-label="{spoken}" title="{spoken}" data-facts="{escape(json.dumps(facts))}">'
            f'<i style="background-position:{x:.3f}% {y:.3f}%"></i><span>{channel}</span></button>'
        )
    if view.scope == "block":
        end = significant(float(ends[0])) if len(ends) else "0"
        low, zero = (f"−{end}", "0") if signed else ("0", "")
    else:
        low, zero, end = ("−max", "0", "max") if signed else ("0", "", "max")
    legend = (
        f'<div class="legend"><i style="background:{drawing.css_gradient(colours)}"></i>'
        f"<span>{low}</span><span>{zero}</span><span>{end}</span></div>"
    )
    return f"""<section class="stream" data-stream="{field}" aria-label="{name}: {meaning}" style="--sheet:url({picture})">
<h4>{name}<small>{meaning}</small></h4>
<div class="tiles" role="group">{"".join(tiles)}</div>{legend}
<div class="large" aria-live="polite"><i></i><p></p></div></section>"""


def trace_html(trace: tuple[LayerTrace, ...], block_names: tuple[str, ...] = ()) -> str:
    """The shape trace as a table: output shape, parameters, FLOPs, milliseconds."""
    if not trace:
        return '<p class="trace is-empty">The shape of everything that travels through the network appears here.</p>'
    names = {name: block_title(i) for i, name in enumerate(block_names)}
    rows = []
    for line in trace:
        ms = "" if line.milliseconds is None else significant(line.milliseconds)
        shown = (
            f"{names[line.name]} <small>{escape(line.name)}</small>"
            if line.name in names
            else escape(line.name)
        )
        rows.append(
            f"<tr><th scope='row'>{shown}</th><td>{escape(line.kind)}</td><td>{shape_text(line.shape)}</td>"
            f"<td>{line.parameters:,}</td><td>{_flops(line.flops)}</td><td>{ms}</td></tr>"
        )
    total_ms = sum(line.milliseconds or 0 for line in trace)
    total = (
        f"<tr class='total'><th scope='row'>all</th><td></td><td></td><td>{sum(t.parameters for t in trace):,}</td>"
        f"<td>{_flops(sum(t.flops for t in trace))}</td><td>{significant(total_ms)}</td></tr>"
    )
    return (
        "<table class='trace'><caption>Output of each layer for one photo (channels × height × width). A FLOP count takes "
        "a multiply-add as two; norms, pools and activations are left out.</caption><thead><tr><th>layer</th><th>kind</th>"
        "<th>output</th><th>parameters</th><th>FLOPs</th><th>ms</th></tr></thead>"
        f"<tbody>{''.join(rows)}{total}</tbody></table>"
    )


def _flops(flops: int) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if flops >= size:
            return f"{significant(flops / size, 3)} {unit}"
    return str(flops)


__all__ = ["BlockStreams", "View", "answer_html", "inside_html", "status_html", "trace_html"]
