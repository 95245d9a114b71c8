"""What the blocks did to each photo of a batch, as records on the host.

Numbers are taken while the forward pass runs: norms in float32 where the streams are, and streams narrowed to
float16 the moment they exist, so that those of a deep network never lie in memory in float32 all together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnet_demo.analysis.capture import CapturedBlock, Put, hook_blocks, residual_blocks
from resnet_demo.records import STREAM_NAMES, Block

FLOAT16_MAX = 6e4  # beyond this a stream is kept in float32
SUMS = ("residual_norm", "shortcut_norm", "output_norm", "product")


@dataclass
class RecordedBlock(CapturedBlock):
    """What is recorded of one block for a batch of B photos, on the device of the run.

    Its ``tensors`` are the streams that are kept, (B, C, H, W), contiguous; SUMS, (B,) float32: the norms of
    three streams, and the inner product of residual and shortcut; "means", (B, C) float32, each channel's
    mean in the output; and if any stream is kept "adds", (B, H, W) float32, see ``Block.added``.

    Attributes:
        shape: (C, H, W) of its streams.
    """

    shape: tuple[int, int, int] = (0, 0, 0)


@contextmanager
def record_blocks(
    model: nn.Module, keep: Collection[str] = STREAM_NAMES, dtype: torch.dtype = torch.float16
) -> Iterator[dict[str, RecordedBlock]]:
    """As ``capture_blocks``, but only the streams named in ``keep`` are kept, in ``dtype``, beside the
    numbers that are taken of all.

    Raises:
        ValueError: ``model`` has no residual block.
    """
    blocks = residual_blocks(model)
    recorded = {name: RecordedBlock(name) for name in blocks}
    with hook_blocks(model, blocks, lambda name: _recorder(recorded[name], keep, dtype)):
        yield recorded


def _recorder(block: RecordedBlock, keep: Collection[str], dtype: torch.dtype) -> Put:
    """What to tell of the streams of ``block``.

    Nothing is copied for the numbers: residual and shortcut are read when the later of the two has just been
    made, before anything is added to either in place.
    """
    found = block.tensors
    waiting: dict[str, Tensor] = {}

    def put(stream: str, tensor: Tensor) -> None:
        if stream != "pre_activation":
            wide = tensor.detach().float()  # once for all its numbers; no copy of float32
        if stream in ("residual", "shortcut"):
            waiting[stream] = _rows(wide)
            found[f"{stream}_norm"] = torch.linalg.vector_norm(waiting[stream], dim=(1, 2))
            if len(waiting) == 2:
                # row by row, since one sum of a million products would lose the fifth digit
                products = torch.linalg.vecdot(waiting.pop("residual"), waiting.pop("shortcut"))
                found["product"] = products.sum(1)
        elif stream == "output":
            _, c, h, w = tensor.shape
            block.shape = (c, h, w)
            found["output_norm"] = torch.linalg.vector_norm(_rows(wide), dim=(1, 2))
            found["means"] = wide.mean((2, 3))
        if stream in keep:
            found[stream] = tensor.to(dtype, copy=True, memory_format=torch.contiguous_format)
        if keep and stream == "shortcut":
            found["adds"] = wide.relu().mean(1).neg_()
        elif keep and stream == "output":
            found["adds"] = found["adds"] + wide.mean(1)

    return put


def sums_of(blocks: Mapping[str, RecordedBlock]) -> NDArray[np.float64]:
    """What was measured, on the host: (B, blocks, 4), the last in the order of SUMS."""
    rows = [torch.stack([block.tensors[name] for name in SUMS]) for block in blocks.values()]
    found: NDArray[np.float64] = torch.stack(rows).permute(2, 0, 1).cpu().numpy().astype(np.float64)
    return found


def cosine(residual: float, shortcut: float, product: float) -> float:
    """Of the angle between two streams of these norms and this inner product, -1..1; 0 if one of them is
    zero."""
    return max(-1.0, min(1.0, product / (residual * shortcut))) if residual and shortcut else 0.0


def to_records(blocks: Mapping[str, RecordedBlock]) -> list[tuple[Block, ...]] | None:
    """What was recorded, on the host: the blocks of each photo of the batch, in arrays of its own.

    Returns:
        None if a value was too large for float16, in which the streams were recorded. In float32 none is;
        there each stream that float16 can hold is narrowed now.
    """
    sums = sums_of(blocks)
    if _overflown(blocks, sums):
        return None
    alone = len(sums) == 1  # else what a visitor keeps must not keep the others' photos in memory

    def each(tensor: Tensor) -> Callable[[int], NDArray[Any]]:
        array = tensor.cpu().numpy()
        return lambda i: array[i] if alone else array[i].copy()

    found: list[list[Block]] = [[] for _ in sums]
    for place, (name, block) in enumerate(blocks.items()):
        arrays = {kind: each(tensor) for kind, tensor in block.tensors.items() if kind not in SUMS}
        for photo, (f, s, out, product) in enumerate(sums[:, place].tolist()):
            taken = {kind: take(photo) for kind, take in arrays.items()}
            means, adds = taken.pop("means", None), taken.pop("adds", None)
            streams = {kind: _narrowed(taken[kind]) for kind in STREAM_NAMES if kind in taken}
            found[photo].append(
                Block(name, block.shape, f, s, out, cosine(f, s, product), streams, means, adds)
            )
    return [tuple(photo) for photo in found]


def _overflown(blocks: Mapping[str, RecordedBlock], sums: NDArray[np.float64]) -> bool:
    """Whether a value of a stream kept in float16 became infinite, or was not finite before."""
    # no value is larger than its stream's norm, and none of the sum than both norms together
    largest = np.maximum(sums[..., 0] + sums[..., 1], sums[..., 2]).max(0)
    doubtful = [block for block, most in zip(blocks.values(), largest, strict=True) if not most < FLOAT16_MAX]
    kept = [block.tensors[name] for block in doubtful for name in STREAM_NAMES if name in block.tensors]
    totals = [stream.sum(dtype=torch.float32) for stream in kept if stream.dtype == torch.float16]
    return bool(totals) and not bool(torch.isfinite(torch.stack(totals)).all())


def _narrowed(stream: NDArray[np.floating]) -> NDArray[np.floating]:
    """In float16, unless a value would overflow it."""
    if stream.dtype == np.float16:
        return stream
    fits = not stream.size or float(np.abs(stream).max()) < FLOAT16_MAX  # False if one is not a number
    return stream.astype(np.float16) if fits else stream


def _rows(tensor: Tensor) -> Tensor:
    """(B, C, H, W) float32 to (B, H, W * C): no copy in channels_last."""
    return tensor.permute(0, 2, 3, 1).flatten(2)
