"""The table of ten seeds in the document is what is stored, and what the page says is in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_demo.panels.learn.race import spread
from resnet_demo.race.seeds import DEPTHS, KINDS, SEEDS, accuracies, ten_seeds, wins

DOCUMENT = Path(__file__).resolve().parents[2] / "resnet_demo" / "race" / "README.md"


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_document_has_the_stored_figures(depth: int) -> None:
    with_shortcuts, without = (spread(accuracies(depth, kind)) for kind in KINDS)
    row = f"| {depth} | {wins(depth)} of {len(SEEDS)} | {with_shortcuts} | {without} |"
    assert row in DOCUMENT.read_text(encoding="utf-8")


def test_every_seed_is_there_and_the_winner_won_each_time() -> None:
    for depth in DEPTHS:
        runs = ten_seeds()[str(depth)]
        assert all(set(runs[kind]) == {str(seed) for seed in SEEDS} for kind in KINDS)
        better = [a > b for a, b in zip(*(accuracies(depth, kind) for kind in KINDS), strict=True)]
        assert sum(better) == wins(depth)


def test_a_stored_race_is_run_again() -> None:
    from resnet_demo.race.seeds import one

    again, stored = one(5, "residual", 3), ten_seeds()["5"]["residual"]["3"]
    # another machine rounds otherwise, and training makes much of it
    assert again["loss"][:5] == pytest.approx(stored["loss"][:5], rel=0.02)
    assert again["test_accuracy"] == pytest.approx(stored["test_accuracy"], abs=0.08)
