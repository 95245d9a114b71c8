"""Training on texts: the split, spans of equal length, lookups that compute the same, a stop on the way."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SHARED

from resnet_demo.inference.letters import one_hot
from resnet_demo.inputs.alphabet import KINDS, Alphabet
from resnet_demo.networks.resnet import ResNet
from resnet_demo.training import evaluate, train_languages, udhr
from resnet_demo.training.data import DataError
from resnet_demo.training.language_accuracy import labelled_texts
from resnet_demo.training.loop import Recipe
from resnet_demo.training.text_data import Spans, Texts, choose_channels, read_archive
from resnet_demo.training.train_languages import (
    LanguageRecipe,
    LanguageTask,
    letters_as_lookups,
    train,
    without_unused_rows,
)

WORDS = {
    "aa": ["ana", "bana", "cana", "dana", "lana", "mana", "nana", "rana", "sana", "tana"],
    "bb": ["øk", "bøk", "døk", "løk", "møk", "nøk", "røk", "søk", "tøk", "vøk"],
    "gr": ["αλφα", "βητα", "γαμα", "δελτα", "εψιλον", "ζητα", "ητα", "θητα", "ιωτα", "καπα"],
}


def sentence(language: str, rng: np.random.Generator) -> str:
    return " ".join(rng.choice(WORDS[language], 12)).capitalize() + "."


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Three made-up languages, two of which share a script."""
    rng = np.random.default_rng(0)
    path = tmp_path / "texts.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for language, words in WORDS.items():
            for kind, lines in (
                ("sentences", [sentence(language, rng) for _ in range(60)]),
                ("word-pairs", [f"{a} {b}" for a, b in zip(words, words[::-1], strict=True)]),
            ):
                data = "".join(f"{line}\n" for line in lines).encode()
                member = tarfile.TarInfo(f"lingua/{kind}/{language}.txt")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return path


def test_every_tenth_line_is_validation(archive: Path) -> None:
    texts = read_archive(archive)
    assert list(texts) == ["aa", "bb", "gr"]
    held, rest = texts["aa"].part(validation=True), texts["aa"].part(validation=False)
    assert held.sentences == texts["aa"].sentences[::10] and len(held.sentences) == 6
    assert sorted(held.sentences + rest.sentences) == sorted(texts["aa"].sentences)
    assert not set(held.pairs) & set(rest.pairs)
    with pytest.raises(DataError, match="not a readable archive"):
        read_archive(archive.with_name("missing.tar.gz"))


def test_only_letters_of_shared_scripts_have_channels(archive: Path) -> None:
    channels = choose_channels(read_archive(archive))
    assert {" ", ".", "a", "ø", "k"} <= set(channels)
    assert not set("αβγ") & set(channels) and "Greek" in channels  # its script tells the language
    assert set(KINDS) <= set(channels)


def test_spans_have_one_length_and_short_ones_are_whole_words(archive: Path) -> None:
    texts = read_archive(archive)
    alphabet = Alphabet(choose_channels(texts))
    spans = Spans(texts, alphabet)
    rng = np.random.default_rng(0)
    space = alphabet.index[" "]
    for length in (6, 11, 24, 40, 100):
        for language in range(3):
            for _ in range(10):
                span = spans.draw(language, length, rng)
                assert span.shape == (length,) and span[0] == space
    letters = [alphabet.channels[i] for i in spans.draw(0, 6, rng)]
    assert "".join(letters).strip() in WORDS["aa"]


def test_lookups_give_the_sums_of_the_convolutions(archive: Path) -> None:
    task = LanguageTask(read_archive(archive), LanguageRecipe(spans=8, widths=(8, 8)))
    plain, fast = ResNet.from_config(task.config).eval(), ResNet.from_config(task.config).eval()
    fast.load_state_dict(plain.state_dict())
    letters_as_lookups(fast)
    views = task.views(np.arange(6), 0, torch.device("cpu"), torch.Generator().manual_seed(0))
    whole = one_hot(views[:, 0, 0].numpy(), len(task.alphabet.channels))
    assert whole.sum() == views.numel()
    with torch.no_grad():
        assert torch.allclose(fast(views), plain(whole), atol=1e-5)
        assert torch.equal(without_unused_rows(plain)(whole), plain(whole))


