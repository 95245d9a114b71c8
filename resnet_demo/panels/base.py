"""What a panel is: one stem that owns its words, controls, drawing, events, script, style and endpoints.

How to add one is in ``panels/README.md``.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import gradio as gr
from gradio.components.base import Component

from resnet_demo.drawing.streams import View
from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import Sentence, error_of, later, say
from resnet_demo.networks.cards import MenuEntry
from resnet_demo.panels.chapters import Chapter, chapter_of
from resnet_demo.records import Prediction, Run

if TYPE_CHECKING:
    from resnet_demo.panels.page import Page

log = logging.getLogger(__name__)

Values = dict[Component, Any]  # of components: what Gradio hands over for a set of inputs, and takes back
Components = set[Any]  # Gradio's types of sets of components disagree with each other
Json = Any
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
REDRAW: dict[str, Any] = {
    "trigger_mode": "always_last",  # by default a click is lost while an earlier one is under way
    "show_progress": "hidden",
    "concurrency_id": "draw",
    "concurrency_limit": 4,
    **PRIVATE,
}
ERRORS = (
    "EngineError",
    "CheckpointError",
    "PhotoError",
    "SoundError",
    "TextError",
    "TeachingError",
)  # made for visitors, known by name: no torch


LATER = later("it may help to try again later")


def sentence_of(error: Exception) -> str:
    """What to tell a visitor about ``error``; anything unexpected is logged and not shown."""
    if type(error).__name__ in ERRORS:
        return error_of(without_advice(error))
    log.error("a run failed", exc_info=error)
    return say("Something went wrong while the network ran; try the photo again, or another one.")


def without_advice(error: Exception) -> Exception:
    """``error`` without what only who runs the demo can do, which goes to the log instead."""
    found = error.args[0] if error.args else ""
    if not isinstance(found, Sentence) or "by_hand" not in found.values:
        return error
    log.warning("%s", found)
    return type(error)(Sentence(found.pattern, **{**found.values, "by_hand": LATER}))


def told(error: Exception) -> gr.Error:
    """``error`` as Gradio shows it to a visitor: one sentence."""
    if isinstance(error, gr.Error):
        return error
    return gr.Error(sentence_of(error), print_exception=False)


@dataclass(frozen=True)
class Visit:
    """What is on one visitor's page: enough to draw any panel.

    Attributes:
        run: the visitor's run, or None before there is one.
        view: how the chosen block is drawn.
        key: of the run in the run cache.
        network: the menu's entry of the chosen network.
        whole: the network's answer to the same input with every branch open.
        values: what the components hold that the panel ``reads``.
    """

    run: Run | None = None
    view: View = View()  # noqa: RUF009 - frozen
    key: str | None = None
    network: MenuEntry = MenuEntry("", "", 5)  # noqa: RUF009 - frozen
    whole: Prediction | None = None
    values: Mapping[Component, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Property:
    """One thing that an address names, such as ``block=3``; the same line writes it and reads it.

    Attributes:
        name: in the address.
        shown: CSS selector of the element that has it while it is shown.
        attribute: of that element; "value", or "data-…".
        read: what the text asks for, given the blocks of the network; None if it asks for nothing there is.
        from_one: people count it from 1, the element from 0.
        network: of an example, the network that it is for.
    """

    name: str
    shown: str
    attribute: str = "value"
    read: Callable[[str, int], Any | None] | None = None
    from_one: bool = False
    network: str = ""


LATEST = """const latest = (trigger, said = {}) => (kind, data) => {
  said[kind] ??= {};
  for (const name in said[kind]) delete said[kind][name];
  trigger(kind, Object.assign(said[kind], data));
};
"""


def started(module: str) -> str:
    """JavaScript that imports a module of the page and starts it with the parts of a ``gr.HTML``.

    What an event says is one object, which a later event of its kind fills anew: Gradio puts the last event
    off while an earlier one is under way, and then sends what the earlier one said.
    """
    parts = "{ element, trigger: latest(trigger), watch, server }"
    return f"{LATEST}import(new URL('{module}', document.baseURI)).then((module) => module.default({parts}));"


def one_of(choices: Iterable[Any], text: str) -> Any | None:
    """The choice that is written so."""
    return next((choice for choice in choices if str(choice) == text), None)


ABOUT_PICTURES: Mapping[str, Sentence] = {  # what ``cannot`` is for a panel that draws over a picture
    "text": later("This panel is about pictures; choose a network that takes one.")
}


class Panel:
    """One tab of the page. A subclass fills in the class variables and ``render``; the rest as it needs.

    Beside ``name.py`` may stand ``name.html``, its template; ``name.js``, an ES module whose default export
    is called with the drawing's ``{ element, trigger, watch, server }``; and ``name.css``.
    """

    id: ClassVar[str]  # of its tab, and its name in addresses
    title: ClassVar[Sentence]
    intro: ClassVar[Sentence | None] = None
    follows: ClassVar[frozenset[str]] = frozenset({"run"})  # or {"run", "view"}: what makes it draw again
    cannot: ClassVar[Mapping[str, Sentence]] = {}  # modality -> why it has nothing to say of it
    takes_long: ClassVar[bool] = False  # whether its endpoints do, though it has no study
    address: ClassVar[tuple[Property, ...]] = ()  # what of it an address names
    tab: gr.Tab
    drawing: gr.HTML
    stop_button: gr.Button | None = None  # ends its study

    def __init__(self, page: Page) -> None:
        self.page = page

    # where it stands

    @classmethod
    def chapter(cls) -> Chapter:
        """The chapter of the page that it stands in: that of its module's folder."""
        return chapter_of(Path(inspect.getfile(cls)).parent.name)

    # what it looks like

    def visible(self) -> bool:
        """Whether the page shows its tab at all."""
        return True

    def layout(self) -> None:
        """Everything in its tab: unless told otherwise the words, the controls and the drawing."""
        self.words()
        self.controls()
        self.draw_here()

    def words(self) -> None:
        """Its introduction."""
        if self.intro is not None:
            gr.HTML(say(self.intro), elem_classes="panel-words")

    def controls(self) -> None:
        """Its own sliders and buttons, kept as attributes."""

    def draw_here(self, **options: Any) -> None:
        """Place ``self.drawing``, with the panel's script, and the functions that the script may call."""
        functions = [served(method) for method in self.server_functions()]
        if functions:
            options["server_functions"] = functions
        self.drawing = gr.HTML(
            self.render(self.page.empty_visit()),
            elem_id=options.pop("elem_id", self.id),
            js_on_load=self.script(),
            **options,
        )

    def render(self, visit: Visit) -> str:
        """Its drawing as HTML; before there is a run, what will be there."""
        raise NotImplementedError

    def script(self) -> str | None:
        """What starts its script in the browser, or None if it has none."""
        return started(self.page.modules + self.module()) if self.beside(".js").is_file() else None

    @classmethod
    def module(cls) -> str:
        """Where its script lies among the others."""
        path = cls.beside(".js")
        return f"panels/{path.parent.name}/{path.name}"

    @classmethod
    def beside(cls, suffix: str) -> Path:
        """The file of its stem with another ending, there or not."""
        return Path(inspect.getfile(cls)).with_suffix(suffix)

    # what it draws again

    def reads(self) -> Components:
        """Components of its own whose values ``render`` needs; it finds them in ``visit.values``."""
        return set()

    def keeps(self) -> Components:
        """Those of them that hold the key of a run which must not be put away."""
        return set()

    def drawings(self) -> Components:
        """The components that ``draw`` fills."""
        return {self.drawing}

    def unable(self, visit: Visit) -> Sentence | None:
        """Why it cannot speak of what the visitor gave, or of what the chosen network takes."""
        return self.cannot.get(visit.run.modality if visit.run else visit.network.modality)

    def drawn(self, visit: Visit) -> Values:
        """As ``draw``; where it cannot speak of the visit, why."""
        why = self.unable(visit)
        if why is None:
            return self.draw(visit)
        sentence = fill("panels/cannot.html", why=why)
        return {**dict.fromkeys(self.drawings(), ""), self.drawing: sentence}

    def draw(self, visit: Visit) -> Values:
        """The panel for ``visit``; called when it is opened, and while it is open."""
        return {self.drawing: self.render(visit)}

    def adjusted(self) -> Components:
        """The components that ``adjust`` sets."""
        return set()

    def adjust(self, visit: Visit) -> Values:
        """Controls of its own that must fit a new run or view, whether it is open or not."""
        return {}

    def studied(self) -> Components:
        """The components that ``study`` fills."""
        return set()

    def study(self, visit: Visit, progress: Callable[[float], None]) -> Values:
        """What takes a while: measured after the answer, in an event of its own with a progress bar.

        ``progress`` is told the share that is done, and raises where the visitor has stopped it.
        """
        return {}

    def stopped(self, visit: Visit) -> Values:
        """What ``studied`` components show once the visitor has stopped the study."""
        return {}

    def stop_here(self) -> None:
        """Place a button that ends the study; it is seen while one is under way."""
        self.stop_button = gr.Button(say("Stop"), size="sm", elem_classes="study-stop")

    def study_again(self) -> Iterable[Any]:
        """Events of its own controls after which it studies again."""
        return ()

    # what it does

    def connect(self, page: Page) -> None:
        """The events of its own controls."""

    def server_functions(self) -> Iterable[Callable[[Any], Json]]:
        """What its script may call as ``server.name(request)``."""
        return ()

    def soon(self) -> None:
        """Its chapter may be opened soon: what takes long to get ready may be begun, but not waited for."""

    def arguments(self) -> Mapping[str, Component]:
        """Components that describe parameters of its endpoints other than ``photo``, ``network`` and
        ``run``."""
        return {}

    def restore(self, asked: Mapping[str, Any], network: MenuEntry) -> Values:
        """Its controls as an address asks that opened the page; ``asked`` holds, by name, what could be
        read."""
        return {}

    def restored(self) -> Components:
        """The components that ``restore`` sets."""
        return set()

    def endpoints(self) -> Iterable[Callable[..., Json]]:
        """What the API offers: each one's name and docstring are the API's, its parameters are looked up by
        name.

        ``run`` is the run of a photo through a network, both sent by the caller.
        """
        return ()


def served(method: Callable[[Any], Json]) -> Callable[[Any], Json]:
    """A method as a function: Gradio marks what it serves, and methods cannot be marked."""

    @wraps(method)
    def function(request: Any) -> Json:
        return method(request)

    return function


def chooses_network(page: Page, drawing: gr.HTML) -> None:
    """What the script of ``drawing`` triggers as "select" with a ``network`` of the menu chooses that
    network."""
    names = [entry.name for entry in page.menu]

    def on_choose(event: gr.EventData) -> Values:
        asked = getattr(event, "network", None)
        return {page.network: asked} if asked in names else gr.skip()

    gr.on(drawing.select, on_choose, None, {page.network}, **REDRAW)
