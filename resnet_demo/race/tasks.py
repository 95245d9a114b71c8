"""The race of each task, whole."""

from __future__ import annotations

from collections.abc import Callable

from resnet_demo.race.growth import GrowthRace
from resnet_demo.race.identity import IdentityRace
from resnet_demo.race.loop import Race
from resnet_demo.race.records import RaceSettings, RaceState


def race_for(settings: RaceSettings) -> Race:
    """The race of the settings' task."""
    if settings.task == "identity":
        return IdentityRace(settings)
    if settings.task == "growth":
        return GrowthRace(settings)
    return Race(settings)


def run(settings: RaceSettings, told: Callable[[RaceState], None] = lambda state: None) -> Race:
    """A whole race; ``told`` hears of every step."""
    race = race_for(settings)
    for state in race.states():
        told(state)
    return race


def warm_up() -> None:
    """Two steps of a small race: what torch sets up on first use is then there."""
    for _ in Race(RaceSettings(blocks=2, steps=2)).states():
        pass
