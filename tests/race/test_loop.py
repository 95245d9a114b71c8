"""A race against a loop written anew: curves, gradients, norms and gates; twins differ in the shortcut."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from resnet_demo.networks.resnet import ResidualBlock
from resnet_demo.race.data import batches, load
from resnet_demo.race.loop import Race, rate_at
from resnet_demo.race.networks import RaceNetwork, build
from resnet_demo.race.records import RaceSettings, RaceState
from resnet_demo.race.tasks import run


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def states_of(settings: RaceSettings) -> tuple[list[RaceState], Race]:
    states: list[RaceState] = []
    return states, run(settings, states.append)


class Reference(nn.Module):
    """The same network from the notebook's blocks and plain torch; hooks see what goes through it."""

    def __init__(self, blocks: int, seed: int, shortcuts: bool) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.ModuleList(ResidualBlock(16, 16, dropout=0.0) for _ in range(blocks))
        self.linear = nn.Linear(16, 10)
        self.shortcuts = shortcuts

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for block in self.blocks:
            out = block.bn2(block.conv2(torch.relu(block.bn1(block.conv1(x)))))
            self.seen.append((out, x))
            x = block(x) if self.shortcuts else torch.relu(out)
            self.seen[-1] = (*self.seen[-1], x)
        return self.linear(x.mean((2, 3)))


@pytest.mark.parametrize("shortcuts", [True, False])
def test_curves_gradients_and_norms_equal_those_of_a_loop_written_anew(shortcuts: bool) -> None:
    kind = "residual" if shortcuts else "plain"
    states, _ = states_of(RaceSettings(blocks=4, steps=6, seed=3, networks=(kind,)))
    digits = load("digits")
    reference = Reference(4, 3, shortcuts)
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.02, momentum=0.9)
    for step, indices in enumerate(batches(len(digits.train), 6, 3)):
        reference.seen = []
        x, y = torch.from_numpy(digits.train[indices]), torch.from_numpy(digits.train_labels[indices])
        # the block runs its branch again for its own sum: batch norm must not count the batch twice
        momenta = [m for m in reference.modules() if isinstance(m, nn.BatchNorm2d)]
        for norm in momenta:
            norm.track_running_stats = False
        logits = reference(x)
        loss = cross_entropy(logits, y)
        outputs = [output for _, _, output in reference.seen]
        gradients = torch.autograd.grad(loss, outputs, retain_graph=True)
        found = states[step].networks[kind]
        assert found.loss == pytest.approx(float(loss.detach()), rel=2e-4)
        assert found.error == pytest.approx(float((logits.argmax(1) != y).float().mean()))
        assert found.gradient == pytest.approx([float(g.norm()) for g in gradients], rel=2e-3)
        ratios = [float((f.norm() / x.norm()).detach()) for f, x, _ in reference.seen]
        assert found.ratio == pytest.approx(ratios, rel=1e-3)
        assert found.gate == (1.0,) * 4
        optimizer.zero_grad()
        loss.backward()
        optimizer.param_groups[0]["lr"] = 0.02 * rate_at(step, 6)
        optimizer.step()


def test_the_twins_differ_in_the_shortcut_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    race = Race(RaceSettings(blocks=6, steps=3, seed=11, networks=("residual", "plain")))
    residual, plain = (race.racers[kind].network for kind in ("residual", "plain"))
    assert [n for n, _ in residual.named_parameters()] == [n for n, _ in plain.named_parameters()]
    for ours, theirs in zip(residual.state_dict().values(), plain.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
    x = torch.randn(2, 16, 8, 8)
    for one, other in zip(residual.blocks, plain.blocks, strict=True):
        f = one.branch(x)
        assert torch.equal(other.branch(x), f)
        assert torch.equal(one(x), torch.relu(f + x))
        assert torch.equal(other(x), torch.relu(f))
    given: dict[str, list[torch.Tensor]] = {}
    stages = RaceNetwork.stages

    def watched(self: RaceNetwork, x: torch.Tensor, draw: torch.Generator | None = None):
        if self.training:
            given.setdefault(self.kind, []).append(x)
        return stages(self, x, draw)

    monkeypatch.setattr(RaceNetwork, "stages", watched)
    assert len(list(race.states())) == 3
    assert len(given["plain"]) == 3
    for ours, theirs in zip(given["residual"], given["plain"], strict=True):
        assert torch.equal(ours, theirs)


def test_every_kind_begins_with_the_same_weights_and_another_seed_with_others() -> None:
    whole = [build(kind, 3, 5) for kind in ("residual", "plain", "rezero", "stochastic_depth")]
    for name, weight in whole[0].named_parameters():
        for other in whole[1:]:
            assert torch.equal(other.get_parameter(name), weight)
    assert not torch.equal(build("plain", 3, 6).linear.weight, whole[1].linear.weight)


def test_a_residual_block_of_the_race_is_the_notebooks() -> None:
    block = build("residual", 1, 0).blocks[0]
    notebook = ResidualBlock(16, 16, dropout=0.0)
    notebook.load_state_dict(block.state_dict())
    x = torch.randn(4, 16, 8, 8)
    assert torch.equal(block(x), notebook(x))


def test_the_same_seed_repeats_to_the_last_bit_and_leaves_the_global_generator() -> None:
    settings = RaceSettings(blocks=3, steps=6, seed=2, networks=("rezero", "stochastic_depth"))
    torch.manual_seed(1)
    first, race = states_of(settings)
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(1))
    second, again = states_of(settings)
    for ours, theirs in zip(first, second, strict=True):
        for kind, network in ours.networks.items():
            other = theirs.networks[kind]
            assert (network.loss, network.gradient, network.ratio, network.gate, network.answers) == (
                other.loss,
                other.gradient,
                other.ratio,
                other.gate,
                other.answers,
            )
    for kind, racer in race.racers.items():
        for ours, theirs in zip(
            racer.network.state_dict().values(), again.racers[kind].network.state_dict().values(), strict=True
        ):
            assert torch.equal(ours, theirs)


