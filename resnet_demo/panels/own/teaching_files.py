"""What visitors teach as files that they take away: the taught network, and the teaching to go on with.

Nothing in a file that comes back is trusted: names, counts and sizes are checked before anything is kept.
"""

from __future__ import annotations

import io
import json
import re
import tempfile
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_demo.analysis.ridge_readout import interval
from resnet_demo.i18n import later
from resnet_demo.panels.own.teachings import (
    EACH_BYTES,
    MOST,
    MOST_CLASSES,
    Example,
    Taught,
    Teaching,
    TeachingError,
    cleaned,
)
from resnet_demo.records import Block, NetworkInput, Preprocessing

if TYPE_CHECKING:
    from resnet_demo.networks.cards import Card

FORMAT = "resnet-demo teaching 1"
MOST_ZIP = 10_000_000  # bytes of the whole file, which are as many as an upload takes
LARGEST = 65_504  # that float16 holds
MOST_NOTE = 8_000_000  # bytes of teaching.json: 2,000 small pictures in base64
MOST_SHOWN = 12_000  # characters of one
PICTURE = re.compile(r"data:image/jpeg;base64,[A-Za-z0-9+/]+={0,2}")
NUMBERS, NOTE = "channel-means.f16", "teaching.json"
LARGEST_NETWORK = 64_000_000  # bytes; larger ones are saved with Python
NAME = "my-classes"
KNOWS = later(
    "This network was taught on the page “Teach it”: {classes}, {count} pictures; it must call everything one"
    " of them."
)
NO_TEACHING = later("This is no file of “Teach it”; choose the ZIP that “Keep it for tomorrow” has saved.")
OTHER = later("This file is of the network {network} as it is not here; teach again with one that is.")
README = """What was taught on the page "Teach it" of ResNet, block by block.

teaching.json      names of the classes, the small pictures that the page shows, the network, its blocks
channel-means.f16  float16, little-endian, one row a picture in the order of teaching.json: the mean of every
                   channel of every block's output. numpy.fromfile(name, "<f2").reshape(pictures, -1)

The page opens this file again under "Teach it".
"""
CODE = """from resnet_demo import Engine

engine = Engine({{"{name}": "{file}"}})
run = engine.run("photo.jpg")
print(run.prediction.confidences)
"""


def taught_card(taught: Taught, base: Card, name: str) -> Card:
    """The card of a taught network; its configuration is that of the base until it is saved."""
    right = taught.answering.right(taught.labels)
    counts = np.bincount(taught.labels, minlength=len(taught.names))
    details = {
        "taught_on": taught.network,
        "read_out_after": taught.answering.block,
        "pictures": dict(zip(taught.names, counts.tolist(), strict=True)),
        "accuracy_is": "leave-one-out on these pictures, of the best of "
        f"{len(taught.read_outs)} blocks; pictures of one camera burst are alike and flatter it",
    }
    return replace(
        base,
        network=name,
        config=None,
        classes=taught.names,
        accuracy=right / len(taught.labels),
        n=len(taught.labels),
        interval=interval(taught.answering, taught.labels),
        temperature=1.0,
        knows=later(KNOWS.pattern, classes=", ".join(taught.names), count=len(taught.labels)),
        about="",
        assumed=(),
        details=details,
        blocks=taught.best + 1,
    )


def taught_network(taught: Taught, model: Any, card: Card, name: str) -> tuple[Any, Card]:
    """The taught network in eval mode on the CPU, and its card.

    Args:
        model, card: of the network that was taught, as its file has it and nobody else's.
    """
    from resnet_demo.networks.taught import taught as cut

    weight, bias = taught.answering.logits()
    return cut(model, taught.best + 1, weight, bias), taught_card(taught, card, name)


def network_file(taught: Taught, model: Any, card: Card) -> bytes:
    """A ZIP of the taught network: checkpoint and card as this project has them, and how to use them.

    Raises:
        TeachingError: it is too large to be handed over by the page.
    """
    from resnet_demo.networks.checkpoints import save_checkpoint

    network, taught_as = taught_network(taught, model, card, NAME)
    buffer = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        path = save_checkpoint(network, taught_as, Path(folder))
        if path.stat().st_size > LARGEST_NETWORK:
            raise TeachingError(
                later(
                    "The network has {size} MB, which is more than the page hands over; teach one with fewer"
                    " blocks.",
                    size=path.stat().st_size // 1_000_000,
                )
            )
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.write(path, path.name)
            archive.write(path.with_suffix(".json"), path.with_suffix(".json").name)
            archive.writestr("use.py", CODE.format(name=NAME, file=path.name))
    return buffer.getvalue()


