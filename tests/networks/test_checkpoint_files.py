"""Files that people bring: nothing in them is run, and damaged or foreign ones are told apart in one
sentence."""

from __future__ import annotations

import bz2
import io
import json
import lzma
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import lively
from example_networks import field
from owners import preactivated
from safetensors.torch import save_file
from torch import nn

from resnet_demo.networks.cards import CheckpointError
from resnet_demo.networks.checkpoint_files import read_checkpoint_file
from resnet_demo.networks.own_networks import OwnNetwork, load_own, recognize


def small_state() -> dict[str, torch.Tensor]:
    """The state dict of a small ResNet of torchvision's with four classes."""
    torch.manual_seed(0)
    return dict(lively(field("BasicBlock", (1, 1, 1, 1))).state_dict())


def own(folder: Path, classes: object = ("a", "b", "c", "d"), **options: int) -> OwnNetwork:
    """A network of torchvision's bottlenecks, with a list of class names beside it."""
    torch.manual_seed(0)
    model = lively(field("Bottleneck", (1, 2, 1, 1), **options))
    path = folder / "mine.safetensors"
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path)
    (folder / "mine.classes.json").write_text(json.dumps(classes))
    return OwnNetwork("mine", path)


def test_a_network_of_ones_own_of_any_width(tmp_path: Path) -> None:
    model, card = load_own(own(tmp_path, groups=4, width_per_group=32))
    assert card.classes == ("a", "b", "c", "d")
    assert "mine.safetensors" in card.knows
    with torch.inference_mode():
        assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 4)


def test_class_names_that_do_not_fit_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="4 outputs, which need 4 class names, not 2"):
        load_own(own(tmp_path, ["a", "b"]))
    for bad in ({}, [], [1]):
        with pytest.raises(CheckpointError, match=r"mine\.classes\.json is no list of class names"):
            load_own(own(tmp_path, bad))
    with pytest.raises(CheckpointError, match="4 class names, not 1"):
        load_own(own(tmp_path, "abc"))
    (tmp_path / "mine.classes.json").unlink()
    _model, card = load_own(OwnNetwork("mine", tmp_path / "mine.safetensors"))
    assert card.classes == ("class 0", "class 1", "class 2", "class 3")
    assert any("--classes" in sentence for sentence in card.assumed)
    with pytest.raises(CheckpointError, match=r"names\.json is missing"):
        load_own(OwnNetwork("mine", tmp_path / "mine.safetensors", tmp_path / "names.json"))


class Sentinel:
    """Unpickling it creates a file: nothing that we load may do that."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.open, (self.path, os.O_CREAT)


class Callback:
    """An object of a class of the training script's, as checkpoints of training programs hold them."""

    def __init__(self) -> None:
        self.patience = 3


BEARERS: dict[str, Callable[[Any, dict[str, torch.Tensor]], Any]] = {
    "as a tensor": lambda evil, _state: {"conv1.weight": evil},
    "beside the state dict": lambda evil, state: {"state_dict": state, "callbacks": evil},
    "as the whole": lambda evil, _state: evil,
    "as a key": lambda evil, state: {"state_dict": state, "options": [evil, {"x": evil}]},
}


@pytest.mark.parametrize("bearer", BEARERS)
@pytest.mark.parametrize("form", ["zip", "legacy", "plain pickle"])
@pytest.mark.parametrize("name", ["bad.pth", "bad.safetensors", "bad.ckpt", "bad"])
def test_nothing_in_a_file_is_run(bearer: str, form: str, name: str, tmp_path: Path) -> None:
    sentinel, path = tmp_path / "executed", tmp_path / name
    given = BEARERS[bearer](Sentinel(sentinel), small_state())
    if form == "plain pickle":
        path.write_bytes(pickle.dumps(given))
    else:
        torch.save(given, path, _use_new_zipfile_serialization=form == "zip")
    for allowed in (False, True):
        try:
            load_own(OwnNetwork("bad", path, allow_pickle=allowed))
        except CheckpointError as error:
            assert name in str(error) and str(error).endswith(".")
        else:  # the tensors alone, with something inert in its place
            assert allowed and bearer in ("beside the state dict", "as a key")
        assert not sentinel.exists()


