"""Gates give the network that was meant, and leave the shared one as it was."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from example_networks import SMALL, hooks_on, one_thread, small  # noqa: F401
from torch import Tensor, nn

from resnet_demo.analysis.capture import capture_blocks, residual_blocks
from resnet_demo.analysis.gating import gated
from resnet_demo.records import Gate

X = torch.randn(1, 3, 50, 41, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=SMALL)
def model(request: pytest.FixtureRequest) -> nn.Module:
    return small(request.param)


class Rebuilt(nn.Module):
    """A block written out anew, in plain arithmetic without hooks or in-place operations."""

    def __init__(self, block: Any, gate: Gate) -> None:
        super().__init__()
        self.block, self.gate = block, gate

    def forward(self, x: Tensor) -> Tensor:
        b = self.block
        f = b.bn2(b.conv2(torch.relu(b.bn1(b.conv1(x)))))
        if hasattr(b, "conv3"):
            f = b.bn3(b.conv3(torch.relu(f)))
        if hasattr(b, "maxpool") and b.downsample is not None:
            f = b.maxpool(f)
        s = x if b.downsample is None else b.downsample(x)
        if self.gate.residual == 0:
            return torch.relu(self.gate.shortcut * s)
        if self.gate.shortcut == 0:
            return torch.relu(self.gate.residual * f)
        return torch.relu(self.gate.residual * f + self.gate.shortcut * s)


def rebuilt(model: nn.Module, gates: dict[str, Gate]) -> nn.Module:
    """A network built anew, on the same parameters, in which the blocks of ``gates`` are as gated."""
    assert hooks_on(model) == 0  # they would be copied
    new = copy.deepcopy(model, {id(t): t for t in [*model.parameters(), *model.buffers()]})
    for name, gate in gates.items():
        new.set_submodule(name, Rebuilt(new.get_submodule(name), gate))
    return new


def test_open_gates_install_nothing_and_leave_the_logits_bit_identical(model: nn.Module) -> None:
    with torch.inference_mode():
        plain = model(X)
        with gated(model, {name: Gate() for name in residual_blocks(model)}):
            assert hooks_on(model) == 0
            assert torch.equal(model(X), plain)


@pytest.mark.parametrize("gate", [Gate(0, 1), Gate(1, 0), Gate(0, 0), Gate(0.6, 0.2)])
def test_a_gated_network_equals_one_rebuilt_that_way(model: nn.Module, gate: Gate) -> None:
    with torch.inference_mode():
        plain = model(X)
        for name in residual_blocks(model):
            with gated(model, {name: gate}):
                found = model(X)
            assert torch.allclose(found, rebuilt(model, {name: gate})(X), atol=1e-5, rtol=1e-4), name
            assert not torch.equal(found, plain)
            assert torch.equal(model(X), plain)  # the shared network is as it was
    assert hooks_on(model) == 0


def test_all_blocks_can_be_gated_at_once(model: nn.Module) -> None:
    gates = {name: Gate(0.1 * (i % 10), 1 - 0.1 * (i % 7)) for i, name in enumerate(residual_blocks(model))}
    wanted = rebuilt(model, gates)
    with torch.inference_mode(), gated(model, gates):
        assert torch.allclose(model(X), wanted(X), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("gates_first", [True, False])
def test_captured_streams_are_those_that_enter_the_sum(model: nn.Module, gates_first: bool) -> None:
    """In either order of entering, for projection and identity shortcuts."""
    with capture_blocks(model) as plain:
        model(X)
    for name in residual_blocks(model):
        gates = gated(model, {name: Gate(0.25, 0.5)})
        capture = capture_blocks(model)
        if gates_first:
            with gates, capture as streams:
                model(X)
        else:
            with capture as streams, gates:
                model(X)
        block = streams[name]
        assert torch.equal(block.residual, 0.25 * plain[name].residual)
        assert torch.equal(block.shortcut, 0.5 * plain[name].shortcut)
        assert torch.allclose(block.pre_activation, block.residual + block.shortcut, atol=1e-6)
        assert torch.allclose(block.output, torch.relu(block.pre_activation), atol=1e-6)
    assert hooks_on(model) == 0


def test_gradients_pass_a_gated_identity_shortcut() -> None:
    model = small("identity")
    gates = {"1": Gate(0.5, 0.25)}
    x, y = X.clone().requires_grad_(), X.clone().requires_grad_()
    with gated(model, gates):
        model(x).sum().backward()
    rebuilt(model, gates)(y).sum().backward()
    assert x.grad is not None and y.grad is not None and x.grad.abs().sum() > 0
    assert torch.allclose(x.grad, y.grad, atol=1e-6)


def test_a_closed_gate_stops_even_what_is_not_finite() -> None:
    model = small("notebook")
    with torch.no_grad():
        model.blocks[0].bn2.bias.fill_(float("inf"))
        assert not torch.isfinite(model(X)).all()
        with gated(model, {"blocks.0": Gate(residual=0)}):
            assert torch.isfinite(model(X)).all()


def test_gates_are_checked() -> None:
    with pytest.raises(ValueError, match=r"0\.\.1"):
        Gate(residual=1.5)
    model = small("notebook")
    with (
        pytest.raises(ValueError, match="No block is called 'nope'"),
        gated(model, {"blocks.0": Gate(0), "nope": Gate(0)}),
    ):
        pass
    assert hooks_on(model) == 0


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, GeneratorExit, SystemExit])
def test_no_gate_survives_an_exception(model: nn.Module, error: type[BaseException]) -> None:
    names = list(residual_blocks(model))
    with pytest.raises(error), gated(model, {name: Gate(0.5, 0.5) for name in names}):
        model(X)
        assert hooks_on(model) >= 2 * len(names)
        raise error
    assert hooks_on(model) == 0


def test_no_gate_survives_a_failure_inside_the_network_or_a_cancelled_caller(model: nn.Module) -> None:
    gates = {name: Gate(0.5, 0.5) for name in residual_blocks(model)}
    with pytest.raises(RuntimeError), gated(model, gates):
        model(torch.zeros(1, 7, 32, 32))  # seven channels where three are expected

    def request():
        with gated(model, gates):
            yield

    waiting = request()
    next(waiting)
    assert hooks_on(model) > 0
    waiting.close()
    assert hooks_on(model) == 0
    with torch.inference_mode():  # and it goes on answering
        assert torch.isfinite(model(X)).all()
