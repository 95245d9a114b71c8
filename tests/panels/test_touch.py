"""Touch the photo: what an edit costs; and whether the map is faithful: curves against pictures made by
hand."""

# ruff: noqa: F811 - fixtures are arguments of the name under which they are imported

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import draw_photo
from explained import engine  # noqa: F401
from PIL import Image

from resnet_demo.analysis.deletion_insertion import STEPS, Curve, erased, order_of, shuffled, steps_between
from resnet_demo.inference.engine import Engine
from resnet_demo.inference.interface import Limits
from resnet_demo.panels.explain.class_activation import (
    deletion_and_insertion,
    faithfulness_html,
    support_of,
)
from resnet_demo.panels.explain.touch import TouchPanel, touch_html
from resnet_demo.records import NetworkInput


@pytest.fixture
def panel(engine: Engine) -> TouchPanel:
    page: Any = SimpleNamespace(engine=SimpleNamespace(get=lambda: engine), limits=Limits(frames=1))
    return TouchPanel(page)


def as_url(pixels: np.ndarray, kind: str = "PNG") -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return f"data:image/{kind.lower()};base64," + base64.b64encode(buffer.getvalue()).decode()


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many pictures each forward pass had."""
    from resnet_demo.inference import engine as module

    seen: list[int] = []
    whole = module.wait_for_pass

    def counted(net: Any, x: Any, *args: Any) -> Any:
        seen.append(len(x))
        return whole(net, x, *args)

    monkeypatch.setattr(module, "wait_for_pass", counted)
    return seen


def test_an_edit_is_one_forward_pass_of_exactly_its_pixels(
    panel: TouchPanel, engine: Engine, passes: list[int]
) -> None:
    run = engine.run(draw_photo(9), "cats-and-dogs")
    edited = run.photo.copy()
    edited[40:90, 40:90] = 128
    passes.clear()
    told = panel.edited({"picture": as_url(edited), "network": "cats-and-dogs"})
    assert passes == [1]
    wanted = engine.run(NetworkInput.of(edited), "cats-and-dogs")
    assert told["classes"] == [[c.label, pytest.approx(c.confidence)] for c in wanted.prediction.confidences]
    assert told["roadmap"].count('class="cell') == 5  # a button for each block
    assert ' id="' not in told["roadmap"]
    assert np.array(told["support"]) == pytest.approx(support_of(wanted), abs=1e-5)
    sign = 1 if wanted.prediction.label == "dog" else -1
    bias = wanted.activation.bias  # type: ignore[union-attr]
    assert np.sum(told["support"]) == pytest.approx(sign * (wanted.prediction.logit - bias), rel=1e-3)


@pytest.mark.parametrize(
    "request_",
    [
        None,
        [],
        {},
        {"picture": 3},
        {"picture": "data:text/html;base64,AAAA"},
        {"picture": "data:image/png;base64,!!!"},
        {"picture": "data:image/png;base64," + "A" * 2_000_000},
        {"picture": "http://127.0.0.1:9/x.png"},
    ],
)
def test_what_is_no_picture_is_one_sentence(panel: TouchPanel, request_: Any) -> None:
    told = panel.edited(request_)
    assert list(told) == ["error"]
    assert told["error"].endswith(".")
    good = {"picture": as_url(np.zeros((144, 144, 3), np.uint8)), "network": "no-such-net"}
    assert "no-such-net" in panel.edited(good)["error"]
    # from within the only seat
    assert panel.seats.answer({}, lambda _: panel.edited(good)) == {"busy": True}


def test_the_canvas_has_the_network_s_own_resolution(engine: Engine) -> None:
    run = engine.run(draw_photo(9), "resnet-56")
    html = touch_html(run)
    assert '<canvas width="32" height="32"' in html
    assert "What this is not" in html
    assert "painted" in touch_html(None)


def test_parts_are_erased_and_put_back_in_the_map_s_order() -> None:
    photo = np.asarray(draw_photo(1).resize((48, 48)))
    support = np.arange(16, dtype=np.float32).reshape(4, 4)
    order = order_of(support, 48)
    assert sorted(order) == list(range(48 * 48))
    assert order[0] // 48 >= 40 and order[0] % 48 >= 40  # the largest is below, on the right
    steps = steps_between(photo, erased(photo), order)
    assert len(steps) == STEPS + 1 == 37
    assert (steps[0] == photo).all() and (steps[-1] == erased(photo)).all()
    changed = [(step != photo).any(-1).sum() for step in steps]
    assert changed == sorted(changed)
    assert (steps[18].reshape(-1, 3)[order[48 * 24 :]] == photo.reshape(-1, 3)[order[48 * 24 :]]).all()
    assert Curve((1.0, 0.5, 0.0)).area == pytest.approx(0.5)
    assert sorted(shuffled(support, 1).ravel()) == sorted(support.ravel())


def test_curves_are_what_the_network_says_of_hand_made_pictures(engine: Engine) -> None:
    run = engine.run(draw_photo(9), "cats-and-dogs")
    told: list[float] = []
    curves = deletion_and_insertion(engine, run, told.append)
    assert [len(curve.chances) for curve in curves] == [37] * 4
    assert told == sorted(told) and told[-1] == 1
    answer = run.classes.index(run.prediction.label)
    pictures = steps_between(run.photo, erased(run.photo), order_of(support_of(run), 144))
    for step in (0, 12, 36):
        by_hand = engine.run(NetworkInput.of(pictures[step]), run.network).prediction.chances[answer]
        assert curves[0].chances[step] == pytest.approx(by_hand, abs=2e-3)
    assert curves[0].chances[0] == pytest.approx(curves[1].chances[-1], abs=2e-3)
    html = faithfulness_html(curves, run)
    faithful = curves[0].area < curves[2].area, curves[1].area > curves[3].area
    assert ("Yes, for this photo" in html) == all(faithful)
    assert ("No, not for this photo" in html) == (not any(faithful))
    assert html.count("<svg") == 2 and "What this is not" in html


def test_the_map_of_a_network_trained_on_photos_is_more_faithful_than_chance(engine: Engine) -> None:
    from resnet_demo.inputs.photo_examples import EXAMPLES, example

    better = 0.0
    for name in EXAMPLES:
        curves = deletion_and_insertion(engine, engine.run(example(name), "resnet-56"))
        better += (curves[2].area - curves[0].area) + (curves[1].area - curves[3].area)
    assert better > 0
