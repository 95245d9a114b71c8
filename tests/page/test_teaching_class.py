"""Thirty students teach at the same time, each their own classes, over HTTP: nothing is lost or mixed up."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from strangers import Attacked

from resnet_demo.panels.own.teachings import EACH_BYTES, LEAST
from resnet_demo.tools.app_process import Visitor

STUDENTS = 30
KINDS = ("stripes", "spots", "plain")
MEMORY_MB = STUDENTS * EACH_BYTES / 1e6  # what thirty teachings may take


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Attacked]:
    found = Attacked(tmp_path)
    yield found
    found.close()


def picture(kind: str, seed: int) -> bytes:
    """A JPEG of 96x96 of stripes, of spots, or of one colour, in colours of its own."""
    rng = np.random.default_rng([KINDS.index(kind), seed])
    back, front = rng.integers(0, 120, 3), rng.integers(140, 256, 3)
    y, x = np.mgrid[:96, :96]
    if kind == "stripes":
        mask = (x + int(rng.integers(12))) // 6 % 2 == 0
    elif kind == "spots":
        mask = (x % 24 - 12) ** 2 + (y % 24 - int(rng.integers(8, 16))) ** 2 < 60
    else:
        mask = np.zeros((96, 96), bool)
    pixels = np.where(mask[..., None], front, back) + rng.normal(0, 6, (96, 96, 1))
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


class Student(Visitor):
    """One student at a machine of their own: another loopback address, where the system has them."""

    def __init__(self, url: str, number: int) -> None:
        super().__init__(url)
        if sys.platform == "linux":
            self.connection = HTTPConnection(
                self.host, timeout=120, source_address=(f"127.0.0.{10 + number}", 0)
            )
        self.number = number
        # each gives the same three names other pictures, so that whatever is mixed up is wrong
        turned = KINDS[number % 3 :] + KINDS[: number % 3]
        self.classes = {f"student {number} {name}": kind for name, kind in zip("abc", turned, strict=True)}

    def call(self, name: str, *data: Any) -> Any:
        """What an endpoint answers."""
        body = json.dumps({"data": list(data), "session_hash": self.session}).encode()
        status, text = self.request("POST", f"/gradio_api/call/{name}", body, "application/json")
        assert status == 200, text
        _, events = self.request("GET", f"/gradio_api/call/{name}/{json.loads(text)['event_id']}")
        event, told = re.findall(r"event: (\w+)\ndata: (.*)", events)[-1]
        assert event == "complete", told
        return json.loads(told)[0]

    def photo(self, kind: str, seed: int) -> dict[str, Any]:
        path = self.upload(picture(kind, 1000 * self.number + seed))
        return {"path": path, "meta": {"_type": "gradio.FileData"}}

    def teach(self) -> tuple[dict[str, int], dict[str, Any], dict[str, dict[str, float]]]:
        """How many pictures each class has in the end, what came of it, and what a further picture of each
        class is called."""
        ticket = self.call("teach_begin", "cats-and-dogs")["teaching"]
        counts: dict[str, int] = {}
        for seed in range(LEAST):
            for label, kind in self.classes.items():
                counts = self.call("teach_add", self.photo(kind, seed), ticket, label)
        fitted = self.call("teach_fit", ticket)
        answers = {
            label: self.call("teach_answer", self.photo(kind, 500), ticket)
            for label, kind in self.classes.items()
        }
        self.call("teach_end", ticket)
        return counts, fitted, answers


def memory_mb(pid: int, what: str) -> float:
    """Resident memory now, "VmRSS", or at its most, "VmHWM"."""
    found = re.search(rf"{what}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024 / 1e6


@pytest.mark.timeout(290)
def test_thirty_teach_at_once_and_nothing_is_lost_or_mixed_up(server: Attacked) -> None:
    linux = sys.platform == "linux"
    Student(server.url, 99).teach()  # what the first one loads stays
    before = memory_mb(server.process.pid, "VmRSS") if linux else 0.0
    with ThreadPoolExecutor(STUDENTS) as pool:
        students = [Student(server.url, number) for number in range(STUDENTS)]
        found = list(pool.map(Student.teach, students))
    for student, (counts, fitted, answers) in zip(students, found, strict=True):
        names = list(student.classes)
        assert counts == dict.fromkeys(names, LEAST)
        assert fitted["classes"] == names
        for label, chances in answers.items():
            assert sorted(chances) == sorted(names)
            assert max(chances, key=chances.__getitem__) == label, (student.number, chances)
    if linux:
        grown = memory_mb(server.process.pid, "VmHWM") - before
        print(f"{STUDENTS} teachings at once: {grown:.0f} MB more at most, of {MEMORY_MB:.0f} allowed")
        assert grown < MEMORY_MB
