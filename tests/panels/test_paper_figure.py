"""The paper's figure says what the curves in the file say, whatever they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from resnet_demo.panels.learn.paper_figure import (
    CURVES,
    PaperCurves,
    figure_html,
    read_curves,
    sentences,
)


def curves(**ends: float) -> PaperCurves:
    networks = {
        name.replace("_", "-"): {"step": [10.0, 20.0], "train_error": [0.9, end], "test_error": [0.9, 0.5]}
        for name, end in ends.items()
    }
    return PaperCurves(networks, 128, 2500)


def test_the_sentences_follow_the_numbers() -> None:
    as_in_the_paper = sentences(curves(plain_20=0.2, plain_56=0.3, resnet_20=0.15, resnet_56=0.1))
    assert "plain-20 has a training error of 20.0 % and plain-56 one of 30.0 %" in as_in_the_paper[0]
    assert "worse on the very pictures" in as_in_the_paper[0] and "as in the paper" in as_in_the_paper[0]
    assert "better, as in the paper" in as_in_the_paper[1]
    other = sentences(curves(plain_20=0.3, plain_56=0.2, resnet_20=0.1, resnet_56=0.15))
    assert all("unlike in the paper" in sentence for sentence in other)
    alike = sentences(curves(plain_20=0.2, plain_56=0.202, resnet_20=0.1, resnet_56=0.102))
    assert "no worse there, unlike in the paper" in alike[0] and "no harm" in alike[1]
    assert sentences(curves(plain_20=0.2, resnet_56=0.1)) == []


def test_those_that_ship_are_shown_and_agree_with_the_cards() -> None:
    found = read_curves()
    assert found is not None
    assert found.networks.keys() == {"resnet-20", "resnet-56", "plain-20", "plain-56"}
    for name, curve in found.networks.items():
        (card,) = CURVES.parent.glob(f"{name}-????????.json")
        told = json.loads(card.read_text())
        assert curve["step"][-1] == told["details"]["steps"]
        assert curve["train_error"][-1] == pytest.approx(told["details"]["train_error"], abs=1e-4)
        # 2,500 of the 10,000 pictures that the card counts
        assert 1 - curve["test_error"][-1] == pytest.approx(told["accuracy"], abs=0.04)
    html = figure_html(found, ["resnet-56", "plain-20"])
    assert html.count("<button") == 2 and html.count("data-network=") == 4
    assert html.count("After ") == 2


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "NETWORKS {}", 'NETWORKS {"a": 3}',
     'NETWORKS {"a": {"step": [1, 2], "train_error": [1], "test_error": [1]}}',
     'NETWORKS {"a": {"step": [], "train_error": [], "test_error": []}}'],
)  # fmt: skip
def test_a_file_that_is_missing_or_unfit_is_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "curves.json"
    assert read_curves(path) is None
    whole = text.replace("NETWORKS", '{"batch": 1, "test_pictures": 1, "networks":')
    path.write_text(whole + "}" * (whole != text))
    assert read_curves(path) is None
    assert "are missing" in figure_html(None, [])


def test_names_from_the_file_are_escaped() -> None:
    html = figure_html(curves(**{"<b>x": 0.1}), [])
    assert "<b>x" not in html
