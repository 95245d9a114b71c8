"""Networks that visitors bring: for themselves alone, within limits, and hostile ones are one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from broken_decoders import ABORT, EAT, HANG
from broken_decoders import command as broken
from conftest import KNOWS, draw_photo, lively
from safetensors.torch import save
from test_checkpoint_files import FOREIGN

from resnet_demo.inference import dropped
from resnet_demo.inference.engine import Engine
from resnet_demo.inference.interface import Limits
from resnet_demo.inference.lazy import Deferred
from resnet_demo.inference.run_cache import KeptRuns
from resnet_demo.inputs import decoding
from resnet_demo.inputs.decoder_pool import DecoderPool
from resnet_demo.inputs.errors import InputError
from resnet_demo.networks.cards import MenuEntry
from resnet_demo.networks.checkpoints import Card, CheckpointError, available_networks, save_checkpoint
from resnet_demo.networks.resnet import ResNet
from resnet_demo.networks.taught import taught
from resnet_demo.panels.own.bring import BringPanel
from resnet_demo.panels.own.teachings import TeachingError
from resnet_demo.panels.page import Page
from resnet_demo.records import Preprocessing

NAMES = ("mug", "pen", "key")


@pytest.fixture(scope="module")
def engine(weights_dir: Path) -> Engine:
    return Engine(available_networks(weights_dir), "cpu")


def panel_of(engine: Engine, networks: bool = True) -> BringPanel:
    menu = (MenuEntry("test-net", KNOWS, 5),)
    page = Page(Deferred(lambda: engine), menu, KeptRuns(), Limits(networks=networks), [BringPanel])
    (found,) = page.panels
    assert isinstance(found, BringPanel)
    return found


def checkpoint(folder: Path) -> list[str]:
    """A taught network as the page hands it over: its file and its card."""
    torch.manual_seed(0)
    body = lively(ResNet(3, widths=(8, 16, 32)))
    weight = np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32)
    network = taught(body, 2, weight, np.zeros(3, np.float32))
    path = save_checkpoint(network, Card("mine", network.config, Preprocessing(64), NAMES), folder)
    return [str(path), str(path.with_suffix(".json"))]


def test_a_network_that_was_taken_home_is_brought_again(engine: Engine, tmp_path: Path) -> None:
    panel = panel_of(engine)
    entry = panel.lend("me", checkpoint(tmp_path))
    assert entry.blocks == 2 and "yours" in entry.shown
    run = engine.run(draw_photo(1), entry.name)
    assert run.classes == NAMES and run.activation is not None and len(run.blocks) == 2
    assert panel.page.lending.of("you") == []
    panel.page.lending.leave("me")
    assert panel.page.lending.of("me") == [] and entry.name not in panel.page.guests


def test_a_state_dict_with_a_file_of_names(engine: Engine, tmp_path: Path) -> None:
    model = lively(ResNet(3, widths=(8, 16), num_logits=3))
    (tmp_path / "my net.safetensors").write_bytes(save(model.state_dict()))
    (tmp_path / "names.txt").write_text("mug\npen\nkey\n")
    panel = panel_of(engine)
    entry = panel.lend(None, [str(tmp_path / "my net.safetensors"), str(tmp_path / "names.txt")])
    assert "my net" in entry.shown and engine.run(draw_photo(1), entry.name).classes == NAMES


def test_a_page_that_takes_no_networks_takes_none(engine: Engine, tmp_path: Path) -> None:
    panel = panel_of(engine, networks=False)
    assert not panel.visible()
    with pytest.raises(TeachingError, match="takes no networks"):
        panel.lend("me", checkpoint(tmp_path))


def test_one_checkpoint_and_one_file_beside_it(engine: Engine, tmp_path: Path) -> None:
    path, card = checkpoint(tmp_path)
    for files in ([card], [path, path], [path, card, card]):
        with pytest.raises(TeachingError, match=r"Give one \.safetensors file"):
            panel_of(engine).lend("me", files)
    with pytest.raises(TeachingError, match="too large"):
        (tmp_path / "large.safetensors").write_bytes(b"\0" * 10_000_001)
        panel_of(engine).lend("me", [str(tmp_path / "large.safetensors")])


def refused(engine: Engine, files: list[str]) -> str:
    """The sentence, after which nothing is lent and the engine still answers."""
    panel = panel_of(engine)
    with pytest.raises((CheckpointError, TeachingError)) as caught:
        panel.lend("me", files)
    assert panel.page.lending.of("me") == [] and panel.page.guests == {}
    assert str(caught.value).endswith(".") and len(str(caught.value)) < 250
    assert "/tmp" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("name", "make", "says"), FOREIGN, ids=[f"{n}: {s[:30]}" for n, _, s in FOREIGN])
def test_whatever_else_is_given_is_one_sentence(
    name: str, make: Callable[[], bytes], says: str, engine: Engine, tmp_path: Path
) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(make())
    refused(engine, [str(path)])


def test_a_file_that_breaks_its_reader_breaks_a_decoder_and_not_the_page(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that dies, hangs or fills the memory at a file's first bytes; the next file is read."""
    decoders = DecoderPool(arguments=broken(), seconds=6.0)
    monkeypatch.setattr(decoding, "pool", lambda: decoders)
    panel = panel_of(engine)
    try:
        for first, says in (
            (ABORT, "broke the program"),
            (HANG, "took too long"),
            (EAT, "not a safetensors checkpoint"),
        ):
            path = tmp_path / "a.safetensors"
            path.write_bytes(first + b"\0" * 100)
            with pytest.raises((InputError, TeachingError), match=says):
                panel.lend("me", [str(path)])
        assert panel.lend("me", checkpoint(tmp_path)).blocks == 2
    finally:
        decoders.close()


