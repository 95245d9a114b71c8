"""The ledger of paths: with this photo's ReLU and max-pool choices frozen, the logit is a sum over paths.

A network of ReLUs, max-pools, convolutions and batch norms in eval mode is affine around a photo: as long as
every ReLU and every max-pool chooses as it does for this photo, each block is ``out = D (F h + S h + bias)``.
Multiplied out, the logit is exactly a sum over the 2^N ways through N blocks, each crossing the residual
branch F or the shortcut S of every block (Veit et al. 2016, https://arxiv.org/abs/1605.06431; pathwise
explanation, https://arxiv.org/abs/2506.18037), plus what every bias, those of batch norm included,
contributes from where it enters (FullGrad, https://arxiv.org/abs/1905.00780). Frozen choices were made by all
paths together: a path's share is not what the network would lose without it; that is what
``analysis.ablation`` measures.

The work goes from the logit back: the adjoint of each path is carried block by block to the input, where its
inner product with the photo is the path's share, place by place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from resnet_demo.analysis.capture import hook_blocks
from resnet_demo.explanations import PathLedger, PathLengths
from resnet_demo.networks.residual_blocks import activation_of, residual_blocks

MOST_BLOCKS = 8  # 256 paths; deeper networks are told by length alone

Progress = Callable[[float], None]


@dataclass
class _Linearised:
    """One block at the photo: pieces of graph from the block's input to both sides of its sum.

    ``before`` is the leaf that this block follows: the photo, or the output of the block before it.
    """

    before: Tensor
    incoming: Tensor  # what the block is given, in the graph of ``before``: a stem may lie between
    start: Tensor  # (1, C, H, W), the leaf that stands for the block's input
    residual: Tensor  # (1, D, h, w), in the graph of ``start``
    shortcut: Tensor  # (1, D, h, w), likewise; ``start`` itself for the identity
    total: Tensor  # (1, D, h, w), the sum
    activation: Callable[[Tensor], Tensor]

    def through_stem(self, adjoint: Tensor) -> Tensor:
        """The adjoint at what the block follows, of one at the block's input."""
        return _vjp(self.incoming, self.before, adjoint)

    def through_activation(self, adjoint: Tensor) -> Tensor:
        """The adjoint at the sum of one at the block's output."""
        with torch.enable_grad():
            total = self.total.detach().requires_grad_()
            return _vjp(self.activation(total.clone()), total, adjoint)

    def through_branch(self, adjoint: Tensor) -> Tensor:
        """The adjoint at the block's input, along F, of one at the sum."""
        return _vjp(self.residual, self.start, adjoint)

    def through_shortcut(self, adjoint: Tensor) -> Tensor:
        """The adjoint at the block's input, along the shortcut, of one at the sum."""
        return _vjp(self.shortcut, self.start, adjoint)


@dataclass
class _Frozen:
    """A network around one photo."""

    photo: Tensor  # (1, C, H, W), a leaf
    blocks: dict[str, _Linearised]
    last: Tensor  # the leaf that stands for the last block's output
    logit: Tensor  # 0-dim, in the graph of ``last``


def _vjp(output: Tensor, source: Tensor, adjoint: Tensor) -> Tensor:
    """``adjoint`` (of ``output``) carried back to ``source``; zeros where ``output`` does not depend on
    it."""
    if output is source:
        return adjoint
    if not output.requires_grad:
        return torch.zeros_like(source)
    (found,) = torch.autograd.grad(output, source, adjoint, retain_graph=True, allow_unused=True)
    return torch.zeros_like(source) if found is None else found


def path_ledger(model: nn.Module, x: Tensor, index: int | None = None) -> PathLedger:
    """Every path's share of one logit, with its map on the photo, and every bias's share.

    Args:
        model: in eval mode, at most ``MOST_BLOCKS`` residual blocks; float64 makes the sum exact to 1e-14.
        x: (1, C, H, W) input as the network takes it, of the model's dtype.
        index: which logit; the largest one for None (the only one of a binary network).

    Raises:
        ValueError: more blocks than that, or more than one photo.
    """
    frozen = _freeze(model, x, index)
    if len(frozen.blocks) > MOST_BLOCKS:
        raise ValueError(
            f"{len(frozen.blocks)} blocks make 2^{len(frozen.blocks)} paths; at most {MOST_BLOCKS} blocks are"
            " told path by path, deeper networks by length"
        )
    biases = _Biases(frozen)
    adjoints: list[tuple[tuple[bool, ...], Tensor]] = [((), biases.head())]
    for name in reversed(frozen.blocks):
        block = frozen.blocks[name]
        before: list[tuple[tuple[bool, ...], Tensor]] = []
        for crossed, adjoint in adjoints:
            branch, around = biases.carried(name, block, adjoint)
            before += [((False, *crossed), around), ((True, *crossed), branch)]
        adjoints = before
    maps = [(adjoint * frozen.photo).sum(1)[0].detach() for _, adjoint in adjoints]
    found = torch.stack(maps).cpu()  # (2^N, H, W)
    return PathLedger(
        branches=tuple(crossed for crossed, _ in adjoints),
        shares=found.sum((1, 2)).double().numpy(),
        maps=found.float().numpy(),
        biases=biases.shares(),
        logit=float(frozen.logit.detach()),
    )


