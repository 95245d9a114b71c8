"""The page in Firefox and in WebKit, the engine of Safari: what a visitor does first, and no script error."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_photo
from engines import SIZE, WAIT_S, Tab, firefox, webkit
from PIL import Image

from resnet_demo.lesson import read_lesson

PHONE = 390
TOLD = 4  # steps of the story: to the first cut and its effect


@pytest.fixture(scope="module", params=[firefox, webkit], ids=lambda opened: opened.__name__)
def tab(request: pytest.FixtureRequest) -> Iterator[Tab]:
    with request.param() as opened:
        yield opened


@pytest.fixture(autouse=True)
def no_script_error(tab: Tab) -> Iterator[None]:
    tab.errors()
    yield
    assert tab.errors() == []


def until(tab: Tab, condition: str, *values: object) -> None:
    """Wait until the JavaScript expression ``condition`` holds."""
    for _ in range(int(WAIT_S / 0.1)):
        if tab.js(f"return Boolean({condition})", *values):
            return
        time.sleep(0.1)
    raise AssertionError(f"it never came: {condition} {values}")


def says(tab: Tab, selector: str, words: str) -> None:
    until(tab, "document.querySelector(arguments[0])?.textContent.includes(arguments[1])", selector, words)


def visit(tab: Tab, address: str) -> None:
    """Open the page, and wait until its example has run."""
    tab.open(address)
    until(tab, "document.querySelectorAll('#roadmap button.cell').length === 5")
    until(tab, "[...document.querySelectorAll('#roadmap img')].every(i => i.complete && i.naturalWidth)")


def close_gate(tab: Tab) -> None:
    tab.click("#chapter-cut")
    until(tab, "document.querySelector('#lesions .knock')")
    tab.press("#gates fieldset[data-gate='1'] .short", "Home")
    until(tab, "document.querySelectorAll('#roadmap .wide path.off').length === 1")


def test_a_photo_is_uploaded_and_answered(tab: Tab, server: str, tmp_path: Path) -> None:
    visit(tab, server)
    before = tab.js("return document.getElementById('seen-photo').src")
    path = tmp_path / "photo.png"
    draw_photo(3).save(path)
    tab.upload("#photo input[type=file]", path)
    until(tab, "document.getElementById('seen-photo').src !== arguments[0]", before)
    says(tab, "#answer", "%")
    bottom, right = tab.js(
        "const box = document.querySelector('#block-5 .words').getBoundingClientRect();"
        "return [box.bottom, box.right]"
    )
    assert 0 < bottom <= SIZE[1] and 0 < right <= SIZE[0]  # all on the first screen
    pixels = np.asarray(Image.open(io.BytesIO(tab.shot())).convert("RGB"))
    assert pixels.std() > 20  # something was painted
    until(tab, "sessionStorage.getItem('photo')")
    tab.js("location.reload()")  # the tab keeps its own photo
    until(tab, "document.querySelectorAll('#roadmap button.cell').length === 5")
    until(tab, "document.querySelector('#photo img[src]')")
    tab.js("sessionStorage.clear()")


def test_no_script_throws_when_it_is_run(tab: Tab, server: str) -> None:
    """WebKit is heard only once the page has loaded: every script is run once more."""
    visit(tab, server)
    tab.js(
        "Promise.allSettled([...document.querySelectorAll('script[type=module][src]')]"
        ".map((script) => import(`${script.src}#again`)))"
        ".then((all) => { window.again = all.map((one) => String(one.reason ?? 'ran')); })"
    )
    until(tab, "window.again")
    ran = tab.js("return window.again")
    assert ran and set(ran) == {"ran"}
    tab.js("sessionStorage.clear()")


def test_the_story_is_told(tab: Tab, server: str) -> None:
    visit(tab, server)
    tab.click(".story-open")
    for number, step in enumerate(read_lesson().steps[:TOLD], 1):
        says(tab, ".story-count", f"{number} /")
        if step.ask:
            says(tab, ".story p", step.ask)
            tab.click(".story-answer")
        says(tab, ".story p", step.caption)
        assert f"story={number}" in tab.js("return location.search")
        until(tab, "document.querySelector('.story-light').getBoundingClientRect().width > 20")
        if number < TOLD:
            tab.click(".story-on")
    until(tab, "document.querySelectorAll('#roadmap .wide path.off').length === 1")
    tab.click(".story-end")
    assert "story" not in tab.js("return location.search")


def test_a_gate_is_closed_and_the_strip_shows_it(tab: Tab, server: str) -> None:
    visit(tab, f"{server}/?example=a+drawn+cat")
    close_gate(tab)
    says(tab, "#comparison", "The logit moved")
    until(tab, "document.querySelector('.strip-block[data-block=\"1\"] path.road.off')")
    places = tab.js(
        "return ['.strip', \"#gates fieldset[data-gate='1'] .short\", '#comparison'].map((name) => {"
        "const { top, bottom } = document.querySelector(name).getBoundingClientRect(); return [top, bottom]})"
    )
    assert all(top >= -1 and bottom <= SIZE[1] for top, bottom in places)  # cause and effect, on one screen
    until(tab, "location.search.includes('gates=1-1_1-0_1-1_1-1_1-1')")


def test_a_place_of_a_map_is_clicked(tab: Tab, server: str) -> None:
    visit(tab, f"{server}/?example=a+drawn+cat")
    until(tab, "document.querySelectorAll('.stream[data-stream=shortcut] .tile i').length > 4")
    tab.click(".stream[data-stream=shortcut] .tile i", 4)
    says(tab, ".arithmetic p", "ReLU")
    found = tab.js(
        "return [...document.querySelectorAll('.arithmetic p b')].map(b => b.textContent.split(' ').pop())"
    )
    f, shortcut, total, _ = (float(number.replace("−", "-")) for number in found)
    assert abs(f + shortcut - total) < 0.02 + 0.01 * abs(total)
    assert tab.js("return document.querySelectorAll('.large i.aimed').length") == 4


def test_another_language(tab: Tab, server: str) -> None:
    visit(tab, f"{server}/?example=a+drawn+cat&block=3")
    words = tab.js("return document.querySelector('.languages a[hreflang=es]').textContent")
    assert "Español" in words or "es" in words.lower()
    tab.click(".languages a[hreflang=es]")
    until(tab, "location.search.includes('lang=es') && document.documentElement.lang === 'es'")
    says(tab, "#block-1 .words", "bloque 1")
    until(tab, "document.getElementById('block-3').getAttribute('aria-pressed') === 'true'")
    visit(tab, f"{server}/?lang=en")


def test_on_a_phone(tab: Tab, server: str) -> None:
    tab.resize(PHONE, 800)
    try:
        visit(tab, f"{server}/?example=a+drawn+cat")
        assert tab.js("return innerWidth") <= PHONE + 60
        assert tab.js("return document.documentElement.scrollWidth <= innerWidth")
        close_gate(tab)
        assert tab.js("return document.documentElement.scrollWidth <= innerWidth")
        strip = "document.querySelector('.strip').getBoundingClientRect()"
        until(tab, f"{strip}.height > 40 && {strip}.height < 120")
        small = tab.js(
            "return [...document.querySelectorAll('#answer *, #roadmap *, #gates *')]"
            ".filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))"
            ".filter(e => parseFloat(getComputedStyle(e).fontSize) < 13).map(e => e.outerHTML.slice(0, 80))"
        )
        assert small == []
    finally:
        tab.resize(*SIZE)
