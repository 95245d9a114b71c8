"""What the panels that explain an answer take, from the question to the drawing."""

from __future__ import annotations

import base64
import io
from types import SimpleNamespace
from typing import Any

from PIL import Image

from benchmarks.timing import interleaved, jpeg
from resnet_demo.inference.engine import Engine
from resnet_demo.inference.interface import Limits
from resnet_demo.networks.cards import WEIGHTS
from resnet_demo.networks.checkpoints import available_networks
from resnet_demo.panels.cut.paths import paths_html
from resnet_demo.panels.explain.attack import attack_html
from resnet_demo.panels.explain.class_activation import deletion_and_insertion, faithfulness_html
from resnet_demo.panels.explain.early_readout import places_html, refinement_html
from resnet_demo.panels.explain.pixels import pixels_html
from resnet_demo.panels.explain.touch import TouchPanel

MEANING = {
    "paths_ms": "the ledger of 32 paths, with its maps and drawing",
    "path_lengths_ms": "the ledger of resnet-56 by length, with its drawing",
    "attack_ms": "the smallest change that flips the answer, with its way through the blocks and drawing",
    "pixels_ms": "three attributions and those of random weights, drawn",
    "readout_places_ms": "every block's read-out by place, drawn",
    "refinement_ms": "the cosine of F(x) and the loss's downhill direction on resnet-56, drawn",
    "faithfulness_ms": "deletion and insertion, 36 steps each, and two random orders of both",
    "edit_ms": "one edit of the photo: picture in, answer, road map and map of shares out",
    "excite_ms": "one channel of block 3 excited, 64 steps, 112 px",
}


def figures(repetitions: int) -> dict[str, float]:
    """Median milliseconds of each; all take long, so a few repetitions do."""
    engine = Engine(available_networks(WEIGHTS), "auto")
    run, deep = engine.run(jpeg()), engine.run(jpeg(), "resnet-56")
    page: Any = SimpleNamespace(engine=SimpleNamespace(get=lambda: engine), limits=Limits())
    buffer = io.BytesIO()
    Image.fromarray(run.photo).save(buffer, "PNG")
    picture = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    edit, panel = {"picture": picture, "network": run.network}, TouchPanel(page)
    excited = {"block": run.blocks[2].name, "channel": 0}

    def touch() -> None:
        if "error" in panel.edited(edit):
            raise RuntimeError("the edit failed")

    times = interleaved(
        {
            "paths": lambda: paths_html(engine.explain("paths", run), run, engine.ablation(run)),
            "path_lengths": lambda: paths_html(engine.explain("paths", deep), deep, None),
            "attack": lambda: attack_html(engine.explain("attack", run), run),
            "pixels": lambda: pixels_html(engine.explain("pixels", run), run),
            "readout_places": lambda: places_html(run),
            "refinement": lambda: refinement_html(engine.explain("refinement", deep), deep),
            "faithfulness": lambda: faithfulness_html(deletion_and_insertion(engine, run), run),
            "edit": touch,
            "excite": lambda: engine.explain("feature_visualization", run, excited),
        },
        max(1, repetitions // 8),
    )
    return {f"{name}_ms": milliseconds for name, milliseconds in times.items()}
