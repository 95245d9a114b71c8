"""What a network was given, as the page shows it beside its maps: a picture, or a text letter by letter."""

from __future__ import annotations

from markupsafe import Markup

from resnet_demo.drawing import feature_maps
from resnet_demo.drawing.letters import letters_html, letters_of
from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import say
from resnet_demo.records import Run

THUMBNAIL_LETTERS = 60  # letters of a text that stand for it where there is little room


def seen_html(run: Run, alt: str, classes: str = "", id_: str = "", limit: int = 0) -> Markup:
    """An ``img``, or the letters of a text.

    Args:
        alt: the sentence that says what it is.
        limit: letters of a text that are shown at most, 0 for all.
    """
    text = letters_of(run)
    if text is not None and limit:
        shown = text.strip()[:limit] + ("…" if len(text) > limit else "")
        return fill("drawing/seen.html", text=shown, alt=say(alt), classes=f"letters-thumb {classes}", id=id_)
    if text is not None:
        return Markup(letters_html(text, classes=classes))
    return fill(
        "drawing/seen.html",
        text="",
        picture=feature_maps.photo_url(run.photo),
        alt=say(alt),
        classes=classes,
        id=id_,
    )
