"""Files of any modality, broken ones among them, through a network in one pass: what the blocks gave, and a
small picture to show."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from resnet_demo.i18n import later
from resnet_demo.inference.interface import PhotoEngine, as_pixels
from resnet_demo.inputs.alphabet import has_letter, normalise
from resnet_demo.inputs.decoding import decode_recording
from resnet_demo.inputs.errors import TextError
from resnet_demo.panels.base import sentence_of
from resnet_demo.panels.own.teaching_files import fingerprint, probe_input
from resnet_demo.records import Block, NetworkInput, Preprocessing

THUMBNAIL = 56  # pixels a side
MOST_LINES = 200  # sentences of one file
MOST_LETTERS = 600  # of a sentence
SHOWN_LETTERS = 80
NO_TEXT = later("This file holds no text: give one with a sentence on every line.")


def looked_at(
    engine: PhotoEngine, network: str, files: list[bytes]
) -> tuple[list[tuple[tuple[Block, ...], str]], list[str]]:
    """What a network's blocks gave for each thing in ``files``, and how it is shown; and why others were not
    looked at.

    Raises:
        EngineError, CheckpointError: nothing can be looked at.
    """
    info = engine.info(network)
    inputs: list[NetworkInput] = []
    labels: list[str] = []
    refused: list[str] = []
    for file in files:
        try:
            for given, label in things_in(file, info.preprocessing):
                inputs.append(as_pixels(given, info))
                labels.append(label)
        except Exception as error:  # noqa: BLE001 - told to the visitor, logged by sentence_of
            refused.append(sentence_of(error))
    runs = engine.run(inputs, network, keep=(), here=True)
    shown = [label or thumbnail(picture) for label, picture in zip(labels, inputs, strict=True)]
    return [(run.blocks, show) for run, show in zip(runs, shown, strict=True)], refused


def things_in(file: bytes, preprocessing: Preprocessing) -> Iterator[tuple[Any, str]]:
    """What a file gives to a network, and how it is called: a photo, a sound, or a text's lines.

    Raises:
        SoundError, TextError: it holds none.
    """
    if preprocessing.modality == "sound":
        yield decode_recording(file), ""
    elif preprocessing.modality == "text":
        lines = [normalise(line[:MOST_LETTERS]) for line in file.decode("utf-8", "replace").splitlines()]
        lines = [line for line in lines if has_letter(line)][:MOST_LINES]
        if not lines:
            raise TextError(NO_TEXT)
        for line in lines:
            yield line, line[:SHOWN_LETTERS]
    else:
        yield file, ""


def thumbnail(picture: NetworkInput) -> str:
    """What a network saw (H, W, 3), small, as a data URL."""
    small = Image.fromarray(np.asarray(picture)).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=70)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def fingerprint_of(engine: PhotoEngine, network: str) -> tuple[list[float], tuple[tuple[str, int], ...]]:
    """By what a network is known again, and its blocks with their channels."""
    info = engine.info(network)
    if info.preprocessing.modality == "text":
        given: Any = as_pixels("abcdefgh", info)
    else:
        given = probe_input(info.preprocessing)
    run = engine.run(given, network, keep=(), here=True)
    return fingerprint(run.blocks), tuple((block.name, block.shape[0]) for block in run.blocks)
