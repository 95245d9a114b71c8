"""The ledger of paths is exact: against sums, against lengths, and against an independent walk along every
path."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from conftest import lively
from example_networks import SMALL, hooks_on, one_thread, small  # noqa: F401
from torch import Tensor, nn
from torch.nn import functional as F

from resnet_demo.analysis.gating import gated
from resnet_demo.analysis.path_ledger import MOST_BLOCKS, path_ledger, path_lengths
from resnet_demo.networks.resnet import ResidualBlock, ResNet
from resnet_demo.records import Gate


def photo(side: int = 32, seed: int = 0) -> Tensor:
    return torch.randn(1, 3, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def scale_only(norm: nn.Module, x: Tensor) -> Tensor:
    """The linear part of a batch norm in eval mode."""
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return x * factor[:, None, None]


def walk(model: ResNet, x: Tensor, crossed: tuple[bool, ...]) -> float:
    """One path from the photo forward, by hand: choices frozen as the whole network made them for ``x``."""
    seen, along = x, x
    for block, branch in zip(model.blocks, crossed, strict=True):
        assert isinstance(block, ResidualBlock)
        inner = block.bn1(block.conv1(seen))
        before_pool = block.bn2(block.conv2(F.relu(inner)))
        pooled, places = F.max_pool2d(before_pool, 3, 2, 1, return_indices=True)
        total = pooled + block.downsample(seen)
        if branch:
            step = scale_only(block.bn1, block.conv1(along)) * (inner > 0)
            step = scale_only(block.bn2, block.conv2(step))
            along = step.flatten(2).gather(2, places.flatten(2)).view_as(pooled)
        else:
            along = block.downsample(along)
        along = along * (total > 0)
        seen = F.relu(total)
    return float((along.mean((2, 3)) * model.linear.weight).sum())


def test_every_path_equals_a_walk_along_it() -> None:
    torch.manual_seed(1)
    model = lively(ResNet(3, widths=(4, 6, 8))).double()
    x = photo()
    with torch.no_grad():
        found = path_ledger(model, x)
        walked = {crossed: walk(model, x, crossed) for crossed in itertools.product((False, True), repeat=3)}
    assert set(found.branches) == set(walked)
    for crossed, share, map_ in zip(found.branches, found.shares, found.maps, strict=True):
        assert share == pytest.approx(walked[crossed], rel=1e-10, abs=1e-14)
        assert map_.shape == (32, 32)
        assert map_.sum() == pytest.approx(share, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("name", SMALL)
def test_shares_and_biases_sum_to_the_logit(name: str) -> None:
    model = small(name).double()
    x = photo()
    with torch.no_grad():
        logits = model(x)[0]
    for index in range(len(logits)):
        ledger, lengths = path_ledger(model, x, index), path_lengths(model, x, index)
        wanted = pytest.approx(float(logits[index]), rel=1e-12, abs=1e-13)
        assert ledger.logit == wanted
        assert ledger.shares.sum() + sum(share for _, share in ledger.biases) == wanted
        assert sum(lengths.shares) + sum(share for _, share in lengths.biases) == wanted
        assert [where for where, _ in ledger.biases] == [where for where, _ in lengths.biases]
        crossing = np.array([sum(crossed) for crossed in ledger.branches])
        for count, share in enumerate(lengths.shares):
            assert ledger.shares[crossing == count].sum() == pytest.approx(share, rel=1e-9, abs=1e-12)


def test_the_largest_logit_is_told_when_none_is_named() -> None:
    model = small("BasicBlock").double()
    x = photo()
    with torch.no_grad():
        assert path_ledger(model, x).logit == pytest.approx(float(model(x).max()))


def test_a_closed_branch_carries_nothing() -> None:
    model = small("notebook").double()
    with gated(model, {"blocks.1": Gate(residual=0.0)}):
        found = path_ledger(model, photo())
    through = np.array([crossed[1] for crossed in found.branches])
    assert not found.shares[through].any()
    assert found.shares[~through].any()
    assert found.shares.sum() + sum(share for _, share in found.biases) == pytest.approx(found.logit)


def test_deep_networks_are_told_by_length_alone() -> None:
    torch.manual_seed(0)
    deep = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        *(ResidualBlock(4, 4) for _ in range(MOST_BLOCKS + 12)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )
    deep = lively(deep).double()  # type: ignore[arg-type, assignment]
    told: list[float] = []
    found = path_lengths(deep, photo(), progress=told.append)
    assert len(found.shares) == MOST_BLOCKS + 13
    total = sum(found.shares) + sum(share for _, share in found.biases)
    assert total == pytest.approx(found.logit, rel=1e-11)
    assert told == sorted(told)
    assert told[-1] == 1
    with pytest.raises(ValueError, match="2\\^20 paths"):
        path_ledger(deep, photo())


def test_nothing_stays_on_the_network() -> None:
    model = small("Bottleneck").double()
    path_ledger(model, photo())
    assert hooks_on(model) == 0
    with pytest.raises(ValueError, match="one photo"):
        path_ledger(model, torch.zeros(2, 3, 8, 8, dtype=torch.float64))
    assert hooks_on(model) == 0
    assert all(parameter.grad is None for parameter in model.parameters())
