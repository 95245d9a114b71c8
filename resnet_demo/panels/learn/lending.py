"""Networks that visitors have just trained, lent to the page while their tab is open."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from resnet_demo.i18n import Sentence, later
from resnet_demo.networks.cards import MenuEntry
from resnet_demo.race.records import RaceSettings
from resnet_demo.race.trained import TrainedRaces

if TYPE_CHECKING:
    from resnet_demo.panels.page import Page

EACH = 4  # networks of one visitor
MOST = 32  # of all
TITLES = {
    "residual": later("with shortcuts, {blocks} blocks · yours"),
    "plain": later("without shortcuts, {blocks} blocks · yours"),
    "rezero": later("ReZero, {blocks} blocks · yours"),
    "stochastic_depth": later("stochastic depth, {blocks} blocks · yours"),
}
KNOWS = later(
    "You trained this network here, in {steps} steps from seed {seed}, on ten kinds of small pictures."
)
ELSEWHERE = later("The networks of this page run on other machines; what is trained here cannot go there.")


class Lending:
    """Who has lent which networks; the oldest go when there are too many."""

    def __init__(self, page: Page, races: TrainedRaces) -> None:
        self.page = page
        self.races = races
        self._lock = threading.Lock()
        self._lent: OrderedDict[str, str | None] = OrderedDict()  # name -> session, the oldest first
        self._names: dict[tuple[object, str], str] = {}  # ticket and kind -> name

    def lend(self, session: str | None, ticket: object, kind: str) -> MenuEntry | None:
        """The menu's entry of a network of a race that was just trained; None if the race is not kept.

        Raises:
            ValueError: the engine takes no such networks; the message is a sentence for the visitor.
        """
        kept = self.races.get(ticket)
        if kept is None or kind not in kept[1]:
            return None
        engine: Any = self.page.engine.get()
        if not hasattr(engine, "lend"):
            raise ValueError(ELSEWHERE)
        with self._lock:
            name = self._names.get((ticket, kind))
            if name is not None and self._lent.get(name) == session:
                return self.page.guests[name]
            name = f"yours-{kind}-{secrets.token_urlsafe(9)}"
            self._names[ticket, kind] = name
            self._lent[name] = session
            self.page.guests[name] = entry_of(name, kept[0], kind)
            engine.lend(name, loader(kept[0], kind, kept[1][kind], name))
            own = [other for other, of in self._lent.items() if of == session]
            for other in [*own[:-EACH], *list(self._lent)[:-MOST]]:
                self._take_back(other)
            return self.page.guests[name]

    def of(self, session: str | None) -> list[MenuEntry]:
        """What a visitor has on the menu besides the others' networks."""
        with self._lock:
            return [self.page.guests[name] for name, of in self._lent.items() if of == session]

    def leave(self, session: str | None) -> None:
        """The tab was closed."""
        with self._lock:
            for name in [name for name, of in self._lent.items() if of == session]:
                self._take_back(name)

    def _take_back(self, name: str) -> None:
        if self._lent.pop(name, self) is self:
            return
        self.page.guests.pop(name, None)
        self._names = {key: value for key, value in self._names.items() if value != name}
        engine: Any = self.page.engine.get()
        engine.take_back(name)


def entry_of(name: str, settings: RaceSettings, kind: str) -> MenuEntry:
    """How a network stands on its visitor's menu."""
    title = later(TITLES[kind].pattern, blocks=settings.blocks)
    knows: Sentence = later(KNOWS.pattern, steps=settings.steps, seed=settings.seed)
    return MenuEntry(name, knows, settings.blocks, title)


def loader(settings: RaceSettings, kind: str, weights: bytes, name: str) -> Any:
    """What builds the network, when the engine first needs it."""

    def load() -> Any:
        from resnet_demo.race.grown import grown

        return grown(settings, kind, weights, name)

    return load
