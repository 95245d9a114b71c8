"""Attack: the smallest change of the photo that flips the answer, and its way through the blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import gradio as gr
import numpy as np
from gradio.components.base import Component
from numpy.typing import NDArray

from resnet_demo.drawing import feature_maps
from resnet_demo.drawing.line_chart import Series, line_chart
from resnet_demo.drawing.templates import fill
from resnet_demo.explanations import Attack
from resnet_demo.i18n import label_of, later, say
from resnet_demo.panels.base import ABOUT_PICTURES, Components, Visit
from resnet_demo.panels.measured import MeasuredPanel, waiting
from resnet_demo.records import Run

TEMPLATE = "panels/explain/attack.html"
MOST_EPSILON = 16  # of 255, on the slider
STEP = 0.25


class AttackPanel(MeasuredPanel):
    """Projected gradient descent on the pixels, beside noise of the same length."""

    id = "attack"
    title = later("Attack")
    intro = later("""<p>How little must change in the photo for another answer? Ten steps along the network's
own gradient find a change of at most ε in every pixel; noise of the same length is tried beside it
(<a href="https://arxiv.org/abs/1706.06083" target="_blank" rel="noreferrer">Madry et al. 2018</a>).</p>""")

    cannot = ABOUT_PICTURES

    def controls(self) -> None:
        with gr.Row(elem_id="attack-controls"):
            self.epsilon = gr.Slider(
                0,
                MOST_EPSILON,
                value=0,
                step=STEP,
                label=say(
                    "ε, the largest change of a pixel, in 1/255 (0: the smallest that flips the answer)"
                ),
                elem_id="epsilon",
            )
        self.api_epsilon = gr.Number(0, visible=False, label="epsilon")
        super().controls()

    def empty(self, stopped: bool) -> str:
        return attack_html(None, None, stopped)

    def reads(self) -> Components:
        return {self.epsilon}

    def study_again(self) -> Sequence[Any]:
        return (self.epsilon.release,)

    def measured(self, run: Run, visit: Visit, progress: Callable[[float], None]) -> str:
        return attack_html(self.attacked(run, float(visit.values[self.epsilon] or 0), progress), run)

    def attacked(self, run: Run, epsilon: float, progress: Callable[[float], None]) -> Attack:
        """The attack of that size, or for 0 the smallest that flips the answer."""
        options = {"epsilons": [epsilon]} if epsilon else {}
        found: Attack = self.page.engine.get().explain("attack", run, options, progress)
        return found

    def arguments(self) -> Mapping[str, Component]:
        return {"epsilon": self.api_epsilon}

    def endpoints(self) -> Iterable[Callable[..., Any]]:
        page = self.page

        def attack(photo: str | None, network: str, epsilon: float) -> dict[str, Any]:
            """The smallest change of a photo that flips the answer (epsilon 0), or one of at most epsilon /
            255 a pixel; how far it moves the photo and every block's output, as a share of their length,
            beside noise of the same length."""
            run = page.run_photo(photo, network)
            found = self.attacked(run, float(epsilon or 0), lambda share: None)
            before, after, noise = (answer_of(chances, run.classes) for chances in found.chances)
            return {
                "epsilon": found.epsilon,
                "flipped": found.flipped,
                "before": before,
                "after": after,
                "noise": noise,
                "drift": list(found.drift),
                "noise_drift": list(found.noise_drift),
                "tried": [{"epsilon": size, "lead": lead} for size, lead in found.tried],
            }

        yield attack


def answer_of(chances: Sequence[float], classes: Sequence[str]) -> dict[str, Any]:
    """The most probable class and its probability."""
    best = int(np.argmax(chances))
    return {"label": classes[best], "confidence": float(chances[best])}


def attack_html(found: Attack | None, run: Run | None, stopped: bool = False) -> str:
    """Photo, change, changed photo and noise; the answers; how far each block's output moves."""
    if found is None or run is None:
        empty = waiting(
            say("After a photo, the smallest change that flips the answer appears here."), stopped
        )
        return fill(TEMPLATE, found=None, empty=empty)
    names = [say("photo"), *(say("block {number}", number=i + 1) for i in range(len(run.blocks)))]
    answers = [answer_of(chances, run.classes) for chances in found.chances]
    strongest = float(np.abs(np.stack([found.change, found.noise])).max() * 255)
    changed = as_pixels(run.photo, found.change)
    return fill(
        TEMPLATE,
        found=found,
        run=run,
        said=_said(found, answers),
        before=answers[0],
        after=answers[1],
        noise=answers[2],
        strongest=strongest,
        pictures={
            "photo": feature_maps.photo_url(run.photo),
            "change": feature_maps.photo_url(change_picture(found.change, strongest)),
            "changed": feature_maps.photo_url(changed),
            "noise": feature_maps.photo_url(change_picture(found.noise, strongest)),
        },
        chart=drift_chart(found),
        rows=list(zip(names, found.drift, found.noise_drift, strict=True)) if len(names) <= 9 else [],
    )


def drift_chart(found: Attack) -> str:
    """How far the change and the noise have moved the stream, in per cent of its length, block by block."""
    return line_chart(
        (
            Series(say("attack"), [(i, 100 * share) for i, share in enumerate(found.drift)], kind="ink"),
            Series(
                say("noise"), [(i, 100 * share) for i, share in enumerate(found.noise_drift)], kind="aside"
            ),
        ),
        label=say("How far the attack and the noise move each block's output, in per cent of its length"),
        across=say("block (0: the photo)"),
        up=say("moved by, % of its length"),
        logarithmic=True,
    )


def _said(found: Attack, answers: Sequence[Mapping[str, Any]]) -> str:
    """What happened, in one sentence."""
    before, after, _ = (label_of(answer["label"]) for answer in answers)
    if found.flipped:
        return say(
            "Changed by at most {epsilon}/255 a pixel, the photo is called {after} instead of {before}.",
            epsilon=f"{found.epsilon:g}",
            after=after,
            before=before,
        )
    return say(
        "Changed by at most {epsilon}/255 a pixel, the photo is still called {before}.",
        epsilon=f"{found.epsilon:g}",
        before=before,
    )


def as_pixels(photo: NDArray[np.uint8], change: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A photo (H, W, 3) with a change (C, H, W) of pixels in 0..1 added, for the eye."""
    wide = np.broadcast_to(change.transpose(1, 2, 0), photo.shape)
    pixels: NDArray[np.uint8] = np.clip(photo + 255 * wide + 0.5, 0, 255).astype(np.uint8)
    return pixels


def change_picture(change: NDArray[np.float32], most: float) -> NDArray[np.uint8]:
    """A change (C, H, W) as a picture (H, W, 3): grey where nothing changes, its ends at ``most`` / 255."""
    scaled = 127.5 + 127.5 * np.clip(change * 255 / max(most, 1e-9), -1, 1)
    wide = np.broadcast_to(scaled.transpose(1, 2, 0), (*change.shape[1:], 3))
    picture: NDArray[np.uint8] = np.rint(wide).astype(np.uint8)
    return picture
