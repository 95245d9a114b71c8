"""The figures of an evaluation, against numbers worked out elsewhere."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
from conftest import SHARED
from PIL import Image

from resnet_demo.training import evaluate
from resnet_demo.training.data import DataError
from resnet_demo.training.evaluate import labelled_photos, summarise, wilson


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
    assert evaluate.fit_temperature(logits, labels) == pytest.approx(3, rel=0.05)


@pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="the labelled photos are not beside the project")
def test_the_shipped_network_on_unsquashed_validation_photos(capsys: pytest.CaptureFixture[str]) -> None:
    import json

    shard = Path(SHARED / "data" / "native-validation.tar")
    assert evaluate.main(["--shards", str(shard)]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["n"] == 1796
    assert told["network"] == "cats-and-dogs"
    assert told["accuracy"] >= 0.88


def test_summary_of_several_classes_equals_one_counted_by_hand() -> None:
    logits = np.array([[3.0, 0, 0], [0, 2, 1], [0, 0, 1], [5, 0, 0]], np.float32)
    labels = np.array([0, 2, 2, 0])
    found = summarise(logits, labels, 2.0)
    assert found.accuracy == 0.75 and found.n == 4
    assert found.confusion.tolist() == [[2, 0, 0], [0, 0, 0], [0, 1, 1]]
    sure = np.exp(logits / 2.0).max(1) / np.exp(logits / 2.0).sum(1)
    bins = (sure * 15).astype(int)
    gaps = [abs(sure[bins == b].sum() - (logits.argmax(1) == labels)[bins == b].sum()) for b in set(bins)]
    assert found.calibration_error == pytest.approx(sum(gaps) / 4)


def test_two_logits_say_the_same_as_their_difference() -> None:
    rng = np.random.default_rng(3)
    both = rng.normal(size=(500, 2)).astype(np.float32)
    labels = rng.integers(0, 2, 500)
    two, one = summarise(both, labels, 1.3), summarise(both[:, 1] - both[:, 0], labels, 1.3)
    assert two.accuracy == one.accuracy and two.confusion.tolist() == one.confusion.tolist()
    assert two.calibration_error == pytest.approx(one.calibration_error, abs=1e-6)


def test_a_folder_a_class_for_any_classes_and_every_number_of_shards_of_others(tmp_path: Path) -> None:
    for name in ("red", "green", "blue"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (32, 32), name).save(tmp_path / name / "7.png")
    found = labelled_photos(tmp_path, (), ("blue", "green", "red"))
    assert [(p.name, p.label) for p in found] == [("blue.7", 0), ("green.7", 1), ("red.7", 2)]
    with tarfile.open(tmp_path / "all.tar.gz", "w:gz") as tar:
        for name in ("red", "green"):
            tar.add(tmp_path / name / "7.png", f"{name}.7.png")
    assert [p.label for p in labelled_photos(None, [tmp_path / "all.tar.gz"], ("green", "red"))] == [1, 0]
    with pytest.raises(DataError, match=r"red\.7\.png is not named"):
        labelled_photos(None, [tmp_path / "all.tar.gz"], ("cat", "dog"))
    with pytest.raises(DataError, match="pink/ has none"):
        labelled_photos(tmp_path, (), ("red", "pink"))
    with tarfile.open(tmp_path / "none.tar", "w"):
        pass
    with pytest.raises(DataError, match="empty"):
        labelled_photos(None, [tmp_path / "none.tar"], ("green", "red"))
