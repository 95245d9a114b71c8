"""The panels that explain an answer, in a real browser."""

# ruff: noqa: F811 - fixtures are arguments of the name under which they are imported

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_browser import browser, page, photo_file, upload  # noqa: F401
from visitor import LOADED_WIDTH, LOADED_WIDTHS, open_panel

playwright = pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Page, expect  # noqa: E402

WAIT = 120_000  # milliseconds: a study takes seconds of a processor that may have other work


def answered(page: Page, tmp_path: Path, seed: int = 1) -> None:
    """A photo is given, and its answer is there."""
    upload(page, photo_file(tmp_path, seed))
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)


def test_paths_are_walked_by_pointer_and_keys(page: Page, tmp_path: Path) -> None:
    answered(page, tmp_path)
    open_panel(page, "Paths")
    leaves = page.locator("#paths .leaf")
    expect(leaves).to_have_count(32, timeout=WAIT)
    leaves.nth(31).click()
    expect(page.locator("#paths .ledger-words")).to_contain_text("the path along all shortcuts")
    expect(page.locator("#paths path.road.lit")).to_have_count(5)
    expect(page.locator("#paths path.branch.lit")).to_have_count(0)
    before = page.locator("#paths .ledger-map").get_attribute("src")
    page.keyboard.press("ArrowUp")
    expect(leaves.nth(30)).to_be_focused()
    expect(page.locator("#paths .ledger-words")).to_contain_text("F(x) of block 5 alone")
    assert page.locator("#paths .ledger-map").get_attribute("src") != before
    picture = page.locator("#paths .ledger-map")
    assert picture.evaluate(LOADED_WIDTH) == 45  # 180 pixels, by fours
    expect(page.locator("#paths")).to_contain_text("not what the network would lose")
    expect(page.locator("#paths .ledger-removed")).to_contain_text("instead of")
    expect(page.locator("#tab-paths .study-stop")).not_to_be_visible()


def test_an_attack_flips_the_answer_and_a_slider_sets_its_size(page: Page, tmp_path: Path) -> None:
    answered(page, tmp_path, 2)
    open_panel(page, "Attack")
    said = page.locator("#attack .lead")
    expect(said).to_contain_text("/255 a pixel", timeout=WAIT)
    first = said.inner_text()
    for picture in page.locator("#attack .attack-pictures img").all():
        assert picture.evaluate(LOADED_WIDTH) == 180
    expect(page.locator("#attack .attack-table tbody tr")).to_have_count(6)
    expect(page.locator("#attack polyline.ink").first).to_be_attached()
    page.locator("#epsilon input[type=number]").fill("8")
    page.locator("#epsilon input[type=number]").press("Enter")
    page.locator("#epsilon input[type=number]").blur()
    expect(said).to_contain_text("at most 8/255", timeout=WAIT)
    assert said.inner_text() != first
    expect(page.locator("#attack")).to_contain_text("What it is not")


def test_pixels_are_shared_out_three_ways_with_their_sums(page: Page, tmp_path: Path) -> None:
    answered(page, tmp_path, 3)
    open_panel(page, "Pixels")
    sections = page.locator("#pixels .attributions section")
    expect(sections).to_have_count(3, timeout=WAIT)
    expect(sections.nth(2)).to_contain_text("they differ by")
    expect(sections.nth(1)).to_contain_text("weights drawn at random")
    for picture in page.locator("#pixels img.native").all():
        assert picture.evaluate(LOADED_WIDTH) == 45
    expect(page.locator("#pixels")).to_contain_text("What these are not")


def test_read_outs_are_drawn_by_place(page: Page, tmp_path: Path) -> None:
    answered(page, tmp_path, 4)
    open_panel(page, "Where it decides")
    figures = page.locator("#readout-places figure")
    expect(figures).to_have_count(5, timeout=WAIT)
    sides = page.locator("#readout-places img.native").evaluate_all(LOADED_WIDTHS)
    assert sides == [45, 45, 23, 12, 6]
    expect(figures.first).to_contain_text("+ bias")
    expect(page.locator("#refinement")).to_contain_text("None of the 5 blocks", timeout=WAIT)


