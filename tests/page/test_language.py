"""Visitors of another language: the whole page is in it, for them alone, and the API stays English."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from conftest import draw_photo
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from visitor import open_panel, panel_names

playwright = pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Browser, Page, expect  # noqa: E402

from resnet_demo.i18n import catalogue, languages, name_of, say, speaking, tag_of  # noqa: E402
from resnet_demo.tools.walkthrough import QUIET, browser_path  # noqa: E402

WAIT = 30_000  # milliseconds; generous, for machines that are busy
FLAGS = [*QUIET, "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
SPANISH = {"accept-language": "es-ES,es;q=0.9"}
OTHERS = languages()[1:]

EVERYTHING = """() => {
  const said = [];
  const nodes = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (nodes.nextNode())
    if (!nodes.currentNode.parentElement.closest('script, style, code, pre, .languages, button.hidden'))
      said.push(nodes.currentNode.data);
  for (const name of ['aria-label', 'alt', 'title', 'placeholder'])
    document.querySelectorAll(`[${name}]:not(.languages a, button.hidden *)`)
      .forEach((found) => said.push(found.getAttribute(name)));
  return [document.title, ...said].map((text) => text.replace(/\\s+/g, ' ').trim()).filter(Boolean);
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = browser_path()
    if path is None:
        pytest.skip("no Chrome or Chromium is installed")
    with playwright.sync_playwright() as p:
        started = p.chromium.launch(executable_path=path, args=FLAGS)
        yield started
        started.close()


def visit(browser: Browser, address: str, locale: str) -> Page:
    context = browser.new_context(
        viewport={"width": 1280, "height": 800},
        reduced_motion="reduce",
        locale=locale,
        permissions=["camera"],
    )
    page = context.new_page()
    page.goto(address if "?" in address else f"{address.rstrip('/')}/?example=none")
    expect(page.locator("#tab-inside-button, #panels [role=tab]").first).to_be_visible(timeout=WAIT)
    page.wait_for_timeout(1000)  # until the page's scripts have translated Gradio's own words
    return page


def run_example(page: Page) -> None:
    page.locator("#example-lion").click()
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)


def english_left(said: list[str], language: str) -> set[str]:
    """The English sentences among ``said``: of each, its longest piece between placeholders and tags."""
    text = "\n".join(said)
    left = set()
    for sentence, translated in catalogue(language).items():
        pieces = [" ".join(p.split()) for p in re.split(r"<[^>]*>|\{\w+\}", sentence)]
        piece = max(pieces, key=len).strip(" .,;:()…")
        whole = (
            # not in cats-and-dogs, nor in "norm., ReLU" or blocks.0
            rf"(?<![\w.{{-]){re.escape(piece)}(?![\w(-]|[.],|[.]\d)"
        )
        if re.search("[A-Za-z]{2}", piece) and not re.search(whole, " ".join(translated.split())):
            left |= {piece} if re.search(whole, text) else set()
    return left


def test_the_check_for_english_finds_it() -> None:
    assert english_left(["block 3", "Drop a photo here – or – Click to choose", "on CPU"], "es") == {
        "block",
        "Drop a photo here – or – Click to choose",
        "on",
        "photo",
    }
    assert english_left(["bloque 3", "logit"], "es") == set()


def longest_of(sentence: str, language: str) -> str:
    """What is sure to stand in the translation of ``sentence``, whatever its placeholders hold."""
    return max(re.split(r"\{\w+\}", catalogue(language)[sentence]), key=len).strip()


