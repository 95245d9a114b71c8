"""A language that is written from right to left: the page turns round, and what is drawn does not.

No catalogue of such a language ships; this one is made here of the English sentences, every letter of which
becomes an Arabic one. So nothing of the page's structure waits for the first translator.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from two_networks import served

from resnet_demo import i18n
from resnet_demo.i18n import catalogue, languages

playwright = pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Browser, Page, expect  # noqa: E402
from test_browser import WAIT, browser  # noqa: E402, F401 - a fixture

LETTERS = dict(zip("abcdefghijklmnopqrstuvwxyz", "ابتثجحخدذرزسشصضطظعغفقكلمنه", strict=True))
KEPT = re.compile(r"(\{\w+\}|<[^>]*>|`[^`]*`|F\(x\)|\n)")  # placeholders, tags, code and formulas

OVERLAPS = """() => {
  const shown = [...document.querySelectorAll('button, a, label, summary, h3, h4, p, legend, figcaption, th')]
    .filter((e) => e.offsetParent && e.getClientRects().length && !e.closest('svg, .unseen, .skip'))
    .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
    .filter((e) => !e.closest('.roadmap, .strip, .story, footer'));
  const words = (e) => {
    const range = document.createRange();
    range.selectNodeContents(e);
    return range.getBoundingClientRect();
  };
  const boxes = shown.map((e) => [e, words(e)]).filter(([, box]) => box.width && box.height);
  const faults = [];
  boxes.forEach(([a, one], i) => {
    boxes.slice(i + 1).forEach(([b, other]) => {
      if (a.contains(b) || b.contains(a)) return;
      const wide = Math.min(one.right, other.right) - Math.max(one.left, other.left);
      const high = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
      if (wide > 3 && high > 3) faults.push([a.outerHTML.slice(0, 80), b.outerHTML.slice(0, 80)]);
    });
  });
  return faults;
}"""
ALIGNED_LEFT = """() => [...document.querySelectorAll('p, h3, h4, label, figcaption, th, li, dd')]
  .filter((e) => e.offsetParent && /[\\u0600-\\u06ff]/.test(e.textContent))
  .filter((e) => getComputedStyle(e).textAlign === 'left')
  .map((e) => e.outerHTML.slice(0, 100))"""


def turned(sentence: str) -> str:
    """``sentence`` in Arabic letters, but for what must stay as it is."""
    pieces = KEPT.split(sentence)
    turned_pieces = (
        "".join(LETTERS.get(letter, letter) for letter in piece.lower()) for piece in pieces[::2]
    )
    kept = [*pieces[1::2], ""]
    return "".join(text for pair in zip(turned_pieces, kept, strict=True) for text in pair)


@pytest.fixture(scope="module")
def arabic(weights_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a page that speaks English and what ``turned`` makes of it."""
    folder = tmp_path_factory.mktemp("lang")
    sentences = {sentence: turned(sentence) for sentence in catalogue("es")}
    (folder / "ar.json").write_text(json.dumps(sentences), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(i18n, "CATALOGUES", folder)
        languages.cache_clear()
        catalogue.cache_clear()
        try:
            assert languages() == ("en", "ar")
            with served(weights_dir, tmp_path_factory.mktemp("gradio")) as address:
                yield address
        finally:
            languages.cache_clear()
            catalogue.cache_clear()


def opened(browser: Browser, address: str, width: int, query: str = "") -> Page:  # noqa: F811
    context = browser.new_context(
        viewport={"width": width, "height": 800}, reduced_motion="reduce", locale="ar-EG"
    )
    page = context.new_page()
    page.goto(f"{address}/?example=a+drawn+cat{query}")
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    page.wait_for_timeout(700)
    return page


def left_of(page: Page, part: str) -> float:
    """Where a part of the page begins, in pixels from the left."""
    return float(page.locator(part).evaluate("e => e.getBoundingClientRect().left"))


def panels(page: Page) -> Iterator[str]:
    """Open one panel after the other."""
    for tab in page.locator("#panels [data-tab-id]").all():
        tab.evaluate("tab => tab.click()")
        page.wait_for_timeout(500)
        yield str(tab.get_attribute("data-tab-id"))


def test_the_pseudo_language_keeps_what_must_be_kept() -> None:
    assert turned("block {number} of <b>F(x)</b>") == "بسضزق {number} ضح <b>F(x)</b>"


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_turns_round(browser: Browser, arabic: str, width: int) -> None:  # noqa: F811
    page = opened(browser, arabic, width)
    html = page.locator("html")
    expect(html).to_have_attribute("dir", "rtl")
    expect(html).to_have_attribute("lang", "ar")
    photo, answer = left_of(page, "#photo-side"), left_of(page, "#answer-side")
    assert left_of(page, "#chapter-look") > left_of(page, "#chapter-own")  # the first one at the right
    if width > 760:
        assert photo > answer
    for panel in panels(page):
        wide = page.evaluate("() => document.scrollingElement.scrollWidth - window.innerWidth")
        assert wide <= 0, panel
        assert page.evaluate(ALIGNED_LEFT) == [], panel
        assert page.evaluate(OVERLAPS) == [], panel
    page.context.close()


def test_what_is_drawn_keeps_its_direction(browser: Browser, arabic: str) -> None:  # noqa: F811
    page = opened(browser, arabic, 1280)
    blocks = [left_of(page, f"#block-{n}") for n in range(1, 6)]
    assert blocks == sorted(blocks)
    streams = page.locator("#inside .stream").evaluate_all("all => all.map(e => e.getBoundingClientRect().x)")
    assert len(streams) == 4 and streams == sorted(streams)
    assert page.locator("#answer .bar").first.evaluate("e => getComputedStyle(e).direction") == "ltr"
    for panel in panels(page):
        ways = page.evaluate(
            "() => [...document.querySelectorAll('svg, input[type=range]')]"
            ".filter(e => e.getClientRects().length).map(e => getComputedStyle(e).direction)"
        )
        assert set(ways) <= {"ltr"}, panel
    page.context.close()


def test_arrow_keys_go_where_they_point(browser: Browser, arabic: str) -> None:  # noqa: F811
    page = opened(browser, arabic, 1280)
    page.locator("#chapter-look").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#chapter-cut")).to_have_attribute("aria-selected", "true")
    page.context.close()


def test_english_beside_it_stays_from_left_to_right(browser: Browser, arabic: str) -> None:  # noqa: F811
    page = opened(browser, arabic, 1280, "&lang=en")
    assert page.locator("html").evaluate("e => getComputedStyle(e).direction") == "ltr"
    photo, answer = left_of(page, "#photo-side"), left_of(page, "#answer-side")
    assert photo < answer
    page.context.close()
