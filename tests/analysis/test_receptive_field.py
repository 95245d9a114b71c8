"""Receptive fields equal those that the gradient of one place shows."""

from __future__ import annotations

import pytest
import torch
from example_networks import SMALL, one_thread, small  # noqa: F401
from torch import nn

from resnet_demo.analysis.receptive_field import PIXEL, after, receptive_fields
from resnet_demo.networks.residual_blocks import SumPoints, residual_blocks, sum_points
from resnet_demo.records import ReceptiveField

SIDE = 97


def transparent(model: nn.Module) -> nn.Module:
    """The same windows, but every pixel inside one counts: positive weights, averages for maxima, no
    norms."""
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Conv2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            module.weight.data /= module.weight[0].numel()
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.MaxPool2d):
            parent = model.get_submodule(name.rpartition(".")[0])
            average = nn.AvgPool2d(module.kernel_size, module.stride, module.padding)
            setattr(parent, name.rpartition(".")[2], average)
    return model.double().eval()


@pytest.mark.parametrize("kind", SMALL)
def test_fields_equal_those_found_by_the_gradient_of_a_single_place(kind: str) -> None:
    model = small(kind)
    fields = receptive_fields(model, torch.zeros(1, 3, SIDE, SIDE))
    transparent(model)
    blocks = residual_blocks(model)
    assert {name for name, _ in fields} == set(blocks)
    kept: dict[tuple[str, str], torch.Tensor] = {}
    for name, block in blocks.items():
        points = sum_points(block)
        assert isinstance(points, SumPoints)
        points.residual.register_forward_hook(
            lambda _m, _a, out, name=name: kept.__setitem__((name, "residual"), out.clone())
        )
        if points.shortcut is not None:
            points.shortcut.register_forward_hook(
                lambda _m, _a, out, name=name: kept.__setitem__((name, "shortcut"), out.clone())
            )
        block.register_forward_hook(
            lambda _m, _a, out, name=name: kept.__setitem__((name, "output"), out.clone())
        )
    x = torch.ones(1, 3, SIDE, SIDE, dtype=torch.double, requires_grad=True)
    model(x)
    for key, stream in kept.items():
        high, wide = stream.shape[2:]
        for row, column in {(0, 0), (high // 2, wide // 3), (high - 1, wide - 1), (0, wide // 2)}:
            (gradient,) = torch.autograd.grad(stream[0, :, row, column].sum(), x, retain_graph=True)
            seen = gradient[0].abs().sum(0) > 0
            rows, columns = torch.nonzero(seen.any(1)).flatten(), torch.nonzero(seen.any(0)).flatten()
            found = (int(rows[0]), int(rows[-1])), (int(columns[0]), int(columns[-1]))
            told = fields[key].span(row, SIDE), fields[key].span(column, SIDE)
            assert told == found, (key, row, column)


def test_the_notebooks_fields() -> None:
    fields = receptive_fields(small("notebook"), torch.zeros(1, 3, 64, 64))
    assert fields["blocks.0", "shortcut"] == ReceptiveField(2, 0, 0)
    assert fields["blocks.0", "residual"] == ReceptiveField(2, -3, 3)
    assert fields["blocks.1", "output"].size == 19
    assert fields["blocks.1", "output"].span(0, 64) == (0, 9)


def test_layers_that_differ_down_and_across_are_refused() -> None:
    with pytest.raises(ValueError, match="down and across"):
        after(PIXEL, nn.Conv2d(1, 1, (3, 1)))
    assert after(PIXEL, nn.Conv2d(1, 1, 3, dilation=2)) == ReceptiveField(1, 0, 4)


def test_hooks_and_modes_are_left_as_they_were() -> None:
    model = small("BasicBlock").train()
    receptive_fields(model, torch.zeros(1, 3, 64, 64))
    assert model.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
