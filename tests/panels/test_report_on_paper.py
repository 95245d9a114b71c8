"""The report that visitors take home, printed: it has its pictures, and nothing lies beyond the paper."""

from __future__ import annotations

import pytest
from conftest import draw_photo
from test_browser import Browser, browser  # noqa: F401 - a fixture

from resnet_demo.drawing.streams import View
from resnet_demo.inference.engine import Engine
from resnet_demo.page.assets import style
from resnet_demo.panels.own.report import report_html

A4_WIDTH = round((297 - 2 * 12) / 25.4 * 96)  # pixels between the margins of the landscape page
BEYOND = """(width) => [...document.querySelectorAll('body *')]
  .filter((e) => e.getClientRects().length && e.getBoundingClientRect().right > width + 1)
  .map((e) => e.outerHTML.slice(0, 100))"""


@pytest.mark.parametrize(("network", "pages"), [("cats-and-dogs", 4), ("resnet-56", 5)])
def test_it_fits_its_pages(browser: Browser, network: str, pages: int) -> None:  # noqa: F811
    html = report_html(Engine().run(draw_photo(4), network), View(), style())
    page = browser.new_page(viewport={"width": A4_WIDTH, "height": 700})
    page.set_content(html)
    page.emulate_media(media="print")
    assert page.evaluate(BEYOND, A4_WIDTH) == []
    told = "(e) => getComputedStyle(e).printColorAdjust"
    assert page.locator(".tile").first.evaluate(told) == "exact"  # a tile is a background
    assert page.pdf(prefer_css_page_size=True).count(b"/Type /Page\n") == pages
    page.close()
