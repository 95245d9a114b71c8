"""Teaching from the command line: folders in, accuracy by block and a checkpoint out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_demo.inference.engine import Engine
from resnet_demo.networks.checkpoints import available_networks
from resnet_demo.training.teach import main


def folders(where: Path, each: int = 6) -> Path:
    for colour, name in enumerate(("red", "green", "blue")):
        (where / name).mkdir(parents=True)
        for i in range(each):
            rng = np.random.default_rng(100 * colour + i)
            pixels = rng.integers(0, 90, (80, 100, 3))
            pixels[..., colour] += 150
            Image.fromarray(pixels.astype(np.uint8)).save(where / name / f"{i}.png")
    return where


def test_a_folder_is_taught_and_saved(
    tmp_path: Path, weights_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = folders(tmp_path / "data")
    (data / "red" / "broken.jpg").write_bytes(b"no picture")
    (checkpoint,) = weights_dir.glob("test-net-*[0-9a-f].safetensors")
    assert main([str(data), "--network", str(checkpoint), "--out", str(tmp_path / "mine")]) == 0
    said = capsys.readouterr()
    assert "broken.jpg: This file is damaged" in said.err
    told = json.loads(said.out.splitlines()[-1])
    assert told["n"] == 18 and len(told["accuracy"]) == 5 and max(told["accuracy"].values()) > 0.8
    assert said.out.count("*") == 1 and "n = 18" in said.out
    networks = available_networks(tmp_path / "mine")
    assert list(networks) == ["mine"]
    run = Engine(networks, "cpu").run(data / "green" / "0.png")
    assert run.classes == ("blue", "green", "red") and run.prediction.label == "green"


def test_one_folder_or_none_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "one").mkdir()
    for folder in (tmp_path, tmp_path / "nowhere"):
        assert main([str(folder)]) == 1
        assert "two classes or more" in capsys.readouterr().err
