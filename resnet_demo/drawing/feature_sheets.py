"""Pictures that excite every channel of a network, shipped beside its checkpoint: sprite sheets, and a list
of them.

``python -m resnet_demo feature_visualization`` makes them; how is in ``analysis.feature_visualization``.
They lie in ``<stem of the checkpoint>.features/``, and since the stem ends in a hash of the weights, other
weights have none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from resnet_demo.drawing.pictures import addressed

STREAMS = ("residual", "shortcut", "pre_activation")
TILE = 64  # pixels a side
COLUMNS = 16  # tiles in a row of a sheet
INDEX = "index.json"
FOLDER = "features/"  # of their addresses
MOST_BYTES = 100_000  # of the list


@dataclass(frozen=True)
class FeatureSheets:
    """The sheets of one network: one a block and stream, ``<block>.<stream>.webp``, channels row by row.

    Attributes:
        name: of their folder.
        channels: block -> how many channels it has.
        steps: of gradient ascent that each picture took.
    """

    name: str
    channels: Mapping[str, int]
    steps: int

    def place(self, block: str, stream: str, channel: int) -> tuple[str, int, int, int] | None:
        """Where a channel's picture is: file, column, row, and how many rows the sheet has; None if there
        is none."""
        count = self.channels.get(block, 0)
        if not 0 <= channel < count or stream not in STREAMS:
            return None
        return file_of(block, stream), channel % COLUMNS, channel // COLUMNS, -(-count // COLUMNS)


def file_of(block: str, stream: str) -> str:
    """The name of a sheet."""
    return f"{block}.{stream}.webp"


def sheets_folder(checkpoint: Path) -> Path:
    """Where the sheets of a checkpoint are."""
    return checkpoint.with_suffix(".features")


def save_index(sheets: FeatureSheets, checkpoint: Path) -> None:
    """Write the list of the sheets, last: without it they do not count."""
    text = json.dumps({"tile": TILE, "columns": COLUMNS, **asdict(sheets)}, indent=1)
    (sheets_folder(checkpoint) / INDEX).write_text(text + "\n", encoding="utf-8")


def read_sheets(checkpoint: Path) -> FeatureSheets | None:
    """The sheets beside a checkpoint; None if there are none, or not all of them: the page goes on
    without."""
    folder = sheets_folder(checkpoint)
    try:
        if (folder / INDEX).stat().st_size > MOST_BYTES:
            return None
        found = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        channels = {str(block): int(count) for block, count in found["channels"].items()}
        fits = (found["tile"], found["columns"]) == (TILE, COLUMNS)
        sheets = FeatureSheets(folder.name, channels, int(found["steps"]))
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return None
    files = [folder / file_of(block, stream) for block in channels for stream in STREAMS]
    return sheets if fits and all(file.is_file() for file in files) else None


_offered: dict[str, tuple[Path, FeatureSheets]] = {}  # name of the network -> the folder of its sheets


def offer_sheets(network: str, checkpoint: Path) -> None:
    """Let drawings of ``network`` show the sheets beside its checkpoint, if there are any."""
    sheets = read_sheets(checkpoint)
    if sheets is None:
        _offered.pop(network, None)
    else:
        _offered[network] = sheets_folder(checkpoint), sheets


def sheets_of(network: str) -> FeatureSheets | None:
    """The sheets of a network, or None if it has none."""
    found = _offered.get(network)
    return found[1] if found else None


def sheet_file(name: str, file: str) -> Path | None:
    """The file behind an address, ``features/<name>/<file>``; None if there is no such sheet."""
    for folder, sheets in _offered.values():
        known = (file_of(block, stream) for block in sheets.channels for stream in STREAMS)
        if sheets.name == name and file in known:
            return folder / file
    return None


def face(network: str, block: str, stream: str, channel: int) -> str:
    """The style that shows the picture which excites a channel, or "": of a network without sheets, and in a
    page that somebody takes home, there is none. The output's is that of the sum, before the ReLU."""
    sheets = sheets_of(network)
    if sheets is None or not addressed():
        return ""
    found = sheets.place(block, "pre_activation" if stream == "output" else stream, channel)
    if found is None:
        return ""
    file, column, row, rows = found
    x, y = 100 * column / (COLUMNS - 1), 100 * row / max(rows - 1, 1)
    return (
        f"background-image:url({FOLDER}{sheets.name}/{file});background-size:{100 * COLUMNS}% {100 * rows}%;"
        f"background-position:{x:.3f}% {y:.3f}%"
    )
