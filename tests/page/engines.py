"""Browsers that are not Chromium, each behind the same few verbs: Debian's Firefox over WebDriver BiDi, and
WebKit, the engine of Safari, as WebKitGTK's MiniBrowser over WebDriver."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from glob import glob
from pathlib import Path
from typing import Any, Protocol

import pytest

SIZE = (1280, 800)


class Tab(Protocol):
    """What a visitor does, and what went wrong meanwhile."""

    def open(self, address: str) -> None: ...

    def js(self, body: str, *values: Any) -> Any:
        """What the function body ``body`` returns; ``values`` are its ``arguments``."""

    def click(self, selector: str, nth: int = 0) -> None: ...

    def press(self, selector: str, key: str) -> None:
        """``key``, as the DOM names it, in the element that ``selector`` finds."""

    def upload(self, selector: str, path: Path) -> None: ...

    def resize(self, width: int, height: int) -> None: ...

    def shot(self) -> bytes:
        """The screen, a PNG."""

    def errors(self) -> list[str]:
        """Errors of scripts since the last call."""


class FirefoxTab:
    def __init__(self, page: Any) -> None:
        self.page = page
        self.seen: list[str] = []
        page.on("pageerror", lambda error: self.seen.append(str(error)))

    def open(self, address: str) -> None:
        self.page.goto(address)

    def js(self, body: str, *values: Any) -> Any:
        return self.page.evaluate(f"values => (function () {{ {body} }})(...values)", list(values))

    def click(self, selector: str, nth: int = 0) -> None:
        self.page.locator(selector).nth(nth).click()

    def press(self, selector: str, key: str) -> None:
        self.page.locator(selector).first.press(key)

    def upload(self, selector: str, path: Path) -> None:
        self.page.set_input_files(selector, path)

    def resize(self, width: int, height: int) -> None:
        self.page.set_viewport_size({"width": width, "height": height})

    def shot(self) -> bytes:
        return bytes(self.page.screenshot())

    def errors(self) -> list[str]:
        found, self.seen = self.seen, []
        return found


class WebKitTab:
    def __init__(self, driver: Any, log: Path) -> None:
        self.driver, self.log, self.read = driver, log, 0

    def element(self, selector: str, nth: int = 0) -> Any:
        return self.driver.find_elements("css selector", selector)[nth]

    def open(self, address: str) -> None:
        self.driver.get(address)

    def js(self, body: str, *values: Any) -> Any:
        return self.driver.execute_script(body, *values)

    def click(self, selector: str, nth: int = 0) -> None:
        self.element(selector, nth).click()

    def press(self, selector: str, key: str) -> None:
        from selenium.webdriver.common.keys import Keys

        names = {"ArrowRight": Keys.ARROW_RIGHT, "Enter": Keys.ENTER, "Home": Keys.HOME}
        self.element(selector).send_keys(names[key])

    def upload(self, selector: str, path: Path) -> None:
        self.element(selector).send_keys(str(path))

    def resize(self, width: int, height: int) -> None:
        self.driver.set_window_size(width, height)
        inner = self.js("return [innerWidth, innerHeight]")  # the window has a bar of its own
        self.driver.set_window_size(2 * width - inner[0], 2 * height - inner[1])

    def shot(self) -> bytes:
        return bytes(self.driver.get_screenshot_as_png())

    def errors(self) -> list[str]:
        lines = self.log.read_text(errors="replace").splitlines()
        found = [line for line in lines[self.read :] if "JS ERROR" in line]
        self.read = len(lines)
        return found


@contextmanager
def firefox() -> Iterator[Tab]:
    playwright = pytest.importorskip("playwright.sync_api")
    path = shutil.which("firefox-esr") or shutil.which("firefox")
    if path is None:
        pytest.skip("Firefox is not installed (apt-get install firefox-esr)")
    with playwright.sync_playwright() as p:
        browser = p.firefox.launch(channel="moz-firefox", executable_path=path)
        width, height = SIZE
        context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
        yield FirefoxTab(context.new_page())
        browser.close()


@contextmanager
def screen() -> Iterator[str]:
    """The name of a display that nobody sees."""
    read, write = os.pipe()
    size = ["-screen", "0", "1600x1200x24"]
    command = ["Xvfb", "-displayfd", str(write), "-nolisten", "tcp", *size]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as said:
            yield f":{said.readline().strip()}"
    finally:
        server.terminate()
        server.wait(10)


@contextmanager
def webkit() -> Iterator[Tab]:
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    browsers = glob("/usr/lib/*/webkit2gtk-4.*/MiniBrowser")
    driver = shutil.which("WebKitWebDriver")
    if driver is None or not browsers or shutil.which("Xvfb") is None:
        pytest.skip("WebKit is not installed (apt-get install webkit2gtk-driver xvfb)")
    options = selenium.WebKitGTKOptions()
    options.binary_location = browsers[0]
    for argument in ("--automation", "--enable-write-console-messages-to-stdout=true"):
        options.add_argument(argument)
    with screen() as display, tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "webkit.log"
        quiet = {"DISPLAY": display, "LIBGL_ALWAYS_SOFTWARE": "1", "WEBKIT_DISABLE_DMABUF_RENDERER": "1"}
        service = selenium.WebKitGTKService(driver, log_output=str(log), env={**os.environ, **quiet})
        started = selenium.WebKitGTK(options=options, service=service)
        try:
            tab = WebKitTab(started, log)
            tab.resize(*SIZE)
            yield tab
        finally:
            started.quit()
