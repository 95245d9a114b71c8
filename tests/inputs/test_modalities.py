"""A further kind of input is one file: it registers itself, and engine, cards, menu and drawings know it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import draw_photo

from resnet_demo import modalities
from resnet_demo.drawing.answer import answer_html, status_html
from resnet_demo.drawing.road_map import roadmap_html
from resnet_demo.inference.engine import Engine, EngineError
from resnet_demo.networks.cards import read_menu
from resnet_demo.networks.checkpoints import Card, available_networks, save_checkpoint
from resnet_demo.networks.resnet import ResNet
from resnet_demo.records import Preprocessing

LETTERS = """
import numpy as np
from resnet_demo.i18n import later
from resnet_demo.modalities import Modality, register

SIDE = 24

def rows(given, preprocessing):
    if not isinstance(given, str):
        return None
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    for column, letter in enumerate(given[:SIDE]):
        picture[ord(letter) % SIDE, column] = 255
    return picture

WORDS = "noun taken as_seen as_taken of_run title block silent spent".split()
WORDS += "strength fresh invitation refusal missing".split()
words = {word: later("letters: " + word) for word in WORDS}
words["refusal"] = later("{name} reads letters: write it some.")
extent = lambda size: f"{size} letters"
register(Modality(name="letters", to_picture=rows, extent=extent, code='run("a"', **words))
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a small random network for letters, its modality in a module outside of the package."""
    folder = tmp_path_factory.mktemp("letters")
    (folder / "letters_modality.py").write_text(LETTERS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        assert {"photo", "sound"} <= {modality.name for modality in modalities.modalities()}
        patch.setattr(modalities, "_modalities", dict(modalities._modalities))
        importlib.import_module("letters_modality")
        torch.manual_seed(0)
        taken = Preprocessing(24, "squash", (0.1,), (0.3,), "letters")
        model = ResNet(1, widths=(4, 8, 8), num_logits=3)
        save_checkpoint(model, Card("reader", None, taken, ("a", "b", "c")), folder)
        yield folder


def test_a_network_takes_what_its_modality_makes_pictures_of(weights: Path) -> None:
    (entry,) = read_menu(weights)
    assert entry.modality == "letters"
    engine = Engine(available_networks(weights), "cpu")
    assert engine.first_taking("letters") == "reader"
    assert engine.first_taking("sound") is None
    one, other = engine.run(["hello", "world"])
    alone = engine.run("hello")
    assert alone.modality == "letters"
    assert alone.photo[ord("h") % 24, 0].tolist() == [255] * 3
    assert [block.shape for block in alone.blocks] == [(4, 12, 12), (8, 6, 6), (8, 3, 3)]
    assert alone.prediction.logit == pytest.approx(one.prediction.logit, abs=1e-5)
    assert not np.array_equal(one.blocks[0].output, other.blocks[0].output)
    assert engine.run(alone.photo).prediction == alone.prediction
    with pytest.raises(EngineError, match="reader reads letters"):
        engine.run(draw_photo(0))
    with pytest.raises(EngineError, match="No network here listens"):
        engine.hear(np.zeros(100, np.float32))


def test_the_page_speaks_of_it_in_its_own_words(weights: Path) -> None:
    run = Engine(available_networks(weights), "cpu").run("hello")
    assert "letters: as_seen" in roadmap_html(run)
    assert "letters: noun" in roadmap_html(None, modality="letters")
    assert "letters: invitation" in answer_html(None, "", "letters")
    assert "letters: spent" in status_html(run, "")


def test_old_cards_call_it_sense_and_unknown_ones_are_refused() -> None:
    assert Preprocessing.from_card({"size": 96, "sense": "sound"}).modality == "sound"
    assert Preprocessing.from_card({"size": 96}).modality == "photo"
    with pytest.raises(ValueError, match=r"takes one of .*photo.*got 'smell'"):
        Preprocessing.from_card({"modality": "smell"})
