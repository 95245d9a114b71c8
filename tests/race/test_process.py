"""The training processes: ten at once, stopped, killed, deserted; nothing stays behind."""

from __future__ import annotations

import gc
import io
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from resnet_demo.race.networks import RaceNetwork
from resnet_demo.race.process import ENDED, QueueFullError, Ticket, TrainingQueue, message_of
from resnet_demo.race.records import RaceSettings
from resnet_demo.race.seeds import stored_run
from resnet_demo.race.worker import Lines, give_back, run_race

SHORT = RaceSettings(blocks=2, steps=6)
LONG = RaceSettings(blocks=50, steps=400)


@pytest.fixture
def line() -> Iterator[TrainingQueue]:
    found = TrainingQueue(at_once=1)
    yield found
    found.close()
    assert found.processes() == []


def polled(tickets: list[Ticket], seconds: float = 240) -> dict[str, list[dict]]:
    """Everything that all of them are told until all are over."""
    events: dict[str, list[dict]] = {ticket.id: [] for ticket in tickets}
    until = time.monotonic() + seconds
    while not all(ticket.over for ticket in tickets):
        assert time.monotonic() < until, events
        for ticket in tickets:
            events[ticket.id] += ticket.poll()
        time.sleep(0.02)
    return events


def first_state(ticket: Ticket, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while "state" not in [event["event"] for event in ticket.poll()]:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_ten_at_once_end_right_one_after_the_other(line: TrainingQueue) -> None:
    tickets = [line.join(RaceSettings(blocks=2, steps=6, seed=i % 2)) for i in range(10)]
    events = polled(tickets)
    ends = []
    for i, ticket in enumerate(tickets):
        kinds = [event["event"] for event in events[ticket.id]]
        places = [event["place"] for event in events[ticket.id] if event["event"] == "waiting"]
        assert places == sorted(places, reverse=True) and (places[:1] == [i] if i else not places)
        assert kinds[-1] == "end" and kinds.count("end") == 1 and "start" in kinds and "state" in kinds
        ends.append(events[ticket.id][-1])
        assert ticket.weights.keys() == {"residual", "plain"}
        points = [
            p for e in events[ticket.id] if e["event"] == "state" for p in e["networks"]["plain"]["points"]
        ]
        assert [p[0] for p in points] == list(range(1, 7))
    for end in ends:
        del end["record"]["seconds"]
        assert end["record"] == ends[end["record"]["seed"]]["record"]
    assert ends[0]["record"] != ends[1]["record"]
    assert len(line.processes()) == 1  # one process did them all


def test_what_a_process_tells_is_what_the_loop_tells(line: TrainingQueue) -> None:
    from resnet_demo.race.tasks import run

    events = list(line.join(SHORT).events())
    states = []
    record = run(SHORT, states.append).record
    assert record is not None
    told, ours = events[-1]["record"], record.to_json()
    for kind in ("residual", "plain"):
        assert told[kind]["test_accuracy"] == pytest.approx(ours[kind]["test_accuracy"], abs=0.01)
        points = [p for e in events if e["event"] == "state" for p in e["networks"][kind]["points"]]
        assert [p[1] for p in points] == pytest.approx([s.networks[kind].loss for s in states], rel=1e-3)


def test_states_are_small_and_not_too_many(line: TrainingQueue) -> None:
    ticket = line.join(RaceSettings(blocks=2, steps=400))
    started, count, size = None, 0, 0
    for event in ticket.events():
        if event["event"] == "state":
            started = started or time.monotonic()
            count, size = count + 1, max(size, len(str(event)))
    assert started is not None
    assert count <= 10 * (time.monotonic() - started) + 3
    assert size < 60_000


def test_one_who_stops_gets_the_record_of_the_steps_made(line: TrainingQueue) -> None:
    ticket = line.join(RaceSettings(blocks=10, steps=400))
    first_state(ticket)
    ticket.stop()
    events = polled([ticket])[ticket.id]
    assert events[-1]["event"] == "end" and 0 < events[-1]["record"]["steps"] < 400
    waiting = [line.join(SHORT), line.join(SHORT)]
    waiting[1].stop()
    assert waiting[1].over and line.find(waiting[1].id) is None


def test_a_killed_process_is_one_sentence_and_the_next_one_trains(line: TrainingQueue) -> None:
    ticket = line.join(LONG)
    first_state(ticket)
    os.kill(line.processes()[0], signal.SIGKILL)
    events = polled([ticket])[ticket.id]
    assert [event["event"] for event in events if event["event"] != "state"] == ["failed"]
    assert message_of(events[-1]) == ENDED
    assert list(line.join(SHORT).events())[-1]["event"] == "end"


def test_a_tab_that_goes_holds_up_nobody(line: TrainingQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    ticket = line.join(LONG)
    first_state(ticket)
    gone = line.processes()[0]
    monkeypatch.setattr("resnet_demo.race.process.SILENT", 0.5)
    time.sleep(0.6)
    follower = line.join(SHORT)
    assert ticket.over
    assert gone not in line.processes()
    assert polled([follower])[follower.id][-1]["event"] == "end"


def test_a_process_is_made_ready_though_the_last_visitor_left_in_the_middle(
    line: TrainingQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = line.join(LONG)
    first_state(ticket)
    gone = line.processes()
    monkeypatch.setattr("resnet_demo.race.process.SILENT", 0.5)
    time.sleep(0.6)
    line.warm()
    assert ticket.over
    assert len(line.processes()) == 1 and line.processes() != gone


def test_an_iteration_that_is_dropped_gives_its_place_up(line: TrainingQueue) -> None:
    events = line.join(LONG).events()
    next(events)
    events.close()
    assert line.processes() == []


def test_a_full_line_says_so() -> None:
    line = TrainingQueue(at_once=1, waiting=2)
    try:
        for _ in range(3):
            line.join(LONG)
        with pytest.raises(QueueFullError, match="2 visitors are waiting"):
            line.join(LONG)
    finally:
        line.close()


def test_an_idle_process_ends_by_itself_and_a_line_that_goes_takes_it_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = TrainingQueue(at_once=1)
    assert list(line.join(SHORT).events())[-1]["event"] == "end"
    (worker,) = line._idle
    assert worker.process.stdin is not None
    worker.process.stdin.close()  # as when the page's process is gone
    assert worker.process.wait(30) == 0
    line.close()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_the_process_is_nice_and_bounded(line: TrainingQueue) -> None:
    ticket = line.join(LONG)
    first_state(ticket)
    (pid,) = line.processes()
    assert os.getpriority(os.PRIO_PROCESS, pid) >= 10
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert [row.split()[3] for row in limits.splitlines() if row.startswith("Max data size")] == [
        str(2 << 30)
    ]
    status = Path(f"/proc/{pid}/status").read_text()
    anonymous = next(int(row.split()[1]) for row in status.splitlines() if row.startswith("RssAnon"))
    assert anonymous < 900_000


def test_the_stored_run_is_what_a_process_tells() -> None:
    events = stored_run()
    assert [event["event"] for event in (events[0], events[-1])] == ["start", "end"]
    states = [event for event in events if event["event"] == "state"]
    for kind in ("residual", "plain"):
        points = [p for state in states for p in state["networks"][kind]["points"]]
        assert [p[0] for p in points] == list(range(1, 81))
        assert all(len(state["networks"][kind]["gradient"]) == 20 for state in states)


def ready(line: TrainingQueue, seconds: float = 120) -> None:
    """A training process waits for the next press."""
    line.warm()
    (worker,) = line._idle
    until = time.monotonic() + seconds
    while not worker.is_ready:
        assert time.monotonic() < until and worker.alive
        time.sleep(0.02)


def test_the_first_points_come_within_a_second_of_the_press(line: TrainingQueue) -> None:
    """Of a race with the default settings, when the panel has been open for a moment."""
    waited = []
    for _ in range(3):  # other programs of the machine may be in the way of one
        ready(line)
        pressed = time.monotonic()
        ticket = line.join(RaceSettings())
        first_state(ticket)
        waited.append(time.monotonic() - pressed)
        ticket.close()
        if waited[-1] < 1:
            break
    assert min(waited) < 1, waited


def test_who_presses_before_the_process_is_ready_is_served_by_it(line: TrainingQueue) -> None:
    line.warm()
    (pid,) = line.processes()
    ticket = line.join(SHORT)
    assert polled([ticket])[ticket.id][-1]["event"] == "end"
    assert line.processes() == [pid]


def test_a_process_that_nobody_needs_ends_and_one_that_is_asked_to_stay_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = TrainingQueue(at_once=1, idle=2.0)
    monkeypatch.setattr("resnet_demo.race.process.STAY", 0.0)
    try:
        ready(line)
        (pid,) = line.processes()
        for _ in range(12):
            time.sleep(0.25)
            line.warm()
        assert line.processes() == [pid]
        until = time.monotonic() + 30
        while line.processes():
            assert time.monotonic() < until
            time.sleep(0.1)
        assert list(line.join(SHORT).events())[-1]["event"] == "end"
    finally:
        line.close()


def test_there_is_one_process_ahead_nice_from_the_start_and_the_press_takes_it(line: TrainingQueue) -> None:
    for _ in range(3):
        line.warm()
    (pid,) = line.processes()
    (worker,) = line._idle
    assert list(worker.process.args)[-1:] == ["--ahead"]
    ticket = line.join(SHORT)
    assert ticket.worker is worker and line._idle == []
    line.warm()  # one is at work: none beside it
    assert line.processes() == [pid]
    assert polled([ticket])[ticket.id][-1]["event"] == "end"
    assert line._idle == [worker]


def test_a_process_ahead_that_has_died_is_replaced_before_anybody_presses(line: TrainingQueue) -> None:
    line.warm()
    (dead,) = line._idle
    dead.kill()
    line.warm()
    (next_one,) = line._idle
    assert next_one is not dead and next_one.alive
    assert line.processes() == [next_one.process.pid]


def test_a_race_leaves_no_networks_behind_in_its_process() -> None:
    gc.collect()
    gc.disable()  # what is given back is given back by ours
    try:
        out = io.BytesIO()
        run_race(SHORT.to_json(), Lines.empty(), out)
        assert b'"event":"end"' in out.getvalue()
        give_back()
        assert [thing for thing in gc.get_objects() if type(thing) is RaceNetwork] == []
    finally:
        gc.enable()


def test_a_process_that_ends_before_the_race_began_is_replaced(line: TrainingQueue) -> None:
    ready(line)
    (pid,) = line.processes()
    ticket = line.join(SHORT)
    os.kill(pid, signal.SIGKILL)
    assert polled([ticket])[ticket.id][-1]["event"] == "end"
    assert pid not in line.processes()
