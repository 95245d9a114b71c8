"""Weights in oneDNN's order change answers by rounding alone, and a network that cannot have them works
without."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from example_networks import SMALL, assert_same, small
from torch import nn

from resnet_demo.inference.optimize import PackedConv2d, fold_norms, pack_weights

SIZE = (1, 3, 45, 45)
needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this PyTorch has no oneDNN"
)


def packed_of(model: nn.Module) -> list[PackedConv2d]:
    return [m for m in model.modules() if isinstance(m, PackedConv2d) and m.packed.weight is not None]


@needs_onednn
@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("size", [SIZE, (3, 3, 61, 40)])
def test_answers_and_streams_are_the_same(name: str, size: tuple[int, ...]) -> None:
    model = small(name)
    fold_norms(model)
    packed = copy.deepcopy(model)
    pack_weights(packed, SIZE)
    assert len(packed_of(packed)) == sum(isinstance(m, nn.Conv2d) for m in model.modules())
    x = torch.randn(size, generator=torch.Generator().manual_seed(1))
    assert_same(model, packed, x)


@needs_onednn
def test_copies_go_without_and_answer_the_same() -> None:
    model = small(next(iter(SMALL)))
    pack_weights(model, SIZE)
    x = torch.rand(SIZE)
    with torch.inference_mode():
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert not packed_of(other)
            assert torch.allclose(other(x), model(x), atol=1e-5)
        assert model.double()(x.double()).dtype == torch.float64  # packed weights are float32
    assert model.state_dict().keys() == small(next(iter(SMALL))).state_dict().keys()


def test_what_cannot_be_packed_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding="same"), nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")
    ).eval()
    pack_weights(odd, SIZE)
    assert [type(m) for m in odd] == [nn.Conv2d, nn.Conv2d]
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3)).eval()
    pack_weights(plain, SIZE)
    assert type(plain[0]) is nn.Conv2d


@needs_onednn
@pytest.mark.parametrize("wrong", ["missing", "refused", "different"])
def test_operators_that_changed_are_left_alone(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    def missing(*_args: object) -> torch.Tensor:
        raise AttributeError("no such operator")

    def forward(self: PackedConv2d, x: torch.Tensor) -> torch.Tensor:
        if wrong == "refused":
            raise RuntimeError("no such schema")
        return nn.Conv2d.forward(self, x) + 0.1

    if wrong == "missing":
        monkeypatch.setattr(torch.ops.mkldnn, "_reorder_convolution_weight", missing)
    else:
        monkeypatch.setattr(PackedConv2d, "forward", forward)
    model = small(next(iter(SMALL)))
    before = model(torch.ones(SIZE))
    pack_weights(model, SIZE)
    assert not packed_of(model)
    assert torch.equal(model(torch.ones(SIZE)), before)
