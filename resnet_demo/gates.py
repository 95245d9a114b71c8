"""Turn branches down or off for one request: a 0..1 factor on each side of a block's sum.

Veit et al. 2016 (https://arxiv.org/abs/1605.06431) deleted single residual branches of
trained networks and watched the answer. Gates do it without touching a parameter: forward
hooks scale what leaves the branch and what leaves the shortcut, and are gone afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from resnet_demo.capture import branch_end, residual_blocks
from resnet_demo.records import Gate


@contextmanager
def gated(model: nn.Module, gates: Mapping[str, Gate]) -> Iterator[None]:
    """Inside the ``with``, each named block of ``model`` sums ``g_r * F(x) + g_s * shortcut``.

    A gate of 1 installs nothing, so all gates at 1 leave the logits bit for bit as they are.
    Enter it before ``capture_blocks``: streams are then recorded as they enter the sum.
    Hold the model's lock around it.

    Args:
        model: a network of the notebook's blocks or torchvision's.
        gates: block name -> gate.

    Raises:
        ValueError: a name is not a block's, or an identity shortcut is to be gated (there
            is no module whose output could be scaled).
    """
    blocks: dict[str, Any] = dict(residual_blocks(model))
    if unknown := gates.keys() - blocks.keys():
        raise ValueError(f"No block is called {sorted(unknown)[0]!r}; the blocks are {', '.join(blocks)}.")
    handles: list[RemovableHandle] = []
    try:
        for name, gate in gates.items():
            block = blocks[name]
            if gate.residual != 1:
                handles.append(branch_end(block).register_forward_hook(_scale(gate.residual)))
            if gate.shortcut != 1:
                if block.downsample is None:
                    raise ValueError(f"{name} has an identity shortcut, which cannot be gated.")
                handles.append(block.downsample.register_forward_hook(_scale(gate.shortcut)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _scale(factor: float) -> Any:
    def hook(_module: nn.Module, _args: tuple[Tensor, ...], out: Tensor) -> Tensor:
        return out * factor

    return hook
