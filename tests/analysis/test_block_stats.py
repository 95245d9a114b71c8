"""What is measured and recorded during a pass is what the captured streams say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from example_networks import NETS, SMALL, hooks_on, one_thread, small  # noqa: F401
from torch import nn

from resnet_demo.analysis.block_stats import (
    FLOAT16_MAX,
    STREAM_NAMES,
    cosine,
    record_blocks,
    to_records,
)
from resnet_demo.analysis.capture import capture_blocks


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_what_is_measured_is_what_would_be_captured(name: str, memory: torch.memory_format) -> None:
    torch.manual_seed(0)
    model = NETS[name]().to(memory_format=memory)
    x = torch.randn(3, 1 if name == "one channel" else 3, 45, 61).to(memory_format=memory)
    with capture_blocks(model) as streams:
        expected = model(x)
    with record_blocks(model, keep=()) as measured:
        found = model(x)
    assert torch.equal(found, expected)  # bit for bit
    assert measured.keys() == streams.keys()
    for block, numbers in zip(streams.values(), measured.values(), strict=True):
        assert numbers.shape == block.output.shape[1:]
        for stream in ("residual", "shortcut", "output"):
            norms = getattr(block, stream).flatten(1).norm(dim=1)
            assert torch.allclose(numbers.tensors[f"{stream}_norm"], norms, rtol=1e-4)
        product = (block.residual * block.shortcut).flatten(1).sum(1)
        scale = float((numbers.tensors["residual_norm"] * numbers.tensors["shortcut_norm"]).max())
        assert torch.allclose(numbers.tensors["product"], product, atol=1e-5 * scale)
    assert hooks_on(model) == 0
    with pytest.raises(ValueError, match="no residual block"), record_blocks(nn.Linear(2, 2)):
        pass


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("count", [1, 3])
def test_what_is_recorded_is_what_would_be_captured(name: str, count: int) -> None:
    model = small(name).to(memory_format=torch.channels_last)
    x = torch.randn((count, 3, 45, 61), generator=torch.Generator().manual_seed(1))
    with capture_blocks(model) as streams:
        expected = model(x)
    with record_blocks(model) as blocks:
        assert torch.equal(model(x), expected)  # bit for bit
    photos = to_records(blocks)
    assert photos is not None
    assert len(photos) == count
    for i, photo in enumerate(photos):
        assert [block.name for block in photo] == list(streams)
        for block, stream in zip(photo, streams.values(), strict=True):
            for kind in STREAM_NAMES:
                array = getattr(block, kind)
                assert array.dtype == np.float16
                assert array.flags.c_contiguous
                assert np.array_equal(array, getattr(stream, kind)[i].half().numpy())
            residual, shortcut, output = (
                getattr(stream, k)[i].numpy() for k in ("residual", "shortcut", "output")
            )
            assert block.residual_norm == pytest.approx(np.linalg.norm(residual), rel=1e-4)
            assert block.shortcut_norm == pytest.approx(np.linalg.norm(shortcut), rel=1e-4)
            assert block.output_norm == pytest.approx(np.linalg.norm(output), rel=1e-4)
            angle = (residual * shortcut).sum() / np.linalg.norm(residual) / np.linalg.norm(shortcut)
            assert block.cosine == pytest.approx(angle, abs=1e-4)
            assert np.allclose(block.activity, output.mean((1, 2)), rtol=1e-4, atol=1e-6)
            assert np.allclose(
                block.added, output.mean(0) - np.maximum(shortcut, 0).mean(0), rtol=1e-4, atol=1e-5
            )
    assert hooks_on(model) == 0


def test_no_photo_keeps_the_others_in_memory() -> None:
    model = small("notebook")
    with record_blocks(model) as blocks:
        model(torch.rand(4, 3, 32, 32))
    photos = to_records(blocks)
    assert photos is not None
    for block in (block for photo in photos for block in photo):
        for array in (*(getattr(block, kind) for kind in STREAM_NAMES), block.activity, block.added):
            root = array
            while isinstance(root.base, np.ndarray):
                root = root.base
            assert root.nbytes == array.nbytes


def test_values_that_float16_cannot_hold_are_kept_in_float32() -> None:
    model = small("notebook")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(200)
    x = torch.ones(1, 3, 32, 32)
    with record_blocks(model) as blocks:
        model(x)
    assert to_records(blocks) is None
    with capture_blocks(model) as streams:
        model(x)
    with record_blocks(model, dtype=torch.float32) as blocks:
        model(x)
    found = to_records(blocks)
    assert found is not None
    large = 0
    for block, stream in zip(found[0], streams.values(), strict=True):
        for kind in STREAM_NAMES:
            array, tensor = getattr(block, kind), getattr(stream, kind)[0]
            fits = float(tensor.abs().max()) < FLOAT16_MAX
            assert array.dtype == (np.float16 if fits else np.float32)
            assert np.allclose(array, tensor, rtol=1e-3)
            large += not fits
    assert large


def test_a_large_norm_of_many_small_values_is_no_overflow() -> None:
    model = small("notebook")
    with torch.no_grad():
        for parameter in model.blocks[0].parameters():  # type: ignore[union-attr]
            parameter.fill_(1.0)
        model.blocks[0].bn2.bias.fill_(1000.0)  # type: ignore[union-attr, index]
    with record_blocks(model) as blocks:
        model(torch.rand(1, 3, 128, 128))
    photos = to_records(blocks)
    assert photos is not None
    assert photos[0][0].output_norm > FLOAT16_MAX > photos[0][0].output.max()


def test_the_cosine_of_nothing_is_zero() -> None:
    assert cosine(0.0, 3.0, 0.0) == cosine(3.0, 0.0, 0.0) == 0
    assert cosine(2.0, 3.0, 6.000001) == 1
