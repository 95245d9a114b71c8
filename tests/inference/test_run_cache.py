"""Runs kept for redrawing are bounded in bytes, number and age."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_demo.inference.run_cache import (
    GRACE_S,
    MOST_BYTES,
    KeptRuns,
    memory_here,
    room_for_runs,
    size_of,
)
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
    assert kept.bytes == pytest.approx(sum(size_of(k.run) for k in kept._runs.values()))


def test_a_run_that_went_is_made_again_from_its_photo_under_the_same_key() -> None:
    made = []

    def again(run: Run) -> Run:
        assert run.blocks == ()
        made.append(run.photo)
        return run_of(1)

    kept = KeptRuns(most_bytes=2 * 1024, again=again)
    keys = [kept.put(run_of(1)) for _ in range(5)]
    assert len(kept) == 2
    assert all(kept.get(key) is not None for key in keys)
    assert len(made) == 5  # those of the first three, and of the two that had to go for them
    kept.drop(keys[0])
    kept.retire(keys[1])
    assert kept.get(keys[0]) is None


def test_photos_of_runs_that_went_are_bounded_too() -> None:
    kept = KeptRuns(most_bytes=100_000, again=lambda run: run)
    photo = np.zeros((50, 50, 3), np.uint8)
    for _ in range(100):
        kept.put(Run("n", "CPU", photo, Prediction("cat", (), 0.0), run_of(60).blocks, (), Timings(1, 1, 1)))
    assert kept._photo_bytes <= 25_000


def test_whoever_holds_the_most_loses_first() -> None:
    whose = ["visitor"]
    kept = KeptRuns(most_bytes=10 * 1024, owner=lambda: whose[0])
    own = kept.put(run_of(1))
    whose[0] = "flood"
    for _ in range(300):
        kept.put(run_of(1))
    assert kept.get(own) is not None
    assert kept.bytes <= 10 * 1024


def test_what_is_kept_follows_the_memory_of_the_container(tmp_path: Path) -> None:
    (tmp_path / "max").write_text("2000000000\n")
    (tmp_path / "none").write_text("max\n")
    assert memory_here((str(tmp_path / "max"), "/no/such/file")) == 2_000_000_000
    machine = memory_here((str(tmp_path / "none"),))
    assert machine > 500_000_000
    assert room_for_runs(2_000_000_000) == 250_000_000
    assert room_for_runs(1 << 50) == MOST_BYTES


def test_a_small_machine_keeps_an_eighth_of_its_memory_in_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes of all runs that come back, on a machine of 80 MiB after visitors made 32 MiB of them."""
    machine = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 80 * 256}
    monkeypatch.setattr("os.sysconf", machine.__getitem__, raising=False)
    kept = KeptRuns()
    keys = [kept.put(run_of(512)) for _ in range(64)]
    runs = [run for run in map(kept.get, keys) if run is not None]
    assert sum(size_of(run) for run in runs) == kept.bytes == 10 << 20
    assert kept.get(keys[-1]) is not None
