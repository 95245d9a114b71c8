"""Layer by layer: the shape of everything that travels through the network, its parameters, operations and
time."""

from __future__ import annotations

from resnet_demo.drawing.formatting import significant
from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import later
from resnet_demo.panels.base import Panel, Visit
from resnet_demo.records import LayerTrace

TEMPLATE = "panels/look/layer_summary.html"
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
    names = {name: i for i, name in enumerate(block_names)}
    return fill(TEMPLATE, trace=trace, names=names, input=INPUT, flops=_flops)


def _flops(flops: int) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if flops >= size:
            return f"{significant(flops / size, 3)} {unit}"
    return str(flops)
