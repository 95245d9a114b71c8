"""A lesson as numbered pictures with captions: ``python -m resnet_demo walkthrough``.

Starts the app, drives Chromium through the steps of a YAML file and writes PNGs and a Markdown page. The
same steps give the same pictures: the window has a fixed size, nothing moves, and milliseconds are hidden.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Error, Page, expect, sync_playwright
from tqdm import tqdm

from resnet_demo.lesson import SHIPPED, LessonError, Step, read_lesson
from resnet_demo.tools.app_process import IS_CHECKOUT, ROOT, Server, free_port

OUT = ROOT / "docs" / "walkthrough" if IS_CHECKOUT else Path("walkthrough")
WIDTH, HEIGHT = 1280, 800
WAIT_MS = 60_000
QUIET = (  # a browser that asks nothing of the network or of a screen
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
FLAGS = (
    *QUIET,
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
    # a scaled picture is otherwise painted twice, first roughly, and a screenshot may meet either
    "--disable-checker-imaging",
    "--disable-partial-raster",
    "--disable-low-res-tiling",
    "--disable-gpu-rasterization",
    "--num-raster-threads=1",
)
INSTALLED = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MACS = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
STRIP = 200  # pixels at the top that a part may be scrolled below: strip and tabs
NO_STRIP = ".strip { visibility: hidden !important; }"
STILL = """
*, *::before, *::after {
  animation: none !important; transition: none !important; caret-color: transparent !important;
}
.clock { visibility: hidden; }
.examples img, .face { image-rendering: pixelated; }
"""


class WalkthroughError(RuntimeError):
    """A walkthrough cannot be made; the message names the step and what was wrong."""


def browser_path() -> str | None:
    """An installed Chrome or Chromium; None for Playwright's own."""
    return next(filter(None, map(shutil.which, INSTALLED)), MACS if os.path.exists(MACS) else None)


def act(page: Page, url: str, action: str, wanted: Any) -> None:
    """Do one thing that a visitor would.

    Raises:
        playwright.sync_api.Error, AssertionError: the page has no such element, or it never says so.
    """
    if action == "click":
        page.locator(wanted).first.click()
    elif action == "press":
        page.locator(wanted["at"]).first.press(wanted["key"])
    elif action == "upload":
        page.set_input_files("#photo input[type=file]", wanted)
    elif action == "open":
        page.goto(url + wanted)
        settle(page)
    elif isinstance(wanted, str):
        page.locator(wanted).first.wait_for()
    else:
        expect(page.locator(wanted["for"]).first).to_contain_text(wanted["text"], timeout=WAIT_MS)


def settle(page: Page) -> None:
    """Wait until the page can be used and nothing on it is under way."""
    page.wait_for_function("() => document.querySelector('#photo input[type=file]') && window.gradio_config")
    page.add_style_tag(content=STILL)
    page.wait_for_timeout(700)
    page.wait_for_function(
        """() => [...document.images].every(i => i.complete)
        && ![...document.querySelectorAll('[data-testid=status-tracker]')]
          .some(t => /generating|pending/.test(t.className))"""
    )
    page.evaluate("() => document.fonts.ready")


def still(page: Page, show: str | None) -> bytes:
    """The picture (PNG) of what ``show`` selects, or of the screen: taken again until nothing changes."""
    if show:  # what lies below the screen is not painted
        box = page.locator(show).first.bounding_box()
        below = 0 if box is None else math.ceil(box["height"]) + STRIP - HEIGHT
        page.set_viewport_size({"width": WIDTH, "height": HEIGHT + max(0, below)})
    last = b""
    for _ in range(20):
        # the strip would lie across a part that is taller than the screen
        shot = page.locator(show).first.screenshot(style=NO_STRIP) if show else page.screenshot()
        if shot == last:
            break
        last = shot
        page.wait_for_timeout(400)
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    return last


def take(page: Page, url: str, steps: Sequence[Step], out: Path) -> list[str]:
    """Walk through ``steps`` and write one picture each; their file names.

    Raises:
        WalkthroughError: a step does not find what it names.
    """
    names = []
    page.goto(f"{url}/?example=none")
    settle(page)
    for number, step in enumerate(tqdm(steps, desc="pictures", disable=None), 1):
        words = "".join(c if c.isalnum() else " " for c in step.title.lower()).split()
        name = f"{number:02}-{'-'.join(words)}.png"
        try:
            for action, wanted in step.do:
                act(page, url, action, wanted)
            settle(page)
            page.mouse.move(1, 1)  # nothing is hovered over
            page.evaluate("() => { document.activeElement?.blur(); window.scrollTo(0, 0); }")
            (out / name).write_bytes(still(page, step.show))
        except (Error, AssertionError, LookupError, TypeError) as error:
            raise WalkthroughError(
                f"Step {number}, “{step.title}”, failed: {str(error).partition(chr(10))[0]}"
            ) from error
        names.append(name)
    return names


def markdown(title: str, steps: Sequence[Step], names: Sequence[str]) -> str:
    """The page that holds the pictures together."""
    parts = [f"# {title}", "Made by `python -m resnet_demo walkthrough`."]
    for number, (step, name) in enumerate(zip(steps, names, strict=True), 1):
        parts += [f"## {number}. {step.title}", f"![{step.title}]({name})", step.caption]
    return "\n\n".join(parts) + "\n"


def walk(steps_file: Path, out: Path, url: str) -> list[str]:
    """Make the walkthrough of the app at ``url`` in the folder ``out``; the names of its pictures.

    Raises:
        LessonError: the steps cannot be read.
        WalkthroughError: they cannot be followed.
    """
    lesson = read_lesson(steps_file)
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=browser_path(), args=list(FLAGS))
        try:
            context = browser.new_context(
                viewport={"width": WIDTH, "height": HEIGHT},
                reduced_motion="reduce",
                color_scheme="light",
                locale="en",
            )
            page = context.new_page()
            page.set_default_timeout(WAIT_MS)
            names = take(page, url, lesson.steps, out)
        finally:
            browser.close()
    (out / "README.md").write_text(markdown(lesson.title, lesson.steps, names), encoding="utf-8")
    return names


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m resnet_demo walkthrough", description=__doc__)
    parser.add_argument(
        "--steps", type=Path, default=SHIPPED, help="the lesson (default: the one that ships)"
    )
    parser.add_argument("--out", type=Path, default=OUT, help="folder (default: %(default)s)")
    parser.add_argument("--url", help="a running app, instead of starting one")
    args = parser.parse_args(argv)
    server = None
    try:
        read_lesson(args.steps)  # before anything is started
        server = None if args.url else Server(free_port())
        url = args.url.rstrip("/") if server is None else server.url
        names = walk(args.steps, args.out, url)
    except (WalkthroughError, LessonError, Error, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        if server:
            server.close()
    print(f"{len(names)} pictures and README.md in {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
