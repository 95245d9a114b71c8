"""An address asks for a place on the page; junk in it is passed over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_demo.networks.cards import FIELD, MenuEntry
from resnet_demo.page.url_state import is_link, properties, read_link
from resnet_demo.records import Gate

OURS = MenuEntry("ours", "knows", 5)
LISTENS = MenuEntry("listens", "knows", 5, modality="sound")
MENU = (OURS, LISTENS, *FIELD)


def test_everything_an_address_can_ask_for() -> None:
    link = read_link(
        {
            "network": "ResNet-18",
            "block": "8",
            "channels": "64",
            "order": "contribution",
            "gates": "_".join(["1-0.5", *["1-1"] * 7]),
            "example": "lion",
            "sound": "siren",
            "panel": "off",
        },
        MENU,
    )
    assert link.network == FIELD[0]
    assert link.asked == {
        "block": 7,
        "channels": 64,
        "order": "contribution",
        "gates": (Gate(1, 0.5), *[Gate()] * 7),
        "example": "lion",
        "sound": "siren",
    }


def test_a_sound_asks_for_a_network_that_listens() -> None:
    assert read_link({"sound": "siren"}, MENU).network == LISTENS
    assert read_link({"sound": "siren"}, (OURS,)).network == OURS


def test_only_what_is_restored_makes_a_link() -> None:
    assert is_link({"network": "ours"}) and is_link({"gates": "x"})
    assert not is_link({"panel": "off", "channel": "3", "lang": "es"})


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"network": "x"},
        {"block": "6"},
        {"block": "0"},
        {"block": "-1"},
        {"block": "9" * 5000},
        {"block": "²"},
        {"channels": "5"},
        {"order": "random"},
        {"example": "/etc/passwd"},
        {"sound": "/etc/passwd"},
        {"sound": "lion"},
        {"gates": "1-1_1-1"},
        {"gates": "1-2_1-1_1-1_1-1_1-1"},
        {"gates": "nan-1_1-1_1-1_1-1_1-1"},
        {"gates": "1-1_1-1_1-1_1-1_1-1"},
        {"gates": "1_1_1_1_1"},
        {"gates": "1-0_" * 100_000},
        {"photo": "cat.jpg"},
    ],
)
def test_what_an_address_cannot_ask_for_is_passed_over(asked: dict[str, str]) -> None:
    link = read_link(asked, MENU)
    assert (link.network, link.asked) == (OURS, {})


@given(st.dictionaries(st.sampled_from([p.name for p in properties()]), st.text(max_size=30)))
def test_no_address_breaks_it(asked: dict[str, str]) -> None:
    link = read_link(asked, MENU)
    assert 0 <= link.asked.get("block", 0) < link.network.blocks
    assert read_link(asked, ()) is not None
