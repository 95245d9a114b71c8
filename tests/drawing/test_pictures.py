"""The addresses of pictures: nobody can guess one, and what is kept is bounded in bytes and age."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from resnet_demo.drawing.pictures import FOLDER, OVERHEAD, PictureStore, data_url, kept_in, picture_url


def test_outside_of_an_answer_of_the_page_a_picture_is_in_its_address() -> None:
    store = PictureStore()
    with kept_in(store):
        address = picture_url(b"png")
        with kept_in(None):
            assert picture_url(b"png") == data_url(b"png")
    assert picture_url(b"png") == data_url(b"png") == "data:image/png;base64,cG5n"
    assert address.startswith(FOLDER) and store.get(address.removeprefix(FOLDER)) == b"png"


def test_a_picture_has_one_name_here_and_another_in_every_other_process() -> None:
    stores = [PictureStore() for _ in range(3)]
    names = [store.put(b"somebody's photo") for store in stores]
    assert len({*names, *(hashlib.blake2b(b"somebody's photo", digest_size=16).hexdigest(),)}) == 4
    assert [store.put(b"somebody's photo") for store in stores] == names
    assert all(len(name) == 32 and int(name, 16) >= 0 for name in names)
    assert stores[0].get(names[1]) is None and stores[0].get("0" * 32) is None


def test_names_differ_where_one_bit_does() -> None:
    store = PictureStore()
    names = [store.put(bytes(i == place for i in range(256))) for place in range(256)]
    assert len(set(names)) == 256
    differing = [bin(int(a, 16) ^ int(b, 16)).count("1") for a, b in pairwise(names)]
    assert min(differing) > 30  # of 128


def test_the_oldest_go_when_there_are_too_many_bytes() -> None:
    store = PictureStore(most_bytes=10 * (1000 + OVERHEAD))
    names = [store.put(bytes([i]) * 1000) for i in range(100)]
    assert len(store) == 10 and store.bytes == 10 * (1000 + OVERHEAD)
    assert [store.get(name) is not None for name in names] == [False] * 90 + [True] * 10
    store.put(bytes([90]) * 1000)  # shown again: no longer the oldest, and not counted twice
    store.put(b"new" * 300)
    assert store.get(names[90]) and store.get(names[91]) is None
    assert len(store.get(store.put(bytes(50_000))) or b"") == 50_000  # the newest is kept, however large
    assert len(store) == 1


def test_pictures_of_no_bytes_are_bounded_too() -> None:
    store = PictureStore(most_bytes=100_000)
    for i in range(5_000):
        store.put(i.to_bytes(2, "big"))
    assert len(store) < 100_000 / OVERHEAD


def test_after_an_hour_a_picture_is_gone() -> None:
    now = [0.0]
    store = PictureStore(clock=lambda: now[0])
    first, second = store.put(b"first"), store.put(b"second")
    now[0] = 2000
    store.put(b"first")
    now[0] = 3601
    assert store.get(second) is None and store.get(first) == b"first"
    now[0] = 5601
    assert store.get(first) is None
    assert len(store) == store.bytes == 0


def test_many_threads_lose_count_of_nothing() -> None:
    store = PictureStore(most_bytes=50 * (100 + OVERHEAD))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: store.get(store.put(i.to_bytes(100, "big"))), range(4000)))
    assert len(store) == 50 and store.bytes == 50 * (100 + OVERHEAD)
