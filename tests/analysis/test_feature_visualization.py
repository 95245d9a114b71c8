"""Feature visualisation: the pictures excite what they are said to excite, whatever else is in the batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from example_networks import hooks_on, one_thread, small  # noqa: F401

from resnet_demo.analysis.capture import capture_blocks
from resnet_demo.analysis.feature_visualization import STREAMS, begin, climb, pictures_of
from resnet_demo.drawing.feature_sheets import (
    COLUMNS,
    TILE,
    FeatureSheets,
    face,
    file_of,
    offer_sheets,
    read_sheets,
    sheet_file,
    sheets_folder,
    sheets_of,
)
from resnet_demo.drawing.pictures import PictureStore, kept_in
from resnet_demo.records import Preprocessing

PREPROCESSING = Preprocessing(32, "crop")


def mean_of(model: torch.nn.Module, pictures: torch.Tensor, block: str, stream: str) -> torch.Tensor:
    """(N, C) means over places of a stream, taken with the project's own capture."""
    mean, std = (torch.tensor(v)[:, None, None] for v in (PREPROCESSING.mean, PREPROCESSING.std))
    with capture_blocks(model) as streams:
        model((pictures - mean) / std)
    return getattr(streams[block], stream).mean((2, 3))


@pytest.mark.parametrize("name", ["notebook", "BasicBlock", "cifar"])
@pytest.mark.parametrize("stream", STREAMS)
def test_a_picture_excites_its_channel_more_than_noise_and_others_do(name: str, stream: str) -> None:
    model = small(name)
    block = list(dict(model.named_modules()))
    blocks = [n for n in block if n.endswith(".1") and hasattr(model.get_submodule(n), "conv1")]
    where = blocks[0]
    channels = [0, 1, 2]
    start = begin(model, where, stream, channels, 32)
    found = climb(model, start, PREPROCESSING, 32)
    before = mean_of(model, pictures_of(start), where, stream)
    after = mean_of(model, pictures_of(found), where, stream)
    for row, channel in enumerate(channels):
        assert after[row, channel] > before[row, channel]
        assert after[row, channel] > after[:, channel].mean()
    pixels = pictures_of(found)
    assert pixels.shape == (3, 3, 32, 32)
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    assert hooks_on(model) == 0
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_trained_channel_answers_most_to_its_own_picture() -> None:
    from resnet_demo.networks.cards import WEIGHTS
    from resnet_demo.networks.checkpoints import available_networks, load_checkpoint

    model, card = load_checkpoint(available_networks(WEIGHTS)["resnet-20"])
    model = model.eval().requires_grad_(False).to(memory_format=torch.contiguous_format)
    channels = list(range(8))
    found = climb(model, begin(model, "blocks.4", "residual", channels, 32), card.preprocessing, 48)
    mean, std = (torch.tensor(v)[:, None, None] for v in (card.preprocessing.mean, card.preprocessing.std))
    with capture_blocks(model) as streams:
        model((pictures_of(found) - mean) / std)
    after = streams["blocks.4"].residual.mean((2, 3))[:, channels]
    assert (after.argmax(0) == torch.arange(8)).sum() >= 7


def test_a_silent_channel_does_not_stay_grey() -> None:
    model = small("notebook")
    with torch.no_grad():
        model.blocks[1].bn2.bias[0] = -50.0  # below zero for any picture: the ReLU lets nothing through
    start = begin(model, "blocks.1", "pre_activation", [0], 32)
    found = climb(model, start, PREPROCESSING, 24)
    assert found.excitation[0] < 0
    assert mean_of(model, pictures_of(found), "blocks.1", "output")[0, 0] == 0
    assert pictures_of(found).std() > 2 * pictures_of(start).std()


def test_a_climb_goes_on_where_it_was_and_is_the_same_in_any_batch() -> None:
    model = small("notebook")
    whole = climb(model, begin(model, "blocks.2", "residual", [3], 32), PREPROCESSING, 6)
    half = climb(model, begin(model, "blocks.2", "residual", [3], 32), PREPROCESSING, 3)
    assert torch.allclose(climb(model, half, PREPROCESSING, 3).spectra, whole.spectra, atol=1e-6)
    among = climb(model, begin(model, "blocks.2", "residual", [1, 3], 32), PREPROCESSING, 6)
    assert torch.allclose(among.spectra[1], whole.spectra[0], atol=1e-4)


def test_what_is_not_there_is_refused() -> None:
    model = small("notebook")
    for bad in (
        ("blocks.9", "residual", [0], 32),
        ("blocks.0", "output", [0], 32),
        ("blocks.0", "residual", [], 32),
    ):
        with pytest.raises(ValueError, match=r"block|stream|channel"):
            begin(model, *bad)
    with pytest.raises(ValueError, match="channels 0 to"):
        climb(model, begin(model, "blocks.0", "residual", [4], 32), PREPROCESSING, 1)
    assert hooks_on(model) == 0


def test_the_command_makes_sheets_that_the_page_finds_and_goes_on_after_a_stop(
    tmp_path: Path, weights_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    from resnet_demo.networks.checkpoints import Card, load_checkpoint, save_checkpoint
    from resnet_demo.networks.resnet import ResNet
    from resnet_demo.tools import feature_sheets as command

    torch.manual_seed(0)
    model = ResNet(3, widths=(4, 20))
    card = Card("tiny", model.config, Preprocessing(32, "crop"), ("cat", "dog"))
    path = save_checkpoint(model, card, tmp_path)
    work = tmp_path / "work"
    options = ["--network", str(path), "--steps", "2", "--work", str(work)]
    assert command.main(options) == 0
    sheets = read_sheets(path)
    assert sheets == FeatureSheets(sheets_folder(path).name, {"blocks.0": 4, "blocks.1": 20}, 2)
    with Image.open(sheets_folder(path) / file_of("blocks.1", "residual")) as sheet:
        assert (sheet.format, sheet.size) == ("WEBP", (COLUMNS * TILE, 2 * TILE))
        tile = np.asarray(sheet.convert("RGB"))[TILE:, 3 * TILE : 4 * TILE].astype(float)  # of channel 19
    model, card = load_checkpoint(path)
    (wanted,) = command.draw(model.eval(), card, "blocks.1", "residual", [19], 2)
    assert np.abs(tile - wanted).mean() < 12  # WebP loses a little
    # what was done is not done again
    monkeypatch.setattr(command, "draw", lambda *args: pytest.fail("drawn again"))
    assert command.main(options) == 0

    offer_sheets("tiny", path)
    assert face("tiny", "blocks.1", "residual", 19) == ""  # in a page that is taken home
    with kept_in(PictureStore()):
        style = face("tiny", "blocks.1", "output", 19)
        assert f"features/{sheets.name}/blocks.1.pre_activation.webp" in style
        assert "background-position:20.000% 100.000%" in style
        assert face("tiny", "blocks.1", "residual", 20) == ""
        assert face("other", "blocks.1", "residual", 0) == ""
    assert sheet_file(sheets.name, "blocks.1.residual.webp") == sheets_folder(path) / "blocks.1.residual.webp"
    for name, file in (
        (sheets.name, "index.json"),
        (sheets.name, "../x.webp"),
        ("..", "blocks.1.residual.webp"),
    ):
        assert sheet_file(name, file) is None
    (sheets_folder(path) / file_of("blocks.0", "shortcut")).unlink()
    assert read_sheets(path) is None
    offer_sheets("tiny", path)
    assert sheets_of("tiny") is None
