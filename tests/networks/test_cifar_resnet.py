"""The residual networks of He et al. 2015 § 4.2 and their plain twins."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from resnet_demo.analysis.capture import capture_blocks
from resnet_demo.analysis.gating import gated
from resnet_demo.networks.cifar_resnet import (
    CifarResNet,
    CifarResNetConfig,
    StridedBlock,
    SubsampleAndPad,
    ZeroShortcut,
)
from resnet_demo.networks.resnet import ResidualBlock, count_parameters
from resnet_demo.records import Gate
from tests.conftest import lively


def network(depth: int, shortcuts: bool = True) -> CifarResNet:
    torch.manual_seed(3)
    return CifarResNet(depth, shortcuts=shortcuts)


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_parameters_are_as_many_as_in_the_papers_table_6(depth: int, millions: float) -> None:
    for shortcuts in (True, False):
        count = count_parameters(network(depth, shortcuts))
        assert abs(count / 1e6 - millions) < 0.03 * millions


def test_layers_with_weights_are_as_many_as_the_name_says() -> None:
    for depth in (8, 20, 56):
        weighted = [m for m in network(depth).modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
        assert len(weighted) == depth


@pytest.mark.parametrize("depth", [7, 2, 0, -4, 21, 57])
def test_a_depth_that_is_none_of_the_papers_is_refused(depth: int) -> None:
    with pytest.raises(ValueError, match="6n"):
        CifarResNet(depth)


def test_identity_blocks_are_the_notebooks_and_only_two_blocks_are_not() -> None:
    blocks = list(network(56).blocks)
    assert len(blocks) == 27
    others = [i for i, block in enumerate(blocks) if type(block) is not ResidualBlock]
    assert others == [9, 18]
    assert all(blocks[i].downsample is None for i in range(27) if i not in others)
    assert all(isinstance(blocks[i].downsample, SubsampleAndPad) for i in others)


@pytest.mark.parametrize("side", [(32, 32), (7, 10), (1, 1)])
def test_option_a_takes_every_second_pixel_and_adds_zero_channels(side: tuple[int, int]) -> None:
    x = torch.randn(2, 16, *side)
    out = SubsampleAndPad(16, 32)(x)
    assert out.shape == (2, 32, -(-side[0] // 2), -(-side[1] // 2))
    assert torch.equal(out[:, 8:24], x[:, :, ::2, ::2])
    assert not out[:, :8].any() and not out[:, 24:].any()
    assert not list(SubsampleAndPad(16, 32).parameters())


def test_option_a_cannot_take_channels_away() -> None:
    with pytest.raises(ValueError, match="add channels"):
        SubsampleAndPad(32, 16)


@pytest.mark.parametrize("depth", [8, 20])
def test_twins_start_from_the_same_weights_and_differ_by_the_shortcuts_alone(depth: int) -> None:
    residual, plain = network(depth).eval(), network(depth, shortcuts=False).eval()
    ours, theirs = residual.state_dict(), plain.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    x = torch.randn(2, 3, 32, 32)
    assert not torch.allclose(residual(x), plain(x))
    shut = {f"blocks.{i}": Gate(shortcut=0.0) for i in range(len(residual.blocks))}
    with gated(residual, shut):
        assert torch.equal(residual(x), plain(x))


def test_a_state_dict_goes_from_a_network_to_its_like_strictly() -> None:
    model = network(20)
    again = CifarResNet.from_config(model.config)
    again.load_state_dict(model.state_dict(), strict=True)
    assert again.config == CifarResNetConfig(20, 10, True)
    x = torch.randn(1, 3, 32, 32)
    assert torch.equal(model.eval()(x), again.eval()(x))


@pytest.mark.parametrize("shortcuts", [True, False])
@pytest.mark.parametrize("side", [32, 45])
def test_streams_of_every_block_add_up_for_more_than_one_picture(shortcuts: bool, side: int) -> None:
    model = lively(network(20, shortcuts))
    x = torch.randn(3, 3, side, side)
    with capture_blocks(model) as streams:
        logits = model(x)
    assert list(streams) == [f"blocks.{i}" for i in range(9)]
    for block in streams.values():
        assert (
            block.residual.shape == block.shortcut.shape == block.pre_activation.shape == block.output.shape
        )
        assert torch.allclose(block.residual + block.shortcut, block.pre_activation, atol=1e-5)
        assert torch.equal(block.pre_activation.relu(), block.output)
        assert bool(block.shortcut.any()) == shortcuts
    assert torch.equal(model(x), logits)


def test_open_gates_change_no_bit_and_a_shut_branch_leaves_the_shortcut() -> None:
    model = lively(network(20))
    x = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        whole = model(x)
        with gated(model, {f"blocks.{i}": Gate() for i in range(9)}):
            assert torch.equal(model(x), whole)
        with gated(model, {"blocks.4": Gate(residual=0.0)}), capture_blocks(model) as streams:
            model(x)
    assert torch.equal(streams["blocks.4"].output, streams["blocks.3"].output)  # it was never negative


def test_a_strided_block_with_a_zero_shortcut_is_two_layers() -> None:
    block = StridedBlock(4, 6, 2, ZeroShortcut(6, 2)).eval()
    x = torch.randn(2, 4, 9, 9)
    expected = block.bn2(block.conv2(block.bn1(block.conv1(x)).relu())).relu()
    assert torch.equal(block(x), expected)
    assert expected.shape == (2, 6, 5, 5)
