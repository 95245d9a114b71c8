"""The score beside the answer: stored with the weights, taken of a run, fitted on frozen features."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import draw_photo, lively
from sklearn.metrics import roc_auc_score

from resnet_demo.analysis.familiarity import (
    Familiarity,
    familiarity_path,
    load_familiarity,
    save_familiarity,
)
from resnet_demo.inference.engine import Engine
from resnet_demo.networks.checkpoints import Card, available_networks, save_checkpoint
from resnet_demo.networks.resnet import ResNet
from resnet_demo.records import Gate, Preprocessing
from resnet_demo.serialize import run_as_dict
from resnet_demo.training import fit_familiarity
from resnet_demo.training.fit_familiarity import auroc

RNG = np.random.default_rng(0)


def checkpoint(folder: Path) -> Path:
    torch.manual_seed(0)
    model = lively(ResNet(3, widths=(4, 6)))
    card = Card("tiny", model.config, Preprocessing(32), ("cat", "dog"), knows="x")
    return save_checkpoint(model, card, folder)


def some_score(threshold: float = 0.5) -> Familiarity:
    weights = {f"blocks.{i}": RNG.normal(size=(c, 3)).astype(np.float32) for i, c in enumerate((4, 6))}
    first, last = RNG.normal(size=(2, 3)).astype(np.float32)
    return Familiarity(weights, first, last, -0.25, threshold, 0.9, 0.95, 100, 0.7, 50)


@pytest.mark.parametrize("keep", [(), ("output",), ("residual", "shortcut", "pre_activation", "output")])
def test_a_run_tells_its_score_whatever_streams_are_kept(tmp_path: Path, keep: tuple[str, ...]) -> None:
    path, score = checkpoint(tmp_path), some_score()
    assert save_familiarity(score, path) == familiarity_path(path)
    assert list(available_networks(tmp_path)) == ["tiny"]  # the score is not taken for a network
    engine = Engine({"tiny": path}, "cpu")
    whole = engine.run(draw_photo(1))
    means = {b.name: b.output.astype(np.float64).mean((1, 2)) for b in whole.blocks}
    hidden = score.first + sum(mean @ score.weights[name] for name, mean in means.items())
    total = score.bias + sum(last * max(unit, 0) for last, unit in zip(score.last, hidden, strict=True))
    run = engine.run(draw_photo(1), keep=keep)
    assert run.familiarity == pytest.approx(1 / (1 + np.exp(-total)), abs=1e-4)
    assert run.familiar is (run.familiarity >= score.threshold)
    told = json.loads(json.dumps(run_as_dict(run)))
    assert (told["familiar"], told["familiarity"]) == (run.familiar, run.familiarity)


def test_the_threshold_decides_and_a_held_back_branch_gives_no_score(tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    for threshold, familiar in ((0.0, True), (1.0, False)):
        save_familiarity(some_score(threshold), path)
        run = Engine({"tiny": path}, "cpu").run(draw_photo(1))
        assert run.familiar is familiar
    held = Engine({"tiny": path}, "cpu").run(draw_photo(1), gates=[Gate(residual=0), Gate()])
    assert (held.familiar, held.familiarity) == (None, None)


def test_a_network_without_a_score_says_nothing(tmp_path: Path) -> None:
    run = Engine({"tiny": checkpoint(tmp_path)}, "cpu").run(draw_photo(1))
    assert (run.familiar, run.familiarity) == (None, None)
    assert not {"familiar", "familiarity"} & set(run_as_dict(run))


@pytest.mark.parametrize(
    "payload",
    [b"", b"1234567", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0{}", b"\x02\0\0\0\0\0\0\0[]", b"\0" * 2_000_000],
)
def test_a_damaged_file_is_left_out(tmp_path: Path, payload: bytes) -> None:
    path = checkpoint(tmp_path)
    familiarity_path(path).write_bytes(payload)
    assert load_familiarity(path) is None
    save_familiarity(some_score(), path)
    whole = familiarity_path(path).read_bytes()
    for cut in range(0, len(whole), 37):
        familiarity_path(path).write_bytes(whole[:cut])
        assert load_familiarity(path) is None


def test_weights_of_another_width_or_not_finite_give_no_score(tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    blocks = Engine({"tiny": path}, "cpu").run(draw_photo(1)).blocks
    good = some_score()
    assert good.score(blocks) is not None
    assert replace(good, weights={"blocks.0": np.ones((9, 3), np.float32)}).score(blocks) is None
    for damaged in (
        replace(good, weights={"blocks.0": np.full((4, 3), np.nan, np.float32)}),
        replace(good, weights={"blocks.0": np.ones(4, np.float32)}),
        replace(good, weights={"blocks.0": np.ones((4, 2), np.float32)}),
        replace(good, weights={}),
        replace(good, first=np.ones(2, np.float32)),
        replace(good, last=np.array([1, np.inf, 1], np.float32)),
        replace(good, bias=float("nan")),
        replace(good, threshold=1.5),
    ):
        save_familiarity(damaged, path)
        assert load_familiarity(path) is None


def test_auroc_is_that_of_scikit_learn_with_ties() -> None:
    own, others = RNG.integers(0, 9, 200) + 2, RNG.integers(0, 9, 300)
    expected = roc_auc_score(np.repeat([1, 0], [200, 300]), np.concatenate([own, others]))
    assert auroc(own.astype(float), others.astype(float)) == pytest.approx(expected)


def shard(path: Path, photos: dict[str, int]) -> Path:
    """A tar of photos: name -> a shade that they all share."""
    with tarfile.open(path, "w") as tar:
        for i, (name, grey) in enumerate(photos.items()):
            buffer = io.BytesIO()
            draw_photo(i, 40, 40).point(lambda v, g=grey: v // 4 + g * 3 // 4).save(buffer, "PNG")
            member = tarfile.TarInfo(f"{name}.png")
            member.size = buffer.tell()
            buffer.seek(0)
            tar.addfile(member, buffer)
    return path


def test_the_command_fits_judges_and_stores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = {f"{kind}.{n}": 60 for kind in ("cat", "dog") for n in [*range(12), *range(10_000, 10_008)]}
    mine = shard(tmp_path / "own.tar", own)
    others = shard(tmp_path / "others.tar", {f"neither.{n}": 220 for n in range(20)})
    with (tmp_path / "others.tsv").open("w", newline="") as file:
        table = csv.writer(file, delimiter="\t")
        table.writerow(["member", "split"])
        table.writerows((f"neither.{n}.png", "train" if n < 12 else "validation") for n in range(20))
    path = checkpoint(tmp_path)
    monkeypatch.setattr(fit_familiarity, "available_networks", lambda _folder: {"tiny": path})
    assert fit_familiarity.main(["--shards", str(mine), "--others", str(others)]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["file"] == familiarity_path(path).name
    assert told["auroc"] == told["recognised"] == 1.0  # dark or bright is easy
    assert (told["n_kept"], told["n_others"]) == (8, 8)
    engine = Engine({"tiny": path}, "cpu")
    dark, bright = (
        engine.run(draw_photo(5, 40, 40).point(lambda v, g=g: v // 4 + g * 3 // 4)) for g in (60, 220)
    )
    assert bright.familiar is False
    assert dark.familiarity is not None and bright.familiarity is not None
    assert dark.familiarity > bright.familiarity

    (tmp_path / "others.tsv").unlink()
    assert fit_familiarity.main(["--shards", str(mine), "--others", str(others)]) == 1
    assert "others.tsv" in capsys.readouterr().err
