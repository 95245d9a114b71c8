"""The page in a real browser, as a visitor uses it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import KNOWS, draw_photo
from visitor import LOADED_SIZE, LOADED_WIDTH, open_panel

playwright = pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Browser, Page, expect  # noqa: E402

from resnet_demo.inference.engine import Engine  # noqa: E402
from resnet_demo.tools.walkthrough import QUIET, browser_path  # noqa: E402

WAIT = 30_000  # milliseconds; generous, for machines that are busy
FLAGS = [*QUIET, "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """An installed Chrome or Chromium, else Playwright's own."""
    path = browser_path()
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
    tab.goto(f"{server}/?example=none")
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
        assert cell.locator("img").evaluate(LOADED_WIDTH) > 0
        box = cell.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= 800  # nothing scrolled
        assert box["x"] + box["width"] <= 1280
    assert page.locator("#seen-photo").evaluate(LOADED_SIZE) == [180, 180]
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
    expect(page.locator(".overview .facts")).to_contain_text("16 of 128 channels, each 23×23")
    expect(page.locator("#block-3")).to_have_attribute("aria-pressed", "true")
    streams = ("residual", "shortcut", "pre_activation", "output")
    by_mean = tile_channels(page, "output")
    assert all(tile_channels(page, stream) == by_mean for stream in streams)

    page.locator("#order").get_by_text("index").click()
    expect(page.locator(".stream[data-stream=output] .tile").nth(5)).to_have_attribute("data-channel", "5")
    assert tile_channels(page, "residual") == [str(i) for i in range(16)] != by_mean

    page.locator("#order").get_by_text("logit share").click()
    expect(page.locator(".stream[data-stream=output] .tile").nth(5)).not_to_have_attribute(
        "data-channel", "5"
    )
    assert tile_channels(page, "residual") == tile_channels(page, "output") != by_mean
    page.locator("#order").get_by_text("index").click()

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
    page.locator("#example-lion").click()
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
    page.locator("#example-cheetah").click()
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    open_panel(page, "Layer by layer")
    table = page.locator("table.trace")
    expect(table).to_contain_text("3×180×180")
    expect(table).to_contain_text("4,888,897")
    expect(table).to_contain_text("4.44 G")
    open_panel(page, "How it works")
    expect(page.locator("#how")).to_contain_text("residual branch")


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(page: Page, tmp_path: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    upload(page, photo_file(tmp_path, 5))
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = page.evaluate(
        """() => [...document.querySelectorAll('#answer *, #roadmap *, #inside *')]
            .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))
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
    open_panel(page, "Switch it off")
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
    open_panel(page, "Where it looks")
    native = page.locator("#looks img.native")
    expect(native).to_be_visible()
    assert native.evaluate(LOADED_SIZE) == [6, 6]
    logit = page.locator("#roadmap .stop.end").inner_text().split("logit")[1].strip()
    expect(page.locator("#looks .sum b")).to_have_text(logit)
    page.locator("#looks .opacity input").focus()
    page.keyboard.press("Home")
    assert native.evaluate("img => getComputedStyle(img).opacity") == "0"


def with_photo(page: Page, folder: Path, seed: int) -> None:
    upload(page, photo_file(folder, seed))
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)


def test_a_place_of_a_map_outlines_what_it_sees(page: Page, tmp_path: Path) -> None:
    with_photo(page, tmp_path, 8)
    page.locator("#block-2").click()
    expect(page.locator(".inside h3")).to_contain_text("Block 2")
    figures = page.locator(".overview .facts")
    for words in ("‖F(x)‖ ÷ ‖shortcut‖", "cosine", "silent channels", "16 of 64 channels, each 45×45"):
        expect(figures).to_contain_text(words)
    assert page.locator(".overview .added").evaluate(LOADED_SIZE) == [
        45,
        45,
    ]
    frame, words = page.locator(".seen u"), page.locator(".seen + figcaption")
    expect(frame).to_be_hidden()
    tile = page.locator(".stream[data-stream=output] .tile i").first
    box = tile.bounding_box()
    assert box is not None
    tile.hover(position={"x": box["width"] / 2, "y": box["height"] / 2})
    expect(frame).to_be_visible()
    expect(words).to_have_text("row 23, column 23 of output sees 19×19 pixels")
    seen = page.locator(".seen").bounding_box()
    outlined = frame.bounding_box()
    assert seen is not None
    assert outlined is not None
    assert outlined["width"] == pytest.approx(seen["width"] * 19 / 180, abs=1)
    assert outlined["x"] - seen["x"] == pytest.approx(seen["width"] * (22 * 4 - 9) / 180, abs=1)
    tile.hover(position={"x": 1, "y": 1})  # at the corner it is clipped
    expect(words).to_have_text("row 1, column 1 of output sees 10×10 pixels")
    page.locator(".stream[data-stream=shortcut] .tile i").first.hover()
    expect(words).to_contain_text("of shortcut sees 7×7 pixels")
    page.locator("#title").hover()
    expect(frame).to_be_hidden()


def test_where_it_decides_shows_a_read_out_for_every_block(page: Page, tmp_path: Path) -> None:
    with_photo(page, tmp_path, 9)
    open_panel(page, "Where it decides")
    expect(page.locator("#decides .read")).to_have_count(6)  # five blocks and the network itself
    expect(page.locator("#decides .read").nth(2)).to_contain_text("right on 70.0 % of photos")
    best = page.locator("#answer .percent").first.inner_text()
    expect(page.locator("#decides .read.whole")).to_contain_text(best)
    expect(page.locator("#decides")).to_contain_text("agree")


def test_the_gradient_with_and_without_shortcuts(page: Page, tmp_path: Path) -> None:
    with_photo(page, tmp_path, 10)
    open_panel(page, "The gradient's way")
    expect(page.locator("#gradients .lead")).to_contain_text("over 50 blocks", timeout=WAIT)
    expect(page.locator("#gradients polyline")).to_have_count(4)  # two curves, two keys
    expect(page.locator("#gradients .chart")).to_contain_text("with shortcuts")
    words = page.locator("#gradients .lead").inner_text()
    assert "shrinks about 10" in words and "dies on the way" in words
    page.locator("#norms").get_by_text("in use").click()
    expect(page.locator("#gradients")).to_contain_text("batch norm in use", timeout=WAIT)
    expect(page.locator("#gradients .lead")).to_contain_text("explodes")
    assert page.locator("#gradients .lead").inner_text() != words
    number = page.locator("#depth input[type=number]")
    number.fill("20")
    number.press("Enter")
    number.blur()
    expect(page.locator("#gradients .lead")).to_contain_text("over 20 blocks", timeout=WAIT)


def test_two_photos_stand_side_by_side_with_the_same_channels(page: Page, tmp_path: Path) -> None:
    with_photo(page, tmp_path, 11)
    open_panel(page, "Compare")
    expect(page.locator("#compare")).to_contain_text("Press “Pin this run”")
    page.locator("#pin").click()
    expect(page.locator("#compare article")).to_have_count(2)
    first = page.locator("#compare article").first.locator("header").inner_text()
    page.get_by_label("Remove Image").first.click()
    expect(page.locator("#compare")).to_contain_text("give the page a photo")
    with_photo(page, tmp_path, 12)
    expect(page.locator("#compare article")).to_have_count(2)
    assert page.locator("#compare article").first.locator("header").inner_text() == first
    channels = page.locator("#compare article").evaluate_all(
        """all => all.map(a => [...a.querySelectorAll('.stream[data-stream=output] .tile')]
            .map(t => t.dataset.channel))"""
    )
    assert channels[0] == channels[1]
    legends = page.locator("#compare .stream[data-stream=residual] .legend").all_inner_texts()
    assert legends[0] == legends[1]
    page.locator("#block-4").click()
    expect(page.locator("#compare .lead")).to_contain_text("Block 4 of both")
    page.locator("#unpin").click()
    expect(page.locator("#compare")).to_contain_text("Press “Pin this run”")


def test_how_it_works_has_the_numbers_of_the_photo(page: Page, tmp_path: Path) -> None:
    with_photo(page, tmp_path, 13)
    page.locator("#block-2").click()
    open_panel(page, "How it works")
    drawing = page.locator("#how-drawing svg")
    for words in ("Block 2 for your photo", "32×90×90", "64×45×45", "norm, max-pool"):
        expect(drawing).to_contain_text(words)
    chip = page.locator("#block-2 .chip").inner_text().split()[-1]
    expect(drawing).to_contain_text(f"RMS {chip}")


def test_files_are_saved_and_the_code_is_shown(page: Page, tmp_path: Path) -> None:
    with_photo(page, tmp_path, 15)
    page.locator("#block-3").click()
    open_panel(page, "Take it home")
    expect(page.locator("#take code")).to_contain_text("name == 'blocks.2'")
    for button, name in (
        ("Everything as a ZIP", "resnet-demo.zip"),
        ("Block 3, output as PNG", "blocks.2-output-"),
    ):
        with page.expect_download(timeout=WAIT) as saved:
            page.get_by_role("button", name=button).click()
        assert saved.value.suggested_filename.startswith(name)
        assert Path(saved.value.path()).stat().st_size > 1000
    expect(page.locator("#take [role=status]")).to_contain_text("was handed to the browser")


def test_live_frames_flow_and_one_is_inspected(page: Page) -> None:
    open_panel(page, "Live")
    page.locator(".live-start").click()
    page.wait_for_function(
        "() => Number(document.querySelector('.live').dataset.frames || 0) >= 8", timeout=WAIT
    )
    expect(page.locator(".live-speed")).to_contain_text("frames a second")
    expect(page.locator(".live-road button.cell")).to_have_count(5)
    expect(page.locator(".live-inside h3")).to_have_text("Block 3")
    channels = "tiles => tiles.map(t => t.dataset.channel)"
    first = page.locator(".live-inside .stream[data-stream=output] .tile").evaluate_all(channels)
    page.locator(".live-road button.cell").nth(1).click()
    expect(page.locator(".live-inside h3")).to_have_text("Block 2", timeout=WAIT)
    page.locator(".live-road button.cell").nth(2).click()
    expect(page.locator(".live-inside h3")).to_have_text("Block 3", timeout=WAIT)
    assert len(first) == 16
    page.locator(".live-inspect").click()
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    expect(page.locator(".live-video p")).to_contain_text("Paused")
    frames = page.locator(".live").get_attribute("data-frames")
    page.wait_for_timeout(500)
    assert page.locator(".live").get_attribute("data-frames") == frames


def choose_network(page: Page, title: str) -> None:
    page.locator("#network input").click()
    page.get_by_role("option", name=title).click()


def test_a_network_of_the_field_is_fetched_shown_and_one_that_fails_spares_the_rest(
    page: Page, tmp_path: Path
) -> None:
    with_photo(page, tmp_path, 14)
    choose_network(page, "ResNet-18")
    expect(page.locator("#answer")).to_contain_text("Fetching ResNet-18", timeout=WAIT)  # with a progress bar
    expect(page.locator("#roadmap button.cell")).to_have_count(8, timeout=WAIT)
    expect(page.locator("#answer .class-row")).to_have_count(5)
    expect(page.locator("#answer")).to_contain_text("ImageNet")
    page.locator("#block-2").click()
    expect(page.locator(".inside h3")).to_contain_text("Block 2")
    expect(page.locator(".overview .facts")).to_contain_text("16 of 64 channels, each 56×56")
    open_panel(page, "Where it decides")
    expect(page.locator("#decides")).to_contain_text("No read-outs were trained for ResNet-18")
    open_panel(page, "Switch it off")
    expect(page.locator("#lesions .knock.branch .class-row")).to_have_count(8, timeout=WAIT)
    expect(page.locator("#gates fieldset")).to_have_count(8)
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280

    answer = page.locator("#answer .classes").inner_text()
    choose_network(page, "ResNet-34")
    sentence = page.locator("#answer [role=alert]")
    expect(sentence).to_contain_text("the server answered 404", timeout=WAIT)
    assert "yourself" not in sentence.inner_text()  # that is for who runs the demo
    expect(page.locator("#network input")).to_have_value(re.compile("ResNet-18"))
    page.wait_for_timeout(1500)  # the menu's falling back is no choice of the visitor's
    expect(sentence).to_be_visible()
    page.wait_for_url("**network=ResNet-18*")
    sentence.get_by_role("button", name="Try again").click()
    page.wait_for_timeout(1500)
    expect(sentence).to_contain_text("the server answered 404", timeout=WAIT)
    sentence.get_by_role("button", name="Go on with ResNet-18").click()
    expect(page.locator("#answer .classes")).to_have_text(answer, timeout=WAIT, use_inner_text=True)
    choose_network(page, "test-net")
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    expect(page.locator("#answer")).to_contain_text(KNOWS)


def state_of(page: Page) -> dict[str, object]:
    """What a visitor sees, as far as an address can say it."""
    return {
        "answer": page.locator("#answer .class-row .percent").all_inner_texts(),
        "block": page.locator("#roadmap .cell.selected").get_attribute("id"),
        "panel": page.locator("#panels [role=tab][aria-selected=true]").inner_text(),
        "gates": page.locator("#gates input").evaluate_all("all => all.map(s => s.value)"),
        "dashed": page.locator("#roadmap .wide path.off").count(),
        "network": page.locator("#network input").input_value(),
    }


def channels_of(page: Page) -> tuple[list[str], str | None]:
    """The channels on show inside the block, and the one that is lit; a panel is drawn when it is opened."""
    open_panel(page, "Inside a block")
    page.wait_for_timeout(1500)
    lit = page.locator(".stream[data-stream=residual] .tile.lit").get_attribute("data-channel")
    return tile_channels(page, "residual"), lit


def test_a_chosen_channel_is_lit_again_when_it_is_shown_again(page: Page) -> None:
    page.locator("#example-cheetah").click()
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    page.locator("#block-5").click()
    expect(page.locator(".inside h3")).to_contain_text("Block 5")
    tile = page.locator(".stream[data-stream=residual] .tile").nth(7)
    tile.click()
    chosen = str(tile.get_attribute("data-channel"))
    lit = page.locator(".stream[data-stream=residual] .tile.lit")
    expect(lit).to_have_attribute("data-channel", chosen)
    page.locator("#block-1").click()
    expect(page.locator(".inside h3")).to_contain_text("Block 1")
    expect(lit).to_have_count(1)
    page.locator("#block-5").click()
    expect(page.locator(".inside h3")).to_contain_text("Block 5")
    expect(lit).to_have_attribute("data-channel", chosen)


def test_a_link_opened_elsewhere_shows_the_same_page(page: Page, browser: Browser, server: str) -> None:
    page.locator("#example-cheetah").click()
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    page.locator("#block-3").click()
    expect(page.locator(".inside h3")).to_contain_text("Block 3")
    page.locator("#order label", has_text="variance").click()
    page.wait_for_timeout(500)
    page.locator(".stream[data-stream=residual] .tile").nth(5).click()
    open_panel(page, "Switch it off")
    slider = page.locator("#gates fieldset[data-gate='2'] .short")
    expect(slider).to_be_enabled(timeout=WAIT)  # once the panel is drawn
    slider.focus()
    slider.press("Home")
    expect(page.locator("#comparison")).to_contain_text("The logit moved", timeout=WAIT)
    expect(page.locator("#roadmap .wide path.off")).to_have_count(1)
    page.wait_for_url("**gates=1-1_1-1_1-0_1-1_1-1*")
    here = state_of(page)
    lit = page.locator(".stream[data-stream=residual] .tile.lit").get_attribute("data-channel")
    page.wait_for_url(f"**channel={lit}&*")
    assert "example=cheetah" in page.url

    other = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    other.goto(page.url)
    expect(other.locator("#comparison")).to_contain_text("The logit moved", timeout=WAIT)
    expect(other.get_by_role("tab", name="Switch it off")).to_have_attribute("aria-selected", "true")
    assert state_of(other) == here
    assert other.url == page.url  # opening a link changes nothing in it
    assert channels_of(other) == channels_of(page)
    other.context.close()


def test_a_photo_of_ones_own_is_never_in_the_address(page: Page, tmp_path: Path) -> None:
    page.locator("#example-lion").click()
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    page.wait_for_url("**example=lion*")
    page.locator("#photo").get_by_label("Remove").or_(
        page.locator("#photo button[aria-label='Clear']")
    ).first.click()
    expect(page.locator("#roadmap button.cell")).to_have_count(0, timeout=WAIT)
    upload(page, photo_file(tmp_path))
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    page.locator("#block-2").click()
    page.wait_for_url("**block=2*")
    assert "example" not in page.url
    assert "photo" not in page.url


def test_the_roads_say_their_measure_and_another_can_be_chosen(page: Page) -> None:
    page.locator("#example-a-drawn-cat").click()
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    words, chips = page.locator(".measures span"), page.locator("#roadmap .chip")
    expect(words).to_contain_text("root mean square of its values, √(Σa² ÷ n)")
    before = chips.all_inner_texts()
    page.locator(".measures").get_by_text("share of the sum").click()
    expect(words).to_contain_text("the two add up to 100 %")
    for cell in page.locator("#roadmap button.cell").all():
        sides = [cell.locator(part).inner_text().split()[-2] for part in (".chip", ".beside")]
        assert sum(int(side.replace("−", "-")) for side in sides) in (99, 100, 101)
    page.locator(".measures").get_by_text("in total").click()
    expect(words).to_contain_text("Euclidean norm")
    assert chips.all_inner_texts() != before
    page.wait_for_url("**measure=total*")
    page.locator("#block-3").click()
    expect(page.locator(".inside h3")).to_contain_text("Block 3")
    expect(words).to_contain_text("Euclidean norm")
    page.reload()
    expect(words).to_contain_text("Euclidean norm", timeout=WAIT)


def test_a_cut_stays_for_the_next_photo_and_the_address_says_the_same(
    page: Page, browser: Browser, server: str
) -> None:
    page.locator("#example-a-drawn-cat").click()
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    open_panel(page, "Switch it off")
    expect(page.locator("#lesions .knock").first).to_be_visible(timeout=WAIT)  # the panel is drawn
    slider = page.locator("#gates fieldset[data-gate='1'] .short")
    slider.focus()
    slider.press("Home")
    expect(page.locator("#roadmap .wide path.off")).to_have_count(1, timeout=WAIT)
    photo = page.locator("#seen-photo").get_attribute("src")
    page.locator("#example-a-drawn-dog").click()
    expect(page.locator("#seen-photo")).not_to_have_attribute("src", photo or "", timeout=WAIT)
    expect(page.locator("#roadmap .wide path.off")).to_have_count(1)  # the same cut, another photo
    expect(page.locator("#answer .notice")).to_contain_text("stay so for the next photo")
    assert slider.input_value() == "0"
    expect(page.locator("#comparison")).to_contain_text("The logit moved")
    page.wait_for_url("**example=a+drawn+dog*")
    page.wait_for_url("**gates=1-1_1-0_1-1_1-1_1-1*")
    here = state_of(page)
    other = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    other.goto(page.url)
    expect(other.locator("#comparison")).to_contain_text("The logit moved", timeout=WAIT)
    assert state_of(other) == here
    other.context.close()
    page.locator("#gates fieldset[data-gate='3'] .branch").focus()
    page.keyboard.press("Home")
    expect(page.locator("#roadmap .wide path.off")).to_have_count(2, timeout=WAIT)
    page.locator("#answer .notice button").click()
    expect(page.locator("#roadmap .wide path.off")).to_have_count(0, timeout=WAIT)
    page.wait_for_function("() => [...document.querySelectorAll('#gates input')].every(s => s.value === '1')")
    page.locator("#example-a-drawn-cat").click()
    page.wait_for_url("**example=a+drawn+cat*")
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    expect(page.locator("#roadmap .wide path.off")).to_have_count(0)
    assert "gates" not in page.url
