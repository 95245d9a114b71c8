"""Teach it in a real browser: three classes of twenty pictures, taught, answered, taken home and back."""

from __future__ import annotations

import re
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image
from test_bring import checkpoint
from test_browser import WAIT, Page, browser, expect, page  # noqa: F401 - fixtures

from resnet_demo.inference.engine import Engine
from resnet_demo.networks.checkpoints import available_networks

NAMES = ("mug", "pen", "key")


def pictures(folder: Path, colour: int, count: int = 20) -> list[Path]:
    """JPEGs of one colour more than the others, and noise."""
    found = []
    for i in range(count):
        rng = np.random.default_rng(100 * colour + i)
        pixels = rng.integers(0, 90, (240, 320, 3))
        pixels[..., colour] += 150
        path = folder / f"{NAMES[colour]}{i}.jpg"
        Image.fromarray(pixels.astype(np.uint8)).save(path)
        found.append(path)
    return found


def saved(tab: Page, what: str, folder: Path) -> Path:
    with tab.expect_download(timeout=WAIT) as download:
        tab.click(f"#teach button[data-what={what}]")
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_classes_of_ones_own_are_taught_answered_taken_home_and_opened_again(
    page: Page,  # noqa: F811
    tmp_path: Path,
) -> None:
    started = time.monotonic()
    page.goto(f"{page.url.split('?')[0]}?panel=teach&example=none")
    cards = page.locator("#teach .teach-card")
    expect(cards).to_have_count(2, timeout=WAIT)
    page.click("#teach .teach-class")
    expect(cards).to_have_count(3)
    expect(page.locator("#teach .teach-go")).to_be_disabled()
    for i, name in enumerate(NAMES):
        card = cards.nth(i)
        card.locator(".teach-name").fill(name)
        card.locator(".teach-name").blur()
        files = pictures(tmp_path, i)
        if i == 0:
            (tmp_path / "broken.jpg").write_bytes(b"no picture at all")
            files.append(tmp_path / "broken.jpg")
        card.locator("input[type=file]").set_input_files(files)
        expect(card.locator(".teach-count")).to_have_text("20 pictures", timeout=WAIT)
        if i == 0:
            expect(page.locator("#teach .teach-said")).to_contain_text("no photo that can be read")
    expect(cards.first.locator(".teach-shown img")).to_have_count(20)

    page.click("#teach .teach-go")
    report = page.locator("#teach .teach-report")
    expect(report).to_contain_text("of 60 pictures", timeout=WAIT)
    expect(report.locator("svg.chart")).to_be_visible()
    expect(report.locator(".teach-table td.own").first).to_have_text(re.compile(r"\d+"))
    expect(page.locator("#network input")).to_have_value(
        re.compile("mug, pen, key · after block"), timeout=WAIT
    )

    page.set_input_files("#photo input[type=file]", pictures(tmp_path, 1, 1)[0])
    expect(page.locator("#answer .label").first).to_have_text("pen", timeout=WAIT)
    expect(page.locator("#answer")).to_contain_text("taught on the page")

    page.click("#teach .teach-camera")
    expect(page.locator("#teach .teach-live .class-row")).to_have_count(3, timeout=WAIT)
    assert set(page.locator("#teach .teach-live .label").all_text_contents()) == set(NAMES)

    with zipfile.ZipFile(saved(page, "network", tmp_path)) as archive:
        archive.extractall(tmp_path / "network")
    networks = available_networks(tmp_path / "network")
    run = Engine(networks, "cpu").run(tmp_path / "key0.jpg")
    assert run.prediction.label == "key" and run.classes == NAMES

    kept = saved(page, "teaching", tmp_path)
    page.click("#teach .teach-clear")
    expect(page.locator("#teach .teach-shown img")).to_have_count(0, timeout=WAIT)
    page.set_input_files("#teach-file ~ input[type=file], input[type=file][accept='.zip']", kept)
    expect(page.locator("#teach .teach-shown img")).to_have_count(60, timeout=WAIT)
    expect(cards.nth(2).locator(".teach-name")).to_have_value("key")
    page.click("#teach .teach-go")
    expect(report).to_contain_text("of 60 pictures", timeout=WAIT)
    assert time.monotonic() - started < 120


def test_a_network_is_brought_and_every_panel_is_about_it(page: Page, tmp_path: Path) -> None:  # noqa: F811
    page.goto(f"{page.url.split('?')[0]}?panel=bring&example=none")
    expect(page.locator("#bring")).to_contain_text("Drop the files above", timeout=WAIT)
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"PK\x03\x04 no such thing")
    page.set_input_files("#bring-files input[type=file]", bad)
    expect(page.locator(".toast-body").first).to_contain_text("network.safetensors", timeout=WAIT)
    page.reload()
    expect(page.locator("#bring")).to_contain_text("Drop the files above", timeout=WAIT)
    page.wait_for_timeout(1000)
    page.set_input_files("#bring-files input[type=file]", checkpoint(tmp_path))
    expect(page.locator("#bring")).to_contain_text("is on your menu now, with 2 blocks", timeout=WAIT)
    expect(page.locator("#network input")).to_have_value(re.compile("yours"), timeout=WAIT)
    expect(page.locator("#roadmap .cell")).to_have_count(2, timeout=WAIT)
    page.set_input_files("#photo input[type=file]", pictures(tmp_path, 1, 1)[0])
    expect(page.locator("#answer .label").first).to_have_text(re.compile("mug|pen|key"), timeout=WAIT)


def test_a_burst_of_the_camera_fills_a_class(page: Page) -> None:  # noqa: F811
    page.goto(f"{page.url.split('?')[0]}?panel=teach&example=none")
    card = page.locator("#teach .teach-card").first
    expect(card.locator(".teach-burst")).to_be_disabled(timeout=WAIT)
    page.click("#teach .teach-camera")
    expect(card.locator(".teach-burst")).to_be_enabled(timeout=WAIT)
    card.locator(".teach-burst").click()
    expect(card.locator(".teach-count")).to_have_text("20 pictures", timeout=WAIT)
    card.locator(".teach-shown button").first.click()
    expect(card.locator(".teach-count")).to_have_text("19 pictures", timeout=WAIT)


def test_a_folder_that_is_dropped_fills_a_class(page: Page, tmp_path: Path) -> None:  # noqa: F811
    """A real folder, dragged by the browser's own protocol: what is in its folders too, hidden files not."""
    page.goto(f"{page.url.split('?')[0]}?panel=teach&example=none")
    card = page.locator("#teach .teach-card").nth(1)
    expect(card).to_be_visible(timeout=WAIT)
    folder = tmp_path / "pens"
    (folder / "more").mkdir(parents=True)
    pictures(folder, 1, 6)
    pictures(folder / "more", 1, 3)
    (folder / ".hidden.jpg").write_bytes(b"no picture")
    card.scroll_into_view_if_needed()
    box = card.bounding_box()
    assert box is not None
    dragged = {
        "x": box["x"] + box["width"] / 2,
        "y": box["y"] + box["height"] / 2,
        "data": {"items": [], "files": [str(folder)], "dragOperationsMask": 1},
    }
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, **dragged})
    expect(card.locator(".teach-count")).to_have_text("9 pictures", timeout=WAIT)
    expect(page.locator("#teach .teach-said")).to_have_text("")
