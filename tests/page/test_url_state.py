"""An address asks for a place on the page; junk in it is passed over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resnet_demo.panels.inside_block import View

from resnet_demo.networks.cards import FIELD, MenuEntry
from resnet_demo.page.url_state import KEYS, Link, read_link
from resnet_demo.records import Gate

MENU = (MenuEntry("ours", "knows", 5), *FIELD)


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
    assert link.network == "ResNet-18"
    assert link.view == View(block=7, channels=64, order="contribution")
    assert link.gates == (Gate(1, 0.5), *[Gate()] * 7)
    assert link.example == "lion"
    assert link.sound == "siren"


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
    assert read_link(asked, MENU) == Link()


@given(st.dictionaries(st.sampled_from(sorted(KEYS)), st.text(max_size=30)))
def test_no_address_breaks_it(asked: dict[str, str]) -> None:
    link = read_link(asked, MENU)
    assert 0 <= link.view.block < 8 or link.network
    assert read_link(asked, ()) is not None
