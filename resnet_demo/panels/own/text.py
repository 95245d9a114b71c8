"""Text: write or paste one; the maps of every block as strips under its letters, and the logit split over
them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import gradio as gr
import numpy as np
from gradio.components.base import Component
from numpy.typing import NDArray

from resnet_demo.drawing import feature_maps
from resnet_demo.drawing.formatting import block_title, significant
from resnet_demo.drawing.letters import (
    Strips,
    field_text,
    letters_html,
    letters_of,
    stretched,
    strips_of,
)
from resnet_demo.drawing.streams import View, choose_channels
from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import later, say
from resnet_demo.inference.run_cache import OLDEST_S
from resnet_demo.inputs.alphabet import has_letter, normalise
from resnet_demo.inputs.text import EMPTY
from resnet_demo.networks.cards import MenuEntry
from resnet_demo.networks.download import Progress
from resnet_demo.panels.base import REDRAW, Components, Panel, Property, Values, Visit, one_of
from resnet_demo.panels.page import Page
from resnet_demo.records import Block, Gate, Prediction, Run
from resnet_demo.serialize import run_as_dict

CHANNELS = 8  # of the chosen block, as strips
ANSWERS = 3  # languages named in a line
MOST = 20_000  # letters that the box takes; the network reads the first few hundred

# the beginning of the Universal Declaration of Human Rights, article 1, which is in the public domain
EXAMPLES = {
    "nb": "Alle mennesker er født frie og med samme menneskeverd og menneskerettigheter.",
    "da": "Alle mennesker er født frie og lige i værdighed og rettigheder.",
    "cs": "Všichni lidé se rodí svobodní a sobě rovní co do důstojnosti a práv.",
    "sk": "Všetci ľudia sa rodia slobodní a sebe rovní, čo sa týka ich dôstojnosti a práv.",
    "id": "Semua orang dilahirkan merdeka dan mempunyai martabat dan hak-hak yang sama.",
    "tr": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar.",
    "ru": "Все люди рождаются свободными и равными в своем достоинстве и правах.",
    "ar": "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق.",
    "hi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "zh": "人人生而自由，在尊严和权利上一律平等。",
}


class TextPanel(Panel):
    """The input of texts, and the letters of the last one."""

    id = "text"
    title = later("Text")
    intro = later("""<p>A sentence is a picture too, one pixel high, with a channel for every letter: the
