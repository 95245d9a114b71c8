"""The history of the figures: a line a machine and commit, compared with the last of the same machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import machine

HERE = {"processor": "One", "cores": 2, "gpu": None, "torch": "2.9"}
THERE = {**HERE, "processor": "Two"}


def commits(history: Path) -> list[tuple[str, str]]:
    lines = map(json.loads, history.read_text(encoding="utf-8").splitlines())
    return [(line["processor"], line["commit"]) for line in lines]


def test_one_line_a_machine_and_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = tmp_path / "history.jsonl"
    assert machine.last_on(HERE, history) is None
    for commit, conditions, value in (
        ("aaa", HERE, 1.0),
        ("aaa", THERE, 9.0),
        ("bbb", HERE, 2.0),
        ("bbb", HERE, 3.0),  # measured again: takes the place of the line above
    ):
        monkeypatch.setattr(machine, "commit", lambda commit=commit: commit)
        machine.keep({"forward_ms": value}, conditions, history)
    assert commits(history) == [("One", "aaa"), ("Two", "aaa"), ("One", "bbb")]
    assert machine.last_on(HERE, history)["forward_ms"] == 3.0  # type: ignore[index]
    assert machine.last_on({**THERE, "torch": "3.0"}, history)["forward_ms"] == 9.0  # type: ignore[index]


def test_figures_are_compared_with_those_before() -> None:
    told = machine.compared({"forward_ms": 15.0, "new_ms": 1.0}, {"forward_ms": 10.0, "new_ms": "?"})
    assert told.keys() == {"forward_ms"}
    assert told["forward_ms"].split() == ["10.00", "+50.0", "%"]
    assert machine.compared({"forward_ms": 15.0}, None) == {}


def test_the_history_that_is_kept_can_be_read() -> None:
    if machine.HISTORY.is_file():
        lines = [json.loads(line) for line in machine.HISTORY.read_text(encoding="utf-8").splitlines()]
        assert all({"commit", "when", *machine.SAME_MACHINE} <= line.keys() for line in lines)
