"""The engine is built once, however many wait for it; a failure is raised and tried again."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from resnet_demo.inference.lazy import Deferred


def test_built_once_for_all_who_wait() -> None:
    built: list[int] = []

    def build() -> list[int]:
        time.sleep(0.05)
        built.append(1)
        return built

    value = Deferred(build)
    assert not value.ready()
    value.start()
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda _: value.get(), range(20)))
    assert all(f is built for f in found)
    assert built == [1]
    assert value.ready()


def test_a_failure_is_raised_and_tried_again() -> None:
    attempts: list[int] = []

    def build() -> int:
        attempts.append(1)
        if len(attempts) < 3:
            raise OSError("not yet")
        return 7

    value = Deferred(build)
    value.start()
    with pytest.raises(OSError, match="not yet"):
        for _ in range(2):
            value.get()
            time.sleep(0.05)
    while not value.ready():
        try:
            value.get()
        except OSError:
            continue
    assert value.get() == 7
    assert len(attempts) == 3
