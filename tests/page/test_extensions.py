"""A further panel and a further family of networks: files in a folder of somebody's own, and their names in
the registries."""
# ruff: noqa: F811 - fixtures are arguments of the name under which they are imported

from __future__ import annotations

import json
import os
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from conftest import draw_photo, lively
from gradio_client import Client, handle_file
from safetensors.torch import save_file
from torch import nn
from visitor import open_panel

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Browser, Page, expect
from test_browser import WAIT, browser  # noqa: F401

from resnet_demo.networks.resnet import ResidualBlock
from resnet_demo.tools.app_process import ROOT, Server, free_port

PANEL = '''
"""The largest value of every block's output."""
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import gradio as gr

from resnet_demo.drawing.templates import fill
from resnet_demo.panels.base import REDRAW, Panel, Visit
from resnet_demo.i18n import later
from resnet_demo.records import Run


class LargestValuePanel(Panel):
    id = "largest"
    title = later("Largest value")

    def controls(self) -> None:
        self.digits = gr.Slider(0, 4, 2, step=1, label="Digits", elem_id="digits")

    def reads(self) -> set[Any]:
        return {self.digits}

    def render(self, visit: Visit) -> str:
        digits = int(visit.values.get(self.digits) or 0)
        found = [] if visit.run is None else [
            f"{float(block.output.max()):.{digits}f}" for block in visit.run.blocks
        ]
        return fill(self.beside(".html"), found=found)

    def connect(self, page: Any) -> None:
        page.on(self.digits.input, lambda values: self.draw(page.visit(values)), {self.drawing}, **REDRAW)

    def endpoints(self) -> Iterable[Callable[..., Any]]:
        def largest_values(run: Run) -> list[float]:
            """The largest value of every block's output."""
            return [float(block.output.max()) for block in run.blocks]

        yield largest_values
'''
TEMPLATE = (
    """<ol class="largest">{% for value in found %}<li>{{ value }}</li>{% endfor %}</ol><output></output>"""
)
SCRIPT = """
import { say } from '../../page/shared.js';

export default function start({ element, watch }) {
  const count = () => {
    const found = element.querySelectorAll('.largest li').length;
    element.querySelector('output').textContent = say('{count} values', { count: found });
  };
  watch('value', () => requestAnimationFrame(count));
  count();
}
"""
STYLE = ".largest { color: rgb(1, 2, 3); }"

FAMILY = '''
"""Networks of a trunk of the notebook's blocks."""
from dataclasses import dataclass

from torch import nn

from resnet_demo.networks.families import Family, Recognized, register_family
from resnet_demo.networks.resnet import ResidualBlock
from resnet_demo.records import Preprocessing


@dataclass(frozen=True)
class TrunkConfig:
    width: int
    blocks: int
    num_logits: int


class Trunk(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config, width = config, config.width
        self.entry = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.trunk = nn.Sequential(*(ResidualBlock(width, width, dropout=0.0) for _ in range(config.blocks)))
        self.avgpool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.linear = nn.Linear(width, config.num_logits)

    def forward(self, x):
        return self.linear(self.flatten(self.avgpool(self.trunk(self.entry(x)))))


def recognize(tensors, hints, name):
    if "entry.weight" not in tensors:
        return None
    blocks = len({key.split(".")[1] for key in tensors if key.startswith("trunk.")})
    width, num_logits = len(tensors["entry.weight"]), len(tensors["linear.weight"])
    config = {"width": width, "blocks": blocks, "num_logits": num_logits}
    return Recognized(config, tensors, preprocessing=Preprocessing(48))


def build(config):
    return Trunk(TrunkConfig(**config))


register_family(Family("trunk", Trunk, build, recognize, lambda model: model.entry))
'''

LAUNCH = """
import sys
from importlib import import_module
from pathlib import Path

from resnet_demo import networks, panels
from resnet_demo.networks import families
from resnet_demo.panels import look

here = Path(__file__).parent
networks.__path__.append(str(here / "networks"))
look.__path__.append(str(here / "look"))
panels.PANELS.append("look.largest_value")
families.FILES += ("trunk",)

from resnet_demo.app import main

sys.exit(main(sys.argv[1:]))
"""


class Trunk(nn.Module):
    """The family's network, written once more: what lies on somebody's disk comes from their own code."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.trunk = nn.Sequential(*(ResidualBlock(6, 6, dropout=0.0) for _ in range(3)))
        self.linear = nn.Linear(6, 4)


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app with a panel and a family from a temporary folder; its address."""
    folder = tmp_path_factory.mktemp("extended")
    for name, text in {
        "look/largest_value.py": PANEL,
        "look/largest_value.html": TEMPLATE,
        "look/largest_value.js": SCRIPT,
        "look/largest_value.css": STYLE,
        "networks/trunk.py": FAMILY,
        "launch.py": LAUNCH,
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    torch.manual_seed(0)
    save_file(lively(Trunk()).state_dict(), folder / "mine.safetensors")
    command = (sys.executable, str(folder / "launch.py"))
    server = Server(
        free_port(),
        ("--checkpoint", str(folder / "mine.safetensors")),
        command,
        environment={**os.environ, "PYTHONPATH": str(ROOT), "GRADIO_TEMP_DIR": str(folder / "uploads")},
    )
    yield server.url
    server.close()


def test_the_panel_is_used_in_the_browser_with_the_family_s_network(
    browser: Browser, extended: str, tmp_path: Path
) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page: Page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{extended}/?example=none")
    page.wait_for_function("() => document.querySelector('#photo input[type=file]') && window.gradio_config")
    page.wait_for_timeout(1000)
    draw_photo(1).save(tmp_path / "photo.png")
    page.set_input_files("#photo input[type=file]", tmp_path / "photo.png")
    expect(page.locator("#roadmap button.cell")).to_have_count(3, timeout=WAIT)
    open_panel(page, "Largest value")
    values = page.locator("#largest .largest li")
    expect(values).to_have_count(3, timeout=WAIT)
    expect(page.locator("#largest output")).to_have_text("3 values", timeout=WAIT)
    assert values.first.evaluate("e => getComputedStyle(e.parentElement).color") == "rgb(1, 2, 3)"
    assert all(len(text.partition(".")[2]) == 2 for text in values.all_inner_texts())
    page.locator("#digits input[type=range]").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "() => /\\.\\d{3}$/.test(document.querySelector('#largest .largest li').textContent)", timeout=WAIT
    )
    assert errors == []
    context.close()


def test_the_endpoint_and_the_network_are_offered(extended: str, tmp_path: Path) -> None:
    draw_photo(1).save(tmp_path / "photo.png")
    client = Client(extended, verbose=False)
    found = client.predict(handle_file(tmp_path / "photo.png"), api_name="/largest_values")
    assert len(found) == 3
    assert all(value >= 0 for value in found)
    answer = client.predict(handle_file(tmp_path / "photo.png"), api_name="/predict")
    assert answer["network"] == "mine"
    assert [block["shape"] for block in answer["blocks"]] == [[6, 24, 24]] * 3
    with urllib.request.urlopen(extended + "/gradio_api/info", timeout=30) as told:
        assert "/largest_values" in json.load(told)["named_endpoints"]
