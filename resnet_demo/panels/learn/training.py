"""What the panels share that train networks while the visitor watches: a place in the line, and what comes of
it.

The script of such a panel presses with ``server.press``, asks ``server.news`` a few times a second, and
draws.
"""

from __future__ import annotations

import atexit
import math
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from resnet_demo.i18n import error_of, known, later, say, speaking
from resnet_demo.panels.base import Json, Panel, Values, Visit
from resnet_demo.race.process import GONE, QueueFullError, Ticket, TrainingQueue, message_of
from resnet_demo.race.records import RaceSettings
from resnet_demo.race.trained import TrainedRaces

SETTINGS = ("blocks", "steps", "seed", "data", "norms", "networks", "rate", "task")
NOT_KEPT = later("These networks were put away to make room; press Train again.")
NO_PICTURE = later("That is no picture: {count} numbers from 0 to 1 are needed.")
NO_SETTINGS = later("That is no training: its settings cannot be read.")


@cache
def training_queue() -> TrainingQueue:
    """The one line of this process, for every page and the API."""
    found = TrainingQueue()
    atexit.register(found.close)
    return found


@cache
def trained_races() -> TrainedRaces:
    """What was trained last in this process."""
    return TrainedRaces()


def asked_for(request: Mapping[str, Any]) -> RaceSettings:
    """The settings of a request.

    Raises:
        ValueError: a sentence for the visitor.
    """
    try:
        return RaceSettings(**{name: request[name] for name in SETTINGS if name in request})
    except TypeError:  # a list where a number should be, and the like
        raise ValueError(NO_SETTINGS) from None


def keep(ticket: Ticket) -> None:
    """Keep what a ticket's race has trained, if classes were learned."""
    if ticket.weights and ticket.settings.task == "classes":
        trained_races().put(ticket.id, ticket.settings, ticket.weights)


class TrainingPanel(Panel):
    """A panel whose script trains; its drawing is the script's own."""

    def draw(self, visit: Visit) -> Values:
        training_queue().warm()  # it was opened: somebody may soon press
        return {}

    def soon(self) -> None:
        training_queue().warm()

    def server_functions(self) -> Iterable[Callable[[Any], Json]]:
        return self.press, self.news, self.stop, self.answer, self.warm

    def warm(self, request: Any) -> Json:
        """Somebody looks at the panel: a training process stays ready for the press."""
        training_queue().warm()
        return {}

    def press(self, request: Any) -> Json:
        """{"language", settings} to {"ticket"} or {"error"}."""
        with speaking(language_in(request)):
            try:
                ticket = training_queue().join(asked_for(request if isinstance(request, dict) else {}))
            except (ValueError, QueueFullError) as error:
                return {"error": error_of(error)}
            return {"ticket": ticket.id}

    def news(self, request: Any) -> Json:
        """{"language", "ticket"} to {"events"}: what has happened since the last time."""
        with speaking(language_in(request)):
            ticket = training_queue().find(ticket_in(request))
            if ticket is None:
                return {"events": [{"event": "failed", "message": say(GONE)}]}
            events = ticket.poll()
            if ticket.over:
                keep(ticket)
            return {"events": [said(event) for event in events]}

    def stop(self, request: Any) -> Json:
        """{"ticket"}: end it after the step under way."""
        ticket = training_queue().find(ticket_in(request))
        if ticket is not None:
            ticket.stop()
        return {}

    def answer(self, request: Any) -> Json:
        """{"language", "ticket", "grey"} to {"answers"}: network -> probability of every class; or
        {"error"}."""
        with speaking(language_in(request)):
            grey = request.get("grey") if isinstance(request, dict) else None
            if not (isinstance(grey, list) and len(grey) in (64, 256) and all(map(is_share, grey))):
                return {"error": say(NO_PICTURE, count=64)}
            try:
                answers = trained_races().answers(ticket_in(request), grey)
            except ValueError:
                return {"error": say(NO_PICTURE, count=64)}
            return {"error": say(NOT_KEPT)} if answers is None else {"answers": answers}


def language_in(request: Any) -> str | None:
    """The language that a request names."""
    return str(request.get("language")) if isinstance(request, dict) else None


def ticket_in(request: Any) -> object:
    """The ticket that a request names."""
    return request.get("ticket") if isinstance(request, dict) else None


def is_share(value: Any) -> bool:
    """A number from 0 to 1."""
    return isinstance(value, int | float) and math.isfinite(value) and 0 <= value <= 1


def said(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event as the page is told it: sentences in its language, nothing of the weights."""
    if event["event"] == "failed":
        return {"event": "failed", "message": say(message_of(dict(event)))}
    if event["event"] == "start":
        return {**event, "classes": [known(name) for name in event["classes"]]}
    return dict(event)
