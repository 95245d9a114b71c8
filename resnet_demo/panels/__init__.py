"""The panels of the page, one stem each, in a folder a chapter; ``PANELS`` names them in their order.

The folders are the chapters of ``chapters.py``: the order here is that of the panels in each.
"""

from __future__ import annotations

from importlib import import_module

from resnet_demo.panels.base import Panel

PANELS = [
    "look.inside_block",
    "look.feature_visualization",
    "look.layer_summary",
    "look.block_diagram",
    "cut.ablation",
    "cut.block_deletion",
    "cut.paths",
    "explain.class_activation",
    "explain.early_readout",
    "explain.pixels",
    "explain.touch",
    "explain.attack",
    "learn.race",
    "learn.identity",
    "learn.paper_figure",
    "learn.gradient_flow",
    "learn.gradient_acts",
    "own.webcam",
    "own.teach",
    "own.bring",
    "own.sound",
    "own.text",
    "own.compare",
    "own.export",
]


def load_panels() -> list[type[Panel]]:
    """The panel that each module of the registry defines."""
    found = []
    for name in PANELS:
        module = import_module(f"{__name__}.{name}")
        (panel,) = (
            thing
            for thing in vars(module).values()
            if isinstance(thing, type) and issubclass(thing, Panel) and thing.__module__ == module.__name__
        )
        found.append(panel)
    return found
