"""Teach it: classes of one's own from a few pictures; the network stays as it is, and a linear read-out is
fitted after every block."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components.base import Component

from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import later, say, speaking
from resnet_demo.panels.base import REDRAW, Json, Panel, Values, Visit, sentence_of, told
from resnet_demo.panels.own.taught_network import lend_taught, on_cpu
from resnet_demo.panels.own.teach_pictures import fingerprint_of, looked_at, things_in
from resnet_demo.panels.own.teach_report import numbers_of, report_html
from resnet_demo.panels.own.teaching_files import (
    MOST_ZIP,
    NO_TEACHING,
    OTHER,
    network_file,
    read_teaching,
    restore,
    teaching_file,
)
from resnet_demo.panels.own.teachings import Taught, Teaching, TeachingError, Teachings
from resnet_demo.panels.page import Page, session, shown_names, visitor_address
from resnet_demo.panels.seats import LiveSeats

MAX_FILE = 1_500_000  # characters of a data URL
FILES = 8  # of one request: as many as share a pass
ADDING = 4  # requests with pictures that are looked at at a time; the others try again
FITTING = 2
NOT_TAUGHT = later("Nothing has been taught yet: press “Teach it” first.")
NO_REQUEST = later("That is no request of this panel.")


class TeachPanel(Panel):
    """Classes of the visitor's own; what comes of them is on this visitor's menu."""

    id = "teach"
    title = later("Teach it")
    intro = later("""<p>Two to ten classes of your own, 5 to 200 pictures each; twenty are a good beginning.
