"""What the head of the page says about a run: the answer, and where and how fast it ran."""

from __future__ import annotations

from functools import partial

from resnet_demo.drawing.signed_maps import one_logit, side_of
from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import label_of
from resnet_demo.modalities import modality_named
from resnet_demo.records import Run


def answer_html(run: Run | None, knows: str, modality: str = "photo") -> str:
    """The prediction with its confidence, and ``knows``: what the network has ever seen, or heard."""
    if run is None:
        invitation = modality_named(modality).invitation
        return fill("drawing/answer.html", run=None, knows=knows, invitation=invitation)
    known = run.classes if one_logit(run) else [run.prediction.confidences[0].label]
    sides = {side_of(run, label): label_of(label) for label in known}  # for scripts that draw such bars
    return fill("drawing/answer.html", run=run, knows=knows, sides=sides, side=partial(side_of, run))


def status_html(run: Run | None, device: str) -> str:
    """Where and how fast: "on CPU · 31 ms"."""
    spent = modality_named(run.modality).spent if run else None
    ran_on = run and (run.device if run.precision == "float32" else f"{run.device}, {run.precision}")
    return fill("drawing/status.html", run=run, device=device, ran_on=ran_on, spent=spent)


def failed_html(sentence: str, network: str, fallback: str) -> str:
    """In the place of the answer: why ``network`` could not be loaded. It can be tried again, or one goes
    on with ``fallback``, which the menu shows again."""
    return fill("drawing/answer_failed.html", sentence=sentence, network=network, fallback=fallback)
