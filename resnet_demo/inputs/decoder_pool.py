"""Processes that open strangers' files, so that a decoder which dies or hangs takes nobody else with it.

Native decoders have bugs, and their input is anybody's. A file's bytes go to a ``Decoder``, a process of its
own (``decoder.py``), and pixels come back. The pool starts one when all are busy, up to one a core, and puts
another in the place of one that ended. They are plain processes with pipes, so they work under any script,
notebook, thread or fork, and they end when this process does, however that ends.

A process takes a fifth of a second to start, an ordinary photo some milliseconds to open. So who finds all at
work waits for whichever comes first, one that is free again or the one more that is being started.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from resnet_demo.inputs.decoder import SECONDS, read, write

log = logging.getLogger(__name__)

PACKAGE = Path(__file__).resolve().parents[1]
START_S = 60.0  # for Python to start on a busy machine
SLOW_S = 0.5  # who takes longer no longer keeps others from having one started
PATIENCE_S = 60.0  # to wait for one's turn
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
SEATS = min(2, CORES)  # at work at a time: a photo of 50 megapixels takes 200 MB while it is opened
PIPE_BYTES = 1 << 20
# what the process needs of the environment; nothing else, such as a token, is any business of a decoder
KEPT = (
    "PATH",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "PYTHONHOME",
    "SYSTEMROOT",
    "TEMP",
    "TMP",
    "TMPDIR",
    "LANG",
)
SET = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # glibc: what one photo took serves the next, instead of fresh pages from the system, a third of its time
    "MALLOC_MMAP_THRESHOLD_": "4194304",
    "MALLOC_TRIM_THRESHOLD_": "8388608",
}

Message = tuple[dict[str, Any], bytes | bytearray]


class DecoderError(Exception):
    """A decoder did not answer."""


class DecoderDiedError(DecoderError):
    """It ended on this file."""


class DecoderSlowError(DecoderError):
    """It took too long for this file, and was ended."""


class DecoderBusyError(DecoderError):
    """None became free."""


class NoDecoderError(DecoderError):
    """None can be started on this system."""


def command() -> list[str]:
    """How a decoder is started: with the modules that this process has, without running its script again."""
    path = [str(PACKAGE.parent), *(str(Path(entry).absolute()) for entry in sys.path)]
    code = f"import sys; sys.path[:] = {path!r}; from resnet_demo.inputs.decoder import main; main()"
    return [sys.executable, "-c", code]


class Decoder:
    """One process. Ask it from one thread at a time.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        apart: dict[str, Any] = {"start_new_session": True}  # Ctrl-C in the terminal does not reach it
        if sys.platform == "win32":
            apart = {"creationflags": subprocess.CREATE_NO_WINDOW}
        self.process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={name: os.environ[name] for name in KEPT if name in os.environ} | SET,
            **apart,
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.into, self.out = self.process.stdin, self.process.stdout
        self.ready = False
        self.since = 0.0  # when it was last asked
        for pipe in (self.into, self.out):
            _widen(pipe.fileno())

    def ask(self, header: Mapping[str, Any], data: bytes, seconds: float) -> Message:
        """The answer to one request.

        Raises:
            NoDecoderError: it ended before it was ready for any.
            DecoderDiedError, DecoderSlowError: it is of no more use.
        """
        self.since = time.monotonic()
        self.wait_until_ready()

        def exchange() -> Message | None:
            write(self.into.fileno(), header, data)
            return read(self.out.fileno())

        answer = self._within(seconds, exchange)
        if answer is None:
            code = self.process.wait()
            if code in (-getattr(signal, "SIGXCPU", 0), -getattr(signal, "SIGALRM", 0)) and code:
                raise DecoderSlowError
            raise DecoderDiedError(f"it ended with {code}")
        return answer

    def wait_until_ready(self) -> None:
        """Returns when it can be asked.

        Raises:
            NoDecoderError, DecoderSlowError: it ended before that.
        """
        if self.ready:
            return
        if self._within(START_S, lambda: read(self.out.fileno())) is None:
            raise NoDecoderError(f"a decoder ended with {self.process.wait()} before it was ready")
        self.ready = True
        self.since = time.monotonic()

    def _within(self, seconds: float, work: Callable[[], Message | None]) -> Message | None:
        """What ``work`` returns, or None when the process ended under it; it is ended after ``seconds``."""
        late = threading.Event()

        def end() -> None:
            late.set()
            self.process.kill()

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            answer = work()
        except (OSError, ValueError, KeyError, MemoryError):  # the pipe broke, or what came was no message
            answer = None
        timer.cancel()
        if late.is_set():
            self.process.wait()
            raise DecoderSlowError
        if answer is None:
            self.process.kill()
        return answer

    def close(self) -> None:
        """End it."""
        self.process.kill()
        for pipe in (self.into, self.out):
            with suppress(OSError):
                pipe.close()
        self.process.wait()


