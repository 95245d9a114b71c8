"""From trained states to checkpoints that the engine runs, and the commands that judge them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from resnet_demo.inference.engine import Engine
from resnet_demo.networks.cards import read_menu
from resnet_demo.networks.checkpoints import available_networks, load_checkpoint
from resnet_demo.panels.explain.early_readout import decides_html
from resnet_demo.records import Gate
from resnet_demo.training import delete_blocks, evaluate, export_cifar
from resnet_demo.training.cifar_data import CLASSES
from resnet_demo.training.export_cifar import fit_softmax_temperature
from resnet_demo.training.figures import deletion_bars
from resnet_demo.training.golden import golden_tensors
from resnet_demo.training.train_cifar import NETWORKS, CifarRecipe, train
from tests.training.test_train_cifar import write_archive


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All four networks, trained for two steps on coloured noise, in ``weights/`` beside their data."""
    folder = tmp_path_factory.mktemp("cifar")
    write_archive(folder / "cifar10-train-0.tar.gz", 140)
    write_archive(folder / "cifar10-test.tar.gz", 60)
    recipe = CifarRecipe()
    for network in NETWORKS:
        train(network, folder, folder / "work", recipe, 1)
        train(network, folder, folder / "work", recipe, 1, decay=1)
    weights = folder / "weights"
    options = ["--work", folder / "work", "--data", folder, "--until", 1, "--decay", 1, "--out", weights]
    options += ["--picture", folder / "curves.svg"]
    assert export_cifar.main([str(option) for option in options]) == 0
    return folder


def test_every_network_has_weights_card_and_golden_tensors(shipped: Path) -> None:
    weights = shipped / "weights"
    networks = available_networks(weights)
    assert set(networks) == set(NETWORKS)
    for name, path in networks.items():
        model, card = load_checkpoint(path)
        depth, shortcuts = NETWORKS[name]
        assert (card.config["depth"], card.config["shortcuts"]) == (depth, shortcuts)
        assert card.blocks == (depth - 2) // 2 and card.family == "cifar"
        assert card.n == 60 and card.interval[0] <= card.accuracy <= card.interval[1]
        assert card.details["steps"] == 2
        stored = load_file(path.with_suffix(".golden.safetensors"))
        assert len(stored) == card.blocks + 2
        assert all(torch.equal(stored[key], tensor) for key, tensor in golden_tensors(model, 16).items())
    menu = {entry.name: entry for entry in read_menu(weights)}
    assert {name: entry.blocks for name, entry in menu.items()} == {
        "resnet-20": 9,
        "resnet-56": 27,
        "plain-20": 9,
        "plain-56": 27,
    }
    assert len({entry.shown for entry in menu.values()}) == 4
    assert all(
        entry.shown.startswith(name) and str(entry.blocks) in entry.shown for name, entry in menu.items()
    )


def test_curves_are_data_and_a_picture(shipped: Path) -> None:
    told = json.loads((shipped / "weights" / export_cifar.CURVES).read_text())
    assert set(told["networks"]) == set(NETWORKS)
    for curve in told["networks"].values():
        assert curve["step"] == [1, 2]
        assert all(len(column) == 2 for column in curve.values())
        assert all(0 <= error <= 1 for key in ("train_error", "test_error") for error in curve[key])
    picture = (shipped / "curves.svg").read_text()
    assert (
        picture.startswith("<svg") and picture.count("<path") == 8 and picture.count('class="training"') == 4
    )
    assert all(name in picture for name in NETWORKS)