same residual network reads it (<a href="https://arxiv.org/abs/1509.01626"
target="_blank" rel="noreferrer">Zhang et al. 2015</a>). Write or paste one: the
network says which of 75 languages it is while you type, and every panel shows what
each block did with it. Under the letters stand the maps; point at one to mark the
letters that it reads. To compare two sentences, pin the first one under “Compare” and
write the second.</p>
<p>It learnt from sentences of <a href="https://github.com/pemistahl/lingua-py" target="_blank"
rel="noreferrer">lingua</a> (Apache License 2.0), which come from the <a
href="https://wortschatz.uni-leipzig.de" target="_blank" rel="noreferrer">Leipzig Corpora
Collection</a>.</p>""")
    follows = frozenset({"run", "view"})
    address = (
        Property(
            "text",
            "#text-examples [data-chosen]",
            "data-chosen",
            lambda text, _: one_of(EXAMPLES, text),
            network="languages",
        ),
    )

    def visible(self) -> bool:
        return any(entry.modality == "text" for entry in self.page.menu)

    def layout(self) -> None:
        self.words()
        self.given = gr.State(None, time_to_live=OLDEST_S)  # the visitor's text, normalised
        self.text = gr.Textbox(
            label=say("Text"),
            placeholder=say("Write or paste a sentence in any language."),
            lines=2,
            max_lines=4,
            max_length=MOST,
            elem_id="text",
            text_align=None,
        )
        self.examples = gr.HTML(
            fill("panels/own/text_examples.html", examples=EXAMPLES),
            elem_id="text-examples",
            js_on_load=self.script(),
        )
        self.shares = gr.HTML(shares_html(None, None), elem_id="text-shares")
        self.drawing = gr.HTML(strips_html(None, View()), elem_id="text-strips", js_on_load=self.script())
        self.stop_here()
        self.blurred = gr.HTML(blurred_html(()), elem_id="text-blurred")
        self.page.holders["text"] = self.given

    def render(self, visit: Visit) -> str:
        run = visit.run if visit.run and letters_of(visit.run) else None
        return strips_html(run, visit.view)

    def studied(self) -> Components:
        return {self.shares, self.blurred}

    def study(self, visit: Visit, progress: Progress) -> Values:
        run = visit.run
        if run is None or letters_of(run) is None:
            return {self.shares: shares_html(None, None), self.blurred: blurred_html(())}
        engine = self.page.engine.get()
        shares = engine.explain("letters", run)
        rows: list[tuple[str, Prediction]] = [(say("as it is"), run.prediction)]
        for index in range(len(run.blocks)):
            gates = tuple(Gate(0.0 if i == index else 1.0, 1.0) for i in range(len(run.blocks)))
            gated = engine.run(run.photo, run.network, gates, keep=())
            rows.append((say("without F(x) of {block}", block=block_title(index)), gated.prediction))
            progress((index + 1) / len(run.blocks))
        return {self.shares: shares_html(run, shares), self.blurred: blurred_html(rows)}

    def connect(self, page: Page) -> None:
        def on_example(event: gr.EventData) -> str:  # its change runs it
            codes = list(EXAMPLES)
            return EXAMPLES[codes[max(0, min(int(event.index), len(codes) - 1))]]

        page.takes("text", self.text, given_text)
        self.examples.select(on_example, None, self.text, **REDRAW)
        page.leaves_example(self.text.input)

    def restored(self) -> Components:
        return {self.text, self.given}

    def restore(self, asked: Mapping[str, Any], network: MenuEntry) -> Values:
        if "text" not in asked or network.modality != "text":
            return {}
        text = EXAMPLES[asked["text"]]
        return {self.text: text, self.given: normalise(text)}

    def arguments(self) -> Mapping[str, Component]:
        return {"text": self.text}

    def endpoints(self) -> Iterable[Callable[..., Any]]:
        def read(text: str) -> dict[str, Any]:
            """Run one text through the network that reads and describe what every residual block did."""
            if not isinstance(text, str) or not text.strip():
                raise gr.Error(say(EMPTY), print_exception=False)
            return run_as_dict(self.page.engine.get().read_text(text))

        yield read


def given_text(value: Any) -> str | None:
    """What is in the box as the network takes it; None where there is no letter."""
    text = normalise(value) if isinstance(value, str) else ""
    return text if has_letter(text) else None


def shares_html(run: Run | None, shares: NDArray[np.float32] | None) -> str:
    """The letters of a text, each coloured by its share (L,) of the logit; the shares sum to the logit."""
    text = letters_of(run) if run else None
    if run is None or text is None or shares is None:
        return fill("panels/own/text_shares.html", run=None)
    end = float(np.abs(shares).max()) or 1.0
    tint = strips_of(shares[None], True, feature_maps.DIVERGING, np.array([end], np.float32))
    words = sorted(_by_word(text, shares), key=lambda pair: -pair[1])[:5]
    return fill(
        "panels/own/text_shares.html",
        run=run,
        letters=letters_html(text, tint=tint, classes="tinted"),
        label=run.prediction.label,
        logit=run.prediction.logit,
        total=float(shares.sum()),
        words=words,
        end=significant(end),
        gradient=feature_maps.css_gradient(feature_maps.DIVERGING),
    )


def _by_word(text: str, shares: NDArray[np.float32]) -> list[tuple[str, float]]:
    found, begin = [], 0
    for end in (i for i, letter in enumerate(text) if letter == " "):
        if end > begin:
            found.append((text[begin:end], float(shares[begin:end].sum())))
        begin = end + 1
    return found


def strips_html(run: Run | None, view: View) -> str:
    """Under the letters: what every block adds at each, and the first channels of the chosen block."""
    text = letters_of(run) if run else None
    if run is None or text is None:
        return fill("panels/own/text.html", run=None)
    index = min(view.block, len(run.blocks) - 1)
    return fill(
        "panels/own/text.html",
        run=run,
        index=index,
        count=CHANNELS,
        confidences=run.prediction.confidences[:ANSWERS],
        added=letters_html(text, _added(run, len(text))),
        channels=letters_html(text, _channels(run, run.blocks[index], view, len(text))),
        colours=feature_maps.css_gradient(view.colours),
        signed=feature_maps.css_gradient(feature_maps.DIVERGING),
    )


def _added(run: Run, count: int) -> Strips:
    fields = [run.fields.get((block.name, "output")) for block in run.blocks]
    rows = np.concatenate(
        [stretched(block.added[None], field, count) for block, field in zip(run.blocks, fields, strict=True)]
    )
    ends = np.abs(rows).max(1).astype(np.float32)
    return Strips(
        strips_of(rows, True, feature_maps.DIVERGING, ends),
        len(rows),
        tuple(map(field_text, fields)),
        tuple(block_title(i) for i in range(len(run.blocks))),
    )


def _channels(run: Run, block: Block, view: View, count: int) -> Strips:
    chosen = choose_channels(run, block, view)[:CHANNELS]
    field = run.fields.get((block.name, "output"))
    rows = stretched(block.output[chosen].astype(np.float32), field, count)
    ends = np.full(len(rows), feature_maps.limit(block.output), np.float32)
    return Strips(
        strips_of(rows, False, view.colours, ends),
        len(rows),
        (field_text(field),) * len(rows),
        tuple(say("channel {channel}", channel=int(channel)) for channel in chosen),
    )


def blurred_html(rows: Iterable[tuple[str, Prediction]]) -> str:
    """Which languages the answer blurs into with each block's branch switched off."""
    return fill(
        "panels/own/text_blurred.html",
        rows=[(name, prediction.confidences[:ANSWERS]) for name, prediction in rows],
    )
