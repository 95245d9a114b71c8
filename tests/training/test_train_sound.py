"""Training of the network that listens, small enough to run here: it learns, goes on, and ships a true
card."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from resnet_demo.inference.forward import to_tensor
from resnet_demo.inputs.mel_spectrogram import BANDS, COLUMNS, mel_picture
from resnet_demo.inputs.synthetic_sounds import CLASSES, HELD_OUT, TRAINING, numbered
from resnet_demo.networks.checkpoints import load_checkpoint
from resnet_demo.training import train_sound
from resnet_demo.training.data import DataError
from resnet_demo.training.loop import Recipe
from resnet_demo.training.train_sound import SHOWN, SoundRecipe, fit_temperature, moved, pictures, train


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(train_sound, "VALIDATED", 20)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def recipe(epochs: int) -> SoundRecipe:
    return SoundRecipe(
        training=40,
        epochs=epochs,
        widths=(8, 16),
        recipe=Recipe(stages=((BANDS, epochs),), batch=20, dropout=0.0),
    )


def test_pictures_are_those_of_the_numbered_sounds_and_are_kept(tmp_path: Path) -> None:
    found, labels = pictures(22, TRAINING, (0.0, 2.0), tmp_path)
    assert found.shape == (22, BANDS, COLUMNS)
    assert labels.tolist() == [*range(10), *range(10), 0, 1]
    for i, wear in ((3, 0.0), (13, 2.0), (20, 0.0)):
        assert np.array_equal(found[i], mel_picture(numbered(i, TRAINING, wear)[0])[..., 0])
    (kept,) = tmp_path.iterdir()
    np.save(kept, found[::-1])
    assert np.array_equal(
        pictures(22, TRAINING, (0.0, 2.0), tmp_path)[0], found[::-1]
    )  # read, not made again


def test_views_are_the_page_s_input_moved_a_little() -> None:
    found, _ = pictures(10, HELD_OUT, (1.0,))
    plain = to_tensor(np.repeat(found[..., None], 3, 3), SHOWN)
    assert plain.shape == (10, 1, BANDS, COLUMNS)
    views = moved(found, torch.Generator().manual_seed(0))
    assert views.shape == plain.shape
    best = [
        min(
            float((v[:, 5:-5, 5:-5] - p.roll((down, right), (1, 2))[:, 5:-5, 5:-5]).abs().mean())
            for down in range(-3, 4)
            for right in range(-3, 4)
        )
        for v, p in zip(views, plain, strict=True)
    ]
    assert max(best) < 0.6  # nothing but a shift and a little brightness
    assert float((views - plain).abs().mean()) > 0.01


def test_training_goes_on_where_it_stopped_and_gives_the_same(tmp_path: Path) -> None:
    whole, history = train(recipe(2), tmp_path / "whole")
    assert history[1]["loss"] < history[0]["loss"]
    train(recipe(2), tmp_path / "parts", minutes=0)
    again, rest = train(recipe(2), tmp_path / "parts")
    assert [r["loss"] for r in rest] == [r["loss"] for r in history]
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    with pytest.raises(DataError, match="another recipe"):
        train(recipe(3), tmp_path / "parts")


def test_the_command_ships_a_network_with_a_true_card(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--training", "20", "--epochs", "1", "--held-out", "30"]
    folders = ["--checkpoints", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]
    assert train_sound.main([*arguments, *folders]) == 0
    (path,) = (tmp_path / "out").glob("sounds-*.safetensors")
    model, card = load_checkpoint(path)
    assert card.classes == CLASSES
    assert card.preprocessing == SHOWN
    assert model.config.input_chnl == 1
    found = train_sound.accuracy(model, 30, 1.0)
    assert (card.accuracy, card.n) == (found["accuracy"], 30)
    assert card.interval == pytest.approx(found["interval"])
    assert sum(map(sum, found["confusion"])) == 30
    assert "of n = 30" in capsys.readouterr().out
    assert not (tmp_path / "out" / "golden.safetensors").exists()  # that one belongs to the other network


def test_the_temperature_undoes_an_overconfidence() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 4000)
    logits = rng.normal(size=(4000, 4)).astype(np.float32)
    chance = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.array([rng.choice(4, p=p / p.sum()) for p in chance.astype(np.float64)])
    assert fit_temperature(3 * logits, labels) == pytest.approx(3, rel=0.1)
    assert fit_temperature(3 * logits, logits.argmax(1)) == 1  # nothing wrong, nothing to fit
