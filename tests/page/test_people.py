"""For everyone: axe-core finds nothing serious, the keyboard reaches everything, nothing scrolls sideways."""

from __future__ import annotations

import pytest
from test_browser import WAIT, Browser, browser, expect, photo_file, upload  # noqa: F401 - a fixture

from resnet_demo.panels import load_panels

axe_core = pytest.importorskip("axe_playwright_python.sync_playwright")

# no network of the tests listens or reads, so these two are not on the page
PANELS = [panel.id for panel in load_panels() if panel.id not in ("sound", "text")]
FILLED = {"off": "#lesions .knocks", "gradients": "#gradients svg"}


def opened(browser: Browser, server: str, width: int = 1280, theme: str = "light"):  # noqa: F811
    context = browser.new_context(viewport={"width": width, "height": 800}, reduced_motion="reduce")
    page = context.new_page()
    page.goto(f"{server}?__theme={theme}&example=a+drawn+cat")
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    page.wait_for_timeout(500)
    return page


def show(page, panel: str) -> None:
    page.evaluate(
        "id => document.querySelector(`#panels [data-tab-id='${id}']`).click()",
        panel,
    )
    page.locator(f"#tab-{panel}").wait_for()
    if panel in FILLED:  # what is on its way is greyed out
        page.locator(FILLED[panel]).wait_for(timeout=WAIT)
    page.wait_for_timeout(700)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Browser, server: str, theme: str) -> None:  # noqa: F811
    page = opened(browser, server, theme=theme)
    assert page.evaluate("() => document.body.classList.contains('dark')") == (theme == "dark")
    found = []
    for panel in PANELS:
        show(page, panel)
        for fault in axe_core.Axe().run(page).response["violations"]:
            if fault["impact"] in ("serious", "critical"):
                found.append((panel, fault["id"], [node["html"][:120] for node in fault["nodes"]]))
    page.context.close()
    assert not found


@pytest.mark.parametrize("width", [390, 768, 1024, 1280, 1920, 2560])
def test_nothing_scrolls_sideways(browser: Browser, server: str, width: int) -> None:  # noqa: F811
    page = opened(browser, server, width)
    for panel in PANELS:
        show(page, panel)
        wide = page.evaluate("() => document.scrollingElement.scrollWidth - window.innerWidth")
        assert wide <= 0, panel
    page.context.close()


def test_the_keyboard_reaches_everything_and_shows_where_it_is(browser: Browser, server: str) -> None:  # noqa: F811
    page = opened(browser, server)
    page.locator("#theme").focus()
    reached: dict[str, bool] = {}
    for _ in range(60):
        page.keyboard.press("Tab")
        where, visible = page.evaluate(
            """() => {
              const at = document.activeElement, label = at.closest('label') || at;
              const style = getComputedStyle;
              const ring = (e) => style(e).outlineStyle !== 'none' && parseFloat(style(e).outlineWidth) >= 2;
              return [at.closest('[id]')?.id ?? at.tagName, ring(at) || ring(label)];
            }"""
        )
        reached[where] = visible
    for part in ("example-lion", "block-1", "block-5", "tab-inside-button", "channels", "order"):
        assert part in reached
        assert reached[part]
    page.locator("#block-4").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".inside h3")).to_contain_text("Block 4")
    page.context.close()


def test_the_skip_link_takes_the_keyboard_to_the_panels(browser: Browser, server: str) -> None:  # noqa: F811
    page = opened(browser, server)
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#chapter-look")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#chapter-cut")).to_be_focused()
    expect(page.locator(".strip")).to_be_visible()  # cause and effect on one screen, as with a click
    page.keyboard.press("Tab")
    expect(page.locator("#tab-off-button")).to_be_focused()
    page.context.close()


def test_pictures_say_what_they_show_and_the_answer_is_announced(browser: Browser, server: str) -> None:  # noqa: F811
    page = opened(browser, server)
    for panel in PANELS:
        show(page, panel)
        mute = (
            page.locator("img:not([alt])").count() + page.locator("svg[role=img]:not([aria-label])").count()
        )
        assert mute == 0, panel
    live = page.locator("#answer [aria-live], #answer[aria-live], #answer [role=status]")
    assert live.count() > 0
    page.context.close()
