"""Networks just trained, as the rest of the page takes them: the same answers, streams and gates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import torch

from resnet_demo.analysis.capture import capture_blocks
from resnet_demo.inference.engine import Engine
from resnet_demo.inference.interface import EngineError
from resnet_demo.networks.cards import available_networks
from resnet_demo.panels.learn.lending import lend_trained
from resnet_demo.panels.lending import EACH, MOST, Lending
from resnet_demo.race.grown import grown
from resnet_demo.race.records import RaceSettings
from resnet_demo.race.tasks import run
from resnet_demo.race.trained import TrainedRaces, chances
from resnet_demo.records import Gate, NetworkInput

KINDS = ("residual", "plain", "rezero", "stochastic_depth")


def weights(settings: RaceSettings) -> dict[str, bytes]:
    race = run(settings)
    return {
        kind: safetensors.torch.save(dict(racer.network.state_dict()))
        for kind, racer in race.racers.items()
    }  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norms", [True, False])
def test_it_answers_as_the_network_that_was_trained(kind: str, norms: bool) -> None:
    settings = RaceSettings(3, 8, networks=(kind,), norms=norms)
    race = run(settings)
    network, card = grown(settings, kind, weights(settings)[kind], "mine")
    x = torch.from_numpy(race.data.test[:20])
    with torch.no_grad():
        expected = race.racers[kind].network.eval()(x)
        assert torch.allclose(network(x), expected, atol=1e-5)
    assert (card.network, card.blocks, card.preprocessing.size) == ("mine", 3, 8)
    with capture_blocks(network) as captured, torch.no_grad():
        network(x)
    assert len(captured) == 3
    for block in captured.values():
        assert torch.allclose(torch.relu(block.residual + block.shortcut), block.output, atol=1e-6)
        if kind == "plain":
            assert not block.shortcut.any()


@pytest.fixture
def engine(weights_dir: Path) -> Engine:
    return Engine(available_networks(weights_dir), "cpu")


@pytest.fixture
def lending(engine: Engine) -> Iterator[tuple[Lending, TrainedRaces]]:
    races = TrainedRaces(most=100)
    page = SimpleNamespace(guests={}, engine=SimpleNamespace(get=lambda: engine))
    yield Lending(page), races  # type: ignore[arg-type]


def test_the_engine_runs_it_cuts_it_and_forgets_it(
    engine: Engine, lending: tuple[Lending, TrainedRaces]
) -> None:
    lender, races = lending
    settings = RaceSettings(4, 30, networks=("residual", "plain"))
    files = weights(settings)
    races.put("ticket", settings, files)
    rng = np.random.default_rng(0)
    grey = rng.random(64).astype(np.float32)
    pixels = np.rint(grey.reshape(8, 8, 1) * 255).astype(np.uint8).repeat(3, 2)
    for kind in ("residual", "plain"):
        entry = lend_trained(lender, races, "me", "ticket", kind)
        assert entry is not None and entry.blocks == 4 and "yours" in entry.shown
        assert lend_trained(lender, races, "me", "ticket", kind) == entry  # once is enough
        found = engine.run(NetworkInput.of(pixels), entry.name)
        expected = chances(settings, kind, files[kind], (pixels[..., 0].reshape(-1) / 255).tolist())
        told = {c.label: c.confidence for c in found.prediction.confidences}
        assert told == pytest.approx({label: expected[int(label)] for label in told}, abs=1e-4)
        cut = engine.run(NetworkInput.of(pixels), entry.name, [Gate(0.0), *[Gate()] * 3])
        assert cut.prediction.logit != found.prediction.logit
        ablation = engine.ablation(found)
        assert len(ablation.without_branch) == 4
    names = [entry.name for entry in lender.of("me")]
    assert len(names) == 2 and lender.of("somebody else") == []
    with pytest.raises(EngineError) as refused:
        engine.run(NetworkInput.of(pixels), "nothing of the kind")
    assert not any(name in str(refused.value) for name in names)  # others' names are not told
    lender.leave("me")
    assert lender.of("me") == [] and lender.page.guests == {}
    with pytest.raises(EngineError, match="no network called"):
        engine.run(NetworkInput.of(pixels), names[0])


def test_there_are_never_too_many(engine: Engine, lending: tuple[Lending, TrainedRaces]) -> None:
    lender, races = lending
    settings = RaceSettings(2, 1)
    files = weights(settings)
    for i in range(EACH):
        races.put(f"mine{i}", settings, files)
        assert lend_trained(lender, races, "me", f"mine{i}", "residual") is not None
        assert lend_trained(lender, races, "me", f"mine{i}", "plain") is not None
    assert len(lender.of("me")) == EACH
    for i in range(MOST + 5):
        races.put(f"other{i}", settings, files)
        lend_trained(lender, races, f"visitor{i}", f"other{i}", "plain")
    assert len(lender.page.guests) == MOST and lender.of("me") == []
    assert len(engine._lent) == MOST
    assert lend_trained(lender, races, "me", "never trained", "plain") is None
    assert lend_trained(lender, races, "me", ["mine"], "plain") is None


def test_an_engine_elsewhere_says_so(lending: tuple[Lending, TrainedRaces]) -> None:
    lender, races = lending
    lender.page.engine = SimpleNamespace(get=lambda: object())
    settings = RaceSettings(2, 1)
    races.put("t", settings, weights(settings))
    with pytest.raises(ValueError, match="run on other machines"):
        lend_trained(lender, races, "me", "t", "plain")
