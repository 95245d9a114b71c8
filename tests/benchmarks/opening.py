"""What somebody sees who waits while the page starts: Chromium, from the command to a running example."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from resnet_demo.tools.app_process import Server, free_port

if TYPE_CHECKING:
    from playwright.sync_api import Page

MEANING = {
    "first_paint_s": "python app.py until a browser that waited for it has painted something",
    "first_example_s": "python app.py until the maps of all blocks of the running example are on the screen",
}
SHOWN = """() => {
  const all = [...document.querySelectorAll('#roadmap button.cell img')];
  return all.length > 0 && all.every((image) => image.complete && image.naturalWidth);
}"""
PAINTED = """() => {
  const first = performance.getEntriesByName('first-contentful-paint')[0];
  return first ? performance.timeOrigin + first.startTime : 0;
}"""


def opened(page: Page, server: Server) -> dict[str, float]:
    """Seconds since ``server`` was started, of a browser that comes as soon as the page is served."""
    started = time.time() - (time.perf_counter() - server.started)
    page.goto(server.url, wait_until="commit")
    page.wait_for_function(SHOWN, polling=20, timeout=60_000)
    shown = time.time()
    return {
        "first_paint_s": page.evaluate(PAINTED) / 1e3 - started,
        "first_example_s": shown - started,
    }


def figures() -> dict[str, float]:
    """One cold start. Empty where there is no playwright or no browser."""
    try:
        from playwright.sync_api import Error, sync_playwright

        from resnet_demo.tools.walkthrough import FLAGS, browser_path
    except ImportError:
        return {}
    with sync_playwright() as p:
        try:
            browser = p.chromium.launch(executable_path=browser_path(), args=list(FLAGS))
        except Error:
            return {}
        page = browser.new_page()  # before the clock starts
        server = Server(free_port())
        try:
            return opened(page, server)
        finally:
            browser.close()
            server.close()
