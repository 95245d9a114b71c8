"""Whatever a stranger sends as a sound becomes 1.92 s of samples or one clear sentence."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resnet_demo.inputs import sound_containers
from resnet_demo.inputs.files import MAX_BYTES
from resnet_demo.inputs.mel_spectrogram import mel_picture
from resnet_demo.inputs.sound_decoding import SoundError, loudest, open_sound, resample
from resnet_demo.inputs.synthetic_sounds import LENGTH, RATE, sound, wav_bytes


def encoded(samples: np.ndarray, rate: int = RATE, kind: str = "WAV", subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def tone(hertz: float, rate: int, seconds: float) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def wav_header(
    rate: int = RATE,
    channels: int = 1,
    bits: int = 16,
    kind: int = 1,
    data: bytes = b"",
    said: int | None = None,
) -> bytes:
    """A WAV file by hand, so that its header can lie."""
    frame = channels * bits // 8
    size = len(data) if said is None else said
    head = struct.pack(
        "<4sIHHIIHH", b"fmt ", 16, kind, channels, rate, rate * frame & 0xFFFFFFFF, frame & 0xFFFF, bits
    )
    body = b"WAVE" + head + struct.pack("<4sI", b"data", size) + data
    return b"RIFF" + struct.pack("<I", (len(body) if said is None else said) & 0xFFFFFFFF) + body


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "PCM_U8"),
        ("WAV", "PCM_24"),
        ("WAV", "FLOAT"),
        ("WAV", "ULAW"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", None),
        ("AIFF", "PCM_16"),
    ],
)
@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_a_tone_in_any_kind_of_file_is_heard_at_its_pitch(kind: str, subtype: str | None, rate: int) -> None:
    stereo = np.repeat(tone(1000, rate, 2.5)[:, None], 2, 1)
    found = open_sound(encoded(stereo, rate, kind, subtype))
    assert found.shape == (LENGTH,)
    assert found.dtype == np.float32
    assert 0.9 < np.abs(found).max() <= 1
    spectrum = np.abs(np.fft.rfft(found * np.hanning(LENGTH)))
    assert np.fft.rfftfreq(LENGTH, 1 / RATE)[spectrum.argmax()] == pytest.approx(1000, abs=1)


def test_the_projects_own_sounds_come_back_as_they_were(tmp_path: Path) -> None:
    samples = sound("siren", 2)
    path = tmp_path / "siren.wav"
    path.write_bytes(wav_bytes(samples))
    for source in (path, str(path), path.read_bytes(), path.open("rb")):
        found = open_sound(source)
        assert np.corrcoef(found, samples)[0, 1] > 0.9999
        assert np.abs(mel_picture(found).astype(int) - mel_picture(samples)).mean() < 1.5


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_resampling_keeps_pitch_level_and_time(rate: int) -> None:
    wanted = 0.5 * np.sin(2 * np.pi * 440 * np.arange(LENGTH) / RATE)
    found = resample(tone(440, rate, 2)[: round(LENGTH * rate / RATE)], rate)
    assert found.shape == (LENGTH,)
    inner = slice(800, -800)
    assert np.abs(found - wanted)[inner].max() < 0.02


def test_what_16_khz_cannot_hold_is_left_out() -> None:
    found = resample(tone(11_000, 48_000, 2)[: 3 * LENGTH], 48_000)
    assert np.abs(found[800:-800]).max() < 0.01  # not folded back to 5 kHz


def test_of_a_long_sound_the_earliest_loud_stretch_is_used() -> None:
    quiet, loud = 0.01 * tone(300, RATE, 4), tone(2000, RATE, 2)
    found = loudest(np.concatenate([quiet, loud, quiet, loud]), RATE)
    spectrum = np.abs(np.fft.rfft(found))
    assert np.fft.rfftfreq(LENGTH, 1 / RATE)[spectrum.argmax()] == pytest.approx(2000, abs=2)
    assert np.abs(found[-200:]).max() > 0.4  # the first of the two: its end is not cut off
    even = tone(500, RATE, 6)
    assert np.array_equal(loudest(even, RATE), even[:LENGTH])
    short = tone(500, RATE, 0.5)
    assert np.array_equal(loudest(short, RATE), np.pad(short, (0, LENGTH - len(short))))


def bad_files() -> dict[str, tuple[bytes, str]]:
    """Name -> a file, and a word of the sentence about it."""
    good = wav_bytes(sound("chord", 1))
    ones = np.ones(8000, np.float32)
    floats = np.where(np.arange(8000) == 77, np.nan, ones).astype("<f4")
    return {
        "empty": (b"", "empty"),
        "text": (b"no sound at all " * 99, "damaged"),
        "half a header": (good[:20], "damaged"),
        "header alone": (good[:44], "no samples"),
        "no frames": (wav_header(), "no samples"),
        "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(200), "damaged"),
        "a web page": (b"<!doctype html><title>no</title>", "damaged"),
        "noughts": (bytes(5000), "damaged"),
        "384 kHz": (encoded(tone(400, 384_000, 0.2), 384_000), "384000 samples a second"),
        "rate 0": (wav_header(rate=0, data=bytes(9000)), r"damaged|samples|channels"),
        "rate 4294967295": (wav_header(rate=0xFFFFFFFF, data=bytes(9000)), r"damaged|samples|channels"),
        "32 channels": (encoded(np.repeat(tone(400, RATE, 0.2)[:, None], 32, 1)), "32 channels"),
        "65535 channels": (wav_header(channels=65535, data=bytes(9000)), r"damaged|samples|channels"),
        "0 channels": (wav_header(channels=0, data=bytes(9000)), r"damaged|samples|channels"),
        "NaN": (encoded(floats, subtype="FLOAT"), "not numbers"),
        "infinity": (encoded(np.where(ones > 0, np.inf, 0), subtype="FLOAT"), "not numbers"),
        "silence": (encoded(np.zeros(40_000)), "silent"),
        "all one value": (encoded(0.5 * ones), "silent"),
        "10 ms": (encoded(tone(400, RATE, 0.01)), "10 ms"),
        "too large": (bytes(MAX_BYTES + 1), "10 MB"),
        "an unknown codec": (wav_header(kind=0x7777, data=bytes(9000)), r"damaged|samples|channels"),
        "a flac cut short": (encoded(tone(400, RATE, 1), kind="FLAC")[:60], r"damaged|samples"),
        "an ogg cut short": (encoded(tone(400, RATE, 1), kind="OGG")[:60], r"damaged|samples"),
    }


def well_said(sentence: str) -> bool:
    return len(sentence) <= 200 and sentence.endswith(".") and "/" not in sentence and "\n" not in sentence


@pytest.mark.parametrize("name", bad_files())
def test_a_bad_file_gets_one_sentence(name: str) -> None:
    data, word = bad_files()[name]
    with pytest.raises(SoundError, match=word) as caught:
        open_sound(data)
    assert well_said(str(caught.value)), caught.value


def test_a_header_that_promises_too_much_costs_nothing() -> None:
    data = (tone(700, RATE, 1) * 32767).astype("<i2").tobytes()
    found = open_sound(wav_header(data=data, said=0xFFFFFFF0))
    assert np.isfinite(found).all()
    assert np.abs(found).max() > 0.9


def test_a_recording_cut_off_is_heard_as_far_as_it_goes() -> None:
    whole = wav_bytes(sound("siren", 1))
    found = open_sound(whole[: len(whole) // 2])
    assert np.abs(found[: LENGTH // 3]).max() > 0.3
    assert np.abs(found[-100:]).max() < 0.1


@pytest.mark.parametrize("scale", [1e-3, 50.0, 1e30, 1e200])
def test_level_does_not_matter(scale: float) -> None:
    found = open_sound(encoded(tone(700, RATE, 1) * scale, subtype="DOUBLE"))
    assert np.isfinite(found).all()
    assert 0.9 < np.abs(found).max() <= 1


def test_an_hour_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    real = soundfile.SoundFile.read

    def counted(self, frames=-1, *args, **options):
        block = real(self, frames, *args, **options)
        read.append(len(block))
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    hour = encoded(np.zeros((3600 * 8000,), np.int16), 8000, "FLAC")
    assert len(hour) < MAX_BYTES
    with pytest.raises(SoundError, match="silent"):
        open_sound(hour)
    assert sum(read) <= sound_containers.MOST_SECONDS * 8000


def test_a_path_that_is_no_file_gets_a_sentence(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing.wav"):
        with pytest.raises(SoundError, match="upload the sound again") as caught:
            open_sound(path)
        assert well_said(str(caught.value))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_mangled_files_never_do_worse_than_a_sentence(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["WAV", "FLAC", "OGG", "MP3", "AIFF"]))
    mangled = bytearray(encoded(tone(500, RATE, 0.3), kind=kind))
    for _ in range(data.draw(st.integers(1, 12))):
        at = data.draw(st.integers(0, min(len(mangled) - 1, 300)))
        mangled[at] = data.draw(st.integers(0, 255))
    try:
        found = open_sound(bytes(mangled))
    except SoundError as error:
        assert well_said(str(error))
    else:
        assert found.shape == (LENGTH,)
        assert np.isfinite(found).all()
