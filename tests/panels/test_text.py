"""The network that reads, as it ships: what it answers, what its blocks do, and the page around it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from test_language import EVERYTHING, OTHERS, english_left
from test_sound import opened
from test_sound_decoding import well_said
from two_networks import copied_beside, served, started
from visitor import open_panel

from resnet_demo.drawing.letters import directed, is_right_to_left, letters_of, stretched
from resnet_demo.drawing.streams import View
from resnet_demo.i18n import catalogue
from resnet_demo.inference.engine import Engine, EngineError
from resnet_demo.inputs.errors import TextError
from resnet_demo.inputs.language_names import LANGUAGES
from resnet_demo.networks.cards import WEIGHTS, available_networks, read_menu
from resnet_demo.panels.own.text import EXAMPLES, given_text, strips_html
from resnet_demo.records import Gate, ReceptiveField

playwright = pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Page, expect  # noqa: E402

from resnet_demo.tools.walkthrough import QUIET  # noqa: E402

WAIT = 30_000  # milliseconds
BAD = {
    "empty": "",
    "blank": " \n\t ",
    "control characters": "\x00\x01\x02\x1b",
    "direction marks alone": "\u202e\u200f\u2066",
    "emoji": "😀🎉👩‍👩‍👧",
    "figures": "12 345,67 €",
}
ODD = {
    "one megabyte": "It was a long story. " * 50_000,
    "control characters inside": "Dette\x00 er\x07 en\u200b setning.",
    "right to left": "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق.",
    "emoji inside": "I am so happy today 😀🎉",
    "mixed scripts": "Hello мир 你好 γειά नमस्ते",
    "a script that it never read": "ሁሉም ሰዎች ነጻ ሆነው ተወልደዋል",
    "one letter": "a",
    "unpaired surrogate": "hei \ud800 du",
}


@pytest.fixture(scope="module")
def both(weights_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the small test network and the shipped one that reads."""
    return copied_beside(weights_dir, "languages", tmp_path_factory.mktemp("languages"))


@pytest.fixture(scope="module")
def engine(both: Path) -> Engine:
    return Engine(available_networks(both), "cpu")


