"""How strangers' photos and sounds are opened: in a process of its own, and what comes of it said in one
sentence.

The page, the engine, the folder command and Ray's tasks all come here. Where processes cannot be started,
files are opened in this one, and the log says so once.
"""

from __future__ import annotations

import logging
import math
import string
import threading
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_demo.i18n import Sentence, later
from resnet_demo.inputs import decoder as in_this_process
from resnet_demo.inputs import sound_decoding
from resnet_demo.inputs.decoder_pool import (
    CORES,
    DecoderBusyError,
    DecoderDiedError,
    DecoderPool,
    DecoderSlowError,
    Message,
    NoDecoderError,
)
from resnet_demo.inputs.errors import InputError, PhotoError, SoundError, WeightsError
from resnet_demo.inputs.files import FileSource, read_whole
from resnet_demo.inputs.photo_decoding import read_file
from resnet_demo.inputs.sound_stretch import OUTLINE, Recording
from resnet_demo.inputs.synthetic_sounds import LENGTH
from resnet_demo.records import NetworkInput, Preprocessing

log = logging.getLogger(__name__)

MAX_SENTENCE = 300  # characters of what a decoder says
_alone = threading.Lock()  # where files are opened in this process, one at a time


@cache
def pool() -> DecoderPool:
    """The decoders of this process."""
    return DecoderPool()


def start() -> None:
    """Have a decoder ready before the first photo comes; returns at once."""
    pool().start()


def use_all_cores() -> None:
    """Open as many files at a time as there are cores: for a folder, not for a page that does other work
    too."""
    pool().seats = CORES


def decode_photo(source: FileSource, preprocessing: Preprocessing) -> NetworkInput:
    """An untrusted photo to a network's input, as ``read_photo`` makes it.

    Args:
        source: the file's bytes, its path, or the file opened for reading bytes; read once.
        preprocessing: the network's card.

    Returns:
        (size, size, 3) uint8 RGB, writable, with what had to be assumed to show it.

    Raises:
        PhotoError: for anything that is not a whole photo within the limits.
    """
    data = read_file(source)
    request = {"task": "pixels", "preprocessing": asdict(preprocessing)}
    header, answered = _answer(PhotoError, request, data)
    side = preprocessing.size
    pixels = _array(answered, np.uint8, (side, side, 3), PhotoError)
    return NetworkInput.of(pixels, sentence_from(header.get("notice")) or "")


def decode_picture(source: FileSource) -> Image.Image:
    """An untrusted photo as ``open_photo`` gives it.

    Raises:
        PhotoError: for anything that is not a whole photo within the limits.
    """
    header, answered = _answer(PhotoError, {"task": "picture"}, read_file(source))
    shape = header.get("shape")
    if not isinstance(shape, list) or len(shape) != 3 or not all(isinstance(n, int) and n > 0 for n in shape):
        raise PhotoError(DIED[PhotoError])
    return Image.fromarray(_array(answered, np.uint8, (shape[0], shape[1], 3), PhotoError))


def decode_sound(source: FileSource) -> NDArray[np.float32]:
    """An untrusted sound as ``open_sound`` gives it: (LENGTH,) float32.

    Raises:
        SoundError: for anything that is not a sound within the limits.
    """
    samples = decode_recording(source).samples
    return np.pad(samples, (0, LENGTH - len(samples)))


def decode_recording(source: FileSource) -> Recording:
    """An untrusted sound as ``open_recording`` gives it.

    Raises:
        SoundError: for anything that is not a sound within the limits.
    """
    header, answered = _answer(SoundError, {"task": "sound"}, read_whole(source, sound_decoding.UNFIT))
    used, begin, seconds = (header.get(name) for name in ("used", "begin", "seconds"))
    if not isinstance(used, int) or not 0 < used <= LENGTH:
        raise SoundError(DIED[SoundError])
    numbers = _array(answered, np.float32, (used + OUTLINE,), SoundError)
    if not all(isinstance(number, int | float) and 0 <= number < 1e4 for number in (begin, seconds)) or not (
        np.isfinite(numbers).all()
    ):
        raise SoundError(DIED[SoundError])
    return Recording(numbers[:used], float(begin), float(seconds), numbers[used:])  # type: ignore[arg-type]


