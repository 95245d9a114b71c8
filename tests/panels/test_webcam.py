"""Live frames: answered like photos, refused in a sentence, shared fairly."""

from __future__ import annotations

import base64
import io
import json
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import draw_photo

from resnet_demo.inference.engine import Engine
from resnet_demo.inference.interface import Limits
from resnet_demo.inference.lazy import Deferred
from resnet_demo.inference.run_cache import KeptRuns
from resnet_demo.inputs.photo_decoding import PhotoError
from resnet_demo.networks.cards import MenuEntry
from resnet_demo.networks.checkpoints import available_networks
from resnet_demo.panels.own import webcam as live
from resnet_demo.panels.page import Page


def frame_of(engine: Any, menu: tuple[MenuEntry, ...] = (), frames: int = 16) -> Any:
    """What the script of the panel calls, on a page around that engine."""
    page = Page(Deferred(lambda: engine), menu, KeptRuns(), Limits(frames=frames), [])
    return live.WebcamPanel(page).frame


def data_url(seed: int, side: int = 120) -> str:
    buffer = io.BytesIO()
    draw_photo(seed, side, side).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


@pytest.fixture(scope="module")
def engine(weights_dir: Path) -> Engine:
    return Engine(available_networks(weights_dir), "cpu")


def test_a_frame_is_answered_as_a_photo_is(engine: Engine) -> None:
    frame = frame_of(engine, (MenuEntry("test-net", "", 5, "Shown so"),))
    told = frame({"jpeg": data_url(1), "network": "Shown so", "block": 2})
    best = engine.run(draw_photo(1, 120, 120)).prediction.confidences[0]
    assert told["classes"][0] == [best.label, pytest.approx(best.confidence, abs=1e-5)]
    assert 'data-block="2"' in told["inside"]
    assert told["roadmap"].count("<button") == 5
    assert " id=" not in told["roadmap"]  # or the page would have two of each
    assert told["milliseconds"] > 0
    assert 'data-block="4"' in frame({"jpeg": data_url(1), "block": 99})["inside"]


def test_channels_stay_in_their_places_if_the_browser_says_so(engine: Engine) -> None:
    frame = frame_of(engine)
    told = frame({"jpeg": data_url(1), "block": 1, "channels": [7, 3, 50, 1]})
    assert told["inside"].count('data-channel="50"') == 4
    assert "4 of 64 channels" in told["inside"]
    for bad in (None, [], [64], [-1], ["1"], [1.5], list(range(65)), "12"):
        assert live.locked_channels(bad, 64) is None


@pytest.mark.parametrize(
    "request_",
    [
        None,
        {},
        {"jpeg": 5},
        {"jpeg": "http://example.org/a.jpg"},
        {"jpeg": "data:image/png;base64,!!!"},
        {"jpeg": "data:image/png;base64,aGVsbG8="},
        {"jpeg": "data:image/png;base64," + "A" * live.MAX_FRAME},
        {"jpeg": data_url(1), "network": "no such"},
    ],
)
def test_what_is_no_frame_gets_a_sentence(engine: Engine, request_: Any) -> None:
    frame = frame_of(engine)
    told = frame(request_)
    assert set(told) == {"error"}
    assert told["error"].endswith(".")
    assert len(told["error"]) <= 200
    assert "/" not in told["error"].replace("http://", "")


def test_a_full_server_says_so_at_once_and_frees_every_seat() -> None:
    go, inside = threading.Event(), threading.Semaphore(0)

    class Slow:
        def run(self, photo: object, network: str | None, here: bool) -> None:
            inside.release()
            go.wait(30)
            raise PhotoError("Enough.")

    frame = frame_of(Slow(), frames=2)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(frame, {"jpeg": data_url(1)}) for _ in range(2)]
        for _ in waiting:
            inside.acquire(timeout=30)
        assert frame({"jpeg": data_url(1)}) == {"busy": True}
        go.set()
        assert [w.result() for w in waiting] == [{"error": "Enough."}] * 2
    assert frame({"jpeg": data_url(1)}) == {"error": "Enough."}


def test_four_viewers_over_http_all_get_their_own_frames(server: str, engine: Engine) -> None:
    with urllib.request.urlopen(server + "/config", timeout=30) as response:
        config = json.load(response)
    component = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == "live")

    def watch(seed: int) -> list[float]:
        body = {
            "data": {"jpeg": data_url(seed), "block": seed % 5},
            "component_id": component,
            "fn_name": "frame",
            "session_hash": f"viewer{seed}",
        }
        seen = []
        for _ in range(12):
            request = urllib.request.Request(
                server + "/gradio_api/component_server",
                json.dumps(body).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=60) as response:
                told = json.load(response)
            seen.append(dict(told["classes"])["dog"])
        return seen

    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(watch, range(20, 24)))
    for seed, confidences in zip(range(20, 24), seen, strict=True):
        run = engine.run(draw_photo(seed, 120, 120))
        dog = run.prediction.chances[run.classes.index("dog")]
        assert confidences == pytest.approx([dog] * 12, abs=1e-5)
