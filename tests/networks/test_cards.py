"""The menu is read from cards alone, agrees with what can be loaded, and survives junk."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from resnet_demo.networks.cards import WEIGHTS, CheckpointError, MenuEntry, read_menu
from resnet_demo.networks.checkpoints import Card, available_networks, load_checkpoint
from resnet_demo.networks.resnet import ResNetConfig
from resnet_demo.records import Preprocessing


def put(folder: Path, stem: str, **changes: object) -> Path:
    """A card and an empty checkpoint beside it: the menu reads the card alone."""
    card = Card(
        "net", ResNetConfig(widths=(4, 8, 16)), Preprocessing(), ("cat", "dog"), knows="Knows é & <cats>."
    )
    (folder / f"{stem}.json").write_text(json.dumps(json.loads(card.to_json()) | changes), encoding="utf-8")
    checkpoint = folder / f"{stem}.safetensors"
    checkpoint.write_bytes(b"")
    return checkpoint


def test_entries_say_what_the_cards_say_in_the_order_of_the_files(tmp_path: Path) -> None:
    put(tmp_path, "zebra-00000000", network="zebra")
    put(tmp_path, "ape-11111111", network="ape", config={"widths": [4]})
    assert read_menu(tmp_path) == (
        MenuEntry("ape", "Knows é & <cats>.", 1),
        MenuEntry("zebra", "Knows é & <cats>.", 3),
    )


def test_the_menu_and_the_engine_offer_the_same(tmp_path: Path) -> None:
    for stem in ("a-00000000", "b-11111111", "c-22222222"):
        put(tmp_path, stem, network=stem[0])
    assert [entry.name for entry in read_menu(tmp_path)] == list(available_networks(tmp_path)) == list("abc")


def test_the_networks_that_ship_are_on_the_menu() -> None:
    entries = read_menu()
    if not entries:
        pytest.skip("weights/ holds no network")
    assert [entry.name for entry in entries] == list(available_networks(WEIGHTS))
    for entry in entries:
        assert entry.blocks >= 1
        assert entry.knows.endswith(".")


@pytest.mark.parametrize(
    "card",
    [
        b"",
        b"{",
        b"null",
        b"5",
        b"[]",
        b"[" * 100_000,
        b"\xff\xfe",
        b"{}",
        b'{"network": "n", "knows": ""}',
        b'{"network": "n", "knows": "", "config": null}',
        b'{"network": "n", "knows": "", "config": {"widths": 5}}',
    ],
)
def test_an_unreadable_card_is_passed_over(tmp_path: Path, card: bytes) -> None:
    put(tmp_path, "good-00000000", network="good")
    put(tmp_path, "bad-11111111").with_suffix(".json").write_bytes(card)
    assert [entry.name for entry in read_menu(tmp_path)] == ["good"]


# each in an otherwise good card; at least one of these was taken, or made the start never end
IMPOSSIBLE: list[dict[str, object]] = [
    *({"preprocessing": {"size": size}} for size in (0, -1, 1, 10**5, 10**30, 180.5, "180", None, True)),
    *(
        {"preprocessing": {"std": std}}
        for std in ([0, 1, 1], [-1, 1, 1], [1e400, 1, 1], [], [1], [1] * 20_000)
    ),
    *({"preprocessing": {"mean": mean}} for mean in (["a", 0, 0], None, [0, 0])),
    *({"preprocessing": {"crop_share": share}} for share in (0, -1, 2, "all")),
    *(
        {"config": {"widths": widths}}
        for widths in ([], [0], [-4], [4] * 20_000, [10**9], "444", [4.5], None)
    ),
    {"classes": []},
    {"temperature": 0},
]


@pytest.mark.parametrize("changes", IMPOSSIBLE, ids=[str(changes)[:50] for changes in IMPOSSIBLE])
def test_a_card_that_says_the_impossible_is_refused_in_a_sentence_at_once(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    put(tmp_path, "good-00000000", network="good")
    card = json.loads(put(tmp_path, "bad-11111111").with_suffix(".json").read_text(encoding="utf-8"))
    for key, value in changes.items():
        card[key] = {**card[key], **value} if isinstance(value, dict) else value
    (tmp_path / "bad-11111111.json").write_text(json.dumps(card), encoding="utf-8")
    started = time.perf_counter()
    names = [entry.name for entry in read_menu(tmp_path)]
    assert names in (["good"], ["net", "good"])
    with pytest.raises(CheckpointError, match=r"^bad-11111111\.(json|safetensors) .*\.$"):
        load_checkpoint(tmp_path / "bad-11111111.safetensors")
    assert time.perf_counter() - started < 5


def test_what_is_no_checkpoint_with_a_card_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path, "good-00000000", network="good")
    put(tmp_path, "golden")  # no hash in its name
    put(tmp_path, "gone-22222222").unlink()  # a card whose checkpoint is gone
    (tmp_path / "bare-33333333.safetensors").write_bytes(b"")  # a checkpoint without a card
    put(tmp_path, "dir-44444444").with_suffix(".json").unlink()
    (tmp_path / "dir-44444444.json").mkdir()
    (tmp_path / "half-55555555.safetensors.partial").write_bytes(b"")
    assert [entry.name for entry in read_menu(tmp_path)] == ["good"]


def test_an_absent_or_empty_folder_gives_an_empty_menu(tmp_path: Path) -> None:
    assert read_menu(tmp_path) == ()
    assert read_menu(tmp_path / "nowhere") == ()
