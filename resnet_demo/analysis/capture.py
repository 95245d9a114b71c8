"""Record what travels through every residual block during a forward pass.

Forward hooks live only inside the ``with``; each tensor they keep is detached and cloned,
because later in-place operations (torchvision's ``out += identity`` and in-place ReLU)
would otherwise overwrite it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

Keep = Callable[[Tensor], Tensor]
Put = Callable[[str, Tensor], None]  # told of each stream by name, at the moment when it exists


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
        """The activation of the sum: what the next block receives."""
        return self.tensors["output"]


def residual_blocks(model: nn.Module) -> dict[str, nn.Module]:
    """The residual blocks of ``model`` by name, in the order of the forward pass.

    A block is a module with a ``conv1``, a last norm (``bn3`` or ``bn2``) and a
    ``downsample`` that may be None: the notebook's, and torchvision's BasicBlock and
    Bottleneck.
    """
    return {
        name: module
        for name, module in model.named_modules()
        if hasattr(module, "conv1") and hasattr(module, "bn2") and hasattr(module, "downsample")
    }


def branch_end(block: Any) -> nn.Module:
    """The module whose output is F(x) as it enters the block's sum."""
    if hasattr(block, "maxpool") and block.downsample is not None:
        end = block.maxpool  # the notebook's block pools its branch when its shortcut strides
    else:
        end = block.bn3 if hasattr(block, "bn3") else block.bn2
    assert isinstance(end, nn.Module)
    return end


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
        model: a network of the notebook's or torchvision's residual blocks.
        keep: what to do with each stream at the moment it exists; must copy.

    Yields:
        block name -> CapturedBlock, in forward order, filled as the forward pass runs.

    Raises:
        ValueError: ``model`` has no residual block.
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
        raise ValueError(f"{type(model).__name__} has no residual block (conv1, bn2, downsample) to capture.")
    handles: list[RemovableHandle] = []
    training = [module for module in model.modules() if module.training]
    try:
        for name, block in blocks.items():
            handles += _hook_block(block, putter(name))
        if training:
            model.eval()
        with torch.inference_mode():
            yield
    finally:
        for handle in handles:
            handle.remove()
        for module in training:
            module.training = True


def _hook_block(block: Any, put: Put) -> list[RemovableHandle]:
    calls = 0  # of the module that takes the sum, in this forward pass
    # The notebook's block hands its sum to the dropout, which is called for nothing else. In
    # torchvision's blocks the one ReLU is called after every norm, and last with the sum.
    takes_sum, last_call = (
        (block.dropout, 1) if hasattr(block, "dropout") else (block.relu, 3 if hasattr(block, "conv3") else 2)
    )

    def on_input(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
        nonlocal calls
        calls = 0
        if block.downsample is None:  # identity shortcut
            put("shortcut", args[0])

    def on_branch(_module: nn.Module, _args: tuple[Tensor, ...], out: Tensor) -> None:
        put("residual", out)  # torchvision adds the shortcut to this very tensor

    def on_shortcut(_module: nn.Module, _args: tuple[Tensor, ...], out: Tensor) -> None:
        put("shortcut", out)

    def on_sum(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
        nonlocal calls
        calls += 1
        if calls == last_call:
            put("pre_activation", args[0])

    def on_output(_module: nn.Module, _args: tuple[Tensor, ...], out: Tensor) -> None:
        put("output", out)

    handles = [
        block.register_forward_pre_hook(on_input),
        branch_end(block).register_forward_hook(on_branch),
        takes_sum.register_forward_pre_hook(on_sum),
        block.register_forward_hook(on_output),
    ]
    if block.downsample is not None:
        handles.append(block.downsample.register_forward_hook(on_shortcut))
    return handles