def test_pickles_are_refused_unless_allowed(tmp_path: Path) -> None:
    state = small_state()
    for name in ("good.pth", "good.pt", "good.ckpt", "good.pth.tar", "good.bin", "good"):
        for zipped in (True, False):
            torch.save(state, tmp_path / name, _use_new_zipfile_serialization=zipped)
            with pytest.raises(CheckpointError, match="--allow-pth"):
                read_checkpoint_file(tmp_path / name, allow_pickle=False)
            assert read_checkpoint_file(tmp_path / name, allow_pickle=True).keys() == state.keys()


def test_objects_beside_the_tensors_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "epoch.ckpt"
    for zipped in (True, False):
        torch.save(
            {"state_dict": small_state(), "hyper_parameters": Callback(), "epoch": np.float64(3)},
            path,
            _use_new_zipfile_serialization=zipped,
        )
        model, _card = load_own(OwnNetwork("epoch", path, allow_pickle=True))
        assert torch.equal(model.state_dict()["conv1.weight"], small_state()["conv1.weight"])


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_pickles_are_told_apart(zipped: bool, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.pth", tmp_path / "cut.pth"
    torch.save(small_state(), whole, _use_new_zipfile_serialization=zipped)
    data = whole.read_bytes()
    for share in (0, 1, 100, len(data) // 2, len(data) - 1):
        cut.write_bytes(data[:share])
        with pytest.raises(CheckpointError, match=r"cut\.pth is (damaged|empty|in PyTorch)") as caught:
            load_own(OwnNetwork("cut", cut, allow_pickle=True))
        assert str(caught.value).endswith(".")
    torch.save([1, 2], cut, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"cut\.pth holds no state dict"):
        load_own(OwnNetwork("cut", cut, allow_pickle=True))
    with pytest.raises(CheckpointError, match=r"none\.pth is missing"):
        load_own(OwnNetwork("none", tmp_path / "none.pth", allow_pickle=True))


def test_damaged_safetensors_are_told_apart(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.safetensors", tmp_path / "cut.safetensors"
    save_file(small_state(), whole)
    data = whole.read_bytes()
    for share in (0, 1, 7, 8, 100, len(data) // 2, len(data) - 1):
        cut.write_bytes(data[:share])
        with pytest.raises(CheckpointError, match=r"cut\.safetensors is (damaged|empty|not)"):
            load_own(OwnNetwork("cut", cut))


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({}, "holds no tensors"),
        ({"layer1.0.conv1.weight": torch.zeros(1)}, "form that is not known"),
        ({"layer1.x.y": torch.zeros(3)}, "not the state dict of a ResNet"),
        ({"layer1.0.conv1.weight": torch.zeros(4, 4, 3, 3)}, "form that is not known"),
    ],
)
def test_state_dicts_of_nothing_are_refused(state: dict[str, torch.Tensor], says: str) -> None:
    with pytest.raises(CheckpointError, match=says) as caught:
        recognize(state, {}, "x.pth")
    assert str(caught.value).startswith("x.pth ")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_named(value: float) -> None:
    state = small_state()
    state["layer3.0.conv2.weight"][0, 0, 0, 0] = value
    with pytest.raises(CheckpointError, match=r"not finite, in layer3\.0\.conv2\.weight"):
        recognize(state, {}, "x.pth")


@pytest.mark.parametrize("key", ["bn1.running_var", "layer2.0.downsample.0.weight", "layer4.0.bn2.weight"])
def test_a_tensor_that_is_missing_is_named(key: str) -> None:
    state = small_state()
    del state[key]
    with pytest.raises(CheckpointError, match=r"x\.pth"):
        recognize(state, {}, "x.pth")


def archive(**members: str) -> bytes:
    """A zip archive of text members, whose names have a dot for each double underline."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        for name, text in members.items():
            file.writestr(name.replace("__", "."), text)
    return target.getvalue()


def scripted() -> bytes:
    target = io.BytesIO()
    torch.jit.save(torch.jit.trace(nn.Conv2d(3, 4, 3), torch.zeros(1, 3, 8, 8)), target)
    return target.getvalue()


def saved(thing: object, **how: bool) -> bytes:
    target = io.BytesIO()
    torch.save(thing, target, **how)
    return target.getvalue()


def exported() -> bytes:
    target = io.BytesIO()
    torch.export.save(torch.export.export(nn.Conv2d(3, 4, 3), (torch.zeros(1, 3, 8, 8),)), target)
    return target.getvalue()


def tape() -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive_file:
        archive_file.addfile(tarfile.TarInfo("model.pth"))
    return target.getvalue()


def volumes() -> dict[str, torch.Tensor]:
    return {k: v.unsqueeze(2) if v.ndim == 4 else v for k, v in small_state().items()}


def quantised() -> dict[str, torch.Tensor]:
    return {k: v.mul(10).to(torch.int8) if v.ndim == 4 else v for k, v in small_state().items()}


def pair(*prefixes: str) -> dict[str, torch.Tensor]:
    return {prefix + key: tensor for prefix in prefixes for key, tensor in small_state().items()}


FOREIGN: list[tuple[str, Callable[[], bytes], str]] = [
    ("model.onnx", lambda: b"\x08\x07\x12\x07pytorch", "an ONNX model: save model.state_dict"),
    ("model.h5", lambda: b"\x89HDF\r\n\x1a\n" + b"\0" * 100, "a Keras or HDF5 file"),
    ("model.pth", lambda: b"\x89HDF\r\n\x1a\n" + b"\0" * 100, "a Keras or HDF5 file"),
    ("model.keras", lambda: archive(config__json="{}"), "a Keras or HDF5 file"),
    ("model.tflite", lambda: b"\x1c\0\0\0TFL3", "a TensorFlow Lite model"),
    ("model.pb", lambda: b"\x0a\x05", "a TensorFlow model"),
    ("model.npz", lambda: archive(a__npy="x"), "a NumPy archive: save model.state_dict"),
    ("model.pth", lambda: b"<!DOCTYPE html><html>", "a web page: download the file itself"),
    ("model.safetensors", lambda: b"<!doctype html><html>", "a web page: download the file itself"),
    ("model.safetensors", lambda: b"\n\n<HTML><body>404", "a web page: download the file itself"),
    ("model.safetensors", lambda: b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
    ("model.pth", lambda: b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
    ("model.gguf", lambda: b"GGUF\x03\0\0\0", "a GGUF file"),
    ("model.pth.gz", lambda: b"\x1f\x8b\x08\0", "a compressed archive: unpack it"),
    ("model.zip", lambda: archive(readme__txt="hello"), "an archive without a checkpoint: unpack it"),
    ("model.pt", scripted, "a TorchScript program: save model.state_dict"),
    (
        "model.pth",
        lambda: saved(nn.Sequential(nn.Conv2d(3, 4, 3))),
        "a whole pickled model: save model.state",
    ),
    (
        "model.pth",
        lambda: saved(nn.Conv2d(3, 4, 3), _use_new_zipfile_serialization=False),
        "a whole pickled model: save model.state",
    ),
    ("model.pth", lambda: saved({"model": field("BasicBlock", (1, 1, 1, 1))}), "a whole pickled model"),
    ("model.safetensors", lambda: saved(small_state()), "rename it to .pth"),
    ("model.safetensors.index.json", lambda: b"{}", "in several files: save it as one"),
    ("empty.pth", lambda: b"", "is empty"),
    ("model.pkl", lambda: pickle.dumps(small_state()), "a pickle that torch.save did not write"),
    ("model.pdparams", lambda: pickle.dumps({"w": [1.0]}), "a pickle that torch.save did not write"),
    ("model.pt2", exported, "a program of torch.export: save model.state_dict"),
    ("model.pt", exported, "a program of torch.export: save model.state_dict"),
    ("model.mlmodel", lambda: b"\x08\x01\x12\x00", "a model of another program"),
    ("flax_model.msgpack", lambda: b"\x82\xa6params\x80", "a model of another program"),
    ("model.ckpt.index", lambda: bytes(50), "a model of another program"),
    ("model.tar", tape, "a compressed archive: unpack it first"),
    ("model.7z", lambda: b"7z\xbc\xaf\x27\x1c" + bytes(20), "a compressed archive: unpack it first"),
    ("model.rar", lambda: b"Rar!\x1a\x07\x01\0" + bytes(20), "a compressed archive: unpack it first"),
    ("model.xz", lambda: lzma.compress(b"x"), "a compressed archive: unpack it first"),
    ("model.bz2", lambda: bz2.compress(b"x"), "a compressed archive: unpack it first"),
    ("video.pth", lambda: saved(volumes()), "a network for videos or volumes: photos have two"),
    ("int8.pth", lambda: saved(quantised()), "conv1.weight as int8, not as floating-point"),
    (
        "sparse.pth",
        lambda: saved({**small_state(), "fc.weight": torch.eye(4, 512).to_sparse()}),
        "as sparse_coo",
    ),
    ("meta.pth", lambda: saved({k: v.to("meta") for k, v in small_state().items()}), "as meta, not as"),
    ("pair.pth", lambda: saved((small_state(), 3)), "holds no state dict"),
    (
        "moco.pth",
        lambda: saved(pair("encoder_q.", "encoder_k.")),
        "several networks ('encoder_k.', 'encoder_q.')",
    ),
    ("preact.pth", lambda: saved(preactivated()), "a pre-activation network"),
    ("distilled.pth", lambda: saved(pair("student.", "teacher.")), "several networks"),
    ("model-00001-of-00002.safetensors", lambda: b"", "in several files: save it as one"),
    ("model.pth", lambda: b"\x93NUMPY\x01\0", "a NumPy array"),
    ("model.txt", lambda: b"hello", "damaged, or neither safetensors nor"),
    ("model.json", lambda: b"{}", "a JSON file: bring"),
    ("optimizer.pth", lambda: saved({"state": {}, "param_groups": []}), "an optimizer's state"),
    ("tensor.pth", lambda: saved(torch.zeros(3)), "holds no state dict"),
]


@pytest.mark.parametrize(("name", "make", "says"), FOREIGN, ids=[f"{n}: {s[:30]}" for n, _, s in FOREIGN])
def test_other_files_are_called_what_they_are(
    name: str, make: Callable[[], bytes], says: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(make())
    with pytest.raises(CheckpointError) as caught:
        load_own(OwnNetwork("model", tmp_path / name, allow_pickle=True))
    assert says in str(caught.value)
    assert name in str(caught.value) and str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is a directory, not a file"):
        load_own(OwnNetwork("folder", tmp_path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")
def test_what_would_never_end_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "mine.pth")
    for path in (tmp_path / "mine.pth", Path("/dev/zero")):
        with pytest.raises(CheckpointError, match="is a pipe or a device, not a file"):
            load_own(OwnNetwork("mine", path, allow_pickle=True))


def test_links_are_followed_and_broken_ones_named(tmp_path: Path) -> None:
    save_file(small_state(), tmp_path / "real.safetensors")
    (tmp_path / "mine.safetensors").symlink_to(tmp_path / "real.safetensors")
    assert load_own(OwnNetwork("mine", tmp_path / "mine.safetensors"))[1].blocks == 4
    for to in ("none.safetensors", "round.safetensors"):  # the second leads to itself
        (tmp_path / "round.safetensors").unlink(missing_ok=True)
        (tmp_path / "round.safetensors").symlink_to(tmp_path / to)
        with pytest.raises(CheckpointError, match=r"round\.safetensors (is missing|could not be read)"):
            load_own(OwnNetwork("mine", tmp_path / "round.safetensors"))
