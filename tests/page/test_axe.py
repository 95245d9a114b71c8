"""For everyone: axe-core finds nothing to object to, in any panel, theme, language or width.

In the suite every panel is looked at once in each theme, and the languages and widths take turns, so that
every pair of theme, language and width occurs. All of them: ``pytest -m soak tests/page/test_axe.py``.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import pytest
from test_browser import WAIT, Browser, browser, expect  # noqa: F401 - a fixture
from two_networks import copied_beside, served

from resnet_demo.i18n import languages, tag_of
from resnet_demo.networks.cards import WEIGHTS
from resnet_demo.panels import load_panels

axe_core = pytest.importorskip("axe_playwright_python.sync_playwright")
from playwright.sync_api import Page  # noqa: E402

WIDTHS = (390, 768, 1280, 1920, 2560)
THEMES = ("light", "dark")
PANELS = tuple(panel.id for panel in load_panels())
# what the network of a panel takes; the others are about a photo
GIVEN = {"sound": "network=sounds&sound=chord", "text": "network=languages&text=da"}
A_PHOTO = "example=a+drawn+cat"
FILLED = {
    "off": "#lesions .knocks",
    "gradients": "#gradients svg",
    "sound": "#heard img.heard-picture",
    "text": "#text-strips .letters",
}
Visit = tuple[str, str, int]  # theme, language, width
CROSSED: tuple[Visit, ...] = tuple(
    (THEMES[(i + j) % 2], language, width)
    for i, language in enumerate(languages())
    for j, width in enumerate(WIDTHS)
)


def panels_of(visit: Visit) -> Sequence[str]:
    """The panels that are looked at in a visit of the suite; those of one theme share them out."""
    alike = [other for other in CROSSED if other[0] == visit[0]]
    return PANELS[alike.index(visit) :: len(alike)]


@pytest.fixture(scope="module")
def everything(weights_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app with a network that sees, one that listens and one that reads; its address."""
    folder = copied_beside(weights_dir, "sounds", tmp_path_factory.mktemp("networks"))
    for path in WEIGHTS.glob("languages-*"):
        shutil.copy(path, folder / path.name)
    with served(folder, tmp_path_factory.mktemp("gradio")) as address:
        yield address


def show(page: Page, panel: str) -> None:
    page.evaluate("id => document.querySelector(`#panels [data-tab-id='${id}']`).click()", panel)
    page.locator(f"#tab-{panel}").wait_for()
    if panel in FILLED:  # what is on its way is greyed out
        page.locator(FILLED[panel]).first.wait_for(timeout=WAIT)
    page.wait_for_timeout(700)


def faults(page: Page, panel: str) -> list[tuple[str, str, list[str]]]:
    """What axe objects to while the panel is open."""
    found = axe_core.Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        (panel, f"{fault['id']} ({fault['impact']})", [node["html"][:160] for node in fault["nodes"]])
        for fault in found
    ]


def look(
    browser: Browser,  # noqa: F811
    address: str,
    visit: Visit,
    panels: Sequence[str],
) -> list[tuple[str, str, list[str]]]:
    """What axe objects to in these panels."""
    theme, language, width = visit
    context = browser.new_context(
        viewport={"width": width, "height": 800}, reduced_motion="reduce", locale=tag_of(language)
    )
    page = context.new_page()
    found = []
    opened = ""
    for panel in sorted(panels, key=lambda panel: GIVEN.get(panel, "")):
        given = GIVEN.get(panel, A_PHOTO)
        if given != opened:
            page.goto(f"{address}/?__theme={theme}&{given}")
            page.locator("#roadmap button.cell").first.wait_for(timeout=WAIT)
            page.wait_for_timeout(500)
            assert page.locator("html").get_attribute("lang") == tag_of(language)
            assert page.evaluate("() => document.body.classList.contains('dark')") == (theme == "dark")
            opened = given
        show(page, panel)
        found += faults(page, panel)
    context.close()
    return found


def test_every_panel_is_looked_at_in_both_themes_and_every_pair_occurs() -> None:
    looked = {(visit[0], panel) for visit in CROSSED for panel in panels_of(visit)}
    assert looked == set(product(THEMES, PANELS))
    assert {visit[1:] for visit in CROSSED} == set(product(languages(), WIDTHS))
    assert {visit[:2] for visit in CROSSED} == set(product(THEMES, languages()))
    assert {(visit[0], visit[2]) for visit in CROSSED} == set(product(THEMES, WIDTHS))


@pytest.mark.parametrize("visit", CROSSED, ids=lambda visit: "-".join(map(str, visit)))
def test_axe_finds_nothing(browser: Browser, everything: str, visit: Visit) -> None:  # noqa: F811
    assert look(browser, everything, visit, panels_of(visit)) == []


@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_nothing_in_the_story(browser: Browser, everything: str, theme: str) -> None:  # noqa: F811
    page = browser.new_page(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    page.goto(f"{everything}/?__theme={theme}&story=1")
    expect(page.locator(".story")).to_be_visible(timeout=WAIT)
    page.wait_for_timeout(1500)
    found = faults(page, "story")
    page.close()
    assert found == []


@pytest.mark.soak
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_nothing_anywhere(
    browser: Browser,  # noqa: F811
    everything: str,
    theme: str,
    language: str,
    width: int,
) -> None:
    assert look(browser, everything, (theme, language, width), PANELS) == []
