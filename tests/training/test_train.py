"""Training: data from folders and shards, views, recipe, and a stop that leaves no trace."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("accelerate")

from resnet_demo.inference.engine import Engine
from resnet_demo.inputs.photo_decoding import open_photo
from resnet_demo.networks.checkpoints import load_checkpoint
from resnet_demo.networks.resnet import ResNet
from resnet_demo.records import Preprocessing
from resnet_demo.training import evaluate, loop, train
from resnet_demo.training.augment import augment
from resnet_demo.training.data import DataError, Labelled, from_folder, from_shards, load_photos, without
from resnet_demo.training.loop import Recipe

TINY = Recipe(stages=((32, 2), (40, 1)), batch=8, warmup=0.5)


def encoded(label: int, seed: int) -> bytes:
    """Cats are dark here and dogs are bright."""
    rng = np.random.default_rng(seed * 2 + label)
    pixels = np.clip(rng.normal(60 + 130 * label, 30, (48, 60, 3)), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def photos(count: int, first: int = 0) -> list[Labelled]:
    names = ("cat", "dog")
    return [Labelled(f"{names[i % 2]}.{first + i}", i % 2, encoded(i % 2, first + i)) for i in range(count)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for photo in photos(24):
        path = tmp_path / "set" / photo.name.split(".")[0] / f"{photo.number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert isinstance(photo.data, bytes)
        path.write_bytes(photo.data)
    return tmp_path / "set"


def test_folders_and_shards_give_the_same_photos(folder: Path, tmp_path: Path) -> None:
    shard = tmp_path / "a.tar"
    with tarfile.open(shard, "w") as tar:
        for photo in photos(24):
            assert isinstance(photo.data, bytes)
            member = tarfile.TarInfo(photo.name + ".png")
            member.size = len(photo.data)
            tar.addfile(member, io.BytesIO(photo.data))
    one = {p.name: (p.label, p.number) for p in from_folder(folder)}
    other = {p.name: (p.label, p.number) for p in from_shards([shard])}
    assert one == other
    assert len(one) == 24


def test_what_is_wrong_with_the_data_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="dog/ has none"):
        (folder / "dog").rename(folder / "wolf")
        list(from_folder(folder))
    with pytest.raises(DataError, match="not a readable tar"):
        list(from_shards([tmp_path / "missing.tar"]))
    with tarfile.open(tmp_path / "b.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("bird.1.png"), io.BytesIO())
    with pytest.raises(DataError, match="bird"):
        list(from_shards([tmp_path / "b.tar"]))


def test_suspects_and_crossing_pairs_are_left_out_of_training_only(tmp_path: Path) -> None:
    (tmp_path / "suspects.txt").write_text("cat.1\ncat.10001\n")
    (tmp_path / "near_duplicates.tsv").write_text("cat.2\tcat.10002\ncat.3\tcat.4\ncat.10005\tcat.10006\n")
    names = [f"cat.{n}" for n in (1, 2, 3, 4, 10001, 10002, 10005, 10006)]
    kept = [p.name for p in without((Labelled(n, 0, b"") for n in names), tmp_path)]
    assert kept == ["cat.3", "cat.4", "cat.10001", "cat.10002", "cat.10005", "cat.10006"]


def test_the_split_is_by_number_or_every_tenth() -> None:
    both = photos(4) + photos(4, 10_000)
    training, validation = train.split(both)
    assert {p.number for p in training} == {0, 1, 2, 3}
    assert all(p.number >= 10_000 for p in validation)
    training, validation = train.split(photos(20))
    assert (len(training), len(validation)) == (18, 2)
    assert not {p.name for p in training} & {p.name for p in validation}


def test_photos_that_cannot_be_opened_are_counted_and_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    mixed = [*photos(3), Labelled("cat.9", 0, b"garbage")]
    pixels, labels = load_photos(mixed, Preprocessing(32))
    assert pixels.shape == (3, 32, 32, 3)
    assert labels.tolist() == [0, 1, 0]
    assert "1 of 4" in capsys.readouterr().out


def test_views_are_random_reproducible_and_normalised() -> None:
    pixels = torch.randint(
        0, 256, (6, 3, 40, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    card = Preprocessing()

    def views(seed: int) -> torch.Tensor:
        return augment(pixels, 32, card, torch.Generator().manual_seed(seed))

    first = views(1)
    assert first.shape == (6, 3, 32, 32)
    assert first.dtype == torch.float32
    assert torch.equal(first, views(1))
    assert not torch.equal(first, views(2))
    low, high = (
        (v - m) / s
        for v, m, s in zip((0, 1), (max(card.mean), min(card.mean)), (min(card.std),) * 2, strict=True)
    )
    assert first.min() >= low - 1e-4
    assert first.max() <= high + 1e-4


def test_the_learning_rate_warms_up_and_ends_at_zero() -> None:
    recipe = Recipe(stages=((64, 4),), peak=1.0, warmup=1.0)
    rates = [recipe.learning_rate(e) for e in (0, 0.5, 1, 2, 3, 4)]
    assert rates[0] < 0.02
    assert rates[0] < rates[1] < rates[2]
    assert rates[2] > rates[3] > rates[4] > rates[5]
    assert rates[5] == pytest.approx(0, abs=1e-12)
    assert [TINY.stage(e) for e in range(3)] == [32, 32, 40]


def test_norms_and_biases_are_spared_from_decay() -> None:
    model = ResNet(3, widths=(4, 8))
    decayed, spared = loop.optimiser(model, Recipe(decay=0.1)).param_groups
    names = {id(p): name for name, p in model.named_parameters()}
    assert spared["weight_decay"] == 0
    assert decayed["weight_decay"] == 0.1
    assert all(names[id(p)].endswith("weight") and ".bn" not in names[id(p)] for p in decayed["params"])
    assert len(decayed["params"]) + len(spared["params"]) == len(names)


def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train a small network, so that the tests are quick."""
    real = train.ResNetConfig
    monkeypatch.setattr(train, "ResNetConfig", lambda **kw: real(widths=(8, 16), **kw))