def are_weights(data: bytes) -> bool:
    """Whether an untrusted file is a whole safetensors file, found out by a decoder, so that a header that
    breaks, fills or holds up whatever reads it does so there.

    Raises:
        WeightsError: it did.
    """
    return isinstance(_answer(WeightsError, {"task": "weights"}, data)[0].get("tensors"), int)


DIED: Mapping[type[InputError], Sentence] = {
    PhotoError: later(
        "The photo broke the program that opens photos, which was started anew: "
        "please save it again, as JPEG or PNG, and upload that."
    ),
    SoundError: later(
        "The sound broke the program that opens sounds, which was started anew: "
        "please save it again, as WAV, and upload that."
    ),
    WeightsError: later("The checkpoint broke the program that reads files, which was started anew."),
}
SLOW: Mapping[type[InputError], Sentence] = {
    PhotoError: later(
        "The photo took too long to open: please save it again, smaller or as JPEG, and upload that."
    ),
    SoundError: later("The sound took too long to open: please save it again, shorter, and upload that."),
    WeightsError: later("The checkpoint took too long to read: please bring a smaller one."),
}
BUSY: Mapping[type[InputError], Sentence] = {
    PhotoError: later("Too many photos are being opened just now: please try again in a minute."),
    SoundError: later("Too many sounds are being opened just now: please try again in a minute."),
    WeightsError: later("Too many files are being read just now: please try again in a minute."),
}


def _answer(kind: type[InputError], request: dict[str, Any], data: bytes) -> Message:
    """What a decoder, or this process, answers to a request; ``kind`` for whatever else happens."""
    try:
        header, answered = pool().ask(request, data)
    except DecoderSlowError as error:
        log.warning("a decoder took too long for a file of %d bytes", len(data))
        raise kind(SLOW[kind]) from error
    except DecoderDiedError as error:
        log.warning("a decoder died on a file of %d bytes: %s", len(data), error)
        raise kind(DIED[kind]) from error
    except DecoderBusyError as error:
        raise kind(BUSY[kind]) from error
    except NoDecoderError as error:
        _say_once(str(error))
        with _alone:
            header, answered = in_this_process.answer(request, data)
    if "refused" in header:
        raise kind(sentence_from(header["refused"]) or DIED[kind])
    if "failed" in header:
        log.error("a decoder failed with %.80r on a file of %d bytes", header["failed"], len(data))
        raise kind(DIED[kind])
    return header, answered


@cache
def _say_once(why: str) -> None:
    log.warning("photos and sounds are opened in this process, since no other can be started: %s", why)


def _array(
    data: bytes | bytearray, dtype: type[Any], shape: tuple[int, ...], kind: type[InputError]
) -> NDArray[Any]:
    """The array of that shape, and nothing else: what a broken decoder says is not believed."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if len(data) != size:
        raise kind(DIED[kind])
    found = np.frombuffer(data, dtype).reshape(shape)
    return found if found.flags.writeable else found.copy()


def sentence_from(said: Any) -> Sentence | None:
    """A sentence out of JSON, so that it can be said in the visitor's language; None if it is none.

    Its pattern is filled with plain values only.
    """
    if isinstance(said, str):
        return Sentence(said[:MAX_SENTENCE])
    if not isinstance(said, dict) or not isinstance(said.get("pattern"), str):
        return None
    pattern, values = said["pattern"][:MAX_SENTENCE], said.get("values") or {}
    try:
        fields = [(name, rest) for _, name, *rest in string.Formatter().parse(pattern) if name is not None]
        plain = {
            str(key): value if isinstance(value, int | float | str) else sentence_from(value)
            for key, value in dict(values).items()
        }
        if all(name.isidentifier() and rest == ["", None] and name in plain for name, rest in fields):
            return Sentence(pattern, **plain)
    except (ValueError, TypeError):  # no pattern
        pass
    return None
