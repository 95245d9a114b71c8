"""The graph of a network as a file: what stands in it, and that it is SVG which needs nothing else."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
from conftest import draw_photo

from resnet_demo.inference.engine import Engine
from resnet_demo.panels.own.network_graph import graph_svg
from resnet_demo.records import Gate

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


def words(svg: str) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize(
    ("network", "blocks", "identities", "others"),
    [("cats-and-dogs", 5, 0, 5), ("resnet-20", 9, 7, 2), ("plain-20", 9, 0, 0)],
)
def test_every_block_with_its_layers_and_its_shortcut(
    engine: Engine, network: str, blocks: int, identities: int, others: int
) -> None:
    run = engine.run(draw_photo(1), network)
    svg = graph_svg(run)
    found = words(svg)
    for line in run.trace:
        assert line.name in found
        if line.parameters:
            shape = "×".join(map(str, line.shape))
            assert f"{shape} · {line.parameters:,} parameters" in found
    assert found.count("3×3 conv") == 2 * blocks
    assert found.count("+") == identities + others
    assert (found.count("identity"), found.count("changes shape")) == (identities, others)
    assert not re.search(r"(href|src|url\(|<style|<script|<foreignObject)", svg)


def test_a_closed_gate_leaves_the_graph_as_it_is(engine: Engine) -> None:
    shut = [Gate(residual=0), *[Gate()] * 8]
    whole, gated = (engine.run(draw_photo(1), "resnet-20", gates=gates) for gates in ((), shut))
    assert graph_svg(gated) == graph_svg(whole)


def test_a_shortcut_that_keeps_the_shape_and_not_the_values_is_no_identity(engine: Engine) -> None:
    run = engine.run(draw_photo(1), "resnet-20")
    other = replace(run.blocks[1], shortcut_norm=2 * run.blocks[1].shortcut_norm)
    found = words(graph_svg(replace(run, blocks=(run.blocks[0], other, *run.blocks[2:]))))
    assert (found.count("identity"), found.count("shortcut")) == (6, 1)


def test_a_name_is_text_and_no_markup(engine: Engine) -> None:
    run = replace(engine.run(draw_photo(1)), network="<script>alert(1)</script>")
    assert "<script" not in graph_svg(run)
    assert "<script>alert(1)</script>, 5 residual blocks" in words(graph_svg(run))
