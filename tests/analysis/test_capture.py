"""Captured streams are the block's own arithmetic, and nothing of the capture remains."""

from __future__ import annotations

import pytest
import torch
from conftest import lively
from example_networks import NETS, hooks_on, identity_net, one_thread  # noqa: F401
from torch import nn

from resnet_demo.analysis.capture import capture_blocks, clone, residual_blocks
from resnet_demo.networks.resnet import ResNet


@pytest.mark.parametrize("name", NETS)
def test_output_is_relu_of_residual_plus_shortcut(name: str) -> None:
    torch.manual_seed(0)
    model = NETS[name]()
    x = torch.randn(2, 1 if name == "one channel" else 3, 45, 61)
    with torch.inference_mode():
        plain = model(x)
    with capture_blocks(model) as streams:
        hooked = model(x)
    assert torch.equal(hooked, plain)  # bit for bit
    assert len(streams) == len(residual_blocks(model)) > 1
    for block in streams.values():
        total = block.residual + block.shortcut
        assert torch.allclose(block.pre_activation, total, atol=1e-5, rtol=1e-5)
        assert torch.allclose(block.output, torch.relu(total), atol=1e-5, rtol=1e-5)
        assert block.pre_activation.min() < 0  # it was taken before the (in-place) activation
    assert hooks_on(model) == 0


@pytest.mark.parametrize("name", ["notebook", "identity", "resnet18", "resnet50"])
def test_four_streams_a_block_are_copied_and_no_more(name: str) -> None:
    """The one ReLU of a block is called for every norm, but its other inputs are no stream."""
    model, copies = NETS[name](), 0

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal copies
        copies += 1
        return clone(tensor)

    with capture_blocks(model, keep):
        model(torch.randn(1, 3, 33, 33))
    assert copies == 4 * len(residual_blocks(model))


def test_an_identity_shortcut_is_the_blocks_input() -> None:
    model = identity_net()
    with capture_blocks(model) as streams:
        model(torch.randn(1, 3, 30, 30))
    assert torch.equal(streams["1"].shortcut, streams["0"].output)


def test_streams_are_copies_that_own_their_memory() -> None:
    model = identity_net()
    with capture_blocks(model) as streams:
        model(torch.randn(1, 3, 30, 30))
    tensors = [t for block in streams.values() for t in block.tensors.values()]
    assert len({t.untyped_storage().data_ptr() for t in tensors}) == len(tensors) == 8
    assert not any(t.requires_grad for t in tensors)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, GeneratorExit, SystemExit])
def test_no_hook_and_no_mode_survives_an_exception(error: type[BaseException]) -> None:
    model = ResNet(3, widths=(4, 8)).train()
    model.blocks[1].eval()  # a mixed state, to be given back as it was
    before = {name: module.training for name, module in model.named_modules()}
    with pytest.raises(error), capture_blocks(model):
        model(torch.zeros(1, 3, 16, 16))
        raise error
    assert hooks_on(model) == 0
    assert {name: module.training for name, module in model.named_modules()} == before


def test_no_hook_survives_a_failure_inside_the_network() -> None:
    model = ResNet(3, widths=(4, 8))
    with pytest.raises(RuntimeError), capture_blocks(model):
        model(torch.zeros(1, 5, 16, 16))  # five channels where three are expected
    assert hooks_on(model) == 0


def test_no_hook_survives_a_cancelled_caller() -> None:
    model = ResNet(3, widths=(4, 8))

    def request():
        with capture_blocks(model) as streams:
            yield streams

    waiting = request()
    next(waiting)
    assert hooks_on(model) > 0
    waiting.close()
    assert hooks_on(model) == 0


def test_dropout_is_off_while_capturing_a_network_in_training() -> None:
    model = lively(ResNet(3, widths=(4, 8), dropout=0.9)).train()
    x = torch.randn(1, 3, 32, 32)
    with capture_blocks(model):
        first, second = model(x), model(x)
    assert torch.equal(first, second)


def test_a_network_without_residual_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="no residual block"), capture_blocks(nn.Sequential(nn.Linear(2, 2))):
        pass


def test_reading_a_stream_before_the_run_is_an_error() -> None:
    with capture_blocks(ResNet(3, widths=(4,))) as streams, pytest.raises(KeyError):
        _ = streams["blocks.0"].output
