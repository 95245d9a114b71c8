"""Browsers that are not Chromium, each behind the same few verbs: Firefox over Marionette, and
WebKit, the engine of Safari, as WebKitGTK's MiniBrowser over WebDriver."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from glob import glob
from pathlib import Path
from typing import Any, Protocol

import pytest

SIZE = (1280, 800)
WAIT_S = 30.0
KEYS = {"ArrowRight": "\ue014", "Enter": "\ue007", "Home": "\ue011"}  # as WebDriver has them


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


def when_there(find: Callable[[], list[Any]], selector: str, nth: int) -> Any:
    """The element ``nth`` of those that ``find`` finds, as soon as there are so many."""
    for _ in range(int(WAIT_S / 0.1)):
        found = find()
        if len(found) > nth:
            return found[nth]
        time.sleep(0.1)
    raise AssertionError(f"it never came: {selector} {nth}")


class FirefoxTab:
    """Over Marionette, what Firefox's own WebDriver speaks: ``length:[0, number, command, parameters]``."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.stream = self.socket.makefile("rb")
        self.number = 0
        self._hear()  # it says hello
        self.do("WebDriver:NewSession", strictFileInteractability=False)

    def _hear(self) -> Any:
        digits = b""
        while (byte := self.stream.read(1)) != b":":
            digits += byte
        return json.loads(self.stream.read(int(digits)))

    def do(self, command: str, **parameters: Any) -> Any:
        self.number += 1
        said = json.dumps([0, self.number, command, parameters]).encode()
        self.socket.sendall(b"%d:%s" % (len(said), said))
        _, _, error, result = self._hear()
        if error:
            raise RuntimeError(f"{command}: {error['error']}: {error['message']}")
        return result["value"] if isinstance(result, dict) and "value" in result else result

    def element(self, selector: str, nth: int = 0) -> str:
        asked = {"using": "css selector", "value": selector}
        found = when_there(lambda: self.do("WebDriver:FindElements", **asked), selector, nth)
        return str(next(iter(found.values())))

    def open(self, address: str) -> None:
        self.do("WebDriver:Navigate", url=address)

    def js(self, body: str, *values: Any) -> Any:
        return self.do("WebDriver:ExecuteScript", script=body, args=list(values))

    def click(self, selector: str, nth: int = 0) -> None:
        self.do("WebDriver:ElementClick", id=self.element(selector, nth))

    def press(self, selector: str, key: str) -> None:
        self.do("WebDriver:ElementSendKeys", id=self.element(selector), text=KEYS[key])

    def upload(self, selector: str, path: Path) -> None:
        self.do("WebDriver:ElementSendKeys", id=self.element(selector), text=str(path))

    def resize(self, width: int, height: int) -> None:
        self.do("WebDriver:SetWindowRect", width=width, height=height)
        inner = self.js("return [innerWidth, innerHeight]")  # the window has bars of its own
        self.do("WebDriver:SetWindowRect", width=2 * width - inner[0], height=2 * height - inner[1])
        self.chrome(
            "gBrowser.selectedBrowser.style.maxWidth = `${arguments[0]}px`", width
        )  # windows end at 500

    def shot(self) -> bytes:
        return base64.b64decode(self.do("WebDriver:TakeScreenshot", full=False))

    def errors(self) -> list[str]:
        found: list[str] = self.chrome(
            """const all = Services.console.getMessageArray().filter(
                 (m) => m instanceof Ci.nsIScriptError && m.category.startsWith('content javascript') &&
                   !(m.flags & Ci.nsIScriptError.warningFlag));
               Services.console.reset();
               return all.map((m) => `${m.errorMessage} (${m.sourceName}:${m.lineNumber})`);"""
        )
        return found

    def chrome(self, body: str, *values: Any) -> Any:
        """What ``body`` returns where the browser itself is written."""
        self.do("Marionette:SetContext", value="chrome")
        try:
            return self.js(body, *values)
        finally:
            self.do("Marionette:SetContext", value="content")


LISTEN = """window.wrong = [];
addEventListener('error', (event) => event.message && wrong.push(event.message));
addEventListener('unhandledrejection', ({ reason }) => wrong.push(String(reason)));"""


class WebKitTab:
    """Over WebDriver. A command that falls between two pages is never answered: ``open`` returns when the
    page has loaded, and errors are heard from then on."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def element(self, selector: str, nth: int = 0) -> Any:
        return when_there(lambda: self.driver.find_elements("css selector", selector), selector, nth)

    def open(self, address: str) -> None:
        self.driver.get(address)
        self.js(LISTEN)

    def js(self, body: str, *values: Any) -> Any:
        return self.driver.execute_script(body, *values)

    def click(self, selector: str, nth: int = 0) -> None:
        self.element(selector, nth).click()

    def press(self, selector: str, key: str) -> None:
        self.element(selector).send_keys(KEYS[key])

    def upload(self, selector: str, path: Path) -> None:
        self.element(selector).send_keys(str(path))

    def resize(self, width: int, height: int) -> None:
        self.driver.set_window_size(width, height)
        inner = self.js("return [innerWidth, innerHeight]")  # the window has a bar of its own
        self.driver.set_window_size(2 * width - inner[0], 2 * height - inner[1])

    def shot(self) -> bytes:
        return bytes(self.driver.get_screenshot_as_png())

    def errors(self) -> list[str]:
        found: list[str] = self.js("const found = window.wrong ?? []; window.wrong = []; return found")
        return found


@contextmanager
def firefox() -> Iterator[Tab]:
    path = shutil.which("firefox-esr") or shutil.which("firefox")
    if path is None:
        pytest.skip("Firefox is not installed (apt-get install firefox-esr)")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        preferences = {"marionette.port": 0, "ui.prefersReducedMotion": 1, "network.proxy.type": 0}
        Path(folder, "user.js").write_text(
            "".join(f'user_pref("{name}", {value});\n' for name, value in preferences.items())
        )
        command = [
            path,
            "--headless",
            "--marionette",
            "-remote-allow-system-access",
            "--no-remote",
            "--profile",
            folder,
            "about:blank",
        ]
        started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            said = Path(folder, "MarionetteActivePort")
            for _ in range(300):
                if said.exists() and said.read_text():
                    break
                time.sleep(0.1)
            tab = FirefoxTab(int(said.read_text()))
            tab.resize(*SIZE)
            yield tab
        finally:
            started.terminate()
            started.wait(20)


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
    options.add_argument("--automation")
    options.page_load_strategy = "normal"
    with screen() as display:
        quiet = {"DISPLAY": display, "LIBGL_ALWAYS_SOFTWARE": "1", "WEBKIT_DISABLE_DMABUF_RENDERER": "1"}
        service = selenium.WebKitGTKService(driver, env={**os.environ, **quiet})
        started = selenium.WebKitGTK(options=options, service=service)
        started.command_executor.client_config.timeout = 2 * WAIT_S  # no answer is an error, not an hour
        try:
            tab = WebKitTab(started)
            tab.resize(*SIZE)
            yield tab
        finally:
            started.quit()
