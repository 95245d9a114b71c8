"""The paper's figure, ours: training and test error of four networks on CIFAR-10 while they learned."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import grouped, later, say
from resnet_demo.networks.cards import WEIGHTS
from resnet_demo.panels.base import Panel, Values, Visit, chooses_network
from resnet_demo.panels.page import Page

CURVES = WEIGHTS / "cifar10-curves.json"
PAIRS = (("plain-20", "plain-56"), ("resnet-20", "resnet-56"))  # the shallower network, the deeper one
COLUMNS = ("step", "train_error", "test_error")
ALIKE = 0.005  # training errors that differ by less are called alike
DEEPER_IS = {  # alike, worse, better
    "plain-56": (
        later("the deeper plain network is no worse there, unlike in the paper"),
        later("the deeper plain network is worse on the very pictures that it learned from, as in the paper"),
        later("the deeper plain network is better there, unlike in the paper"),
    ),
    "resnet-56": (
        later("with shortcuts depth does no harm"),
        later("with shortcuts the deeper network is worse too, unlike in the paper"),
        later("with shortcuts the deeper network is better, as in the paper"),
    ),
}


@dataclass(frozen=True)
class PaperCurves:
    """The curves of ``export_cifar``.

    Attributes:
        networks: name -> "step", "train_error" and "test_error", lists of one length; errors in 0..1.
        batch: pictures a step.
        test_pictures: on how many the test error was counted.
    """

    networks: Mapping[str, Mapping[str, Sequence[float]]]
    batch: int
    test_pictures: int


def read_curves(path: Path = CURVES) -> PaperCurves | None:
    """The curves in ``path``; None if it is missing or unfit, and the panel says so."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        networks = {
            str(name): {column: [float(value) for value in curve[column]] for column in COLUMNS}
            for name, curve in data["networks"].items()
        }
        found = PaperCurves(networks, int(data["batch"]), int(data["test_pictures"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    lengths = [{len(curve[column]) for column in COLUMNS} for curve in networks.values()]
    return found if networks and all(len(n) == 1 and 0 not in n for n in lengths) else None


@cache
def shipped_curves() -> PaperCurves | None:
    """Those that ship with the networks."""
    return read_curves()


class PaperFigurePanel(Panel):
    """He et al. 2015, Fig. 6, with the project's own networks; each is one click away."""

    id = "figure"
    title = later("The paper's figure")
    intro = later("""<p>The figure with which the paper made its point, with networks trained for this page:
20 and 56 layers, with shortcuts and without, on CIFAR-10; from the same seed, with the same batches
(<a href="https://arxiv.org/abs/1512.03385" target="_blank" rel="noreferrer">He et al. 2015,
Fig. 6</a>).</p>""")

    def render(self, visit: Visit) -> str:
        return figure_html(shipped_curves(), [entry.name for entry in self.page.menu])

    def draw(self, visit: Visit) -> Values:
        return {}  # it shows the same for every photo

    def connect(self, page: Page) -> None:
        chooses_network(page, self.drawing)


def figure_html(curves: PaperCurves | None, menu: Sequence[str]) -> str:
    """The panel for these curves; ``menu`` has the networks that can be chosen."""
    if curves is None:
        return fill("panels/learn/paper_figure.html", curves=None)
    names = sorted(curves.networks, key=lambda name: (not name.startswith("plain"), name))
    return fill(
        "panels/learn/paper_figure.html",
        curves=json.dumps({name: curves.networks[name] for name in names}, separators=(",", ":")),
        names=names,
        menu=menu,
        sentences=sentences(curves),
        batch=curves.batch,
        test_pictures=grouped(curves.test_pictures),
        last=max(len(curve["step"]) for curve in curves.networks.values()) - 1,
    )


def sentences(curves: PaperCurves) -> list[str]:
    """What the last training errors say of depth, with shortcuts and without: one sentence a pair."""
    found = []
    for shallow, deep in PAIRS:
        if shallow in curves.networks and deep in curves.networks:
            found.append(sentence(curves, shallow, deep))
    return found


def sentence(curves: PaperCurves, shallow: str, deep: str) -> str:
    """How the deeper network of a pair ended beside the shallower one."""
    one, other = (curves.networks[name]["train_error"][-1] for name in (shallow, deep))
    alike, worse, better = DEEPER_IS[deep]
    verdict = alike if abs(one - other) < ALIKE else better if other < one else worse
    return say(
        "After {steps} steps {shallow} has a training error of {one} % and {deep} one of {other} %: "
        "{verdict}.",
        steps=grouped(min(curves.networks[name]["step"][-1] for name in (shallow, deep))),
        shallow=shallow,
        deep=deep,
        one=f"{100 * one:.1f}",
        other=f"{100 * other:.1f}",
        verdict=say(verdict),
    )
