"""HTML from jinja2 templates, which escape whatever is put into them.

A template stands beside the module that fills it. In it, ``say`` is a sentence as text, and ``say_html`` a
sentence that has tags of its own, whose values are escaped.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, FunctionLoader, StrictUndefined
from markupsafe import Markup

from resnet_demo.drawing import formatting
from resnet_demo.i18n import Sentence, grouped, known, label_of, listed, say

PACKAGE = Path(__file__).resolve().parents[1]


def say_html(sentence: str, **values: object) -> Markup:
    """``sentence``, whose own tags are kept, in the language that is being spoken."""
    if isinstance(sentence, Sentence):
        values = {**sentence.values, **values}
        sentence = sentence.pattern
    return Markup(say(sentence)).format(**values) if values else Markup(say(sentence))


def fill(template: str | Path, **values: object) -> Markup:
    """The template, a path in the package or an absolute one, with ``values`` in it."""
    return Markup(_environment().get_template(str(template)).render(values).strip())


def _elsewhere(name: str) -> str | None:
    """A template of a panel that lies outside of the package."""
    path = Path(name)
    return path.read_text(encoding="utf-8") if path.is_absolute() and path.is_file() else None


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=ChoiceLoader([FileSystemLoader(PACKAGE), FunctionLoader(_elsewhere)]),
        autoescape=True,
        auto_reload=False,  # a template is compiled once
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(say=say, say_html=say_html, listed=listed)
    environment.filters.update(
        significant=formatting.significant,
        percent=formatting.percent,
        block=formatting.block_title,
        shape=formatting.shape_text,
        label=label_of,
        known=known,
        grouped=grouped,
    )
    return environment
