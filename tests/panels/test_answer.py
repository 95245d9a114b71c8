"""The HTML of a run: well formed, the same channels everywhere, names escaped."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from markup import read
from PIL import Image

from resnet_demo.analysis.class_activation import class_activation
from resnet_demo.drawing import answer as panels
from resnet_demo.drawing import feature_maps
from resnet_demo.drawing import road_map as roadmap
from resnet_demo.drawing.formatting import significant
from resnet_demo.drawing.streams import View
from resnet_demo.explanations import Ablation
from resnet_demo.panels.cut import ablation as lessons
from resnet_demo.panels.explain.class_activation import activation_html
from resnet_demo.panels.look import inside_block as inside
from resnet_demo.panels.look.layer_summary import trace_html
from resnet_demo.records import (
    STREAM_NAMES,
    Block,
    Confidence,
    Gate,
    LayerTrace,
    Prediction,
    Run,
    Timings,
)

RNG = np.random.default_rng(0)


def block(index: int, channels: int = 20, side: int = 12) -> Block:
    residual, shortcut = RNG.normal(size=(2, channels, side, side))
    residual[3] = shortcut[3] = 0  # a silent channel
    total = residual + shortcut
    norms = [float(np.linalg.norm(a)) for a in (residual, shortcut, np.maximum(total, 0))]
    streams = dict(zip(STREAM_NAMES, (residual, shortcut, total, np.maximum(total, 0)), strict=True))
    return Block(f"blocks.{index}", total.shape, *norms, 0.12, streams)


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


LESIONS = Ablation("dog", 0.9, RNG.uniform(size=3), RNG.uniform(size=3), RNG.uniform(size=8))


def all_html(run: Run | None) -> str:
    return "".join(
        [
            panels.answer_html(run, "Knows <cats>"),
            panels.status_html(run, "CPU"),
            roadmap.roadmap_html(run, 1),
            inside.inside_html(run, View()),
            trace_html(run.trace if run else (), ("blocks.0",)),
            activation_html(run),
            lessons.comparison_html(run.prediction if run else None, run),
            lessons.lesions_html(LESIONS if run else None, run),
            lessons.gates_html(3, run is not None),
        ]
    )


@pytest.mark.parametrize(
    "run", [None, make_run(), make_run(gates=(Gate(0), Gate(), Gate(1, 0)), notice="Fell < back")]
)
def test_html_is_well_formed(run: Run | None) -> None:
    read(all_html(run))


def test_names_from_outside_are_escaped() -> None:
    bad = Prediction("<b>x", (Confidence("<b>x", 0.9), Confidence("<i>y", 0.1)), 1.0)
    html = all_html(make_run(prediction=bad, classes=("<i>y", "<b>x"), device="<u>z", notice="<s>w"))
    assert not re.search(r"<b>x|<i>y|<u>z|<s>w|<cats>", html)
    assert "&lt;b&gt;x" in html


@pytest.mark.parametrize("count", [4, 16, 64])
def test_the_same_channels_in_the_same_places_in_all_four_streams(count: int) -> None:
    html = inside.inside_html(make_run(), View(channels=count, order="variance"))
    sections = html.split('<section class="stream"')[1:]
    assert len(sections) == 4
    channels = [re.findall(r'data-channel="(\d+)"', section) for section in sections]
    assert channels[0] == channels[1] == channels[2] == channels[3]
    assert len(channels[0]) == len(set(channels[0])) == min(count, 20)


def test_signed_streams_share_one_scale_and_say_its_ends() -> None:
    spans = ends_of_scales(inside.inside_html(make_run(), View()))
    assert spans[0] == spans[1] == spans[2]
    assert spans[0][0] == "−" + spans[0][2]
    assert spans[0][1] == "0"
    assert spans[3][0] == "0"
    assert float(spans[0][2]) > 0


def test_a_silent_channel_is_hatched_and_named() -> None:
    html = inside.inside_html(make_run(), View(channels=64))
    assert len(re.findall(r'class="tile silent" data-channel="3"', html)) == 4
    assert "channel 3, silent for this photo" in html


def test_roads_are_as_wide_as_the_norms() -> None:
    run = make_run()
    html = roadmap.roadmap_html(run)
    largest = max(max(b.residual_norm, b.shortcut_norm, b.output_norm) for b in run.blocks)
    for drawing, shown in zip(read(html).all("svg", "wide"), run.blocks, strict=True):
        (branch,) = drawing.all("path", "branch")
        assert float(branch.attributes["stroke-width"]) == pytest.approx(
            roadmap.WIDEST * shown.residual_norm / largest, abs=0.06
        )
    assert len(re.findall(r'class="cell[^>]*aria-pressed="true"', html)) == 1


def test_a_closed_branch_is_dashed() -> None:
    html = roadmap.roadmap_html(make_run(gates=(Gate(residual=0), Gate(shortcut=0), Gate())))
    assert html.count('class="branch off"') == 2  # drawn wide and tall
    assert html.count('class="road off"') == 2
    assert "off" not in roadmap.roadmap_html(make_run()).replace("of the", "")


def test_numbers_that_are_not_finite_do_not_break_the_page() -> None:
    run = make_run()
    streams = {**run.blocks[0].streams, "residual": np.full((20, 12, 12), np.nan)}
    sick = replace(run.blocks[0], streams=streams, residual_norm=float("nan"), shortcut_norm=0.0)
    read(all_html(replace(run, blocks=(sick, *run.blocks[1:]))))


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
    assert significant(value) == text


def test_lesions_are_told_for_the_class_that_was_answered() -> None:
    ends = np.array([0.5, 0.881])
    for label in ("dog", "cat"):
        html = lessons.lesions_html(Ablation(label, 0.881, ends, ends, np.full(4, 0.5)), make_run())
        assert f"<b>{label}</b> (88.1 % as a whole" in html
        assert html.count("<circle") == 4
        assert "all 4 sets" in html
    deep = lessons.lesions_html(Ablation("dog", 0.9, ends, ends, np.empty(0)), make_run())
    assert "sets of" not in deep


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


def test_a_block_that_the_network_has_not_is_the_last_one_and_named_so() -> None:
    run = make_run()
    html = inside.inside_html(run, View(block=7))
    assert html == inside.inside_html(run, View(block=2))
    assert "<h3>Block 3<" in html


def tiles(html: str) -> list[dict[str, str]]:
    """The attributes of every tile, in the order of the page."""
    return [tile.attributes for tile in read(html).all("button", "tile")]


def ends_of_scales(html: str) -> list[list[str]]:
    """What stands below the colour scale of each stream."""
    return [[end.text for end in legend.all("span")] for legend in read(html).all(class_="legend")]


@pytest.mark.parametrize("order", ["mean", "variance", "index"])
def test_the_channels_are_those_that_the_order_puts_first_by_the_output(order: feature_maps.Order) -> None:
    run = make_run()
    found = [int(t["data-channel"]) for t in tiles(inside.inside_html(run, View(channels=4, order=order)))]
    assert found == feature_maps.rank_channels(run.blocks[0].output, order, 4).tolist() * 4


def test_a_tiles_facts_are_those_of_its_own_map() -> None:
    run = make_run()
    found = tiles(inside.inside_html(run, View(channels=4)))
    for i, tile in enumerate(found):
        stream = ("residual", "shortcut", "pre_activation", "output")[i // 4]
        values = getattr(run.blocks[0], stream)[int(tile["data-channel"])]
        numbers = tile["data-facts"].replace("−", "-").split("|")
        facts = dict(zip(("low", "high", "mean", "norm", "zeros", "end"), numbers, strict=True))
        assert float(facts["low"]) == pytest.approx(values.min(), rel=0.06, abs=1e-3)
        assert float(facts["high"]) == pytest.approx(values.max(), rel=0.06, abs=1e-3)
        assert float(facts["norm"]) == pytest.approx(np.linalg.norm(values), rel=0.06)
        assert float(facts["zeros"]) == pytest.approx((values == 0).mean(), rel=0.06, abs=1e-3)
        assert float(facts["end"]) > 0


@pytest.mark.parametrize(("count", "grid"), [(4, (2, 2)), (16, (4, 4)), (64, (4, 5))])
def test_tiles_show_distinct_places_of_the_sheet(count: int, grid: tuple[int, int]) -> None:
    columns, rows = grid  # 20 channels, so that 64 asked for are 20
    html = inside.inside_html(make_run(), View(channels=count))
    assert f"--columns:{columns};--rows:{rows}" in html
    places = re.findall(r"background-position:([\d.]+)% ([\d.]+)%", html)
    per_stream = min(count, 20)
    assert len(places) == 4 * per_stream
    for start in range(0, len(places), per_stream):
        one = [(float(x), float(y)) for x, y in places[start : start + per_stream]]
        assert len(set(one)) == per_stream
        assert one == sorted(one, key=lambda place: (place[1], place[0]))  # row by row
        assert one[0] == (0, 0)
        assert max(one) == (100, 100) or max(x for x, _ in one) == max(y for _, y in one) == 100


@pytest.mark.parametrize("count", [4, 16, 64])
def test_each_sheet_has_a_pixel_for_every_value_drawn(count: int) -> None:
    html = inside.inside_html(make_run(), View(channels=count))
    sheets = re.findall(r"--sheet:url\(data:image/png;base64,(.*?)\)", html)
    columns = 2 if count == 4 else 4
    rows = -(-min(count, 20) // columns)
    sizes = [Image.open(io.BytesIO(base64.b64decode(sheet))).size for sheet in sheets]
    assert sizes == [(12 * columns, 12 * rows)] * 4


def test_the_drawn_sum_is_the_sum_of_the_drawn_streams() -> None:
    run = make_run()
    html = inside.inside_html(run, View(channels=16))
    sheets = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(sheet)))).astype(int) - 128
        for sheet in re.findall(r"--sheet:url\(data:image/png;base64,(.*?)\)", html)
    ]
    residual, shortcut, total, _ = sheets
    unclipped = (np.abs(residual) < 127) & (np.abs(shortcut) < 127) & (np.abs(total) < 127)
    assert unclipped.mean() > 0.9
    assert np.abs((residual + shortcut - total)[unclipped]).max() <= 2  # one scale, so the picture adds up


def test_a_scale_for_each_channel_is_printed_as_its_own_maximum() -> None:
    html = inside.inside_html(make_run(), View(scope="channel"))
    assert ends_of_scales(html) == [["−max", "0", "max"]] * 3 + [["0", "", "max"]]


def test_fewer_channels_than_asked_for_are_all_drawn_and_counted() -> None:
    html = inside.inside_html(make_run(), View(channels=64))
    assert "20 of 20 channels, each 12×12" in html
    assert "4 of 20 channels" in inside.inside_html(make_run(), View(channels=4))


@pytest.mark.parametrize("value", [0.0, 5.0, -5.0, float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("scope", ["block", "channel"])
def test_constant_maps_of_any_value_are_drawn(value: float, scope: feature_maps.Scope) -> None:
    run = make_run()
    maps = np.full((20, 12, 12), value, np.float32)
    norm = float(np.linalg.norm(maps))
    flat = Block("blocks.0", maps.shape, norm, norm, norm, 0.0, dict.fromkeys(STREAM_NAMES, maps))
    html = inside.inside_html(replace(run, blocks=(flat,)), View(scope=scope))
    read(html)
    spoken = {tile["aria-label"].partition(", channel ")[2].partition(", ")[2] for tile in tiles(html)}
    expected = "from not a number to not a number" if value != value else "silent for this photo"
    assert spoken == {expected}


def test_one_tile_of_each_stream_is_reached_by_the_tab_key() -> None:
    html = inside.inside_html(make_run(), View(channels=16))
    assert [t["tabindex"] for t in tiles(html)] == (["0"] + ["-1"] * 15) * 4


def test_large_maps_are_smoothed_and_small_ones_are_not() -> None:
    run = make_run()
    assert 'class="inside"' in inside.inside_html(run, View())
    large = replace(run, blocks=(block(0, side=80),))
    assert 'class="inside smooth"' in inside.inside_html(large, View())


def test_the_trace_adds_up_and_escapes() -> None:
    lines = (
        LayerTrace("<b>", "<i>", (3, 4, 5), 1_000, 2_500_000, 1.25),
        LayerTrace("linear", "Linear", (1,), 234, 999, None),
    )
    html = trace_html(lines)
    read(html)
    assert "<b>" not in html
    assert "&lt;b&gt;" in html
    rows = [[cell.text for cell in (*row.all("th"), *row.all("td"))] for row in read(html).all("tr")]
    assert rows[1] == ["<b>", "<i>", "3×4×5", "1,000", "2.50 M", "1.2"]
    assert rows[2] == ["linear", "Linear", "1", "234", "999", ""]
    assert rows[3] == ["all", "", "", "1,234", "2.50 M", "1.2"]


def test_the_answer_says_every_class_with_its_share() -> None:
    rows = read(panels.answer_html(make_run(), "Knows.")).all(class_="class-row")
    assert [row.text for row in rows] == ["dog 97.3 %", "cat 2.7 %"]
    assert [row.all("i")[0].attributes["style"] for row in rows] == ["width:97.30%", "width:2.70%"]


def test_the_status_says_where_and_how_fast() -> None:
    told = panels.status_html(make_run(timings=Timings(1.04, 28.6, 31.4)), "")
    assert read(told).text == "on CPU · 31 ms"
    assert panels.status_html(None, "<x>").count("&lt;x&gt;") == 1
