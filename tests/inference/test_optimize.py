"""Folding batch norms away changes answers by rounding alone, and hooks find what they found."""

from __future__ import annotations

import copy

import pytest
import torch
from example_networks import SMALL, assert_same, hooks_on, one_thread, small  # noqa: F401
from torch import nn

from resnet_demo.inference.optimize import fold_norms


@pytest.mark.parametrize("name", SMALL)
def test_folded_answers_and_streams_are_the_same(name: str) -> None:
    model = small(name)
    folded = copy.deepcopy(model)
    fold_norms(folded)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    torch.manual_seed(1)
    x = torch.randn(2, 3, 45, 61)
    assert_same(model, folded, x)
    assert hooks_on(folded) == 0


def test_a_norm_that_follows_no_convolution_stays() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)).eval()
    fold_norms(model)
    assert [type(m).__name__ for m in model] == ["BatchNorm2d", "Conv2d", "ReLU", "BatchNorm2d"]
