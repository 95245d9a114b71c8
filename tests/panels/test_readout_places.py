"""Read-outs by place and iterative inference: the sums that are printed, and the paper's finding on
ResNet-56."""

# ruff: noqa: F811 - fixtures are arguments of the name under which they are imported

from __future__ import annotations

import numpy as np
import pytest
from conftest import draw_photo
from explained import engine  # noqa: F401
from markup import read

from resnet_demo.inference.engine import Engine
from resnet_demo.inputs.photo_examples import EXAMPLES, example
from resnet_demo.panels.explain.early_readout import places_html, places_of, refinement_html


def test_places_and_bias_sum_to_each_read_out(engine: Engine) -> None:
    run = engine.run(draw_photo(7), "cats-and-dogs")
    found = places_of(run)
    assert [place.block for place in found] == [block.name for block in run.blocks]
    assert [place.own for place in found] == [False] * 4 + [True]
    reads = {r.block: r for r in run.read_outs}
    for place, block in zip(found, run.blocks, strict=True):
        assert place.places.shape == block.shape[1:]
        wanted = run.prediction.logit if place.own else reads[place.block].logit
        assert place.places.sum() + place.bias == pytest.approx(wanted, rel=2e-3, abs=2e-3)
    html = places_html(run)
    assert len(read(html).all("figure")) == 5
    assert "What these are not" in html
    assert "the network's own logit" in read(html).all("figcaption")[4].text


def test_of_a_network_of_many_classes_the_last_block_is_split_and_sums_to_the_logit(engine: Engine) -> None:
    run = engine.run(draw_photo(7), "resnet-56")
    (last,) = places_of(run)
    assert last.own and last.block == run.blocks[-1].name
    assert last.places.sum() + last.bias == pytest.approx(run.prediction.logit, rel=2e-3, abs=2e-3)


def test_a_place_is_what_the_read_out_makes_of_its_channels(engine: Engine) -> None:
    from resnet_demo.analysis.linear_probes import load_probes
    from resnet_demo.networks.cards import WEIGHTS

    run = engine.run(draw_photo(8), "cats-and-dogs")
    probes = load_probes(next(WEIGHTS.glob("cats-and-dogs-*[0-9a-f].safetensors")))
    for place, block in list(zip(places_of(run), run.blocks, strict=True))[:4]:
        probe = probes[block.name]
        output = block.output.astype(np.float64)
        by_hand = np.tensordot(probe.weight, output, 1) / output[0].size
        assert place.places == pytest.approx(by_hand, rel=1e-2, abs=1e-3 * np.abs(by_hand).max())


def test_late_blocks_of_resnet_56_refine_the_answer(engine: Engine) -> None:
    pictures = [example(name) for name in EXAMPLES]
    found = [engine.explain("refinement", engine.run(picture, "resnet-56")) for picture in pictures]
    names = list(found[0])
    assert len(names) == 25  # of 27: two change the width
    means = np.array([[cosines[name] for name in names] for cosines in found]).mean(0)
    assert means[-1] > 0.05
    assert means[-9:].mean() > means[:9].mean()
    assert np.abs(means).max() <= 1
    html = refinement_html(found[0], engine.run(pictures[0], "resnet-56"))
    assert len(read(html).all("div", "share")) == 25
    positive = sum(cosine > 0 for cosine in found[0].values())
    assert f"positive in {positive} of 25 blocks" in html
    assert "What this is not" in html


def test_where_no_shortcut_is_the_identity_the_page_says_so(engine: Engine) -> None:
    run = engine.run(draw_photo(8), "cats-and-dogs")
    found = engine.explain("refinement", run)
    assert found == {}
    assert "None of the 5 blocks" in refinement_html(found, run)
    assert places_html(None) == ""
    assert places_html(engine.run(draw_photo(8), "resnet18")) == ""  # nobody trained read-outs for it
