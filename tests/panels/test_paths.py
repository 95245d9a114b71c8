"""The ledger as the page and the API tell it: the sums that are printed hold, for shipped and brought
networks."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch
from conftest import draw_photo, lively
from markup import read
from safetensors.torch import save_file

from resnet_demo.explanations import PathLedger, PathLengths
from resnet_demo.inference.engine import Engine
from resnet_demo.inputs.mel_spectrogram import LENGTH
from resnet_demo.networks.cards import WEIGHTS
from resnet_demo.networks.checkpoints import available_networks
from resnet_demo.panels.cut.paths import lengths_of, path_words, paths_as_dict, paths_html, tree_of
from resnet_demo.panels.studies import Studies, StudyStoppedError
from resnet_demo.records import Gate, Run

SHIPPED = available_networks(WEIGHTS)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Ours, ResNet-56, and two of torchvision's, of 8 and of 16 blocks, with random weights."""
    from torchvision.models import resnet18, resnet34

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("brought")
    brought = {}
    for name, make in (("resnet18", resnet18), ("resnet34", resnet34)):
        brought[name] = folder / f"{name}.safetensors"
        save_file(lively(make(num_classes=5)).state_dict(), brought[name])  # type: ignore[arg-type]
    return Engine({**SHIPPED, **brought}, "cpu")


@pytest.fixture(scope="module")
def ours(engine: Engine) -> tuple[Run, PathLedger]:
    run = engine.run(draw_photo(1), "cats-and-dogs")
    return run, engine.explain("paths", run)


def total(told: dict) -> float:
    parts = [part["share"] for part in told.get("paths", told.get("lengths"))]
    return math.fsum(parts) + math.fsum(bias["share"] for bias in told["biases"])


@pytest.mark.parametrize("name", ["cats-and-dogs", "resnet-56", "plain-20", "sounds", "resnet18", "resnet34"])
def test_shares_and_biases_sum_to_the_logit_of_the_answer(engine: Engine, name: str) -> None:
    given = torch.linspace(0, 3000, LENGTH).sin().numpy() if name == "sounds" else draw_photo(2)
    run = engine.run(given, name)
    told = paths_as_dict(engine.explain("paths", run))
    blocks = len(run.blocks)
    first = "paths" if blocks <= 8 else "lengths"
    assert list(told) == [first, "biases", "logit"]
    assert total(told) == pytest.approx(told["logit"], rel=1e-9, abs=1e-9)
    # the network that answers photos is folded and float32; the ledger is not
    assert told["logit"] == pytest.approx(run.prediction.logit, rel=1e-3, abs=1e-3)
    named = {"stem", "head", *(block.name for block in run.blocks)}
    assert {bias["block"] for bias in told["biases"]} <= named
    if first == "paths":
        assert {tuple(path["branches"]) for path in told["paths"]} == {
            tuple(bool(i >> k & 1) for k in range(blocks)) for i in range(2**blocks)
        }
        assert all(type(branch) is bool for path in told["paths"] for branch in path["branches"])
    else:
        assert [length["branches"] for length in told["lengths"]] == list(range(blocks + 1))


def test_the_page_prints_sums_that_hold(engine: Engine, ours: tuple[Run, PathLedger]) -> None:
    run, ledger = ours
    html = paths_html(ledger, run, engine.ablation(run))
    tree = read(html)
    assert len(tree.all("g", "leaf")) == 32
    error = float(re.search(r"differ by ([\d.e-]+)", html)[1])  # type: ignore[index]
    assert error < 1e-9
    lengths = lengths_of(ledger)
    assert math.fsum(lengths) == pytest.approx(math.fsum(ledger.shares), abs=1e-12)
    weigh = abs(math.fsum(s for _, s in ledger.biases)) > abs(math.fsum(ledger.shares))
    assert ("Here the biases outweigh" in html) == weigh
    assert "It is not what the network would lose without the path." in html
    assert f"logit {run.prediction.logit:.2f}".replace("-", "−") in html


