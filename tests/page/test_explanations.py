"""The panels that explain an answer, in a real browser."""

# ruff: noqa: F811 - fixtures are arguments of the name under which they are imported

from __future__ import annotations

from pathlib import Path

import pytest
from test_browser import WAIT, browser, page, photo_file, upload  # noqa: F401
from visitor import open_panel

playwright = pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Page, expect  # noqa: E402


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
    assert picture.evaluate("img => img.complete && img.naturalWidth") == 45  # 180 pixels, by fours
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
        assert picture.evaluate("img => img.complete && img.naturalWidth") == 180
    expect(page.locator("#attack .attack-table tbody tr")).to_have_count(6)
    expect(page.locator("#attack polyline.ink").first).to_be_attached()
    page.locator("#epsilon input[type=number]").fill("16")
    page.locator("#epsilon input[type=number]").press("Enter")
    page.locator("#epsilon input[type=number]").blur()
    expect(said).to_contain_text("at most 16/255", timeout=WAIT)
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
        assert picture.evaluate("img => img.complete && img.naturalWidth") == 45
    expect(page.locator("#pixels")).to_contain_text("What these are not")