def probe_input(preprocessing: Preprocessing) -> NetworkInput:
    """A picture (H, W, 3) by which a network is known again: a gradient, the same everywhere."""
    side = preprocessing.size
    rows, columns = np.mgrid[:side, :side] * 255 // max(1, side - 1)
    pixels = np.stack([rows, columns, 255 - rows], -1).astype(np.uint8)
    return NetworkInput.of(np.ascontiguousarray(pixels))


def fingerprint(blocks: tuple[Block, ...]) -> list[float]:
    """The mean output of every block, by which a network is known again."""
    return [round(float(block.activity.mean()), 6) for block in blocks]


def teaching_file(teaching: Teaching, known: list[float]) -> bytes:
    """A ZIP of a teaching: names, small pictures and channel means.

    Args:
        known: the fingerprint of its network.
    """
    with teaching.lock:
        examples = sorted(teaching.examples.values(), key=lambda e: list(teaching.classes).index(e.label))
        note = {
            "format": FORMAT,
            "network": teaching.network,
            "fingerprint": known,
            "blocks": [list(block) for block in teaching.blocks],
            "classes": [
                {"name": name, "shown": [e.shown for e in examples if e.label == id_]}
                for id_, name in teaching.classes.items()
            ],
        }
        numbers = b"".join(np.clip(e.means, -LARGEST, LARGEST).astype("<f2").tobytes() for e in examples)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(NOTE, json.dumps(note, ensure_ascii=False))
        archive.writestr(NUMBERS, numbers)
        archive.writestr("README.txt", README)
    return buffer.getvalue()


def read_teaching(payload: bytes) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """What ``teaching_file`` has put into a file: its note, and the channel means (N, C).

    Raises:
        TeachingError: it is none, whatever is wrong with it.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(payload)) as archive:
            if len(payload) > MOST_ZIP or len(archive.infolist()) > 3:
                raise ValueError("too much")
            note = json.loads(_entry(archive, NOTE, MOST_NOTE))
            numbers = _entry(archive, NUMBERS, EACH_BYTES)
        channels, count = _checked(note)
        means = np.frombuffer(numbers, "<f2").reshape(count, channels).astype(np.float32)
        if not np.isfinite(means).all():
            raise ValueError("numbers that are none")
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
        OSError,
        EOFError,
        RuntimeError,
        NotImplementedError,
        zipfile.BadZipFile,
        zlib.error,
    ):
        raise TeachingError(NO_TEACHING) from None
    return note, means


def _entry(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """The bytes of an entry, of which no more are unpacked than ``most``. Raises ValueError if there are."""
    with archive.open(name) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError("too much")
    return data


def _checked(note: Any) -> tuple[int, int]:
    """Channels in all and pictures in all of a note. Raises ValueError and the like if it is none."""
    if note["format"] != FORMAT or not isinstance(note["network"], str) or len(note["network"]) > 200:
        raise ValueError("another format")
    blocks, classes = note["blocks"], note["classes"]
    if not 1 <= len(blocks) <= 1000 or not 1 <= len(classes) <= MOST_CLASSES:
        raise ValueError("too many")
    for name, channels in blocks:
        if not isinstance(name, str) or not isinstance(channels, int) or not 1 <= channels <= 65_536:
            raise ValueError("no block")
    if not all(isinstance(value, int | float) and abs(value) < 1e6 for value in note["fingerprint"]):
        raise ValueError("no fingerprint")
    for found in classes:
        if not isinstance(found["name"], str) or len(found["shown"]) > MOST:
            raise ValueError("no class")
        if not all(isinstance(shown, str) and len(shown) <= MOST_SHOWN for shown in found["shown"]):
            raise ValueError("no pictures")
    return sum(channels for _, channels in blocks), sum(len(found["shown"]) for found in classes)


def restore(teaching: Teaching, note: dict[str, Any], means: NDArray[np.float32]) -> None:
    """Make ``teaching`` what a file says, which ``read_teaching`` has checked.

    Raises:
        TeachingError: it holds more than one teaching may.
    """
    rows = iter(means)
    with teaching.lock:
        teaching.clear()
        teaching.version += 1
        teaching.network = note["network"]
        teaching.blocks = tuple((name, channels) for name, channels in note["blocks"])
        for found in note["classes"]:
            label = teaching.add_class(cleaned(found["name"]))
            for shown in found["shown"]:
                if shown.startswith("data:") and not PICTURE.fullmatch(shown):
                    shown = ""
                example = Example(teaching.new_id(), label, next(rows), shown)
                teaching.examples[example.id] = example
        if teaching.size > EACH_BYTES:
            teaching.clear()
            raise TeachingError(NO_TEACHING)
