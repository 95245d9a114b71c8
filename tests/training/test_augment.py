"""Random views: reproducible, normalised, each of its own photo, and chance from one place only."""

from __future__ import annotations

import math

import pytest
import torch

from resnet_demo.records import Preprocessing
from resnet_demo.training import augment as views_of
from resnet_demo.training.augment import augment

CARD = Preprocessing()
PLAIN = Preprocessing(mean=(0, 0, 0), std=(1, 1, 1))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(batch: int, height: int = 40, width: int = 40) -> torch.Tensor:
    return torch.randint(0, 256, (batch, 3, height, width), dtype=torch.uint8, generator=seeded(0))


@pytest.mark.parametrize("size", [8, 32, 33])
@pytest.mark.parametrize("batch", [1, 5])
def test_shape_type_and_range(size: int, batch: int) -> None:
    views = augment(noise(batch, 40, 52), size, CARD, seeded(1))
    assert views.shape == (batch, 3, size, size)
    assert views.dtype == torch.float32
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (CARD.mean, CARD.std))
    back = views * std + mean
    assert back.min() >= -1e-5
    assert back.max() <= 1 + 1e-5


def test_the_generator_is_the_only_source_of_chance() -> None:
    pixels = noise(6)
    before = torch.get_rng_state()
    first = augment(pixels, 32, CARD, seeded(1))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(123)
    assert torch.equal(augment(pixels, 32, CARD, seeded(1)), first)
    assert not torch.equal(augment(pixels, 32, CARD, seeded(2)), first)
    going_on = seeded(1)
    augment(pixels, 32, CARD, going_on)
    assert not torch.equal(augment(pixels, 32, CARD, going_on), first)


def test_the_photos_are_left_as_they_were_and_need_not_be_contiguous() -> None:
    pixels = noise(4)
    copy = pixels.clone()
    views = augment(pixels, 32, CARD, seeded(3))
    assert torch.equal(pixels, copy)
    strided = pixels.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert torch.allclose(augment(strided, 32, CARD, seeded(3)), views, atol=1e-5)


def test_equal_photos_get_different_views() -> None:
    views = augment(noise(1).expand(8, -1, -1, -1), 32, CARD, seeded(4))
    for i in range(8):
        for j in range(i):
            assert not torch.equal(views[i], views[j])


def test_each_view_is_of_its_own_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views_of, "ERASED", 0.0)
    greys = torch.tensor([20, 60, 180], dtype=torch.uint8)
    views = augment(greys.view(3, 1, 1, 1).expand(3, 3, 40, 40), 32, PLAIN, seeded(5))
    for grey, view in zip(greys.tolist(), views, strict=True):
        for (
            channel
        ) in view:  # a flat photo stays flat, whatever the crop, and as bright as the settings allow
            assert channel.max() - channel.min() < 1e-4
            strongest = (1 + views_of.COLOUR) * (1 + views_of.CAST)
            assert grey / 255 / 1.6 < channel.mean() < min(1.0, grey / 255 * strongest) + 1e-4


def test_about_a_quarter_of_the_views_lose_a_rectangle_of_the_mean_colour() -> None:
    white = torch.full((400, 3, 20, 20), 255, dtype=torch.uint8)
    views = augment(white, 20, CARD, seeded(6))
    erased = (views == 0).all(1)  # (B, size, size): normalised zero in every channel
    touched = erased.flatten(1).any(1)
    assert abs(touched.float().mean() - views_of.ERASED) < 4 * math.sqrt(0.25 * 0.75 / 400)
    for hole in erased[touched]:
        rows, columns = hole.any(1).sum(), hole.any(0).sum()
        assert hole.sum() == rows * columns  # a rectangle
        assert 3 <= rows <= 9  # 0.15 to 0.45 of the side
        assert 3 <= columns <= 9


def test_half_of_the_views_are_mirrored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views_of, "ERASED", 0.0)
    ramp = torch.arange(40).mul(6).to(torch.uint8).view(1, 1, 1, 40).expand(400, 3, 40, 40)
    views = augment(ramp, 32, PLAIN, seeded(7))
    brighter_right = views[..., 16:].mean((1, 2, 3)) > views[..., :16].mean((1, 2, 3))
    assert abs(brighter_right.float().mean() - 0.5) < 4 * math.sqrt(0.25 / 400)


def test_up_stays_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views_of, "ERASED", 0.0)
    ramp = torch.arange(40).mul(6).to(torch.uint8).view(1, 1, 40, 1).expand(200, 3, 40, 40)
    views = augment(ramp, 32, PLAIN, seeded(8))
    assert (views[:, :, 16:].mean((1, 2, 3)) > views[:, :, :16].mean((1, 2, 3))).all()
