"""The benchmark measures what it says and ends in JSON. No test here is timed: times are the benchmark's
business."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import opening, page, server, timing


def test_medians_are_of_interleaved_repetitions() -> None:
    order: list[str] = []

    def slow() -> None:
        order.append("slow")
        time.sleep(0.02)

    times = timing.interleaved({"slow": slow, "quick": lambda: order.append("quick")}, 12)
    rounds = [order[i : i + 2] for i in range(0, len(order), 2)]
    assert len(rounds) == 13  # once to warm up
    assert all(
        sorted(both) == ["quick", "slow"] for both in rounds
    )  # in turn, whatever the machine does meanwhile
    assert ["slow", "quick"] in rounds[1:] and ["quick", "slow"] in rounds[
        1:
    ]  # yet none always after the other
    assert times["slow"] >= 20 > times["quick"]


def test_it_prints_a_table_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert page.main(["--no-server", "--repetitions", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    told = json.loads(lines[-1])
    assert all(told[name] > 0 for name in ("forward_ms", "page_over_forward", "redraw_ms", "gated_ms"))
    assert told["capture_over_forward"] > 0
    assert told["folder_over_batched"] > 0
    assert {"isolation_ms", "isolation_mb"} <= told.keys()
    assert {"processor", "cores", "torch", "gradio", "repetitions"} <= told.keys()
    named = [line.split()[0] for line in lines[:-1]]  # where this machine has a history, below a heading
    assert [name for name in named if name in page.MEANING] == [n for n in told if n in page.MEANING]
    assert len(named) - len(page.MEANING.keys() & told.keys()) in (0, 1)


def test_the_photos_of_the_folder_are_the_same_every_time(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        made.append([path.read_bytes() for path in page.make_photos(tmp_path / name, 6)])
    assert made[0] == made[1]
    assert len(set(made[0])) == 6
    with Image.open(tmp_path / "one" / "0000.jpg") as photo:
        assert (photo.format, photo.size) == ("JPEG", (500, 375))


@pytest.mark.timeout(300)
def test_the_server_is_measured_from_its_start(capsys: pytest.CaptureFixture[str]) -> None:
    found = server.through_the_server(photos=8, repetitions=1)
    assert 0 < found["first_page_s"] < found["first_answer_s"]
    assert found["http_over_forward"] > 0
    assert found["photos_per_second"] > 0
    assert found["live_fps"] > 0
    assert 0 < found["live_fairness"] <= 1


@pytest.mark.timeout(300)
def test_the_running_example_is_timed_in_a_browser() -> None:
    walkthrough = pytest.importorskip("resnet_demo.tools.walkthrough", reason="playwright is not installed")
    if walkthrough.browser_path() is None:
        pytest.skip("no Chrome or Chromium is installed (apt-get install chromium)")
    found = opening.figures()  # where there is a browser, none is no answer
    assert found.keys() == opening.MEANING.keys()
    assert 0 < found["first_paint_s"] < found["first_example_s"]
