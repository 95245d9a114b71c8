"""The page opens running, tells a story, keeps the visitor's photo, and folds its first screen into a
strip."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from test_browser import WAIT, Browser, Page, browser, expect, page, photo_file, upload  # noqa: F401
from visitor import open_panel

from resnet_demo.lesson import read_lesson

DARK = "() => document.body.classList.contains('dark')"


def opened(browser: Browser, address: str, **options: object) -> Page:  # noqa: F811
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce", **options)
    tab = context.new_page()
    tab.goto(address)
    expect(tab.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    return tab


def test_it_opens_with_an_example_that_runs(browser: Browser, server: str) -> None:  # noqa: F811
    tab = opened(browser, server)
    expect(tab.locator("#answer .percent").first).to_contain_text("%")
    expect(tab.locator("#roadmap .what")).to_contain_text(
        "goes through 5 blocks. Each adds a correction F(x)"
    )
    assert "?" not in tab.url  # nobody has done anything yet
    expect(tab.locator("#examples [aria-pressed=true]")).to_have_text("cat")
    tab.locator("#block-2").click()
    tab.wait_for_url("**example=*")
    tab.context.close()


def test_the_story_is_told_by_keyboard_alone(browser: Browser, server: str) -> None:  # noqa: F811
    steps = read_lesson().steps
    assert 7 <= len(steps) <= 9
    assert any(step.ask for step in steps)
    tab = opened(browser, server)
    tab.locator(".story-open").focus()
    tab.keyboard.press("Enter")
    card = tab.locator(".story")
    told = "() => document.querySelector('.story').dataset.phase === 'told'"
    for number, step in enumerate(steps, 1):
        expect(card.locator(".story-count")).to_have_text(f"{number} / {len(steps)}", timeout=WAIT)
        expect(card.locator("b")).to_have_text(step.title)
        if step.ask:
            expect(card.locator("p")).to_have_text(step.ask)
            tab.keyboard.press("ArrowRight")
        tab.wait_for_function(told, timeout=WAIT)
        expect(card.locator("p")).to_have_text(step.caption)
        assert f"story={number}" in tab.url
        lit = tab.locator(step.spot or "#first-screen").first
        expect(lit).to_be_visible()
        expect(tab.locator(".story-light")).to_be_visible()
        tab.keyboard.press("ArrowRight")
    expect(card).to_be_hidden()
    assert "story" not in tab.url
    tab.context.close()


def test_a_link_to_the_middle_of_the_story_does_what_comes_before(browser: Browser, server: str) -> None:  # noqa: F811
    tab = opened(browser, f"{server}/?story=4")
    expect(tab.locator(".story p")).to_have_text(read_lesson().steps[3].ask, timeout=WAIT)
    expect(tab.locator(".inside h3")).to_contain_text("Block 2")
    tab.locator(".story-answer").click()
    expect(tab.locator("#roadmap .wide path.off")).to_have_count(1, timeout=WAIT)
    tab.keyboard.press("Escape")
    expect(tab.locator(".story")).to_be_hidden()
    tab.context.close()


def test_a_photo_of_ones_own_survives_a_reload_and_another_language_and_stays_in_the_tab(
    page: Page,  # noqa: F811
    tmp_path: Path,
) -> None:
    upload(page, photo_file(tmp_path, 41))
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    answer = page.locator("#answer .percent").all_inner_texts()
    page.wait_for_function("() => sessionStorage.getItem('photo')")
    page.reload()
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    expect(page.locator("#answer .percent")).to_have_text(answer, timeout=WAIT)
    page.get_by_role("link", name="Español").click()
    expect(page.locator("#roadmap .words b").first).to_have_text("bloque 1", timeout=WAIT)
    expect(page.locator("#answer .percent")).to_have_text(answer, timeout=WAIT)
    assert "example" not in page.url
    expect(page.locator("#examples [aria-pressed=true]")).to_have_count(0)
    page.locator("#example-lion").click()
    expect(page.locator("#examples [aria-pressed=true]")).to_have_text("león")
    page.wait_for_function("() => !sessionStorage.getItem('photo')")  # an example comes back by its address


def test_the_last_of_quick_clicks_and_moves_wins(page: Page, tmp_path: Path) -> None:  # noqa: F811
    """While an answer is under way the next event waits, and must then say what it said."""
    upload(page, photo_file(tmp_path, 43))
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    for pause in (0, 20, 60):
        page.evaluate(
            """async (pause) => {
              for (const block of [5, 3, 2]) {
                document.querySelector(`#block-${block}`).click();
                await new Promise((done) => setTimeout(done, pause));
              }
            }""",
            pause,
        )
        expect(page.locator("#inside h3")).to_contain_text("Block 2", timeout=WAIT)
        page.wait_for_timeout(500)
        expect(page.locator("#inside h3")).to_contain_text("Block 2")
        page.locator("#block-4").click()
        expect(page.locator("#inside h3")).to_contain_text("Block 4", timeout=WAIT)
    open_panel(page, "Switch it off")
    slider = "#gates fieldset[data-gate='1'] .short"
    expect(page.locator(slider)).to_be_visible(timeout=WAIT)
    page.evaluate(
        """async (slider) => {
          for (const value of [0.9, 0.5, 0.25]) {  // each is sent after 120 ms
            const range = document.querySelector(slider);
            range.value = value;
            range.dispatchEvent(new Event('input', { bubbles: true }));
            await new Promise((done) => setTimeout(done, 125));
          }
        }""",
        slider,
    )
    road, shut = page.locator("#roadmap .roadmap"), re.compile("0.25")
    expect(road).to_have_attribute("data-gates", shut, timeout=WAIT)
    page.wait_for_timeout(1000)
    expect(road).to_have_attribute("data-gates", shut)


def test_back_and_forward_walk_through_panels(page: Page, tmp_path: Path) -> None:  # noqa: F811
    upload(page, photo_file(tmp_path, 42))
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    open_panel(page, "Switch it off")
    page.wait_for_url("**panel=off*")
    open_panel(page, "Where it looks")
    page.wait_for_url("**panel=looks*")
    page.go_back()
    expect(page.locator("#tab-off")).to_be_visible()
    expect(page.locator("#chapter-cut")).to_have_attribute("aria-selected", "true")
    page.go_back()
    expect(page.locator("#tab-inside")).to_be_visible()
    page.go_forward()
    expect(page.locator("#tab-off")).to_be_visible()
    expect(page.locator("#roadmap button.cell")).to_have_count(5)


def test_the_theme_is_remembered(page: Page) -> None:  # noqa: F811
    before = page.evaluate(DARK)
    page.locator("#theme").click()
    assert page.evaluate(DARK) is not before
    page.reload()
    page.wait_for_function(f"() => ({DARK})() === {str(not before).lower()}")
    page.wait_for_timeout(1500)
    assert page.evaluate(DARK) is not before


def test_cause_and_effect_are_on_one_screen(page: Page, tmp_path: Path) -> None:  # noqa: F811
    upload(page, photo_file(tmp_path, 43))
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    strip = page.locator(".strip")
    expect(strip).to_be_hidden()
    page.locator("#chapter-cut").click()
    expect(strip).to_be_visible()
    slider = page.locator("#gates fieldset[data-gate='2'] .short")
    expect(slider).to_be_enabled(timeout=WAIT)  # once the panel is drawn
    slider.focus()
    slider.press("Home")
    expect(strip.locator(".strip-block[data-block='2'] path.road.off")).to_have_count(1, timeout=WAIT)
    for part in (slider, strip.locator(".strip-answer b"), page.locator("#comparison")):
        box = part.bounding_box()
        assert box is not None
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 800
    box = strip.bounding_box()
    assert box is not None
    assert box["height"] <= 120
    expect(strip.locator(".strip-answer b")).to_have_text(
        page.locator("#answer .class-row .label").first.inner_text()
    )
    strip.locator(".strip-block[data-block='3']").click()
    expect(page.locator("#block-4")).to_have_attribute("aria-pressed", "true")
    strip.locator(".strip-unfold").click()
    expect(strip).to_be_hidden()


def test_a_place_is_outlined_on_the_photo_in_the_strip(page: Page, tmp_path: Path) -> None:  # noqa: F811
    upload(page, photo_file(tmp_path, 44))
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    page.locator("#chapter-look").click()
    expect(page.locator(".strip")).to_be_visible()
    page.locator(".stream[data-stream=output] .tile i").nth(2).hover()
    expect(page.locator(".strip-place")).to_be_visible()
    crop, whole = (page.locator(name).bounding_box() for name in (".strip-crop", ".strip-photo"))
    assert crop is not None
    assert whole is not None
    assert crop["width"] < whole["width"]  # the photo is 4 to 3, and the network takes a square
    assert abs(crop["height"] - whole["height"]) <= 2
    page.locator("#chapter-look").hover()
    expect(page.locator(".strip-place")).to_be_hidden()


def test_a_click_on_a_place_adds_it_up_and_one_level_deeper_multiplies(page: Page, tmp_path: Path) -> None:  # noqa: F811
    upload(page, photo_file(tmp_path, 45))
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    page.locator("#block-3").click()
    expect(page.locator(".inside h3")).to_contain_text("Block 3")
    line = page.locator(".arithmetic")
    expect(line).to_contain_text("Click a place of a map")
    page.locator(".stream[data-stream=shortcut] .tile i").nth(4).click(position={"x": 12, "y": 9})
    expect(line.locator("p").first).to_contain_text("ReLU", timeout=WAIT)
    f, s, total, output = (
        float(words.split()[-1].replace("−", "-")) for words in line.locator("p b").all_inner_texts()
    )
    assert abs(f + s - total) < 0.02 + 0.01 * abs(total)
    assert abs(max(total, 0) - output) < 0.02
    expect(page.locator(".large i.aimed")).to_have_count(4)
    line.get_by_role("button").click()
    expect(page.locator(".products")).to_have_count(
        2, timeout=WAIT
    )  # F's last convolution, and the shortcut's
    for side, value in zip(page.locator(".products").all(), (f, s), strict=True):
        made = float(side.locator(".products-sum b").inner_text().replace("−", "-"))
        assert abs(made - value) < 0.02 + 0.02 * abs(value)
    first = page.locator(".products-row").first
    assert first.locator("table").first.locator("td").count() == 9
    tile = page.locator(".stream[data-stream=output] .tile").nth(1)
    tile.focus()
    page.keyboard.press("Enter")
    expect(line.locator("p").first).to_contain_text("row 12, column 12", timeout=WAIT)


def test_presenting_is_done_with_keys(browser: Browser, server: str) -> None:  # noqa: F811
    tab = opened(browser, f"{server}/?present=1&example=a+drawn+cat")
    tab.keyboard.press("2")
    expect(tab.locator("#tab-off")).to_be_visible()
    tab.keyboard.press("ArrowRight")
    expect(tab.locator("#block-2")).to_have_attribute("aria-pressed", "true")
    tab.keyboard.press("b")
    expect(tab.locator(".black-screen")).to_be_visible()
    tab.keyboard.press("b")
    tab.keyboard.press("s")
    expect(tab.locator(".story")).to_be_visible()
    expect(tab.locator("#examples")).to_be_hidden()
    tab.context.close()


def test_one_panel_alone_for_a_slide(browser: Browser, server: str) -> None:  # noqa: F811
    context = browser.new_context(viewport={"width": 960, "height": 540}, reduced_motion="reduce")
    tab = context.new_page()
    tab.goto(f"{server}/?embed=off&example=a+drawn+cat")
    expect(tab.locator("#gates fieldset").first).to_be_visible(timeout=WAIT)
    for part in ("#page-head", "#first-screen", "#chapters", ".strip"):
        expect(tab.locator(part)).to_be_hidden()
    context.close()


def test_a_view_is_saved_as_a_picture(page: Page, tmp_path: Path) -> None:  # noqa: F811
    upload(page, photo_file(tmp_path, 46))
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    for kind, start in (("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        with page.expect_download(timeout=WAIT) as saved:
            page.get_by_role("button", name=f"Save this view as {kind}").click()
        assert saved.value.suggested_filename == f"resnet-demo-inside.{kind.lower()}"
        data = Path(saved.value.path()).read_bytes()
        assert data.startswith(start)
        assert len(data) > 20_000
        assert kind == "PNG" or b"test-net" in data


PLACES = """root => [...root.querySelectorAll('.tile i, .stream h4, .legend, .numbers dd, fieldset label')]
  .map((part) => part.getBoundingClientRect())
  .filter((box) => box.width > 0)
  .map((box, _, [first]) => [box.x - first.x, box.y - first.y, box.width, box.height])"""


def test_a_saved_view_looks_as_the_page_does(
    page: Page,  # noqa: F811
    browser: Browser,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Every map, title and scale stands where it stood; none is left out."""
    upload(page, photo_file(tmp_path, 49))
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    expect(page.locator("#tab-inside .tile").first).to_be_visible(timeout=WAIT)
    page.mouse.move(0, 0)
    with page.expect_download(timeout=WAIT) as saved:
        page.get_by_role("button", name="Save this view as SVG").click()
    shown = page.locator("#tab-inside").evaluate(PLACES)
    saved.value.save_as(tmp_path / "view.svg")
    assert (tmp_path / "view.svg").stat().st_size < 2_000_000
    alone = browser.new_page()
    alone.goto((tmp_path / "view.svg").as_uri())
    found = alone.locator("svg foreignObject > *").first.evaluate(PLACES)
    assert len(shown) == len(found) > 64
    for there, here in zip(shown, found, strict=True):
        assert here == pytest.approx(there, abs=3)
    pictures = alone.locator(".tile i").evaluate_all(
        "all => all.filter(e => getComputedStyle(e).backgroundImage.includes('data:image/png')).length"
    )
    assert pictures == alone.locator(".tile i").count()
    alone.close()


