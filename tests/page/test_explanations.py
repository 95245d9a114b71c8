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
