"""The race: a network with shortcuts and one without learn side by side while the visitor watches."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

import gradio as gr
from gradio.components.base import Component

from resnet_demo.i18n import error_of, later, say
from resnet_demo.panels.base import Json, Visit
from resnet_demo.panels.learn.training import TrainingPanel, keep, training_queue
from resnet_demo.race.process import QueueFullError, message_of
from resnet_demo.race.records import RaceSettings
from resnet_demo.race.seeds import KINDS, SEEDS, accuracies, known_depths, stored_run, ten_seeds, wins

DATA = {
    "digits": later("handwritten digits, 8×8"),
    "pictures": later("pictures drawn by formula, 16×16"),
    "sounds": later("sounds, as pictures of 16×16"),
}
RIVALS = {
    "plain": later("without shortcuts"),
    "rezero": later("shortcuts, gates grown from zero (ReZero)"),
    "stochastic_depth": later("shortcuts, stochastic depth"),
}
GUESSES = {
    "residual": later("with shortcuts"),
    "plain": later("without"),
    "same": later("neither"),
}


class RacePanel(TrainingPanel):
    """Two networks of the notebook's blocks, trained from the same weights with the same batches."""

    id = "race"
    title = later("The race")
    intro = later("""<p>Two networks of the notebook's blocks start from the same weights and learn from the same batches; one has
shortcuts, the other has none. Which curve will fall? Say so, then press Train
(<a href="https://arxiv.org/abs/1512.03385" target="_blank" rel="noreferrer">He et al. 2015</a>).</p>""")

    def layout(self) -> None:
        super().layout()
        self.api_blocks = gr.Number(20, visible=False, label="blocks")
        self.api_steps = gr.Number(80, visible=False, label="steps")
        self.api_seed = gr.Number(0, visible=False, label="seed")

    def render(self, visit: Visit) -> str:
        return race_html()

    def server_functions(self) -> Iterable[Callable[[Any], Json]]:
        return *super().server_functions(), self.stored

    def stored(self, request: Any) -> Json:
        """What is shown before anybody has pressed."""
        return stored()

    def arguments(self) -> Mapping[str, Component]:
        return {"blocks": self.api_blocks, "steps": self.api_steps, "seed": self.api_seed}

    def endpoints(self) -> Iterable[Callable[..., Any]]:
        async def train_race(blocks: float, steps: float, seed: float) -> AsyncIterator[dict[str, Any]]:
            """Train a network with shortcuts and one without; streams their states and ends with the record."""
            try:
                settings = RaceSettings(*(whole(value) for value in (blocks, steps, seed)))
                ticket = training_queue().join(settings)
            except (ValueError, QueueFullError) as error:
                raise gr.Error(error_of(error), print_exception=False) from None
            async for event in ticket.arriving():
                if event["event"] == "failed":
                    raise gr.Error(message_of(event), print_exception=False)
                yield event["record"] if event["event"] == "end" else event
            keep(ticket)

        yield train_race


def whole(value: Any) -> Any:
    """A whole number that came as 20.0 as an int; anything else as it is, for ``RaceSettings`` to refuse."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def band(depth: int, kind: str) -> list[list[float]]:
    """[step, least, middle, most] held-out error of ten seeds, at every look."""
    runs = [run["held_out"] for run in ten_seeds()[str(depth)][kind].values()]
    found = []
    for looks in zip(*runs, strict=True):
        errors = sorted(error for _, error in looks)
        middle = (errors[(len(errors) - 1) // 2] + errors[len(errors) // 2]) / 2
        found.append([looks[0][0], errors[0], round(middle, 4), errors[-1]])
    return found


def stored() -> dict[str, Any]:
    """What the script draws before anybody has pressed: one race, and the bands of ten seeds."""
    return {
        "events": stored_run(),
        "bands": {str(depth): {kind: band(depth, kind) for kind in KINDS} for depth in known_depths()},
    }


def race_html() -> str:
    """The panel as it is before anything was trained; its script fills it."""
    guesses = "".join(
        f'<label><input type="radio" name="race-guess" value="{value}"> {say(words)}</label>'
        for value, words in GUESSES.items()
    )
    return f"""<div class="race" data-state="stored">
