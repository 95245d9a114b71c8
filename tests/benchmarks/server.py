"""What visitors meet: the page in a process of its own, asked by one of them and by many."""

from __future__ import annotations

import base64
import io
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.timing import REFERENCE, interleaved, jpeg
from resnet_demo.inputs.photo_examples import example
from resnet_demo.networks.resnet import ResNet
from resnet_demo.tools.app_process import Server, Visitor, free_port

CLIENTS = 8
SETTLED_S = 8.0  # the server gives memory back every five seconds


def import_seconds(modules: str) -> float:
    """Seconds that a fresh Python takes to import ``modules``: the median of three."""
    code = f"import time; t = time.perf_counter(); import {modules}; print(time.perf_counter() - t)"
    return statistics.median(
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    )


def resident_mb(pid: int) -> float:
    """Resident memory of a process, in 10**6 bytes; 0 where the system does not tell."""
    with suppress(OSError):
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        if found:
            return int(found[1]) * 1024 / 1e6
    return 0.0


class LiveViewer:
    """Sends frames as the page's script does: the next when the last answer has come."""

    def __init__(self, url: str) -> None:
        with urllib.request.urlopen(url + "/config", timeout=30) as response:
            config = json.load(response)
        self.component = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == "live")
        self.connection = HTTPConnection(url.removeprefix("http://"), timeout=60)
        buffer = io.BytesIO()
        example("cheetah").resize((320, 240)).save(buffer, "JPEG", quality=85)
        self.jpeg = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()

    def frame(self) -> dict[str, Any]:
        """The answer to one frame."""
        body = {
            "data": {"jpeg": self.jpeg, "block": 2},
            "component_id": self.component,
            "fn_name": "frame",
            "session_hash": "bench",
        }
        self.connection.request(
            "POST", "/gradio_api/component_server", json.dumps(body), {"Content-Type": "application/json"}
        )
        answer: dict[str, Any] = json.loads(self.connection.getresponse().read())
        return answer


def live(url: str, seconds: float) -> dict[str, float]:
    """One viewer alone, then four together."""

    def watch(viewer: LiveViewer) -> int:
        ends, frames = time.perf_counter() + seconds, 0
        while time.perf_counter() < ends:
            frames += "roadmap" in viewer.frame()
        return frames

    viewers = [LiveViewer(url) for _ in range(4)]
    viewers[0].frame()
    alone = watch(viewers[0]) / seconds
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(watch, viewers))
    return {"live_fps": alone, "live_ms": 1e3 / alone, "live_fairness": min(together) / max(together)}


def through_the_server(photos: int, repetitions: int) -> dict[str, float]:
    """What visitors meet: cold start, one of them, many, memory."""
    torch.manual_seed(0)
    model = ResNet(3).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(REFERENCE).contiguous(memory_format=torch.channels_last)
    server, data = Server(free_port()), jpeg()
    try:
        visitor = Visitor(server.url)
        visitor.ask(data)
        first_answer = time.perf_counter() - server.started
        idle = resident_mb(server.process.pid)

        def forward() -> None:
            with torch.inference_mode():
                model(x)

        watched = live(server.url, seconds=max(1.0, repetitions / 3))
        times = interleaved(
            {"forward": forward, "http": lambda: visitor.ask(data), **by_gradio_client(server.url, data)},
            repetitions,
        )
        crowded = crowd(server.url, data, CLIENTS, photos)
        time.sleep(SETTLED_S)
        after = resident_mb(server.process.pid)
    finally:
        server.close()
    return {
        **watched,
        "http_over_forward": times["http"] / times["forward"],
        "gradio_client_over_forward": times["gradio_client"] / times["forward"],
        "photos_per_second": crowded,
        "first_page_s": server.first_page,
        "first_answer_s": first_answer,
        "rss_idle_mb": idle,
        "rss_after_1000_mb": after,
    }


def by_gradio_client(url: str, data: bytes) -> dict[str, Callable[[], Any]]:
    """The same question through Gradio's own Python client."""
    from gradio_client import Client, handle_file

    client = Client(url, verbose=False)
    path = Path(tempfile.mkdtemp()) / "photo.jpg"
    path.write_bytes(data)
    return {"gradio_client": lambda: client.predict(handle_file(path), api_name="/predict")}


def crowd(url: str, data: bytes, clients: int, photos: int) -> float:
    """Photos a second of ``clients`` visitors who each ask again as soon as they are answered.

    Raises:
        RuntimeError: somebody got no answer, or another one than the others.
    """
    people = [Visitor(url) for _ in range(clients)]
    for visitor in people:
        visitor.ask(data)
    share = [photos // clients + (i < photos % clients) for i in range(clients)]
    bar = tqdm(total=photos, desc=f"{clients} clients", disable=None)

    def come(i: int) -> list[dict[str, Any]]:
        told = []
        for _ in range(share[i]):
            while "busy" in (answer := people[i].ask(data)):  # the queue is full: come back
                time.sleep(0.05)
            told.append(answer)
            bar.update()
        return told

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        answers = [answer for told in pool.map(come, range(clients)) for answer in told]
    spent = time.perf_counter() - started
    bar.close()
    logits = [float(answer["logit"]) for answer in answers if "logit" in answer]
    if len(logits) != photos or max(logits) - min(logits) > 1e-5:
        raise RuntimeError("answers were lost or mixed")
    return photos / spent