def test_stopped_and_resumed_equals_unbroken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch)
    data = photos(40), photos(8, 10_000)
    unbroken, history = train.train(*data, TINY, tmp_path / "a")
    for _ in range(3):  # one epoch a time: a new process would do the same
        resumed, pieces = train.train(*data, TINY, tmp_path / "b", minutes=0)
    assert len(history) == len(pieces) == 3
    assert [h["loss"] for h in history] == [p["loss"] for p in pieces]
    for key, value in unbroken.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key
    with pytest.raises(DataError, match="another recipe"):
        train.train(*data, replace(TINY, peak=1e-3), tmp_path / "b")
    with pytest.raises(DataError, match="needs photos"):
        train.train([], photos(2), TINY, tmp_path / "c")


def test_the_commands_train_export_and_evaluate_as_the_page_answers(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small(monkeypatch)
    out = tmp_path / "weights"
    arguments = [
        "--data",
        str(folder),
        "--stages",
        "32:6",
        "--checkpoints",
        str(tmp_path / "run"),
        "--out",
        str(out),
    ]
    assert train.main([*arguments, "--name", "dark-bright"]) == 0
    (path,) = out.glob("dark-bright-*.safetensors")
    _, card = load_checkpoint(path)
    assert card.details["recipe"]["stages"] == [[32, 6]]
    assert (out / "golden.safetensors").exists()

    monkeypatch.setattr(evaluate, "available_networks", lambda: {"dark-bright": path})
    capsys.readouterr()
    assert evaluate.main(["--data", str(folder)]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["n"], told["network"]) == (24, "dark-bright")

    engine = Engine({"dark-bright": path}, "cpu")
    right = 0
    for file in sorted(folder.rglob("*.png")):
        right += engine.run(open_photo(file)).prediction.label == file.parent.name
    assert told["accuracy"] == pytest.approx(right / 24)


def test_the_commands_say_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["--data", str(tmp_path)]) == 1
    assert "must hold photos" in capsys.readouterr().err
    assert evaluate.main(["--data", str(tmp_path), "--network", str(tmp_path / "no.safetensors")]) == 1
    assert "missing" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        train.main(["--data", str(tmp_path), "--stages", "64"])
    assert "side:epochs" in capsys.readouterr().err


def test_a_second_cycle_starts_from_the_weights_of_the_first(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(monkeypatch)
    given = ["--data", str(folder), "--stages", "32:2"]
    assert (
        train.main(
            [*given, "--checkpoints", str(tmp_path / "1"), "--out", str(tmp_path / "a"), "--name", "first"]
        )
        == 0
    )
    (first,) = (tmp_path / "a").glob("first-*.safetensors")
    second = [
        *given,
        "--start",
        str(first),
        "--checkpoints",
        str(tmp_path / "2"),
        "--out",
        str(tmp_path / "b"),
    ]
    assert train.main(second) == 0
    (path,) = (tmp_path / "b").glob("cats-and-dogs-*.safetensors")
    begun, ended = load_checkpoint(first)[1], load_checkpoint(path)[1]
    assert ended.details["recipe"]["start"] == begun.sha256
    assert ended.details["history"][0]["loss"] < begun.details["history"][0]["loss"]
    assert train.main([*given, "--start", str(tmp_path / "none.safetensors"), "--out", str(tmp_path)]) == 1


def test_shortcuts_computed_as_products_give_the_same_outputs_and_gradients() -> None:
    torch.manual_seed(0)
    model, other = ResNet(3, widths=(4, 8), dropout=0.0), ResNet(3, widths=(4, 8), dropout=0.0)
    other.load_state_dict(model.state_dict())
    loop.shortcuts_as_products(other)
    x = torch.randn(2, 3, 33, 31)
    for network in (model, other):
        network(x).sum().backward()
    assert list(model.state_dict()) == list(other.state_dict())
    torch.testing.assert_close(model(x), other(x))
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
