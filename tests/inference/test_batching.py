"""What waits together is done together: nobody is lost, mixed up, or failed by somebody else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from resnet_demo.inference.batching import Batcher, StillBusyError


@contextmanager
def free() -> Iterator[None]:
    yield


def test_one_alone_is_served_at_once() -> None:
    double: Batcher[int, int] = Batcher(lambda items: [2 * i for i in items], 8, free)
    assert [double(i, 1) for i in range(3)] == [0, 2, 4]


def test_those_who_waited_share_a_turn_and_get_their_own_result() -> None:
    groups: list[int] = []

    def serve(items: Sequence[int]) -> list[int]:
        groups.append(len(items))
        time.sleep(0.005)
        return [-i for i in items]

    together = Batcher(serve, 4, free)
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(lambda i: together(i, 20), range(300))) == [-i for i in range(300)]
    assert sum(groups) == 300
    assert max(groups) == 4
    assert len(groups) < 200  # they did share


def test_one_bad_item_fails_alone() -> None:
    def serve(items: Sequence[int]) -> list[int]:
        time.sleep(0.002)
        if any(i % 7 == 0 for i in items):
            raise ValueError(f"{next(i for i in items if i % 7 == 0)} is bad")
        return list(items)

    together = Batcher(serve, 8, free)

    def come(i: int) -> object:
        try:
            return together(i, 20)
        except ValueError as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(come, range(100)))
    assert told == [i if i % 7 else f"{i} is bad" for i in range(100)]


def test_whoever_loses_patience_leaves_and_the_others_go_on() -> None:
    inside, go_on = threading.Event(), threading.Event()

    def serve(items: Sequence[int]) -> list[int]:
        inside.set()
        go_on.wait(10)
        return list(items)

    together = Batcher(serve, 1, free)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(together, 1, 10)
        assert inside.wait(5)
        with pytest.raises(StillBusyError):
            together(2, 0.05)
        third = pool.submit(together, 3, 10)
        go_on.set()
        assert (first.result(5), third.result(5)) == (1, 3)
    assert together(4, 1) == 4


def test_a_turn_that_never_comes_fails_its_leader_and_the_next_one_leads() -> None:
    refusals = iter([True, False, False])

    @contextmanager
    def turn() -> Iterator[None]:
        if next(refusals):
            raise RuntimeError("no turn")
        yield

    together: Batcher[int, int] = Batcher(list, 8, turn)
    with pytest.raises(RuntimeError, match="no turn"):
        together(1, 1)
    assert together(2, 1) == 2


def test_items_are_never_compared() -> None:
    """Tensors cannot be."""

    class Odd:
        def __eq__(self, other: object) -> bool:
            raise TypeError("not comparable")

        __hash__ = None  # type: ignore[assignment]

    together: Batcher[Odd, int] = Batcher(lambda items: [1] * len(items), 2, free)
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: together(Odd(), 10), range(50))) == 50
