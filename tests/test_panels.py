"""The HTML of a run: well formed, the same channels everywhere, names escaped."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from resnet_demo import lessons, panels, roadmap
from resnet_demo.experiments import class_activation
from resnet_demo.panels import View
from resnet_demo.records import BlockStreams, Confidence, Gate, LayerTrace, Lesions, Prediction, Run, Timings

VOID = {"img", "input", "br"}
RNG = np.random.default_rng(0)


def block(index: int, channels: int = 20, side: int = 12) -> BlockStreams:
    residual, shortcut = RNG.normal(size=(2, channels, side, side))
    residual[3] = shortcut[3] = 0  # a silent channel
    total = residual + shortcut
    norms = [float(np.linalg.norm(a)) for a in (residual, shortcut, np.maximum(total, 0))]
    return BlockStreams(f"blocks.{index}", residual, shortcut, total, np.maximum(total, 0), *norms, 0.12)


def make_run(**changes: object) -> Run:
    blocks = tuple(block(i) for i in range(3))
    weight = RNG.normal(size=20).astype(np.float32)
    run = Run(
        network="net",
        device="CPU",
        photo=RNG.integers(0, 256, (30, 30, 3), dtype=np.uint8),
        prediction=Prediction("dog", (Confidence("dog", 0.973), Confidence("cat", 0.027)), 3.58),
        blocks=blocks,
        trace=(
            LayerTrace("input", "photo", (3, 30, 30), 0, 0),
            LayerTrace("blocks.0", "B", (20, 12, 12), 1234, 10**9, 1.5),
        ),
        timings=Timings(1, 2, 3),
        classes=("cat", "dog"),
        activation=class_activation(blocks[-1].output, weight, 0.1),
    )
    return replace(run, **changes)


class Tree(HTMLParser):
    """Fails on tags that are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


LESIONS = Lesions(RNG.normal(size=8).astype(np.float32), RNG.normal(size=3).astype(np.float32), 1.2)


def all_html(run: Run | None) -> str:
    return "".join(
        [
            panels.answer_html(run, "Knows <cats>"),
            panels.status_html(run, "CPU"),
            roadmap.roadmap_html(run, 1),
            panels.inside_html(run, View()),
            panels.trace_html(run.trace if run else (), ("blocks.0",)),
            lessons.activation_html(run),
            lessons.comparison_html(run.prediction if run else None, run),
            lessons.lesions_html(LESIONS if run else None, run),
            lessons.gates_html(3, run is not None),
        ]
    )


@pytest.mark.parametrize(
    "run", [None, make_run(), make_run(gates=(Gate(0), Gate(), Gate(1, 0)), notice="Fell < back")]
)
def test_html_is_well_formed(run: Run | None) -> None:
    Tree(all_html(run))


def test_names_from_outside_are_escaped() -> None:
    bad = Prediction("<b>x", (Confidence("<b>x", 0.9), Confidence("<i>y", 0.1)), 1.0)
    html = all_html(make_run(prediction=bad, classes=("<i>y", "<b>x"), device="<u>z", notice="<s>w"))
    assert not re.search(r"<b>x|<i>y|<u>z|<s>w|<cats>", html)
    assert "&lt;b&gt;x" in html


@pytest.mark.parametrize("count", [4, 16, 64])
def test_the_same_channels_in_the_same_places_in_all_four_streams(count: int) -> None:
    html = panels.inside_html(make_run(), View(channels=count, order="variance"))
    sections = html.split('<section class="stream"')[1:]
    assert len(sections) == 4
    channels = [re.findall(r'data-channel="(\d+)"', section) for section in sections]
    assert channels[0] == channels[1] == channels[2] == channels[3]
    assert len(channels[0]) == len(set(channels[0])) == min(count, 20)


def test_signed_streams_share_one_scale_and_say_its_ends() -> None:
    html = panels.inside_html(make_run(), View())
    legends = re.findall(r'<div class="legend">.*?</div>', html)
    spans = [re.findall(r"<span>(.*?)</span>", legend) for legend in legends]
    assert spans[0] == spans[1] == spans[2]
    assert spans[0][0] == "−" + spans[0][2]
    assert spans[0][1] == "0"
    assert spans[3][0] == "0"
    assert float(spans[0][2]) > 0


def test_a_silent_channel_is_hatched_and_named() -> None:
    html = panels.inside_html(make_run(), View(channels=64))
    assert len(re.findall(r'class="tile silent" data-channel="3"', html)) == 4
    assert "channel 3, silent for this photo" in html


def test_roads_are_as_wide_as_the_norms() -> None:
    run = make_run()
    html = roadmap.roadmap_html(run)
    wide = re.findall(r'<svg class="wide".*?</svg>', html)
    largest = max(max(b.residual_norm, b.shortcut_norm, b.output_norm) for b in run.blocks)
    for svg, shown in zip(wide, run.blocks, strict=True):
        branch = float(re.search(r'class="branch".*?stroke-width="([\d.]+)"', svg)[1])  # type: ignore[index]
        assert branch == pytest.approx(roadmap.WIDEST * shown.residual_norm / largest, abs=0.06)
    assert html.count('aria-pressed="true"') == 1


def test_a_closed_branch_is_dashed() -> None:
    html = roadmap.roadmap_html(make_run(gates=(Gate(residual=0), Gate(shortcut=0), Gate())))
    assert html.count('class="branch off"') == 2  # drawn wide and tall
    assert html.count('class="road off"') == 2
    assert "off" not in roadmap.roadmap_html(make_run()).replace("of the", "")


def test_numbers_that_are_not_finite_do_not_break_the_page() -> None:
    run = make_run()
    sick = replace(
        run.blocks[0], residual=np.full((20, 12, 12), np.nan), residual_norm=float("nan"), shortcut_norm=0.0
    )
    Tree(all_html(replace(run, blocks=(sick, *run.blocks[1:]))))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (41.3, "41"),
        (0.0234, "0.023"),
        (1234.5, "1234"),
        (1e-5, "1.0e-05"),
        (float("inf"), "not a number"),
    ],
)
def test_two_significant_figures(value: float, text: str) -> None:
    assert roadmap.significant(value) == text


def test_lesions_are_told_for_the_class_that_was_answered() -> None:
    for sign, label in ((1, "dog"), (-1, "cat")):
        found = Lesions(np.array([0, 0, 0, sign * 2.0], np.float32), np.array([0, 0], np.float32), 1.0)
        html = lessons.lesions_html(found, make_run())
        assert f"<b>{label}</b> (88.1 % as a whole" in html
        assert html.count("<circle") == 4


def test_gates_are_read_strictly() -> None:
    assert lessons.read_gates([[1, 0], [0.5, 1]], 2) == (Gate(1, 0), Gate(0.5, 1))
    for bad in (
        None,
        [],
        [[1, 1]],
        [[1, 2], [0, 0]],
        [[1], [1]],
        ["ab", [1, 1]],
        [[None, 1], [1, 1]],
        [1, 2],
    ):
        with pytest.raises(ValueError):
            lessons.read_gates(bad, 2)
