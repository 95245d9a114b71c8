"""Lessons: the steps of a YAML file, played on the page as a story, and taken as pictures by the walkthrough.

Nothing here needs a browser; whoever plays a step knows how.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SHIPPED = Path(__file__).parent / "tools" / "walkthrough.yaml"
ACTIONS = ("click", "press", "upload", "open", "wait")
MOST_BYTES = 200_000  # of a file
MOST_STEPS = 100


class LessonError(RuntimeError):
    """A file is no lesson; the message says where."""


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        title, caption: of the step, plain text or Markdown.
        do: (action, argument), in order, before the step is shown.
        show: selector of what a picture is of, or None for the first screen.
        ask: a question that the story asks before it does anything; "" if none.
        spot: selector of what the story puts a light on; what is shown if None.
    """

    title: str
    caption: str
    do: tuple[tuple[str, Any], ...]
    show: str | None = None
    ask: str = ""
    spot: str | None = None


@dataclass(frozen=True)
class Lesson:
    """A file's steps.

    Attributes:
        name: in addresses: the file's name without its ending.
        title: of the whole.
    """

    name: str
    title: str
    steps: tuple[Step, ...]

    def sentences(self) -> Iterator[str]:
        """Everything that the page says of it, for the catalogues of languages."""
        yield self.title
        for step in self.steps:
            yield from filter(None, (step.title, step.ask, step.caption))


def read_lesson(path: Path = SHIPPED) -> Lesson:
    """The lesson of a YAML file.

    Raises:
        LessonError: it is none; the message says where.
    """
    try:
        with path.open("rb") as file:
            data = yaml.safe_load(file.read(MOST_BYTES))
        title, listed = str(data["title"]), data["steps"]
        steps = tuple(_step(step, number, path) for number, step in enumerate(listed[:MOST_STEPS], 1))
    except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError, AttributeError) as error:
        raise LessonError(f"{path.name} is not a list of steps: {error}") from error
    return Lesson(path.stem, title, steps)


def _step(step: dict[str, Any], number: int, path: Path) -> Step:
    do = tuple((action, wanted) for entry in step.get("do", ()) for action, wanted in entry.items())
    for action, _ in do:
        if action not in ACTIONS:
            raise LessonError(
                f"Step {number} of {path.name} says {action!r}; a step can {', '.join(ACTIONS)}."
            )
    words = {name: " ".join(str(step[name]).split()) for name in ("title", "caption", "ask") if name in step}
    return Step(
        words["title"], words["caption"], do, step.get("show"), words.get("ask", ""), step.get("spot")
    )
