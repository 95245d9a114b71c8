"""Files of every format that the page takes, and damaged copies of them: the same ones for the same numbers.

The files are written by the libraries that other people use (Pillow, libheif, FFmpeg, libsndfile), and where
../shared lies beside the checkout, those of test suites and cameras are taken in place too.
"""

from __future__ import annotations

import io
import random
import struct
import tarfile
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

import numpy as np
import soundfile
from conftest import SHARED, draw_photo
from PIL import Image
from test_photo_kinds import deep_file, lossless_jpeg
from test_sound_decoding import recorded

from resnet_demo.inputs.photo_formats import jpeg_process
from resnet_demo.inputs.synthetic_sounds import RATE, sound

Seeds = Mapping[str, list[bytes]]  # format -> files
MOST = 120_000  # bytes of a file: a longer one hides the damage, and takes longer to send than to open
SOUNDS = ("WAV", "FLAC", "OGG", "MP3", "M4A", "WebM")
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def noise(seed: int, width: int = 90, height: int = 70) -> Image.Image:
    """A picture of noise, which fills every coefficient of every scan."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def by_pillow(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def by_libsndfile(kind: str) -> list[bytes]:
    found = []
    for name in ("siren", "melody"):
        buffer = io.BytesIO()
        soundfile.write(buffer, sound(name, 1), RATE, format=kind)
        found.append(buffer.getvalue())
    return found


def by_libheif(image: Image.Image) -> bytes:
    import pillow_heif

    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, quality=80)
    return buffer.getvalue()


def frames(count: int = 3) -> list[Image.Image]:
    return [draw_photo(seed, 80, 60) for seed in range(count)]


def several(kind: str, **options: Any) -> bytes:
    first, *more = frames()
    return by_pillow(first, kind, save_all=True, append_images=more, **options)


def deep(order: str) -> Image.Image:
    """Grey of 16 bits, which Pillow writes in this byte order."""
    values = np.linspace(0, 65535, 60 * 80).reshape(60, 80).astype(f"{order}u2")
    return Image.frombuffer("I;16B" if order == ">" else "I;16", (80, 60), values.tobytes())


def twelve_bits() -> np.ndarray:
    """Colour of 12 bits in 16, which is decoded twice."""
    return np.random.default_rng(6).integers(0, 4096, (50, 60, 3), dtype=np.uint16)


def written() -> Seeds:
    """By libraries, format by format."""
    photo, small = draw_photo(1, 160, 120), draw_photo(2, 80, 60)
    tone = 0.5 * np.sin(np.arange(44_100) * 0.06)[:, None]
    turned = Image.Exif()
    turned[0x0112] = 6
    return {
        "JPEG": [
            by_pillow(photo, "JPEG", quality=90, exif=turned),
            by_pillow(photo.convert("CMYK"), "JPEG"),
            by_pillow(photo, "JPEG", subsampling=0, restart_marker_rows=1),
            several("MPO"),
        ],
        "progressive JPEG": [
            by_pillow(noise(seed), "JPEG", progressive=True, quality=quality)
            for seed, quality in enumerate((10, 60, 97))
        ],
        "lossless JPEG": [lossless_jpeg(small), lossless_jpeg(noise(4))],
        "TIFF, little end first": [
            by_pillow(small, "TIFF", compression=packing)
            for packing in (None, "tiff_lzw", "tiff_deflate", "packbits", "jpeg")
        ]
        + [by_pillow(small.convert("1"), "TIFF", compression="group4"), by_pillow(deep("<"), "TIFF")],
        "TIFF, big end first": [by_pillow(deep(">"), "TIFF")],
        "PNG": [
            by_pillow(small, "PNG"),
            by_pillow(small.convert("P"), "PNG", transparency=3),
            by_pillow(small.convert("1"), "PNG"),
            deep_file(twelve_bits(), "png"),
            by_pillow(deep("<"), "PNG"),
            several("PNG"),
        ],
        "WebP": [
            by_pillow(photo, "WEBP"),
            by_pillow(small, "WEBP", lossless=True),
            by_pillow(small.convert("RGBA"), "WEBP", exif=turned),
            several("WEBP"),
        ],
        "GIF": [several("GIF"), by_pillow(small.convert("P"), "GIF", interlace=1)],
        "BMP": [by_pillow(small.convert(mode), "BMP") for mode in ("RGB", "P", "1")],
        "AVIF": [
            by_pillow(small, "AVIF"),
            by_pillow(small.convert("RGBA"), "AVIF", quality=100),
            several("AVIF"),
        ],
        "HEIC": [by_libheif(small), by_libheif(noise(5))],
        "JPEG 2000": [
            by_pillow(small, "JPEG2000"),
            by_pillow(small, "JPEG2000", no_jp2=True, irreversible=True),
        ],
        "WAV": by_libsndfile("WAV"),
        "FLAC": by_libsndfile("FLAC"),
        "OGG": by_libsndfile("OGG"),
        "MP3": by_libsndfile("MP3"),
        "M4A": [recorded(tone, "mp4", "aac", 44_100)],
        "WebM": [recorded(tone, "webm", "libopus")],
    }  # fmt: skip


STARTS = {
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF, little end first",
    b"MM\0*": "TIFF, big end first",
    b"\0\0\0\x0cjP": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
}
PROCESSES = {2: "progressive JPEG", 3: "lossless JPEG", 9: "arithmetic JPEG", 10: "arithmetic JPEG"}


def kind_of(data: bytes) -> str | None:
    """Which of the formats a found file has; None for one that is not among them."""
    if data[:2] == b"\xff\xd8":
        process = jpeg_process(data)
        return None if process is None else PROCESSES.get(process, "JPEG")
    if data[4:8] == b"ftyp":
        return "AVIF" if data[8:12] in (b"avif", b"avis") else "HEIC"
    if data[:4] == b"RIFF":
        return {b"WEBP": "WebP", b"WAVE": "WAV"}.get(data[8:12])
    return next((kind for start, kind in STARTS.items() if data.startswith(start)), None)


def found() -> Seeds:
    """In ../shared, format by format; nothing where it is not."""
    files: dict[str, list[bytes]] = {}
    for path in sorted(path for path in (SHARED / "badimages").rglob("*") if path.is_file()):
        data = path.read_bytes()
        kind = kind_of(data)
        if kind and 40 < len(data) <= MOST:
            files.setdefault(kind, []).append(data)
    for name, kind in (
        ("native-validation.tar", "WebP"),
        ("fsdd.tar", "WAV"),
        ("cifar10-test.tar.gz", "JPEG"),
    ):
        if (SHARED / "data" / name).is_file():
            with tarfile.open(SHARED / "data" / name) as archive:
                members = islice((member for member in archive if member.isfile()), 12)
                read = [archive.extractfile(member) for member in members]
                files.setdefault(kind, []).extend(file.read() for file in read if file)
    return files


def seeds() -> Seeds:
    """All of them; those whose library is not installed are left out."""
    together = {kind: list(files) for kind, files in written().items()}
    for kind, files in found().items():
        together.setdefault(kind, []).extend(files)
    return together


def flip(data: bytearray, rng: random.Random, head: int) -> None:
    data[rng.randrange(head)] ^= 1 << rng.randrange(8)


def set_byte(data: bytearray, rng: random.Random, head: int) -> None:
    data[rng.randrange(head)] = rng.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, rng.randrange(256)))


def set_number(data: bytearray, rng: random.Random, head: int) -> None:
    size, value, order = rng.choice((2, 4)), rng.choice(INTERESTING), rng.choice("<>")
    at = rng.randrange(max(1, head - size))
    form = order + {2: "H", 4: "I"}[size]
    data[at : at + size] = struct.pack(form, value & (1 << 8 * size) - 1)


def cut_out(data: bytearray, rng: random.Random, head: int) -> None:
    at = rng.randrange(head)
    del data[at : at + rng.randrange(1, max(2, len(data) // 8))]


def double(data: bytearray, rng: random.Random, head: int) -> None:
    at = rng.randrange(head)
    part = bytes(data[at : at + rng.randrange(1, max(2, len(data) // 8))])
    data[at:at] = part * rng.choice((1, 2, 8))


def shred(data: bytearray, rng: random.Random, head: int) -> None:
    at = rng.randrange(head)
    length = min(rng.randrange(1, 200), len(data) - at)
    data[at : at + length] = rng.randbytes(length)


def end_early(data: bytearray, rng: random.Random, head: int) -> None:
    del data[rng.randrange(len(data) // 3, len(data)) :]


WAYS: tuple[Callable[[bytearray, random.Random, int], None], ...] = (
    flip, flip, set_byte, set_byte, set_number, set_number, cut_out, double, shred, end_early)  # fmt: skip


def mutation(number: int, files: Seeds) -> tuple[str, bytes]:
    """The format and the bytes of damaged file ``number``.

    Formats take turns, and two thirds of the damage is in the head.
    """
    rng = random.Random(number)
    kinds = sorted(files)
    kind = kinds[number % len(kinds)]
    data = bytearray(rng.choice(files[kind]))
    if rng.random() < 0.1:  # the front of one, the rest of another
        other = rng.choice(files[kind])
        cut = rng.random()
        data = data[: int(cut * len(data))] + other[int(cut * len(other)) :]
    for _ in range(rng.choice((1, 1, 2, 3, 8, 30))):
        if len(data) > 40:
            rng.choice(WAYS)(data, rng, min(len(data), rng.choice((64, 600, len(data)))))
    return kind, bytes(data)
