"""A class, and one client that floods: nobody's run is lost, and everybody else is answered."""

from __future__ import annotations

import asyncio
import json
import random
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from strangers import Attacked, ask, multipart
from test_attacks import JOIN, UPLOAD, jpeg

from resnet_demo.page.sessions import Sessions
from resnet_demo.page.shares import Rates, Seats
from resnet_demo.page.upload_folder import STALE_S, FolderFullError, UploadFolder
from resnet_demo.tools.app_process import Visitor

LINUX = Path("/proc/self/status").exists()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Attacked]:
    server = Attacked(tmp_path)
    yield server
    server.close()


class Pupil:
    """One page of the class, without a browser: the events that its clicks would send, in a session of its
    own."""

    def __init__(self, server: str, config: dict[str, Any], number: int) -> None:
        self.server, self.session = server, f"pupil{number:05d}"
        self.events = config["dependencies"]
        ids = {c["props"].get("elem_id"): c["id"] for c in config["components"]}
        self.photo, self.roadmap = ids["photo"], ids["roadmap"]
        self.kinds = {c["id"]: c for c in config["components"]}
        self.path: str | None = None
        self.lock = threading.Lock()

    def event(self, target: int, kind: str) -> dict[str, Any]:
        return next(e for e in self.events if [target, kind] in [list(t) for t in e["targets"]])

    def send(self, event: dict[str, Any], data: Any = None) -> dict[str, Any]:
        """The output of an event."""
        given = []
        for i in event["inputs"]:
            if i == self.photo:
                file = {"path": self.path, "meta": {"_type": "gradio.FileData"}}
                given.append(file if self.path else None)
            else:
                value = self.kinds[i]["props"].get("value")
                given.append(None if self.kinds[i]["type"] in ("html", "state", "audio") else value)
        body = {"data": given, "fn_index": event["id"], "session_hash": self.session, "event_data": data,
                "trigger_id": event["targets"][0][0] if event["targets"] else None}  # fmt: skip
        connection = HTTPConnection(self.server, timeout=200)
        kind = {"Content-Type": "application/json"}
        for _ in range(60):
            connection.request("POST", JOIN, json.dumps(body), kind)
            response = connection.getresponse()
            answer = response.read()
            if response.status != 503:
                break
            time.sleep(0.5)  # a full queue: the page says so, and its visitor clicks again
        assert response.status == 200, answer
        connection.request("GET", f"/gradio_api/queue/data?session_hash={self.session}")
        text = connection.getresponse().read().decode()
        connection.close()
        messages = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
        return next(m for m in messages if m["msg"] == "process_completed")

    def give(self, photo: bytes) -> dict[str, Any]:
        body, kind = multipart(("files", "a.jpg", photo))
        status, answer, _ = ask(self.server, "POST", UPLOAD, body, kind)
        assert status == 200, answer
        self.path = json.loads(answer)[0]
        return self.send(self.event(self.photo, "change"))

    def click(self, block: int) -> dict[str, Any]:
        return self.send(self.event(self.roadmap, "select"), {"index": block})


def peak_mb(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024 / 1e6


def class_of(count: int, clicks: int, server: Attacked) -> None:
    config = json.loads(ask(server.host, "GET", "/config")[1])
    photos = [jpeg(seed) for seed in range(8)]
    pupils = [Pupil(server.host, config, i) for i in range(count)]
    with ThreadPoolExecutor(16) as pool:
        given = list(pool.map(lambda i: pupils[i].give(photos[i % 8]), range(count)))
    assert all(answer["success"] for answer in given), [a["output"] for a in given if not a["success"]][:3]
    rng = random.Random(0)
    order = [rng.randrange(count) for _ in range(clicks)] + list(range(count))
    lost: list[Any] = []

    def act(i: int) -> None:
        with pupils[i].lock:  # one browser shows one stream of events
            answer = pupils[i].click(rng.randrange(5))
        if not answer["success"]:
            lost.append((i, answer["output"]))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(act, order))
    print(
        f"{count} sessions, {len(order)} clicks: {len(lost)} lost, peak {peak_mb(server.process.pid):.0f} MB"
    )
    assert not lost


@pytest.mark.skipif(not LINUX, reason="reads /proc")
@pytest.mark.timeout(280)
def test_a_small_class_loses_no_run_while_others_make_up_sessions(process: Attacked) -> None:
    """Forged sessions would have pushed visitors out: 300 hashes that do nothing, and 300 that send an
    event."""
    done = threading.Event()

    def forge() -> None:
        for i in range(300):
            if done.is_set():
                return
            for event in ({"fn_index": 10**6}, {"fn_index": 0, "data": [None] * 3}):
                body = json.dumps({"data": [], "session_hash": f"forged{i}", **event}).encode()
                ask(process.host, "POST", JOIN, body, {"Content-Type": "application/json"}, "127.0.0.2")

    forger = threading.Thread(target=forge, daemon=True)
    forger.start()
    class_of(24, 48, process)
    done.set()
    forger.join(30)


@pytest.mark.soak
@pytest.mark.skipif(not LINUX, reason="reads /proc")
@pytest.mark.timeout(3000)
def test_a_class_of_three_hundred_loses_no_run(process: Attacked) -> None:
    """Twenty minutes of a class, a click every twenty seconds, would be 60 a pupil; compressed: 6 each."""
    class_of(300, 1800, process)


