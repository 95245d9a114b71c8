"""The panels on depth, the charts, the comparison and the drawing of a block say what the records say."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_photo
from test_answer import make_run

from resnet_demo.drawing.line_chart import Series, line_chart, power_of_ten
from resnet_demo.drawing.streams import View, choose_channels
from resnet_demo.explanations import GradientFlow
from resnet_demo.panels.explain.early_readout import decides_html
from resnet_demo.panels.learn.gradient_flow import gradients_html, read_twin, twin_html
from resnet_demo.panels.look.block_diagram import how_html
from resnet_demo.panels.look.inside_block import silent_share
from resnet_demo.panels.own.compare import compare_html
from resnet_demo.records import Block, LayerTrace, ReadOut, ReceptiveField


def words(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def test_read_outs_are_told_for_the_answer_and_where_it_is_settled() -> None:
    run = make_run()
    names = [block.name for block in run.blocks]
    positive = run.classes.index(run.prediction.label) == 1
    sign = 1 if positive else -1

    def read(*logits: float) -> str:
        outs = tuple(
            ReadOut(name, sign * logit, 1 / (1 + math.exp(-sign * logit)), 0.7)
            for name, logit in zip(names, logits, strict=True)
        )
        return words(decides_html(replace(run, read_outs=outs)))

    assert "From block 3 on all of them agree" in read(1, -1, 2)
    assert "block 3 88.1 % right on 70.0 % of photos" in read(1, -1, 2)
    assert "Every read-out agrees" in read(1, 1, 1)
    assert "the read-out disagrees" in read(1, 1, -1)
    assert "No read-outs were trained" in decides_html(run)
    assert "appears here" in decides_html(None)


def polylines(html: str) -> list[list[tuple[float, float]]]:
    found = re.findall(r'points="([^"]*)"', html)
    return [[tuple(map(float, p.split(","))) for p in points.split()] for points in found]  # type: ignore[misc]


def test_a_chart_draws_equal_factors_equally_far_apart() -> None:
    html = line_chart(
        [Series("a<b", [(0, 1), (1, 10), (2, 100)], "with")], "label", "x", "y", logarithmic=True
    )
    curve = polylines(html)[0]
    assert curve[0][1] - curve[1][1] == pytest.approx(curve[1][1] - curve[2][1], abs=0.2)
    assert curve[0][1] > curve[2][1]  # upward is more
    assert "a&lt;b" in html
    kept = line_chart([Series("a", [(0, 0), (1, math.inf), (2, 5), (3, 6)])], "l", "x", "y", logarithmic=True)
    assert len(polylines(kept)[0]) == 2
    assert line_chart([Series("a", [(0, math.nan)])], "l", "x", "y") == ""
    assert "polyline" in line_chart([Series("a", [(0, 5), (1, 5)])], "l", "x", "y")


def test_powers_of_ten_are_written_as_people_do() -> None:
    assert [power_of_ten(e) for e in (0, 2, 4, -12)] == ["1", "100", "10⁴", "10⁻¹²"]


def test_the_gradient_panel_tells_growth_decline_and_death() -> None:
    flow = GradientFlow((2.0, 1.0), (1e-9, 1.0), True, 0, 12.0)
    text = words(gradients_html(flow))
    assert "keeps its size (2.0 times it) with shortcuts" in text
    assert "Without shortcuts it dies on the way" in text
    assert "With them it arrives 10⁹ times nearer" in text
    exploding = words(gradients_html(GradientFlow((77.0, 1.0), (1e8, 1.0), True, 0, 12.0)))
    assert "grows 77-fold with shortcuts and grows about 10⁸-fold without" in exploding
    assert "it explodes: batch norm keeps the values in bounds" in exploding and "dies" not in exploding
    shallow = words(gradients_html(GradientFlow((11.0, 1.0), (9.7, 1.0), True, 0, 12.0)))
    assert "At this depth it arrives both ways" in shallow
    assert "shrinks about 10⁹-fold without" in text
    assert "12 ms for both" in text
    dead = GradientFlow((1.0, 1.0), (0.0, 1.0), False, 0, 12.0)
    assert "dies completely without" in words(gradients_html(dead))


def test_the_twins_curves_are_read_strictly(tmp_path: Path) -> None:
    path = tmp_path / "twin.json"
    assert read_twin(path) == {}
    good = {"with shortcuts": [[0.5, 0.6], [1, 0.5]], "without shortcuts": [[0.5, 0.7], [1, 0.65]]}
    path.write_text(json.dumps(good))
    curves = read_twin(path)
    assert curves["without shortcuts"] == [(0.5, 0.7), (1.0, 0.65)]
    assert "0.50 with shortcuts and 0.65 without shortcuts" in words(twin_html(curves))
    for bad in ("", "[]", '{"with shortcuts": 3}', "{", '{"with shortcuts": [[1]]}'):
        path.write_text(bad)
        assert read_twin(path) == {}
    assert twin_html({}) == ""


def test_the_comparison_locks_channels_and_scale() -> None:
    one, two = make_run(), make_run()
    html = compare_html(one, two, View(block=1, channels=4))
    assert html.count("<article") == 2
    channels = re.findall(r'data-channel="(\d+)"', html)
    assert channels[:16] == channels[16:]
    narrow = replace(two, blocks=tuple(
        replace(b, shape=(3, *b.shape[1:]), streams={name: maps[:3] for name, maps in b.streams.items()})
        for b in two.blocks
    ))  # fmt: skip
    assert "so each shows its own" in compare_html(one, narrow, View(block=1))
    assert "give the page a photo" in compare_html(None, None, View())
    assert "Pin this run" in compare_html(None, one, View())


def test_what_a_block_adds_and_which_channels_are_silent() -> None:
    block = make_run().blocks[0]
    output = np.maximum(block.pre_activation.astype(np.float32), 0)

    def putting_out(output: np.ndarray) -> Block:
        return replace(block, streams={**block.streams, "output": output}, means=None)

    assert putting_out(output).added == pytest.approx(
        (output - np.maximum(block.shortcut.astype(np.float32), 0)).mean(0), abs=1e-4
    )
    half = output.copy()
    half[: len(half) // 2] = 0
    half[len(half) // 2 :, 0, 0] = 1
    assert silent_share(putting_out(half)) == pytest.approx((len(half) // 2) / len(half))


def test_channels_by_their_share_of_the_logit() -> None:
    run = make_run()
    block = run.blocks[0]
    shares = np.linspace(-1, 0.5, len(block.output)).astype(np.float32)
    known = replace(run, contributions={block.name: shares})
    view = View(channels=4, order="contribution")
    assert list(choose_channels(known, block, view)) == [0, 1, 2, 3]
    assert list(choose_channels(run, block, view)) == list(choose_channels(run, block, View(channels=4)))


def test_the_drawing_of_a_block_knows_its_kind() -> None:
    run = make_run()
    assert "C × H × W" in how_html(None, 0)
    trace = (LayerTrace("input", "photo", (3, 9, 9), 0, 0),
             LayerTrace(run.blocks[0].name, "Bottleneck", (4, 5, 5), 1, 1))  # fmt: skip
    html = how_html(replace(run, trace=trace), 0)
    assert html.count("1×1 conv") == 2
    assert "3×9×9" in html
    assert f"Block {len(run.blocks)} for your photo" in how_html(run, 99)


def test_spans_are_clipped() -> None:
    field = ReceptiveField(4, -9, 9)
    assert (field.size, field.span(0, 100), field.span(10, 100), field.span(24, 100)) == (
        19, (0, 9), (31, 49), (87, 99),
    )  # fmt: skip
    assert draw_photo(1).size == (320, 240)
