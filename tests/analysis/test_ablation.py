"""Lesions and class-activation maps are exact, and leave the network as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import lively
from example_networks import hooks_on, one_thread, small  # noqa: F401

from resnet_demo.analysis import ablation as experiments
from resnet_demo.analysis.ablation import ablate
from resnet_demo.analysis.capture import capture_blocks, residual_blocks
from resnet_demo.analysis.class_activation import class_activation
from resnet_demo.analysis.gating import gated
from resnet_demo.networks.resnet import ResNet
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


def test_every_path_equals_the_network_gated_to_it(model: ResNet) -> None:
    branches, shortcuts, paths = ablate(model, X)
    assert paths.shape == (8, 1)
    with torch.inference_mode():
        for kept in range(8):
            gates = {f"blocks.{i}": Gate(residual=float(kept >> i & 1)) for i in range(3)}
            with gated(model, gates):
                assert paths[kept] == pytest.approx(float(model(X)), abs=1e-5)
        assert paths[-1] == pytest.approx(float(model(X)), abs=1e-5)
    for i in range(3):
        assert branches[i] == pytest.approx(float(rebuilt(model, i, True)), abs=1e-5)
        assert shortcuts[i] == pytest.approx(float(rebuilt(model, i, False)), abs=1e-5)


@pytest.mark.parametrize("kind", ["BasicBlock", "Bottleneck"])
@pytest.mark.parametrize("most", [1, 8])
def test_knock_outs_of_the_fields_blocks_equal_gates(
    kind: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiments, "MAX_PATH_BLOCKS", most)
    network = small(kind)
    branches, shortcuts, paths = ablate(network, X)
    assert paths.shape == ((64, 4) if most == 8 else (0, 4))
    assert branches.shape == shortcuts.shape == (6, 4)
    for i, name in enumerate(residual_blocks(network)):
        for found, gate in ((branches[i], Gate(residual=0)), (shortcuts[i], Gate(shortcut=0))):
            with torch.inference_mode(), gated(network, {name: gate}):
                torch.testing.assert_close(torch.from_numpy(found), network(X)[0], atol=1e-4, rtol=1e-4)
    assert hooks_on(network) == 0


def test_lesions_refuse_what_they_cannot_do(model: ResNet) -> None:
    with pytest.raises(ValueError, match="one photo"):
        ablate(model, X.repeat(2, 1, 1, 1))
    with pytest.raises(ValueError, match="no known family"):
        ablate(small("identity"), X)


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
