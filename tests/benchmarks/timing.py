"""What every measurement shares: the reference, the photo, and medians of interleaved repetitions."""

from __future__ import annotations

import io
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

from PIL import Image
from tqdm import tqdm

from resnet_demo.inputs.photo_examples import example

REFERENCE = (1, 3, 180, 180)  # the notebook's input


def jpeg() -> bytes:
    """A 640x480 JPEG photo."""
    buffer = io.BytesIO()
    example("cheetah").resize((640, 480), Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def interleaved(things: dict[str, Callable[[], Any]], repetitions: int) -> dict[str, float]:
    """Median milliseconds of each, measured in turn so that drift meets all alike, and in another order every
    time, so that none always finds what the same other one has left in the caches."""
    dice = random.Random(0)
    spent: dict[str, list[float]] = {name: [] for name in things}
    for thing in things.values():
        thing()
    for _ in tqdm(range(repetitions), desc="in process", disable=None):
        for name, thing in dice.sample(list(things.items()), len(things)):
            started = time.perf_counter()
            thing()
            spent[name].append((time.perf_counter() - started) * 1e3)
    return {name: statistics.median(times) for name, times in spent.items()}