@pytest.mark.parametrize("name", ["resnet-56", "plain-20"])
def test_the_engine_runs_them_with_all_that_the_page_shows(shipped: Path, name: str) -> None:
    engine = Engine(available_networks(shipped / "weights"), "cpu")
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8))
    run = engine.run(photo, name)
    blocks = (NETWORKS[name][0] - 2) // 2
    assert run.classes == CLASSES and run.prediction.label in CLASSES and len(run.blocks) == blocks
    assert run.photo.shape == (32, 32, 3)
    assert run.blocks[0].shape == (16, 32, 32) and run.blocks[-1].shape == (64, 8, 8)
    for block in run.blocks:
        f, s, both = (
            stream.astype(np.float64) for stream in (block.residual, block.shortcut, block.pre_activation)
        )
        rounding = 2.0**-11 * (abs(f) + abs(s) + abs(both)) + 1e-4  # each is kept in float16
        assert (abs(f + s - both) <= rounding).all()
        assert (block.shortcut_norm > 0) == NETWORKS[name][1]
    assert [line.name for line in run.trace][:2] == ["input", "stem"] and run.trace[-1].name == "linear"
    assert len(run.trace) == blocks + 5
    # three 3x3 convolutions by the first block's end see 7 pixels; strides double what each one adds
    assert run.fields["blocks.0", "output"].size == 7
    assert run.fields["blocks.1", "output"].size == 11
    per_stage = blocks // 3
    expected = 3 + 4 * per_stage + (2 + 4) + 8 * (per_stage - 1) + (4 + 8) + 16 * (per_stage - 1)
    assert run.fields[f"blocks.{blocks - 1}", "output"].size == expected
    assert run.activation is not None
    top = float(np.max(run.prediction.logit))
    assert run.activation.logit == pytest.approx(top, abs=0.05)
    again = engine.run(run.photo, name, [Gate()] * blocks)
    assert again.prediction.chances == run.prediction.chances
    assert len(run.read_outs) == blocks and set(run.contributions) == {b.name for b in run.blocks}
    for read in run.read_outs:
        assert sum(read.chances) == pytest.approx(1) and len(read.chances) == 10
    assert "decides" in decides_html(run)
    without = engine.ablation(run)
    assert without.blocks == blocks and without.label == run.prediction.label
    numbers = engine.run(photo, name, keep=())
    assert numbers.prediction.label == run.prediction.label and len(numbers.blocks) == blocks


def test_several_photos_at_once_answer_as_one_by_one_without_shortcuts_too(shipped: Path) -> None:
    engine = Engine(available_networks(shipped / "weights"), "cpu")
    rng = np.random.default_rng(1)
    photos = [rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(3)]
    for run, photo in zip(engine.run(photos, "plain-20"), photos, strict=True):
        alone = engine.run(photo, "plain-20")
        assert run.prediction.chances == pytest.approx(alone.prediction.chances, abs=1e-4)
        assert run.blocks[2].shortcut.shape == run.blocks[2].output.shape


def test_evaluate_and_delete_blocks_print_json_last(
    shipped: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = available_networks(shipped / "weights")
    for command in (evaluate, delete_blocks):
        monkeypatch.setattr(command, "available_networks", lambda: networks)
    shard = str(shipped / "cifar10-test.tar.gz")
    assert evaluate.main(["--network", "resnet-20", "--shards", shard]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    _, card = load_checkpoint(networks["resnet-20"])
    assert told == {"accuracy": card.accuracy, "n": 60, "network": "resnet-20"}
    assert delete_blocks.main(["--network", "plain-20", "--shards", shard, "--photos", "40"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["network"] == "plain-20" and told["n"] == 40 and len(told["errors"]) == 9
    picture = deletion_bars({"plain-20": (told["whole_error"], list(told["errors"].values()))}, "Deleted")
    assert picture.count("<rect") == 9 + 2  # the ground and the legend
    assert delete_blocks.main(["--network", "plain-20", "--data", str(shipped)]) == 1
    assert "must hold photos in airplane/" in capsys.readouterr().err


def test_the_softmax_temperature_is_found_again() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(0, 2, (20_000, 5))
    chances = np.exp(true) / np.exp(true).sum(1, keepdims=True)
    labels = np.array([rng.choice(5, p=p) for p in chances])
    assert fit_softmax_temperature((2.5 * true).astype(np.float32), labels) == pytest.approx(2.5, rel=0.05)
