"""Other ways to give a photo, in a browser: pasted with nothing focused, dropped from another page, under odd
names, and sent once more when the server had no room left for it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from conftest import draw_photo
from test_attacks import jpeg
from test_browser import WAIT, Browser, browser, expect, page, photo_file, upload  # noqa: F401 - fixtures

ONLY_AN_ADDRESS = "nothing is fetched from addresses"
PNG_ON_THE_CLIPBOARD = """async () => {
  const canvas = Object.assign(document.createElement('canvas'), { width: 300, height: 200 });
  const context = canvas.getContext('2d');
  context.fillStyle = 'orange';
  context.fillRect(40, 30, 150, 120);
  const blob = await new Promise((done) => canvas.toBlob(done, 'image/png'));
  await navigator.clipboard.write([new ClipboardItem({ 'image/png': blob })]);
}"""
DROP = """([types, bytes]) => {
  const data = new DataTransfer();
  for (const [type, text] of Object.entries(types)) data.setData(type, text);
  if (bytes) {
    const content = Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0));
    data.items.add(new File([content], 'dropped.jpg', { type: 'image/jpeg' }));
  }
  const photo = document.getElementById('photo');
  const target = photo.querySelector('button, [role=button]') ?? photo;
  for (const kind of ['dragenter', 'dragover', 'drop'])
    target.dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: data }));
}"""


def answered(page: Any) -> None:  # noqa: F811
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)


def test_a_picture_is_pasted_with_nothing_focused(page: Any, server: str) -> None:  # noqa: F811
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server)
    page.bring_to_front()
    page.evaluate(PNG_ON_THE_CLIPBOARD)
    page.evaluate("() => document.activeElement?.blur()")
    assert page.evaluate("() => document.activeElement === document.body")
    page.keyboard.press("Control+V")
    answered(page)


def test_text_is_not_taken_for_a_picture(page: Any, server: str) -> None:  # noqa: F811
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server)
    page.evaluate("() => navigator.clipboard.writeText('no picture')")
    page.keyboard.press("Control+V")
    page.wait_for_timeout(1000)
    expect(page.locator("#answer .is-empty")).to_be_visible()


@pytest.mark.parametrize(
    "types",
    [
        {"text/uri-list": "https://example.org/cat.jpg"},
        {"text/html": '<img src="https://example.org/cat.jpg">', "text/plain": "https://example.org/cat.jpg"},
    ],
)
def test_an_address_that_is_dropped_says_why_not_and_what_to_do(page: Any, types: dict[str, str]) -> None:  # noqa: F811
    page.evaluate(DROP, [types, None])
    note = page.locator("#photo-note")
    expect(note).to_contain_text(ONLY_AN_ADDRESS)
    expect(note).to_contain_text("Save the picture and drop the file")
    assert note.get_attribute("role") == "alert"
    page.evaluate(DROP, [{}, base64.b64encode(jpeg(2)).decode()])  # a file is taken, and the note goes
    expect(note).to_be_hidden()
    answered(page)


@pytest.mark.parametrize("name", [".hidden.jpg", "..jpg", ".jpg", "ñandú 😀.jpg"])
def test_a_photo_may_be_called_anything(page: Any, name: str) -> None:  # noqa: F811
    page.set_input_files(
        "#photo input[type=file]", {"name": name, "mimeType": "image/jpeg", "buffer": jpeg(3)}
    )
    answered(page)


def test_a_page_that_has_lost_its_run_sends_the_photo_again(
    page: Any,  # noqa: F811
    served: tuple[str, Any],
    tmp_path: Path,
) -> None:
    upload(page, photo_file(tmp_path, 4))
    answered(page)
    page.locator("#block-3").click()
    expect(page.locator(".inside h3")).to_contain_text("Block 3", timeout=WAIT)
    sessions = served[1].state_holder
    with sessions.lock:  # as when ten thousand others have come meanwhile
        for name in list(sessions.session_data):
            sessions._take_out(name)
    page.locator("#block-2").click()
    expect(page.get_by_text("it was sent again").first).to_be_visible(timeout=WAIT)
    answered(page)
    page.wait_for_timeout(1500)
    page.locator("#block-4").click()
    expect(page.locator(".inside h3")).to_contain_text("Block 4", timeout=WAIT)


def test_what_was_assumed_of_a_photo_stands_beside_the_answer(page: Any, tmp_path: Path) -> None:  # noqa: F811
    import numpy as np
    from PIL import Image

    grey = np.asarray(draw_photo(1).convert("L")).astype(np.uint16) * 16
    Image.fromarray(grey).save(tmp_path / "deep.png")
    upload(page, tmp_path / "deep.png")
    expect(page.locator("#answer .notice")).to_contain_text("12 bits", timeout=WAIT)
