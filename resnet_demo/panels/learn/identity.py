"""The identity is easy: giving back what came in, and a block added in the middle of training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import later
from resnet_demo.panels.base import Json, Visit
from resnet_demo.panels.learn.training import TrainingPanel
from resnet_demo.race.seeds import GROWTH, IDENTITY, stored_run

TASKS = {
    "identity": later("Give back what came in"),
    "growth": later("Get one more block in the middle of training"),
}
RIVALS = {
    "plain": later("a fresh block"),
    "net2net": later("Net2Net's block, built to hand on what it is given"),
}


class IdentityPanel(TrainingPanel):
    """Two tasks in which the identity is what is wanted."""

    id = "identity"
    title = later("The identity is easy")
    intro = later("""<p>A block with a shortcut that adds nothing hands on what it is given: F(x) = 0 is
enough. Without a shortcut the two convolutions themselves have to become the identity, and that must be
learned (<a href="https://arxiv.org/abs/1512.03385" target="_blank" rel="noreferrer">He et al. 2015,
§ 3.1</a>).</p>""")

    def render(self, visit: Visit) -> str:
        return identity_html()

    def server_functions(self) -> Iterable[Callable[[Any], Json]]:
        return *super().server_functions(), self.stored

    def stored(self, request: Any) -> Json:
        """What is shown before anybody has pressed: task -> the events of one run."""
        return {task: stored_run(task) for task in TASKS}


def identity_html() -> str:
    """The panel as it is before anything was trained; its script fills it."""
    return fill(
        "panels/learn/identity.html",
        tasks=TASKS,
        rivals=RIVALS,
        defaults={"identity": IDENTITY, "growth": GROWTH},
    )
