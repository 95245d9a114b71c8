"""A place on the page as part of its address, so that a lesson can link to "block 3, shortcut off".

``?network=ResNet-50&block=3&panel=off&channels=16&order=mean&channel=12&gates=1-1_1-0&example=lion``:
``url_state.js`` writes it, and opens the panel and lights the channel; this room reads the rest.
A photo or a recording is never part of an address, only the name of an example.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args

from resnet_demo.drawing.feature_maps import Order
from resnet_demo.inputs.photo_examples import EXAMPLES
from resnet_demo.inputs.synthetic_sounds import EXAMPLES as SOUNDS
from resnet_demo.networks.cards import MenuEntry
from resnet_demo.panels.inside_block import View
from resnet_demo.records import Gate

KEYS = {"network", "block", "channels", "order", "gates", "example", "sound"}  # what the server restores
CHANNELS = (4, 16, 64)
ORDERS = (*get_args(Order), "contribution")


@dataclass(frozen=True)
class Link:
    """What an address asks for; everything it does not name, or names wrongly, is as on a fresh page.

    Attributes:
        network: a name on the menu, or None for the default.
        view: how the chosen block is drawn.
        gates: one a block, or empty for all open.
        example: the photo to begin with, or None.
        sound: the example sound to begin with, or None.
    """

    network: str | None = None
    view: View = View()  # noqa: RUF009 - frozen
    gates: tuple[Gate, ...] = ()
    example: str | None = None
    sound: str | None = None


def read_link(asked: Mapping[str, str], menu: Sequence[MenuEntry]) -> Link:
    """The link that the parameters of an address make; junk in them is passed over."""
    entry = next((e for e in menu if asked.get("network") == e.name), None)
    blocks = (entry or menu[0]).blocks if menu else 1
    view = View()
    block, channels, order = (asked.get(key, "") for key in ("block", "channels", "order"))
    if block.isdecimal() and 1 <= int(block[:6]) <= blocks:
        view = replace(view, block=int(block) - 1)
    if channels in map(str, CHANNELS):
        view = replace(view, channels=int(channels))
    if order in ORDERS:
        view = replace(view, order=order)  # type: ignore[arg-type]
    example, sound = asked.get("example"), asked.get("sound")
    return Link(
        network=entry.name if entry else None,
        view=view,
        gates=_gates(asked.get("gates", ""), blocks),
        example=example if example in EXAMPLES else None,
        sound=sound if sound in SOUNDS else None,
    )


def _gates(text: str, blocks: int) -> tuple[Gate, ...]:
    """ "1-1_0.5-0" as two gates; none unless there is a pair of numbers in 0..1 for every block."""
    try:
        gates = tuple(
            Gate(float(residual), float(shortcut))
            for residual, shortcut in (pair.split("-") for pair in text.split("_")[: blocks + 1])
        )
    except ValueError:
        return ()
    return gates if len(gates) == blocks and not all(gate.open for gate in gates) else ()
