"""torchvision's ResNets and networks of one's own, through the same engine as ours."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import draw_photo, lively
from example_networks import field
from safetensors.torch import save_file

from resnet_demo.inference.engine import Engine, EngineError
from resnet_demo.networks import torchvision_resnets as field_module
from resnet_demo.networks.cards import FIELD
from resnet_demo.networks.checkpoints import CheckpointError
from resnet_demo.networks.torchvision_resnets import (
    FILES,
    SERVER,
    FieldNetwork,
    build,
    field_networks,
    load_own,
    own_network,
    read_state,
)
from resnet_demo.records import Gate

TABLE = dict(FILES), str(SERVER)  # before a live server in the same process is pointed elsewhere


def test_the_addresses_are_torchvisions() -> None:
    from torchvision import models

    files, address = TABLE
    for name, file in files.items():
        weights = getattr(models, name.replace("-", "") + "_Weights").IMAGENET1K_V1
        assert weights.url == address + file
        megabytes = weights.meta["_file_size"] * 1.048576
        entry = next(e for e in FIELD if e.name == name)
        assert f"{megabytes:.0f} MB" in entry.title
    assert [n.sha256 for n in field_networks().values()] == [f[-12:-4] for f in FILES.values()]
    assert [n.url for n in field_networks().values()][1:] == [
        field_module.SERVER + f for f in FILES.values()
    ][1:]


@pytest.mark.parametrize("name", list(FILES))
def test_each_of_the_five_runs_with_every_block_adding_up(name: str, tmp_path: Path) -> None:
    from torchvision import models

    torch.manual_seed(0)
    model = lively(getattr(models, name.replace("-", "").lower())())
    path = tmp_path / f"{name}.safetensors"
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path)
    (tmp_path / f"{name}.classes.json").write_text(json.dumps([f"class {i}" for i in range(1000)]))
    run = Engine({name: own_network(path)}, "cpu").run(draw_photo(1))
    assert len(run.blocks) == next(e.blocks for e in FIELD if e.name == name)
    assert run.photo.shape == (224, 224, 3)
    assert len(run.prediction.confidences) == 5
    assert sum(run.prediction.chances) == pytest.approx(1)
    for block in run.blocks:
        scale = max(1.0, float(np.abs(block.pre_activation).max()))
        total = block.residual.astype(np.float32) + block.shortcut.astype(np.float32)
        assert np.abs(total - block.pre_activation).max() <= 3e-3 * scale  # float16 on the host
        assert np.array_equal(np.maximum(block.pre_activation, 0), block.output)
    assert run.activation is not None
    assert run.activation.places.shape == (7, 7)
    assert run.activation.logit == pytest.approx(run.prediction.logit, rel=2e-2, abs=2e-2)
    assert run.fields[run.blocks[-1].name, "output"].jump == 32


@pytest.fixture
def served(tmp_path: Path) -> FieldNetwork:
    """A small ResNet as .pth behind a file:// address, with its true hash."""
    torch.manual_seed(0)
    torch.save(lively(field("BasicBlock", (1, 1, 1, 1))).state_dict(), tmp_path / "small.pth")
    digest = hashlib.sha256((tmp_path / "small.pth").read_bytes()).hexdigest()
    return FieldNetwork("small", (tmp_path / "small.pth").as_uri(), digest[:8], tmp_path / "cache")


def test_the_first_choice_fetches_and_later_ones_do_not(served: FieldNetwork, tmp_path: Path) -> None:
    engine = Engine({"small": served}, "cpu")
    told: list[float] = []
    engine.network("small", told.append)
    assert told[-1] == 1
    run = engine.run(draw_photo(2), "small")
    assert [b.name for b in run.blocks] == [f"layer{i}.0" for i in (1, 2, 3, 4)]
    assert run.classes == ("class 0", "class 1", "class 2", "class 3")
    found = engine.ablation(run)
    assert len(found.paths) == 16
    assert found.whole == pytest.approx(run.prediction.confidences[0].confidence, abs=1e-5)
    off = engine.run(run.photo, "small", [Gate(shortcut=0), *[Gate()] * 3])
    answer = run.classes.index(found.label)
    assert found.without_shortcut[0] == pytest.approx(off.prediction.chances[answer], abs=1e-4)
    (tmp_path / "small.pth").unlink()
    assert Engine({"small": served}, "cpu").run(draw_photo(2), "small").prediction == run.prediction


