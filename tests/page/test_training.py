"""Ten visitors train at once on one server: their ends, the others' photos, memory, a killed process."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from test_public import figures, jpeg

from resnet_demo.race.process import ENDED
from resnet_demo.tools.app_process import Server, Visitor, free_port

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc"),
    pytest.mark.timeout(600),
]
VISITORS = 10


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """``python -m resnet_demo serve`` with the weights that ship."""
    before = os.environ.get("GRADIO_TEMP_DIR")
    os.environ["GRADIO_TEMP_DIR"] = str(tmp_path_factory.mktemp("gradio"))
    server = Server(free_port())
    yield server
    server.close()
    os.environ.pop("GRADIO_TEMP_DIR")
    if before is not None:
        os.environ["GRADIO_TEMP_DIR"] = before


def trainers(server: Server) -> list[int]:
    """The training processes that the server has started."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            parent = status.read_text().split("PPid:")[1].split()[0]
            command = (status.parent / "cmdline").read_bytes()
        except (OSError, IndexError):  # it has just ended
            continue
        if int(parent) == server.process.pid and b"resnet_demo.race.worker" in command:
            found.append(int(status.parent.name))
    return found


def answered(visitor: Visitor, photo: bytes) -> float:
    """Seconds of a photo from upload to answer."""
    started = time.perf_counter()
    assert "label" in visitor.ask(photo)
    return time.perf_counter() - started


def asked_to(server: Server, number: signal.Signals) -> None:
    """Send a signal to every training process."""
    for pid in trainers(server):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def test_ten_visitors_at_once_end_right_while_photos_are_answered_and_memory_comes_back(
    process: Server,
) -> None:
    visitor = Visitor(process.url)
    photos = [jpeg(seed) for seed in range(12)]
    for photo in photos:  # the first ones load the network
        answered(visitor, photo)
    pid = process.process.pid
    clients = [Client(process.url, verbose=False) for _ in range(VISITORS)]
    before = figures(pid)["rss"]

    def press(i: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        job = clients[i].submit(5, 40, i % 2, api_name="/train_race")
        return job.outputs(), job.result(timeout=500)

    with ThreadPoolExecutor(VISITORS) as pool:
        races: list[Future[Any]] = [pool.submit(press, i) for i in range(VISITORS)]
        alone, beside = [], []
        while not all(race.done() for race in races) and len(beside) < 60:
            # in turns, so that whatever else the machine does is in both
            photo = photos[len(beside) % len(photos)]
            asked_to(process, signal.SIGSTOP)
            alone.append(answered(visitor, photo))
            asked_to(process, signal.SIGCONT)
            beside.append(answered(visitor, photo))
        ends = [race.result()[1] for race in races]
    # every other seed is the same race: the same record, whoever asked for it and whenever it was run
    for i, end in enumerate(ends):
        end.pop("seconds")
        assert (end["seed"], end["steps"], end["blocks"]) == (i % 2, 40, 5)
        assert end == ends[i % 2]
    assert ends[0] != ends[1]
    assert len(trainers(process)) <= max(1, (os.cpu_count() or 1) // 2)
    assert len(beside) > 5
    assert statistics.median(beside) <= 2 * statistics.median(alone), (alone, beside)
    assert figures(pid)["rss"] - before < 80, (before, figures(pid))


def test_a_killed_training_process_is_one_sentence_and_the_page_goes_on(process: Server) -> None:
    client = Client(process.url, verbose=False)
    job = client.submit(50, 400, 0, api_name="/train_race")
    until = time.monotonic() + 120
    while not any(told.get("event") == "state" for told in job.outputs()):
        assert time.monotonic() < until
        time.sleep(0.05)
    for pid in trainers(process):
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(AppError) as error:
        job.result(timeout=60)
    assert str(error.value) == ENDED
    assert "label" in Visitor(process.url).ask(jpeg(1))
    assert client.predict(2, 3, 0, api_name="/train_race")["steps"] == 3


def test_a_client_that_goes_away_gives_its_place_up(process: Server) -> None:
    client = Client(process.url, verbose=False)
    job = client.submit(50, 400, 0, api_name="/train_race")
    until = time.monotonic() + 120
    while not any(told.get("event") == "state" for told in job.outputs()):
        assert time.monotonic() < until
        time.sleep(0.05)
    job.cancel()
    started = time.monotonic()
    assert Client(process.url, verbose=False).predict(2, 3, 0, api_name="/train_race")["steps"] == 3
    assert time.monotonic() - started < 60
