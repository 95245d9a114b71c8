"""A tab that was open while the server was started again: it comes back, and says in one sentence what is
gone."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from test_browser import WAIT, Browser, browser, expect, photo_file, upload  # noqa: F401 - a fixture

from resnet_demo.page.process import PREFIX
from resnet_demo.panels.page import RESTARTED
from resnet_demo.tools.app_process import Server, free_port

PAGE = (Path(__file__).resolve().parents[2] / "resnet_demo" / "page" / "page.js").read_text(encoding="utf-8")


def opened(browser: Browser, server: Server):  # noqa: F811
    page = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce").new_page()
    page.goto(f"{server.url}/?example=none")
    page.wait_for_function("() => document.querySelector('#photo input[type=file]') && window.gradio_config")
    page.wait_for_timeout(1000)
    return page


def kill(server: Server) -> None:
    server.process.send_signal(signal.SIGKILL)  # as when a machine goes to sleep: nothing is tidied
    server.process.wait(10)


def test_the_page_says_it_as_the_server_does() -> None:
    assert RESTARTED in PAGE


@pytest.mark.timeout(280)
def test_an_old_tab_says_what_to_do_and_takes_the_photo(
    browser: Browser,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    server = Server(free_port())
    try:
        page = opened(browser, server)
        old = opened(browser, server)
        for tab in (page, old):
            upload(tab, photo_file(tmp_path))
            expect(tab.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
        page.reload()  # the same server: nothing to say
        page.wait_for_function("() => document.querySelector('#photo input[type=file]')")
        page.wait_for_timeout(1500)
        expect(page.locator("#restart-note")).to_have_count(0)
        upload(page, photo_file(tmp_path))
        expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
        kill(server)
        assert len(list((tmp_path / "tmp").glob(PREFIX + "*"))) == 1  # it could not tidy up
        server = Server(int(server.url.rsplit(":", 1)[1]))
        assert len(list((tmp_path / "tmp").glob(PREFIX + "*"))) == 1  # the new one's own

        # Gradio's script finds a server that does not know the page, and loads it again; or it gets its
        # answer, which of the two depends on the order in which two of its requests arrive
        # the tab gives its own photo back after a reload, and sends it again where it was not loaded anew
        began = page.evaluate("performance.timeOrigin")
        page.locator("#block-3").click()
        page.wait_for_function(
            # while the page is loaded anew there is no body
            "([began, told]) => [told, 'it was sent again'].some((words) => "
            "document.body?.innerText.includes(words)) || (performance.timeOrigin !== began "
            "&& document.querySelectorAll('#roadmap button.cell').length === 5)",
            arg=[began, RESTARTED],
            timeout=WAIT,
        )
        before = old.locator("#seen-photo").get_attribute("src")
        upload(old, photo_file(tmp_path, 2))
        old.wait_for_function(
            "before => document.querySelector('#restart-note') || "
            "![null, undefined, before].includes(document.querySelector('#seen-photo')?.getAttribute('src'))",
            arg=before,
            timeout=WAIT,
        )
        for tab in (page, old):
            tab.wait_for_timeout(1500)  # an event before the page has come alive would be lost
            upload(tab, photo_file(tmp_path, 3))
            expect(tab.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
            tab.wait_for_timeout(1500)
            tab.locator("#block-2").click()
            expect(tab.locator(".inside h3")).to_contain_text("Block 2", timeout=WAIT)
            expect(tab.locator("#restart-note")).to_have_count(0)
            tab.context.close()
    finally:
        server.close()


@pytest.mark.timeout(280)
def test_a_click_while_the_server_is_away_says_so_and_the_page_comes_back(
    browser: Browser,  # noqa: F811
) -> None:
    server = Server(free_port())
    try:
        page = opened(browser, server)
        page.locator("[data-example]").first.click()
        expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
        page.locator("#block-3").click()
        expect(page.locator(".inside h3")).to_contain_text("Block 3", timeout=WAIT)
        page.wait_for_timeout(500)  # the address follows
        kill(server)
        page.locator("#block-2").click()
        expect(page.get_by_test_id("toast-body").first).to_contain_text("Connection", timeout=WAIT)
        server = Server(int(server.url.rsplit(":", 1)[1]))
        # the page is loaded again, and its address says what was on it
        expect(page.get_by_test_id("toast-body")).to_have_count(0, timeout=WAIT)
        expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
        expect(page.locator(".inside h3")).to_contain_text("Block", timeout=WAIT)
        expect(page.locator("#restart-note")).to_have_count(0)  # an example comes back by itself
        page.context.close()
    finally:
        server.close()
