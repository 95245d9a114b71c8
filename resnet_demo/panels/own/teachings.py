"""What visitors teach: their classes and pictures, as the channel means after every block, in memory alone.

A teaching is known by a ticket that nobody can guess. It is bounded in number and in bytes, and goes with the
tab that it belongs to, or when it has been idle for long and room is needed.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from resnet_demo.analysis.ridge_readout import RidgeReadOut, best_of, fit_read_outs
from resnet_demo.i18n import later
from resnet_demo.records import Block

LEAST_CLASSES, MOST_CLASSES = 2, 10
LEAST, MOST = 5, 200  # pictures of a class
LONGEST_NAME = 40  # characters
EACH_BYTES = 16_000_000  # of one teaching: 2,000 pictures of five blocks, 250 of a ResNet-50's sixteen
ALL_BYTES = 512_000_000  # of all
TEACHINGS = 400
OF_ADDRESS = 120  # of them, behind which a whole school may be
IDLE_S = 1800.0  # what nobody has touched for so long goes first where room is needed
OVERHEAD = 400  # bytes of a picture beside its numbers, about

GONE = later("What you taught was put away: the page was closed, or idle for long. Begin again.")
FULL = later("Many people are teaching just now, and there is no more room; try again in a few minutes.")
TOO_LARGE = later("These are all the pictures that one visitor may keep here with this network.")
UNLIKE = later("These pictures were looked at by another network than the ones before.")


class TeachingError(RuntimeError):
    """What a visitor wants to teach cannot be; one sentence."""


@dataclass(frozen=True, eq=False)
class Example:
    """One picture.

    Attributes:
        id: in its teaching.
        label: the id of its class.
        means: (C,) float32, of all blocks one after the other.
        shown: a small picture as a data URL, or a text.
    """

    id: int
    label: int
    means: NDArray[np.float32]
    shown: str

    @property
    def size(self) -> int:
        """Bytes, about."""
        return self.means.nbytes + len(self.shown) + OVERHEAD


@dataclass(frozen=True, eq=False)
class Taught:
    """What came of a teaching.

    Attributes:
        network: that was taught, and is as it was.
        names: of the classes.
        labels: (N,) of the pictures, in the order of ``names``.
        read_outs: one a block.
        best: the index of the one that answers.
    """

    network: str
    names: tuple[str, ...]
    labels: NDArray[np.int64]
    read_outs: tuple[RidgeReadOut, ...]
    best: int

    @property
    def answering(self) -> RidgeReadOut:
        """The read-out that answers."""
        return self.read_outs[self.best]

    def chances(self, blocks: Sequence[Block]) -> NDArray[np.float64]:
        """The probability (K,) of every class for a picture, from what the blocks gave."""
        logits = self.answering.weight @ blocks[self.best].activity + self.answering.bias
        powers = np.exp(logits.astype(np.float64) - logits.max())
        found: NDArray[np.float64] = powers / powers.sum()
        return found


@dataclass(eq=False)
class Teaching:
    """One visitor's classes and pictures. Safe to use from many threads.

    Attributes:
        ticket: its name, a secret of its visitor.
        session: of the page that it belongs to; None for a program's.
        address: where it comes from.
        network: whose channel means are kept; "" before there is a picture, unless a program says it.
        blocks: name and channels of each of its blocks.
        classes: id -> name, in their order.
        taught: what came of it last.
        lent: what of it is on the visitor's menu.
        version: how often it was made anew from a file.
    """

    ticket: str
    session: str | None
    address: str
    network: str = ""
    blocks: tuple[tuple[str, int], ...] = ()
    classes: dict[int, str] = field(default_factory=dict)
    examples: dict[int, Example] = field(default_factory=dict)
    taught: Taught | None = None
    lent: Taught | None = None
    version: int = 0
    used: float = field(default_factory=time.monotonic)
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    _next: int = 1

    def new_id(self) -> int:
        """A number that nothing in it has had before."""
        with self.lock:
            self._next += 1
            return self._next

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        with self.lock:
            return sum(example.size for example in self.examples.values())

    def add_class(self, name: str = "") -> int:
        """A further class; its id.

        Raises:
            TeachingError: there are as many as there may be.
        """
        with self.lock:
            if len(self.classes) >= MOST_CLASSES:
                raise TeachingError(later("At most {most} classes can be taught.", most=MOST_CLASSES))
            id_ = self.new_id()
            self.classes[id_] = cleaned(name)
            return id_

    def rename(self, id_: int, name: str) -> None:
        """Call a class otherwise, if it is still there."""
        with self.lock:
            if id_ in self.classes:
                self.classes[id_] = cleaned(name)

    def remove_class(self, id_: int) -> None:
        """A class goes, with its pictures."""
        with self.lock:
            self.classes.pop(id_, None)
            self.examples = {key: value for key, value in self.examples.items() if value.label != id_}

    def remove(self, id_: int) -> None:
        """A picture goes."""
        with self.lock:
            self.examples.pop(id_, None)

    def clear(self) -> None:
        """Begin again."""
        with self.lock:
            self.network, self.blocks, self.taught = "", (), None
            self.classes.clear()
            self.examples.clear()

    def of_class(self, id_: int) -> list[Example]:
        """The pictures of a class."""
        with self.lock:
            return [example for example in self.examples.values() if example.label == id_]

    def named(self) -> tuple[str, ...]:
        """The names of the classes; one that has none is called by its number."""
        with self.lock:
            return tuple(name or f"{i + 1}" for i, name in enumerate(self.classes.values()))

    def keep(self, label: int, network: str, blocks: Sequence[Block], shown: str) -> Example:
        """A picture of a class, by what ``network`` did with it.

        Raises:
            TeachingError: the class has as many as it may have, or is gone; or it was another network.
        """
        means = np.concatenate([block.activity for block in blocks]).astype(np.float32)
        shapes = tuple((block.name, block.shape[0]) for block in blocks)
        with self.lock:
            if label not in self.classes:
                raise TeachingError(later("This class was taken away."))
            if len(self.of_class(label)) >= MOST:
                raise TeachingError(later("A class takes at most {most} pictures.", most=MOST))
            if network != (self.network or network) or shapes != (self.blocks or shapes):
                raise TeachingError(UNLIKE)
            example = Example(self.new_id(), label, means, shown)
            if self.size + example.size > EACH_BYTES:
                raise TeachingError(TOO_LARGE)
            self.network, self.blocks = network, shapes
            self.examples[example.id] = example
            return example

    def teach(self) -> Taught:
        """Fit a read-out after every block, and keep them.

        Raises:
            TeachingError: there are too few classes or pictures, or two of one name.
        """
        with self.lock:
            names, ids = self.named(), list(self.classes)
            examples = list(self.examples.values())
            network, blocks = self.network, self.blocks
        if len(names) < LEAST_CLASSES:
            raise TeachingError(later("At least {least} classes are needed.", least=LEAST_CLASSES))
        for name in names:
            if names.count(name) > 1:
                raise TeachingError(later("Two classes are called {name}; give each its own.", name=name))
        labels = np.array([ids.index(example.label) for example in examples], np.int64)
        for i, name in enumerate(names):
            count = int((labels == i).sum())
            if count < LEAST:
                raise TeachingError(
                    later(
                        "{name} has too few pictures: {count}, and at least {least} are needed.",
                        name=name,
                        count=count,
                        least=LEAST,
                    )
                )
        means = np.stack([example.means for example in examples])  # (N, C)
        ends = np.cumsum([0, *(channels for _, channels in blocks)])
        features = {
            name: means[:, start:end]
            for (name, _), start, end in zip(blocks, ends[:-1], ends[1:], strict=True)
        }
        read_outs = fit_read_outs(features, labels, len(names))
        taught = Taught(network, names, labels, read_outs, best_of(read_outs, labels))
        with self.lock:
            self.taught = taught
        return taught


def cleaned(name: object) -> str:
    """A name as it may stand on the page: one line, printable, not too long."""
    text = " ".join(str(name).split()) if isinstance(name, str) else ""
    return "".join(letter for letter in text if letter.isprintable())[:LONGEST_NAME].strip()


class Teachings:
    """All teachings of this process. Safe to use from many threads."""

    def __init__(self, most: int = TEACHINGS, each: int = OF_ADDRESS, most_bytes: int = ALL_BYTES) -> None:
        self.most, self.each, self.most_bytes = most, each, most_bytes
        self._lock = threading.Lock()
        self._all: OrderedDict[str, Teaching] = OrderedDict()  # by ticket, the oldest first

    def begin(self, session: str | None, address: str = "") -> Teaching:
        """A new teaching.

        Raises:
            TeachingError: there is no room for another.
        """
        with self._lock:
            if len(self._all) >= self.most or self._of(address) >= self.each:
                self._drop_idle()
            if len(self._all) >= self.most or self._of(address) >= self.each:
                raise TeachingError(FULL)
            teaching = Teaching(secrets.token_urlsafe(16), session, address)
            self._all[teaching.ticket] = teaching
            return teaching

    def get(self, ticket: object) -> Teaching:
        """The teaching of a ticket.

        Raises:
            TeachingError: it is gone.
        """
        with self._lock:
            teaching = self._all.get(ticket) if isinstance(ticket, str) else None
        if teaching is None:
            raise TeachingError(GONE)
        teaching.used = time.monotonic()
        return teaching

    def of(self, session: str | None, address: str = "") -> Teaching:
        """The teaching of a page, begun when first asked for.

        Raises:
            TeachingError: there is no room for another.
        """
        with self._lock:
            found = next((t for t in self._all.values() if session and t.session == session), None)
        return found or self.begin(session, address)

    def make_room(self, count: int) -> None:
        """See to it that ``count`` further bytes can be kept.

        Raises:
            TeachingError: they cannot.
        """
        with self._lock:
            if self.size() + count > self.most_bytes:
                self._drop_idle()
            if self.size() + count > self.most_bytes:
                raise TeachingError(FULL)

    def size(self) -> int:
        """Bytes of all of them, about."""
        return sum(teaching.size for teaching in list(self._all.values()))

    def end(self, ticket: object) -> None:
        """Forget a teaching."""
        with self._lock:
            if isinstance(ticket, str):
                self._all.pop(ticket, None)

    def leave(self, session: str | None) -> None:
        """The tab was closed: what was taught in it is forgotten."""
        with self._lock:
            for ticket in [t.ticket for t in self._all.values() if session and t.session == session]:
                del self._all[ticket]

    def __len__(self) -> int:
        return len(self._all)

    def _of(self, address: str) -> int:
        return sum(teaching.address == address for teaching in self._all.values())

    def _drop_idle(self) -> None:
        now = time.monotonic()
        for ticket in [t.ticket for t in self._all.values() if now - t.used > IDLE_S]:
            del self._all[ticket]
