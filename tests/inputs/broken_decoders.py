"""Decoders that break: programs for the process that opens files, which production never starts.

    python broken_decoders.py WHAT

What a file asks for stands at its beginning, so that the same process also opens good ones.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ABORT, HANG, SPIN, EAT, LIE = b"ABORT", b"HANG", b"SPIN", b"EAT", b"LIE"


def command(what: str = "on request") -> list[str]:
    """How to start one."""
    return [sys.executable, str(Path(__file__).resolve()), what]


def break_on_request() -> None:
    """A file that begins with one of the words breaks the process in that way."""
    from resnet_demo.inputs import decoder

    opened = decoder.answer

    def answer(header: dict, data: bytes) -> decoder.Answer:
        if data.startswith(ABORT):
            os.abort()
        if data.startswith(HANG):
            time.sleep(1000)
        if data.startswith(SPIN):
            while True:
                pass
        if data.startswith(EAT):
            eaten = []
            while True:
                eaten.append(bytearray(50_000_000))
        if data.startswith(LIE):
            return {
                "shape": [10, 10, 3],
                "notice": {"pattern": "{x.__class__}", "values": {"x": 1}},
            }, b"short"
        return opened(header, data)

    def bounded(header: dict, data: bytes) -> decoder.Answer:
        try:
            return answer(header, data)
        except MemoryError:
            return opened(header, b"")  # as the real one does: refused in a sentence

    decoder.answer = bounded


def draft_everything() -> None:
    """As the app did: every JPEG is decoded at a reduced size, lossless ones too."""
    from resnet_demo.inputs import photo_decoding

    photo_decoding.can_be_scaled = lambda data: True


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    what = sys.argv[1]
    if what == "never ready":
        sys.exit(3)
    if what == "on request":
        break_on_request()
    if what == "draft everything":
        draft_everything()
    from resnet_demo.inputs.decoder import main

    main()
