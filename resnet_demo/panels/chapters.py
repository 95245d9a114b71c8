"""The five chapters of the page, each a question. A panel's chapter is the folder that its module lies in."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_demo.i18n import Sentence, later


@dataclass(frozen=True)
class Chapter:
    """A folder of ``panels/`` as the page names it.

    Attributes:
        id: the folder's name, and the chapter's in addresses.
        title: one word.
        question: what its panels answer.
    """

    id: str
    title: Sentence
    question: Sentence


CHAPTERS = (  # in the order of the page
    Chapter("look", later("Look"), later("What does each block do?")),
    Chapter("cut", later("Cut"), later("What if a part were missing?")),
    Chapter("explain", later("Explain"), later("Why this answer?")),
    Chapter("learn", later("Learn"), later("Why do shortcuts matter?")),
    Chapter("own", later("Try"), later("What about your own?")),
)


def chapter_of(folder: str) -> Chapter:
    """The chapter of that folder; the last one for a panel that lies elsewhere."""
    return next((chapter for chapter in CHAPTERS if chapter.id == folder), CHAPTERS[-1])
