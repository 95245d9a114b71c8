"""Networks that were made on the page, lent to all of its panels while their visitor's tab is open."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import later
from resnet_demo.networks.cards import MenuEntry

if TYPE_CHECKING:
    from resnet_demo.panels.page import Page

EACH = 4  # networks of one visitor
MOST = 32  # of all
ELSEWHERE = later("The networks of this page run on other machines; what is trained here cannot go there.")


@dataclass(frozen=True)
class Loan:
    """A network as it is lent.

    Attributes:
        entry: how it stands on its visitor's menu.
        load: what builds it, with its card, when the engine first needs it; a new one at every call.
        probes: block name -> its early read-out.
    """

    entry: MenuEntry
    load: Callable[[], Any]
    probes: Mapping[str, Any] = field(default_factory=dict)


class Lending:
    """Who has lent which networks; the oldest go when there are too many. Safe to use from many threads."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._lock = threading.Lock()
        self._lent: OrderedDict[str, str | None] = OrderedDict()  # name -> session, the oldest first
        self._names: dict[Hashable, str] = {}  # key -> name

    def lend(self, session: str | None, key: Hashable, kind: str, loan: Callable[[str], Loan]) -> MenuEntry:
        """The menu's entry of a network; one that this visitor has lent under the same key is not lent again.

        Args:
            kind: what its name begins with.
            loan: the network under the name that it is given.

        Raises:
            ValueError: the engine takes no such networks; the message is a sentence for the visitor.
        """
        engine: Any = self.page.engine.get()
        if not hasattr(engine, "lend"):
            raise ValueError(ELSEWHERE)
        with self._lock:
            name = self._names.get(key)
            if name is not None and self._lent.get(name) == session:
                return self.page.guests[name]
            name = f"yours-{kind}-{secrets.token_urlsafe(9)}"
            made = loan(name)
            self._names[key] = name
            self._lent[name] = session
            self.page.guests[name] = made.entry
            engine.lend(name, made.load, made.probes)
            own = [other for other, of in self._lent.items() if of == session]
            for other in [*own[:-EACH], *list(self._lent)[:-MOST]]:
                self._take_back(other)
            return self.page.guests[name]

    def of(self, session: str | None) -> list[MenuEntry]:
        """What a visitor has on the menu besides the others' networks."""
        with self._lock:
            return [self.page.guests[name] for name, of in self._lent.items() if of == session]

    def choices(self, session: str | None) -> list[tuple[str, str]]:
        """The menu of a visitor: how each network is shown, and its name."""
        return [(entry.shown, entry.name) for entry in [*self.page.menu, *self.of(session)]]

    def html(self, session: str | None) -> str:
        """How each is shown and called, for the scripts of the page."""
        return fill("panels/lent.html", entries=self.of(session))

    def leave(self, session: str | None) -> None:
        """The tab was closed."""
        with self._lock:
            for name in [name for name, of in self._lent.items() if of == session]:
                self._take_back(name)

    def take_back(self, key: Hashable) -> None:
        """What was lent under that key is gone."""
        with self._lock:
            self._take_back(self._names.get(key, ""))

    def _take_back(self, name: str) -> None:
        if self._lent.pop(name, self) is self:
            return
        self.page.guests.pop(name, None)
        self._names = {key: value for key, value in self._names.items() if value != name}
        engine: Any = self.page.engine.get()
        engine.take_back(name)
