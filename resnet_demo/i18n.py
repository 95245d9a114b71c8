"""What the page says, in the visitor's language.

A sentence stands in the code in English, where it is said: ``say("{count} channels", count=3)``. A catalogue,
``lang/<language>.json``, maps it to another language, placeholders kept; what a catalogue lacks is said in
English. A new language is a new file there; what a file cannot say of it stands in ``TAGS``, ``COMMAS`` and
``RIGHT_TO_LEFT``.

The language is that of the event, or of the page's request, that is being answered: ``speaking`` sets it (see
``spoken.py``), for this thread or task alone. Everything else (the API, the command line, files of numbers,
the log) runs outside of it and speaks English. Sentences made where no visitor is known, such as those of
errors, are kept by ``later`` and said when they are shown.

Why not ``gr.I18n``: in the browser it replaces one marker in a component's label, placeholder or value, from
the browser's locale alone. It reaches neither the inside of our HTML nor what the handlers answer, cannot be
asked for by address, and puts markers where the API's documentation has labels. One mechanism that does all
of it is less.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

CATALOGUES = Path(__file__).parent / "lang"
ENGLISH = "en"
TAGS = {"zh": "zh-CN"}  # what a document says it is in, where that is more than the catalogue's name
COMMAS = (ENGLISH, "zh")  # languages with a comma between thousands
RIGHT_TO_LEFT = ("ar", "fa", "he", "ur")

_language: ContextVar[str] = ContextVar("language", default=ENGLISH)


class Sentence(str):
    """A sentence in English that can still be said in another language: its pattern, and what stands in
    it."""

    pattern: str
    values: dict[str, object]

    def __new__(cls, pattern: str, **values: object) -> Sentence:
        sentence = super().__new__(cls, pattern.format(**values) if values else pattern)
        sentence.pattern, sentence.values = pattern, values
        return sentence


later = Sentence  # how a sentence is marked where it is not yet said

CLASSES = (  # names of classes that are translated; a thousand others are not
    later("cat"),
    later("dog"),
    later("steady tone"),
    later("chord"),
    later("melody"),
    later("rising sweep"),
    later("falling sweep"),
    later("siren"),
    later("tremolo"),
    later("noise"),
    later("noise bursts"),
    later("clicks"),
    later("airplane"),
    later("automobile"),
    later("bird"),
    later("deer"),
    later("frog"),
    later("horse"),
    later("ship"),
    later("truck"),
    later("zero"),
    later("one"),
    later("two"),
    later("three"),
    later("four"),
    later("five"),
    later("six"),
    later("seven"),
    later("eight"),
    later("nine"),
)
OWN_NAME = later("the name of this language")
SHORT_NAME = later("the name of this language, in two letters or so")
_names: dict[str, str] = {}  # of classes that a card calls by a code


@cache
def languages() -> tuple[str, ...]:
    """English, and every language that has a catalogue."""
    return (ENGLISH, *sorted(path.stem for path in CATALOGUES.glob("*.json")))


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """English sentence -> the sentence in ``language``; empty for English."""
    if language == ENGLISH or language not in languages():
        return {}
    found: dict[str, str] = json.loads((CATALOGUES / f"{language}.json").read_text(encoding="utf-8"))
    return found


def name_of(language: str) -> str:
    """What a language calls itself."""
    return catalogue(language).get(OWN_NAME, "English")


def short_name_of(language: str) -> str:
    """What a language calls itself where there is little room."""
    return catalogue(language).get(SHORT_NAME, language.upper())


def tag_of(language: str) -> str:
    """A language as documents and browsers name it (BCP 47)."""
    return TAGS.get(language, language)


def direction_of(language: str) -> str:
    """Which way a language is written: "ltr" or "rtl"."""
    return "rtl" if language in RIGHT_TO_LEFT else "ltr"


def spoken() -> str:
    """The language that is being spoken."""
    return _language.get()


@contextmanager
def speaking(language: str | None) -> Iterator[None]:
    """Speak ``language`` inside; English if it is none of ours."""
    token = _language.set(language if language in languages() else ENGLISH)
    try:
        yield
    finally:
        _language.reset(token)


def say(sentence: str, **values: object) -> str:
    """``sentence`` in the language that is being spoken, its placeholders filled with ``values``.

    A ``Sentence`` brings its own values along, and values that are such are said too.
    """
    pattern = sentence
    if isinstance(sentence, Sentence):
        pattern, values = sentence.pattern, {**sentence.values, **values}
    words = catalogue(_language.get())
    pattern = words.get(pattern, pattern)
    if not values:
        return str(pattern)
    if words:
        values = {key: say(v) if isinstance(v, Sentence) else v for key, v in values.items()}
    return pattern.format(**values)


def known(sentence: str) -> str:
    """A sentence from outside the code, such as a card's, as it is: translated if a catalogue happens to have
    it."""
    return (
        say(sentence)
        if isinstance(sentence, Sentence)
        else catalogue(_language.get()).get(sentence, sentence)
    )


def register_names(names: Mapping[str, str]) -> None:
    """Say ``names`` of classes that cards call by a code: code -> sentence."""
    _names.update(names)


def label_of(name: str) -> str:
    """The name of a class as the page shows it."""
    if name in _names:
        return say(_names[name])
    return known(name) if name in CLASSES else name


def grouped(number: float) -> str:
    """A whole number with its thousands apart: by a comma, or by a thin space where a comma would be the
    decimal one."""
    text = f"{number:,.0f}"
    return text if _language.get() in COMMAS else text.replace(",", "\u202f")


def joined(sentences: Iterable[str]) -> str:
    """One sentence after the other, each said in whatever language the whole is said in; empty ones are
    nothing."""
    whole = ""
    for sentence in filter(None, sentences):
        whole = later("{first} {second}", first=whole, second=sentence) if whole else sentence
    return whole


def listed(names: Iterable[object]) -> str:
    """Names one after the other, with what the language that is being spoken puts between them."""
    whole = ""
    for name in names:
        whole = say("{first}, {second}", first=whole, second=name) if whole else str(name)
    return whole


def error_of(error: BaseException) -> str:
    """The sentence an error was made with, said now."""
    found: Any = error.args[0] if error.args else ""
    return say(found) if isinstance(found, Sentence) else str(error)


def choose(asked: str | None, accepted: str | None) -> str:
    """The language of a visitor.

    Args:
        asked: what the page's address asks for, ``?lang=es``; it wins if we speak it.
        accepted: the browser's Accept-Language; the first we speak by preference, else English.
    """
    if asked in languages():
        return str(asked)
    wishes = []
    for part in (accepted or "")[:500].split(","):
        tag, _, weight = part.strip().partition(";")
        try:
            wishes.append(
                (float(weight.strip().removeprefix("q=") or 1), tag.partition("-")[0].strip().lower())
            )
        except ValueError:
            continue
    wishes.sort(key=lambda wish: -wish[0])  # stable: as written among equals
    return next((tag for weight, tag in wishes if weight > 0 and tag in languages()), ENGLISH)
