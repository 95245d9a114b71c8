"""What a visitor does in a browser, for the tests of the page."""

from __future__ import annotations

from typing import Any

# of pictures, once they have come; one that never does is an error
LOADED_WIDTH = "async (img) => { await img.decode(); return img.naturalWidth }"
LOADED_WIDTHS = f"(all) => Promise.all(all.map({LOADED_WIDTH}))"
LOADED_SIZE = "async (img) => { await img.decode(); return [img.naturalWidth, img.naturalHeight] }"


def panel_names(page: Any) -> list[str]:
    """The names of all panels on offer, in the order of the page, whatever chapter is open."""
    found: list[str] = page.evaluate(
        "() => [...document.querySelectorAll('#panels [role=tab]')].map(tab => tab.textContent.trim())"
    )
    return found


def open_panel(page: Any, name: str) -> None:
    """Open the panel called ``name`` as people do: its chapter, and then the panel in it."""
    tab = page.locator("#panels [role=tab]").filter(has_text=name).first
    tab.wait_for(state="attached")
    panel = tab.get_attribute("data-tab-id")
    chapter = page.evaluate("panel => window.chapters[panel]", panel)
    page.locator(f"#chapter-{chapter}").click()
    if tab.get_attribute("aria-selected") != "true":
        tab.click()