def test_rezero_begins_as_the_identity_and_its_gates_move() -> None:
    states, _ = states_of(RaceSettings(blocks=4, steps=8, networks=("rezero",)))
    first, last = states[0].networks["rezero"], states[-1].networks["rezero"]
    assert first.gate == first.ratio == (0.0,) * 4
    assert all(gate != 0 for gate in last.gate)
    network = build("rezero", 4, 0)
    x = network.stem(torch.randn(2, 1, 8, 8))
    for block in network.blocks:
        assert torch.equal(block(x), x)


def test_stochastic_depth_drops_by_its_chance_and_weighs_when_testing() -> None:
    network = build("stochastic_depth", 10, 0)
    chances = [block.survives for block in network.blocks]
    assert chances == pytest.approx([1 - 0.05 * (i + 1) for i in range(10)])
    draw = torch.Generator().manual_seed(0)
    kept = np.mean([[float(b.factor(draw)) for b in network.blocks] for _ in range(2000)], axis=0)
    assert kept == pytest.approx(chances, abs=0.04)
    network.eval()
    assert [float(b.factor()) for b in network.blocks] == pytest.approx(chances)


def test_the_result_is_that_of_the_trained_network() -> None:
    settings = RaceSettings(blocks=3, steps=30, data="pictures")
    states, race = states_of(settings)
    data = load("pictures")
    assert race.record is not None
    for kind, racer in race.racers.items():
        network = racer.network.eval()
        with torch.no_grad():
            right = network(torch.from_numpy(data.test)).argmax(1).numpy() == data.test_labels
            wrong = network(torch.from_numpy(data.train)).argmax(1).numpy() != data.train_labels
            watched = network(torch.from_numpy(data.test[:100])).argmax(1).numpy()
            x = network.blocks[0](network.stem(torch.from_numpy(data.test[:100])))
            cut = (
                network.linear(network.blocks[2](x).mean((2, 3))).argmax(1).numpy()
            )  # without the second block
        result = race.record.results[kind]
        assert result.test_accuracy == pytest.approx(right.mean())
        assert result.train_error == pytest.approx(wrong.mean())
        assert result.without_block[1] == pytest.approx((cut == data.test_labels[:100]).mean())
        last = states[-1].networks[kind]
        assert last.held_out_error == pytest.approx((watched != data.test_labels[:100]).mean())
        assert [answer for answer, _ in last.answers] == watched[:10].tolist()
    assert race.record.to_json().keys() == {"blocks", "steps", "seed", "residual", "plain", "seconds"}


def test_a_race_ends_when_asked_to_and_when_its_time_is_over() -> None:
    race = Race(RaceSettings(blocks=2, steps=50))
    seen: list[RaceState] = []
    for state in race.states(stopped=lambda: len(seen) == 4):
        seen.append(state)
    assert race.record is not None and race.record.steps == len(seen) == 4
    late = Race(RaceSettings(blocks=2, steps=50))
    assert len(list(late.states(limit=0))) == 0
    assert late.record is not None and late.record.steps == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"blocks": 1},
        {"blocks": 51},
        {"blocks": 5.0},
        {"blocks": True},
        {"steps": 0},
        {"steps": 401},
        {"steps": "9"},
        {"seed": -1},
        {"seed": 2**31},
        {"data": "cats"},
        {"data": ["digits"]},
        {"networks": ()},
        {"networks": ("plain", "plain")},
        {"networks": ("plain", "residual", "rezero")},
        {"networks": ("x",)},
        {"rate": 0.0},
        {"rate": float("nan")},
        {"rate": 2},
        {"rate": "1"},
        {"norms": 1},
    ],
)
def test_settings_out_of_range_are_refused_in_a_sentence(wrong: dict) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        RaceSettings(**wrong)


def test_at_depth_the_shortcut_decides() -> None:
    """The claim itself, on the network that the page shows first: 20 blocks, the default settings."""
    _, race = states_of(RaceSettings())
    assert race.record is not None
    assert race.record.results["residual"].test_accuracy > 0.8
    assert race.record.results["plain"].test_accuracy < 0.5
