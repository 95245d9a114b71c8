"""The network that listens, as it ships: how often it is right, what its blocks do, and the page around
it."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_photo
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from test_language import EVERYTHING, OTHERS, english_left, longest_of
from test_sound_decoding import bad_files, well_said
from two_networks import copied_beside, served, started
from visitor import open_panel, panel_names

from resnet_demo.drawing.formatting import block_title
from resnet_demo.i18n import catalogue, languages, say, speaking
from resnet_demo.inference.engine import Engine, EngineError
from resnet_demo.inputs.mel_spectrogram import mel_picture
from resnet_demo.inputs.sound_decoding import open_sound
from resnet_demo.inputs.synthetic_sounds import CLASSES, numbered, sound, wav_bytes
from resnet_demo.networks.cards import WEIGHTS, read_menu
from resnet_demo.networks.checkpoints import available_networks
from resnet_demo.panels.own.sound import EXAMPLES, example_samples, heard_html, sound_examples_html
from resnet_demo.records import Gate, Preprocessing

playwright = pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Page, expect  # noqa: E402

from resnet_demo.tools.walkthrough import QUIET  # noqa: E402

WAIT = 30_000  # milliseconds
FRESH = 500_000  # seeds that neither training nor the figures in the card have used


@pytest.fixture(scope="module")
def both(weights_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the small test network and the shipped one that listens."""
    return copied_beside(weights_dir, "sounds", tmp_path_factory.mktemp("sounds"))


@pytest.fixture(scope="module")
def engine(both: Path) -> Engine:
    return Engine(available_networks(both), "cpu")


