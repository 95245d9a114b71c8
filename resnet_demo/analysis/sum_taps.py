"""Listen to, and scale, both sides of an addition inside a block's ``forward``, while its own code runs.

For blocks of which only the tracer knows where the sum is (``networks/block_tracer``): no module may hold the
sum or its sides, so the addition itself is met by a ``TorchFunctionMode``, which is active while the block
runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from resnet_demo.networks.block_tracer import TracedSum

Put = Callable[[str, Tensor], None]


@dataclass
class _Tap(TorchFunctionMode):
    """What is done at the sum of one block: first every scale, then everybody who listens."""

    plan: TracedSum
    scales: list[tuple[float, float]] = field(default_factory=list)
    listeners: list[Put] = field(default_factory=list)
    handles: list[RemovableHandle] = field(default_factory=list)
    seen: int = 0  # additions of two tensors in the block's own code, in this call
    inside: int = 0  # children that run: their additions are not the block's

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if self.inside or name not in ("add", "add_") or len(args) != 2:
            return func(*args, **kwargs)
        if not (isinstance(args[0], Tensor) and isinstance(args[1], Tensor)):
            return func(*args, **kwargs)
        self.seen += 1
        if self.seen != self.plan.index + 1:
            return func(*args, **kwargs)
        return self._sum(func, name, list(args), kwargs)

    def _sum(self, func: Any, name: str, sides: list[Tensor], kwargs: dict[str, Any]) -> Tensor:
        shortcut, residual = (0, 1) if self.plan.shortcut_first else (1, 0)
        for residual_factor, shortcut_factor in self.scales:
            for side, factor in ((residual, residual_factor), (shortcut, shortcut_factor)):
                if factor == 1:
                    continue
                if name == "add_" and side == 0:  # its caller may keep this very tensor
                    sides[0].mul_(factor) if factor else sides[0].zero_()
                else:
                    sides[side] = sides[side] * factor if factor else torch.zeros_like(sides[side])
        as_added = [sides[0], sides[1] * kwargs["alpha"] if "alpha" in kwargs else sides[1]]
        for put in self.listeners:
            put("residual", as_added[residual])
            put("shortcut", as_added[shortcut])
        out: Tensor = func(*sides, **kwargs)
        for put in self.listeners:
            put("pre_activation", out)
        return out

    def install(self, block: nn.Module) -> None:
        """Be active while ``block`` runs."""

        def enter(_module: nn.Module, _args: Any) -> None:
            self.seen = self.inside = 0
            self.__enter__()

        def leave(_module: nn.Module, _args: Any, _out: Any) -> None:
            self.__exit__(None, None, None)

        def child_enters(_module: nn.Module, _args: Any) -> None:
            self.inside += 1

        def child_leaves(_module: nn.Module, _args: Any, _out: Any) -> None:
            self.inside -= 1

        self.handles = [
            block.register_forward_pre_hook(enter),
            block.register_forward_hook(leave, prepend=True, always_call=True),
        ]
        for child in set(block.children()):
            self.handles += [
                child.register_forward_pre_hook(child_enters),
                child.register_forward_hook(child_leaves, always_call=True),
            ]


_taps: dict[nn.Module, _Tap] = {}  # of the blocks in use now; whoever uses one holds its model's lock


@contextmanager
def tap_sum(
    block: nn.Module, plan: TracedSum, scale: tuple[float, float] | None = None, put: Put | None = None
) -> Iterator[None]:
    """Inside the ``with``, the sum of ``block`` is scaled or listened to.

    Args:
        plan: where the sum is.
        scale: factors of residual and shortcut. They act before anybody listens, whoever came first.
        put: told of "residual", "shortcut" and "pre_activation" as they enter and leave the sum.
    """
    tap = _taps.get(block)
    if tap is None:
        tap = _taps[block] = _Tap(plan)
        tap.install(block)
    try:
        if scale is not None:
            tap.scales.append(scale)
        if put is not None:
            tap.listeners.append(put)
        yield
    finally:
        if scale is not None:
            tap.scales.remove(scale)
        if put is not None:
            tap.listeners.remove(put)
        if not tap.scales and not tap.listeners:
            for handle in tap.handles:
                handle.remove()
            _taps.pop(block, None)
