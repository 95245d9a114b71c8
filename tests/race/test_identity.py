"""Giving back what came in, and a block added in the middle of training."""

from __future__ import annotations

import pytest
import torch

from resnet_demo.race.growth import NEW_SEED, identity_block, insert, new_block
from resnet_demo.race.identity import relative_error
from resnet_demo.race.networks import build
from resnet_demo.race.records import RaceSettings, RaceState
from resnet_demo.race.tasks import race_for, run


def test_branches_from_zero_are_right_before_anything_is_learned_and_the_plain_twin_is_not() -> None:
    settings = RaceSettings(5, 30, networks=("rezero", "plain"), task="identity", rate=0.05)
    states: list[RaceState] = []
    race = run(settings, states.append)
    assert all(state.networks["rezero"].loss == 0 for state in states)
    assert states[0].networks["rezero"].held_out_error == 0
    assert states[0].networks["plain"].loss > 0.5
    pictures = torch.rand(3, 16, 8, 8)
    assert torch.equal(race.racers["rezero"].network(pictures), pictures)
    ours, theirs = (race_for(settings).racers[kind].network for kind in ("rezero", "plain"))
    for name, weight in theirs.named_parameters():
        assert torch.equal(ours.get_parameter(name), weight)


def test_the_error_is_relative_and_that_of_the_network_told_about() -> None:
    x = torch.rand(2, 16, 8, 8)
    assert float(relative_error(x, x)) == 0
    assert float(relative_error(torch.zeros_like(x), x)) == pytest.approx(1)
    assert float(relative_error(1.5 * x, x)) == pytest.approx(0.25)
    states: list[RaceState] = []
    race = run(RaceSettings(2, 10, networks=("plain",), task="identity"), states.append)
    data = race.data
    test = torch.from_numpy(data.test[:320, 0] * data.std + data.mean).clamp(0, 1).unflatten(0, (20, 16))
    with torch.no_grad():
        back = race.racers["plain"].network.eval()(test)
    last = states[-1].networks["plain"]
    expected = float((back - test).square().sum() / test.square().sum())
    assert last.held_out_error == pytest.approx(expected, rel=1e-5)
    shown = torch.tensor(last.returned).unflatten(1, (8, 8))
    assert torch.allclose(shown.float() / 255, back[0, :10].clamp(0, 1), atol=0.003)
    assert race.record is not None
    assert race.record.results["plain"].to_json().keys() == {"train_error", "test_error"}


def trained(kind: str) -> torch.nn.Module:
    return run(RaceSettings(4, 25, networks=(kind,))).racers[kind].network.eval()


def test_with_a_shortcut_a_new_block_changes_nothing() -> None:
    network = trained("residual")
    x = torch.randn(5, 1, 8, 8)
    with torch.no_grad():
        before = network(x)
        assert insert(network, new_block("residual", True, 1, x).eval()) == 2
        assert len(network.blocks) == 5
        assert torch.equal(network(x), before)


def test_without_one_a_fresh_block_changes_the_answers_and_net2nets_does_not() -> None:
    data = torch.from_numpy(race_for(RaceSettings(2, 1)).data.train)
    network = trained("plain")
    with torch.no_grad():
        before = network(data)
        given = network.stages(data)[1][2].x
        insert(network, new_block("plain", True, NEW_SEED, given).eval())
        fresh = network(data)
        network.blocks[2] = identity_block(True, given).eval()
        same = network(data)
    assert (fresh - before).norm() > max(0.1 * before.norm(), 20 * (same - before).norm())
    assert torch.allclose(same, before, atol=1e-3 * float(before.abs().max()))
    block = identity_block(False, given)
    assert torch.equal(block(given), given)


def test_the_race_adds_its_block_before_the_middle_step_and_looks_at_once() -> None:
    states: list[RaceState] = []
    race = run(RaceSettings(3, 20, task="growth"), states.append)
    assert [state.step for state in states] == [*range(1, 11), 10, *range(11, 21)]
    before, after = states[9], states[10]
    for kind, depth in (("residual", 4), ("plain", 4)):
        assert len(race.racers[kind].network.blocks) == depth
        assert len(after.networks[kind].gradient) == 3 and len(states[11].networks[kind].gradient) == 4
    assert before.networks["residual"].held_out_error == after.networks["residual"].held_out_error
    assert before.networks["residual"].answers == after.networks["residual"].answers
    assert states[11].networks["residual"].gate[1] == 0  # in the middle of four
    assert build("residual", 3, 0).blocks[0].gate == 1


def test_there_is_no_other_task() -> None:
    with pytest.raises(ValueError, match="no task called 'x'"):
        RaceSettings(task="x")
