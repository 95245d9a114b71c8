"""Read-outs: stored with the weights, applied to a run, fitted on frozen features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import draw_photo, lively

from resnet_demo.analysis.linear_probes import Probe, load_probes, pooled, probes_path, read_outs, save_probes
from resnet_demo.inference.engine import Engine
from resnet_demo.networks import checkpoints as weights
from resnet_demo.networks.checkpoints import Card, save_checkpoint
from resnet_demo.networks.resnet import ResNet
from resnet_demo.records import Preprocessing
from resnet_demo.training import fit_probes
from resnet_demo.training.fit_probes import fit_probe

RNG = np.random.default_rng(0)


def checkpoint(folder: Path) -> Path:
    torch.manual_seed(0)
    model = lively(ResNet(3, widths=(4, 6)))
    return save_checkpoint(
        model, Card("tiny", model.config, Preprocessing(32), ("cat", "dog"), knows="x"), folder
    )


def some_probes() -> dict[str, Probe]:
    return {
        f"blocks.{i}": Probe(RNG.normal(size=c).astype(np.float32), 0.25 * i, 0.6 + 0.1 * i, 100)
        for i, c in enumerate((4, 6))
    }


def test_saved_probes_come_back_and_the_engine_reads_with_them(tmp_path: Path) -> None:
    path, probes = checkpoint(tmp_path), some_probes()
    assert save_probes(probes, path) == probes_path(path)
    back = load_probes(path)
    assert back.keys() == probes.keys()
    for name, probe in probes.items():
        assert np.array_equal(back[name].weight, probe.weight)
        assert (back[name].bias, back[name].n) == (probe.bias, probe.n)
        assert back[name].accuracy == pytest.approx(probe.accuracy)

    assert list(weights.available_networks(tmp_path)) == ["tiny"]  # the probes are not taken for a network
    run = Engine({"tiny": path}, "cpu").run(draw_photo(1))
    assert [r.block for r in run.read_outs] == ["blocks.0", "blocks.1"]
    for block, read in zip(run.blocks, run.read_outs, strict=True):
        probe = probes[block.name]
        logit = float(probe.weight @ block.output.astype(np.float64).mean((1, 2))) + probe.bias
        assert read.logit == pytest.approx(logit, abs=1e-4)
        assert read.confidence == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-4)
    first = run.contributions["blocks.0"]
    assert first.sum() + probes["blocks.0"].bias == pytest.approx(run.read_outs[0].logit, abs=1e-5)
    assert run.activation is not None
    assert np.array_equal(run.contributions["blocks.1"], run.activation.channels)


def test_a_network_without_probes_goes_on_without(tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    assert load_probes(path) == {}
    run = Engine({"tiny": path}, "cpu").run(draw_photo(1))
    assert run.read_outs == ()
    assert list(run.contributions) == ["blocks.1"]


@pytest.mark.parametrize(
    "payload",
    [b"", b"1234567", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0{}", b"\x02\0\0\0\0\0\0\0[]", b"\0" * 2_000_000],
)
def test_damaged_probes_are_left_out(tmp_path: Path, payload: bytes) -> None:
    path = checkpoint(tmp_path)
    probes_path(path).write_bytes(payload)
    assert load_probes(path) == {}
    save_probes(some_probes(), path)
    whole = probes_path(path).read_bytes()
    for cut in range(0, len(whole), 37):
        probes_path(path).write_bytes(whole[:cut])
        assert load_probes(path) == {}


def test_probes_of_another_width_or_not_finite_are_left_out(tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    blocks = Engine({"tiny": path}, "cpu").run(draw_photo(1)).blocks
    assert read_outs(blocks, {"blocks.0": Probe(np.ones(9, np.float32), 0.0, 0.5, 1)}) == ((), {})
    save_probes({"blocks.0": Probe(np.array([np.nan] * 4, np.float32), 0.0, 0.5, 1)}, path)
    assert load_probes(path) == {}


def test_a_probe_finds_what_tells_the_classes_apart() -> None:
    labels = RNG.integers(0, 2, 400)
    features = RNG.normal(size=(400, 3)).astype(np.float32) * [1, 10, 1] + [5, 0, 0]
    features[:, 1] += 25 * labels
    features[:, 2] = 7  # always the same
    weight, bias = fit_probes.fit_probe(features.astype(np.float32), labels)
    right = ((features @ weight + bias) > 0) == (labels == 1)
    assert right.mean() > 0.85
    assert weight[1] > 0
    assert abs(weight[1] * 25) > 10 * abs(weight[0])


def test_the_command_fits_judges_and_stores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for label, grey in (("cat", 40), ("dog", 200)):
        (tmp_path / "data" / label).mkdir(parents=True)
        for i in range(12):
            image = draw_photo(i, 40, 40).point(lambda v, g=grey: v // 4 + g * 3 // 4)
            image.save(tmp_path / "data" / label / f"{i}.png")
    path = checkpoint(tmp_path)
    monkeypatch.setattr(fit_probes, "available_networks", lambda _folder: {"tiny": path})
    assert fit_probes.main(["--data", str(tmp_path / "data")]) == 0
    assert "blocks.1: 100.00 %" in capsys.readouterr().out  # dark or bright is easy
    assert load_probes(path)["blocks.0"].n > 0
    assert fit_probes.main(["--data", str(tmp_path / "none")]) == 1
    assert "tiny" not in capsys.readouterr().err


def test_pooling_is_done_in_float32() -> None:
    output = np.full((2, 90, 90), 300, np.float16)  # the sum would overflow float16
    assert pooled(output) == pytest.approx([300, 300])


def test_a_probe_of_several_classes_is_fitted_stored_and_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 3, 600)
    features = rng.normal(size=(600, 5)).astype(np.float32)
    features[np.arange(600), labels] += 3  # channel k is high for class k
    features[:, 4] = 0.5  # and one says nothing
    weight, bias = fit_probe(features, labels, 3)
    assert weight.shape == (3, 5) and np.shape(bias) == (3,)
    assert ((features @ weight.T + bias).argmax(1) == labels).mean() > 0.9
    assert np.allclose(weight[:, 4], 0, atol=1e-4)

    path = checkpoint(tmp_path)
    probe = Probe(rng.normal(size=(3, 4)).astype(np.float32), rng.normal(size=3).astype(np.float32), 0.7, 50)
    save_probes({"blocks.0": probe}, path)
    back = load_probes(path)["blocks.0"]
    assert np.array_equal(back.weight, probe.weight) and np.array_equal(back.bias, probe.bias)
    blocks = Engine({"tiny": path}, "cpu").run(draw_photo(1)).blocks
    (read,), shares = read_outs(blocks, {"blocks.0": back}, answer=2)
    logits = probe.weight @ blocks[0].output.astype(np.float64).mean((1, 2)) + probe.bias
    expected = np.exp(logits) / np.exp(logits).sum()
    assert read.chances == pytest.approx(expected, abs=1e-3)
    assert (read.logit, read.confidence) == pytest.approx((logits.max(), expected.max()), abs=1e-3)
    assert shares["blocks.0"].sum() + probe.bias[2] == pytest.approx(logits[2], abs=1e-3)


def test_a_bias_that_does_not_fit_its_weight_is_left_out(tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    for shape, count in (((3, 4), 2), ((4,), 3), ((1, 4), 1), ((2, 2, 4), 2)):
        save_probes({"blocks.0": Probe(np.ones(shape, np.float32), np.ones(count, np.float32), 0.5, 1)}, path)
        assert load_probes(path) == {}
