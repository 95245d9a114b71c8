"""Layer by layer: the shape of everything that travels through the network, its parameters, operations and time."""

from __future__ import annotations

from html import escape

from resnet_demo.drawing.road_map import block_title, shape_text, significant
from resnet_demo.i18n import grouped, later, say
from resnet_demo.panels.base import Panel, Visit
from resnet_demo.records import LayerTrace

INPUT = later("input")  # the one line of a trace that is not a layer


class LayerSummaryPanel(Panel):
    """The shape trace as a table."""

    id = "trace"
    title = later("Layer by layer")

    def render(self, visit: Visit) -> str:
        if visit.run is None:
            return trace_html(())
        return trace_html(visit.run.trace, tuple(block.name for block in visit.run.blocks))


def trace_html(trace: tuple[LayerTrace, ...], block_names: tuple[str, ...] = ()) -> str:
    """The shape trace as a table: output shape, parameters, FLOPs, milliseconds."""
    if not trace:
        empty = say("The shape of everything that travels through the network appears here.")
        return f'<p class="trace is-empty">{empty}</p>'
    names = {name: block_title(i) for i, name in enumerate(block_names)}
    rows = []
    for line in trace:
        ms = "" if line.milliseconds is None else significant(line.milliseconds)
        name, kind = (say(w) if line.name == INPUT else w for w in (line.name, line.kind))
        shown = f"{names[line.name]} <small>{escape(name)}</small>" if line.name in names else escape(name)
        rows.append(
            f"<tr><th scope='row'>{shown}</th><td>{escape(kind)}</td><td>{shape_text(line.shape)}</td>"
            f"<td>{grouped(line.parameters)}</td><td>{_flops(line.flops)}</td><td class='clock'>{ms}</td></tr>"
        )
    total_ms = sum(line.milliseconds or 0 for line in trace)
    total = (
        f"<tr class='total'><th scope='row'>{say('all')}</th><td></td><td></td><td>{grouped(sum(t.parameters for t in trace))}</td>"
        f"<td>{_flops(sum(t.flops for t in trace))}</td><td class='clock'>{significant(total_ms)}</td></tr>"
    )
    caption = say(
        "Output of each layer for one photo (channels × height × width). A FLOP count takes a multiply-add as two; "
        "norms, pools and activations are left out."
    )
    return (
        f"<table class='trace'><caption>{caption}</caption><thead><tr><th>{say('layer')}</th><th>{say('kind')}</th>"
        f"<th>{say('output')}</th><th>{say('parameters')}</th><th>FLOPs</th><th>ms</th></tr></thead>"
        f"<tbody>{''.join(rows)}{total}</tbody></table>"
    )


def _flops(flops: int) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if flops >= size:
            return f"{significant(flops / size, 3)} {unit}"
    return str(flops)