@pytest.mark.parametrize("language", OTHERS)
def test_a_visitor_of_another_language_sees_no_english(browser: Browser, server: str, language: str) -> None:
    words = catalogue(language)
    page = visit(browser, server, tag_of(language))
    assert page.title() == words["ResNet, block by block"]
    assert page.locator("html").get_attribute("lang") == tag_of(language)
    assert english_left(page.evaluate(EVERYTHING), language) == set()
    run_example(page)
    expect(page.locator("#answer .knows")).to_contain_text(
        words["This network has seen only cats and dogs, and must call everything one of them."]
    )
    expect(page.locator("#answer .label").first).to_have_text(
        re.compile(f"^({words['cat']}|{words['dog']})$")
    )
    expect(page.locator("#inside .large p").first).to_contain_text(longest_of("channel {channel}", language))
    said: set[str] = set(page.evaluate(EVERYTHING))
    tabs = panel_names(page)
    assert {words[name] for name in ("Inside a block", "Switch it off", "Where it looks")} <= set(tabs)
    for tab in tabs:
        open_panel(page, tab)
        page.wait_for_timeout(300)
        said |= use(page, tab, language)
        said |= set(page.evaluate(EVERYTHING))
    assert english_left(sorted(said), language) == set()
    heard = "Where it decides", "residual branch", "shortcut", "3×3 conv", "with shortcuts", "variance"
    assert {words[sentence] for sentence in heard} <= said
    page.context.close()


def use(page: Page, tab: str, language: str) -> set[str]:
    """Do in an open panel what it is for; what it said only meanwhile."""
    words = catalogue(language)
    if tab == words["Switch it off"]:
        expect(page.locator("#lesions .knock").first).to_be_visible(timeout=WAIT)
        page.locator("#gates input.branch").first.fill("0")
        moved = longest_of("The logit moved from {before} to {after}.", language)
        expect(page.locator("#comparison [role=status]")).to_contain_text(moved, timeout=WAIT)
        down = words["Some branches are turned down, and stay so for the next photo."]
        expect(page.locator("#answer .notice")).to_contain_text(down, timeout=WAIT)
    elif tab == words["The gradient's way"]:
        expect(page.locator("#gradients .chart").first).to_be_visible(timeout=WAIT)
    elif tab == words["Compare"]:
        page.locator("#pin").click()
        expect(page.locator("#compare .compared")).to_have_count(2, timeout=WAIT)
    elif tab == words["Take it home"]:
        page.locator("[data-what=report]").click()
        handed = longest_of("{name} was handed to the browser.", language)
        expect(page.locator("#take [role=status]")).to_contain_text(handed, timeout=WAIT)
    elif tab == words["Live"]:
        page.locator(".live-start").click()
        expect(page.locator(".live-road button.cell")).to_have_count(5, timeout=WAIT)
        expect(page.locator(".live-speed")).to_contain_text("ms", timeout=WAIT)
        said: set[str] = set(page.evaluate(EVERYTHING))
        page.locator(".live-start").click()
        return said
    return set()


@pytest.mark.parametrize("language", OTHERS)
def test_a_photo_that_cannot_be_read_is_refused_in_the_visitors_language(
    browser: Browser, server: str, tmp_path: Path, language: str
) -> None:
    bad = tmp_path / "x.png"
    bad.write_bytes(b"%PDF-1.4 no photo")
    page = visit(browser, server, tag_of(language))
    page.locator("#photo input[type=file]").set_input_files(bad)
    sentence = "This {kind} is damaged or no photo that can be read: please upload a whole {allowed}."
    with speaking(language):
        formats = say("JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF")
        refused = say(sentence, kind="PDF", allowed=formats)
    expect(page.get_by_text(refused)).to_be_visible(timeout=WAIT)
    page.context.close()


@pytest.mark.parametrize(
    ("locale", "query", "language"),
    [
        ("en-US", "?lang=es", "es"),
        ("es-ES", "?lang=en", "en"),
        ("es-MX", "", "es"),
        ("zh-CN", "", "zh"),
        ("en-US", "?lang=zh", "zh"),
        ("en-US", "", "en"),
        ("fr-FR", "", "en"),
        ("en-US", "?lang=xx", "en"),
    ],
)
def test_the_address_or_else_the_browser_chooses(
    browser: Browser, server: str, locale: str, query: str, language: str
) -> None:
    page = visit(browser, server + "/" + query, locale)
    with speaking(language):
        tab, block = say("Inside a block"), say("block {number}", number=1)
    expect(page.locator("#tab-inside-button")).to_have_text(tab)
    expect(page.locator("html")).to_have_attribute("lang", tag_of(language))
    run_example(page)
    expect(page.locator("#roadmap .words b").first).to_have_text(block)
    page.context.close()


