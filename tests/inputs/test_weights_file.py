"""Which bytes are a whole safetensors file: as the library says, for files it wrote and for damaged ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError, deserialize
from safetensors.torch import save

from resnet_demo.inputs.weights_file import count_tensors
from resnet_demo.networks.cards import WEIGHTS

SHIPPED = sorted(WEIGHTS.glob("*.safetensors"))
KINDS = [torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool]


def library_says(data: bytes) -> int | None:
    try:
        return len(deserialize(data))
    except (SafetensorError, ValueError, KeyError, TypeError):
        return None


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_file_is_whole(path: Path) -> None:
    data = path.read_bytes()
    assert count_tensors(data) == library_says(data) > 0
    assert count_tensors(data[:-1]) is None and count_tensors(data + b"\0") is None


@pytest.mark.parametrize(
    "kind", [torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool], ids=str
)
def test_every_kind_of_number(kind: torch.dtype) -> None:
    data = save({"a": torch.ones(3, 5).to(kind), "b": torch.zeros(0).to(kind), "c": torch.tensor(1).to(kind)})
    assert count_tensors(data) == library_says(data) == 3


def test_damaged_bytes_are_taken_for_whole_only_where_the_library_does() -> None:
    whole = save({"a": torch.arange(6.0).view(2, 3), "b": torch.ones(4)}, {"format": "pt"})
    rng, whole_ones = np.random.default_rng(0), 0
    for _ in range(3000):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), rng.integers(1, 4)):
            data[place] = rng.integers(256)
        found = count_tensors(bytes(data))
        whole_ones += found is not None
        if found is not None:
            assert library_says(bytes(data)) in (found, None)  # it refuses more names than this does
    assert whole_ones > 100  # what is damaged is often a number of a tensor


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 100_000,
        b'{"a":1}',
        b'{"a":{}}',
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}',
        b'{"a":{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
        b"\xff\xfe",
    ],
    ids=lambda header: repr(header[:40]),
)
def test_a_header_that_is_none(header: bytes) -> None:
    assert count_tensors(len(header).to_bytes(8, "little") + header + b"\0" * 4) is None
    assert count_tensors((1 << 62).to_bytes(8, "little") + header) is None


def test_a_name_for_notes_is_no_tensor() -> None:
    header = json.dumps({"__metadata__": {"a": "b"}}).encode()
    assert count_tensors(len(header).to_bytes(8, "little") + header) == 0
