"""Every kind of residual block: streams that add up, gates that hold, and refusals instead of untruth."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from conftest import lively
from example_networks import hooks_on, one_thread  # noqa: F401
from torch import Tensor, nn

from resnet_demo import BlockKind, Gate, capture_blocks, gated, register_block
from resnet_demo.analysis.stream_check import StreamError
from resnet_demo.networks.residual_blocks import activation_of, declared_kind, residual_blocks


class Layers(nn.Module):
    """Two convolutions with norms, for blocks that differ in what they do with them."""

    def __init__(self, into: int = 8, out: int = 8, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.shortcut = nn.Sequential()
        if into != out or stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def branch(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))


class Functional(Layers):
    """As in the CIFAR networks that people copy: activations are functions, the shortcut an empty
    Sequential."""

    def forward(self, x: Tensor) -> Tensor:
        out = self.branch(x)
        out += self.shortcut(x)
        return F.relu(out)


class PreActivation(Layers):
    def __init__(self, into: int = 8, out: int = 8, stride: int = 1) -> None:
        super().__init__(into, out, stride)
        self.bn1 = nn.BatchNorm2d(into)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(x))
        around = self.shortcut(y) if len(self.shortcut) else x
        return self.conv2(F.relu(self.bn2(self.conv1(y)))) + around


class Scaled(Layers):
    def forward(self, x: Tensor) -> Tensor:
        return torch.add(self.shortcut(x), self.branch(x), alpha=0.2)


class TimesConstant(Layers):
    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.shortcut(x) + 0.2 * self.branch(x), 0.1)


class LayerScale(Layers):
    def __init__(self, into: int = 8, out: int = 8, stride: int = 1) -> None:
        super().__init__(into, out, stride)
        self.gamma = nn.Parameter(torch.linspace(0.1, 1, out).view(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.gamma * self.branch(x)


class SqueezeExcitation(Layers):
    def __init__(self, into: int = 8, out: int = 8, stride: int = 1) -> None:
        super().__init__(into, out, stride)
        self.squeeze = nn.Linear(out, 2)
        self.excite = nn.Linear(2, out)

    def forward(self, x: Tensor) -> Tensor:
        f = self.branch(x)
        share = torch.sigmoid(self.excite(F.relu(self.squeeze(f.mean((2, 3))))))
        return F.silu(f * share[:, :, None, None] + self.shortcut(x))


class InPlaceAdd(Layers):
    """Adds to the branch's own tensor and returns that very tensor."""

    def forward(self, x: Tensor) -> Tensor:
        out = self.branch(x)
        out.add_(self.shortcut(x))
        return F.relu_(out)


class Wrapper(nn.Module):
    def __init__(self, into: int = 8, out: int = 8, stride: int = 1) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(into, out, 3, stride, 1), nn.BatchNorm2d(out), nn.ReLU())
        self.skip = nn.Identity() if (into, stride) == (out, 1) else nn.Conv2d(into, out, 1, stride)

    def forward(self, x: Tensor, scale: float = 1.0, mask: Tensor | None = None) -> Tensor:
        f = self.inner(x)
        if mask is not None:
            f = f * mask
        return self.skip(x) + scale * f


TRACED: list[Callable[..., nn.Module]] = [
    Functional,
    PreActivation,
    Scaled,
    TimesConstant,
    LayerScale,
    SqueezeExcitation,
    InPlaceAdd,
    Wrapper,
]
X = torch.randn(2, 3, 20, 17, generator=torch.Generator().manual_seed(0))


def network(block: Callable[..., nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, 1, 1), block(8, 8, 1), block(8, 12, 2), block(12, 12, 1), nn.AdaptiveAvgPool2d(1)
    )
    return lively(model)  # type: ignore[arg-type]


@pytest.mark.parametrize("block", TRACED)
def test_blocks_that_nobody_described_add_up(block: Callable[..., nn.Module]) -> None:
    model = network(block)
    assert not any(declared_kind(m) for m in model.modules())
    with torch.inference_mode():
        plain = model(X)
    with capture_blocks(model) as streams:
        assert torch.equal(model(X), plain)
    assert list(streams) == ["1", "2", "3"]
    outputs = {}
    with torch.inference_mode():
        x = model[0](X)
        for name in streams:
            block_input, x = x, model[int(name)](x)
            outputs[name] = block_input, x
    for name, stream in streams.items():
        assert torch.allclose(stream.residual + stream.shortcut, stream.pre_activation, atol=1e-6)
        assert torch.equal(stream.output, outputs[name][1])
        assert torch.allclose(activation_of(model[int(name)])(stream.pre_activation.clone()), stream.output)
        if name != "2":
            assert torch.equal(stream.shortcut, outputs[name][0])  # the identity
    assert hooks_on(model) == 0


