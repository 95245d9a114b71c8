"""The page's sentences and their catalogues: complete, with the same placeholders, and nothing left over."""

from __future__ import annotations

import ast
import asyncio
import copy
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment, nodes

from resnet_demo import i18n as words
from resnet_demo.i18n import (
    Sentence,
    catalogue,
    choose,
    error_of,
    grouped,
    joined,
    known,
    label_of,
    languages,
    later,
    listed,
    say,
    speaking,
)
from resnet_demo.inputs import synthetic_sounds as sounds
from resnet_demo.inputs.sound_decoding import SoundError, open_sound
from resnet_demo.lesson import read_lesson
from resnet_demo.page.localization import SAID, Interpreter, language_of, said_by_scripts

ROOT = Path(__file__).resolve().parents[1]
SAYS = {"say", "later"}
TEMPLATES_SAY = {"say", "say_html"}
OTHERS = [language for language in languages() if language != "en"]


def literals(path: Path) -> Iterator[str]:
    """Every sentence that the file says, or keeps for later."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SAYS:
            first = node.args[0]
            if isinstance(first, ast.Constant):
                yield first.value
            else:  # a name, whose sentence was marked with ``later`` where it is written
                assert not isinstance(first, ast.JoinedStr | ast.BinOp), (
                    f"{path.name}:{node.lineno}: no literal"
                )


def said_in_templates() -> Iterator[str]:
    """Every sentence that a template says, as text or with tags of its own."""
    for path in (ROOT / "resnet_demo").rglob("*.html"):
        for call in Environment().parse(path.read_text(encoding="utf-8")).find_all(nodes.Call):
            name, first = getattr(call.node, "name", ""), next(iter(call.args), None)
            if name in TEMPLATES_SAY and isinstance(first, nodes.Const):  # others were marked with ``later``
                yield first.value


def sentences() -> set[str]:
    files = [path for path in (ROOT / "resnet_demo").rglob("*.py") if path.stem != "i18n"]
    found = {sentence for path in files for sentence in literals(path)}
    found |= set(said_in_templates())
    found |= set(read_lesson().sentences())
    own = {str(name) for name in (*words.CLASSES, words.OWN_NAME, words.SHORT_NAME)}
    return found | set(said_by_scripts()) | own


def placeholders(text: str) -> list[str]:
    return sorted(re.findall(r"\{(\w*)\}", text))


def test_the_languages_and_what_they_call_themselves() -> None:
    assert languages() == ("en", *(path.stem for path in sorted(words.CATALOGUES.glob("*.json"))))
    assert [words.name_of(language) for language in ("en", "es", "zh")] == ["English", "Español", "简体中文"]
    assert [words.short_name_of(language) for language in ("en", "es", "zh")] == ["EN", "ES", "中文"]
    assert len({words.name_of(language) for language in languages()}) == len(languages())
    assert all(len(words.short_name_of(language)) == 2 for language in languages())


def test_a_document_is_told_its_language_and_its_direction() -> None:
    assert [words.tag_of(language) for language in ("en", "es", "zh")] == ["en", "es", "zh-CN"]
    assert [words.direction_of(language) for language in ("en", "zh", "ar", "he")] == [
        "ltr",
        "ltr",
        "rtl",
        "rtl",
    ]


@pytest.mark.parametrize("language", OTHERS)
def test_every_sentence_is_translated(language: str) -> None:
    """What is the same in both languages is a name, a number or a formula, no sentence of several words."""
    same = [english for english, said in catalogue(language).items() if english == said]
    words_in = [re.findall("[A-Za-z]{2,}", re.sub(r"\{\w+\}", "", sentence)) for sentence in same]
    assert [sentence for sentence, found in zip(same, words_in, strict=True) if len(found) > 3] == []


def test_chinese_is_written_with_its_own_punctuation() -> None:
    halves = re.compile(
        r"[\u4e00-\u9fff][,;:?!](?!\w)|[\u4e00-\u9fff]\.(\s|$)|[\u4e00-\u9fff]\(|\)[\u4e00-\u9fff]"
    )
    formulas = re.compile("⟨[^⟩]*⟩")
    found = [said for said in catalogue("zh").values() if halves.search(formulas.sub("", said))]
    assert found == []
    traditional = set("網層權這個說話為圖與進對")
    assert [said for said in catalogue("zh").values() if traditional & set(said)] == []


@pytest.mark.parametrize("language", OTHERS)
def test_a_catalogue_has_every_sentence_and_no_other(language: str) -> None:
    assert set(catalogue(language)) == sentences()


@pytest.mark.parametrize("language", OTHERS)
def test_a_translation_has_the_same_placeholders_and_tags(language: str) -> None:
    for sentence, translated in catalogue(language).items():
        assert placeholders(sentence) == placeholders(translated), sentence
        for kind in (r"</?\w+", r'href="[^"]*"', "`[^`]*`"):
            assert sorted(re.findall(kind, sentence)) == sorted(re.findall(kind, translated)), sentence
        assert sentence[:1].isspace() == translated[:1].isspace(), sentence
        assert translated.strip(), sentence


def test_scripts_say_whole_sentences_only() -> None:
    for path in (ROOT / "resnet_demo").rglob("*.js"):
        text = path.read_text(encoding="utf-8")
        calls = len(re.findall(r"\bsay\(", text))
        assert calls == len(SAID.findall(text)), path.name
    assert "The camera is off." in said_by_scripts()


def test_english_is_what_stands_in_the_code() -> None:
    assert say("block {number}", number=3) == "block 3"
    assert say("no such sentence {here}", here="x") == "no such sentence x"


def test_a_language_is_spoken_inside_and_not_outside() -> None:
    with speaking("es"):
        assert say("block {number}", number=3) == "bloque 3"
        with speaking("en"):
            assert say("block {number}", number=3) == "block 3"
        assert say("no such sentence") == "no such sentence"
    assert words.spoken() == "en"


@pytest.mark.parametrize("language", ["xx", "", None, "../es", "ES"])
def test_a_language_we_do_not_speak_is_english(language: str | None) -> None:
    with speaking(language):
        assert words.spoken() == "en"


def test_a_language_belongs_to_its_thread() -> None:
    heard: list[str] = []
    with speaking("es"):
        thread = threading.Thread(target=lambda: heard.append(say("photo")))
        thread.start()
        thread.join()
        assert say("photo") == "foto"
    assert heard == ["photo"]


def test_a_sentence_for_later_is_english_until_it_is_said() -> None:
    inner = later("put {file} from {url} into {folder} yourself", file="a", url="b", folder="c")
    sentence = later("{file} is larger than expected; {by_hand}.", file="a", by_hand=inner)
    assert sentence == "a is larger than expected; put a from b into c yourself."
    assert say(sentence) == sentence
    with speaking("es"):
        told = say(sentence)
        assert sentence == "a is larger than expected; put a from b into c yourself."
    assert "expected" not in told and "yourself" not in told and "a" in told and "c" in told
    kept = copy.deepcopy(sentence)
    assert isinstance(kept, Sentence) and kept.values == sentence.values and kept.pattern == sentence.pattern


def test_an_error_is_logged_in_english_and_told_in_the_visitors_language() -> None:
    error = RuntimeError(later("The camera is off."))
    with speaking("es"):
        assert str(error) == "The camera is off."
        assert error_of(error) == "La cámara está apagada."
        assert error_of(ValueError("x")) == "x" and error_of(ValueError()) == ""


def test_what_comes_from_outside_is_never_a_pattern() -> None:
    with speaking("es"):
        assert known("{0} of {x}") == "{0} of {x}"
        assert label_of("cat") == "gato" and label_of("{cat}") == "{cat}" and label_of("output") == "output"
        assert say("on {device}", device="{x}") == "en {x}"


def test_the_kinds_of_sounds_are_translated() -> None:
    with speaking("es"):
        assert label_of("rising sweep") == "barrido ascendente"
        assert all(label_of(name) != name for name in sounds.CLASSES)
        assert str(sounds.CLASSES[0]) == "steady tone"  # what the API answers


def test_thousands_are_apart_as_is_usual() -> None:
    assert (grouped(7783.4), grouped(12), grouped(1234567)) == ("7,783", "12", "1,234,567")
    with speaking("es"):
        assert grouped(7783.4) == "7\u202f783" and grouped(12) == "12"
    with speaking("zh"):
        assert grouped(7783.4) == "7,783"


def test_sentences_and_names_are_joined_as_is_usual() -> None:
    whole = joined((later("The camera is off."), "", later("The microphone is off.")))
    assert whole == "The camera is off. The microphone is off."
    assert listed([1, 2, 3]) == "1, 2, 3" and listed([]) == ""
    with speaking("zh"):
        assert say(whole) == "摄像头已关闭。麦克风已关闭。"
        assert listed([1, 2, 3]) == "1、2、3"


def test_an_error_about_a_sound_is_told_in_the_visitors_language() -> None:
    with speaking("es"):
        with pytest.raises(SoundError) as found:
            open_sound(b"no sound")
        assert str(found.value).endswith("please upload a whole WAV, FLAC, OGG, MP3, M4A or WebM file.")
        assert error_of(found.value).endswith("sube un archivo WAV, FLAC, OGG, MP3, M4A o WebM íntegro.")


def test_values_may_be_named_as_anything() -> None:
    assert say("{file}", file="{file}") == "{file}"


@pytest.mark.parametrize(
    ("asked", "accepted", "language"),
    [
        (None, None, "en"),
        (None, "", "en"),
        (None, "es", "es"),
        (None, "es-ES,es;q=0.9,en;q=0.8", "es"),
        (None, "es-MX", "es"),
        (None, "ES-es", "es"),
        (None, "en-US,en;q=0.9,es;q=0.8", "en"),
        (None, "fr,es;q=0.5,en;q=0.7", "en"),
        (None, "fr-FR,es;q=0.5", "es"),
        (None, "fr", "en"),
        (None, "es;q=0", "en"),
        (None, "*", "en"),
        (None, "es;q=x, en", "en"),
        ("es", "en", "es"),
        ("en", "es", "en"),
        ("fr", "es", "es"),
        (None, "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        (None, "zh-Hans-SG", "zh"),
        ("zh", "es", "zh"),
        ("../../etc/passwd", "en", "en"),
    ],
)
def test_the_address_wins_over_the_browser(asked: str | None, accepted: str | None, language: str) -> None:
    assert choose(asked, accepted) == language


@given(st.text(max_size=40), st.text(max_size=200))
def test_no_header_breaks_it(asked: str, accepted: str) -> None:
    assert choose(asked, accepted) in languages()


def test_who_sent_an_event_is_answered_in_their_language() -> None:
    class Request:
        def __init__(self, lang: str | None, accepted: str) -> None:
            self.query_params = {"lang": lang} if lang else {}
            self.headers = {"accept-language": accepted}

    assert language_of(Request(None, "es")) == "es"
    assert language_of(Request("en", "es")) == "en"
    assert language_of(Request(None, "")) == language_of(None) == language_of([]) == "en"


@pytest.mark.parametrize(
    ("path", "method", "language"),
    [("/", "GET", "es"), ("/config", "GET", "es"), ("/", "POST", "en"), ("/gradio_api/info", "GET", "en")],
)
def test_the_language_of_a_page_is_spoken_while_it_is_made(path: str, method: str, language: str) -> None:
    page = b'<!doctype html><html\n\tlang="en"><head></head>'
    sent: list[dict] = []

    async def app(scope, receive, send):
        assert words.spoken() == language
        start = {"type": "http.response.start", "status": 200, "headers": [(b"Content-Length", b"1")]}
        await send(start)
        await send({"type": "http.response.body", "body": page[:10], "more_body": True})
        await send({"type": "http.response.body", "body": page[10:]})

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": [(b"accept-language", b"es-ES")]}
    asyncio.run(Interpreter(app)(scope, None, send))
    body = b"".join(message.get("body", b"") for message in sent)
    if language == "en":
        assert body == page and sent[0]["headers"] == [(b"Content-Length", b"1")]
        return
    assert b'lang="es" dir="ltr"' in body and b'value: "es"' in body and b'lang="en"' not in body
    assert dict(sent[0]["headers"])[b"content-length"] == str(len(body)).encode()


def test_an_answer_that_is_no_page_passes_unchanged() -> None:
    sent: list[dict] = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b'{"lang": "en"}'})

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/config", "query_string": b"lang=es", "headers": []}
    asyncio.run(Interpreter(app)(scope, None, send))
    assert sent[1]["body"] == b'{"lang": "en"}'
