"""Runs kept for redrawing are bounded in bytes, number and age."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_demo.inference.run_cache import GRACE_S, KeptRuns, size_of
from resnet_demo.records import STREAM_NAMES, Block, Prediction, Run, Timings


def run_of(kilobytes: int) -> Run:
    stream = np.zeros((1, 1, 128 * kilobytes), np.float16)
    block = Block("b", stream.shape, 1, 1, 1, 0, dict.fromkeys(STREAM_NAMES, stream))
    photo = np.zeros((0, 0, 3), np.uint8)
    return Run("n", "CPU", photo, Prediction("cat", (), 0.0), (block,), (), Timings(1, 1, 1))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_run_comes_back_by_its_key_alone() -> None:
    kept, run = KeptRuns(), run_of(2)
    key = kept.put(run)
    assert size_of(run) == kept.bytes == 2048
    assert kept.get(key) is run
    assert kept.get(None) is kept.get("other") is None
    kept.drop(key)
    kept.drop(key)
    assert kept.get(key) is None
    assert (len(kept), kept.bytes) == (0, 0)


def test_the_least_recently_used_go_first() -> None:
    kept = KeptRuns(most_bytes=3 * 1024)
    keys = [kept.put(run_of(1)) for _ in range(3)]
    kept.get(keys[0])
    keys.append(kept.put(run_of(1)))
    assert [kept.get(k) is None for k in keys] == [False, True, False, False]
    large = kept.put(run_of(50))  # larger than all that is allowed, but just made
    assert kept.get(large) is not None
    assert len(kept) == 1


def test_age_and_retirement() -> None:
    clock = Clock()
    kept = KeptRuns(oldest=100, clock=clock)
    old, retired = kept.put(run_of(1)), kept.put(run_of(1))
    kept.retire(retired)
    kept.retire(None)
    assert len(kept) == 2
    clock.now = GRACE_S + 1
    assert kept.get(retired) is None
    assert kept.get(old) is not None
    clock.now += 101
    assert kept.get(old) is None
    assert kept.bytes == 0


@given(st.lists(st.integers(0, 9), max_size=60), st.integers(1, 12), st.integers(1, 5))
def test_it_never_holds_more_than_it_may(sizes: list[int], most: int, number: int) -> None:
    kept = KeptRuns(most_bytes=most * 1024, most_runs=number)
    for kilobytes in sizes:
        key = kept.put(run_of(kilobytes))
        assert kept.get(key) is not None
        assert len(kept) <= number
        assert kept.bytes <= max(most, kilobytes) * 1024
    assert kept.bytes == pytest.approx(sum(size_of(r) for r, _, _ in kept._runs.values()))