@pytest.mark.parametrize("block", TRACED)
@pytest.mark.parametrize("capture_first", [True, False])
def test_gates_hold_in_blocks_that_nobody_described(
    block: Callable[..., nn.Module], capture_first: bool
) -> None:
    model = network(block)
    with capture_blocks(model) as whole:
        plain = model(X)
    for gate in (Gate(0, 1), Gate(1, 0), Gate(0.5, 0.25), Gate(0, 0)):
        contexts = [gated(model, {"1": gate}), capture_blocks(model)]
        first, second = contexts[::-1] if capture_first else contexts
        with first as one, second as other, torch.inference_mode():
            model(X)
        streams = (one or other)["1"]
        assert torch.allclose(streams.residual, gate.residual * whole["1"].residual)
        assert torch.allclose(streams.shortcut, gate.shortcut * whole["1"].shortcut)
        wanted = activation_of(model[1])(streams.residual + streams.shortcut)
        assert torch.allclose(streams.output, wanted, atol=1e-6)
    assert hooks_on(model) == 0
    with torch.inference_mode():
        assert torch.equal(model(X), plain)


class Described(Layers):
    """Has no sum that a tracer could find: it branches on its input."""

    def __init__(self, into: int = 8, out: int = 8, stride: int = 1) -> None:
        super().__init__(into, out, stride)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[0] > 100 and x.mean() > 0:
            x = x * 2
        return self.act(self.branch(x) + self.shortcut(x))


def test_a_class_is_described_in_one_line() -> None:
    model = network(Described)
    assert residual_blocks(model) == {}
    with pytest.raises(ValueError, match="no residual block"), capture_blocks(model):
        model(X)
    register_block(Described, BlockKind("bn2", shortcut="shortcut", takes_sum="act", activation="act"))
    with capture_blocks(model) as streams:
        model(X)
    for stream in streams.values():
        assert torch.allclose(stream.residual + stream.shortcut, stream.pre_activation)
        assert torch.equal(stream.pre_activation.relu(), stream.output)


class Other(Layers):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(0.5 * self.branch(x) + self.shortcut(x))


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (BlockKind("bn2", shortcut="shortcut"), r"do not add up.*register_block"),
        (BlockKind("bn2", shortcut="nothing", activation=lambda _: F.relu), "do not add up"),
        (BlockKind("bn2", shortcut="shortcut", takes_sum="bn1", call=2), "No pre-activation"),
    ],
)
def test_an_untrue_description_is_refused(kind: BlockKind, says: str) -> None:
    class Mine(Other):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)

    register_block(Mine, kind)
    model = network(Mine)
    for _ in range(2):  # not only the first time
        with pytest.raises(StreamError, match=says), capture_blocks(model):
            model(X)
        assert hooks_on(model) == 0


def test_a_subclass_with_a_forward_of_its_own_is_not_taken_for_its_parent() -> None:
    from torchvision.models.resnet import BasicBlock

    class Halved(BasicBlock):
        def forward(self, x: Tensor) -> Tensor:
            f = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
            return self.relu(f / 2 + x)

    class Renamed(BasicBlock):
        pass

    torch.manual_seed(0)
    model = lively(nn.Sequential(nn.Conv2d(3, 8, 1), Halved(8, 8), Renamed(8, 8)))  # type: ignore[arg-type]
    assert declared_kind(model[1]) is None
    assert declared_kind(model[2]) is not None
    with capture_blocks(model) as streams:
        model(X)
    for stream in streams.values():
        assert torch.allclose(stream.residual + stream.shortcut, stream.pre_activation, atol=1e-6)


def test_a_forward_that_was_replaced_on_one_block_is_seen() -> None:
    model = network(Functional)
    block = model[1]
    block.forward = lambda x: F.relu(block.branch(x) * 3 + x)
    with capture_blocks(model) as streams:
        model(X)
    stream = streams["1"]
    assert torch.allclose(stream.residual + stream.shortcut, stream.pre_activation, atol=1e-6)


def test_of_blocks_in_blocks_the_outer_counts_unless_it_holds_several() -> None:
    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.conv(x)

    class Outer(nn.Module):
        def __init__(self, count: int) -> None:
            super().__init__()
            self.inner = nn.Sequential(*(Inner() for _ in range(count)))

        def forward(self, x: Tensor) -> Tensor:
            return x + 0.2 * self.inner(x)

    model = nn.Sequential(nn.Conv2d(3, 8, 1), Outer(1), Outer(3)).eval()
    with capture_blocks(model) as streams:
        model(X)
    assert list(streams) == ["1", "2.inner.0", "2.inner.1", "2.inner.2"]
    for stream in streams.values():
        assert torch.allclose(stream.residual + stream.shortcut, stream.pre_activation, atol=1e-6)


class TwoBranches(Layers):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv1(x) + self.conv2(x)


class TwoSums(Layers):
    def forward(self, x: Tensor) -> Tensor:
        x = x + self.conv1(x)
        return x + self.conv2(x)


class Aside(Layers):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x + self.conv1(x), x


class Gating(Layers):
    def forward(self, x: Tensor) -> Tensor:
        return (x + self.branch(x)) * x


@pytest.mark.parametrize("block", [TwoBranches, TwoSums, Gating, Aside])
def test_what_is_no_residual_block_is_not_taken_for_one(block: Callable[..., nn.Module]) -> None:
    assert residual_blocks(nn.Sequential(block(), block())) == {}
