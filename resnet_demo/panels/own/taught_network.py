"""What was taught, as a network on its visitor's menu: every panel speaks of the visitor's classes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_demo.analysis.linear_probes import Probe
from resnet_demo.analysis.ridge_readout import RidgeReadOut
from resnet_demo.i18n import later
from resnet_demo.networks.cards import MenuEntry
from resnet_demo.panels.lending import ELSEWHERE, Loan
from resnet_demo.panels.own.teaching_files import KNOWS, taught_network
from resnet_demo.panels.own.teachings import Taught, Teaching, TeachingError
from resnet_demo.panels.page import Page

SHOWN = 40  # characters of the classes on the menu


def on_cpu(engine: Any, network: str) -> tuple[Any, Any]:
    """A network as its file has it, and its card.

    Raises:
        TeachingError: the networks are on other machines.
    """
    if not hasattr(engine, "read"):
        raise TeachingError(ELSEWHERE)
    found = engine.read(network)
    return found.model, found.card


def lend_taught(page: Page, session: str | None, teaching: Teaching, taught: Taught) -> MenuEntry:
    """The menu's entry of what was taught, which takes the place of what was taught before.

    Raises:
        TeachingError: the networks are on other machines.
    """
    engine = page.engine.get()
    key = ("taught", teaching.ticket)
    if teaching.lent is not taught:
        page.lending.take_back(key)
        teaching.lent = taught

    def loan(name: str) -> Loan:
        def load() -> Any:
            return taught_network(taught, *on_cpu(engine, taught.network), name)

        return Loan(entry_of(name, page.entry(taught.network), taught), load, probes_of(taught))

    try:
        return page.lending.lend(session, key, "taught", loan)
    except ValueError as error:
        raise TeachingError(*error.args) from None


def entry_of(name: str, base: MenuEntry, taught: Taught) -> MenuEntry:
    """How it stands on its visitor's menu."""
    classes = ", ".join(taught.names)
    short = classes if len(classes) <= SHOWN else classes[: SHOWN - 1] + "…"
    return replace(
        base,
        name=name,
        knows=later(KNOWS.pattern, classes=classes, count=len(taught.labels)),
        blocks=taught.best + 1,
        title=later("{classes} · after block {block} · yours", classes=short, block=taught.best + 1),
    )


def probes_of(taught: Taught) -> dict[str, Probe]:
    """The read-outs of the blocks that are left, by the names that they have in the taught network."""
    count = len(taught.labels)
    return {
        f"blocks.{i}": Probe(*as_probe(read_out), read_out.right(taught.labels) / count, count)
        for i, read_out in enumerate(taught.read_outs[: taught.best + 1])
    }


def as_probe(read_out: RidgeReadOut) -> tuple[NDArray[np.float32], float | NDArray[np.float32]]:
    """Weight and bias as a probe has them."""
    weight, bias = read_out.logits()
    return (weight, bias) if len(bias) > 1 else (weight[0], float(bias[0]))
