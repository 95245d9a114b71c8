"""The figures of an evaluation, against numbers worked out elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import SHARED

from resnet_demo.training import evaluate
from resnet_demo.training.evaluate import summarise, wilson


def test_wilson_interval() -> None:
    assert wilson(9, 10) == pytest.approx((0.5958, 0.9821), abs=1e-3)
    assert wilson(0, 20)[0] == 0
    assert wilson(20, 20)[1] == 1
    assert wilson(0, 0) == (0, 1)


def test_summary_of_a_hand_made_case() -> None:
    logits = np.array([2.0, -1.0, 3.0, -2.0, 0.5], np.float32)
    labels = np.array([1, 0, 0, 0, 1])
    found = summarise(logits, labels)
    assert found.accuracy == 0.8
    assert found.n == 5
    assert found.confusion.tolist() == [[2, 1], [0, 2]]


def test_calibration_error_is_small_only_at_the_right_temperature() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(0, 2, 40_000)
    labels = (rng.random(40_000) < 1 / (1 + np.exp(-true))).astype(np.int64)
    logits = (3 * true).astype(np.float32)  # three times too sure
    assert summarise(logits, labels, 3.0).calibration_error < 0.01
    assert summarise(logits, labels, 1.0).calibration_error > 0.05
    pytest.importorskip("accelerate")
    from resnet_demo.training.train import fit_temperature

    assert fit_temperature(logits, labels) == pytest.approx(3, rel=0.05)


@pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="the labelled photos are not beside the project")
def test_the_shipped_network_on_unsquashed_validation_photos(capsys: pytest.CaptureFixture[str]) -> None:
    import json

    shard = Path(SHARED / "data" / "native-validation.tar")
    assert evaluate.main(["--shards", str(shard)]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["n"] == 1796
    assert told["network"] == "cats-and-dogs"
    assert told["accuracy"] >= 0.88
