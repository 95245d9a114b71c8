"""The header of a safetensors file, read without torch: https://github.com/huggingface/safetensors#format."""

from __future__ import annotations

import json
import math

SIZES = {  # bits of a number, by the names of the format; those of whole bytes alone
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
}


def count_tensors(data: bytes) -> int | None:
    """How many tensors a safetensors file holds; None if it is none: a header that is no JSON of names to
    shapes and places, or tensors that overlap, leave gaps, or do not end where the file does."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 + length:
        return None
    try:
        header = json.loads(data[8 : 8 + length])
        header.pop("__metadata__", None)
        ends = 0
        for entry in sorted(header.values(), key=lambda entry: entry["data_offsets"]):
            begin, end = entry["data_offsets"]
            if begin != ends or 8 * (end - begin) != SIZES[entry["dtype"]] * math.prod(entry["shape"]):
                return None
            ends = end
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return len(header) if ends == len(data) - 8 - length else None
