"""How a photo becomes the input, in the forms that people have it, one line a case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import draw_photo, lively
from example_networks import field, one_thread  # noqa: F401
from safetensors.torch import save_file

from resnet_demo.inference.forward import to_tensor
from resnet_demo.inputs.preprocessing import fit_photo
from resnet_demo.networks.cards import CheckpointError
from resnet_demo.networks.own_networks import OwnNetwork, load_own
from resnet_demo.networks.preprocessing_files import IMAGENET, read_preprocessing
from resnet_demo.records import Preprocessing

HALF = (0.5, 0.5, 0.5)
TIMM = {"input_size": [3, 160, 160], "crop_pct": 0.95, "interpolation": "bicubic", "mean": HALF, "std": HALF}
# what it is, the file, what is made of it: all else as torchvision has it
FORMS: list[tuple[str, Any, dict[str, Any]]] = [
    ("size alone", {"size": 128}, {"size": 128}),
    (
        "all of ours",
        {"size": 96, "crop_share": 1, "mean": HALF, "std": HALF, "resize": "pad"},
        {"size": 96, "crop_share": 1, "mean": HALF, "std": HALF, "resize": "pad"},
    ),
    ("grey", {"mean": [0.5], "std": [0.25]}, {"mean": (0.5,), "std": (0.25,)}),
    (
        "squashed, bicubic",
        {"resize": "squash", "interpolation": "bicubic"},
        {"resize": "squash", "interpolation": "bicubic"},
    ),
    (
        "timm's config.json",
        {"architecture": "resnet18", "pretrained_cfg": TIMM},
        {"size": 160, "crop_share": 0.95, "interpolation": "bicubic", "mean": HALF, "std": HALF},
    ),
    (
        "timm's pretrained_cfg alone",
        TIMM,
        {"size": 160, "crop_share": 0.95, "interpolation": "bicubic", "mean": HALF, "std": HALF},
    ),
    (
        "timm's, other size for tests",
        TIMM | {"test_input_size": [3, 224, 224], "test_crop_pct": 1.0},
        {"size": 224, "crop_share": 1.0, "interpolation": "bicubic", "mean": HALF, "std": HALF},
    ),
    (
        "timm's, squashed",
        TIMM | {"crop_mode": "squash"},
        {
            "size": 160,
            "crop_share": 0.95,
            "resize": "squash",
            "interpolation": "bicubic",
            "mean": HALF,
            "std": HALF,
        },
    ),
    (
        "transformers' for ResNet",
        {
            "do_resize": True,
            "size": {"shortest_edge": 224},
            "crop_pct": 0.875,
            "resample": 3,
            "image_mean": HALF,
            "image_std": HALF,
        },
        {"interpolation": "bicubic", "mean": HALF, "std": HALF},
    ),
    (
        "transformers' of old",
        {
            "do_resize": True,
            "size": 224,
            "crop_pct": None,
            "resample": 2,
            "image_mean": HALF,
            "image_std": HALF,
        },
        {"crop_share": 1.0, "resize": "squash", "mean": HALF, "std": HALF},
    ),
    (
        "transformers', crop",
        {
            "do_resize": True,
            "size": {"shortest_edge": 256},
            "do_center_crop": True,
            "crop_size": {"height": 224, "width": 224},
            "resample": 3,
        },
        {"interpolation": "bicubic"},
    ),
    (
        "transformers', square",
        {
            "do_resize": True,
            "size": {"height": 224, "width": 224},
            "resample": 2,
            "image_mean": HALF,
            "image_std": HALF,
        },
        {"resize": "squash", "crop_share": 1.0, "mean": HALF, "std": HALF},
    ),
    (
        "transformers', values to 2 before the mean",
        {"do_resize": True, "rescale_factor": 1 / 127.5, "image_mean": [1, 1, 1], "image_std": [1, 1, 1]},
        {"mean": HALF, "std": HALF, "crop_share": 1.0},
    ),
    (
        "torchvision's transforms",
        {"crop_size": [224], "resize_size": [232], "mean": HALF, "std": HALF},
        {"crop_share": 224 / 232, "mean": HALF, "std": HALF},
    ),
    (
        "torchvision's transforms, as numbers",
        {"crop_size": 288, "resize_size": 320},
        {"size": 288, "crop_share": 0.9},
    ),
    (
        "transformers', not normalised",
        {"do_resize": True, "size": {"height": 64, "width": 64}, "do_normalize": False},
        {"size": 64, "resize": "squash", "crop_share": 1.0, "mean": (0, 0, 0), "std": (1, 1, 1)},
    ),
]

NO_FORMS: list[tuple[str, str]] = [
    ("a list", "[224]"),
    ("nothing known", '{"lr": 0.1}'),
    ("no JSON", "size = 224"),
    ("too large", '{"size": 100000}'),
    ("a word for a number", '{"size": "224"}'),
    ("negative", '{"size": -5}'),
    ("no deviation", '{"mean": [0, 0, 0], "std": [0, 1, 1]}'),
    ("two means", '{"mean": [0, 0], "std": [1, 1]}'),
    ("means of words", '{"mean": ["a", "b", "c"]}'),
    ("not a number", '{"mean": [NaN, 0, 0]}'),
    ("no such resizing", '{"resize": "lanczos"}'),
    ("not square", '{"input_size": [3, 224, 192]}'),
    ("not square, transformers", '{"do_resize": true, "size": {"height": 224, "width": 192}}'),
    ("a share of nothing", '{"crop_share": 0}'),
    ("a share of a word", '{"crop_share": "all"}'),
    ("values to 255", '{"do_resize": true, "do_rescale": false, "size": 224}'),
    ("blue before red", '{"do_resize": true, "do_flip_channel_order": true}'),
    ("an offset", '{"do_resize": true, "rescale_offset": true}'),
    ("a number of nothing", '{"size": null}'),
    ("deep", "[" * 100_000),
    ("a mean that is no list", '{"mean": 5}'),
    ("input_size of words", '{"input_size": "abc"}'),
    ("input_size a number", '{"input_size": 224}'),
    ("resample a list", '{"do_resize": true, "resample": [3]}'),
]


@pytest.mark.parametrize(("what", "found", "wanted"), FORMS, ids=[form[0] for form in FORMS])
def test_the_forms(what: str, found: Any, wanted: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(json.dumps(found))
    assert read_preprocessing(tmp_path / "p.json", IMAGENET) == Preprocessing(**{**vars(IMAGENET), **wanted})


@pytest.mark.parametrize(("what", "text"), NO_FORMS, ids=[form[0] for form in NO_FORMS])
def test_what_says_nothing(what: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"^p\.json does not say .*\.$"):
        read_preprocessing(tmp_path / "p.json", IMAGENET)


def brought(folder: Path, channels: int = 3, **files: Any) -> OwnNetwork:
    model = lively(field("BasicBlock", (1, 1, 1, 1)))  # type: ignore[arg-type]
    model.conv1 = torch.nn.Conv2d(channels, 64, 7, 2, 3, bias=False)  # type: ignore[attr-defined]
    save_file(model.state_dict(), folder / "mine.safetensors")
    for name, found in files.items():
        (folder / f"{name}.json").write_text(json.dumps(found))
    return OwnNetwork("mine", folder / "mine.safetensors")


def test_what_lies_beside_is_taken_and_what_does_not_is_said(tmp_path: Path) -> None:
    _model, card = load_own(brought(tmp_path))
    assert card.preprocessing == IMAGENET
    assert any("224 pixels a side, 87.5 %" in said and "--preprocessing" in said for said in card.assumed)
    beside = {"do_resize": True, "size": {"height": 64, "width": 64}, "image_mean": HALF, "image_std": HALF}
    _model, card = load_own(brought(tmp_path, preprocessor_config=beside))
    assert (card.preprocessing.size, card.preprocessing.mean) == (64, HALF)
    assert not any("--preprocessing" in said for said in card.assumed)
    _model, card = load_own(
        brought(tmp_path, **{"preprocessor_config": beside, "mine.preprocessing": {"size": 80}})
    )
    assert card.preprocessing.size == 80
    (tmp_path / "named.json").write_text('{"size": 48}')
    own = OwnNetwork("mine", tmp_path / "mine.safetensors", preprocessing=tmp_path / "named.json")
    assert load_own(own)[1].preprocessing.size == 48
    own = OwnNetwork("mine", tmp_path / "mine.safetensors", preprocessing=tmp_path / "none.json")
    with pytest.raises(CheckpointError, match=r"none\.json is missing"):
        load_own(own)


def test_a_grey_network_takes_one_mean_and_others_are_refused(tmp_path: Path) -> None:
    _model, card = load_own(brought(tmp_path, 1))
    assert card.preprocessing.mean == (0.449,)
    with pytest.raises(CheckpointError, match="pictures of 1 channels, but the preprocessing has 3 means"):
        load_own(
            brought(
                tmp_path, 1, preprocessor_config={"do_resize": True, "image_mean": HALF, "image_std": HALF}
            )
        )
    for channels in (2, 4, 12):
        with pytest.raises(CheckpointError, match=f"pictures of {channels} channels; photos have three"):
            load_own(brought(tmp_path, channels))


@pytest.mark.parametrize(("width", "height"), [(640, 480), (480, 640), (333, 500), (224, 224), (100, 3000)])
def test_torchvisions_recipe_to_the_pixel(width: int, height: int) -> None:
    from torchvision.models import ResNet50_Weights

    photo = draw_photo(5, width, height)
    wanted = ResNet50_Weights.IMAGENET1K_V1.transforms()(photo)
    assert torch.allclose(to_tensor(fit_photo(photo, IMAGENET), IMAGENET)[0], wanted, atol=1e-5)


@pytest.mark.parametrize(("width", "height"), [(640, 480), (480, 640), (333, 500), (224, 224)])
def test_timms_recipe(width: int, height: int) -> None:
    data = pytest.importorskip("timm.data")
    recipe = {**TIMM, "input_size": (3, 160, 160)}
    read = Preprocessing(160, "crop", HALF, HALF, crop_share=0.95, interpolation="bicubic")
    photo = draw_photo(5, width, height)
    wanted = data.create_transform(**recipe)(photo)
    found = to_tensor(fit_photo(photo, read), read)[0]
    assert np.abs(found.numpy() - wanted.numpy()).max() < 2.5 / 255 / 0.5


@pytest.mark.parametrize(("width", "height"), [(640, 480), (480, 640), (333, 500), (224, 224)])
@pytest.mark.parametrize(
    "options", [{}, {"size": {"shortest_edge": 224}, "crop_pct": 0.9}, {"size": {"shortest_edge": 384}}]
)
def test_transformers_own_processor(width: int, height: int, options: dict[str, Any], tmp_path: Path) -> None:
    """A file that transformers writes, and the pixels that it makes of a photo."""
    transformers = pytest.importorskip("transformers")
    processor = transformers.ConvNextImageProcessor(**options)
    processor.save_pretrained(tmp_path)
    read = read_preprocessing(tmp_path / "preprocessor_config.json", IMAGENET)
    photo = draw_photo(5, width, height)
    wanted = np.asarray(processor(photo, return_tensors="pt")["pixel_values"][0])
    found = to_tensor(fit_photo(photo, read), read)[0].numpy()
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).mean() < 0.02