@pytest.fixture(scope="module")
def reading(both: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app with both networks on a free port; yields its address."""
    with served(both, tmp_path_factory.mktemp("gradio")) as address:
        yield address


def test_the_shipped_network_is_small_and_knows_75_languages() -> None:
    (path,) = WEIGHTS.glob("languages-????????.safetensors")
    assert path.stat().st_size < 6_000_000
    (entry,) = [entry for entry in read_menu() if entry.modality == "text"]
    assert entry.name == "languages" and "75 languages" in entry.knows
    engine = Engine({"languages": path}, "cpu")
    assert sorted(engine.network("languages").card.classes) == sorted(LANGUAGES)
    assert len(LANGUAGES) == 75


@pytest.mark.parametrize("code", EXAMPLES)
def test_the_examples_are_read_rightly(engine: Engine, code: str) -> None:
    assert engine.read_text(EXAMPLES[code]).prediction.label == code


def test_all_the_class_can_do_is_done_with_letters(engine: Engine) -> None:
    run = engine.read_text("Alle mennesker er født frie.")
    assert run.modality == "text" and letters_of(run) == " alle mennesker er født frie. "
    length = run.photo.shape[1]
    assert run.blocks[0].shape[1:] == (1, -(-length // 2))
    assert run.trace[0].shape[1:] == (1, length) and run.trace[1].shape == run.blocks[0].shape
    for block in run.blocks:  # captured as every network's: F(x) + shortcut = sum
        total = block.residual.astype(np.float32) + block.shortcut.astype(np.float32)
        assert np.allclose(total, block.pre_activation, atol=0.02 * float(np.abs(total).max()) + 1e-3)
    gates = (Gate(0.0, 1.0), *[Gate()] * 4)
    gated = engine.run(run.photo, "languages", gates)
    sure, other = ({c.label: c.confidence for c in r.prediction.confidences} for r in (run, gated))
    assert abs(sure["da"] - other.get("da", 0.0)) > 0.1
    assert (
        engine.read_text("Alle mennesker er født frie.").prediction == run.prediction
    )  # nothing is left of it


def test_the_shares_of_the_letters_sum_to_the_logit(engine: Engine) -> None:
    run = engine.read_text("Všichni lidé se rodí svobodní a sobě rovní.")
    shares = engine.explain("letters", run)
    assert shares.shape == (run.photo.shape[1],)
    assert float(shares.sum()) == pytest.approx(run.prediction.logit, abs=0.02)


def test_texts_of_different_lengths_share_a_call(engine: Engine) -> None:
    texts = ["En kort setning.", "A somewhat longer sentence.", "Noe kort skrevet"]
    together = engine.run(texts, "languages")
    for text, run in zip(texts, together, strict=True):
        assert run.prediction.logit == pytest.approx(engine.read_text(text).prediction.logit, abs=1e-3)


@pytest.mark.parametrize("name", BAD)
def test_what_has_no_letter_gets_a_sentence(engine: Engine, name: str) -> None:
    with pytest.raises(TextError, match="no letter in this text"):
        engine.read_text(BAD[name])
    assert given_text(BAD[name]) is None


@pytest.mark.parametrize("name", ODD)
def test_odd_texts_get_an_answer(engine: Engine, name: str) -> None:
    run = engine.read_text(ODD[name])
    assert run.prediction.label in LANGUAGES
    assert run.photo.shape[1] <= 512
    assert "letters" in strips_html(run, View())


def test_what_is_no_text_gets_a_sentence(engine: Engine) -> None:
    with pytest.raises(EngineError, match="reads and cannot see or hear"):
        engine.run(np.zeros(1000, np.float32), "languages")
    with pytest.raises(EngineError, match="reads and cannot see or hear"):
        engine.run(np.zeros((20, 20, 3), np.uint8), "languages")


def test_letters_run_in_their_own_direction() -> None:
    assert (
        is_right_to_left("  مرحبا hello")
        and not is_right_to_left("hello مرحبا")
        and not is_right_to_left("12")
    )
    runs = directed(" ab مر c ")
    assert [(leftwards, "".join(letter for _, letter in letters)) for leftwards, letters in runs] == [
        (False, "\u00a0ab\u00a0"),
        (True, "مر\u00a0"),
        (False, "c\u00a0"),
    ]
    assert [index for _, letters in runs for index, _ in letters] == list(range(9))


def test_maps_are_stretched_over_the_letters_in_the_middle_of_their_fields() -> None:
    maps = np.arange(4.0)[None, None]
    found = stretched(maps, ReceptiveField(jump=4, low=-3, high=3), 16)  # middles at 0, 4, 8 and 12
    assert found[0].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3]


# over HTTP


@pytest.fixture(scope="module")
def client(reading: str) -> Client:
    return Client(reading, verbose=False)


def test_read_answers_as_the_engine_does(client: Client, engine: Engine) -> None:
    told = client.predict(EXAMPLES["sk"], api_name="/read")
    run = engine.read_text(EXAMPLES["sk"])
    assert told["network"] == "languages" and told["label"] == run.prediction.label == "sk"
    assert told["logit"] == pytest.approx(run.prediction.logit, abs=1e-3)
    assert [block["shape"] for block in told["blocks"]] == [list(block.shape) for block in run.blocks]


@pytest.mark.parametrize("name", BAD)
def test_a_bad_text_gets_a_sentence_and_the_app_goes_on(client: Client, name: str) -> None:
    with pytest.raises(AppError) as caught:
        client.predict(BAD[name], api_name="/read")
    assert well_said(str(caught.value)), caught.value
    assert client.predict("This is English.", api_name="/read")["label"] == "en"


@pytest.mark.parametrize("name", ["one megabyte", "right to left", "mixed scripts"])
def test_odd_texts_are_answered_over_http(client: Client, name: str) -> None:
    assert client.predict(ODD[name], api_name="/read")["label"] in LANGUAGES


# in a browser


@pytest.fixture
def page(reading: str) -> Iterator[Page]:
    with playwright.sync_playwright() as p:
        browser = started(p.chromium, QUIET)
        tab = browser.new_page(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
        errors: list[str] = []
        tab.on("pageerror", lambda error: errors.append(str(error)))
        yield tab
        browser.close()
        assert errors == []


def test_it_answers_while_one_types_and_every_panel_follows(page: Page, reading: str) -> None:
    opened(page, reading)
    open_panel(page, "Text")
    box = page.locator("#text textarea")
    box.press_sequentially("Dit is een zin in het Nederlands", delay=30)
    expect(page.locator("#answer .class-row .label").first).to_have_text("Dutch", timeout=WAIT)
    expect(page.locator("#network input")).to_have_value(re.compile("^languages"))
    expect(page.locator("#roadmap .stop").first).to_contain_text("as read")
    expect(page.locator("#roadmap .stop").first).to_contain_text("letters")
    expect(page.locator("#text-strips .letters")).to_have_count(2)
    expect(page.locator("#text-shares .letters.tinted b").first).to_be_visible(timeout=WAIT)
    expect(page.locator("#text-blurred tr")).to_have_count(6, timeout=WAIT)
    strip = page.locator("#text-strips .letters").first.locator("b i").nth(12)
    strip.hover(position={"x": 3, "y": 3})
    expect(page.locator("#text-strips .pointed")).to_contain_text(
        re.compile(r"block 1, place \d+: reads letters")
    )
    assert (
        3 < page.locator("#text-strips b.marked").count() < 12
    )  # the first block's places see seven letters
    box.fill("")
    expect(page.locator("#answer .invite")).to_be_visible(timeout=WAIT)
    box.fill("😀 12")
    expect(page.locator("#text-note")).to_contain_text("no letter in this text")


def test_the_panels_that_can_speak_of_a_text_do_so(page: Page, reading: str) -> None:
    opened(page, f"{reading}/?text=cs&panel=inside")
    expect(page.locator("#answer .class-row .label").first).to_have_text("Czech", timeout=WAIT)
    expect(page.locator("#inside .inside.strips .tile")).to_have_count(64, timeout=WAIT)
    page.locator("#inside .stream[data-stream=output] .tile i").first.hover(position={"x": 20, "y": 8})
    caption = page.locator("#inside .seen + figcaption")
    expect(caption).to_contain_text(re.compile(r"place \d+ of output reads letters \d+ to \d+"))
    expect(page.locator("#inside .seen b.marked").first).to_be_visible()
    open_panel(page, "Where it looks")
    expect(page.locator("#looks .letters.tinted b").first).to_be_visible(timeout=WAIT)
    open_panel(page, "Switch it off")
    page.locator("#gates input.branch, .gates input.branch").first.fill("0")
    expect(page.locator("#answer .notice")).to_be_visible(timeout=WAIT)


@pytest.mark.parametrize("width", [1280, 390])
def test_the_panel_fits_the_screen(page: Page, reading: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    opened(page, f"{reading}/?text=ar&panel=text")
    expect(page.locator("#text-strips .letters").first).to_be_visible(timeout=WAIT)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("language", OTHERS)
def test_a_visitor_of_another_language_reads_no_english(page: Page, reading: str, language: str) -> None:
    opened(page, f"{reading}/?lang={language}&text=da&panel=text")
    danish = catalogue(language)["Danish"]
    expect(page.locator("#answer .class-row .label").first).to_have_text(danish, timeout=WAIT)
    expect(page.locator("#text-blurred tr")).to_have_count(6, timeout=WAIT)
    page.wait_for_timeout(1500)  # what Gradio shows while an event is under way is gone
    said = {s for s in page.evaluate(EVERYTHING) if s not in EXAMPLES.values()}
    assert english_left(sorted(said), language) == set()


def test_a_sentence_is_answered_within_30_ms_of_the_servers_time(engine: Engine) -> None:
    sentence = EXAMPLES["nb"] * 2
    engine.read_text(sentence)
    spent = []
    for _ in range(20):
        began = time.process_time()  # of the processor: other tests may run beside this one
        engine.read_text(sentence)
        spent.append(time.process_time() - began)
    assert sorted(spent)[10] < 0.030