def test_the_switch_keeps_the_rest_of_the_address(browser: Browser, server: str) -> None:
    page = visit(browser, server + "/?example=lion&block=3&panel=looks", "en-US")
    expect(page.locator("#roadmap button.cell.selected b")).to_have_text("block 3", timeout=WAIT)
    page.get_by_role("link", name="Español").click()
    expect(page.locator("#roadmap button.cell.selected b")).to_have_text("bloque 3", timeout=WAIT)
    assert {"lang=es", "block=3", "panel=looks", "example=lion"} <= set(page.url.partition("?")[2].split("&"))
    expect(page.locator("#looks .overlay").first).to_be_visible(timeout=WAIT)
    page.locator("#block-2").click()
    page.wait_for_url(re.compile("block=2"))
    assert "lang=es" in page.url
    page.get_by_role("link", name="English").click()
    expect(page.locator("#roadmap button.cell.selected b")).to_have_text("block 2", timeout=WAIT)
    page.context.close()


def test_every_language_links_to_every_other(browser: Browser, server: str) -> None:
    for language in languages():
        page = visit(browser, f"{server}/?lang={language}&example=none", "en-US")
        links = page.locator(".languages a")
        others = [other for other in languages() if other != language]
        assert links.evaluate_all("links => links.map(link => link.lang)") == list(map(tag_of, others))
        assert links.evaluate_all("links => links.map(link => link.title)") == list(map(name_of, others))
        page.context.close()


def test_two_visitors_at_once_each_in_their_own(browser: Browser, server: str) -> None:
    spanish, english = visit(browser, server, "es-ES"), visit(browser, server, "en-GB")
    for name in ("lion", "cheetah", "tower"):
        for page in (spanish, english):
            page.locator(f"#example-{name}").click()
    for page, words in ((spanish, ("bloque 1", "Esta red")), (english, ("block 1", "This network"))):
        expect(page.locator("#roadmap button.cell b").first).to_have_text(words[0], timeout=WAIT)
        expect(page.locator("#answer .knows")).to_contain_text(words[1])
        page.context.close()


def config_of(html: str) -> dict:
    return json.loads(html.partition("window.gradio_config = ")[2].partition(";</script>")[0])


def test_pages_asked_for_at_once_are_not_mixed_up(server: str) -> None:
    titles: dict[str, set[str]] = {language: set() for language in languages()}

    def ask(language: str) -> None:
        for _ in range(3):
            html = httpx.get(server, headers={"accept-language": language}, timeout=60).text
            titles[language].add(config_of(html)["title"])

    threads = [threading.Thread(target=ask, args=(language,)) for language in languages() * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    english = "ResNet, block by block"
    assert titles == {language: {catalogue(language).get(english, english)} for language in languages()}


def test_english_carries_nothing_of_other_languages(server: str) -> None:
    english = httpx.get(server, timeout=60)
    spanish = httpx.get(server, headers=SPANISH, timeout=60)
    assert "spoken = " not in english.text and "Dónde" not in english.text and 'lang="en"' in english.text
    assert 'lang="es"' in spanish.text and "accept-language" in spanish.headers["vary"].lower()
    ours, theirs = config_of(english.text), config_of(spanish.text)
    assert [c["id"] for c in ours["components"]] == [c["id"] for c in theirs["components"]]
    assert ours["dependencies"] == theirs["dependencies"] and ours["layout"] == theirs["layout"]


def test_the_api_stays_english(server: str, tmp_path: Path) -> None:
    info = server + "/gradio_api/info"
    assert httpx.get(info, headers=SPANISH, timeout=60).json() == httpx.get(info, timeout=60).json()
    photo, bad = tmp_path / "photo.png", tmp_path / "bad.png"
    draw_photo(1).save(photo)
    bad.write_bytes(b"%PDF-1.4 no photo")
    client = Client(server, verbose=False, headers=SPANISH)
    answer = client.predict(handle_file(str(photo)), "test-net", api_name="/predict")
    assert answer["label"] in ("cat", "dog")
    with pytest.raises(AppError, match="This PDF is damaged or no photo"):
        client.predict(handle_file(str(bad)), "test-net", api_name="/predict")
