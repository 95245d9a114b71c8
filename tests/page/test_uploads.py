"""Only what a visitor uploaded is opened, whatever path a request names, in every event and endpoint; and a
decoder that breaks on one visitor's file is nobody else's business."""

from __future__ import annotations

import http.client
import io
import json
import os
import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from broken_decoders import ABORT, EAT, HANG, SPIN, command
from conftest import draw_photo

from resnet_demo.inputs import decoding
from resnet_demo.inputs.components import NO_PHOTO, NO_SOUND
from resnet_demo.inputs.decoder_pool import DecoderPool
from resnet_demo.inputs.synthetic_sounds import sound, wav_bytes
from resnet_demo.tools.app_process import Visitor

FILE = {"_type": "gradio.FileData"}


def jpeg(seed: int) -> bytes:
    buffer = io.BytesIO()
    draw_photo(seed).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def config_of(server: str) -> dict[str, Any]:
    connection = http.client.HTTPConnection(urlsplit(server).netloc, timeout=30)
    connection.request("GET", "/config")
    found: dict[str, Any] = json.loads(connection.getresponse().read())
    return found


def event(server: str, index: int, data: list[Any]) -> dict[str, Any]:
    """What an event of the page is answered: {"error": sentence} or {"data": values}."""
    visitor, session = Visitor(server), secrets.token_hex(6)
    body = {"data": data, "fn_index": index, "session_hash": session, "event_data": None, "trigger_id": None}
    status, text = visitor.request(
        "POST", "/gradio_api/queue/join", json.dumps(body).encode(), "application/json"
    )
    if status != 200:
        return {"error": text}
    _, stream = visitor.request("GET", f"/gradio_api/queue/data?session_hash={session}")
    for line in stream.splitlines():
        message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
        if message.get("msg") == "process_completed":
            found: dict[str, Any] = message["output"]
            return found
    raise AssertionError(stream[-500:])


def taking(config: dict[str, Any], elem_id: str) -> list[tuple[int, int, list[Any]]]:
    """(event, place among its inputs, the inputs as the page starts) of every event that takes this
    component."""
    values = {c["id"]: c["props"].get("value") for c in config["components"]}
    component = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == elem_id)
    return [
        (
            number,
            dependency["inputs"].index(component),
            [None if i == component else values[i] for i in dependency["inputs"]],
        )
        for number, dependency in enumerate(config["dependencies"])
        if component in dependency["inputs"] and dependency.get("backend_fn", True)
    ]


@pytest.fixture(scope="module")
def paths(server: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Attack -> the path that it names; the files exist unless it says otherwise."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.jpg").write_bytes(jpeg(7))
    (outside / "secret.wav").write_bytes(wav_bytes(sound("siren", 1)))
    uploads = Path(os.environ["GRADIO_TEMP_DIR"])
    (uploads / "held.jpg").write_bytes(jpeg(7))  # not below a folder of its own
    folder = uploads / "0123456789abcdef"
    folder.mkdir(exist_ok=True)
    (folder / "link.jpg").symlink_to(outside / "secret.jpg")
    (folder / "away").symlink_to(outside, target_is_directory=True)
    return {
        "photo outside": str(outside / "secret.jpg"),
        "sound outside": str(outside / "secret.wav"),
        "nothing outside": str(outside / "none.jpg"),
        "nothing inside": str(folder / "none.jpg"),
        "a link": str(folder / "link.jpg"),
        "through a linked folder": str(folder / "away" / "secret.jpg"),
        "up and away": str(folder / ".." / ".." / outside.name / "secret.jpg"),
        "beside the uploads": str(uploads) + "-other/x.jpg",
        "in the folder itself": str(uploads / "held.jpg"),
        "the folder": str(uploads),
        "relative": os.path.relpath(outside / "secret.jpg"),
        "NUL": str(outside / "secret.jpg") + "\0",
        "empty": "",
        "home": "~/x.jpg",
        "very long": "/" + "a" * 5000,
    }


