"""The road map: roads as wide as the norms, one scale for the whole map, whatever the numbers."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from test_answer import Tree, make_run

from resnet_demo.drawing import road_map as roadmap
from resnet_demo.drawing.road_map import (
    NARROWEST,
    WIDEST,
    roadmap_html,
    shape_text,
    significant,
    strip_picture,
)
from resnet_demo.records import Block, Confidence, Prediction, Run


class Roads(HTMLParser):
    """Stroke widths of the wide picture of every cell, (enters, shortcut, branch, leaves)."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.cells: list[list[float]] = []
        self.wide = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "svg":
            self.wide = found["class"] == "wide"
            if self.wide:
                self.cells.append([])
        elif tag == "path" and self.wide:
            self.cells[-1].append(float(found["stroke-width"] or "nan"))


def with_norms(*norms: tuple[float, float, float]) -> Run:
    """A run whose blocks have these (residual, shortcut, output) norms."""
    run = make_run()
    blocks = tuple(
        replace(run.blocks[0], name=f"blocks.{i}", residual_norm=r, shortcut_norm=s, output_norm=o)
        for i, (r, s, o) in enumerate(norms)
    )
    return replace(run, blocks=blocks)


def test_every_road_is_proportional_to_its_norm_and_the_largest_is_widest() -> None:
    norms = [(10.0, 20.0, 25.0), (30.0, 12.5, 40.0), (50.0, 17.0, 33.0)]
    cells = Roads(roadmap_html(with_norms(*norms))).cells
    entering = [norms[0][1], norms[0][2], norms[1][2]]  # what a block hands on is what the next receives
    for widths, (residual, shortcut, output), enters in zip(cells, norms, entering, strict=True):
        expected = [WIDEST * norm / 50 for norm in (enters, shortcut, residual, output)]
        assert widths == pytest.approx(expected, abs=0.051)
    assert max(map(max, cells)) == WIDEST
    assert cells[2][2] == WIDEST


def test_a_scale_of_all_norms_changes_no_road() -> None:
    norms = [(1.0, 2.0, 3.0), (4.0, 5.0, 6.0)]
    large = [(r * 1e4, s * 1e4, o * 1e4) for r, s, o in norms]
    assert Roads(roadmap_html(with_norms(*norms))).cells == Roads(roadmap_html(with_norms(*large))).cells


def test_a_road_never_vanishes() -> None:
    cells = Roads(roadmap_html(with_norms((0.0, 1e-9, 100.0)))).cells
    assert cells == [[NARROWEST, NARROWEST, NARROWEST, WIDEST]]
    silent = Roads(roadmap_html(with_norms((0.0, 0.0, 0.0)))).cells
    assert silent == [[NARROWEST] * 4]


@pytest.mark.parametrize("sick", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", range(3))
def test_one_norm_that_is_not_finite_leaves_the_other_roads_right(sick: float, place: int) -> None:
    first = [8.0, 8.0, 8.0]
    first[place] = sick
    html = roadmap_html(with_norms((first[0], first[1], first[2]), (10.0, 5.0, 20.0)))
    Tree(html)
    cells = Roads(html).cells
    assert cells[1][1:] == pytest.approx([WIDEST / 4, WIDEST / 2, WIDEST], abs=0.051)
    assert all(NARROWEST <= width <= WIDEST for cell in cells for width in cell)


def test_both_pictures_of_a_block_have_the_same_roads() -> None:
    html = roadmap_html(make_run())
    for cell in html.split('<button type="button" class="cell')[1:]:
        wide, tall = re.findall(r"<svg.*?</svg>", cell)
        assert re.findall(r'stroke-width="(.*?)"', wide) == re.findall(r'stroke-width="(.*?)"', tall)


@pytest.mark.parametrize("selected", [0, 1, 2])
def test_exactly_the_chosen_block_is_marked(selected: int) -> None:
    html = roadmap_html(make_run(), selected)
    assert re.findall(r'aria-pressed="(\w+)"', html) == [str(i == selected).lower() for i in range(3)]
    assert re.findall(r'class="cell selected" data-block="(\d+)"', html) == [str(selected)]


@pytest.mark.parametrize("blocks", [1, 5, 16])
def test_the_empty_map_has_a_place_for_every_block(blocks: int) -> None:
    html = roadmap_html(None, blocks=blocks)
    Tree(html)
    assert re.findall(r'id="block-(\d+)"', html) == [str(i + 1) for i in range(blocks)]
    assert "<button" not in html  # nothing to choose yet


def test_every_cell_says_its_shape_and_norms() -> None:
    run = with_norms((12.3, 4.56, 0.0789))
    html = roadmap_html(run)
    label = re.search(r'aria-label="(Block|block) 1, (.*?)"', html)
    assert label is not None
    assert label[2] == (
        "output 20×12×12. Norm of the residual branch 12, of the shortcut 4.6, of the output 0.079."
    )
    assert "F(x) 12<br>shortcut 4.6" in html


def test_the_answer_stands_at_the_end_escaped() -> None:
    prediction = Prediction("<b>&", (Confidence("<b>&", 0.5), Confidence("x", 0.5)), -0.25)
    html = roadmap_html(replace(make_run(), prediction=prediction))
    Tree(html)
    end = html.partition('<div class="stop end">')[2]
    assert end.startswith("<b>&lt;b&gt;&amp;</b><span>50.0 %</span><span>logit −0.25</span>")


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
    assert roadmap.block_title(0) == "block 1"
