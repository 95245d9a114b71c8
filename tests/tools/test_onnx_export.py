"""Networks as ONNX: what onnxruntime makes of them is what they do here, streams and gates included."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import lively
from torch import nn

from resnet_demo.analysis.capture import capture_blocks, residual_blocks
from resnet_demo.analysis.gating import gated
from resnet_demo.networks.cifar_resnet import CifarResNet
from resnet_demo.networks.resnet import ResNet
from resnet_demo.networks.resnet_variants import StageConfig, VariantConfig, VariantResNet
from resnet_demo.networks.taught import taught
from resnet_demo.records import STREAM_NAMES, Gate
from resnet_demo.tools.onnx_export import export, gated_by, main, output_names

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def variant() -> nn.Module:
    stages = (StageConfig(((8, 8), (8, 8)), 32), StageConfig(((16, 16),), 64))
    return VariantResNet(VariantConfig(stages, stem=(8,), head=(("linear", 64, 5, True),)))


def taught_one() -> nn.Module:
    weight = np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32)
    return taught(ResNet(3, widths=(8, 16, 32)), 2, weight, np.ones(3, np.float32))


KINDS: dict[str, Callable[[], nn.Module]] = {
    "notebook": lambda: ResNet(3, widths=(8, 16), num_logits=2),
    "plain": lambda: CifarResNet(8, shortcuts=False),
    "cifar": lambda: CifarResNet(8),
    "bottleneck": variant,
    "taught": taught_one,
}


@pytest.mark.parametrize("kind", KINDS)
def test_onnxruntime_gives_the_same_streams_with_gates_and_without(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = lively(KINDS[kind]())  # type: ignore[arg-type]
    path = tmp_path / "net.onnx"
    export(model, torch.zeros(2, 3, 32, 32), path)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    session = onnxruntime.InferenceSession(path)
    assert [one.name for one in session.get_outputs()] == output_names(model)
    blocks = list(residual_blocks(model))
    x = torch.randn(3, 3, 32, 32)  # another batch than it was made with
    halves = {name: Gate(0.25 + 0.5 * (i % 2), 0.75) for i, name in enumerate(blocks)}
    shut = {blocks[-1]: Gate(0.0, 1.0)}
    for gates in ({}, halves, shut):
        given = np.ones((len(blocks), 2), np.float32)
        for i, name in enumerate(blocks):
            if name in gates:
                given[i] = gates[name].residual, gates[name].shortcut
        found = dict(
            zip(
                output_names(model),
                session.run(None, {"input": x.numpy(), "gates": given}),
                strict=True,
            )
        )
        with gated(model, gates), capture_blocks(model) as captured:
            logits = model(x)
        close(found["logits"], logits)
        for name, block in captured.items():
            for stream in STREAM_NAMES:
                close(found[f"{name}.{stream}"], block.tensors[stream])


def close(found: np.ndarray, expected: torch.Tensor) -> None:
    theirs = expected.numpy()
    if theirs.shape != found.shape:
        theirs = np.broadcast_to(theirs, found.shape)
    assert np.abs(found - theirs).max() <= 1e-5 * max(1.0, float(np.abs(theirs).max()))


def test_a_network_on_the_menu_is_written_with_all_that_one_needs_to_know(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.onnx"
    assert main(["resnet-20", "--out", str(path)]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["input"] == ["batch", 3, 32, 32] and told["gates"] == [9, 2]
    assert len(told["outputs"]) == 1 + 9 * 4 and told["classes"][0] == "airplane"
    assert told["bytes"] == path.stat().st_size
    session = onnxruntime.InferenceSession(path)
    assert session.get_inputs()[0].shape[1:] == [3, 32, 32]


def test_a_network_that_is_not_there_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no such network"]) == 1
    assert "no such network" in capsys.readouterr().err


def test_a_block_that_nobody_registered_is_refused() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x) + x

    with (
        pytest.raises(ValueError, match="no registered kind"),
        gated_by(Odd(), torch.ones(()), torch.ones(())),
    ):
        pass
