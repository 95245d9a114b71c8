"""Which files are sounds, and the samples in them.

libsndfile, by way of soundfile, reads WAV, FLAC, OGG (Vorbis, Opus), MP3, AIFF, AU and CAF. What phones and
browsers record, AAC in M4A and Opus in WebM, FFmpeg reads, by way of PyAV. FFmpeg is told which container to
expect, from the file's first bytes: its playlists, which open other files, are none of them.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_demo.i18n import later
from resnet_demo.inputs.errors import SoundError, one_sentence

ALLOWED = later("WAV, FLAC, OGG, MP3, M4A or WebM")  # for sentences
FORMATS = {
    "WAV",
    "WAVEX",
    "RF64",
    "W64",
    "FLAC",
    "OGG",
    "MP3",
    "MPEG",
    "AIFF",
    "AU",
    "CAF",
}  # libsndfile's names
MAX_CHANNELS = 8
RATES = (4_000, 192_000)  # samples a second
MOST_SECONDS = 30.0  # looked at
BLOCK = 1 << 16  # samples at a time, so that a header that lies about its length costs nothing

Samples = tuple[NDArray[np.float32], int]


def samples_of(data: bytes) -> Samples:
    """(N, C) float32 of the first MOST_SECONDS of a sound, and how many a second.

    Raises:
        SoundError: it is no sound, or beyond the limits.
    """
    container = ffmpeg_container(data)
    damaged = later(
        "This is damaged or no sound that can be read: please upload a whole {allowed} file.", allowed=ALLOWED
    )
    if container is None:
        with one_sentence(SoundError, damaged):
            return _by_libsndfile(data, damaged)
    if find_spec("av") is None:
        raise SoundError(
            later("M4A and WebM cannot be opened here: please save the sound as WAV or MP3 and upload that.")
        )
    with one_sentence(SoundError, damaged):
        return _by_ffmpeg(data, container)


def ffmpeg_container(data: bytes) -> str | None:
    """FFmpeg's name of the container, for those that libsndfile does not read; None for all others."""
    if data[4:8] == b"ftyp":
        return "mp4"
    if data.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    if data[:1] == b"\xff" and len(data) > 1 and data[1] & 0xF6 == 0xF0:  # ADTS: layer 0, which MP3 never has
        return "aac"
    return None


def _by_libsndfile(data: bytes, damaged: str) -> Samples:
    import soundfile  # here, not above: only who sends a sound needs it

    with soundfile.SoundFile(io.BytesIO(data)) as file:
        if file.format not in FORMATS:
            raise SoundError(damaged)
        rate, channels = int(file.samplerate), int(file.channels)
        _check(rate, channels)
        left = int(MOST_SECONDS * rate)
        blocks: list[NDArray[np.float32]] = []
        while left > 0:
            # float64, in which no sample of a file of doubles becomes infinite
            block = file.read(min(left, BLOCK), dtype="float64", always_2d=True)
            if not len(block):
                break
            blocks.append(_as_float32(block))
            left -= len(block)
    return _joined(blocks), rate


def _by_ffmpeg(data: bytes, container: str) -> Samples:
    import av  # here, not above: it takes 20 MB, and only few send such sounds

    with av.open(io.BytesIO(data), format=container, metadata_errors="ignore") as file:
        if not file.streams.audio:
            raise SoundError(later("The file holds no sound: please record or upload one that does."))
        stream = file.streams.audio[0]
        rate, channels = int(stream.rate or 0), int(stream.channels or 0)
        _check(rate, channels)
        left = int(MOST_SECONDS * rate)
        blocks: list[NDArray[np.float32]] = []
        with suppress(av.FFmpegError):  # a recording that was cut off is heard as far as it goes
            for block in _frames(file, stream, rate, channels):
                blocks.append(block[:left])
                left -= len(blocks[-1])
                if left <= 0:
                    break
    return _joined(blocks), rate


def _frames(file: Any, stream: Any, rate: int, channels: int) -> Iterator[NDArray[np.float32]]:
    """(N, C) of every frame; one that differs from the rest ends the sound."""
    import av

    to_planes = av.AudioResampler(format="fltp", layout=stream.layout, rate=rate)
    for frame in file.decode(stream):
        if frame.sample_rate != rate or len(frame.layout.channels) != channels:
            return
        for plain in to_planes.resample(frame):
            yield plain.to_ndarray().T.astype(np.float32)


def _as_float32(block: NDArray[Any]) -> NDArray[np.float32]:
    """Finite samples stay finite."""
    most = float(np.finfo(np.float32).max)
    with np.errstate(invalid="ignore"):
        kept = np.where(np.isfinite(block), np.clip(block, -most, most), block)
    return kept.astype(np.float32)


def _joined(blocks: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    if not blocks:
        raise SoundError(later("The sound has a header but no samples: please record or upload it again."))
    return np.concatenate(blocks)


def _check(rate: int, channels: int) -> None:
    """Refuse by the header, before any sample is decoded."""
    if not 1 <= channels <= MAX_CHANNELS:
        raise SoundError(
            later(
                "The sound has {channels} channels; at most {most} are allowed: please save it with one or"
                " two.",
                channels=channels,
                most=MAX_CHANNELS,
            )
        )
    if not RATES[0] <= rate <= RATES[1]:
        raise SoundError(
            later(
                "The sound has {rate} samples a second; {low} to {high} are allowed: please save it with"
                " 44100.",
                rate=rate,
                low=RATES[0],
                high=RATES[1],
            )
        )
