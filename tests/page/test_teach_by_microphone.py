"""Teach it by microphone: recordings one after the other, an answer to a new one, a microphone refused."""
# ruff: noqa: F811 - fixtures are arguments of the name under which they are imported

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Browser, Page, expect
from test_browser import WAIT, browser  # noqa: F401

from resnet_demo.tools.app_process import Server, free_port

# Chromium's own microphone plays one file; here what is "said" follows window.said, and the rest, from the
# recorder on, is the browser's
MICROPHONE = """
navigator.mediaDevices.getUserMedia = async (wanted) => {
  if (!wanted.audio || window.refused) throw new DOMException('no', 'NotAllowedError');
  const context = new AudioContext();
  await context.resume();
  const loudness = new GainNode(context, { gain: 0 });
  const tone = new OscillatorNode(context, window.said);
  const end = context.createMediaStreamDestination();
  tone.connect(loudness).connect(end);
  loudness.gain.setValueCurveAtTime([0, 0.6, 0.6, 0], context.currentTime + 0.3, 0.9);
  tone.start();
  return end.stream;
};
"""
SAID = {"low": {"type": "sawtooth", "frequency": 150}, "high": {"type": "sine", "frequency": 2400}}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    found = Server(free_port())
    yield found.url
    found.close()


@pytest.fixture
def tab(browser: Browser, server: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.add_init_script(MICROPHONE)
    page.goto(f"{server}/?network=digits&panel=teach&example=none")
    expect(page.locator("#teach .teach-card")).to_have_count(2, timeout=WAIT)
    page.hover("#teach .teach-card >> nth=0")
    yield page
    assert not errors
    context.close()


def test_sounds_are_recorded_taught_and_a_new_one_is_answered(tab: Page) -> None:
    expect(tab.locator("#teach .teach-camera")).to_be_hidden()
    expect(tab.locator("#teach .teach-ask")).to_be_disabled()
    for i, (name, said) in enumerate(SAID.items()):
        tab.evaluate("said => { window.said = said; }", {**said, "detune": 0})
        card = tab.locator("#teach .teach-card").nth(i)
        card.locator(".teach-name").fill(name)
        card.locator(".teach-name").blur()
        for count in range(1, 6):
            tab.evaluate("cents => { window.said.detune = cents; }", 60 * count)  # nobody says it twice alike
            card.locator(".teach-burst").click()
            expect(tab.locator("#teach .teach-said")).to_have_text("Speak now …", timeout=WAIT)
            words = "5 pictures" if count == 5 else f"{count} pictures of at least 5"
            expect(card.locator(".teach-count")).to_have_text(words, timeout=WAIT)
    tab.click("#teach .teach-go")
    expect(tab.locator("#teach .teach-report")).to_contain_text("of 10 pictures", timeout=WAIT)
    for name, said in SAID.items():
        tab.evaluate("said => { window.said = said; }", {**said, "detune": 200})
        tab.click("#teach .teach-ask")
        expect(tab.locator("#teach .teach-live .label").first).to_have_text(name, timeout=WAIT)


def test_a_microphone_that_is_refused_is_one_sentence(tab: Page) -> None:
    tab.evaluate("() => { window.refused = true; }")
    tab.locator("#teach .teach-burst").first.click()
    said = tab.locator("#teach .teach-said")
    expect(said).to_contain_text("The microphone could not be used. Allow it", timeout=WAIT)
    expect(tab.locator("#teach .teach-burst").first).to_be_enabled()
    expect(tab.locator("#teach .teach-shown button")).to_have_count(0)


def test_with_a_network_that_sees_the_camera_is_offered(tab: Page, server: str) -> None:
    tab.goto(f"{server}/?panel=teach&example=none")
    expect(tab.locator("#teach .teach-camera")).to_be_visible(timeout=WAIT)
    expect(tab.locator("#teach .teach-ask")).to_be_hidden()
    expect(tab.locator("#teach .teach-burst").first).to_have_text("20 frames")
