"""Networks taught classes of one's own: a known one up to a block, and a read-out in the linear layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import draw_photo, lively
from torch import nn

from resnet_demo.analysis.capture import capture_blocks
from resnet_demo.inference.engine import Engine
from resnet_demo.networks.checkpoints import Card, CheckpointError, load_checkpoint, save_checkpoint
from resnet_demo.networks.cifar_resnet import CifarResNet
from resnet_demo.networks.resnet import ResNet
from resnet_demo.networks.resnet_variants import StageConfig, VariantConfig, VariantResNet
from resnet_demo.networks.taught import TaughtConfig, TaughtNetwork, taught
from resnet_demo.records import Gate, Preprocessing

NAMES = ("mug", "pen", "key")


def variant() -> nn.Module:
    stages = (StageConfig(((8,), (8,)), 8), StageConfig(((16,), (16,)), 16))
    return VariantResNet(VariantConfig(stages, stem=(8,), head=(("linear", 16, 5, True),)))


BODIES: dict[str, Callable[[], nn.Module]] = {
    "notebook": lambda: ResNet(3, widths=(8, 16, 32), num_logits=1),
    "cifar": lambda: CifarResNet(14),
    "resnet": variant,
}


def read_out(channels: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(channels)
    return rng.normal(size=(3, channels)).astype(np.float32), rng.normal(size=3).astype(np.float32)


@pytest.mark.parametrize("family", BODIES)
@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_its_logits_are_the_read_out_of_the_block_where_it_was_cut(
    family: str, blocks: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    body = lively(BODIES[family]())  # type: ignore[arg-type]
    x = torch.randn(2, 3, 64, 64)
    with capture_blocks(body) as whole:
        body(x)
    cut_at = list(whole.values())[blocks - 1].output
    weight, bias = read_out(cut_at.shape[1])
    network = taught(body, blocks, weight, bias)
    expected = cut_at.mean((2, 3)) @ torch.from_numpy(weight).T + torch.from_numpy(bias)
    with capture_blocks(network) as cut:
        found = network(x)
    assert torch.allclose(found, expected, atol=1e-5)
    assert len(cut) == blocks
    for mine, theirs in zip(cut.values(), whole.values(), strict=False):
        assert torch.equal(mine.residual, theirs.residual)

    path = save_checkpoint(network, Card("mine", network.config, Preprocessing(64), NAMES), tmp_path)
    again, read = load_checkpoint(path)
    assert isinstance(again, TaughtNetwork) and read.classes == NAMES and read.blocks == blocks
    with torch.no_grad():
        assert torch.allclose(again(x), expected, atol=0.02 * expected.abs().max())  # stored in float16


def test_a_taught_network_is_taught_again_from_the_one_below() -> None:
    body = lively(ResNet(3, widths=(8, 16, 32)))
    first = taught(body, 3, *read_out(32))
    second = taught(first, 1, *read_out(8))
    assert second.config.family == "notebook" and second.config.blocks == 1


def test_the_engine_runs_it_with_map_gates_and_read_outs(tmp_path: Path) -> None:
    body = lively(ResNet(3, widths=(8, 16, 32)))
    network = taught(body, 2, *read_out(16))
    path = save_checkpoint(network, Card("mine", network.config, Preprocessing(64), NAMES), tmp_path)
    run = Engine({"mine": path}, "cpu").run(draw_photo(1))
    assert run.classes == NAMES and len(run.blocks) == 2
    assert run.activation is not None
    assert run.activation.logit == pytest.approx(run.prediction.logit, rel=1e-2)
    engine = Engine({"mine": path}, "cpu")
    cut = engine.run(draw_photo(1), gates=[Gate(0.0), Gate()])
    assert cut.prediction.logit != run.prediction.logit
    assert len(engine.ablation(run).without_branch) == 2


@pytest.mark.parametrize(
    "config",
    [
        {"blocks": 0},
        {"blocks": 9},
        {"blocks": "1"},
        {"channels": 10**9},
        {"family": "taught"},
        {"family": "nobody's"},
        {"base": None},
        {"base": {"input_chnl": 3, "widths": [10**6, 10**6]}},
        {"extra": 1},
    ],
)
def test_a_card_that_lies_is_refused_in_a_sentence(config: dict[str, object], tmp_path: Path) -> None:
    import json

    body = lively(ResNet(3, widths=(8, 16)))
    network = taught(body, 2, *read_out(16))
    path = save_checkpoint(network, Card("mine", network.config, Preprocessing(64), NAMES), tmp_path)
    told = json.loads(path.with_suffix(".json").read_text())
    told["config"] |= config
    path.with_suffix(".json").write_text(json.dumps(told))
    with pytest.raises(CheckpointError) as refused:
        load_checkpoint(path)
    assert str(refused.value).endswith(".")


def test_a_network_of_no_known_family_cannot_be_taught() -> None:
    with pytest.raises(ValueError, match="no known family"):
        taught(nn.Conv2d(3, 3, 1), 1, *read_out(3))
    with pytest.raises(ValueError, match="blocks"):
        TaughtNetwork(TaughtConfig("notebook", {"input_chnl": 3, "widths": [4]}, 2, 4, 2))
