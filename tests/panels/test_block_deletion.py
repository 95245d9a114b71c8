"""Veit's experiment as it is stored by the command and shown by the page."""

from __future__ import annotations

import json
import re
import shutil
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_demo.networks.cards import WEIGHTS, available_networks
from resnet_demo.networks.stored_deletions import StoredDeletions, deletions_path, read_deletions
from resnet_demo.panels.cut.block_deletion import deletion_html, sentence, stored_deletions
from resnet_demo.training import delete_blocks

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def test_the_command_stores_what_the_page_reads(tmp_path: Path) -> None:
    shipped = available_networks()["plain-20"]
    for path in shipped.parent.glob(f"{shipped.stem}.*"):
        shutil.copy(path, tmp_path / path.name)
    checkpoint = tmp_path / shipped.name
    deletions_path(checkpoint).unlink(missing_ok=True)
    rng = np.random.default_rng(0)
    for name in CLASSES:
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(
                tmp_path / "photos" / name / f"{i}.png"
            )
    assert read_deletions(checkpoint) is None
    arguments = ["--network", str(checkpoint), "--data", str(tmp_path / "photos"), "--store"]
    assert delete_blocks.main([*arguments, "--picture", str(tmp_path / "bars.svg")]) == 0
    found = read_deletions(checkpoint)
    assert found is not None
    assert (found.network, found.n, len(found.errors)) == ("plain-20", 30, 9)
    assert "JPEG copies" in found.data
    twin = read_deletions(available_networks()["resnet-20"])
    drawn = 2 if twin is not None else 1  # networks: each has nine bars and a key
    assert (tmp_path / "bars.svg").read_text().count("<rect") == 1 + drawn * 10


def test_what_was_found_is_said_in_numbers() -> None:
    said = sentence(StoredDeletions("resnet-8", 2000, 0.2, (0.6, 0.25, 0.21)))
    assert "resnet-8: 20.0 % of 2,000 test pictures wrong as it is" in said
    assert (
        "one of its 3 blocks 25.0 % in the median, 21.0 % at best and 60.0 % at worst, without block 1"
        in said
    )


def test_one_that_was_not_measured_is_named_and_the_others_are_shown() -> None:
    found = {"resnet-20": StoredDeletions("resnet-20", 10, 0.1, (0.2,) * 9), "plain-20": None}
    html = deletion_html(found, ["resnet-20"])
    assert "Of plain-20 this was not measured" in html and html.count("<button") == 1
    pairs = json.loads(unescape(re.findall(r'data-pairs="([^"]*)"', html)[0]))
    assert pairs == {"20": {"resnet-20": [0.1, *[0.2] * 9]}}
    assert "not measured" not in deletion_html({}, []) and "<button" not in deletion_html({}, [])


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"network": "a", "n": 5, "whole_error": 0.1, "errors": []}',
     '{"network": "a", "n": 5, "whole_error": 0.1, "errors": {"b": 7}}',
     '{"network": "a", "n": 0, "whole_error": 0.1, "errors": {"b": 0.5}}'],
)  # fmt: skip
def test_an_unfit_file_counts_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a-01234567.safetensors"
    deletions_path(path).write_text(text)
    assert read_deletions(path) is None


def test_those_that_ship_are_of_the_weights_that_ship() -> None:
    known = {deletions_path(path) for path in available_networks().values()}
    assert set(WEIGHTS.glob("*.deletions.json")) <= known  # none is left of other weights
    for name, found in stored_deletions().items():
        if found is not None:
            assert found.network == name and found.n >= 2000
            card = json.loads(available_networks()[name].with_suffix(".json").read_text())
            assert 1 - found.whole_error == pytest.approx(card["accuracy"], abs=0.03)
