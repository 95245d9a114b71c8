"""Photos as people have them, one line a case: how they look when they are opened, or what the sentence calls
them."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms
from test_photo_decoding import refused, saved, scene

from resnet_demo.inputs.photo_decoding import open_photo

PHOTO = scene(120, 90)
COLOURS = ("red", "lime", "blue")
FRAMES = [Image.new("RGB", (20, 20), colour) for colour in COLOURS]


def several(kind: str, **options: Any) -> bytes:
    return saved(FRAMES[0], kind, save_all=True, append_images=FRAMES[1:], **options)


def grey() -> Image.Image:
    return PHOTO.convert("L")


def indexed() -> Image.Image:
    return PHOTO.convert("P")


def see_through() -> bytes:
    """One colour, the only one, is transparent."""
    image = red().convert("P", palette=Image.Palette.ADAPTIVE)
    return saved(image, "PNG", transparency=image.getpixel((0, 0)))


def deep() -> Image.Image:
    return Image.fromarray(np.asarray(grey()).astype(np.uint16) * 257)


def lab() -> Image.Image:
    srgb, space = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    return ImageCms.profileToProfile(PHOTO, srgb, space, outputMode="LAB")  # type: ignore[return-value]


def red() -> Image.Image:
    return Image.new("RGB", (20, 20), "red")


# what is brought, its bytes, what it looks like, how far it may be off on average, of 255
OPENS: list[tuple[str, Callable[[], bytes], Callable[[], Image.Image], float]] = [
    ("CMYK JPEG", lambda: saved(PHOTO.convert("CMYK"), "JPEG", quality=95), lambda: PHOTO, 3),
    ("CMYK TIFF", lambda: saved(PHOTO.convert("CMYK"), "TIFF"), lambda: PHOTO, 1),
    ("grey JPEG", lambda: saved(grey(), "JPEG", quality=95), grey, 2),
    ("16-bit grey PNG", lambda: saved(deep(), "PNG"), grey, 1),
    ("16-bit grey TIFF", lambda: saved(deep(), "TIFF"), grey, 1),
    *((f"1-bit {kind}", lambda kind=kind: saved(PHOTO.convert("1"), kind), lambda: PHOTO.convert("1"), 0)
      for kind in ("PNG", "TIFF", "BMP", "GIF")),
    ("1-bit TIFF of a fax", lambda: saved(PHOTO.convert("1"), "TIFF", compression="group4"),
     lambda: PHOTO.convert("1"), 0),
    *((f"palette {kind}", lambda kind=kind: saved(indexed(), kind), indexed, 0)
      for kind in ("PNG", "GIF", "BMP", "TIFF")),
    ("palette with one transparent colour", see_through, lambda: Image.new("RGB", (20, 20), "white"), 0),
    ("grey with transparency", lambda: saved(PHOTO.convert("LA"), "PNG"), grey, 0),
    ("colour with transparency", lambda: saved(PHOTO.convert("RGBA"), "PNG"), lambda: PHOTO, 0),
    ("a colour that is transparent", lambda: saved(red(), "PNG", transparency=(255, 0, 0)),
     lambda: Image.new("RGB", (20, 20), "white"), 0),
    ("animated GIF", lambda: several("GIF"), red, 0),
    ("animated PNG", lambda: several("PNG"), red, 0),
    ("animated PNG with a picture for old programs", lambda: several("PNG", default_image=True), red, 0),
    ("animated WebP", lambda: several("WEBP", lossless=True), red, 2),
    ("animated AVIF", lambda: several("AVIF"), red, 3),
    ("pages of a TIFF", lambda: several("TIFF"), red, 0),
    ("MPO of a 3-D camera", lambda: several("MPO"), red, 3),
    ("AVIF", lambda: saved(PHOTO, "AVIF", quality=90), lambda: PHOTO, 6),
    ("WebP", lambda: saved(PHOTO, "WEBP", quality=90), lambda: PHOTO, 6),
    ("TIFF with LZW", lambda: saved(PHOTO, "TIFF", compression="tiff_lzw"), lambda: PHOTO, 0),
    ("TIFF with JPEG", lambda: saved(PHOTO, "TIFF", compression="jpeg", quality=95), lambda: PHOTO, 6),
    ("TIFF of Lab colours", lambda: saved(lab(), "TIFF"), lambda: PHOTO, 12),
    ("progressive JPEG", lambda: saved(PHOTO, "JPEG", progressive=True, quality=95), lambda: PHOTO, 3),
    ("interlaced GIF", lambda: saved(indexed(), "GIF", interlace=1), indexed, 0),
]  # fmt: skip

CALLED: list[tuple[str, bytes, str]] = [
    ("PDF", b"%PDF-1.7\n" + bytes(99), "This PDF is"),
    ("SVG", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "This drawing or web page is"),
    ("SVG with a declaration", b'<?xml version="1.0"?><svg/>', "This drawing or web page is"),
    ("web page", b"<!doctype html><html>", "This drawing or web page is"),
    ("Photoshop", b"8BPS\0\1" + bytes(60), "This Photoshop document is"),
    ("Canon's raw", b"II*\0\x10\0\0\0CR\x02\0" + bytes(99), "This raw photo of a camera is"),
    ("Canon's raw of today", b"\0\0\0\x18ftypcrx " + bytes(99), "This raw photo of a camera is"),
    ("Fujifilm's raw", b"FUJIFILMCCD-RAW 0201" + bytes(99), "This raw photo of a camera is"),
    ("Olympus's raw", b"IIRO\x08\0\0\0" + bytes(99), "This raw photo of a camera is"),
    ("Panasonic's raw", b"IIU\0\x18\0\0\0" + bytes(99), "This raw photo of a camera is"),
    ("icon", saved(PHOTO, "ICO"), "This icon is"),
    ("JPEG 2000", saved(PHOTO, "JPEG2000"), "This JPEG 2000 is"),
    ("JPEG 2000 without a box", saved(PHOTO, "JPEG2000", no_jp2=True), "This JPEG 2000 is"),
    ("film of a phone", b"\0\0\0\x14ftypqt  " + bytes(99), "This video is"),
    ("film of Android", b"\0\0\0\x1cftypmp42" + bytes(99), "This video is"),
    ("WebM", b"\x1a\x45\xdf\xa3" + bytes(99), "This video is"),
    ("AVI", b"RIFF\x24\0\0\0AVI LIST" + bytes(99), "This video is"),
    ("WAV", b"RIFF\x24\0\0\0WAVEfmt " + bytes(99), "This sound is"),
    ("MP3", b"ID3\x04" + bytes(99), "This sound is"),
    ("ZIP, or a document of Office", b"PK\x03\x04" + bytes(99), "This ZIP archive is"),
    ("gzip", b"\x1f\x8b\x08" + bytes(99), "This archive is"),
    ("text", b"hello", "This file is"),
    ("TGA", saved(PHOTO, "TGA"), "This file is"),
    ("PPM", saved(PHOTO, "PPM"), "This file is"),
]


@pytest.mark.parametrize(("what", "make", "looks", "off"), OPENS, ids=[case[0] for case in OPENS])
def test_it_looks_as_it_should(
    what: str, make: Callable[[], bytes], looks: Callable[[], Image.Image], off: float
) -> None:
    photo = open_photo(make())
    wanted = looks().convert("RGB")
    assert photo.size == wanted.size and photo.mode == "RGB" and photo.info == {}
    assert np.abs(np.asarray(photo).astype(int) - np.asarray(wanted)).mean() <= off


@pytest.mark.parametrize(("what", "data", "called"), CALLED, ids=[case[0] for case in CALLED])
def test_it_is_called_what_it_is(what: str, data: bytes, called: str) -> None:
    sentence = refused(data)
    assert sentence.startswith(called) and "please upload a whole JPEG" in sentence


def test_a_file_may_lie_about_its_name() -> None:
    """Nothing goes by the ending: only bytes arrive here."""
    buffer = io.BytesIO()
    PHOTO.save(buffer, "PNG")
    assert open_photo(buffer.getvalue()).tobytes() == PHOTO.tobytes()
