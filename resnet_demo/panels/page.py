"""The page around the panels: what they share, and one fan-out of a new run or view to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
from gradio.components.base import Component
from gradio.context import LocalContext

from resnet_demo.drawing.answer import answer_html, status_html
from resnet_demo.drawing.road_map import roadmap_html
from resnet_demo.drawing.streams import View
from resnet_demo.i18n import languages, later, say, speaking
from resnet_demo.inference.interface import Limits, Photo, PhotoEngine
from resnet_demo.inference.lazy import Deferred
from resnet_demo.inference.run_cache import KeptRuns
from resnet_demo.inputs.components import PhotoInput
from resnet_demo.inputs.photo_examples import EXAMPLES
from resnet_demo.lesson import Lesson, read_lesson
from resnet_demo.networks.cards import MenuEntry
from resnet_demo.panels.base import PRIVATE, Components, Panel, Values, Visit, told
from resnet_demo.panels.lending import Lending
from resnet_demo.panels.studies import Studies
from resnet_demo.records import Gate, Prediction, Run

MOST_SESSIONS = 20_000  # open pages remembered, a few bytes each
NOTHING = MenuEntry("", later("No network was found in weights/."), 5)  # where there is none
NO_PHOTO = "No photo arrived; send one as the first argument."
GONE = later("The maps of this photo were put away to make room; give the page the photo again.")
RESTARTED = later(
    "The demo was started again since you gave it a photo; give it the photo once more."  # as in page.js
)


def shown_names(menu: Sequence[MenuEntry]) -> dict[str, str]:
    """How the menu shows a network, in every language -> its name: scripts read the first."""
    found: dict[str, str] = {}
    for language in languages():
        with speaking(language):
            found |= {entry.shown: entry.name for entry in menu}
    return found


def session() -> str | None:
    """Of the page whose event is being answered."""
    request = LocalContext.request.get(None)
    return request.session_hash if isinstance(request, gr.Request) else None


def visitor_address() -> str:
    """Where the request comes from that is being answered; "" where there is none."""
    client = getattr(LocalContext.request.get(None), "client", None)
    return str(getattr(client, "host", "") or "")


@dataclass(frozen=True)
class Giver:
    """A component through which visitors give something of one modality.

    Attributes:
        read: its value as the network takes it; None if there is none.
    """

    modality: str
    component: Any
    read: Callable[[Any], Any]


@dataclass(frozen=True)
class Loaded:
    """Which network the page is on.

    Attributes:
        network: the last that could be loaded.
        failed: the one that was chosen after it and could not be; None once another is chosen.
    """

    network: str
    failed: str | None = None


@dataclass(frozen=True)
class Cut:
    """Gates that the visitor has turned down; they stay for whatever is given next to the same network.
    Sliders, address and answer are all made from them.

    Attributes:
        network: which they belong to.
        gates: one a block.
    """

    network: str
    gates: tuple[Gate, ...]


class Page:
    """The page around the panels: what runs photos, the visitor's states, and the fan-out of a new run or
    view.

    Attributes:
        engine: built when first needed; the page appears before it is.
        menu: the networks on offer, the default first.
        runs: where runs stay for redrawing; a visitor's session holds a key.
        limits: how much is taken in at a time.
        panels: in the order of the page.
        style: the page's style sheet, for pages that visitors take home.
        modules: address of the page's scripts.
        lessons: which the page plays as stories, the default first; the one that ships if there are none.
        studies: what is being measured for whom.
        run, view, opened, whole, cut: states of the visitor: key of the run, ``View``, id of the open panel,
            the answer with every branch open, the ``Cut`` or None. Each is set by whoever changes it,
            never by others.
        holders: modality -> the component that holds what the visitor gave of it.
    """

    demo: gr.Blocks
    network: gr.Dropdown
    lent: gr.HTML
    status: gr.HTML
    theme: gr.Button
    photo: PhotoInput
    examples: gr.HTML
    answer: gr.HTML
    roadmap: gr.HTML
    run: gr.State
    view: gr.State
    opened: gr.State
    whole: gr.State
    cut: gr.State
    kept: gr.Checkbox
    loaded: gr.State
    api_button: gr.Button
    api_answer: gr.JSON

    def __init__(
        self,
        engine: Deferred[PhotoEngine],
        menu: Sequence[MenuEntry],
        runs: KeptRuns,
        limits: Limits,
        panels: Iterable[type[Panel]],
        style: str = "",
        modules: str = "",
        lessons: Sequence[Lesson] = (),
    ) -> None:
        self.engine = engine
        self.menu = tuple(menu)
        self.guests: dict[str, MenuEntry] = {}  # networks that are on one visitor's menu only
        self.lending = Lending(self)
        self.runs = runs
        self.limits = limits
        self.style = style
        self.modules = modules
        self.lessons = tuple(lessons) or (read_lesson(),)
        self.studies = Studies()
        self.holders: dict[str, Component] = {}
        self.givers: list[Giver] = []
        self.examples_left: list[Any] = []  # events after which the page no longer shows an example
        self.sessions: dict[str | None, None] = {}  # the pages that this process has served, the oldest first
        self.panels = [panel(self) for panel in panels]

    def panel(self, id_: str) -> Panel | None:
        """The panel of that id."""
        return next((panel for panel in self.panels if panel.id == id_), None)

    def entry(self, network: str | None) -> MenuEntry:
        """The menu's entry of a network."""
        found = next((entry for entry in self.menu if entry.name == network), None)
        return found or self.guests.get(network or "") or MenuEntry(network or "", "", 5)

    def empty_visit(self) -> Visit:
        """A page that has just been opened."""
        return Visit(network=self.menu[0] if self.menu else NOTHING)

    def first_example(self) -> str:
        """The example that runs when a page is opened; "" if the first network takes no photos."""
        return EXAMPLES[0] if self.menu and self.menu[0].modality == "photo" else ""

    def recall(self, key: str | None) -> Run | None:
        """The visitor's run; None before there is one.

        Raises:
            gr.Error: it was put away.
        """
        try:
            run = self.runs.get(key)
        except Exception as error:
            raise told(error) from error
        if run is None and (key or self.forgotten()):
            raise gr.Error(say(GONE), print_exception=False)
        return run

    def forgotten(self) -> bool:
        """Whether the visitor's session was thrown out to make room, and the key of a run with it."""
        lost = getattr(self._sessions(), "lost", None)
        return bool(lost and lost(session()))

    def _sessions(self) -> Any:
        """The holder of the visitors' sessions; None before the page is laid out."""
        return getattr(getattr(self, "demo", None), "state_holder", None)

    def _has_all(self) -> None:
        """Nothing is missing any more of what the visitor's session held."""
        found = getattr(self._sessions(), "found", None)
        if found:
            found(session())

    def run_photo(self, photo: Photo | None, network: str | None, gates: Sequence[Gate] = ()) -> Run:
        """One photo through the engine.

        Raises:
            gr.Error: none arrived, or whatever went wrong, as one sentence for the visitor.
        """
        if photo is None:
            raise gr.Error(NO_PHOTO, print_exception=False)
        try:
            return self.engine.get().run(photo, network, gates)
        except Exception as error:
            raise told(error) from error

    def exact(self, run: Run) -> Run:
        """``run`` in float32, for numbers that people copy; no engine is needed where it is that already."""
        return run if run.precision == "float32" else self.engine.get().exact(run)

    @property
    def inputs(self) -> Components:
        """Whatever a panel may need to be drawn: the inputs of every event that draws."""
        states: Components = {self.run, self.view, self.opened, self.whole, self.cut, self.network}
        return states.union(*(panel.reads() for panel in self.panels))

    @property
    def drawings(self) -> Components:
        """What a new view may change, besides the view: the outputs of every event that draws."""
        found: Components = set()
        return found.union(*(panel.drawings() | panel.adjusted() for panel in self.panels))

    @property
    def results(self) -> Components:
        """What a new run changes."""
        return {self.run, self.status, self.answer, self.roadmap, *self.drawings}

    def on(
        self, triggers: Any, handler: Callable[..., Any], outputs: Components, reads: Any = (), **options: Any
    ) -> Any:
        """An event whose handler gets the values of ``inputs`` and ``reads`` as a dict, and answers with
        one."""
        return gr.on(triggers, handler, self.inputs.union(reads), outputs, **{**PRIVATE, **options})

    def takes(self, modality: str, component: Component, read: Callable[[Any], Any]) -> None:
        """Run what visitors give through ``component`` as soon as they have given it."""
        self.givers.append(Giver(modality, component, read))

    def leaves_example(self, *events: Any) -> None:
        """After these the page no longer shows an example, and its address names none."""
        self.examples_left += events

    def arrived(self, page: str | None) -> None:
        """Remember that this process served the page of that session."""
        self.sessions[page] = None
        if len(self.sessions) > MOST_SESSIONS:
            del self.sessions[next(iter(self.sessions))]

    def visit(self, values: Mapping[Component, Any]) -> Visit:
        """The visit that the values of ``inputs`` make.

        Raises:
            gr.Error: the run was put away.
        """
        key, entry = values.get(self.run), self.entry(values[self.network])
        return Visit(self.recall(key), values[self.view], key, entry, values.get(self.whole), values)

    def redraw(self, visit: Visit, changed: str) -> Values:
        """The open panel, if it follows what ``changed`` ("run" or "view"), and the controls of all."""
        drawn: Values = {}
        for panel in self.panels:
            drawn |= panel.adjust(visit)
            if panel.id == visit.values.get(self.opened) and changed in panel.follows:
                drawn |= panel.drawn(visit)
        return drawn

    def show_view(self, view: View, values: Values) -> Values:
        """The same run, drawn another way.

        Raises:
            gr.Error: the run was put away; or the page was opened before a restart, and still shows a run of
                which this process knows nothing.
        """
        visit = replace(self.visit(values), view=view)
        if visit.run is None and session() is not None and session() not in self.sessions:
            raise gr.Error(say(RESTARTED), print_exception=False)
        return {self.view: view, **self.redraw(visit, "view")}

    def show(self, run: Run, whole: Prediction, values: Values) -> Values:
        """A new run: keep it, and everything on the page that follows from it."""
        self.retire(values)
        self._has_all()
        key = self.runs.put(run)
        visit = Visit(run, values[self.view], key, self.entry(run.network), whole, values)
        return {
            self.run: key,
            self.status: status_html(run, ""),
            self.answer: answer_html(run, visit.network.knows),
            self.roadmap: self.map_of(visit),
            **self.redraw(visit, "run"),
        }

    def map_of(self, visit: Visit) -> str:
        """The road map of the visit's run, or the empty one of its network."""
        entry, view = visit.network, visit.view
        return roadmap_html(visit.run, view.block, entry.blocks, entry.modality, view.measure, entry.fit)

    def clear(self, values: Values) -> Values:
        """No run any more: the page invites again."""
        self.retire(values)
        self._has_all()
        entry = self.entry(values[self.network])
        nothing = Visit(None, values[self.view], None, entry, None, values)
        return {
            self.run: None,
            self.answer: answer_html(None, entry.knows, entry.modality),
            self.roadmap: self.map_of(nothing),
            **self.redraw(nothing, "run"),
        }

    def retire(self, values: Values) -> None:
        """The visitor's run goes soon, unless a panel keeps it."""
        if values.get(self.run) not in [values.get(kept) for panel in self.panels for kept in panel.keeps()]:
            self.runs.retire(values.get(self.run))
