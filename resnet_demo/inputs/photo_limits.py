"""Files that are small and cost much: refused by their headers, before they do.

Limits on sizes, and on what keeps a reader busy or makes it copy: chunks, tags, scans.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator

import numpy as np
from PIL import Image

from resnet_demo.i18n import later
from resnet_demo.inputs.errors import PhotoError
from resnet_demo.inputs.files import MAX_BYTES

MAX_PIXELS = 50_000_000  # what phones take; up to 200 MB while it is decoded
MAX_PIXELS_COPIED = 25_000_000  # for COPYING, whose readers hold up to 15 bytes a pixel
COPYING = ("WEBP", "AVIF", "HEIF", "JXL")
MAX_SIDE = 65_535  # what JPEG can hold; no photo is longer
MAX_READS = 8_000  # of a header: one of tiny chunks keeps a reader busy for minutes
MAX_PIXEL_READS = 3_000_000  # of all that follows: a decoder in Python reads byte by byte; a second or two
MAX_TAG_BYTES = 2 * MAX_BYTES  # tags that overlap make Pillow copy the same bytes again and again
MAX_STRIPS = MAX_SIDE  # of a TIFF; each is an object
MAX_SCANS = 100  # each scan of a progressive JPEG visits every pixel again; encoders write about 10
MAX_SCANNED = 1_000_000_000  # scans times pixels: a second or two

# byte order and version of a TIFF; the last two are not of the specification, but read
_TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"II\0*", b"MM*\0")
# Bytes a value of each TIFF type takes, 0 for unknown types; as float, so that products do not overflow.
_TYPE_BYTES = np.array([0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 0], np.float64)


class MeteredFile(io.BytesIO):
    """A file in memory that ends after so many reads: MAX_READS, until ``allow`` says otherwise."""

    left = MAX_READS

    def allow(self, reads: int) -> None:
        """From now on so many reads: the header has been read, and what follows is the decoder's."""
        self.left = reads

    def read(self, size: int | None = -1, /) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise OSError("too many small reads")
        return super().read(size)


def check_size(image: Image.Image) -> None:
    """Refuse by the header, before any pixel is decoded."""
    width, height = image.size
    limit = MAX_PIXELS_COPIED if image.format in COPYING else MAX_PIXELS
    if max(width, height) > MAX_SIDE:
        raise PhotoError(
            later(
                "The photo has a side of over {most} pixels, the most allowed: please upload a smaller copy.",
                most=MAX_SIDE,
            )
        )
    if width * height > limit:
        raise too_large(f"{math.ceil(width * height / 1e5) / 10:.1f}", limit)


def too_large(megapixels: str, limit: int = MAX_PIXELS) -> PhotoError:
    """The error for a photo of so many megapixels, where ``limit`` pixels are allowed."""
    return PhotoError(
        later(
            "The photo has {megapixels} megapixels; {most} are allowed: please upload a smaller copy.",
            megapixels=megapixels,
            most=limit // 10**6,
        )
    )


def over_the_limit() -> PhotoError:
    """The error for what Pillow itself calls a bomb, without saying how large it is."""
    return too_large(later("over {number}", number=MAX_PIXELS // 10**6))


def check_scans(data: bytes, pixels: int) -> None:
    """Refuse a JPEG that has its decoder go over all the pixels too often."""
    scans = data.count(b"\xff\xda\x00")  # how one begins; inside of it FF is never followed by DA
    limit = min(MAX_SCANS, MAX_SCANNED // max(1, pixels))
    if scans > limit:
        raise PhotoError(
            later(
                "The JPEG has {scans} scans; at its size {limit} are allowed: please save it anew.",
                scans=scans,
                limit=limit,
            )
        )


def check_tags(data: bytes) -> None:
    """Refuse TIFF or EXIF directories that are memory bombs.

    Pillow copies every tag's bytes when it opens a file. The tags of a good file do not overlap,
    so together they are no larger than it; a bad one points thousands of tags at the same bytes.
    It also lists every strip of a TIFF. The layout is that of TIFF 6.0: a header that names the
    byte order and where the directory begins; there a count, and entries of tag, type, number of
    values and offset of the values. BigTIFF has the same with 64-bit fields.

    Raises:
        OSError: it is one.
    """
    for number, header in enumerate(_headers(data)):
        if number >= 100:
            raise OSError("too many directories")
        body = memoryview(data)[header:]
        order = "<" if body[0] == ord("I") else ">"
        big = 43 in body[2:4]
        wide, narrow = (order + "u8", order + "u8") if big else (order + "u4", order + "u2")
        start = int.from_bytes(body[8:16] if big else body[4:8], "little" if order == "<" else "big")
        entry = np.dtype([("tag", order + "u2"), ("type", order + "u2"), ("values", wide), ("offset", wide)])
        begin = start + np.dtype(narrow).itemsize
        if begin + entry.itemsize > len(body):
            continue  # no directory here
        count = int(np.frombuffer(body, narrow, 1, start)[0])
        count = min(count, (len(body) - begin) // entry.itemsize)
        tags = np.frombuffer(body, entry, count, begin)
        sizes = tags["values"] * _TYPE_BYTES[np.minimum(tags["type"], len(_TYPE_BYTES) - 1)]
        copied = sizes[tags["offset"] + sizes <= len(body)]  # Pillow stops at one that does not fit
        strips = tags["values"][np.isin(tags["tag"], (273, 324))]
        if copied.sum() > MAX_TAG_BYTES or (header == 0 and np.any(strips > MAX_STRIPS)):
            raise OSError("too much in a directory")


def _headers(data: bytes) -> Iterator[int]:
    """Where a TIFF may begin. (A regular expression for all of them takes ten times as long.)"""
    for mark in _TIFF_MARKS:
        at = data.find(mark)
        while at >= 0:
            yield at
            at = data.find(mark, at + 1)
