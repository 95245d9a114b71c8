"""Nothing on the page is untrue: what is shipped runs, one answer is told in one way, sentences are about the
network that is shown; and the rows of tabs are used as people know them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from test_browser import (  # noqa: F401 - fixtures
    WAIT,
    Browser,
    Page,
    browser,
    choose_network,
    expect,
    page,
    photo_file,
    runs,
    upload,
    with_photo,
)
from visitor import open_panel, panel_names

ROOT = Path(__file__).resolve().parents[2]
OF_ANOTHER = re.compile(r"\b(cats?|dogs?)\b(?!-and-)(?<!cats-and-dogs)", re.IGNORECASE)


def test_the_archive_that_the_page_hands_out_runs(
    page: Page,  # noqa: F811
    tmp_path: Path,
    weights_dir: Path,
) -> None:
    with_photo(page, tmp_path, 51)
    answer = page.locator("#answer .class-row").first
    label, share = answer.locator(".label").inner_text(), answer.locator(".percent").inner_text()
    open_panel(page, "Take it home")
    with page.expect_download(timeout=WAIT) as saved:
        page.get_by_role("button", name="Everything as a ZIP").click()
    zipfile.ZipFile(saved.value.path()).extractall(tmp_path / "unpacked")
    script = f"""import runpy, resnet_demo.inference.engine as engine
from pathlib import Path
from resnet_demo.networks.checkpoints import available_networks
engine.available_networks = lambda: available_networks(Path({str(weights_dir)!r}))
runpy.run_path({str(tmp_path / "unpacked" / "reproduce.py")!r}, run_name="__main__")"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-500:]
    again, confidence = done.stdout.split()
    assert again == label
    assert abs(100 * float(confidence) - float(share.split()[0])) < 0.2


def test_live_says_one_answer(page: Page) -> None:  # noqa: F811
    open_panel(page, "Live")
    page.locator(".live-start").click()
    page.wait_for_function(
        "() => Number(document.querySelector('.live').dataset.frames || 0) >= 4", timeout=WAIT
    )
    told = page.evaluate(
        """() => {
          const row = document.querySelector('.live-results .class-row');
          const end = document.querySelector('.live-road .stop.end');
          return [row.querySelector('.label').textContent, row.querySelector('.percent').textContent,
            end.querySelector('b').textContent, end.querySelector('span').textContent];
        }"""
    )
    page.locator(".live-start").click()
    label, share, end_label, end_share = told
    assert (label, share.split()[0]) == (end_label, end_share.split()[0])


def test_a_photo_does_not_stand_beside_the_answer_to_a_text(
    page: Page,  # noqa: F811
    tmp_path: Path,
) -> None:
    with_photo(page, tmp_path, 52)
    note = page.locator("#stale-photo")
    expect(note).to_be_hidden()
    page.evaluate("() => document.querySelector('#roadmap .roadmap').dataset.modality = 'text'")
    expect(note).to_be_visible()
    expect(note).to_contain_text("not about this photo")


def test_no_word_is_about_another_network(page: Page, tmp_path: Path) -> None:  # noqa: F811
    with_photo(page, tmp_path, 53)
    choose_network(page, "ResNet-18")
    expect(page.locator("#roadmap button.cell")).to_have_count(8, timeout=WAIT)
    wrong = {}
    for name in panel_names(page):
        if name in ("Live", "Sound", "Text", "The race", "The identity is easy"):
            continue  # of networks of their own
        open_panel(page, name)
        page.wait_for_timeout(1200)
        words = page.locator("#panels .tabitem:visible").first.inner_text().replace("cats-and-dogs", "")
        labels = page.locator("#answer .label").all_inner_texts()
        for label in labels:
            words = words.replace(label, "")
        if found := OF_ANOTHER.findall(words):
            wrong[name] = (found, [line for line in words.splitlines() if OF_ANOTHER.search(line)][:3])
    assert not wrong


def test_the_rows_of_tabs_have_one_stop_and_are_walked_with_arrows(page: Page, tmp_path: Path) -> None:  # noqa: F811
    with_photo(page, tmp_path, 54)
    for row in ("#chapters .chapters", "#panels [role=tablist]"):
        stops = page.locator(f"{row} [role=tab]").evaluate_all(
            "tabs => tabs.filter(t => t.offsetParent && t.tabIndex === 0).length"
        )
        assert stops == 1, row
    page.locator("#chapter-look").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#chapter-cut")).to_be_focused()
    expect(page.locator("#chapter-cut")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("End")
    expect(page.locator("#chapters [role=tab]").last).to_be_focused()
    page.keyboard.press("ArrowRight")  # round the end
    expect(page.locator("#chapter-look")).to_be_focused()
    page.keyboard.press("Tab")
    first = page.locator("#panels [role=tab][aria-selected=true]")
    expect(first).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#panels [role=tab][aria-selected=true]")).to_be_focused()
    assert page.evaluate("() => document.activeElement.dataset.tabId") != "inside"
    clipped = page.evaluate(
        """() => {
          const tab = document.activeElement, ring = tab.getBoundingClientRect();
          for (let at = tab.parentElement; at; at = at.parentElement) {
            const box = at.getBoundingClientRect(), style = getComputedStyle(at);
            if (style.overflow !== 'visible' && (box.top > ring.top - 3 || box.bottom < ring.bottom + 3))
              return at.className;
          }
          return '';
        }"""
    )
    assert clipped == ""


def test_the_menu_of_networks_closes_when_the_keyboard_leaves_it(page: Page) -> None:  # noqa: F811
    page.locator("#network input").click()
    options = page.locator("[role=option]")
    expect(options.first).to_be_visible()
    chosen = page.locator("#network input").input_value()
    page.keyboard.press("Tab")
    expect(options).to_have_count(0)
    assert page.locator("#network input").input_value() == chosen
