"""Record what travels through every residual block during a forward pass.

Forward hooks live only inside the ``with``; each tensor they keep is detached and cloned,
because later in-place operations (torchvision's ``out += identity`` and in-place ReLU)
would otherwise overwrite it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from resnet_demo.analysis.stream_check import checked
from resnet_demo.analysis.sum_taps import Put, tap_sum
from resnet_demo.networks.block_tracer import TracedSum
from resnet_demo.networks.residual_blocks import SumPoints, residual_blocks, sum_points

__all__ = ["CapturedBlock", "Keep", "Put", "capture_blocks", "clone", "hook_blocks", "residual_blocks"]

Keep = Callable[[Tensor], Tensor]


@dataclass
class CapturedBlock:
    """The four streams of one block, each (B, C, H, W), in the dtype and on the device of the run.

    Reading a stream before the network has run raises KeyError.
    """

    name: str
    tensors: dict[str, Tensor] = field(default_factory=dict, repr=False)

    @property
    def residual(self) -> Tensor:
        """F(x) as it enters the sum: after the branch's max-pool where there is one."""
        return self.tensors["residual"]

    @property
    def shortcut(self) -> Tensor:
        """What goes around the branch: the projection's output, or the block's own input."""
        return self.tensors["shortcut"]

    @property
    def pre_activation(self) -> Tensor:
        """F(x) + shortcut, before dropout (which eval mode turns off) and the activation."""
        return self.tensors["pre_activation"]

    @property
    def output(self) -> Tensor:
        """The activation of the sum, or the sum itself in a pre-activation block: what the next block
        receives."""
        return self.tensors["output"]


def clone(tensor: Tensor) -> Tensor:
    """A copy that shares no memory and no graph with ``tensor``."""
    return tensor.detach().clone()


@contextmanager
def capture_blocks(model: nn.Module, keep: Keep = clone) -> Iterator[dict[str, CapturedBlock]]:
    """Inside the ``with``, a forward pass of ``model`` fills one record per residual block.

    The model is put in eval mode for the duration and given back in the mode it came in;
    gradients are off. One forward pass per ``with``: a second one overwrites the first.
    Not safe for two threads on one model at the same time; hold a lock around it.

    Args:
        model: a network with residual blocks, see ``networks.residual_blocks``.
        keep: what to do with each stream at the moment it exists; must copy.

    Yields:
        block name -> CapturedBlock, in forward order, filled as the forward pass runs.

    Raises:
        ValueError: ``model`` has no residual block.
        StreamError: in the forward pass, if the streams of a block do not add up.
    """
    blocks = residual_blocks(model)
    streams = {name: CapturedBlock(name) for name in blocks}

    def putter(name: str) -> Put:
        def put(stream: str, tensor: Tensor) -> None:
            streams[name].tensors[stream] = keep(tensor)

        return put

    with hook_blocks(model, blocks, putter):
        yield streams


@contextmanager
def hook_blocks(
    model: nn.Module, blocks: Mapping[str, nn.Module], putter: Callable[[str], Put]
) -> Iterator[None]:
    """Inside the ``with``, a forward pass of ``model`` hands each stream of each block over as it is made.

    The model is put in eval mode for the duration and given back in the mode it came in; gradients are off.

    Args:
        blocks: those of ``model``, by name.
        putter: block name -> what is told of the block's streams: "residual", "shortcut", "pre_activation",
            "output", each (B, C, H, W). What it wants to keep it must copy at once.

    Raises:
        ValueError: there are no blocks.
    """
    if not blocks:
        raise ValueError(f"{type(model).__name__} has no residual block to capture.")
    training = [module for module in model.modules() if module.training]
    with ExitStack() as stack:
        for name, block in blocks.items():
            stack.enter_context(hook_streams(block, checked(name, block, putter(name))))
        if training:
            stack.callback(_train, training)
            model.eval()
        with torch.inference_mode():
            yield


@contextmanager
def hook_streams(block: nn.Module, put: Put) -> Iterator[None]:
    """Inside the ``with``, a forward pass hands each stream of ``block`` over, whatever its values are."""
    points = sum_points(block)
    with ExitStack() as stack:
        if isinstance(points, TracedSum):
            stack.enter_context(tap_sum(block, points, put=put))
            handles = []
        else:
            handles = _hook_block(block, points, put)
        sum_is_output = isinstance(points, SumPoints) and points.takes_sum is None
        for handle in (*handles, _hook_output(block, put, sum_is_output)):
            stack.callback(handle.remove)
        yield


def _train(modules: Iterable[nn.Module]) -> None:
    for module in modules:
        module.training = True


def _hook_block(block: nn.Module, points: SumPoints, put: Put) -> list[RemovableHandle]:
    """Hand each stream of ``block`` over where its kind says that it is."""
    calls = 0  # of the module that takes the sum, in this forward pass

    def on_input(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
        nonlocal calls
        calls = 0
        if points.shortcut is None:  # identity
            put("shortcut", args[0])

    def on_residual(_module: nn.Module, _args: tuple[Tensor, ...], out: Tensor) -> None:
        put("residual", out)  # torchvision adds the shortcut to this very tensor

    def on_shortcut(_module: nn.Module, _args: tuple[Tensor, ...], out: Tensor) -> None:
        put("shortcut", out)

    def on_sum(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
        nonlocal calls
        calls += 1
        if calls == points.call:
            put("pre_activation", args[0])

    handles = [
        block.register_forward_pre_hook(on_input),
        points.residual.register_forward_hook(on_residual),
    ]
    if points.takes_sum is not None:
        handles.append(points.takes_sum.register_forward_pre_hook(on_sum))
    if points.shortcut is not None:
        handles.append(points.shortcut.register_forward_hook(on_shortcut))
    return handles


def _hook_output(block: nn.Module, put: Put, sum_is_output: bool) -> RemovableHandle:
    def on_output(_module: nn.Module, _args: tuple[Tensor, ...], out: Tensor) -> None:
        if sum_is_output:
            put("pre_activation", out)
        put("output", out)

    return block.register_forward_hook(on_output)