class DecoderPool:
    """Decoders for whoever asks, from any thread.

    Args:
        seats: how many work at a time.
        arguments: how one is started.
        seconds: what a request may take.
    """

    def __init__(
        self, seats: int = SEATS, arguments: Sequence[str] | None = None, seconds: float = SECONDS
    ) -> None:
        self.seats, self.seconds = seats, seconds
        self.arguments = list(arguments) if arguments else command()
        self.worked = False  # whether any decoder ever did
        self._anew()
        pools.add(self)

    def _anew(self) -> None:
        """Without any process: at first, and in a fork, whose parent goes on talking to those that there
        were."""
        self._turn = threading.Condition()
        self._idle: list[Decoder] = []
        self._busy: set[Decoder] = set()
        self._coming: set[Decoder] = set()  # being started for whoever is waiting

    def _after_fork(self) -> None:
        for decoder in (*self._idle, *self._busy, *self._coming):  # or they would not see their parent's end
            for pipe in (decoder.into, decoder.out):
                with suppress(OSError):
                    pipe.close()  # nothing is buffered in them
        self._anew()

    def start(self) -> None:
        """Have one ready before it is needed; returns at once."""
        with self._turn, suppress(OSError):
            if not self._idle and not self._busy:
                self._idle.append(Decoder(self.arguments))

    def ask(self, header: Mapping[str, Any], data: bytes) -> Message:
        """What a decoder answers to one request.

        Raises:
            DecoderDiedError, DecoderSlowError: on this request.
            DecoderBusyError: none became free within PATIENCE_S.
            NoDecoderError: none can be started, and none ever could.
        """
        with self._taken() as decoder:
            try:
                answer = decoder.ask(header, data, self.seconds)
            except NoDecoderError as error:
                if self.worked:  # this system can have decoders; it is short of something now
                    raise DecoderBusyError from error
                raise
            self.worked = True
            return answer

    @contextmanager
    def _taken(self) -> Iterator[Decoder]:
        """A decoder that nobody else asks; afterwards it is free again, or another is in its place."""
        decoder = self._take(time.monotonic() + PATIENCE_S)
        well = False
        try:
            yield decoder
            well = True
        finally:
            if not well:
                decoder.close()
            with self._turn:
                self._busy.discard(decoder)
                if well and len(self._idle) < self.seats:
                    self._idle.append(decoder)
                elif well:
                    decoder.close()
                elif self.worked and len(self._idle) + len(self._busy) < self.seats:
                    with suppress(OSError):
                        self._idle.append(Decoder(self.arguments))
                self._turn.notify()

    def _take(self, until: float) -> Decoder:
        with self._turn:
            while True:
                while self._idle:
                    decoder = self._idle.pop()
                    if decoder.process.poll() is None:
                        self._busy.add(decoder)
                        return decoder
                    decoder.close()  # the system ended it meanwhile
                now = time.monotonic()
                slow = sum(other.ready and now - other.since > SLOW_S for other in self._busy)
                if len(self._busy) - min(slow, 2 * self.seats) + len(self._coming) < self.seats:
                    started = self._started()
                    if not any(other.ready for other in self._busy):
                        self._busy.add(started)
                        return started
                    self._coming.add(started)
                    threading.Thread(target=self._welcome, args=(started,), daemon=True).start()
                if now > until:
                    raise DecoderBusyError
                self._turn.wait(0.1)

    def _started(self) -> Decoder:
        try:
            decoder = Decoder(self.arguments)
        except (OSError, ValueError) as error:  # no processes here, or no more of them
            raise (DecoderBusyError if self.worked else NoDecoderError)(str(error)) from error
        decoder.since = time.monotonic()
        return decoder

    def _welcome(self, decoder: Decoder) -> None:
        """Have ``decoder`` among those that are free as soon as it is ready."""
        try:
            decoder.wait_until_ready()
        except DecoderError:
            log.warning("a decoder could not be started")
        with self._turn:
            self._coming.discard(decoder)
            if decoder.ready and len(self._idle) < self.seats:
                self._idle.append(decoder)
            else:
                decoder.close()
            self._turn.notify()

    def processes(self) -> list[int]:
        """The numbers of the decoders that there are."""
        with self._turn:
            return [decoder.process.pid for decoder in (*self._idle, *self._busy, *self._coming)]

    def close(self) -> None:
        """End the decoders that are at rest; the others end with this process."""
        with self._turn:
            while self._idle:
                self._idle.pop().close()


def _widen(pipe: int) -> None:
    """A pipe that takes a photo at once, where the system can: fewer turns between the processes."""
    with suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


pools: weakref.WeakSet[DecoderPool] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for pool in list(pools):
        pool.close()


def _after_fork_in_child() -> None:
    for pool in list(pools):
        pool._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