def test_a_path_stands_beside_what_removing_its_branches_does(
    engine: Engine, ours: tuple[Run, PathLedger]
) -> None:
    run, ledger = ours
    lesions = engine.ablation(run)
    leaves = {
        leaf.attributes["data-crossed"]: leaf
        for leaf in read(paths_html(ledger, run, lesions)).all("g", "leaf")
    }
    crossed = (True, False, True, False, False)
    gated = engine.run(run.photo, run.network, [Gate(residual=0.0 if c else 1.0) for c in crossed])
    sure = next(c.confidence for c in gated.prediction.confidences if c.label == lesions.label)
    said = f"with {100 * sure:.1f} % instead of {100 * lesions.whole:.1f} %"
    assert said in leaves["10100"].attributes["data-removed"]
    assert "no branch" in leaves["00000"].attributes["data-removed"]
    share = float(ledger.shares[ledger.branches.index(crossed)])
    assert leaves["10100"].attributes["aria-label"].startswith(path_words(crossed))
    assert len(leaves["10100"].all("rect", "up" if share > 0 else "down")) == 1
    switched = paths_html(engine.explain("paths", gated), gated, None)
    assert "while every switch is open" in switched


def test_maps_are_summed_over_squares_and_keep_their_sum(ours: tuple[Run, PathLedger]) -> None:
    from resnet_demo.drawing.signed_maps import summed

    for map_ in ours[1].maps[:4]:
        squares, joined = summed(map_)
        assert max(squares.shape) <= 48
        assert joined == 3
        assert squares.sum() == pytest.approx(map_.sum(), rel=1e-4, abs=1e-5)
        assert squares[0, 0] == pytest.approx(map_[:3, :3].sum(), rel=1e-4, abs=1e-6)


def test_deep_networks_are_told_by_length(engine: Engine) -> None:
    run = engine.run(draw_photo(3), "resnet-56")
    found = engine.explain("paths", run)
    assert isinstance(found, PathLengths)
    html = paths_html(found, run, None)
    assert "134,217,728 paths" in html
    assert "ledger-tree" not in html
    assert run.prediction.label in html  # whose logit it is


def test_the_tree_leads_to_every_path_once() -> None:
    tree = tree_of(3)
    ends = [line for line in tree["lines"] if line.first == line.last]
    assert sorted(line.first for line in ends) == list(range(8))
    assert [line.kind for line in sorted(ends, key=lambda line: line.first)] == ["branch", "road"] * 4
    assert len(tree["lines"]) == 2 + 4 + 8


def test_a_study_ends_when_it_is_told_to_or_another_begins(engine: Engine) -> None:
    studies = Studies()
    run = engine.run(draw_photo(3), "resnet-56")
    told: list[float] = []
    study = studies.begin("page")

    def tell(share: float) -> None:
        told.append(share)
        if len(told) == 3:
            studies.stop("page")

    with pytest.raises(StudyStoppedError):
        engine.explain("paths", run, progress=study.follow(tell))
    assert len(told) == 3
    assert study.pressed
    first, second = studies.begin("page"), studies.begin("page")
    assert first.over.is_set() and not first.pressed and not second.over.is_set()
    studies.end("page", first)
    studies.stop("page")
    assert second.over.is_set()
    # the copy of the network is free again, and unharmed
    assert sum(engine.explain("paths", run).shares) == pytest.approx(
        sum(engine.explain("paths", run).shares), rel=1e-9
    )


def test_a_network_without_answers_has_no_paths(engine: Engine, tmp_path: Path) -> None:
    from torchvision.models import resnet18

    from resnet_demo.inference.interface import EngineError

    state = {k: v for k, v in lively(resnet18()).state_dict().items() if not k.startswith("fc")}  # type: ignore[arg-type]
    save_file(state, tmp_path / "headless.safetensors")
    headless = Engine({"headless": tmp_path / "headless.safetensors"}, "cpu")
    with pytest.raises(EngineError, match="no answer to explain"):
        headless.explain("paths", headless.run(draw_photo(1)))
