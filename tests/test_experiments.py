"""Lesions and class-activation maps are exact, and leave the network as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import lively

from resnet_demo.capture import capture_blocks
from resnet_demo.experiments import class_activation, lesions
from resnet_demo.gates import gated
from resnet_demo.model import ResidualBlock, ResNet
from resnet_demo.records import Gate

X = torch.randn(1, 3, 50, 41, generator=torch.Generator().manual_seed(0))
WIDTHS = (4, 6, 8)


@pytest.fixture
def model() -> ResNet:
    torch.manual_seed(0)
    return lively(ResNet(3, widths=WIDTHS))


def rebuilt(model: ResNet, block: int, branch: bool) -> torch.Tensor:
    """The logit of a network built without that branch (or shortcut): plain arithmetic, no hooks."""
    x = X
    with torch.inference_mode():
        for i, b in enumerate(model.blocks):
            f = b.maxpool(b.bn2(b.conv2(b.relu(b.bn1(b.conv1(x))))))
            s = b.downsample(x)
            x = torch.relu(s if i == block and branch else f if i == block else f + s)
        return model.linear(x.mean((2, 3)))


def test_open_gates_leave_the_logits_bit_identical(model: ResNet) -> None:
    with torch.inference_mode():
        plain = model(X)
        with gated(model, {f"blocks.{i}": Gate() for i in range(3)}):
            assert torch.equal(model(X), plain)
            assert not any(m._forward_hooks for m in model.modules())


@pytest.mark.parametrize("block", range(3))
@pytest.mark.parametrize("branch", [True, False])
def test_a_closed_gate_equals_a_network_rebuilt_without_it(model: ResNet, block: int, branch: bool) -> None:
    gate = Gate(residual=0) if branch else Gate(shortcut=0)
    with torch.inference_mode(), gated(model, {f"blocks.{block}": gate}):
        assert torch.allclose(model(X), rebuilt(model, block, branch), atol=1e-6)
    assert not any(m._forward_hooks for m in model.modules())


def test_captured_streams_are_those_that_enter_the_sum(model: ResNet) -> None:
    with capture_blocks(model) as plain:
        model(X)
    with gated(model, {"blocks.0": Gate(0.25, 0.5)}), capture_blocks(model) as streams:
        model(X)
    first = streams["blocks.0"]
    assert torch.allclose(first.residual, 0.25 * plain["blocks.0"].residual)
    assert torch.allclose(first.shortcut, 0.5 * plain["blocks.0"].shortcut)
    assert torch.equal(first.pre_activation, first.residual + first.shortcut)


def test_gates_are_checked(model: ResNet) -> None:
    with pytest.raises(ValueError, match=r"0\.\.1"):
        Gate(residual=1.5)
    with pytest.raises(ValueError, match="No block is called"), gated(model, {"nope": Gate(0)}):
        pass
    identity = torch.nn.Sequential(ResidualBlock(3, 3))
    with pytest.raises(ValueError, match="identity"), gated(identity, {"0": Gate(shortcut=0)}):
        pass
    assert not any(m._forward_hooks for m in identity.modules())


def test_no_gate_survives_an_exception(model: ResNet) -> None:
    with pytest.raises(KeyboardInterrupt), gated(model, {"blocks.1": Gate(0, 0)}):
        raise KeyboardInterrupt
    assert not any(m._forward_hooks for m in model.modules())


def test_every_path_equals_the_network_gated_to_it(model: ResNet) -> None:
    found = lesions(model, X)
    assert found.paths.shape == (8,)
    with torch.inference_mode():
        for kept in range(8):
            gates = {f"blocks.{i}": Gate(residual=float(kept >> i & 1)) for i in range(3)}
            with gated(model, gates):
                assert found.paths[kept] == pytest.approx(float(model(X)), abs=1e-5)
        assert found.paths[-1] == pytest.approx(float(model(X)), abs=1e-5)
    for i in range(3):
        assert found.without_branch(i) == pytest.approx(float(rebuilt(model, i, True)), abs=1e-5)
        assert found.without_shortcut[i] == pytest.approx(float(rebuilt(model, i, False)), abs=1e-5)


def test_lesions_refuse_what_they_cannot_do(model: ResNet) -> None:
    with pytest.raises(ValueError, match="one photo"):
        lesions(model, X.repeat(2, 1, 1, 1))
    with pytest.raises(ValueError, match="one logit"):
        lesions(ResNet(3, widths=(4,), num_logits=2).eval(), X)


def test_class_activation_sums_to_the_logit_minus_the_bias(model: ResNet) -> None:
    with capture_blocks(model) as streams:
        logit = float(model(X))
    weight, bias = model.linear.weight[0].detach().numpy(), float(model.linear.bias)
    found = class_activation(streams["blocks.2"].output[0].numpy(), weight, bias)
    assert found.places.shape == streams["blocks.2"].output.shape[2:]
    assert found.places.sum() == pytest.approx(logit - bias, abs=1e-5)
    assert found.channels.sum() == pytest.approx(logit - bias, abs=1e-5)
    assert found.logit == pytest.approx(logit, abs=1e-5)
    with pytest.raises(ValueError, match="are needed"):
        class_activation(np.zeros((2, 3, 3)), np.zeros(3, np.float32), 0.0)
