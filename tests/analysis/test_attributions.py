"""What the explanations promise holds: sums, bounds, and gradients against differences."""

from __future__ import annotations

import pytest
import torch
from example_networks import SMALL, hooks_on, one_thread, small  # noqa: F401
from torch import Tensor, nn

from resnet_demo.analysis.adversarial import attack, block_drift
from resnet_demo.analysis.iterative_inference import own_loss, refinement
from resnet_demo.analysis.path_ledger import path_ledger
from resnet_demo.analysis.pixel_attribution import (
    full_gradient,
    gradient_x_input,
    integrated_gradients,
    randomised,
)
from resnet_demo.networks.resnet import ResidualBlock
from resnet_demo.records import Preprocessing

PHOTO = torch.rand(1, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
PREPROCESSING = Preprocessing(32, "crop")


def normalised(pixels: Tensor) -> Tensor:
    mean, std = (
        torch.tensor(v, dtype=pixels.dtype)[:, None, None] for v in (PREPROCESSING.mean, PREPROCESSING.std)
    )
    return (pixels - mean) / std


@pytest.mark.parametrize("name", SMALL)
def test_the_full_gradient_sums_to_the_logit_and_gradient_x_input_to_the_paths(name: str) -> None:
    model = small(name).double()
    x = normalised(PHOTO)
    with torch.no_grad():
        logit = float(model(x)[0, 0])
    photo, biases = full_gradient(model, x, 0)
    assert float(photo.sum() + biases.sum()) == pytest.approx(logit, rel=1e-10, abs=1e-12)
    map_ = gradient_x_input(model, x, 0)
    assert torch.allclose(map_, photo)
    assert float(map_.sum()) == pytest.approx(path_ledger(model, x, 0).shares.sum(), rel=1e-9, abs=1e-12)
    assert hooks_on(model) == 0


def test_integrated_gradients_sum_to_the_difference_from_the_baseline() -> None:
    model = small("notebook").double()
    x = normalised(PHOTO)
    with torch.no_grad():
        wanted = float(model(x)[0, 0] - model(torch.zeros_like(x))[0, 0])
    assert float(integrated_gradients(model, x, 0, steps=512).sum()) == pytest.approx(wanted, rel=0.02)
    whole, parts = (integrated_gradients(model, x, 0, steps=12, batch=b) for b in (12, 5))
    assert torch.allclose(whole, parts)


def test_a_randomised_network_is_another_and_leaves_the_first_alone() -> None:
    model = small("notebook").double()
    before = {name: p.clone() for name, p in model.named_parameters()}
    other = randomised(model)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    for (name, p), q in zip(model.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q) == (p.ndim < 2), name


@pytest.mark.parametrize("name", ["notebook", "BasicBlock"])
def test_an_attack_stays_within_epsilon_and_within_pixels_and_flips(name: str) -> None:
    model = small(name).double()
    x = normalised(PHOTO)
    found = attack(model, x, PREPROCESSING, (1, 4, 16, 64))
    assert abs(found.change).max() <= found.epsilon / 255 + 1e-6
    pixels = PHOTO[0].numpy() + found.change
    assert pixels.min() >= -1e-6
    assert pixels.max() <= 1 + 1e-6
    assert len(found.tried) >= 1
    assert found.tried[-1][0] == found.epsilon
    assert all(lead > 0 for _, lead in found.tried[:-1])
    assert found.flipped == (found.tried[-1][1] < 0)
    if found.flipped:
        one, other = found.logits_before, found.logits_after
        assert (one[0] > 0) != (other[0] > 0) if len(one) == 1 else one.argmax() != other.argmax()
    assert found.drift[0] == pytest.approx(found.noise_drift[0], rel=1e-9)  # noise of the same length
    assert len(found.drift) == 1 + len(path_ledger(model, x).branches[0])
    leads = [lead for _, lead in found.tried]
    assert leads[-1] < leads[0] or len(leads) == 1


def test_drift_is_a_ratio_of_lengths() -> None:
    model = small("notebook").double()
    x = normalised(PHOTO)
    assert block_drift(model, x, x) == (0.0,) * 4
    assert block_drift(model, x, 1.1 * x)[0] == pytest.approx(0.1)


def test_an_attack_needs_one_photo_and_an_epsilon() -> None:
    model = small("notebook").double()
    with pytest.raises(ValueError, match="at least one epsilon"):
        attack(model, normalised(PHOTO), PREPROCESSING, ())


def test_refinement_is_the_cosine_of_the_branch_and_the_downhill_direction() -> None:
    torch.manual_seed(0)
    block = ResidualBlock(3, 3).eval()
    model = nn.Sequential(block, nn.Flatten(), nn.Linear(3 * 64, 4)).double().eval()
    x = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    here = x.clone().requires_grad_()
    own_loss(model(here)).backward()
    assert here.grad is not None
    branch = block.bn2(block.conv2(torch.relu(block.bn1(block.conv1(x)))))
    wanted = torch.cosine_similarity(branch.flatten(), -here.grad.flatten(), dim=0)
    assert refinement(model, x) == {"0": pytest.approx(float(wanted.detach()))}
    assert hooks_on(model) == 0


def test_refinement_leaves_projections_out() -> None:
    found = refinement(small("identity").double(), normalised(PHOTO))
    assert list(found) == ["1"]
    assert -1 <= found["1"] <= 1
