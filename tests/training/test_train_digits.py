"""Training on recordings: speakers are held out, views stay what was said, the page's input is judged."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from resnet_demo.inputs.sound import sound_picture
from resnet_demo.inputs.sound_decoding import open_recording
from resnet_demo.inputs.synthetic_sounds import RATE, wav_bytes
from resnet_demo.training import evaluate, train_digits
from resnet_demo.training.data import DataError
from resnet_demo.training.digit_data import (
    DIGITS,
    HEARD,
    plain_picture,
    random_picture,
    read_recordings,
    speakers,
)
from resnet_demo.training.loop import Recipe
from resnet_demo.training.train_digits import DigitRecipe, DigitTask, bent, held_out_figures, train


def word(digit: int, seed: int) -> np.ndarray:
    """Two tones one after the other, whose pitches say which digit."""
    rng = np.random.default_rng([digit, seed])
    t = np.arange(int(8000 * rng.uniform(0.3, 0.4))) / 8000
    pitch = np.where(t < t[-1] / 2, 300 + 120 * (digit % 5), 500 + 900 * (digit // 5)) * rng.uniform(
        0.97, 1.03
    )
    return (0.5 * np.sin(2 * np.pi * np.cumsum(pitch) / 8000)).astype(np.float32)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Three speakers, ten digits, two takes."""
    path = tmp_path / "words.tar"
    with tarfile.open(path, "w") as tar:
        for i, speaker in enumerate(("ann", "bob", "cy")):
            for digit in range(10):
                for take in range(2):
                    data = wav_bytes(word(digit, 10 * i + take), 8000)
                    member = tarfile.TarInfo(f"{digit}_{speaker}_{take}.wav")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    return path


def test_recordings_are_read_by_the_pages_way(archive: Path) -> None:
    found = read_recordings(archive)
    assert len(found) == 60 and speakers(found) == ["ann", "bob", "cy"]
    recording = open_recording(wav_bytes(word(3, 0), 8000))
    mine = next(r for r in found if r.digit == 3 and r.speaker == "ann")
    assert np.array_equal(mine.samples, recording.samples)
    picture = sound_picture(recording, HEARD)
    assert picture is not None and np.array_equal(plain_picture(mine.samples), picture)
    assert picture.shape == (72, 72, 3)
    loud = picture[..., 0].max(0) > 200
    middle = np.flatnonzero(loud).mean()
    assert abs(middle - 35.5) < 3  # the word stands in the middle
    with pytest.raises(DataError, match="not a readable archive"):
        read_recordings(archive.with_name("missing.tar"))


def test_a_long_recording_is_heard_where_the_word_is() -> None:
    rng = np.random.default_rng(0)
    long = 0.002 * rng.standard_normal(8000 * 12).astype(np.float32)
    said = word(7, 1)
    long[8000 * 9 : 8000 * 9 + len(said)] += said
    recording = open_recording(wav_bytes(long, 8000))
    assert recording.seconds == pytest.approx(12, abs=0.01)
    assert recording.begin < 9 < recording.begin + len(recording.samples) / RATE
    assert recording.outline is not None and abs(int(recording.outline.argmax()) - 240 * 9.15 / 12) < 8
    picture = sound_picture(recording, HEARD)
    assert picture is not None
    alone = plain_picture(open_recording(wav_bytes(said, 8000)).samples)
    assert np.abs(picture.astype(int) - alone)[alone > 150].mean() < 40  # the same word, now with noise


def test_views_are_other_and_repeatable(archive: Path) -> None:
    (recording, *_) = read_recordings(archive)
    views = [random_picture(recording.samples, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert np.array_equal(views[0], views[1]) and not np.array_equal(views[0], views[2])
    assert views[0].shape == (72, 72) and views[0].max() == 255
    x = torch.from_numpy(np.stack(views)).float().unsqueeze(1) / 255
    found = bent(x, torch.Generator().manual_seed(0))
    assert found.shape == x.shape and 0 <= float(found.min()) <= float(found.max()) <= 1


def test_the_held_out_speaker_is_never_heard(archive: Path, tmp_path: Path) -> None:
    recordings = read_recordings(archive)
    task = DigitTask(recordings, DigitRecipe(held_out="bob", views=1), tmp_path)
    assert {r.speaker for r in task.training} == {"ann", "cy"} and len(task.held) == 20
    assert task.load(0) == 40 and task.views(
        np.arange(5), 0, torch.device("cpu"), torch.Generator().manual_seed(0)
    ).shape == (5, 1, 72, 72)
    assert len(DigitTask(recordings, DigitRecipe(views=1), tmp_path).training) == 60
    with pytest.raises(DataError, match="choose one of ann, bob, cy"):
        DigitTask(recordings, DigitRecipe(held_out="dan"), tmp_path)


def test_trainings_are_put_together_and_judged(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(1)
    recordings = read_recordings(archive)
    recipe = Recipe(stages=((HEARD.size, 2),), batch=20, averaging=0.9)
    with pytest.raises(DataError, match="without ann yet"):
        held_out_figures(tmp_path, speakers(recordings))
    for name in speakers(recordings):
        _, history = train(recordings, DigitRecipe(name, 1, (4, 8), recipe), tmp_path)
        last = {key: history[-1][key] for key in ("accuracy", "n", "interval", "confusion")}
        (tmp_path / name / "held_out.json").write_text(json.dumps(last))
    model, history = train(recordings, DigitRecipe("nobody", 1, (4, 8), recipe), tmp_path)
    figures = held_out_figures(tmp_path, speakers(recordings))
    settings = DigitRecipe("nobody", 1, (4, 8), recipe)
    path = train_digits.export(model, history, settings, figures, tmp_path / "out")
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["network"] == "digits" and card["n"] == 60 and card["classes"] == list(DIGITS)

    folder = tmp_path / "judge"
    for digit, name in ((3, "three"), (7, "7")):
        (folder / name).mkdir(parents=True)
        for take in range(3):
            (folder / name / f"{take}.wav").write_bytes(wav_bytes(word(digit, take), 8000))
    assert evaluate.main(["--network", str(path), "--data", str(folder)]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["n"] == 6 and told["network"] == "digits"
    (folder / "7" / "bad.wav").write_bytes(b"no sound")
    assert evaluate.main(["--network", str(path), "--data", str(folder)]) == 1
    assert "bad.wav cannot be used" in capsys.readouterr().err