The network stays as it is: after every block a linear read-out is fitted to what it gives, and the chart says
where in the network your classes come apart (<a href="https://arxiv.org/abs/1610.01644" target="_blank"
rel="noreferrer">Alain and Bengio 2016</a>). The best becomes a network on your menu. The pictures leave this
page with you: of each only the channels' means and a thumbnail are kept, while it is open.</p>""")
    follows = frozenset()

    def __init__(self, page: Page) -> None:
        super().__init__(page)
        self.names = shown_names(page.menu)
        self.teachings = Teachings()
        self.adding, self.fitting = LiveSeats(ADDING), LiveSeats(FITTING)
        self.looking = LiveSeats(page.limits.frames)

    def layout(self) -> None:
        super().layout()
        self.file = gr.UploadButton(
            say("Go on with a file of yesterday"), file_types=[".zip"], size="sm", elem_id="teach-file"
        )
        self.api_teaching = gr.Textbox(visible=False, label="teaching")
        self.api_label = gr.Textbox(visible=False, label="label")

    def render(self, visit: Visit) -> str:
        return self.filled()

    def filled(self, ticket: str = "", version: int = 0, why: str = "") -> str:
        """The panel, for a teaching or with the reason why there is none."""
        hears = [entry.shown for entry in self.page.menu if entry.modality == "sound"]
        return fill("panels/own/teach.html", ticket=ticket, version=version, why=why, hears=hears)

    def draw(self, visit: Visit) -> Values:
        return {self.drawing: self.drawn_for(session())}

    def drawn_for(self, page: str | None) -> str:
        """The panel of a page, with the ticket of what is taught there."""
        try:
            found = self.teachings.of(page, visitor_address())
        except TeachingError as error:
            return self.filled(why=sentence_of(error))
        return self.filled(found.ticket, found.version)

    def connect(self, page: Page) -> None:
        def on_use(event: gr.EventData) -> Values:
            """What was taught comes onto the visitor's menu, and is chosen."""
            try:
                teaching = self.teachings.get(getattr(event, "ticket", None))
                entry = lend_taught(page, session(), teaching, taught_in(teaching))
            except Exception as error:
                raise told(error) from error
            choices = page.lending.choices(session())
            update = gr.update(choices=choices, value=entry.name)
            return {page.network: update, page.lent: page.lending.html(session())}

        def on_file(path: str | None) -> str:
            try:
                self.go_on(self.teachings.of(session(), visitor_address()), path)
            except Exception as error:
                raise told(error) from error
            return self.drawn_for(session())

        def on_leave(request: gr.Request) -> None:
            self.teachings.leave(request.session_hash)

        gr.on(self.drawing.select, on_use, None, {page.network, page.lent}, **REDRAW)
        self.file.upload(on_file, self.file, self.drawing, **REDRAW)
        page.demo.unload(on_leave)

    def server_functions(self) -> Iterable[Callable[[Any], Json]]:
        return self.state, self.add, self.change, self.teach, self.look, self.take

    def answer(self, request: Any, work: Callable[[Teaching, Mapping[str, Any]], Json]) -> Json:
        """What ``work`` makes of a request and the teaching that it names, in its language."""
        if not isinstance(request, dict):
            return {"error": say(NO_REQUEST)}
        with speaking(str(request.get("language"))):
            try:
                return work(self.teachings.get(request.get("ticket")), request)
            except Exception as error:  # noqa: BLE001 - told to the visitor, logged by sentence_of
                return {"error": sentence_of(error)}

    def state(self, request: Any) -> Json:
        """{"ticket"} to {"classes": [{"id", "name", "shown": [[id, picture]]}], "report"}."""
        return self.answer(request, lambda teaching, _: self.told_of(teaching))

    def told_of(self, teaching: Teaching) -> Json:
        """All that the script draws of a teaching."""
        with teaching.lock:
            classes = [
                {"id": id_, "name": name, "shown": [[e.id, e.shown] for e in teaching.of_class(id_)]}
                for id_, name in teaching.classes.items()
            ]
        return {
            "classes": classes,
            "network": self.shown(teaching),
            "report": report_html(teaching.taught) if teaching.taught else "",
        }

    def shown(self, teaching: Teaching) -> str:
        """The network of a teaching as the menu shows it, "" before there is a picture."""
        return self.page.entry(teaching.network).shown if teaching.network else ""

    def change(self, request: Any) -> Json:
        """{"ticket", "what": "class", "name", "remove", "remove class" or "clear", "id", "name"} to
        {"id"}."""

        def work(teaching: Teaching, request: Mapping[str, Any]) -> Json:
            what, id_ = request.get("what"), request.get("id")
            number = id_ if isinstance(id_, int) else 0
            if what == "class":
                return {"id": teaching.add_class(str(request.get("name") or ""))}
            if what == "name":
                teaching.rename(number, str(request.get("name") or ""))
            elif what == "remove":
                teaching.remove(number)
            elif what == "remove class":
                teaching.remove_class(number)
            elif what == "clear":
                teaching.clear()
            else:
                return {"error": say(NO_REQUEST)}
            return {"id": number}

        return self.answer(request, work)

    def add(self, request: Any) -> Json:
        """{"ticket", "class": id, "files": data URLs, "network": as the menu shows it} to {"added":
        [[id, picture]], "refused": sentences, "network"} or {"busy"}."""

        def work(teaching: Teaching, request: Mapping[str, Any]) -> Json:
            files, label = request.get("files"), request.get("class")
            if not isinstance(files, list) or not 0 < len(files) <= FILES or not isinstance(label, int):
                return {"error": say(NO_REQUEST)}
            added, refused = self.add_files(teaching, label, files, self.network_of(teaching, request))
            return {"added": added, "refused": refused, "network": self.shown(teaching)}

        return self.adding.answer(request, lambda asked: self.answer(asked, work))

    def network_of(self, teaching: Teaching, request: Mapping[str, Any]) -> str:
        """Whose blocks look: the teaching's, or before there is a picture the one chosen on the page."""
        first = self.page.menu[0].name if self.page.menu else ""
        return teaching.network or self.names.get(str(request.get("network") or ""), first)

    def add_files(
        self, teaching: Teaching, label: int, files: list[Any], network: str
    ) -> tuple[list[list[Any]], list[str]]:
        """What was kept of files, data URLs or bytes, as [id, picture]; and why others were not."""
        opened, refused = [], []
        for file in files:
            try:
                opened.append(file if isinstance(file, bytes) else file_of(file))
            except TeachingError as error:
                refused.append(sentence_of(error))
        added: list[list[Any]] = []
        found, unfit = looked_at(self.page.engine.get(), network, opened)
        refused += unfit
        for blocks, shown in found:
            try:
                self.teachings.make_room(4 * sum(block.shape[0] for block in blocks) + len(shown))
                added.append([teaching.keep(label, network, blocks, shown).id, shown])
            except TeachingError as error:
                refused.append(sentence_of(error))
                break
        return added, refused

    def teach(self, request: Any) -> Json:
        """{"ticket"} to {"report": HTML} or {"busy"}."""

        def work(teaching: Teaching, _: Mapping[str, Any]) -> Json:
            return {"report": report_html(teaching.teach())}

        return self.fitting.answer(request, lambda asked: self.answer(asked, work))

    def look(self, request: Any) -> Json:
        """{"ticket", "file"} to {"classes": [[name, probability]]}, for camera and microphone; or
        {"busy"}."""

        def work(teaching: Teaching, request: Mapping[str, Any]) -> Json:
            return {"classes": self.answers_to(taught_in(teaching), file_of(request.get("file")))}

        return self.looking.answer(request, lambda asked: self.answer(asked, work))

    def answers_to(self, taught: Taught, file: bytes) -> list[tuple[str, float]]:
        """As ``answers``, for the first thing that a file gives to the network.

        Raises:
            EngineError, PhotoError, SoundError, TextError: it cannot be looked at.
        """
        preprocessing = self.page.engine.get().info(taught.network).preprocessing
        given, _ = next(things_in(file, preprocessing))
        return self.answers(taught, given)

    def answers(self, taught: Taught, given: Any) -> list[tuple[str, float]]:
        """The classes and their probabilities for something given, the likeliest first.

        Raises:
            EngineError, PhotoError: it cannot be looked at.
        """
        run = self.page.engine.get().run(given, taught.network, keep=(), here=True)
        chances = taught.chances(run.blocks).tolist()
        return sorted(zip(taught.names, chances, strict=True), key=lambda pair: -pair[1])

    def take(self, request: Any) -> Json:
        """{"ticket", "what": "network" or "teaching"} to {"name", "type", "data": base64}, or {"busy"}."""

        def work(teaching: Teaching, request: Mapping[str, Any]) -> Json:
            engine = self.page.engine.get()
            if request.get("what") == "network":
                taught = taught_in(teaching)
                name, data = "my-classes.zip", network_file(taught, *on_cpu(engine, taught.network))
            else:
                if not teaching.network:
                    raise TeachingError(later("There is no picture yet."))
                name = "teaching.zip"
                data = teaching_file(teaching, fingerprint_of(engine, teaching.network)[0])
            return {"name": name, "type": "application/zip", "data": base64.b64encode(data).decode()}

        return self.fitting.answer(request, lambda asked: self.answer(asked, work))

    def go_on(self, teaching: Teaching, path: str | None) -> None:
        """Make a teaching what a file says.

        Raises:
            TeachingError: it is no such file, or of a network that is not here as it was.
        """
        if path is None or Path(path).stat().st_size > MOST_ZIP:
            raise TeachingError(NO_TEACHING)
        note, means = read_teaching(Path(path).read_bytes())
        if note["network"] not in [entry.name for entry in self.page.menu]:
            raise other_network(note["network"])
        known, blocks = fingerprint_of(self.page.engine.get(), note["network"])
        alike = len(known) == len(note["fingerprint"]) and all(
            abs(ours - theirs) <= 0.02 * abs(ours) + 1e-4
            for ours, theirs in zip(known, note["fingerprint"], strict=True)
        )
        if not alike or [list(block) for block in blocks] != note["blocks"]:
            raise other_network(note["network"])
        self.teachings.make_room(means.nbytes)
        restore(teaching, note, means)

    # for programs

    def arguments(self) -> Mapping[str, Component]:
        return {"teaching": self.api_teaching, "label": self.api_label}

    def endpoints(self) -> Iterable[Callable[..., Json]]:
        def teach_begin(network: str) -> dict[str, str]:
            """Begin to teach a network classes of one's own; the ticket, "teaching", names it in the calls
            that follow."""
            self.page.engine.get().info(network)  # says what is wrong with a name
            found = self.teachings.begin(None, visitor_address())
            found.network = network
            return {"teaching": found.ticket}

        def teach_add(photo: str | None, teaching: str, label: str) -> dict[str, Any]:
            """Add one photo to a class, which is begun with its first: 5 to 200 of each of 2 to 10
            classes."""
            if photo is None:
                raise TeachingError(later("There is no picture yet."))
            found = self.teachings.get(teaching)
            with found.lock:
                id_ = next((i for i, name in found.classes.items() if name == label), None)
                id_ = found.add_class(label) if id_ is None else id_
            data = Path(photo).read_bytes()
            _, refused = self.add_files(found, id_, [data], found.network)
            if refused:
                raise TeachingError(refused[0])
            with found.lock:
                return {name: len(found.of_class(i)) for i, name in found.classes.items()}

        def teach_fit(teaching: str) -> dict[str, Any]:
            """Fit a read-out after every block: leave-one-out accuracy with 95 % intervals, which block is
            the best, and which class was taken for which."""
            return numbers_of(self.teachings.get(teaching).teach())

        def teach_answer(photo: str | None, teaching: str) -> dict[str, float]:
            """What was taught, asked about a photo: the probability of every class."""
            if photo is None:
                raise TeachingError(later("There is no picture yet."))
            return dict(self.answers_to(taught_in(self.teachings.get(teaching)), Path(photo).read_bytes()))

        def teach_end(teaching: str) -> dict[str, Any]:
            """Forget what was taught."""
            self.teachings.end(teaching)
            return {}

        yield from (teach_begin, teach_add, teach_fit, teach_answer, teach_end)


def other_network(name: str) -> TeachingError:
    """The error for a file of a network that is not here as it was."""
    return TeachingError(later(OTHER.pattern, network=f"{name!r:.60}"))


def taught_in(teaching: Teaching) -> Taught:
    """What was taught.

    Raises:
        TeachingError: nothing yet.
    """
    if teaching.taught is None:
        raise TeachingError(NOT_TAUGHT)
    return teaching.taught


def file_of(url: Any) -> bytes:
    """The file in a data URL.

    Raises:
        TeachingError: it is none, or too long.
    """
    if not isinstance(url, str) or not url.startswith("data:") or "," not in url[:200]:
        raise TeachingError(NO_REQUEST)
    if len(url) > MAX_FILE:
        raise TeachingError(
            later("A file of {size} MB is too large here.", size=f"{len(url) * 0.75 / 1e6:.1f}")
        )
    try:
        return base64.b64decode(url.partition(",")[2], validate=True)
    except binascii.Error:
        raise TeachingError(NO_REQUEST) from None
