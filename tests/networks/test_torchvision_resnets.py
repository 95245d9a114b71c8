"""torchvision's ResNets and networks of one's own, through the same engine as ours."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import draw_photo, lively
from example_networks import field
from published import decided, published
from safetensors.torch import save_file

from resnet_demo.inference.engine import Engine, EngineError
from resnet_demo.networks import torchvision_resnets as field_module
from resnet_demo.networks.cards import FIELD
from resnet_demo.networks.own_networks import OwnNetwork
from resnet_demo.networks.torchvision_resnets import FILES, SERVER, FieldNetwork, field_networks, load_field
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
    run = Engine({name: OwnNetwork(name, path)}, "cpu").run(draw_photo(1))
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


@pytest.mark.parametrize("name", list(FILES))
def test_the_five_in_their_published_form_answer_as_torchvision_does(name: str, tmp_path: Path) -> None:
    """Fetched, loaded, and asked about 20 photos that torchvision's own recipe prepares for its own
    network."""
    from torchvision import models
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms._presets import ImageClassification

    torch.manual_seed(0)
    model = decided(lively(getattr(models, name.replace("-", "").lower())()))
    file = tmp_path / FILES[name]
    file.write_bytes(published(model))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    engine = Engine({name: FieldNetwork(name, file.as_uri(), digest[:8], tmp_path / "cache")}, "cpu")
    recipe = ImageClassification(crop_size=224, resize_size=256, interpolation=InterpolationMode.BILINEAR)
    count = 20 if name == "ResNet-18" else 4
    for seed in range(count):
        photo = draw_photo(seed, 200 + 37 * seed, 640 - 21 * seed)
        with torch.inference_mode():
            wanted = model(recipe(photo)[None]).softmax(1)[0].numpy()
        run = engine.run(photo, keep=())
        assert np.abs(np.array(run.prediction.chances) - wanted).max() < 1e-5
        assert run.classes[int(wanted.argmax())] == run.prediction.label


def test_a_file_of_the_right_hash_in_the_hubs_cache_is_taken(
    served: FieldNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    data = (tmp_path / "small.pth").read_bytes()
    blob = tmp_path / "hub" / "models--x--y" / "blobs" / hashlib.sha256(data).hexdigest()
    blob.parent.mkdir(parents=True)
    blob.write_bytes(data[:-1])  # of that name, but cut off
    nowhere = FieldNetwork("small", "http://127.0.0.1:9/small.pth", served.sha256, tmp_path / "none")
    with pytest.raises(EngineError, match="no connection"):
        Engine({"small": nowhere}, "cpu").network("small")
    blob.write_bytes(data)
    _model, card = load_field(nowhere)
    assert len(card.classes) == 4
    assert not (tmp_path / "none").exists() or not any((tmp_path / "none").iterdir())


def test_the_page_says_which_weights_these_are() -> None:
    for entry in FIELD:
        assert "IMAGENET1K_V1" in entry.knows and FILES[entry.name] in entry.knows
