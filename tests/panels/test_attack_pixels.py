"""Attack and pixels: what the page prints holds, for shipped networks and one that was brought."""

# ruff: noqa: F811 - fixtures are arguments of the name under which they are imported

from __future__ import annotations

import re

import numpy as np
import pytest
from conftest import draw_photo
from explained import NAMES, engine  # noqa: F401
from markup import read

from resnet_demo.explanations import Attack, PixelAttribution
from resnet_demo.inference.engine import Engine
from resnet_demo.inference.interface import EngineError
from resnet_demo.panels.explain.attack import answer_of, as_pixels, attack_html, change_picture
from resnet_demo.panels.explain.pixels import attribution_as_dict, pixels_html
from resnet_demo.records import NetworkInput, Run


@pytest.mark.parametrize("name", NAMES)
def test_a_flip_is_a_flip_of_the_network_itself(engine: Engine, name: str) -> None:
    run = engine.run(draw_photo(4), name)
    found: Attack = engine.explain("attack", run, {"epsilons": [2, 8, 32]})
    assert found.flipped
    assert np.abs(found.change).max() <= found.epsilon / 255 + 1e-6
    # of one length as the network takes them, whose channels are scaled a little differently
    assert np.linalg.norm(found.noise) == pytest.approx(np.linalg.norm(found.change), rel=0.02)
    before, after, noise = (answer_of(chances, run.classes) for chances in found.chances)
    assert before["label"] == run.prediction.label != after["label"]
    assert before["confidence"] == pytest.approx(run.prediction.confidences[0].confidence, abs=2e-3)
    html = attack_html(found, run)
    assert f"is called {after['label']} instead of {before['label']}" in html
    assert f"{100 * noise['confidence']:.1f} %" in html
    assert "What it is not" in html
    read(html)


def test_the_attack_grows_from_block_to_block_and_noise_does_not(engine: Engine) -> None:
    run = engine.run(draw_photo(5), "cats-and-dogs")
    found: Attack = engine.explain("attack", run, {"epsilons": [1]})
    assert len(found.drift) == len(found.noise_drift) == 6
    assert found.drift[0] == pytest.approx(found.noise_drift[0], rel=1e-3)
    assert found.drift[5] > 10 * found.drift[0]
    assert found.drift[5] > 5 * found.noise_drift[5]
    # the same, by running both pictures as photos; rounding to 255 levels is about as large as the change
    strong: Attack = engine.explain("attack", run, {"epsilons": [16]})
    other = engine.run(NetworkInput.of(as_pixels(run.photo, strong.change)), run.network)
    moved = [
        float(np.linalg.norm(b.output.astype(np.float32) - a.output.astype(np.float32)) / a.output_norm)
        for a, b in zip(run.blocks, other.blocks, strict=True)
    ]
    assert moved == pytest.approx(strong.drift[1:], rel=0.15)


def test_attacks_out_of_range_are_refused_with_a_sentence(engine: Engine) -> None:
    run = engine.run(draw_photo(5), "resnet-56")
    for bad in ([], [0], [3, 1], [100], [-1], [float("nan")], ["x"]):
        with pytest.raises(EngineError, match="cannot be explained"):
            engine.explain("attack", run, {"epsilons": bad})


def test_a_change_is_drawn_around_grey() -> None:
    change = np.zeros((3, 4, 4), np.float32)
    change[0, 0, 0], change[1, 1, 1] = 2 / 255, -2 / 255
    picture = change_picture(change, 2)
    assert picture[0, 0].tolist() == [255, 128, 128]
    assert picture[1, 1].tolist() == [128, 0, 128]
    assert (picture[2:] == 128).all()
    assert change_picture(change[:1], 2).shape == (4, 4, 3)  # a sound's picture has one channel


@pytest.fixture(scope="module")
def attributed(engine: Engine) -> dict[str, tuple[Run, tuple[PixelAttribution, ...]]]:
    runs = {name: engine.run(draw_photo(6), name) for name in NAMES}
    return {name: (run, engine.explain("pixels", run)) for name, run in runs.items()}


@pytest.mark.parametrize("name", NAMES)
def test_maps_sum_to_what_the_methods_promise(engine: Engine, attributed: dict, name: str) -> None:
    run, (simple, integrated, full) = attributed[name]
    logit = run.prediction.logit
    assert full.promised == pytest.approx(logit, rel=1e-3, abs=1e-3)
    assert full.total == pytest.approx(full.promised, rel=1e-4, abs=1e-4)
    assert integrated.total == pytest.approx(integrated.promised, rel=0.03, abs=0.1)
    assert simple.promised is None
    paths = engine.explain("paths", run)
    assert simple.total == pytest.approx(sum(paths.shares), rel=1e-2, abs=1e-2)
    for found in (simple, integrated, full):
        told = attribution_as_dict(found)
        assert np.sum(told["map"]) == pytest.approx(told["total"], rel=1e-3, abs=1e-4)
        assert np.array(told["map"]).shape[0] * told["pixels"] >= run.photo.shape[0]


@pytest.mark.parametrize("name", ["cats-and-dogs", "resnet-56"])
def test_the_maps_speak_of_what_was_learned(attributed: dict, name: str) -> None:
    for found in attributed[name][1]:
        assert -0.3 < found.similarity < 0.6, found.method
        assert not np.allclose(found.map, found.random)


def test_the_page_prints_sums_that_hold(attributed: dict) -> None:
    run, found = attributed["cats-and-dogs"]
    html = pixels_html(found, run)
    tree = read(html)
    assert len(tree.all("section")) == 3
    errors = [float(text) for text in re.findall(r"differ by ([\d.e-]+)", html)]
    assert errors == [pytest.approx(abs(a.total - a.promised), rel=0.06) for a in found[1:]]
    assert errors[1] < 1e-3
    assert "What these are not" in html
    assert "cat −" in html and "dog " in html  # whom the ends of the colours speak for
    many = pixels_html(attributed["resnet-56"][1], attributed["resnet-56"][0])
    assert "against −" in many and attributed["resnet-56"][0].prediction.label in many