@pytest.mark.parametrize("elem_id", ["photo", "sound"])
@pytest.mark.timeout(280)
def test_no_event_opens_a_path_that_was_not_uploaded(
    server: str, paths: dict[str, str], elem_id: str
) -> None:
    events = taking(config_of(server), elem_id)
    assert len(events) >= 2
    expected = str(NO_PHOTO if elem_id == "photo" else NO_SOUND)
    for number, place, inputs in events:
        for given in ({}, {"meta": FILE}):
            sentences = set()
            for attack, path in paths.items():
                data = [*inputs]
                data[place] = {"path": path, **given}
                told = event(server, number, data)
                assert told.get("error") and "data" not in told, (number, attack, told)
                sentences.add(str(told["error"]).replace(path or "\0", "PATH"))
            # the same for what is there and what is not: nobody learns which files there are
            if elem_id == "photo" and not given:
                assert sentences == {expected}, (number, sentences)
            assert len(sentences) <= 3, (number, sentences)


def test_an_upload_is_opened_in_the_same_way(server: str) -> None:
    visitor = Visitor(server)
    (number, place, inputs), *_ = taking(config_of(server), "photo")
    data = [*inputs]
    for meta in ({}, {"meta": FILE}):
        data[place] = {"path": visitor.upload(jpeg(1)), **meta}
        told = event(server, number, data)
        assert "No photo file arrived" not in str(told)


@pytest.mark.parametrize(
    "name", [".hidden.jpg", "..jpg", "...", ".jpg", "a b.jpg", "ñandú 😀.jpg", "x" * 300 + ".jpg"]
)
def test_uploads_of_any_name_are_opened(server: str, name: str) -> None:
    told = Visitor(server).ask(jpeg(3), name.encode().decode("latin-1"))
    assert "label" in told, (name, told)


# ---------------------------------------------------------------- the wall, seen from the page


@pytest.fixture
def breaking(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The page of this process, its decoders such as break when a file asks for it."""
    pool = DecoderPool(arguments=command())
    monkeypatch.setattr(decoding, "pool", lambda: pool)
    yield server
    pool.close()


@pytest.mark.timeout(280)
def test_two_hundred_visitors_around_decoders_that_break(breaking: str) -> None:
    photos = [jpeg(seed) for seed in range(5)]
    visitor = Visitor(breaking)
    expected = [visitor.ask(photo)["logit"] for photo in photos]
    mine = threading.local()

    def ask(data: bytes) -> tuple[dict[str, Any], float]:
        if not hasattr(mine, "visitor"):
            mine.visitor = Visitor(breaking)
        started = time.monotonic()
        while "busy" in (told := mine.visitor.ask(data)):
            time.sleep(0.05)
            started = time.monotonic()
        return told, time.monotonic() - started

    quiet = sorted(ask(photos[i % 5])[1] for i in range(10))[5]
    words = (ABORT, HANG, SPIN, EAT)
    with ThreadPoolExecutor(4) as good, ThreadPoolExecutor(2) as bad:
        broken = [bad.submit(ask, words[i % 4] + bytes(50)) for i in range(8)]
        answers = list(good.map(lambda i: ask(photos[i % 5]), range(200)))
        sentences = [str(one.result(120)[0].get("error")) for one in broken]
    assert all(20 < len(s) <= 200 and s.endswith(".") for s in sentences), sentences
    assert any("broke" in s for s in sentences) and any("too long" in s for s in sentences)
    for i, (told, _) in enumerate(answers):
        assert told.get("logit") == pytest.approx(expected[i % 5], abs=1e-4), told
    slowest = max(seconds for _, seconds in answers)
    print(f"200 answers around 8 broken decoders: one alone {quiet:.3f} s, slowest {slowest:.2f} s")
    assert slowest < quiet + 3.0