def test_the_answer_follows_while_the_photo_is_touched(page: Page, tmp_path: Path) -> None:
    answered(page, tmp_path, 5)
    open_panel(page, "Touch the photo")
    expect(page.locator("#touch .touch[data-ready]")).to_be_attached(timeout=WAIT)
    canvas = page.locator("#touch canvas")
    assert canvas.evaluate("c => [c.width, c.height]") == [180, 180]
    sent: list[str] = []

    def count(request: Any) -> None:
        if "component_server" in request.url and '"edited"' in (request.post_data or ""):
            sent.append(request.url)

    page.on("request", count)
    before = canvas.evaluate("c => c.toDataURL()")
    expect(page.locator("#touch .touch-undo")).to_be_disabled()
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 90, box["y"] + 90)
    page.mouse.down()
    page.mouse.move(box["x"] + 180, box["y"] + 150, steps=6)
    page.mouse.up()
    expect(page.locator("#touch .touch-said")).to_contain_text("ms on the server", timeout=WAIT)
    page.wait_for_timeout(1000)
    assert 1 <= len(sent) <= 8  # pointer events: one down, six moves; never more than one pass for each
    assert canvas.evaluate("c => c.toDataURL()") != before
    page.locator("#touch .touch-reset").click()
    assert canvas.evaluate("c => c.toDataURL()") == before
    expect(page.locator("#touch .touch-undo")).to_be_disabled()


def test_the_photo_is_touched_by_keyboard_and_a_part_is_moved(page: Page, tmp_path: Path) -> None:
    answered(page, tmp_path, 6)
    open_panel(page, "Touch the photo")
    expect(page.locator("#touch .touch[data-ready]")).to_be_attached(timeout=WAIT)
    canvas = page.locator("#touch canvas")
    before = canvas.evaluate("c => c.toDataURL()")
    page.locator("#touch input[value=move]").check()
    canvas.focus()
    for key in ("Space", "ArrowRight", "ArrowRight", "ArrowDown", "Space"):
        page.keyboard.press(key)
    assert canvas.evaluate("c => c.toDataURL()") != before
    expect(page.locator("#touch .touch-said")).to_contain_text("ms on the server", timeout=WAIT)
    page.locator("#touch .touch-undo").click()
    assert canvas.evaluate("c => c.toDataURL()") == before
    page.locator("#touch .touch-marked").click()
    page.wait_for_function("b => document.querySelector('#touch canvas').toDataURL() !== b", arg=before)
    expect(page.locator("#touch")).to_contain_text("What this is not")


def test_the_map_is_tested_beside_the_map(page: Page, tmp_path: Path) -> None:
    answered(page, tmp_path, 7)
    open_panel(page, "Where it looks")
    expect(page.locator("#faithfulness svg")).to_have_count(2, timeout=WAIT)
    expect(page.locator("#faithfulness")).to_contain_text("in random order")


def test_a_picture_is_made_while_the_visitor_watches(page: Page, tmp_path: Path) -> None:
    answered(page, tmp_path, 8)
    open_panel(page, "What it looks for")
    said = "No pictures of block 1 of test-net are shipped"
    expect(page.locator("#features")).to_contain_text(said, timeout=WAIT)
    page.locator("#feature-channel input").fill("3")
    page.locator("#feature-make").click()
    live = page.locator("#feature-live figcaption")
    expect(live).to_contain_text("channel 3", timeout=WAIT)
    expect(live).to_contain_text("step 64 of 64", timeout=WAIT)
    expect(live).to_contain_text("A picture that excites, not a meaning.")
    picture = page.locator("#feature-live img")
    assert picture.evaluate(LOADED_WIDTH) == 112


def test_a_study_can_be_stopped_and_begun_again(page: Page, tmp_path: Path) -> None:
    answered(page, tmp_path, 9)
    open_panel(page, "Pixels")
    stop = page.locator("#tab-pixels .study-stop, [id*=pixels] .study-stop, .study-stop").locator(
        "visible=true"
    )
    expect(stop.first).to_be_visible(timeout=WAIT)
    stop.first.click()
    expect(page.locator("#pixels")).to_contain_text("Stopped. Open the panel again to go on.", timeout=WAIT)
    open_panel(page, "Attack")
    open_panel(page, "Pixels")
    expect(page.locator("#pixels .attributions section")).to_have_count(3, timeout=WAIT)
