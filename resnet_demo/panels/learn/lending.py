"""Networks that visitors have just trained, as they are lent to the page."""

from __future__ import annotations

from typing import Any

from resnet_demo.i18n import Sentence, later
from resnet_demo.networks.cards import MenuEntry
from resnet_demo.panels.lending import Lending, Loan
from resnet_demo.race.records import RaceSettings
from resnet_demo.race.trained import TrainedRaces

TITLES = {
    "residual": later("with shortcuts, {blocks} blocks · yours"),
    "plain": later("without shortcuts, {blocks} blocks · yours"),
    "rezero": later("ReZero, {blocks} blocks · yours"),
    "stochastic_depth": later("stochastic depth, {blocks} blocks · yours"),
}
KNOWS = later(
    "You trained this network here, in {steps} steps from seed {seed}, on ten kinds of small pictures."
)


def lend_trained(
    lending: Lending, races: TrainedRaces, session: str | None, ticket: object, kind: str
) -> MenuEntry | None:
    """The menu's entry of a network of a race that was just trained; None if the race is not kept.

    Raises:
        ValueError: the engine takes no such networks; the message is a sentence for the visitor.
    """
    kept = races.get(ticket)
    if kept is None or kind not in kept[1]:
        return None
    settings, weights = kept

    def loan(name: str) -> Loan:
        return Loan(entry_of(name, settings, kind), loader(settings, kind, weights[kind], name))

    return lending.lend(session, (str(ticket), kind), kind, loan)


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