@pytest.mark.soak  # times, which are only true on cores that nobody else uses
@pytest.mark.skipif(not LINUX, reason="other loopback addresses")
@pytest.mark.timeout(290)
@pytest.mark.parametrize("way", ["runs", "uploads", "pages"])
def test_one_flooding_client_leaves_the_others_their_answers(
    process: Attacked, way: str, tmp_path: Path
) -> None:
    photo = jpeg()

    def asked() -> float:
        started = time.perf_counter()
        assert "label" in Visitor(process.url).ask(photo)
        return time.perf_counter() - started

    for _ in range(20):
        asked()
    idle = statistics.median(asked() for _ in range(20))
    form, kind = multipart(("files", "a.jpg", photo))
    path = json.loads(ask(process.host, "POST", UPLOAD, form, kind, "127.0.0.2")[1])[0]
    event = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}, None]}
    method, where, body, kind_of = {
        "runs": ("POST", "/gradio_api/call/predict", json.dumps(event).encode(), "application/json"),
        "uploads": ("POST", UPLOAD, form, kind["Content-Type"]),
        "pages": ("GET", "/config", b"", ""),
    }[way]
    (tmp_path / "body").write_bytes(body)
    command = [sys.executable, str(Path(__file__).with_name("flooder.py")), process.host, "127.0.0.2", method]
    with (tmp_path / "sent").open("wb") as sent:
        flooder = subprocess.Popen([*command, where, str(tmp_path / "body"), kind_of], stdout=sent)
    try:
        time.sleep(4)
        times = []
        for _ in range(20):
            times.append(asked())
            time.sleep(0.2)
    finally:
        flooder.kill()
        flooder.wait()
    answers = (tmp_path / "sent").stat().st_size
    print(
        f"{way}: idle {idle * 1e3:.0f} ms; under {answers} answers to the other median "
        f"{statistics.median(times) * 1e3:.0f} ms, slowest {max(times) / idle:.1f} x"
    )
    assert (tmp_path / "sent").stat().st_size > 100
    assert sum(t <= 3 * idle for t in times) == 20, sorted(round(t / idle, 1) for t in times)


def test_a_rate_holds_only_while_others_are_there() -> None:
    now = [0.0]
    rates = Rates(rate=10, burst=100, clock=lambda: now[0])
    assert [rates.charge("a", 50) for _ in range(40)] == [0.0] * 40
    rates.charge("b", 1)
    assert rates.charge("a", 10) > 0.5
    assert rates.charge("b", 1) == 0
    now[0] += 11  # b has gone
    assert rates.charge("a", 500) == 0


def test_seats_are_shared_and_given_back() -> None:
    async def run() -> None:
        seats, order = Seats(each=1, in_all=2), []

        async def sit(address: str) -> None:
            async with seats.take(address):
                order.append(address)
                await asyncio.sleep(0.01)

        await asyncio.gather(*(sit(a) for a in "aaaaab"))
        assert order.index("b") <= 1
        assert seats._lines == {}

    asyncio.run(run())


class Blocks:
    """As much of a page as a holder of sessions needs."""

    default_config: Any = None
    state_session_capacity = 0

    def __init__(self) -> None:
        import gradio as gr

        with gr.Blocks() as self.demo:
            gr.State(None)
        self.default_config = self.demo.default_config
        self.blocks = self.demo.blocks


def test_an_address_that_opens_too_many_sessions_loses_its_own() -> None:
    sessions = Sessions(capacity=50, each=20)
    sessions.set_blocks(Blocks())
    for i in range(5):
        sessions.admit(f"visitor{i}", "10.0.0.1")
    for i in range(1000):
        _ = sessions[f"nobody{i}"]  # asked for, but nothing was admitted
    assert len(sessions.session_data) == 5
    for i in range(1000):
        sessions.admit(f"flood{i}", "10.0.0.2")
        sessions.admit(f"other{i}", f"10.0.1.{i % 3}")
    assert len(sessions.session_data) == 50
    assert all(f"visitor{i}" in sessions for i in range(5))
    assert sessions.lost("flood0")
    assert not sessions.lost("visitor0")
    sessions.admit("flood0", "10.0.0.9")  # it sends an event: what it had is still gone
    assert sessions.lost("flood0")
    sessions.found("flood0")  # its photo was run again
    assert not sessions.lost("flood0")


def test_the_folder_of_uploads_is_bounded_and_shared(tmp_path: Path) -> None:
    folder = UploadFolder(tmp_path / "up", most=10_000)

    def give(address: str, size: int) -> Path:
        folder.make_room(address, size)
        part = folder.new_file()
        part.write_bytes(bytes(size))
        return folder.keep(part, "a.jpg", address)

    own = give("visitor", 1000)
    flood = [give("flood", 1000) for _ in range(30)]
    assert own.exists()
    assert sum(path.exists() for path in flood) <= 5
    assert flood[-1].exists()
    with pytest.raises(FolderFullError):
        folder.make_room("flood", 6000)
    part = folder.new_file()
    part.write_bytes(b"x")
    folder.tidy()
    assert part.exists()
    folder.tidy(now=time.time() + STALE_S + 60)
    assert not part.exists()
