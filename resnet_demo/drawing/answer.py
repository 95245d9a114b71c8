"""What the head of the page says about a run: the answer, and where and how fast it ran."""

from __future__ import annotations

from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import later
from resnet_demo.records import Run

INVITE_PHOTO = later("Drop a photo on the left, paste one, use the camera, or take an example.")
INVITE_SOUND = later("This network listens: record a sound or take an example in the panel “Sound” below.")
SPENT = {
    "photo": later("photo to tensor {prepare} ms, network with capture {forward} ms, all {total} ms"),
    "sound": later("sound to tensor {prepare} ms, network with capture {forward} ms, all {total} ms"),
}


def answer_html(run: Run | None, knows: str, hears: bool = False) -> str:
    """The prediction with its confidence, and ``knows``: what the network has ever seen, or heard."""
    invitation = INVITE_SOUND if hears else INVITE_PHOTO
    return fill("drawing/answer.html", run=run, knows=knows, invitation=invitation)


def status_html(run: Run | None, device: str) -> str:
    """Where and how fast: "on CPU · 31 ms"."""
    spent = SPENT[run.sense] if run else None
    return fill("drawing/status.html", run=run, device=device, spent=spent)
