"""What belongs together is lit together, and one colour means one thing."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_browser import WAIT, Page, browser, expect, page, with_photo  # noqa: F401 - fixtures
from visitor import open_panel

LIT = "parts => parts.map(part => getComputedStyle(part).outlineStyle === 'solid')"
COLOUR = "part => getComputedStyle(part)[arguments[1]]"


def lit(page: Page, selector: str) -> list[bool]:  # noqa: F811
    found: list[bool] = page.locator(selector).evaluate_all(LIT)
    assert found, selector
    return found


def test_a_block_that_is_pointed_at_is_lit_everywhere(page: Page, tmp_path: Path) -> None:  # noqa: F811
    with_photo(page, tmp_path, 61)
    for panel, parts in (
        ("Switch it off", ("#gates fieldset", "#lesions .knock.branch .class-row")),
        ("Where it decides", ("#decides .read:not(.whole)",)),
        ("Layer by layer", ("table.trace tr[data-block]",)),
    ):
        open_panel(page, panel)
        page.locator(parts[0]).first.wait_for(timeout=WAIT)
        page.wait_for_timeout(500)
        page.locator(".strip-block[data-block='2']").hover()
        for part in (*parts, ".strip-block", "#roadmap .cell"):
            assert lit(page, part) == [i == 2 for i in range(5)], part
        page.locator(parts[0]).nth(3).hover()  # and back
        assert lit(page, ".strip-block") == [i == 3 for i in range(5)]
        page.mouse.move(640, 798)
        page.locator("#title").evaluate("e => e.dispatchEvent(new Event('pointerover', { bubbles: true }))")
        assert not any(lit(page, ".strip-block"))


def test_the_keyboard_lights_a_block_and_its_point_on_a_curve(page: Page, tmp_path: Path) -> None:  # noqa: F811
    with_photo(page, tmp_path, 62)
    open_panel(page, "The gradient's way")
    page.locator("#gradients .chart").wait_for(timeout=WAIT)
    page.locator(".strip-block[data-block='3']").focus()
    shown = page.locator("#gradients circle").evaluate_all(
        "all => all.filter(c => getComputedStyle(c).opacity === '1').map(c => c.dataset.block)"
    )
    assert shown == ["3", "3"]  # with shortcuts, and without


def test_a_bar_of_a_channel_shows_its_map(page: Page, tmp_path: Path) -> None:  # noqa: F811
    with_photo(page, tmp_path, 63)
    open_panel(page, "Where it looks")
    bars, figure = page.locator("#looks button.share"), page.locator("#looks .channel-map")
    expect(bars).to_have_count(10)
    seen = set()
    for number in (0, 3, 7):
        bars.nth(number).hover()
        name = bars.nth(number).locator("span").first.inner_text().strip()
        expect(figure.locator("b")).to_have_text(name)
        expect(bars.nth(number)).to_have_attribute("aria-pressed", "true")
        page.wait_for_function("() => document.querySelector('#looks .channel-map img').naturalWidth === 6")
        seen.add(figure.locator("img").get_attribute("src"))
    assert len(seen) == 3
    bars.nth(1).focus()
    expect(bars.nth(1)).to_have_attribute("aria-pressed", "true")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_one_colour_means_one_thing(page: Page, tmp_path: Path, theme: str) -> None:  # noqa: F811
    page.evaluate("dark => document.body.classList.toggle('dark', dark)", theme == "dark")
    with_photo(page, tmp_path, 64)

    def colour(selector: str, property_: str) -> str:
        found = page.locator(selector).first.evaluate(
            "(part, property) => getComputedStyle(part)[property]", property_
        )
        return str(found)

    open_panel(page, "Switch it off")
    page.locator("#lesions .knock").first.wait_for(timeout=WAIT)
    branch, road = colour("#roadmap path.branch", "stroke"), colour("#roadmap path.road", "stroke")
    assert colour("#lesions .knock.branch .bar i", "backgroundColor") == branch
    assert colour("#gates .branch", "accentColor") == branch
    assert colour("#lesions .knock.short .bar i", "backgroundColor") == road
    assert colour("#gates .short", "accentColor") == road
    first, second = (
        page.locator("#answer .class-row .bar i").nth(i).evaluate("e => getComputedStyle(e).backgroundColor")
        for i in (0, 1)
    )
    assert len({branch, road, first, second}) == 4  # the classes have a pair of their own
    assert colour("#comparison .class-row:last-child .bar i", "backgroundColor") == first
    assert colour(".strip-bar i", "backgroundColor") == first
    page.locator("#chapter-cut").focus()
    page.keyboard.press("ArrowRight")
    interface = {
        colour("#panels [role=tab].selected", "color"),
        colour("#chapters [role=tab]:focus", "outlineColor"),
    }
    assert not interface & {branch, road, first, second}
    open_panel(page, "The gradient's way")
    page.locator("#gradients .chart").wait_for(timeout=WAIT)
    without = colour("#gradients polyline.without", "stroke")
    assert without not in {branch, road, first, second, colour("#gradients polyline.with", "stroke")}
