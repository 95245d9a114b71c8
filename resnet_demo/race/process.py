"""Who trains when: a line of visitors before a few training processes, without torch in this one.

``TrainingQueue.join`` gives a ticket; ``Ticket.poll`` tells what has happened since, at once: the place in
the line, or what the training process has told. A ticket that nobody polls for a while is given up, whatever
became of its visitor: one who leaves holds up nobody.
"""

from __future__ import annotations

import json
import os
import queue
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from resnet_demo.i18n import Sentence, later
from resnet_demo.race.records import RaceSettings

Event = dict[str, Any]
WAITING = 30  # tickets in the line at most
SILENT = 15.0  # seconds without a poll after which a ticket is given up
STAY = 5.0  # seconds between words to stay
STUCK = 120.0  # seconds without a word from a training process that has a race
KEPT = 2048  # events that a ticket holds for its visitor
ROOT = Path(__file__).parents[2]
ENDED = later("The training process was ended before it was done; press Train again.")
FULL = later("{count} visitors are waiting to train already; try again in a few minutes.")
GONE = later("This training is over, or was given up because nobody watched; press Train again.")


class QueueFullError(Exception):
    """The line is full; the message is a sentence for the visitor."""


def cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Worker:
    """A training process, and what it says.

    Attributes:
        is_ready: it has loaded what it needs.

    Args:
        idle: seconds after which it ends if nobody says anything; its own choice when None.
        ahead: nobody has pressed yet: it lets everybody else go first while it loads.
    """

    def __init__(self, idle: float | None = None, ahead: bool = False) -> None:
        threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        options = [*([f"--idle={idle}"] if idle else []), *(["--ahead"] if ahead else [])]
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "resnet_demo.race.worker", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **threads, "PYTHONPATH": path},
        )
        self.events: queue.Queue[Event] = queue.Queue(KEPT)
        self.is_ready = False
        self.heard = self.told = time.monotonic()
        threading.Thread(target=self._listen, name="race-worker", daemon=True).start()

    def _listen(self) -> None:
        out = self.process.stdout
        assert out is not None
        with suppress(ValueError, OSError):  # closed while it was read
            while line := out.readline():
                event: Event = json.loads(line)
                if event["event"] == "trained":
                    event["weights"] = _exactly(out, event["bytes"])
                self.heard = time.monotonic()
                if event["event"] == "ready":
                    self.is_ready = True
                else:
                    self.events.put(event)
        self.events.put({"event": "failed", "message": ENDED})

    @property
    def alive(self) -> bool:
        """It has not ended."""
        return self.process.poll() is None

    def send(self, line: dict[str, Any]) -> None:
        """One line to it; in vain if it has ended."""
        self.told = time.monotonic()
        assert self.process.stdin is not None
        with suppress(OSError, ValueError):
            self.process.stdin.write(json.dumps(line).encode() + b"\n")
            self.process.stdin.flush()

    def kill(self) -> None:
        """End it now."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError, ValueError):
                if pipe is not None:
                    pipe.close()


def _exactly(out: IO[bytes], count: int) -> bytes:
    """``count`` bytes, or fewer if the process ends."""
    parts = []
    while count > 0 and (part := out.read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


class Ticket:
    """One visitor's place in the line, and then the race itself.

    Attributes:
        id: cannot be guessed.
        over: nothing more will come.
        weights: network -> its trained weights as safetensors, once they are there.
    """

    def __init__(self, line: TrainingQueue, settings: RaceSettings) -> None:
        self.id = secrets.token_urlsafe(12)
        self.settings = settings
        self.over = False
        self.weights: dict[str, bytes] = {}
        self.seen = time.monotonic()
        self.worker: Worker | None = None
        self._line = line
        self._place = -1
        self._begun = False

    def poll(self) -> list[Event]:
        """What has happened since the last poll, without waiting.

        "waiting" comes with a "place", 1 being the next, and only when that has changed. The last event is
        "end" or "failed".
        """
        self.seen = time.monotonic()
        self._line.turn()
        if self.over:
            return []
        if self.worker is None:
            place = self._line.place(self)
            if place == self._place:
                return []
            self._place = place
            return [{"event": "waiting", "place": place}]
        return self._heard(self.worker)

    def _heard(self, worker: Worker) -> list[Event]:
        found: list[Event] = []
        with suppress(queue.Empty):
            while not self.over:
                event = worker.events.get_nowait()
                if event["event"] == "trained":
                    self.weights[event["network"]] = event["weights"]
                    continue
                if event["event"] == "failed" and event["message"] in ("", ENDED):
                    if not self._begun:  # it ended while it waited, for instance: another one
                        self._begun = True
                        self._line.replace(self)
                        return found
                    event = {**event, "message": ENDED}
                self._begun = True
                found.append(event)
                self.over = event["event"] in ("end", "failed")
        if not self.over and time.monotonic() - worker.heard > STUCK:
            worker.kill()
        if self.over:
            self._line.leave(self)
        return found

    def stop(self) -> None:
        """End the race after the step that is under way; its record still comes. One that waits is over."""
        if self.worker is not None:
            self.worker.send({"stop": True})
        else:
            self.close()

    def close(self) -> None:
        """Give it up: the line moves on."""
        self.over = True
        self._line.leave(self)

    def events(self, pause: float = 0.05) -> Iterator[Event]:
        """Everything until it is over, waiting in between."""
        try:
            while not self.over:
                yield from (found := self.poll())
                if not found:
                    time.sleep(pause)
        finally:
            self.close()

    async def arriving(self, pause: float = 0.05) -> AsyncIterator[Event]:
        """The same, for an event loop."""
        import asyncio

        try:
            while not self.over:
                found = self.poll()
                for event in found:
                    yield event
                if not found:
                    await asyncio.sleep(pause)
        finally:
            self.close()


class TrainingQueue:
    """A line before ``at_once`` training processes; one process for two cores unless told otherwise.

    Args:
        at_once: races that run at a time.
        waiting: tickets in the line at most.
        idle: seconds after which a process ends that nobody needs; the worker's own choice when None.
    """

    def __init__(self, at_once: int | None = None, waiting: int = WAITING, idle: float | None = None) -> None:
        self.at_once = max(1, cores() // 2) if at_once is None else at_once
        self.most = waiting
        self.idle = idle
        self._lock = threading.RLock()
        self._tickets: list[Ticket] = []  # those that run first, then those that wait, in order
        self._idle: list[Worker] = []

    def warm(self) -> None:
        """Have a training process ready, and keep it: somebody may soon press Train."""
        with self._lock:
            self.turn()  # of those who left nobody else may ask
            if not self._idle and not self._tickets:
                self._idle.append(Worker(self.idle, ahead=True))
            for worker in self._idle[:1]:
                if time.monotonic() - worker.told > STAY:
                    worker.send({"stay": True})

    def join(self, settings: RaceSettings) -> Ticket:
        """A ticket at the end of the line.

        Raises:
            QueueFullError: as many wait as may.
        """
        with self._lock:
            self.turn()
            waiting = sum(ticket.worker is None for ticket in self._tickets)
            if waiting >= self.most:
                raise QueueFullError(later(FULL.pattern, count=waiting))
            ticket = Ticket(self, settings)
            self._tickets.append(ticket)
            self.turn()
            return ticket

    def find(self, id_: object) -> Ticket | None:
        """The ticket of that id, if it is in the line or running."""
        with self._lock:
            return next((ticket for ticket in self._tickets if ticket.id == id_), None)

    def place(self, ticket: Ticket) -> int:
        """How many turns until it is its own; 1 is next."""
        with self._lock:
            waiting = [other for other in self._tickets if other.worker is None]
            return waiting.index(ticket) + 1 if ticket in waiting else 0

    def turn(self) -> None:
        """Give up who is silent; start whose turn it is."""
        with self._lock:
            now = time.monotonic()
            for ticket in [ticket for ticket in self._tickets if now - ticket.seen > SILENT]:
                ticket.close()
            self._idle = [worker for worker in self._idle if worker.alive]
            for ticket in self._tickets[: self.at_once]:
                if ticket.worker is None:
                    ticket.worker = self._idle.pop() if self._idle else Worker(self.idle)
                    ticket.worker.heard = now
                    ticket.worker.send({"settings": ticket.settings.to_json()})

    def replace(self, ticket: Ticket) -> None:
        """Another process for a ticket whose own has ended before it said anything."""
        with self._lock:
            if ticket in self._tickets and ticket.worker is not None:
                ticket.worker.kill()
                ticket.worker = None
                self.turn()

    def leave(self, ticket: Ticket) -> None:
        """Take a ticket out; its process waits for the next if its race ended well, and is ended
        otherwise."""
        with self._lock:
            if ticket not in self._tickets:
                return
            self._tickets.remove(ticket)
            worker = ticket.worker
            if worker is not None:
                if ticket.weights and worker.alive and worker.events.empty():
                    self._idle.append(worker)
                else:
                    worker.kill()
            self.turn()

    def close(self) -> None:
        """End every process and give up every ticket."""
        with self._lock:
            for ticket in list(self._tickets):
                ticket.over = True
                if ticket.worker is not None:
                    ticket.worker.kill()
            for worker in self._idle:
                worker.kill()
            self._tickets, self._idle = [], []

    def processes(self) -> list[int]:
        """The ids of the training processes that are alive."""
        with self._lock:
            workers = [*self._idle, *(t.worker for t in self._tickets if t.worker is not None)]
            return [worker.process.pid for worker in workers if worker.alive]


def message_of(event: Event) -> str:
    """The sentence of a "failed" event."""
    message = event.get("message", "")
    return message if isinstance(message, Sentence) else str(message)


__all__ = [
    "ENDED",
    "FULL",
    "GONE",
    "Event",
    "QueueFullError",
    "Ticket",
    "TrainingQueue",
    "Worker",
    "message_of",
]
