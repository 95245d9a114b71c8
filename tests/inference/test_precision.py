"""A network in fewer bits answers the same within that rounding, only where it was asked for or is faster;
float32 is there for numbers that people copy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import draw_photo, lively
from example_networks import SMALL, hooks_on, small
from torch import nn

from resnet_demo.inference import precision
from resnet_demo.inference.engine import Engine
from resnet_demo.inference.precision import Arithmetic, choose, reduced, share_of_time
from resnet_demo.networks.checkpoints import Card, available_networks, load_checkpoint, save_checkpoint
from resnet_demo.networks.resnet import ResNet
from resnet_demo.records import Gate, Preprocessing

EPS = torch.finfo(torch.bfloat16).eps
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def engines(weights_dir: Path) -> tuple[Engine, Engine]:
    """The same network in float32 and in bfloat16."""
    networks = available_networks(weights_dir)
    return Engine(networks, "cpu"), Engine(networks, "cpu", "bfloat16")


def test_the_answer_is_the_same_within_the_rounding(engines: tuple[Engine, Engine]) -> None:
    exact, few = engines
    for seed in range(4):
        photo = draw_photo(seed)
        one, other = exact.run(photo), few.run(photo)
        assert (one.precision, other.precision) == ("float32", "bfloat16")
        assert one.prediction.logit != other.prediction.logit
        logits = [abs(run.prediction.logit) for run in (one, other)]
        assert one.prediction.logit == pytest.approx(other.prediction.logit, abs=8 * EPS * max(logits))
        for a, b in zip(one.blocks, other.blocks, strict=True):
            assert a.shape == b.shape
            assert a.residual_norm == pytest.approx(b.residual_norm, rel=2 * EPS)
            assert a.cosine == pytest.approx(b.cosine, abs=2 * EPS)


def test_what_is_shown_adds_up(engines: tuple[Engine, Engine]) -> None:
    run = engines[1].run(draw_photo(1))
    for block in run.blocks:
        sides = block.residual.astype(np.float32), block.shortcut.astype(np.float32)
        most = max(np.abs(side).max() for side in sides)
        assert np.abs(sum(sides) - block.pre_activation).max() <= 2 * EPS * most
        assert np.array_equal(block.output, np.maximum(block.pre_activation, 0))
    assert run.activation is not None
    total = run.activation.channels.sum() + run.activation.bias
    assert total == pytest.approx(run.prediction.logit, rel=1e-4, abs=1e-3)  # pool and last layer in float32


def test_gates_hold_and_open_ones_change_nothing(engines: tuple[Engine, Engine]) -> None:
    exact, few = engines
    photo = draw_photo(2)
    count = exact.info().blocks
    assert few.run(photo, gates=[Gate()] * count).prediction == few.run(photo).prediction
    gates = [Gate(0.0, 1.0), *[Gate()] * (count - 1)]
    run = few.run(photo, gates=gates)
    assert run.precision == "bfloat16"
    assert run.blocks[0].residual_norm == 0
    assert run.prediction.logit == pytest.approx(exact.run(photo, gates=gates).prediction.logit, rel=16 * EPS)
    assert hooks_on(few.network().model) == 0
    assert hooks_on(few.network().reduced.model) == 0  # type: ignore[union-attr]


def test_numbers_to_copy_are_those_of_float32(engines: tuple[Engine, Engine]) -> None:
    exact, few = engines
    gates = [Gate(0.5, 1.0), *[Gate()] * (exact.info().blocks - 1)]
    for given in ((), gates):
        wanted, found = exact.run(draw_photo(3), gates=given), few.exact(few.run(draw_photo(3), gates=given))
        assert found.precision == "float32"
        assert found.prediction == wanted.prediction
        for a, b in zip(wanted.blocks, found.blocks, strict=True):
            assert all(np.array_equal(a.streams[name], b.streams[name]) for name in a.streams)
        assert exact.exact(wanted) is wanted


def test_ablation_agrees_with_the_answer_on_the_page(engines: tuple[Engine, Engine]) -> None:
    run = engines[1].run(draw_photo(4))
    assert engines[1].ablation(run).whole == pytest.approx(run.prediction.confidences[0].confidence, abs=1e-6)


def card_of(model: ResNet, *precisions: str) -> Card:
    card = Card("small", model.config, Preprocessing(64, "crop"), ("cat", "dog"))
    return replace(card, precisions=precisions or card.precisions)


def test_auto_asks_the_card_and_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = lively(ResNet(3, widths=(4, 8)))
    example = torch.zeros(1, 3, 64, 64)
    listed, unlisted = card_of(model, "float32", "bfloat16"), card_of(model)
    monkeypatch.setattr(precision, "share_of_time", lambda *_: 0.5)
    chosen = choose(model, listed, "auto", example)
    assert isinstance(chosen, Arithmetic)
    assert chosen.precision == "bfloat16"
    assert choose(model, unlisted, "auto", example) is None
    assert choose(model, unlisted, "bfloat16", example) is not None
    assert choose(model, listed, "float32", example) is None
    monkeypatch.setattr(precision, "share_of_time", lambda *_: 0.95)
    assert choose(model, listed, "auto", example) is None
    assert all(p.dtype == torch.float32 for p in model.parameters())  # the network itself is not changed


def test_the_clock_is_asked_of_a_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    share_of_time.cache_clear()
    assert 0 < share_of_time("bfloat16", CPU) < 100
    assert share_of_time("bfloat16", CPU) == share_of_time("bfloat16", CPU)  # once a process

    def cannot(*_: object) -> None:
        raise RuntimeError("not implemented for this device")

    share_of_time.cache_clear()
    monkeypatch.setattr(precision, "_probe", cannot)
    assert share_of_time("bfloat16", CPU) == 1.0
    share_of_time.cache_clear()


def test_a_card_keeps_its_precisions(tmp_path: Path) -> None:
    model = ResNet(3, widths=(4, 8))
    path = save_checkpoint(model, card_of(model, "float32", "bfloat16"), tmp_path)
    assert load_checkpoint(path)[1].precisions == ("float32", "bfloat16")
    with pytest.raises((TypeError, ValueError)):
        card_of(model, 16)  # type: ignore[arg-type]


def test_values_beyond_the_range_are_computed_in_float32(weights_dir: Path) -> None:
    torch.manual_seed(0)
    model = lively(ResNet(3, widths=(4, 8)))
    model.blocks[0].conv1.weight.data.mul_(1e6)  # beyond float16's 65504, and within float32

    def given(*_: object) -> tuple[nn.Module, Card]:
        return model, card_of(model)

    engine = Engine(available_networks(weights_dir), "cpu", "float16")
    engine.lend("lent", given)
    run = engine.run(draw_photo(5), "lent")
    assert engine.network("lent").reduced is not None
    assert run.precision == "float32"
    assert np.isfinite(run.prediction.logit)


@pytest.mark.parametrize("name", SMALL)
def test_every_kind_of_block_in_fewer_bits(name: str) -> None:
    model = small(name)
    torch.manual_seed(1)
    x = torch.randn(1, 3, 45, 61)
    few = reduced(model, "bfloat16", (1, 3, 45, 61))
    assert few is not None
    with torch.inference_mode():
        wanted, found = model(x), few(x.bfloat16())
    assert found.dtype == torch.float32
    assert float((wanted - found).abs().max()) <= 16 * EPS * float(wanted.abs().max())


def test_weights_of_other_layers_stay_as_they_are() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.ReLU()).eval()
    assert reduced(model, "bfloat16", (1, 3, 16, 16)) is None