def test_training_goes_on_where_it_stopped_and_tells_languages_apart(archive: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    recipe = Recipe(stages=((512, 3),), batch=15, dropout=0.0, averaging=0.9)
    settings = LanguageRecipe(spans=40, widths=(8, 8), recipe=recipe)
    texts = read_archive(archive)
    task, whole, history = train(texts, settings, tmp_path / "whole")
    assert history[-1]["loss"] < history[0]["loss"] and history[-1]["accuracy"] > 0.9
    train(texts, settings, tmp_path / "parts", minutes=0)
    _, again, rest = train(texts, settings, tmp_path / "parts")
    assert [r["loss"] for r in rest] == [r["loss"] for r in history]
    assert all(torch.equal(t, again.state_dict()[name]) for name, t in whole.state_dict().items())
    path = train_languages.export(task, whole, history, tmp_path / "out")
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["classes"] == ["aa", "bb", "gr"] and card["preprocessing"]["modality"] == "text"
    assert set(card["details"]["validation"]) == {"sentences", "words"}

    folder = tmp_path / "judge"
    folder.mkdir()
    rng = np.random.default_rng(9)
    for language in ("aa", "gr"):
        lines = [sentence(language, rng) for _ in range(7)]
        (folder / f"{language}.txt").write_text("\n\n".join(lines))
    texts_read, labels = labelled_texts(folder, card["classes"])
    assert len(texts_read) == 14 and labels.tolist() == [0] * 7 + [2] * 7


def test_evaluate_judges_texts(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.set_num_threads(1)
    recipe = Recipe(stages=((512, 2),), batch=15, dropout=0.0, averaging=0.9)
    task, model, history = train(
        read_archive(archive), LanguageRecipe(spans=40, widths=(8, 8), recipe=recipe), tmp_path / "runs"
    )
    path = train_languages.export(task, model, history, tmp_path / "out")
    folder = tmp_path / "judge"
    folder.mkdir()
    (folder / "aa.txt").write_text("ana bana cana\nlana\n")
    assert evaluate.main(["--network", str(path), "--data", str(folder)]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["n"] == 2 and told["network"] == "languages" and 0 <= told["accuracy"] <= 1
    (folder / "xx.txt").write_text("who knows\n")
    assert evaluate.main(["--network", str(path), "--data", str(folder)]) == 1
    assert "xx.txt; this network knows aa, bb, gr" in capsys.readouterr().err
    assert evaluate.main(["--network", str(path), "--shards", str(archive)]) == 1
    assert "--data DIR" in capsys.readouterr().err


def test_the_declaration_is_cut_into_sentences_and_words() -> None:
    found = udhr.sentences_of(["Everyone has the right to life. No one shall be held in slavery; never."])
    assert found == ["Everyone has the right to life.", "No one shall be held in slavery;"]
    assert udhr.words_of(["The right, the (RIGHT) to 2 lives!"]) == ["the", "right", "to", "lives"]
    assert len(udhr.TRANSLATIONS) == 75


@pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="the texts are not beside the project")
def test_the_declaration_in_75_languages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = SHARED / "data" / "language-text.tar.gz"
    assert udhr.main(["--archive", str(archive), "--out", str(tmp_path)]) == 0
    assert "75 languages" in capsys.readouterr().out
    assert len(list((tmp_path / "sentences").glob("*.txt"))) == 75
    english = (tmp_path / "sentences" / "en.txt").read_text(encoding="utf-8").splitlines()
    assert "Everyone has the right to life, liberty and the security of person." in english


def test_texts_is_a_record() -> None:
    assert Texts(("a",), ()).part(validation=True).sentences == ("a",)