def test_a_view_is_printed_on_a_sheet_of_its_size(page: Page, tmp_path: Path) -> None:  # noqa: F811
    """The browser's dialogue is stood in for; what it prints is printed here, into a file."""
    page.add_init_script("window.print = () => { window.top.printed = document.title; };")
    page.reload()
    upload(page, photo_file(tmp_path, 48))
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    page.get_by_role("button", name="Save this view as PDF").click()
    page.wait_for_function("window.printed", timeout=WAIT)
    assert page.evaluate("window.printed") == page.title()
    printed = page.locator("#sheet").get_attribute("srcdoc") or ""
    size = re.search(r"size:(\d+)px (\d+)px", printed)
    assert size is not None
    sheet = page.context.new_page()
    sheet.set_content(printed)
    assert "test-net" in sheet.inner_text("body")
    data = sheet.pdf(prefer_css_page_size=True, print_background=True)
    assert data.startswith(b"%PDF")
    boxes = re.findall(rb"/MediaBox \[0 0 ([0-9.]+) ([0-9.]+)\]", data)
    assert len(boxes) == 1  # the panel and its caption on one sheet
    assert [float(side) for side in boxes[0]] == pytest.approx([0.75 * int(n) for n in size.groups()], abs=2)
    assert b"/Font" in data and data.count(b"/Subtype /Image") >= 4  # letters and the four streams' pictures
    sheet.close()


def test_headings_go_down_one_level_at_a_time(page: Page, tmp_path: Path) -> None:  # noqa: F811
    upload(page, photo_file(tmp_path, 47))
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    found = page.evaluate(
        "() => [...document.querySelectorAll('h1, h2, h3, h4')].map(h => Number(h.tagName[1]))"
    )
    assert found[0] == 1
    assert found.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(found))
    page.keyboard.press("Tab")
    page.locator(".skip").focus()
    expect(page.locator(".skip")).to_be_in_viewport()
