"""What it looks for: pictures that excite a channel's branch, shortcut or sum; those shipped, and live."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import gradio as gr
import numpy as np
from gradio.components.base import Component

from resnet_demo.drawing import feature_maps
from resnet_demo.drawing.feature_sheets import STREAMS, face, sheets_of
from resnet_demo.drawing.formatting import block_title
from resnet_demo.drawing.streams import choose_channels
from resnet_demo.drawing.templates import fill
from resnet_demo.explanations import FeatureVisualization
from resnet_demo.i18n import later, say
from resnet_demo.panels.base import ABOUT_PICTURES, REDRAW, Panel, Values, Visit, told
from resnet_demo.panels.page import Page, session
from resnet_demo.panels.studies import StudyStoppedError
from resnet_demo.records import NetworkInput, Run

TEMPLATE = "panels/look/feature_visualization.html"
LIVE = "panels/look/feature_live.html"
NAMES = {
    "residual": later("branch F(x)"),
    "shortcut": later("shortcut"),
    "pre_activation": later("sum"),
}
STEPS, AT_ONCE = 64, 8  # steps of gradient ascent, and how many before the picture is shown again


@dataclass(frozen=True)
class Channel:
    """One channel of the list: its number and the styles that show its three pictures."""

    number: int
    faces: tuple[str, ...]


class FeatureVisualizationPanel(Panel):
    """The chosen block's channels, three pictures each; and one made while the visitor watches."""

    id = "features"
    title = later("What it looks for")
    intro = later("""<p>Each picture was made from noise, step by step, so that one channel of the chosen
block answers to it as strongly as possible: its branch, its shortcut, or their sum
(<a href="https://distill.pub/2017/feature-visualization" target="_blank" rel="noreferrer">Olah et al.
2017</a>). It is a picture that excites, not a meaning: others excite the channel too.</p>""")
    follows = frozenset({"run", "view"})
    takes_long: ClassVar[bool] = True

    cannot = ABOUT_PICTURES

    def layout(self) -> None:
        super().layout()
        with gr.Row(elem_id="feature-controls"):
            self.channel = gr.Number(
                0, label=say("Channel"), precision=0, minimum=0, elem_id="feature-channel", min_width=90
            )
            self.stream = gr.Radio(
                [(say(name), stream) for stream, name in NAMES.items()],
                value="pre_activation",
                label=say("What is excited"),
                elem_id="feature-stream",
            )
            self.make = gr.Button(say("Make its picture now"), elem_id="feature-make", size="sm")
        self.live = gr.HTML(live_html(None), elem_id="feature-live")
        self.stop_here()
        self.api_block = gr.Number(0, visible=False, label="block")
        self.api_stream = gr.Textbox("pre_activation", visible=False, label="stream")
        self.api_channel = gr.Number(0, visible=False, label="channel")

    def render(self, visit: Visit) -> str:
        return features_html(visit)

    def connect(self, page: Page) -> None:
        def on_make(values: Values, progress: gr.Progress = gr.Progress()) -> Iterator[Values]:  # noqa: B008
            run = page.recall(values[page.run])
            if run is None:
                sentence = say("Give the page a photo first: it says which network is meant.")
                raise gr.Error(sentence, print_exception=False)
            index = min(values[page.view].block, len(run.blocks) - 1)
            channel, stream = int(values[self.channel] or 0), str(values[self.stream])
            whose = session()
            study = page.studies.begin(whose)
            try:
                for found in self.grown(run, index, stream, channel, study.follow(progress)):
                    yield {self.live: live_html(found, index, stream, channel)}
            except StudyStoppedError:
                return
            except Exception as error:
                raise told(error) from error
            finally:
                page.studies.end(whose, study)

        page.on(
            [self.make.click, self.channel.submit],
            on_make,
            {self.live},
            {self.channel, self.stream},
            trigger_mode="always_last",
            show_progress="minimal",
            concurrency_id="study",
        )
        self.drawing.select(chosen, None, self.channel, **REDRAW)

    def grown(
        self, run: Run, index: int, stream: str, channel: int, progress: Callable[[float], None]
    ) -> Iterator[FeatureVisualization]:
        """The picture after every ``AT_ONCE`` steps.

        Raises:
            EngineError: there is no such channel, or the network failed.
        """
        engine = self.page.engine.get()
        found: FeatureVisualization | None = None
        for start in range(0, STEPS, AT_ONCE):
            options = {
                "block": run.blocks[index].name,
                "stream": stream,
                "channel": channel,
                "steps": AT_ONCE,
                "before": found,
            }

            def tell(share: float, start: int = start) -> None:
                progress((start + share * AT_ONCE) / STEPS)

            found = engine.explain("feature_visualization", run, options, tell)
            assert found is not None
            yield found

    def arguments(self) -> Mapping[str, Component]:
        return {"block": self.api_block, "stream": self.api_stream, "channel": self.api_channel}

    def endpoints(self) -> Iterable[Callable[..., Any]]:
        page = self.page

        def feature_visualization(network: str, block: float, stream: str, channel: float) -> dict[str, Any]:
            """A picture made from noise so that one channel answers to it strongly: it excites, and is no
            meaning. block counts from 0; stream is residual, shortcut or pre_activation (their sum)."""
            engine = page.engine.get()
            side = engine.info(network).preprocessing.size
            grey = NetworkInput.of(np.full((side, side, 3), 128, np.uint8))
            run = page.run_photo(grey, network)
            if not 0 <= int(block) < len(run.blocks):
                raise gr.Error(
                    f"Blocks are 0 to {len(run.blocks) - 1}, got {int(block)}.", print_exception=False
                )
            *_, found = self.grown(run, int(block), stream, int(channel), lambda share: None)
            return {
                "picture": feature_maps.photo_url(found.picture),
                "excitation": found.excitation,
                "steps": found.step,
            }

        yield feature_visualization


def chosen(event: gr.EventData) -> int:
    """The channel that was clicked."""
    return max(0, int(event.index))


def features_html(visit: Visit) -> str:
    """The channels of the chosen block with their pictures; those that the view would draw."""
    run = visit.run
    if run is None:
        return fill(TEMPLATE, run=None)
    index = min(visit.view.block, len(run.blocks) - 1)
    block = run.blocks[index]
    sheets = sheets_of(run.network)
    channels = [int(c) for c in choose_channels(run, block, visit.view)]
    listed = [
        Channel(number, tuple(face(run.network, block.name, stream, number) for stream in STREAMS))
        for number in channels
    ]
    return fill(
        TEMPLATE,
        run=run,
        title=block_title(index),
        channels=[channel for channel in listed if all(channel.faces)],
        names=[say(NAMES[stream]) for stream in STREAMS],
        steps=sheets.steps if sheets is not None else 0,
        count=block.shape[0],
    )


def live_html(found: FeatureVisualization | None, index: int = 0, stream: str = "", channel: int = 0) -> str:
    """The picture under way."""
    if found is None:
        return fill(LIVE, found=None)
    return fill(
        LIVE,
        found=found,
        picture=feature_maps.photo_url(found.picture),
        title=block_title(index),
        stream=say(NAMES[stream]),
        channel=channel,
        steps=STEPS,
    )
