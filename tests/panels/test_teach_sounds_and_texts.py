"""Classes of one's own out of sounds and out of sentences, on the networks that ship."""

from __future__ import annotations

import base64
import io
import wave

import numpy as np
import pytest

from resnet_demo.inference.engine import Engine
from resnet_demo.inference.interface import Limits
from resnet_demo.inference.lazy import Deferred
from resnet_demo.inference.run_cache import KeptRuns
from resnet_demo.networks.cards import read_menu
from resnet_demo.networks.checkpoints import WEIGHTS, available_networks
from resnet_demo.panels.own import teach
from resnet_demo.panels.own.taught_network import lend_taught
from resnet_demo.panels.page import Page

RATE = 16_000
SENTENCES = {
    "weather": (
        "It will rain in the afternoon.",
        "Tomorrow the sun is going to shine.",
        "A cold wind blows from the sea.",
        "There was snow on the hills this morning.",
        "The clouds are low and grey today.",
        "A thunderstorm came over the town at night.",
    ),
    "Wetter": (
        "Am Nachmittag wird es regnen.",
        "Morgen soll die Sonne scheinen.",
        "Ein kalter Wind weht vom Meer.",
        "Heute früh lag Schnee auf den Hügeln.",
        "Die Wolken hängen heute tief und grau.",
        "Nachts zog ein Gewitter über die Stadt.",
    ),
}
HELD_OUT = {
    "The rain will have stopped when the evening comes.": "weather",
    "Wenn der Abend kommt, wird der Regen aufgehört haben.": "Wetter",
}


def whistle(seed: int, low: bool) -> bytes:
    """A WAV of a second: a tone that wanders about 300 or 2,400 Hz, in a little noise."""
    rng = np.random.default_rng(seed)
    pitch = (300 if low else 2_400) * (1 + 0.05 * rng.standard_normal())
    samples = 0.4 * np.sin(2 * np.pi * pitch * np.arange(RATE) / RATE) + 0.02 * rng.standard_normal(RATE)
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, RATE, 0, "NONE", ""))
        sound.writeframes((32_767 * np.clip(samples, -1, 1)).astype("<i2").tobytes())
    return file.getvalue()


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(available_networks(WEIGHTS), "cpu")


def panel_of(engine: Engine) -> teach.TeachPanel:
    page = Page(Deferred(lambda: engine), read_menu(WEIGHTS), KeptRuns(), Limits(), [teach.TeachPanel])
    (found,) = page.panels
    assert isinstance(found, teach.TeachPanel)
    return found


def add(panel: teach.TeachPanel, ticket: str, name: str, network: str, files: list[bytes]) -> int:
    """How many examples were kept of ``files``."""
    id_ = panel.change({"ticket": ticket, "what": "class", "name": name})["id"]
    urls = [f"data:application/octet-stream;base64,{base64.b64encode(data).decode()}" for data in files]
    asked = {"ticket": ticket, "class": id_, "files": urls, "network": panel.page.entry(network).shown}
    told = panel.add(asked)
    assert told["refused"] == []
    return len(told["added"])


def test_two_kinds_of_sound_are_told_apart(engine: Engine) -> None:
    panel = panel_of(engine)
    ticket = panel.teachings.begin(None).ticket
    for name, low in (("low", True), ("high", False)):
        assert add(panel, ticket, name, "digits", [whistle(seed, low) for seed in range(6)]) == 6
    assert "report" in panel.teach({"ticket": ticket})
    teaching = panel.teachings.get(ticket)
    entry = lend_taught(panel.page, "me", teaching, teach.taught_in(teaching))
    assert entry.modality == "sound"
    for low in (True, False):
        said = panel.answers(teach.taught_in(teaching), panel_sound(whistle(99, low)))
        assert said[0][0] == ("low" if low else "high")
        run = engine.run(panel_sound(whistle(99, low)), entry.name)
        assert run.prediction.label == said[0][0] and run.modality == "sound"


def panel_sound(data: bytes) -> object:
    """A sound as the page opens it."""
    from resnet_demo.inputs.decoding import decode_recording

    return decode_recording(data)


def test_sentences_a_line_each_are_told_apart(engine: Engine) -> None:
    panel = panel_of(engine)
    ticket = panel.teachings.begin(None).ticket
    for name, lines in SENTENCES.items():
        assert add(panel, ticket, name, "languages", ["\n".join(lines).encode()]) == 6
    assert "report" in panel.teach({"ticket": ticket})
    teaching = panel.teachings.get(ticket)
    entry = lend_taught(panel.page, "me", teaching, teach.taught_in(teaching))
    assert entry.modality == "text"
    for text, name in HELD_OUT.items():
        assert engine.run(text, entry.name).prediction.label == name
