"""Turn branches down or off for one request: a 0..1 factor on each side of a block's sum.

Veit et al. 2016 (https://arxiv.org/abs/1605.06431) deleted single residual branches of
trained networks and watched the answer. Gates do it without touching a parameter: forward
hooks scale what leaves the branch and what leaves the shortcut, and are gone afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from resnet_demo.analysis.sum_taps import tap_sum
from resnet_demo.networks.block_tracer import TracedSum
from resnet_demo.networks.residual_blocks import SumPoints, residual_blocks, sum_points
from resnet_demo.records import Gate


@contextmanager
def gated(model: nn.Module, gates: Mapping[str, Gate]) -> Iterator[None]:
    """Inside the ``with``, each named block of ``model`` sums ``g_r * F(x) + g_s * shortcut``.

    A gate of 1 installs nothing, so all gates at 1 leave the logits bit for bit as they are.
    Gates act before any other hook on the same module, so ``capture_blocks`` records both
    streams as they enter the sum, whichever of the two was entered first. Gradients flow
    through gates as through any multiplication. Hold the model's lock around it.

    Args:
        model: a network with residual blocks, see ``networks.residual_blocks``.
        gates: block name -> gate.

    Raises:
        ValueError: a name is not a block's.
    """
    blocks = residual_blocks(model)
    if unknown := gates.keys() - blocks.keys():
        raise ValueError(f"No block is called {sorted(unknown)[0]!r}; the blocks are {', '.join(blocks)}.")
    with ExitStack() as stack:
        for name, gate in gates.items():
            if gate.open:
                continue
            points = sum_points(blocks[name])
            if isinstance(points, TracedSum):
                stack.enter_context(tap_sum(blocks[name], points, scale=(gate.residual, gate.shortcut)))
                continue
            for handle in _scale_modules(blocks[name], points, gate):
                stack.callback(handle.remove)
        yield


def _scale_modules(block: nn.Module, points: SumPoints, gate: Gate) -> list[RemovableHandle]:
    """Scale what leaves the modules that make the two sides of the sum."""
    handles = []
    if gate.residual != 1:
        handles.append(_scale_output(points.residual, gate.residual))
    if gate.shortcut != 1 and points.shortcut is not None:
        handles.append(_scale_output(points.shortcut, gate.shortcut))
    elif gate.shortcut != 1:
        handles += _scale_identity(block, points.start, gate.shortcut)
    return handles


def _scaled(tensor: Tensor, factor: float) -> Tensor:
    """A new tensor, exactly zero for 0, even where ``tensor`` is not finite."""
    return tensor * factor if factor else torch.zeros_like(tensor)


def _scale_output(module: nn.Module, factor: float) -> RemovableHandle:
    def hook(_module: nn.Module, _args: tuple[Tensor, ...], out: Tensor) -> Tensor:
        return _scaled(out, factor)

    return module.register_forward_hook(hook, prepend=True)


def _scale_identity(block: nn.Module, start: nn.Module, factor: float) -> list[RemovableHandle]:
    """Gate a shortcut that no module computes: the block is given the scaled input, which is
    then all its shortcut has, and the first module of its branch is given the unscaled one back."""
    whole: list[Tensor] = []

    def before_block(_module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        whole[:] = args[:1]
        return (_scaled(args[0], factor),)

    def before_branch(_module: nn.Module, _args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (whole.pop(),)

    hooks: list[tuple[nn.Module, Callable[..., tuple[Tensor, ...]]]] = [
        (block, before_block),
        (start, before_branch),
    ]
    return [module.register_forward_pre_hook(hook, prepend=True) for module, hook in hooks]
