"""The page in a real browser, as a visitor uses it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import KNOWS, draw_photo

playwright = pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Browser, Page, expect  # noqa: E402

from resnet_demo.engine import Engine  # noqa: E402

WAIT = 30_000  # milliseconds; generous, for machines that are busy
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]
INSTALLED = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MACS = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """An installed Chrome or Chromium, else Playwright's own."""
    path = next(filter(None, map(shutil.which, INSTALLED)), MACS if os.path.exists(MACS) else None)
    if path is None:  # Playwright's own, fetched once
        fetched = subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)
        if fetched.returncode:
            pytest.skip("no Chrome or Chromium is installed, and Playwright could not fetch one")
    with playwright.sync_playwright() as p:
        started = p.chromium.launch(executable_path=path, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for every time the network ran."""
    seen: list[str] = []
    run = Engine.run

    def counted(self, photo, network=None, gates=()):
        seen.append("run")
        return run(self, photo, network, gates)

    monkeypatch.setattr(Engine, "run", counted)
    return seen


@pytest.fixture
def page(browser: Browser, server: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    context.grant_permissions(["camera"])
    outside: list[str] = []
    errors: list[str] = []
    context.on(
        "request",
        lambda r: outside.append(r.url) if not r.url.startswith((server, "data:", "blob:")) else None,
    )
    tab = context.new_page()
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto(server)
    # an event before the page has come alive would be lost
    tab.wait_for_function("() => document.querySelector('#photo input[type=file]') && window.gradio_config")
    tab.wait_for_timeout(1000)
    yield tab
    context.close()
    assert outside == []  # nothing is fetched from elsewhere
    assert errors == []


def upload(page: Page, path: Path) -> None:
    page.set_input_files("#photo input[type=file]", path)


def photo_file(folder: Path, seed: int = 1) -> Path:
    path = folder / f"photo{seed}.jpg"
    draw_photo(seed).save(path, quality=92)
    return path


def tile_channels(page: Page, stream: str) -> list[str]:
    return page.locator(f".stream[data-stream={stream}] .tile").evaluate_all(
        "tiles => tiles.map(t => t.dataset.channel)"
    )


def test_the_empty_page_invites_and_says_what_the_network_knows(page: Page) -> None:
    expect(page.locator("#answer")).to_contain_text("Drop a photo")
    expect(page.locator("#answer")).to_contain_text(KNOWS)
    expect(page.locator("#roadmap .cell")).to_have_count(5)
    assert page.title() == "ResNet, block by block"


def test_an_uploaded_photo_runs_at_once_and_all_is_on_the_first_screen(page: Page, tmp_path: Path) -> None:
    upload(page, photo_file(tmp_path))
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    expect(page.locator("#answer .percent").first).to_contain_text("%")
    expect(page.locator("#answer")).to_contain_text(KNOWS)
    expect(page.locator("#status")).to_contain_text("on CPU")
    expect(page.locator("#status")).to_contain_text("ms")
    shapes = ["32×90×90", "64×45×45", "128×23×23", "256×12×12", "512×6×6"]
    for i, shape in enumerate(shapes):
        cell = page.locator(f"#block-{i + 1}")
        expect(cell).to_contain_text(f"block {i + 1}")
        expect(cell).to_contain_text(shape)
        assert cell.locator("img").evaluate("img => img.complete && img.naturalWidth") > 0
        box = cell.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= 800  # nothing scrolled
        assert box["x"] + box["width"] <= 1280
    assert page.locator("#seen-photo").evaluate("img => [img.naturalWidth, img.naturalHeight]") == [180, 180]
    widths = page.locator("#block-1 .wide path.branch").get_attribute("stroke-width")
    assert widths is not None
    assert 1.5 <= float(widths) <= 15


def test_block_order_scale_and_channel_change_without_a_second_run(
    page: Page, tmp_path: Path, runs: list[str]
) -> None:
    upload(page, photo_file(tmp_path, 2))
    expect(page.locator(".inside h3")).to_contain_text("Block 1", timeout=WAIT)
    assert runs == ["run"]

    page.locator("#block-3").click()
    expect(page.locator(".inside h3")).to_contain_text("Block 3")
    expect(page.locator(".inside h3")).to_contain_text("16 of 128 channels, each 23×23")
    expect(page.locator("#block-3")).to_have_attribute("aria-pressed", "true")
    streams = ("residual", "shortcut", "pre_activation", "output")
    by_mean = tile_channels(page, "output")
    assert all(tile_channels(page, stream) == by_mean for stream in streams)

    page.locator("#order").get_by_text("index").click()
    expect(page.locator(".stream[data-stream=output] .tile").nth(5)).to_have_attribute("data-channel", "5")
    assert tile_channels(page, "residual") == [str(i) for i in range(16)] != by_mean

    page.locator("#channels").get_by_text("64").click()
    expect(page.locator(".stream[data-stream=output] .tile")).to_have_count(64)

    legend = page.locator(".stream[data-stream=residual] .legend")
    assert "−" in legend.inner_text()
    assert any(digit in legend.inner_text() for digit in "123456789")
    page.locator("#more").get_by_text("More").click()
    page.locator("#scope").get_by_text("each channel").click()
    expect(legend).to_contain_text("max")
    before = page.locator(".stream[data-stream=output]").get_attribute("style")
    page.locator("#colours").get_by_text("magma").click()
    expect(page.locator(".stream[data-stream=output]")).not_to_have_attribute("style", before or "")

    page.locator(".stream[data-stream=shortcut] .tile[data-channel='7']").click()
    for stream in streams:  # the same channel is found, enlarged and described in all four
        expect(page.locator(f".stream[data-stream={stream}] .tile.lit")).to_have_attribute(
            "data-channel", "7"
        )
        expect(page.locator(f".stream[data-stream={stream}] .large p")).to_contain_text("channel 7")
    large = page.locator(".stream[data-stream=shortcut] .large")
    assert large.locator("i").bounding_box()["width"] >= 200  # type: ignore[index]
    expect(large).to_contain_text("mean")
    assert runs == ["run"]


def test_the_grid_is_walked_with_the_arrow_keys(page: Page, tmp_path: Path) -> None:
    upload(page, photo_file(tmp_path, 3))
    first = page.locator(".stream[data-stream=residual] .tile").first
    expect(first).to_be_visible(timeout=WAIT)
    first.focus()
    page.keyboard.press("ArrowRight")
    second = page.locator(".stream[data-stream=residual] .tile").nth(1)
    expect(second).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.locator(".stream[data-stream=residual] .tile").nth(5)).to_be_focused()
    page.locator("#block-2").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".inside h3")).to_contain_text("Block 2")


def test_a_webcam_snapshot_from_the_fake_camera_is_answered(page: Page) -> None:
    page.locator("#photo button[aria-label='Capture from camera']").click()
    page.get_by_text("Click to Access Webcam").click()
    page.locator("#photo video").wait_for(timeout=WAIT)
    page.wait_for_function("() => document.querySelector('#photo video')?.videoWidth > 0", timeout=WAIT)
    page.locator("#photo button[aria-label='capture photo']").click()
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    expect(page.locator("#answer .percent").first).to_contain_text("%")


def test_an_example_is_answered(page: Page) -> None:
    page.locator("#example-1").click()
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)


def test_a_bad_file_gets_a_sentence_and_the_last_answer_stays(page: Page, tmp_path: Path) -> None:
    upload(page, photo_file(tmp_path, 4))
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    answer = page.locator("#answer").inner_text()
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no photo" * 99)
    page.get_by_label("Remove Image").first.click()
    expect(page.locator("#answer")).to_contain_text("Drop a photo")
    upload(page, bad)
    expect(page.get_by_test_id("toast-body")).to_contain_text("please upload", timeout=WAIT)
    page.get_by_label("Remove Image").first.click()
    upload(page, photo_file(tmp_path, 4))
    expect(page.locator("#answer")).to_have_text(answer, timeout=WAIT, use_inner_text=True)


def test_the_trace_table_and_the_explanation(page: Page) -> None:
    page.locator("#example-2").click()
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    page.get_by_role("tab", name="Layer by layer").click()
    table = page.locator("table.trace")
    expect(table).to_contain_text("3×180×180")
    expect(table).to_contain_text("4,888,897")
    expect(table).to_contain_text("4.44 G")
    page.get_by_role("tab", name="How it works").click()
    expect(page.locator("#how")).to_contain_text("residual branch")


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(page: Page, tmp_path: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    upload(page, photo_file(tmp_path, 5))
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = page.evaluate(
        """() => [...document.querySelectorAll('#answer *, #roadmap *, #inside *')]
            .filter(e => e.childNodes.length && [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))
            .filter(e => parseFloat(getComputedStyle(e).fontSize) < 13).map(e => e.outerHTML.slice(0, 80))"""
    )
    assert small == []


def test_the_theme_switches(page: Page) -> None:
    dark = "document.body.classList.contains('dark')"
    before = page.evaluate(dark)
    page.locator("#theme").click()
    page.wait_for_function(f"() => {dark} !== {str(before).lower()}")


def test_a_branch_switched_off_changes_the_answer_and_opens_again(page: Page, tmp_path: Path) -> None:
    upload(page, photo_file(tmp_path, 6))
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    whole = page.locator("#answer .classes").inner_text()
    page.get_by_role("tab", name="Switch it off").click()
    expect(page.locator("#lesions .knock.branch .class-row")).to_have_count(5, timeout=WAIT)
    expect(page.locator("#lesions .paths circle")).to_have_count(32)

    slider = page.locator("#gates fieldset").nth(2).locator(".branch")
    slider.focus()
    page.keyboard.press("Home")
    expect(page.locator("#block-3 .wide path.branch.off")).to_have_count(1, timeout=WAIT)
    expect(page.locator("#block-3 .chip")).to_have_text("F(x) 0")
    expect(page.locator("#comparison")).to_contain_text("The logit moved")
    expect(page.locator("#answer .notice")).to_contain_text("turned down")
    assert page.locator("#answer .classes").inner_text() != whole

    page.locator("#reset-gates").click()
    expect(page.locator("#roadmap path.off")).to_have_count(0, timeout=WAIT)
    expect(page.locator("#answer .classes")).to_have_text(whole, use_inner_text=True)


def test_where_it_looks_splits_the_logit(page: Page, tmp_path: Path) -> None:
    upload(page, photo_file(tmp_path, 7))
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    page.get_by_role("tab", name="Where it looks").click()
    native = page.locator("#looks img.native")
    expect(native).to_be_visible()
    assert native.evaluate("img => [img.naturalWidth, img.naturalHeight]") == [6, 6]
    logit = page.locator("#roadmap .stop.end").inner_text().split("logit")[1].strip()
    expect(page.locator("#looks .sum b")).to_have_text(logit)
    page.locator("#looks .opacity input").focus()
    page.keyboard.press("Home")
    assert native.evaluate("img => getComputedStyle(img).opacity") == "0"
