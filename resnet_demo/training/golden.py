"""Golden tensors: what a shipped network gave for a fixed input when it was trained, to be compared for
ever."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from resnet_demo.analysis.capture import capture_blocks
from resnet_demo.networks.checkpoints import _write


def golden_tensors(model: nn.Module, side: int = 64, seed: int = 0) -> dict[str, Tensor]:
    """What ``model`` does to one seeded input: "input" (1, C, side, side), each block's output
    under the block's name, and "logit" (1, num_logits). Any later version must give the same."""
    first = next(model.parameters())
    x = torch.randn(1, first.shape[1], side, side, generator=torch.Generator().manual_seed(seed))
    with capture_blocks(model) as streams:
        logit = model(x)
    return {"input": x, "logit": logit.clone()} | {name: block.output for name, block in streams.items()}


def save_golden(model: nn.Module, path: Path, side: int = 64) -> Path:
    """Write ``golden_tensors(model, side)`` to ``path``; ``model`` as loaded from its checkpoint."""
    tensors = {name: tensor.contiguous() for name, tensor in golden_tensors(model, side).items()}
    _write(path, save_safetensors(tensors))
    return path
