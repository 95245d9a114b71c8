"""The road map: roads as wide as the norms, one scale for the whole map, whatever the numbers."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markup import read
from PIL import Image
from test_answer import make_run

from resnet_demo.drawing.formatting import block_title, shape_text, significant
from resnet_demo.drawing.road_map import NARROWEST, WIDEST, roadmap_html, shares_of_sum, strip_picture
from resnet_demo.records import Block, Confidence, Prediction, Run


def widths(html: str) -> list[list[float]]:
    """Widths of the roads on the wide picture of every cell, (enters, shortcut, branch, leaves)."""
    return [
        [float(p.attributes["stroke-width"]) for p in svg.all("path")]
        for svg in read(html).all("svg", "wide")
    ]


def with_norms(*norms: tuple[float, float, float]) -> Run:
    """A run whose blocks have these (residual, shortcut, output) norms."""
    run = make_run()
    blocks = tuple(
        replace(run.blocks[0], name=f"blocks.{i}", residual_norm=r, shortcut_norm=s, output_norm=o)
        for i, (r, s, o) in enumerate(norms)
    )
    return replace(run, blocks=blocks)


def test_a_road_says_how_strong_each_value_is_not_how_many_there_are() -> None:
    sides, channels = (72, 36, 18, 9, 5), (32, 64, 128, 256, 512)
    totals = (426.0, 320.0, 229.0, 181.0, 142.0)  # of F(x) for one photo through cats-and-dogs
    run = with_norms(*((total, 100.0, 100.0) for total in totals))
    blocks = tuple(
        replace(block, shape=(c, n, n)) for block, c, n in zip(run.blocks, channels, sides, strict=True)
    )
    found = [branch for _, _, branch, _ in widths(roadmap_html(replace(run, blocks=blocks)))]
    assert found[4] > found[0]  # 1.26 a value after 1.05
    total = [b for _, _, b, _ in widths(roadmap_html(replace(run, blocks=blocks), measure="total"))]
    assert total == sorted(total, reverse=True)


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.floats(-0.99, 0.99))
def test_the_shares_of_a_sum_add_up_to_it(residual: float, shortcut: float, cosine: float) -> None:
    block = replace(make_run().blocks[0], residual_norm=residual, shortcut_norm=shortcut, cosine=cosine)
    ours, theirs, whole = shares_of_sum(block)
    assert ours + theirs == pytest.approx(1) == whole
    alone = replace(block, residual_norm=0.0)
    assert shares_of_sum(alone)[:2] == (0, pytest.approx(1))


def test_a_sum_of_nothing_has_no_shares() -> None:
    block = replace(make_run().blocks[0], residual_norm=0.0, shortcut_norm=0.0)
    assert np.isnan(shares_of_sum(block)[0])
    assert "F(x)</i> –" in roadmap_html(with_norms((0.0, 0.0, 0.0)), measure="share")


def test_every_road_is_proportional_to_its_norm_and_the_largest_is_widest() -> None:
    norms = [(10.0, 20.0, 25.0), (30.0, 12.5, 40.0), (50.0, 17.0, 33.0)]
    cells = widths(roadmap_html(with_norms(*norms)))
    entering = [norms[0][1], norms[0][2], norms[1][2]]  # what a block hands on is what the next receives
    for found, (residual, shortcut, output), enters in zip(cells, norms, entering, strict=True):
        expected = [WIDEST * norm / 50 for norm in (enters, shortcut, residual, output)]
        assert found == pytest.approx(expected, abs=0.051)
    assert max(map(max, cells)) == WIDEST
    assert cells[2][2] == WIDEST


def test_a_scale_of_all_norms_changes_no_road() -> None:
    norms = [(1.0, 2.0, 3.0), (4.0, 5.0, 6.0)]
    large = [(r * 1e4, s * 1e4, o * 1e4) for r, s, o in norms]
    assert widths(roadmap_html(with_norms(*norms))) == widths(roadmap_html(with_norms(*large)))


def test_a_road_never_vanishes() -> None:
    cells = widths(roadmap_html(with_norms((0.0, 1e-9, 100.0))))
    assert cells == [[NARROWEST, NARROWEST, NARROWEST, WIDEST]]
    silent = widths(roadmap_html(with_norms((0.0, 0.0, 0.0))))
    assert silent == [[NARROWEST] * 4]


@pytest.mark.parametrize("sick", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", range(3))
def test_one_norm_that_is_not_finite_leaves_the_other_roads_right(sick: float, place: int) -> None:
    first = [8.0, 8.0, 8.0]
    first[place] = sick
    html = roadmap_html(with_norms((first[0], first[1], first[2]), (10.0, 5.0, 20.0)))
    read(html)
    cells = widths(html)
    assert cells[1][1:] == pytest.approx([WIDEST / 4, WIDEST / 2, WIDEST], abs=0.051)
    assert all(NARROWEST <= width <= WIDEST for cell in cells for width in cell)


def test_both_pictures_of_a_block_have_the_same_roads() -> None:
    for cell in read(roadmap_html(make_run())).all("button", "cell"):
        wide, tall = (
            [(path.attributes["class"], path.attributes["stroke-width"]) for path in svg.all("path")]
            for svg in cell.all("svg")
        )
        assert wide == tall


@pytest.mark.parametrize("selected", [0, 1, 2])
def test_exactly_the_chosen_block_is_marked(selected: int) -> None:
    html = roadmap_html(make_run(), selected)
    assert re.findall(r'class="cell[^>]*aria-pressed="(\w+)"', html) == [
        str(i == selected).lower() for i in range(3)
    ]
    assert re.findall(r'class="cell selected" data-block="(\d+)"', html) == [str(selected)]


@pytest.mark.parametrize("blocks", [1, 5, 16])
def test_the_empty_map_has_a_place_for_every_block(blocks: int) -> None:
    html = roadmap_html(None, blocks=blocks)
    read(html)
    assert re.findall(r'id="block-(\d+)"', html) == [str(i + 1) for i in range(blocks)]
    assert "<button" not in html  # nothing to choose yet


def test_every_cell_says_its_shape_and_norms() -> None:
    run = with_norms((12.3, 4.56, 0.0789))
    html = roadmap_html(run)
    label = re.search(r'aria-label="(Block|block) 1, (.*?)"', html)
    assert label is not None
    assert label[2] == (
        "output 20×12×12. Strength per value: residual branch 0.23, shortcut 0.085, output 0.0015."
    )
    assert "F(x) 0.23<br>shortcut 0.085" in html
    assert "F(x) 12<br>shortcut 4.6" in roadmap_html(run, measure="total")


def test_the_answer_stands_at_the_end_escaped() -> None:
    prediction = Prediction("<b>&", (Confidence("<b>&", 0.5), Confidence("x", 0.5)), -0.25)
    html = roadmap_html(replace(make_run(), prediction=prediction))
    read(html)
    (end,) = read(html).all(class_="end")
    assert [part.text for part in (*end.all("b"), *end.all("span"))] == ["<b>&", "50.0 %", "logit −0.25"]


def picture(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,"))))


def block_of(output: np.ndarray) -> Block:
    block = make_run().blocks[0]
    return replace(block, shape=output.shape, streams={**block.streams, "output": output})


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((20, 12, 12), (36, 36)),
        ((4, 12, 12), (36, 24)),  # two rows of up to three
        ((9, 96, 96), (144, 144)),  # averaged down to 48 a side
        ((9, 2, 200), (120, 3)),  # a very long photo
        ((1, 1, 1), (3, 1)),
    ],
)
def test_the_strip_shows_up_to_nine_maps_of_at_most_48_pixels(
    shape: tuple[int, int, int], size: tuple[int, int]
) -> None:
    output = np.random.default_rng(0).random(shape).astype(np.float16)
    assert picture(strip_picture(block_of(output))).size == size


@pytest.mark.parametrize("value", [0.0, 7.0, float("nan"), float("inf"), -3.0, 6e4])
def test_a_constant_map_of_any_value_is_drawn(value: float) -> None:
    sheet = np.asarray(picture(strip_picture(block_of(np.full((9, 6, 6), value, np.float32)))))
    assert sheet.shape == (18, 18)
    assert np.unique(sheet).tolist() == ([255] if value in (7.0, 6e4) else [0])


def test_the_photo_is_shown_as_the_network_saw_it() -> None:
    run = make_run()
    url = re.search(r'id="seen-photo" src="(.*?)"', roadmap_html(run))
    assert url is not None
    assert np.array_equal(np.asarray(picture(url[1])), run.photo)


def test_shapes_and_numbers_read_as_people_write_them() -> None:
    assert shape_text((512, 6, 6)) == "512×6×6"
    assert [significant(v) for v in (9.96, 0.996, -0.0456, 99_999, 1e5)] == [
        "10",
        "1.0",
        "−0.046",
        "99999",
        "1.0e+05",
    ]
    assert significant(3.14159, 3) == "3.14"
    assert block_title(0) == "block 1"
