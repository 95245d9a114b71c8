"""The command line: networks of one's own beside those of the menu."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import draw_photo, lively
from example_networks import field
from safetensors.torch import save_file

from resnet_demo import app
from resnet_demo.networks.checkpoints import Card, CheckpointError, save_checkpoint
from resnet_demo.networks.resnet import ResNet
from resnet_demo.records import Preprocessing
from resnet_demo.tools.app_process import ROOT, free_port


def state_dict(folder: Path, suffix: str = ".safetensors") -> Path:
    torch.manual_seed(0)
    state = lively(field("BasicBlock", (1, 1, 1, 1))).state_dict()
    path = folder / f"mine{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file({k: v.contiguous() for k, v in state.items()}, path)
    (folder / "mine.classes.json").write_text(json.dumps(["a", "b", "c", "d"]))
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_state_dict_comes_first_on_the_menu_and_runs(
    tmp_path: Path, weights_dir: Path, suffix: str
) -> None:
    own = app.OwnCheckpoint(state_dict(tmp_path, suffix), allow_pth=suffix == ".pth")
    engine = app.defer_engine("cpu", weights_dir, own)
    assert engine.get().default == "mine"
    assert engine.get().run(draw_photo(1)).prediction.label in ("a", "b", "c", "d")
    assert engine.get().run(draw_photo(1), "test-net").prediction.label in ("cat", "dog")
    choices = [
        c["props"]["choices"]
        for c in app.build_demo(engine, weights_dir, own).get_config_file()["components"]
        if c["props"].get("elem_id") == "network"
    ]
    assert [value for _, value in choices[0]][:3] == ["mine", "test-net", "ResNet-18"]


def test_a_pth_needs_the_flag(tmp_path: Path, weights_dir: Path) -> None:
    with pytest.raises(CheckpointError, match="--allow-pth"):
        app.defer_engine("cpu", weights_dir, app.OwnCheckpoint(state_dict(tmp_path, ".pth"))).get()


def test_a_checkpoint_of_ours_is_known_by_its_card(tmp_path: Path, weights_dir: Path) -> None:
    model = lively(ResNet(3, widths=(4, 6)))
    card = Card("narrow", model.config, Preprocessing(32), ("cat", "dog"), knows="Little.")
    engine = app.defer_engine("cpu", weights_dir, app.OwnCheckpoint(save_checkpoint(model, card, tmp_path)))
    assert engine.get().default == "narrow"
    assert len(engine.get().run(draw_photo(1)).blocks) == 2


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("mine.safetensors", b"no tensors at all", "mine.safetensors is"),
        ("mine.pth", pickle.dumps({"a": 1}), "mine.pth is a pickle that torch.save did not write"),
        ("mine.onnx", b"\x08\x07pytorch", "mine.onnx is an ONNX model"),
    ],
    ids=["no tensors", "a plain pickle", "ONNX"],
)
def test_who_starts_with_an_unfit_checkpoint_is_told_in_the_terminal(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    """At once, in one sentence, and the exit code is not 0."""
    (tmp_path / name).write_bytes(content)
    command = [sys.executable, "app.py", "--port", str(free_port()), "--allow-pth", "--checkpoint"]
    done = subprocess.run(
        [*command, str(tmp_path / name)], cwd=ROOT, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 1, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line]
    assert line.startswith(said) and line.endswith(".")


def test_a_missing_checkpoint_is_refused_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        app.main(["--checkpoint", "none.safetensors"])
    assert "none.safetensors is not a file" in capsys.readouterr().err
