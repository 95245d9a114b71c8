"""Which files count as photos: the formats that are opened, and how to call what is not one of them."""

from __future__ import annotations

import importlib
from contextlib import suppress
from functools import cache

from PIL import Image

from resnet_demo.i18n import later

# What phones and browsers produce. HEIF and JXL appear in Pillow once a plug-in registers them.
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF", "JXL")
ALLOWED = later("JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF")  # for sentences
HEIC = later("HEIC photo")
JPEG_XL = later("JPEG XL")
RAW = later("raw photo of a camera")
MAGIC = (  # how a file begins, and what to call it in a sentence
    (b"II*\0\x10\0\0\0CR", RAW),  # Canon's; before TIFF, whose beginning it has
    (b"FUJIFILMCCD-RAW", RAW),
    (b"IIRO", RAW),  # Olympus's
    (b"IIU\0", RAW),  # Panasonic's
    (b"FOVb", RAW),  # Sigma's
    (b"8BPS", later("Photoshop document")),
    (b"\0\0\1\0", later("icon")),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"ID3", later("sound")),
    (b"\x1a\x45\xdf\xa3", later("video")),
    (b"\x1f\x8b", later("archive")),
    (b"\xff\xd8", "JPEG"),
    (b"\x89PNG", "PNG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"%PDF", "PDF"),
    (b"<", later("drawing or web page")),
    (b"PK", later("ZIP archive")),
)
# ISO 14496-12 files name their brand at byte 8
AVIF_BRANDS = (b"avif", b"avis")
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
JXL_STARTS = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")


def what_arrived(data: bytes) -> str:
    """The kind of a file, from its first bytes, as a sentence calls it."""
    if data[4:8] == b"ftyp":
        if data[8:12] in AVIF_BRANDS:
            return "AVIF"
        return HEIC if data[8:12] in HEIC_BRANDS else RAW if data[8:11] == b"crx" else later("video")
    if data.startswith(b"RIFF"):
        return {b"WEBP": "WebP", b"WAVE": later("sound")}.get(data[8:12], later("video"))
    if data.startswith(JXL_STARTS):
        return JPEG_XL
    return next((name for magic, name in MAGIC if data[:64].lstrip().startswith(magic)), later("file"))


@cache
def load_readers() -> None:
    """Let Pillow know its own readers of FORMATS, and no others of its forty."""
    for name in ("Avif", "Bmp", "Gif", "Jpeg", "Mpo", "Png", "Tiff", "WebP"):
        with suppress(ImportError):
            importlib.import_module(f"PIL.{name}ImagePlugin")


def readable(data: bytes) -> list[str]:
    """The formats of Pillow to try on a file; loads the plug-in that its first bytes ask for."""
    load_readers()
    if data[4:8] == b"ftyp" and data[8:12] not in AVIF_BRANDS:
        opens_heic()
    elif data.startswith(JXL_STARTS):
        opens_jxl()
    return [name for name in FORMATS if name in Image.OPEN]


@cache
def opens_heic() -> bool:
    """Teach Pillow HEIC, what iPhones take; whether it can be read here."""
    with suppress(ImportError, OSError):
        plugin = importlib.import_module("pillow_heif")
        plugin.options.DECODE_THREADS = 2
        plugin.register_heif_opener()
        return True
    return False


@cache
def opens_jxl() -> bool:
    """Teach Pillow JPEG XL; whether it can be read here."""
    with suppress(ImportError, OSError):
        importlib.import_module("pillow_jxl")
        return True
    return False


def jpeg_process(data: bytes) -> int | None:
    """Which of the coding processes of ITU T.81 a JPEG uses: n of its SOFn marker; None if it has none.

    0 to 2 are the sequential and progressive ones with Huffman codes; 3 is lossless, 9 and 10 have arithmetic
    codes.
    """
    at = data.find(b"\xff\xd8") + 2
    while 2 <= at < len(data) - 3:
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0:  # what is no marker, libjpeg passes over in a way of its own
            return None
        if marker == 0xFF:  # fill
            at += 1
        elif marker in (0x01, *range(0xD0, 0xD8)):  # these stand alone
            at += 2
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return marker - 0xC0
        elif marker in (0xD9, 0xDA):  # pixels, or the end, before any frame
            return None
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def can_be_scaled(data: bytes) -> bool:
    """Whether a JPEG may be decoded at a half, a quarter or an eighth.

    That is done on the coefficients of its DCT, which a lossless one does not have: libjpeg-turbo then
    delivers whole rows into a buffer that was made for shorter ones.
    """
    return jpeg_process(data) in (0, 1, 2)
