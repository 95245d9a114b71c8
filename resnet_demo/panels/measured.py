"""A panel whose whole drawing is a measurement of a second or more."""

from __future__ import annotations

from collections.abc import Callable

from resnet_demo.i18n import say
from resnet_demo.panels.base import Components, Panel, Values, Visit
from resnet_demo.records import Run


def waiting(sentence: str, stopped: bool) -> str:
    """What stands where nothing was measured: ``sentence``, or that it was stopped."""
    return say("Stopped. Open the panel again to go on.") if stopped else sentence


class MeasuredPanel(Panel):
    """Until a run is measured the last drawing stays; a button stops the measurement.

    A subclass says what ``empty`` and ``measured`` draw.
    """

    def controls(self) -> None:
        self.stop_here()

    def empty(self, stopped: bool) -> str:
        """Its drawing before anything was measured, or after that was stopped."""
        raise NotImplementedError

    def measured(self, run: Run, visit: Visit, progress: Callable[[float], None]) -> str:
        """Its drawing for ``run``; ``progress`` as for ``study``."""
        raise NotImplementedError

    def render(self, visit: Visit) -> str:
        return self.empty(stopped=False)

    def draw(self, visit: Visit) -> Values:
        return {} if visit.run else super().draw(visit)

    def studied(self) -> Components:
        return {self.drawing}

    def study(self, visit: Visit, progress: Callable[[float], None]) -> Values:
        return {self.drawing: self.measured(visit.run, visit, progress)} if visit.run else {}

    def stopped(self, visit: Visit) -> Values:
        return {self.drawing: self.empty(stopped=True)}
