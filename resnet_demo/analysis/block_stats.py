"""What the blocks did to each photo of a batch, as numbers alone or as the record that the page draws from.

Both are taken while the forward pass runs: norms in float32 where the streams are, and streams narrowed to
float16 the moment they exist, so that those of a deep network never lie in memory in float32 all together
(ResNet-152's would take 210 MB).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnet_demo.analysis.capture import Put, hook_blocks, residual_blocks
from resnet_demo.records import STREAM_NAMES, Block

FLOAT16_MAX = 6e4  # beyond this a stream is kept in float32
SUMS = ("residual", "shortcut", "output", "product")


@dataclass
class MeasuredBlock:
    """What is measured of one block for a batch of B photos, in float32 on the device of the run.

    Attributes:
        shape: (C, H, W) of its streams.
        sums: each (B,): norms of "residual", "shortcut" and "output", and "product", of the first two, summed.
    """

    shape: tuple[int, int, int] = (0, 0, 0)
    sums: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def putter(self) -> Put:
        """What to tell of the block's streams.

        No stream is copied: residual and shortcut are read when the later of the two has just been made, before
        anything is added to either in place.
        """
        waiting: dict[str, Tensor] = {}

        def put(stream: str, tensor: Tensor) -> None:
            if stream in ("residual", "shortcut"):
                waiting[stream] = _rows(tensor)
                self.sums[stream] = torch.linalg.vector_norm(waiting[stream], dim=(1, 2))
                if len(waiting) == 2:
                    # row by row, since one sum of a million products would lose the fifth digit
                    products = torch.linalg.vecdot(waiting.pop("residual"), waiting.pop("shortcut"))
                    self.sums["product"] = products.sum(1)
            elif stream == "output":
                _, c, h, w = tensor.shape
                self.shape = (c, h, w)
                self.sums["output"] = torch.linalg.vector_norm(_rows(tensor), dim=(1, 2))

        return put


@contextmanager
def measure_blocks(model: nn.Module) -> Iterator[dict[str, MeasuredBlock]]:
    """As ``capture_blocks``, but only the norms of the streams are kept, and residual times shortcut, summed.

    Raises:
        ValueError: ``model`` has no residual block.
    """
    blocks = residual_blocks(model)
    measured = {name: MeasuredBlock() for name in blocks}
    with hook_blocks(model, blocks, lambda name: measured[name].putter()):
        yield measured


@dataclass
class RecordedBlock(MeasuredBlock):
    """What is recorded of one block for a batch of B photos, on the device of the run.

    Attributes:
        streams: STREAM_NAMES by name, each (B, C, H, W), contiguous.
        means: (B, C) float32, each channel's mean in the output.
        adds: (B, H, W) float32, see ``Block.added``.
    """

    streams: dict[str, Tensor] = field(default_factory=dict, repr=False)
    means: Tensor = field(default_factory=lambda: torch.zeros(0), repr=False)
    adds: Tensor = field(default_factory=lambda: torch.zeros(0), repr=False)


@contextmanager
def record_blocks(model: nn.Module, dtype: torch.dtype = torch.float16) -> Iterator[dict[str, RecordedBlock]]:
    """As ``capture_blocks``, but each stream is kept in ``dtype``, and what ``measure_blocks`` measures is, too.

    Raises:
        ValueError: ``model`` has no residual block.
    """
    blocks = residual_blocks(model)
    recorded = {name: RecordedBlock() for name in blocks}

    def putter(name: str) -> Put:
        found = recorded[name]
        measure = found.putter()

        def put(stream: str, tensor: Tensor) -> None:
            measure(stream, tensor)
            found.streams[stream] = tensor.to(dtype, copy=True, memory_format=torch.contiguous_format)
            if stream == "shortcut":
                found.adds = tensor.relu().mean(1, dtype=torch.float32).neg_()
            elif stream == "output":
                found.adds = found.adds + tensor.mean(1, dtype=torch.float32)
                found.means = tensor.mean((2, 3), dtype=torch.float32)

        return put

    with hook_blocks(model, blocks, putter):
        yield recorded


def sums_of(blocks: Mapping[str, MeasuredBlock]) -> NDArray[np.float64]:
    """What was measured, on the host: (B, blocks, 4), the last in the order of SUMS."""
    rows = [torch.stack([block.sums[name] for name in SUMS]) for block in blocks.values()]
    found: NDArray[np.float64] = torch.stack(rows).permute(2, 0, 1).cpu().numpy().astype(np.float64)
    return found


def cosine(residual: float, shortcut: float, product: float) -> float:
    """Of the angle between two streams of these norms and this inner product, -1..1; 0 if one of them is zero."""
    return max(-1.0, min(1.0, product / (residual * shortcut))) if residual and shortcut else 0.0


def to_records(blocks: Mapping[str, RecordedBlock]) -> list[tuple[Block, ...]] | None:
    """What was recorded, on the host: the blocks of each photo of the batch, in arrays of its own.

    Returns:
        None if a value was too large for float16, in which the streams were recorded. In float32 none is; there
        each stream that float16 can hold is narrowed now.
    """
    sums = sums_of(blocks)
    narrow = next(iter(blocks.values())).streams["output"].dtype == torch.float16
    if narrow and overflown(blocks, sums):
        return None
    alone = len(sums) == 1  # else what a visitor keeps must not keep the others' photos in memory

    def each(tensor: Tensor) -> Callable[[int], NDArray[np.floating]]:
        array = tensor.cpu().numpy()
        return lambda i: array[i] if alone else array[i].copy()

    found: list[list[Block]] = [[] for _ in sums]
    for place, (name, block) in enumerate(blocks.items()):
        streams = {stream: each(block.streams[stream]) for stream in STREAM_NAMES}
        means, adds = each(block.means), each(block.adds)
        for photo, row in enumerate(sums[:, place].tolist()):
            maps = {stream: take(photo) for stream, take in streams.items()}
            if not narrow:
                maps = {stream: _narrowed(array) for stream, array in maps.items()}
            f, s, out, product = row
            found[photo].append(
                Block(
                    name,
                    **maps,
                    residual_norm=f,
                    shortcut_norm=s,
                    output_norm=out,
                    cosine=cosine(f, s, product),
                    means=means(photo).astype(np.float32, copy=False),
                    adds=adds(photo).astype(np.float32, copy=False),
                )
            )
    return [tuple(photo) for photo in found]


def overflown(blocks: Mapping[str, RecordedBlock], sums: NDArray[np.float64]) -> bool:
    """Whether a value of the streams became infinite, or was not finite before."""
    # no value is larger than its stream's norm, and none of the sum than both norms together
    largest = np.maximum(sums[..., 0] + sums[..., 1], sums[..., 2]).max(0)
    doubtful = [block for block, most in zip(blocks.values(), largest, strict=True) if not most < FLOAT16_MAX]
    totals = [stream.sum(dtype=torch.float32) for block in doubtful for stream in block.streams.values()]
    return bool(totals) and not bool(torch.isfinite(torch.stack(totals)).all())


def _narrowed(stream: NDArray[np.floating]) -> NDArray[np.floating]:
    """In float16, unless a value would overflow it."""
    fits = not stream.size or float(np.abs(stream).max()) < FLOAT16_MAX  # False if one is not a number
    return stream.astype(np.float16) if fits else stream


def _rows(tensor: Tensor) -> Tensor:
    """(B, C, H, W) to float32 (B, H, W * C): no copy for float32 in channels_last."""
    return tensor.detach().float().permute(0, 2, 3, 1).flatten(2)
