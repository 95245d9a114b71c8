"""What it costs that strangers' files are opened in processes of their own: time a photo, and memory in
all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from benchmarks.server import resident_mb
from benchmarks.timing import interleaved, jpeg
from resnet_demo.inputs.decoder_pool import SEATS
from resnet_demo.inputs.decoding import decode_photo, pool
from resnet_demo.inputs.preprocessing import read_photo
from resnet_demo.records import Preprocessing

MEANING = {
    "isolation_ms": "a 640x480 JPEG opened in another process - the same opened in this one",
    "isolation_mb": f"resident memory of all decoders of a page, at most {SEATS}, after photos",
}


def figures(repetitions: int) -> dict[str, float]:
    """Both, with as many decoders at work as a page has."""
    data, preprocessing = jpeg(), Preprocessing()
    with ThreadPoolExecutor(2 * SEATS) as visitors:
        while len(pool().processes()) < SEATS:
            list(visitors.map(lambda _: decode_photo(data, preprocessing), range(8 * SEATS)))
    times = interleaved(
        {
            "apart": lambda: decode_photo(data, preprocessing),
            "here": lambda: read_photo(data, preprocessing),
        },
        10 * repetitions,
    )
    return {
        "isolation_ms": times["apart"] - times["here"],
        "isolation_mb": sum(resident_mb(number) for number in pool().processes()),
    }
