"""A place on the page as part of its address, so that a lesson can link to "block 3, shortcut off".

``?network=ResNet-50&block=3&panel=off&channels=16&order=mean&channel=12&gates=1-1_1-0&example=lion``: each is
a ``Property``, those of the page and those of its panels. ``url_state.js`` writes them by the same list, and
opens the panel; here they are read. A photo or a recording is never part of an address, only the name of an
example.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resnet_demo.inputs.photo_examples import EXAMPLES, NONE
from resnet_demo.networks.cards import MenuEntry
from resnet_demo.panels import load_panels
from resnet_demo.panels.base import Property, one_of
from resnet_demo.panels.page import NOTHING

NETWORK = Property("network", "#network input")
EXAMPLE = Property(
    "example", "#examples [data-chosen]", "data-chosen", lambda text, _: one_of((*EXAMPLES, NONE), text)
)


@dataclass(frozen=True)
class Link:
    """What an address asks for; what it does not name, or names wrongly, is left out.

    Attributes:
        network: the one it names, else the first that takes what it names, else the default.
        asked: name of a property -> what was read.
    """

    network: MenuEntry
    asked: Mapping[str, Any]


def properties() -> list[Property]:
    """Whatever an address can name."""
    return [NETWORK, EXAMPLE, *(found for panel in load_panels() for found in panel.address)]


def is_link(query: Mapping[str, str]) -> bool:
    """Whether an address asks for anything that is restored here."""
    return any(p.name in query for p in properties() if p.read or p is NETWORK)


def read_link(query: Mapping[str, str], menu: Sequence[MenuEntry]) -> Link:
    """The link that the parameters of an address make; junk in them is passed over."""
    named = next((entry for entry in menu if entry.name == query.get("network")), None)
    first = menu[0] if menu else NOTHING
    asked = {}
    for found in properties():
        value = (
            found.read(query[found.name], (named or first).blocks)
            if found.read and found.name in query
            else None
        )
        if value is not None:
            asked[found.name] = value
    for_them = {found.network for found in properties() if found.network and found.name in asked}
    fitting = [entry for entry in menu if entry.name in for_them]
    fitting += [entry for entry in menu if entry.modality in asked]  # named as their examples
    return Link(named or next(iter(fitting), first), asked)


def example_of(link: Link) -> str | None:
    """The example that a link names, of what its network takes."""
    modality = link.network.modality
    found: str | None = link.asked.get("example" if modality == "photo" else modality)
    return found


def as_script() -> str:
    """The list of properties for the page's script."""
    listed = [
        {"name": p.name, "shown": p.shown, "attribute": p.attribute, "fromOne": p.from_one}
        for p in properties()
    ]
    return f"window.addressed = {json.dumps(listed)};"