@pytest.fixture(scope="module")
def listening(both: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app with both networks on a free port; yields its address."""
    with served(both, tmp_path_factory.mktemp("gradio")) as address:
        yield address


def test_the_shipped_network_is_small_and_says_what_it_was_trained_on() -> None:
    (path,) = WEIGHTS.glob("sounds-????????.safetensors")
    assert path.stat().st_size < 10_000_000
    (entry,) = [entry for entry in read_menu() if entry.name == "sounds"]
    assert entry.name == "sounds"
    assert "only on sounds that this project's own program made" in entry.knows
    assert read_menu()[0].modality == "photo"  # the page opens with a network that sees
    assert next(iter(available_networks())) == read_menu()[0].name


def test_held_out_sounds_are_mostly_named_rightly(engine: Engine) -> None:
    """200 sounds of unused seeds; the card's figure is far above the bound."""
    card = engine.network("sounds").card
    assert card.n >= 2000
    assert card.accuracy is not None
    right = 0
    for start in range(0, 200, 50):
        made = [numbered(i, FRESH) for i in range(start, start + 50)]
        runs = engine.run([mel_picture(samples) for samples, _ in made], "sounds")
        right += sum(
            run.prediction.label == CLASSES[label] for run, (_, label) in zip(runs, made, strict=True)
        )
    assert right / 200 >= card.accuracy - 0.06


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_is_what_it_is_called(engine: Engine, name: str) -> None:
    run = engine.hear(example_samples(name))
    assert run.prediction.label == name


def test_every_block_obeys_its_equation_on_a_sound(engine: Engine) -> None:
    samples = sound("siren", 11)
    run = engine.hear(samples)
    assert (run.network, run.modality, run.classes) == ("sounds", "sound", CLASSES)
    assert np.array_equal(run.photo, mel_picture(samples))
    assert run.trace[0].shape == (1, 96, 96)
    assert len(run.blocks) == 5
    for block in run.blocks:
        total = block.residual.astype(np.float32) + block.shortcut.astype(np.float32)
        close = 1e-2 * max(1.0, float(np.abs(total).max()))
        assert np.abs(block.pre_activation - total).max() <= close
        assert np.array_equal(block.output, np.maximum(block.pre_activation, 0))
        assert block.residual.any()
        assert block.shortcut.any()
    looks = run.activation
    assert looks is not None
    assert looks.places.sum() + looks.bias == pytest.approx(looks.logit, rel=1e-3, abs=1e-3)


def test_a_branch_is_switched_off_and_lesions_and_gradients_work_on_a_sound(engine: Engine) -> None:
    run = engine.hear(sound("clicks", 11))
    gates = [Gate(0, 1), *[Gate()] * 4]
    gated = engine.run(run.photo, "sounds", gates)
    assert not gated.blocks[0].residual.any()
    assert gated.prediction.logit != run.prediction.logit
    found = engine.ablation(run)
    assert found.label == run.prediction.label
    assert len(found.paths) == 32
    assert engine.gradient_flow(run, 5).with_shortcuts[0] > 0


def test_what_cannot_be_heard_or_seen_is_said(engine: Engine) -> None:
    with pytest.raises(EngineError, match="sounds listens and cannot see a photo") as caught:
        engine.run(draw_photo(1), "sounds")
    assert well_said(str(caught.value))
    with pytest.raises(EngineError, match="sounds listens"):
        engine.run([draw_photo(1), draw_photo(2)], "sounds")
    with pytest.raises(EngineError, match="test-net sees and cannot hear") as caught:
        engine.hear(sound("chord", 1), "test-net")
    assert well_said(str(caught.value))


def test_an_engine_without_ears_says_so(weights_dir: Path) -> None:
    with pytest.raises(EngineError, match="No network here listens"):
        Engine(available_networks(weights_dir), "cpu").hear(sound("chord", 1))


def test_a_card_names_its_sense_and_old_cards_mean_photos() -> None:
    assert Preprocessing(180, "crop").modality == "photo"
    assert Preprocessing(96, "squash", mean=[0.25], std=[0.25], modality="sound").mean == (0.25,)
    for bad in ({"modality": "smell"}, {"mean": (0.5, 0.5)}, {"mean": (0.5,)}):
        with pytest.raises(ValueError, match="got"):
            Preprocessing.from_card(bad)


def test_the_panel_before_and_after_a_sound(engine: Engine) -> None:
    assert sound_examples_html().count("<button") == len(EXAMPLES)
    assert "The sound appears here" in heard_html(None)
    shown = heard_html(engine.hear(example_samples("siren")))
    assert "<b>siren" in shown
    assert "data:image/png" in shown
    assert 'alt="The sound as the network heard it' in shown


# over HTTP


@pytest.fixture(scope="module")
def client(listening: str) -> Client:
    return Client(listening, verbose=False)


def wav(folder: Path, samples: np.ndarray, name: str = "sound.wav") -> Path:
    (folder / name).write_bytes(wav_bytes(samples))
    return folder / name


def test_listen_answers_as_the_engine_does(client: Client, engine: Engine, tmp_path: Path) -> None:
    path = wav(tmp_path, sound("falling sweep", 21))
    told = client.predict(handle_file(path), api_name="/listen")
    run = engine.hear(open_sound(path))
    assert told["network"] == "sounds"
    assert told["label"] == run.prediction.label == "falling sweep"
    assert told["logit"] == pytest.approx(run.prediction.logit, abs=1e-4)
    assert [block["shape"] for block in told["blocks"]] == [list(block.shape) for block in run.blocks]
    assert told["blocks"][2]["residual_norm"] == pytest.approx(run.blocks[2].residual_norm, rel=1e-4)


@pytest.mark.parametrize(
    "name", ["empty", "text", "no frames", "384 kHz", "32 channels", "NaN", "silence", "a picture"]
)
def test_a_bad_sound_gets_a_sentence_and_the_app_goes_on(client: Client, tmp_path: Path, name: str) -> None:
    path = tmp_path / "bad.wav"
    path.write_bytes(bad_files()[name][0])
    with pytest.raises(AppError) as caught:
        client.predict(handle_file(path), api_name="/listen")
    sentence = str(caught.value)
    assert well_said(sentence), sentence
    assert not re.search(r"Traceback|None|tmp|root", sentence)
    assert client.predict(handle_file(wav(tmp_path, sound("chord", 1))), api_name="/listen")["label"]


def test_the_page_may_ask_for_the_microphone(listening: str) -> None:
    with urllib.request.urlopen(listening, timeout=30) as response:
        assert "microphone=(self)" in response.headers["permissions-policy"]


def test_no_sound_and_sounds_from_addresses_are_refused(client: Client) -> None:
    with pytest.raises(AppError, match="No sound arrived"):
        client.predict(None, api_name="/listen")
    with pytest.raises((AppError, ValueError), match="not fetched from addresses"):
        client.predict(
            {"path": "http://127.0.0.1:9/a.wav", "meta": {"_type": "gradio.FileData"}}, api_name="/listen"
        )


def test_a_photo_for_the_network_that_listens_gets_a_sentence(client: Client, tmp_path: Path) -> None:
    draw_photo(1).save(tmp_path / "photo.png")
    photo = handle_file(tmp_path / "photo.png")
    with pytest.raises(AppError, match="sounds listens and cannot see a photo"):
        client.predict(photo, "sounds", api_name="/predict")
    assert client.predict(photo, "test-net", api_name="/predict")["label"] in ("cat", "dog")


# in a browser


@pytest.fixture
def hum(tmp_path: Path) -> Path:
    """What the fake microphone hears, over and over: a siren without a seam."""
    rate, seconds = 48_000, 2.0
    t = np.arange(int(rate * seconds)) / rate
    phase = 2 * np.pi * 700 * t - 250 / 2 * np.cos(
        2 * np.pi * 2 * t
    )  # 700 Hz, swinging twice a second by 250
    path = tmp_path / "siren.wav"
    path.write_bytes(wav_bytes(0.5 * np.sin(phase) + 0.15 * np.sin(2 * phase), rate))
    return path


@pytest.fixture
def page(listening: str, hum: Path) -> Iterator[Page]:
    flags = [
        *QUIET,
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={hum}",
    ]
    with playwright.sync_playwright() as p:
        browser = started(p.chromium, flags)
        context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
        context.grant_permissions(["microphone"])
        errors: list[str] = []
        outside: list[str] = []
        tab = context.new_page()
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on(
            "request",
            lambda r: None if r.url.startswith((listening, "data:", "blob:")) else outside.append(r.url),
        )
        yield tab
        browser.close()
        assert errors == []
        assert outside == []


def opened(page: Page, address: str) -> Page:
    page.goto(address if "?" in address else f"{address}/?example=none")
    page.wait_for_function("() => document.querySelector('#photo input[type=file]') && window.gradio_config")
    page.wait_for_timeout(1000)  # an event before the page has come alive would be lost
    return page


def first_answer(page: Page) -> str:
    return page.locator("#answer .class-row .label").first.inner_text()


def test_a_recording_from_the_microphone_is_named_and_every_panel_shows_it(
    page: Page, listening: str, tmp_path: Path
) -> None:
    opened(page, listening)
    open_panel(page, "Sound")
    expect(page.locator("#tab-sound")).to_contain_text(
        "trained only on sounds that this project's own program made"
    )
    page.get_by_label("Record audio").or_(page.locator("#sound .record-button")).first.click()
    stop = page.locator("#sound .stop-button, #sound .stop-button-paused").first
    page.wait_for_timeout(3500)
    stop.click()
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    expect(page.locator("#network input")).to_have_value("sounds")
    assert first_answer(page) == "siren"
    expect(page.locator("#answer")).to_contain_text("must call every sound one of its ten kinds")
    expect(page.locator("#roadmap .stop").first).to_contain_text("as heard")
    expect(page.locator("#heard .heard-answer b")).to_contain_text("siren")
    picture = page.locator("#heard img.heard-picture")
    assert picture.evaluate("img => [img.naturalWidth, img.naturalHeight]") == [96, 96]

    open_panel(page, "Inside a block")
    page.locator("#block-2").click()
    expect(page.locator(".inside h3")).to_contain_text("Block 2")
    expect(page.locator(".overview .facts")).to_contain_text("16 of 32 channels, each 24×24")
    expect(page.locator(".stream[data-stream=residual] .tile")).to_have_count(16)
    page.locator(".stream[data-stream=output] .tile i").first.hover()
    expect(page.locator(".seen + figcaption")).to_have_text(
        re.compile(r"column 1\d, row 1\d of output hears \d+ to \d+ ms, \d+ to \d+ Hz")
    )
    open_panel(page, "Switch it off")
    expect(page.locator("#lesions .knock.branch .class-row")).to_have_count(5, timeout=WAIT)
    slider = page.locator("#gates fieldset").nth(1).locator(".branch")
    slider.focus()
    page.keyboard.press("Home")
    expect(page.locator("#block-2 .wide path.branch.off")).to_have_count(1, timeout=WAIT)
    page.locator("#reset-gates").click()
    expect(page.locator("#roadmap path.off")).to_have_count(0, timeout=WAIT)
    open_panel(page, "Where it looks")
    native = page.locator("#looks img.native")
    assert native.evaluate("img => [img.naturalWidth, img.naturalHeight]") == [3, 3]
    open_panel(page, "Layer by layer")
    expect(page.locator("table.trace")).to_contain_text("1×96×96")
    open_panel(page, "Take it home")
    expect(page.locator("#take code")).to_contain_text('open_sound("sound.wav")')
    assert "sound=" not in page.url.replace("panel=sound", "")  # a recording is never in the address


def test_a_photo_brings_back_the_network_that_sees_and_the_menu_brings_back_the_sound(
    page: Page, listening: str, tmp_path: Path
) -> None:
    opened(page, listening)
    open_panel(page, "Sound")
    page.locator("#sound-4").click()
    expect(page.locator("#network input")).to_have_value("sounds", timeout=WAIT)
    expect(page.locator("#roadmap .stop").first).to_contain_text("as heard", timeout=WAIT)
    assert first_answer(page) == "rising sweep"
    page.wait_for_url("**sound=rising+sweep*")

    draw_photo(3).save(tmp_path / "photo.png")
    page.set_input_files("#photo input[type=file]", tmp_path / "photo.png")
    expect(page.locator("#network input")).to_have_value("test-net", timeout=WAIT)
    expect(page.locator("#roadmap .stop").first).to_contain_text("as seen", timeout=WAIT)
    assert first_answer(page) in ("cat", "dog")

    page.locator("#network input").click()
    page.get_by_role("option", name="sounds").click()
    expect(page.locator("#roadmap .stop").first).to_contain_text("as heard", timeout=WAIT)
    assert first_answer(page) == "rising sweep"


def test_the_network_that_listens_invites_a_sound(page: Page, listening: str) -> None:
    opened(page, listening)
    page.locator("#network input").click()
    page.get_by_role("option", name="sounds").click()
    expect(page.locator("#answer .invite")).to_contain_text("This network listens", timeout=WAIT)
    expect(page.locator("#roadmap .stop").first).to_contain_text("sound")


def test_a_link_to_an_example_sound(page: Page, listening: str) -> None:
    opened(page, f"{listening}/?sound=siren&block=3&panel=sound")
    expect(page.locator("#roadmap button.cell")).to_have_count(5, timeout=WAIT)
    assert first_answer(page) == "siren"
    expect(page.locator("#block-3")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#heard img.heard-picture")).to_be_visible(timeout=WAIT)
    expect(page.locator("#sound-6 span")).to_have_text("siren")


def test_a_bad_file_gets_a_sentence_on_the_page(page: Page, listening: str, tmp_path: Path) -> None:
    opened(page, listening)
    open_panel(page, "Sound")
    (tmp_path / "bad.wav").write_bytes(b"no sound at all " * 99)
    page.locator("#sound").get_by_label("Upload file").click()
    page.locator("#sound input[type=file]").set_input_files(tmp_path / "bad.wav")
    expect(page.get_by_test_id("toast-body")).to_contain_text("please upload a whole", timeout=WAIT)


@pytest.mark.parametrize("width", [390, 1280])
def test_the_panel_fits_the_screen(page: Page, listening: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    opened(page, f"{listening}/?network=sounds&sound=chord&panel=sound")
    expect(page.locator("#heard img.heard-picture")).to_be_visible(timeout=WAIT)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = page.evaluate(
        """() => [...document.querySelectorAll('#tab-sound .panel-words *, #sound-examples *, #heard *')]
            .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))
            .filter(e => parseFloat(getComputedStyle(e).fontSize) < 13).map(e => e.outerHTML.slice(0, 80))"""
    )
    assert small == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_the_panel(page: Page, listening: str, theme: str) -> None:
    axe_core = pytest.importorskip("axe_playwright_python.sync_playwright")
    opened(page, f"{listening}/?network=sounds&sound=chord&panel=sound&__theme={theme}")
    expect(page.locator("#heard img.heard-picture")).to_be_visible(timeout=WAIT)
    page.wait_for_timeout(1000)
    found = [
        (fault["id"], [node["html"][:120] for node in fault["nodes"]])
        for fault in axe_core.Axe().run(page).response["violations"]
        if fault["impact"] in ("serious", "critical")
    ]
    assert not found


@pytest.mark.parametrize("language", OTHERS)
def test_a_visitor_of_another_language_hears_no_english(page: Page, listening: str, language: str) -> None:
    words = catalogue(language)
    opened(page, f"{listening}/?lang={language}")
    open_panel(page, words["Sound"])
    page.locator("#sound-4").click()
    expect(page.locator("#heard .heard-answer b")).to_contain_text(words["rising sweep"], timeout=WAIT)
    (knows,) = (sentence for sentence in words if sentence.startswith("Trained only on sounds that this"))
    expect(page.locator("#answer .knows")).to_contain_text(words[knows])
    page.wait_for_url("**sound=rising+sweep*")  # an address means the same in every language
    page.wait_for_timeout(1500)  # the player comes up
    said: set[str] = set(page.evaluate(EVERYTHING))
    for tab in panel_names(page):
        open_panel(page, tab)
        page.wait_for_timeout(300)
        said |= set(page.evaluate(EVERYTHING))
    open_panel(page, words["Inside a block"])
    page.locator(".stream[data-stream=output] .tile i").first.hover()
    place = "column {column}, row {row} of {stream} hears {begin} to {end} ms, {low} to {high} Hz"
    expect(page.locator(".seen + figcaption")).to_contain_text(longest_of(place, language), timeout=WAIT)
    assert english_left(sorted(said), language) == set()
    with speaking(language):
        block = say("{block} for your sound", block=block_title(0)).capitalize()
    assert {words["tremolo"], words["Skip backwards"], block} <= said
    assert page.evaluate("() => sessionStorage.getItem('photo')") is None  # only examples were shown
    page.get_by_role("link", name="English").click()
    expect(page.locator("#answer .label").first).to_have_text("rising sweep", timeout=WAIT)
    page.wait_for_timeout(1500)  # and no photo comes after it
    expect(page.locator("#answer .label").first).to_have_text("rising sweep")


@pytest.mark.parametrize("language", languages())
def test_every_panel_has_its_tab_in_sight(page: Page, listening: str, language: str) -> None:
    opened(page, f"{listening}/?lang={language}")
    expect(page.locator("#panels .overflow-menu")).to_be_hidden()
