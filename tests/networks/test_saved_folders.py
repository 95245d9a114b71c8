"""Folders and files as transformers and timm save them, by their path alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import draw_photo, lively
from example_networks import field, one_thread  # noqa: F401
from owners import contrasted
from safetensors.torch import save_file
from torch import nn

from resnet_demo.inference.engine import Engine
from resnet_demo.inference.forward import to_tensor
from resnet_demo.networks.cards import CheckpointError
from resnet_demo.networks.own_networks import OwnNetwork

NAMES = ("ant", "bee", "cat")


def basic() -> Any:
    torch.manual_seed(0)
    return lively(field("BasicBlock", (1, 1, 1, 1)))  # type: ignore[arg-type]


def by_transformers(folder: Path, **how: Any) -> Any:
    """``save_pretrained`` of network and processor."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        embedding_size=16,
        hidden_sizes=[16, 32],
        depths=[1, 1],
        layer_type="basic",
        id2label={1: "bee", 0: "ant", 2: "cat"},
    )
    model = lively(transformers.ResNetForImageClassification(config))
    model.save_pretrained(folder, **how)
    transformers.ConvNextImageProcessor(size={"shortest_edge": 64}, crop_pct=0.9).save_pretrained(folder)
    return model


def by_timm(folder: Path) -> Any:
    """``save_for_hf``, with the names of the classes in its config.json."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    model = lively(timm.create_model("resnet18d", num_classes=3))
    names = {"label_names": list(NAMES)}
    timm.models.save_for_hf(model, folder, model_config=names, safe_serialization=True)
    return model


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("write", [by_transformers, by_timm])
def test_what_libraries_save_loads_by_its_folder_or_its_file(
    write: Callable[[Path], nn.Module], whole: bool, tmp_path: Path
) -> None:
    model = write(tmp_path)
    engine = Engine({"mine": tmp_path if whole else tmp_path / "model.safetensors"}, "cpu")
    run = engine.run(draw_photo(3, 300, 200))
    assert run.classes == NAMES
    assert "--classes" not in run.notice and "--preprocessing" not in run.notice
    with torch.inference_mode():
        found = model(to_tensor(run.photo, engine.network().card.preprocessing))
        wanted = getattr(found, "logits", found)[0].softmax(0).numpy()
    assert np.allclose(run.prediction.chances, wanted, atol=1e-4)


def test_a_pytorch_model_bin_beside_its_config_loads(tmp_path: Path) -> None:
    model = by_transformers(tmp_path / "new")
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    model.config.save_pretrained(tmp_path)
    engine = Engine({"mine": OwnNetwork("mine", tmp_path, allow_pickle=True)}, "cpu")
    assert engine.run(draw_photo(3)).classes == NAMES
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin is in PyTorch's pickle format"):
        Engine({"mine": tmp_path}, "cpu").network()


def test_one_in_several_files_says_so(tmp_path: Path) -> None:
    by_transformers(tmp_path, max_shard_size="20KB")
    parts = sorted(tmp_path.glob("model-*-of-*.safetensors"))
    assert len(parts) > 1
    for path in (tmp_path, tmp_path / "model.safetensors.index.json", parts[0]):
        with pytest.raises(CheckpointError, match="in several files: save it as one file"):
            Engine({"mine": path}, "cpu").network()


def test_a_path_alone_is_enough_and_a_missing_one_says_so(tmp_path: Path) -> None:
    save_file(basic().state_dict(), tmp_path / "x.safetensors")
    (tmp_path / "x.classes.json").write_text(json.dumps(["ant", "bee", "cat", "dog"]))
    for path in (str(tmp_path / "x.safetensors"), tmp_path / "x.safetensors"):
        assert Engine({"m": path}, "cpu").run(draw_photo(3)).classes == (*NAMES, "dog")
    for missing in (str(tmp_path / "none.safetensors"), tmp_path / "no" / "x.safetensors"):
        with pytest.raises(CheckpointError, match=r"There is no file \w+\.safetensors in .*\."):
            Engine({"m": missing}, "cpu")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="empty is a directory, not a file"):
        Engine({"m": tmp_path / "empty"}, "cpu")


def test_what_was_for_training_alone_is_no_answer(tmp_path: Path) -> None:
    """Thirty prototypes are not thirty classes."""
    torch.save(contrasted(basic().state_dict()), tmp_path / "a.pth")
    run = Engine({"a": OwnNetwork("a", tmp_path / "a.pth", allow_pickle=True)}, "cpu").run(draw_photo(3))
    assert "no last layer" in run.notice and run.prediction.label == "no answer"