def test_a_network_that_cannot_be_fetched_says_so_and_the_others_go_on(
    served: FieldNetwork, tmp_path: Path
) -> None:
    gone = FieldNetwork("gone", "http://127.0.0.1:9/gone.pth", "0" * 8, tmp_path / "cache")
    engine = Engine({"small": served, "gone": gone}, "cpu")
    for _ in range(2):
        with pytest.raises(EngineError, match=r"no connection.*put gone\.pth from") as caught:
            engine.run(draw_photo(1), "gone")
        assert str(caught.value).endswith(".")
        assert engine.run(draw_photo(1), "small").prediction.label


def own(
    folder: Path, classes: object = ("a", "b", "c", "d"), kind: str = "Bottleneck", **options: int
) -> Path:
    torch.manual_seed(0)
    model = lively(field(kind, (1, 2, 1, 1), **options))
    path = folder / "mine.safetensors"
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path)
    (folder / "mine.classes.json").write_text(json.dumps(classes))
    return path


def test_a_network_of_ones_own_of_any_width(tmp_path: Path) -> None:
    model, card = load_own(own_network(own(tmp_path, groups=4, width_per_group=32)))
    assert card.classes == ("a", "b", "c", "d")
    assert "mine.safetensors" in card.knows
    with torch.inference_mode():
        assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 4)


def test_class_names_that_do_not_fit_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="4 outputs, which need 4 class names, not 2"):
        load_own(own_network(own(tmp_path, ["a", "b"])))
    for bad in ({}, [], [1], "abc"):
        with pytest.raises(CheckpointError, match="JSON list of class names"):
            own_network(own(tmp_path, bad))
    (tmp_path / "mine.classes.json").unlink()
    with pytest.raises(CheckpointError, match=r"mine\.classes\.json"):
        own_network(tmp_path / "mine.safetensors")


class Sentinel:
    """Unpickling it creates a file: nothing that we load may do that."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.open, (self.path, os.O_CREAT)


def test_pickles_run_nothing_and_are_refused_unless_allowed(tmp_path: Path) -> None:
    state = lively(field("BasicBlock", (1, 1, 1, 1))).state_dict()
    good, bad = tmp_path / "good.pth", tmp_path / "bad.pth"
    torch.save(state, good)
    sentinel = tmp_path / "executed"
    torch.save({"conv1.weight": Sentinel(sentinel)}, bad)
    with pytest.raises(CheckpointError, match="--allow-pth"):
        read_state(good, allow_pickle=False)
    assert read_state(good, allow_pickle=True).keys() == state.keys()
    for allow in (False, True):
        with pytest.raises(CheckpointError):
            read_state(bad, allow_pickle=allow)
    assert not sentinel.exists()


def test_damaged_files_are_told_apart(tmp_path: Path) -> None:
    whole = tmp_path / "whole.pth"
    torch.save(lively(field("BasicBlock", (1, 1, 1, 1))).state_dict(), whole)
    data = whole.read_bytes()
    cut = tmp_path / "cut.pth"
    for share in (0, 1, 100, len(data) // 2, len(data) - 1):
        cut.write_bytes(data[:share])
        with pytest.raises(CheckpointError, match=r"cut\.pth"):
            read_state(cut, allow_pickle=True)
    torch.save([1, 2], cut)
    with pytest.raises(CheckpointError, match="not a state dict"):
        read_state(cut, allow_pickle=True)
    with pytest.raises(CheckpointError, match="could not be read"):
        read_state(tmp_path / "none.pth", allow_pickle=True)
    shutil.rmtree(tmp_path / "x", ignore_errors=True)
    for state in ({}, {"layer1.0.conv1.weight": torch.zeros(1)}, {"layer1.x.y": torch.zeros(3)}):
        with pytest.raises(CheckpointError, match="not the state dict of one of torchvision's"):
            build(state, "x.pth")


def test_a_file_in_the_published_form_has_no_counters_and_loads() -> None:
    """torchvision's own files were written before batch norms counted their batches."""
    model = lively(field("BasicBlock", (1, 1, 1, 1)))
    published = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    assert len(published) < len(model.state_dict())
    built = build(published, "published.pth")
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(built(x), model(x))
