"""Gradient flow: the same weights with shortcuts and without."""

from __future__ import annotations

import pytest
import torch

from resnet_demo.analysis.gradient_flow import DeepResNet, gradient_flow


def photo(seed: int = 0, side: int = 40) -> torch.Tensor:
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("norms", [True, False])
def test_the_shortcuts_keep_the_gradient_within_bounds(norms: bool) -> None:
    flow = gradient_flow(photo(), 40, norms)
    assert flow.depth == 40
    assert len(flow.with_shortcuts) == len(flow.without) == 41
    assert flow.with_shortcuts[-1] == pytest.approx(flow.without[-1], rel=0.2)

    def spread(curve: tuple[float, ...]) -> float:
        return max(curve) / min(curve)

    assert spread(flow.with_shortcuts) < 1e3
    assert spread(flow.without) > 1e4
    assert (flow.without[0] > flow.without[-1]) == norms  # explodes with batch norm, dies without


def test_the_twin_is_the_same_network_with_the_shortcuts_left_out() -> None:
    flow = gradient_flow(photo(1), 6, norms=True, seed=3)
    torch.manual_seed(3)
    model = DeepResNet(6).double()
    x = torch.nn.functional.adaptive_avg_pool2d(photo(1).double(), 32)
    outputs = [model.stem(x)]
    for block in model.blocks:  # written out: relu(F(x))
        out = block.relu(block.bn1(block.conv1(outputs[-1])))
        outputs.append(torch.relu(block.bn2(block.conv2(out))))
    logit = model.linear(outputs[-1].mean((2, 3))).sum()
    expected = [float(g.norm()) for g in torch.autograd.grad(logit, outputs)]
    assert flow.without == pytest.approx(expected, rel=1e-9)


def test_it_repeats_with_the_seed_and_leaves_the_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second = gradient_flow(photo(), 5), gradient_flow(photo(), 5)
    assert torch.equal(torch.get_rng_state(), before)
    assert (first.with_shortcuts, first.without) == (second.with_shortcuts, second.without)
    assert gradient_flow(photo(), 5, seed=1).without != first.without
    assert gradient_flow(photo(9), 5).without != first.without


def test_progress_runs_to_one_and_bad_requests_are_refused() -> None:
    told: list[float] = []
    gradient_flow(photo(side=8), 5, progress=told.append)
    assert told == [0, 0.5, 1]
    for depth in (4, 101):
        with pytest.raises(ValueError, match=r"5\.\.100"):
            gradient_flow(photo(), depth)
    with pytest.raises(ValueError, match="one photo"):
        gradient_flow(torch.zeros(2, 3, 8, 8), 5)


def test_it_works_where_gradients_are_off() -> None:
    with torch.no_grad():
        assert gradient_flow(photo(), 5).without[0] > 0