def widened(tmp_path: Path, **changes: Any) -> list[str]:
    """A checkpoint whose card says otherwise."""
    path, card = checkpoint(tmp_path)
    told = json.loads(Path(card).read_text())
    told["config"] |= changes.pop("config", {})
    Path(card).write_text(json.dumps(told | changes))
    return [path, card]


@pytest.mark.parametrize(
    "changes",
    [
        {"family": "notebook", "config": {"widths": [4000, 3000], "input_chnl": 3}},
        {"config": {"base": {"input_chnl": 3, "widths": [3000, 2000]}}},
        {"config": {"base": {"depth": 1202}, "family": "cifar"}},
        {"config": {"base": {"stages": [{"inner": [[60000, 60000]], "out": 60000}]}, "family": "resnet"}},
        {"config": {"family": "taught", "base": {"family": "taught", "base": {}}}},
        {"config": {"base": {"base": {"base": {}}}}},
        {"config": {"channels": 65_000}},
        {"family": "nobody"},
        {"sha256": "0" * 64},
        {"classes": ["a"] * 100_000},
    ],
    ids=repr,
)
def test_a_card_that_asks_for_much_is_refused_before_it_is_built(
    changes: dict[str, Any], engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    draw = torch.nn.init.kaiming_uniform_

    def counted(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        made.append(0 if tensor.is_meta else tensor.numel())
        return draw(tensor, *args, **kwargs)

    monkeypatch.setattr(torch.nn.init, "kaiming_uniform_", counted)
    files = widened(tmp_path, **changes)
    made.clear()
    refused(engine, files)
    assert sum(made) < dropped.MOST_BASE


def test_work_beyond_the_limits_is_counted_and_not_done(tmp_path: Path, engine: Engine) -> None:
    path, card = checkpoint(tmp_path)
    told = json.loads(Path(card).read_text())
    told["preprocessing"]["size"] = 512
    Path(card).write_text(json.dumps(told))
    panel = panel_of(engine)
    assert panel.lend("me", [path, card]).blocks == 2  # a small network may take large photos
    model = lively(ResNet(3, widths=(96, 192), num_logits=1))
    large = save_checkpoint(
        model, Card("mine", model.config, Preprocessing(1024), ("a", "b")), tmp_path / "l"
    )
    assert "billion operations" in refused(engine, [str(large), str(large.with_suffix(".json"))])


@pytest.mark.parametrize("wide", [1500, 2500])
def test_tensors_that_describe_more_than_they_hold_are_refused(wide: int) -> None:
    tensors = {name: t.clone() for name, t in ResNet(3, widths=(8, 16)).state_dict().items()}
    for block, (inside, width) in enumerate(((3, wide), (wide, wide))):
        tensors[f"blocks.{block}.conv1.weight"] = torch.zeros(width, 1 if block else inside, 1, 1)
    with pytest.raises(CheckpointError, match="more than 12000000 numbers"):
        dropped.open_dropped(save(tensors), None, "", "mine")


def test_networks_elsewhere_take_none(engine: Engine, tmp_path: Path) -> None:
    panel = panel_of(engine)
    panel.page.engine = SimpleNamespace(get=lambda: object())  # type: ignore[assignment]
    with pytest.raises(TeachingError, match="other machines"):
        panel.lend("me", checkpoint(tmp_path))