def path_lengths(
    model: nn.Module, x: Tensor, index: int | None = None, progress: Progress = lambda share: None
) -> PathLengths:
    """The shares of one logit by how many residual branches the paths cross, and every bias's share.

    The adjoints of all paths that have crossed k branches travel as one: the coefficients of a polynomial
    that every block multiplies by (S + z F). Args, exactness and errors as ``path_ledger``, for any number of
    blocks; ``progress`` is told the share of the blocks that is done.
    """
    frozen = _freeze(model, x, index)
    biases = _Biases(frozen)
    by_length = [biases.head()]
    for done, name in enumerate(reversed(frozen.blocks)):
        block = frozen.blocks[name]
        before: list[Tensor | None] = [None] * (len(by_length) + 1)
        for crossed, adjoint in enumerate(by_length):
            branch, around = biases.carried(name, block, adjoint)
            there = before[crossed]
            before[crossed] = around if there is None else there + around
            before[crossed + 1] = branch
        by_length = [adjoint for adjoint in before if adjoint is not None]
        progress((done + 1) / len(frozen.blocks))
    shares = tuple(float((adjoint * frozen.photo).sum().detach()) for adjoint in by_length)
    return PathLengths(shares, biases.shares(), float(frozen.logit.detach()))


class _Biases:
    """What every bias contributes to the logit, by where it enters: a value less its linear part."""

    def __init__(self, frozen: _Frozen) -> None:
        self.frozen = frozen
        self.found = dict.fromkeys(("stem", *frozen.blocks, "head"), 0.0)

    def head(self) -> Tensor:
        """The adjoint at the last block's output; the head's biases are noted."""
        logit, last = self.frozen.logit, self.frozen.last
        adjoint = _vjp(logit, last, torch.ones_like(logit))
        self._note("head", logit, adjoint * last)
        return adjoint

    def carried(self, name: str, block: _Linearised, adjoint: Tensor) -> tuple[Tensor, Tensor]:
        """One adjoint at the block's output as two at what the block follows: along F, and along the
        shortcut."""
        at_sum = block.through_activation(adjoint)
        branch, around = block.through_branch(at_sum), block.through_shortcut(at_sum)
        self._note(name, adjoint * block.activation(block.total.clone()), (branch + around) * block.start)
        outer = block.through_stem(branch), block.through_stem(around)
        first = block.before is self.frozen.photo
        between = (branch + around) * block.incoming
        self._note("stem" if first else name, between, (outer[0] + outer[1]) * block.before)
        return outer

    def _note(self, name: str, value: Tensor, linear: Tensor) -> None:
        self.found[name] += float((value.sum() - linear.sum()).detach())

    def shares(self) -> tuple[tuple[str, float], ...]:
        """(where, share); a stem without biases is left out."""
        return tuple((name, share) for name, share in self.found.items() if name != "stem" or share)


def _freeze(model: nn.Module, x: Tensor, index: int | None) -> _Frozen:
    """Run the photo once, keeping each block's piece of graph apart from the next one's."""
    if len(x) != 1:
        raise ValueError(f"one photo at a time is needed, got {len(x)}")
    blocks = residual_blocks(model)
    kept: dict[str, dict[str, Tensor]] = {name: {} for name in blocks}
    starts: dict[str, Tensor] = {}

    def putter(name: str) -> Callable[[str, Tensor], None]:
        def put(stream: str, tensor: Tensor) -> None:
            # a clone stays in the graph, and is safe from what torchvision's blocks do in place
            kept[name][stream] = tensor if tensor is starts.get(name) else tensor.clone()

        return put

    photo = x.detach().clone().requires_grad_()
    joints = _Joints(photo)
    with (
        hook_blocks(model, blocks, putter),
        torch.inference_mode(False),
        torch.enable_grad(),
        _cut(blocks, joints, starts),
    ):
        logits = model(photo)  # (1, K)
        logit = logits[0, int(logits[0].argmax()) if index is None else index]
    linearised = {}
    for name, block in blocks.items():
        before, incoming = joints.found[name]
        streams = kept[name]
        linearised[name] = _Linearised(
            before,
            incoming,
            starts[name],
            streams["residual"],
            streams["shortcut"],
            streams["pre_activation"].detach(),
            activation_of(block),
        )
    return _Frozen(photo, linearised, joints.last, logit)


@dataclass
class _Joints:
    """Where the graph was cut: the leaf that comes last so far, and for each block what it follows and is
    given."""

    last: Tensor
    found: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)


@contextmanager
def _cut(blocks: dict[str, nn.Module], joints: _Joints, starts: dict[str, Tensor]) -> Iterator[None]:
    """Inside the ``with`` every block's input and output are leaves of their own."""

    def into(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]:
        def hook(_module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            joints.found[name] = joints.last, args[0].clone()
            starts[name] = args[0].detach().clone().requires_grad_()
            return (starts[name], *args[1:])

        return hook

    def out_of(_module: nn.Module, _args: tuple[Tensor, ...], out: Tensor) -> Tensor:
        joints.last = out.detach().clone().requires_grad_()
        return joints.last.clone()

    handles = []
    try:
        for name, block in blocks.items():
            handles.append(block.register_forward_pre_hook(into(name), prepend=True))
            handles.append(block.register_forward_hook(out_of))
        yield
    finally:
        for handle in handles:
            handle.remove()
