"""Damaged files of every format, through the page as visitors send them: it answers each and never dies."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from mutations import SOUNDS, Seeds, mutation, seeds
from strangers import Attacked
from test_attacks import jpeg

from resnet_demo.tools.app_process import Visitor


@pytest.fixture
def attacked(tmp_path: Path) -> Iterator[Attacked]:
    server = Attacked(tmp_path)
    yield server
    server.close()


all_seeds = cache(seeds)


def listened(visitor: Visitor, data: bytes, name: str) -> dict[str, Any]:
    """What ``/listen`` answers, as ``Visitor.ask`` tells it of ``/predict``."""
    given = {"path": visitor.upload(data, name), "meta": {"_type": "gradio.FileData"}}
    body = json.dumps({"data": [given, None], "session_hash": visitor.session}).encode()
    status, text = visitor.request("POST", "/gradio_api/call/listen", body, "application/json")
    if status == 503:
        return {"busy": text}
    assert status == 200, text
    _, events = visitor.request("GET", f"/gradio_api/call/listen/{json.loads(text)['event_id']}")
    event, told = re.findall(r"event: (\w+)\ndata: (.*)", events)[-1]
    return dict(json.loads(told)[0]) if event == "complete" else {"error": json.loads(told)["error"]}


def send(visitor: Visitor, kind: str, data: bytes) -> dict[str, Any]:
    """What the page tells the visitor of this file."""
    while True:
        if kind in SOUNDS:
            told = listened(visitor, data, f"sound.{kind.lower()}")
        else:
            told = visitor.ask(data, "photo." + kind.split()[0].rstrip(",").lower())
        if "busy" not in told:
            return told
        time.sleep(0.2)


def attack(server: Attacked, files: Seeds, numbers: range) -> Counter[str]:
    """Send damaged files, two at a time; how many were answered with what."""
    canary = Visitor(server.url)
    expected = [canary.ask(jpeg(seed))["logit"] for seed in range(3)]
    mine = threading.local()
    wrong: list[tuple[int, str, Any]] = []
    counted: Counter[str] = Counter()
    slowest = (0.0, -1)

    def come(number: int) -> None:
        nonlocal slowest
        if not hasattr(mine, "visitor"):
            mine.visitor = Visitor(server.url)
        kind, data = mutation(number, files)
        started = time.monotonic()
        told = send(mine.visitor, kind, data)
        slowest = max(slowest, (time.monotonic() - started, number))
        sentence = told.get("error", "")
        if "label" in told:
            counted["answered"] += 1
        elif isinstance(sentence, str) and 20 < len(sentence) <= 300 and sentence.endswith("."):
            broke = "broke the program" in sentence or "too long to open" in sentence
            counted["decoder ended" if broke else "refused"] += 1
        else:
            wrong.append((number, kind, told))

    started = time.monotonic()
    with ThreadPoolExecutor(2) as visitors:
        list(visitors.map(come, numbers))
    spent = time.monotonic() - started
    print(f"{len(numbers)} damaged files of {len(files)} formats in {spent:.0f} s: {dict(counted)}, "
          f"slowest {slowest[0]:.1f} s (number {slowest[1]})")  # fmt: skip
    assert server.process.poll() is None
    assert not wrong
    assert [canary.ask(jpeg(seed))["logit"] for seed in range(3)] == expected
    assert "Traceback" not in server.log()
    assert slowest[0] < 30
    return counted


def test_there_are_files_of_every_format_that_the_page_takes() -> None:
    files = all_seeds()
    assert len(files) >= 18
    for number in (0, 7, 4711):
        assert mutation(number, files) == mutation(number, files)
    assert len({mutation(number, files)[0] for number in range(len(files))}) == len(files)
    same = sum(mutation(number, files)[1] in files[mutation(number, files)[0]] for number in range(200))
    assert same < 10  # or nothing was damaged


@pytest.mark.timeout(280)
def test_three_hundred_damaged_files(attacked: Attacked) -> None:
    counted = attack(attacked, all_seeds(), range(300))
    assert counted["answered"] > 20 and counted["refused"] > 100


@pytest.mark.soak
@pytest.mark.timeout(5400)
def test_five_thousand_damaged_files(attacked: Attacked) -> None:
    counted = attack(attacked, all_seeds(), range(1000, 6000))
    assert counted["answered"] > 500 and counted["refused"] > 2000