<div class="race-bar"><fieldset class="race-guess"><legend>{say("Which will answer better in the end?")}</legend>{guesses}</fieldset>
<label class="race-depth">{say("Blocks")} <output>20</output><input type="range" min="2" max="50" value="20" aria-label="{say("Blocks")}"></label>
<button type="button" class="race-train primary">{say("Train")}</button>
<button type="button" class="race-stop" disabled>{say("Stop training")}</button>
<details class="race-more"><summary>{say("more")}</summary><div>{more_html()}</div></details></div>
<p class="race-said lead" role="status"></p>
<div class="race-charts"><figure><figcaption>{say("Training loss")}</figcaption><div class="race-loss"></div></figure>
<figure><figcaption>{say("Held-out pictures answered wrong")}</figcaption><div class="race-error"></div></figure></div>
<div class="race-row" role="img" aria-label="{say("Held-out pictures and the answers of both networks")}"></div>
<div class="race-blocks"><figure><figcaption>{say("Gradient at each block, ‖∂loss/∂output‖")}</figcaption><div class="race-gradient"></div></figure>
<figure><figcaption>{say("‖F(x)‖ ÷ ‖x‖ at each block")}</figcaption><div class="race-ratio"></div></figure>
<figure><figcaption class="race-third-title">{say("Gate on F(x)")}</figcaption><div class="race-third"></div></figure></div>
<div class="race-own"><div class="race-draw"><h4>{say("Draw a digit")}</h4><canvas width="192" height="192" tabindex="0"
aria-label="{say("Draw a digit here with the pointer")}"></canvas><canvas class="race-seen" width="8" height="8" aria-hidden="true"></canvas>
<button type="button" class="race-wipe">{say("Wipe")}</button></div><div class="race-answers" role="status"></div>
<div class="race-table">{table_html()}</div></div>
<p class="small">{say(CREDITS)}</p></div>"""


CREDITS = later(
    "Digits: Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, "
    "CC BY 4.0. Width 16, batches of 64, SGD with momentum 0.9 and a rate that falls to zero. The gradient is that of "
    "the batch's loss by the block's output; the seconds are those of a processor for that network's steps."
)


def more_html() -> str:
    """What is asked less often."""
    default = RaceSettings()
    data = "".join(f'<option value="{value}">{say(words)}</option>' for value, words in DATA.items())
    rivals = "".join(f'<option value="{value}">{say(words)}</option>' for value, words in RIVALS.items())
    return (
        f'<label>{say("Data")} <select class="race-data">{data}</select></label>'
        f'<label>{say("Against")} <select class="race-rival">{rivals}</select></label>'
        f'<label><input type="checkbox" class="race-norms" checked> {say("Batch norm")}</label>'
        f'<label>{say("Learning rate")} <input type="number" class="race-rate" min="0.001" max="1" step="any" value="{default.rate}"></label>'
        f'<label>{say("Steps")} <input type="number" class="race-steps" min="1" max="400" value="{default.steps}"></label>'
        f'<label>{say("Seed")} <input type="number" class="race-seed" min="0" max="2147483647" value="0"></label>'
        f'<button type="button" class="race-again">{say("Another seed")}</button>'
    )


def table_html() -> str:
    """How often the network with shortcuts won, of ten seeds at four depths."""
    rows = "".join(
        f"<tr><th scope='row'>{depth}</th><td>{say('{wins} of {count}', wins=wins(depth), count=len(SEEDS))}</td>"
        + "".join(f"<td>{spread(accuracies(depth, kind))}</td>" for kind in KINDS)
        + "</tr>"
        for depth in known_depths()
    )
    caption = say(
        "Ten seeds, {steps} steps: held-out digits answered right, median (least to most)", steps=80
    )
    heads = (say("Blocks"), say("with shortcuts better"), say("with shortcuts"), say("without"))
    head = "".join(f"<th scope='col'>{text}</th>" for text in heads)
    return f"<table class='trace'><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def spread(shares: list[float]) -> str:
    """Median, least and most of shares, in per cent."""
    ordered = sorted(100 * share for share in shares)
    half = len(ordered) // 2
    median = (ordered[half] + ordered[-half - 1]) / 2
    return f"{median:.0f} % ({ordered[0]:.0f}–{ordered[-1]:.0f})"
