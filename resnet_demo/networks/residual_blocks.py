"""Residual blocks of any class: where F(x), the shortcut, their sum and the activation are found in each.

A block computes ``activation(F(x) + shortcut(x))`` (He et al. 2015, https://arxiv.org/abs/1512.03385) or
``F(x) + shortcut(x)`` (He et al. 2016, https://arxiv.org/abs/1603.05027). A ``BlockKind`` says, for one
class, which of its modules hold these values; of a class without a kind the sum is looked for in what its
``forward`` does (``block_tracer``). This is the one place where classes of blocks are told apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from resnet_demo.networks.block_tracer import TracedSum, trace_sum

Where = (
    str | Callable[[Any], Any]
)  # a dotted name in the block, or what finds the module when given the block
Activation = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class BlockKind:
    """Where the values of one class of residual block are; each place is a dotted name or a function of the
    block.

    Attributes:
        residual: the module whose last output is F(x) as it enters the sum: after any pooling and scaling.
        start: the module that is first given the block's input on the way to F(x).
        shortcut: the module whose output is the shortcut; where that is None, the block's own input is.
        takes_sum: the module that is given the sum; None if the block's output is the sum.
        call: at which of its calls in one forward pass it is given the sum, counted from 1.
        activation: what makes the output from the sum, in eval mode; None if the output is the sum.
    """

    residual: Where
    start: Where = "conv1"
    shortcut: Where = "downsample"
    takes_sum: Where | None = None
    call: int | Callable[[Any], int] = 1
    activation: Where | None = None


@dataclass(frozen=True)
class SumPoints:
    """The modules of one block, as its kind finds them; see ``BlockKind``."""

    residual: nn.Module
    start: nn.Module
    shortcut: nn.Module | None
    takes_sum: nn.Module | None
    call: int
    activation: Activation


_KINDS: dict[str, BlockKind] = {}  # by the class's module and name: a class need not be imported to have one


def register_block(block: type[nn.Module] | str, kind: BlockKind) -> None:
    """Say where the values of a class of block are, for ``capture_blocks``, gates and all that builds on
    them.

    Subclasses have the same kind unless they have a ``forward`` of their own. The first capture checks that
    the values add up.

    Args:
        block: the class, or its module and name, such as "torchvision.models.resnet.BasicBlock".
        kind: where its values are.

    Example::

        register_block(MyBlock, BlockKind(residual="norm2", shortcut="project", takes_sum="act",
        activation="act"))
    """
    _KINDS[block if isinstance(block, str) else _name(block)] = kind


def _name(block: type) -> str:
    return f"{block.__module__}.{block.__qualname__}"


def declared_kind(block: nn.Module) -> BlockKind | None:
    """The registered kind of ``block``, or None."""
    if "forward" in vars(block):  # replaced on this one block
        return None
    for cls in type(block).__mro__:
        kind = _KINDS.get(_name(cls))
        if kind is not None:
            return kind if type(block).forward is cls.__dict__.get("forward", type(block).forward) else None
    return None


def sum_points(block: nn.Module) -> SumPoints | TracedSum:
    """Where the values of ``block`` are: modules if its class has a kind, else the addition that was found.

    Raises:
        ValueError: it has no kind, and no sum of a branch and a shortcut was found in it.
    """
    kind = declared_kind(block)
    if kind is None:
        traced = trace_sum(block)
        if traced is None:
            raise ValueError(f"{type(block).__name__} is no residual block.")
        return traced
    residual, start = _find(block, kind.residual), _find(block, kind.start)
    if not isinstance(residual, nn.Module) or not isinstance(start, nn.Module):
        raise ValueError(f"The kind of {type(block).__name__} names modules that it does not have.")
    return SumPoints(
        residual,
        start,
        _find(block, kind.shortcut),
        _find(block, kind.takes_sum) if kind.takes_sum is not None else None,
        kind.call(block) if callable(kind.call) else kind.call,
        _find(block, kind.activation) if kind.activation is not None else _same,
    )


def _same(tensor: Tensor) -> Tensor:
    return tensor


def _find(block: Any, where: Where) -> Any:
    if callable(where):
        return where(block)
    for part in where.split("."):
        block = getattr(block, part, None)
    return block


def activation_of(block: nn.Module) -> Activation:
    """What makes the output of ``block`` from its sum, in eval mode."""
    return sum_points(block).activation


def residual_blocks(model: nn.Module) -> dict[str, nn.Module]:
    """The residual blocks of ``model`` by name, in the order in which it holds them.

    Blocks of a registered kind are taken as they are. Elsewhere a module is a block if its own ``forward``
    adds F(x) and a shortcut; of blocks within a block the outer one counts, unless it holds several.
    """
    found: dict[str, nn.Module] = {}
    _search("", model, found)
    return found


def _search(name: str, module: nn.Module, found: dict[str, nn.Module]) -> bool:
    """Add the blocks in ``module``, itself included; whether a block of a registered kind is among them."""
    if declared_kind(module) is not None:
        found[name] = module
        return True
    inside: dict[str, nn.Module] = {}
    children = list(module.named_children())
    declared = [_search(f"{name}.{child}" if name else child, m, inside) for child, m in children]
    if children and not any(declared) and len(inside) <= 1 and trace_sum(module) is not None:
        inside = {name: module}
    found.update(inside)
    return any(declared)


def _last_of(*names: str) -> Callable[[Any], Any]:
    """The first of these modules that the block has."""
    return lambda block: next(m for name in names if (m := getattr(block, name, None)) is not None)


TORCHVISION, TIMM, TIMM_V2 = "torchvision.models.resnet.", "timm.models.resnet.", "timm.models.resnetv2."
register_block(TORCHVISION + "BasicBlock", BlockKind("bn2", takes_sum="relu", call=2, activation="relu"))
register_block(TORCHVISION + "Bottleneck", BlockKind("bn3", takes_sum="relu", call=3, activation="relu"))
register_block(
    TIMM + "BasicBlock",
    BlockKind(_last_of("drop_path", "se", "bn2"), takes_sum="act2", activation="act2"),
)
register_block(
    TIMM + "Bottleneck",
    BlockKind(_last_of("drop_path", "se", "bn3"), takes_sum="act3", activation="act3"),
)
for _class in ("PreActBasic", "PreActBottleneck"):
    register_block(TIMM_V2 + _class, BlockKind("drop_path", start="norm1"))
register_block(TIMM_V2 + "Bottleneck", BlockKind("drop_path", takes_sum="act3", activation="act3"))
