"""What a server open to everyone meets: files that break image programs, crowds, kill -9, a long day."""

from __future__ import annotations

import csv
import http.client
import io
import random
import re
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import SHARED, draw_photo
from PIL import Image
from test_photo_decoding import expected_of

from resnet_demo.inference.engine import Engine
from resnet_demo.inputs.photo_decoding import open_photo
from resnet_demo.tools.app_process import Server, Visitor, free_port

CORPUS = SHARED / "badimages"
LINUX = Path("/proc/self/status").exists()


def jpeg(seed: int) -> bytes:
    buffer = io.BytesIO()
    draw_photo(seed).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def figures(pid: int) -> dict[str, float]:
    """Resident and peak memory in 10**6 bytes, threads and open files of a process."""
    status = Path(f"/proc/{pid}/status").read_text()

    def number(key: str) -> int:
        found = re.search(rf"{key}:\s+(\d+)", status)
        assert found
        return int(found[1])

    return {
        "rss": number("VmRSS") * 1024 / 1e6,
        "peak": number("VmHWM") * 1024 / 1e6,
        "threads": number("Threads"),
        "files": len(list(Path(f"/proc/{pid}/fd").iterdir())),
    }


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """``python app.py`` in a process of its own, with the weights that ship."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    server = Server(free_port())
    yield server
    server.close()


@pytest.mark.skipif(not CORPUS.is_dir(), reason="needs ../shared/badimages")
@pytest.mark.skipif(not LINUX, reason="reads /proc")
@pytest.mark.timeout(600)
def test_the_corpus_of_bad_images_over_http(process: Server) -> None:
    visitor, pid = Visitor(process.url), process.process.pid
    canary = [visitor.ask(jpeg(i))["logit"] for i in range(3)]
    idle = figures(pid)["rss"]
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak is counted from here
    wrong = []
    with (CORPUS / "expected.tsv").open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    slowest = 0.0
    for row in rows:
        data = (CORPUS / row["file"]).read_bytes()
        started = time.perf_counter()
        told = visitor.ask(data, "photo" + Path(row["file"]).suffix)
        slowest = max(slowest, time.perf_counter() - started)
        answer = "predict" if "label" in told else "message"
        sentence = told.get("error", "ok.")
        clear = isinstance(sentence, str) and 0 < len(sentence) <= 200 and sentence.endswith(".")
        if not clear or answer not in expected_of(row):
            wrong.append((row["file"], row["expect"], answer, sentence))
    after = figures(pid)
    print(f"{len(rows)} files, slowest {slowest:.2f} s, peak {after['peak'] - idle:.0f} MB above idle")
    assert len(rows) > 400
    assert not wrong
    assert [visitor.ask(jpeg(i))["logit"] for i in range(3)] == canary  # bit for bit
    assert after["peak"] - idle <= 300
    assert slowest < 30  # a hang; the figure itself is printed


def test_the_eight_orientations_give_the_same_answer(server: str) -> None:
    visitor = Visitor(server)
    scene = draw_photo(5)
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # orientation -> the Transpose that stores it so
    logits = []
    for orientation in range(1, 9):
        stored = scene if orientation == 1 else scene.transpose(Image.Transpose(turns[orientation]))
        exif = Image.Exif()
        exif[0x0112] = orientation
        buffer = io.BytesIO()
        stored.save(buffer, "PNG", exif=exif)
        logits.append(visitor.ask(buffer.getvalue(), "photo.png")["logit"])
    assert len(set(logits)) == 1


@pytest.mark.timeout(300)
def test_a_crowd_of_forty_is_answered_or_told_that_it_is_busy(server: str, weights_dir: Path) -> None:
    from resnet_demo.networks.checkpoints import available_networks

    engine = Engine(available_networks(weights_dir), "cpu")
    photos = [jpeg(seed) for seed in range(40)]
    expected = [engine.run(open_photo(photo)).prediction.logit for photo in photos]
    assert len({round(logit, 3) for logit in expected}) > 30  # or a mix-up could hide
    visitor = Visitor(server)
    single = statistics.median(_timed(visitor, photos[0])[1] for _ in range(5))
    gate = threading.Barrier(40)

    def come(i: int) -> tuple[dict, float]:
        gate.wait(60)
        return _timed(Visitor(server), photos[i])

    with ThreadPoolExecutor(40) as pool:
        told = list(pool.map(come, range(40)))
    answered = [i for i, (answer, _) in enumerate(told) if "logit" in answer]
    busy = [answer["busy"] for answer, _ in told if "busy" in answer]
    assert len(answered) + len(busy) == 40  # nobody is lost
    assert len(answered) >= 16
    assert [told[i][0]["logit"] for i in answered] == pytest.approx([expected[i] for i in answered], abs=1e-4)
    assert all("queue is full" in sentence.lower() for sentence in busy)
    times = sorted(told[i][1] for i in answered)
    p95 = times[int(0.95 * (len(times) - 1))]
    print(f"{len(answered)} answered, {len(busy)} told busy; p95 = {p95 / single:.1f} x the single request")


def _timed(visitor: Visitor, photo: bytes) -> tuple[dict, float]:
    started = time.perf_counter()
    told = visitor.ask(photo)
    return told, time.perf_counter() - started


def kill_and_restart(times: int) -> None:
    port, logits = free_port(), set()
    for _ in range(times):
        server = Server(port)
        try:
            visitor = Visitor(server.url)
            logits.add(visitor.ask(jpeg(1))["logit"])
            threading.Thread(target=_ask_and_be_cut, args=(visitor,), daemon=True).start()
            time.sleep(0.03)
            server.process.send_signal(signal.SIGKILL)
            server.process.wait(10)
        finally:
            server.process.kill()
    assert len(logits) == 1


def _ask_and_be_cut(visitor: Visitor) -> None:
    try:
        visitor.ask(jpeg(2))
    except (OSError, http.client.HTTPException, RuntimeError, ValueError, IndexError):
        return  # the server was killed under it


@pytest.mark.timeout(300)
def test_killed_during_a_request_it_starts_again_without_cleaning() -> None:
    kill_and_restart(2)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_killed_ten_times() -> None:
    kill_and_restart(10)


@pytest.mark.soak
@pytest.mark.skipif(not LINUX, reason="reads /proc")
@pytest.mark.timeout(3600)
def test_a_long_day(process: Server, tmp_path: Path) -> None:
    """2,000 mixed requests, a fifth of them bad."""
    random.seed(0)
    pid = process.process.pid
    good = [jpeg(seed) for seed in range(20)]
    bad = [b"", b"nothing", good[0][: len(good[0]) // 2], b"GIF89a" + b"\0" * 99]
    mine = threading.local()  # a visitor a thread
    marks: list[dict[str, float]] = []

    def come(i: int) -> bool:
        wrong = i % 5 == 0
        if not hasattr(mine, "visitor"):
            mine.visitor = Visitor(process.url)
        told = mine.visitor.ask(random.choice(bad) if wrong else random.choice(good))
        if i in (200, 1999):
            marks.append(figures(pid))
        return wrong == ("error" in told)

    with ThreadPoolExecutor(4) as pool:
        right = list(pool.map(come, range(2000)))
    folder = sum(f.stat().st_size for f in (tmp_path / "gradio").rglob("*") if f.is_file()) / 1e6
    print(f"after 200: {marks[0]}\nafter 2,000: {marks[1]}\ntemporary folder {folder:.0f} MB")
    assert all(right)
    assert marks[1]["rss"] - marks[0]["rss"] < 50
    assert abs(marks[1]["threads"] - marks[0]["threads"]) <= 5
    assert abs(marks[1]["files"] - marks[0]["files"]) <= 5
    assert folder <= 200
