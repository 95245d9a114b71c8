"""What a visitor takes home, as files: pictures, the page of a report, the Python that makes the run
again."""

from __future__ import annotations

import io
import json
import re
import zipfile

import numpy as np
from markupsafe import Markup
from PIL import Image

from resnet_demo.drawing import feature_maps
from resnet_demo.drawing.answer import answer_html
from resnet_demo.drawing.road_map import roadmap_html
from resnet_demo.drawing.streams import STREAMS, View
from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import direction_of, label_of, later, say, spoken, tag_of
from resnet_demo.modalities import modality_named
from resnet_demo.panels.explain.class_activation import activation_html
from resnet_demo.panels.look.inside_block import inside_html
from resnet_demo.panels.look.layer_summary import trace_html
from resnet_demo.records import Block, Gate, Run
from resnet_demo.serialize import record_of, streams_of, versions

BUTTON = re.compile(r"<(/?)button\b([^>]*)>")
TILE = 96  # pixels a map at least, in the sheets

SHEET_COLUMNS = 8

SHEET_CHANNELS = 64

README = later("""# {title}

The network answered {label} ({percent} %). In this archive:

- `record.json`: the answer, and for every block the shapes and Euclidean norms of its streams
- `streams.npz`: every stream as it was, an array (channels, height, width) named `block/stream`; read it with
  `numpy.load("streams.npz")`. `pre_activation = residual + shortcut`, `output = relu(pre_activation)`
- `{file}`: {picture}
- `sheets/`: each block's streams as pictures, the {channels} most active channels at most, in rows of
  {columns}. F(x), shortcut and sum share one signed scale a block (blue below zero, red above); the file name
  ends in the scale's end
- `report.html`: one page to read or print
- `reproduce.py`: makes this run again from `streams.npz`, where this demo is installed
""")


def sheets(block: Block) -> dict[str, bytes]:
    """File name -> PNG of each stream of ``block``, its most active channels side by side."""
    channels = feature_maps.rank_channels(block.output, "mean", SHEET_CHANNELS)
    signed_end = max(feature_maps.limit(s) for s in (block.residual, block.shortcut, block.pre_activation))
    factor = max(1, -(-TILE // block.shape[2]))
    found = {}
    for stream, _, _, signed in STREAMS:
        maps = getattr(block, stream)
        end = signed_end if signed else feature_maps.limit(maps)
        indices = feature_maps.quantise(maps[channels], np.full(len(channels), end, np.float32), signed)
        sheet = feature_maps.mosaic(indices.repeat(factor, 1).repeat(factor, 2), SHEET_COLUMNS)
        colours = feature_maps.DIVERGING if signed else feature_maps.SEQUENTIAL[0]
        found[f"{block.name}-{stream}-{end:.3g}.png"] = feature_maps.indexed_png(sheet, colours)
    return found


def snippet(run: Run, view: View, stored: bool = False) -> str:
    """Python that makes this run again and prints what the page shows of the chosen block.

    Args:
        stored: from ``streams.npz`` beside it, which holds the input as the network took it; else from the
            visitor's own file.
    """
    block = run.blocks[min(view.block, len(run.blocks) - 1)]
    gates = ""
    if run.gates:
        pairs = ", ".join(
            f"Gate({g.residual:g}, {g.shortcut:g})" if g != Gate() else "Gate()" for g in run.gates
        )
        gates = f", gates=[{pairs}]"
    modality = modality_named(run.modality)
    names = ", ".join(["Engine", *(["Gate"] if gates else []), *modality.imports, "save_streams"])
    own = "" if re.fullmatch(r"[\w.-]+", run.network) else "  # a network of your own: Engine({name: path})"
    if stored:
        return f"""from pathlib import Path

import numpy as np

from resnet_demo import Engine, {"Gate, " if gates else ""}NetworkInput, save_streams

here = Path(__file__).parent
given = NetworkInput.of(np.load(here / "streams.npz")["photo"])  # as the network took it
run = Engine().run(given, {run.network!r}{gates}){own}
print(run.prediction.label, run.prediction.confidences[0].confidence)
save_streams(run, here / "again.npz")  # the same arrays as in streams.npz, up to rounding
"""
    return f"""from resnet_demo import {names}

run = Engine().{modality.code}, {run.network!r}{gates}){own}
block = next(b for b in run.blocks if b.name == {block.name!r})
print(run.prediction.label, block.residual_norm / block.shortcut_norm, block.cosine)
save_streams(run, "streams.npz")
"""


def report_html(run: Run, view: View, style: str) -> str:
    """One page about the run that needs nothing but itself; ``style`` is the page's style sheet."""
    parts = [
        (None, answer_html(run, "") + roadmap_html(run, view.block)),
        (
            say("Inside block {number}", number=min(view.block, len(run.blocks) - 1) + 1),
            inside_html(run, view),
        ),
        (say("Where it looks"), activation_html(run)),
        (say("Layer by layer"), trace_html(run.trace, tuple(b.name for b in run.blocks))),
    ]
    body = [
        (title, Markup(BUTTON.sub(r"<\1div\2>", str(html)))) for title, html in parts
    ]  # nothing to press on paper
    made = ", ".join(f"{name} {number}" for name, number in versions().items())
    title = say(modality_named(run.modality).title, network=run.network)
    return fill(
        "panels/own/report.html",
        run=run,
        title=title,
        parts=body,
        style=Markup(style),
        made=made,
        language=tag_of(spoken()),
        direction=direction_of(spoken()),
    )


def given_file(run: Run) -> tuple[str, bytes]:
    """What the network was given, as a file: its name and bytes."""
    letters = modality_named(run.modality).letters
    if letters is not None:
        return "text.txt", letters(run.photo).strip().encode()
    photo = io.BytesIO()
    Image.fromarray(run.photo).save(photo, "PNG")
    return "photo.png", photo.getvalue()


def bundle(run: Run, view: View, style: str) -> bytes:
    """Everything of a run as a ZIP archive."""
    best = run.prediction.confidences[0]
    name, given = given_file(run)
    readme = say(
        README,
        file=name,
        title=say(modality_named(run.modality).title, network=run.network),
        picture=say(modality_named(run.modality).as_taken),
        label=label_of(best.label),
        percent=f"{100 * best.confidence:.1f}",
        channels=SHEET_CHANNELS,
        columns=SHEET_COLUMNS,
    )
    arrays = io.BytesIO()
    np.savez(arrays, **streams_of(run))
    files: dict[str, bytes] = {
        "README.md": readme.encode(),
        "record.json": json.dumps(record_of(run), indent=2).encode(),
        "streams.npz": arrays.getvalue(),
        name: given,
        "report.html": report_html(run, view, style).encode(),
        "reproduce.py": snippet(run, view, stored=True).encode(),
    }
    for block in run.blocks:
        files |= {f"sheets/{name}": png for name, png in sheets(block).items()}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as into:
        for name, data in files.items():
            # the same run gives the same bytes: no clock
            into.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return archive.getvalue()
