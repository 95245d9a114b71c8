"""From the bytes a stranger uploads to the network's input.

Three steps: ``open_photo`` (bytes to an upright RGB picture, or one clear sentence),
``fit_photo`` (picture to the square of pixels the network's card asks for) and ``to_tensor``
(pixels to a normalised batch); ``read_photo`` does the first two. Nothing here changes a global setting of Pillow, so visitors'
photos may be opened in several threads at once.

Rules:
    * A file that stops before its last pixel is refused: the rest of the picture would be
      invented, and so would the answer. What Pillow repairs without inventing is accepted.
    * Of an animation, the first frame counts. Transparent pixels are seen over white.
    * Colour profiles are not applied: the training photos were read without them, too.
    * Grey deeper than 8 bits is scaled to 0..255, see ``_grey_range``.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from resnet_demo.i18n import Sentence, later
from resnet_demo.inputs.files import MAX_BYTES, FileSource, read_beyond

if TYPE_CHECKING:
    pass

# What phones and browsers produce. HEIF appears in Pillow only once a plug-in registers it.
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")
ALLOWED = later("JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF")  # for sentences
MAX_PIXELS = 50_000_000  # what phones take; up to 200 MB while it is decoded
MAX_PIXELS_COPIED = 25_000_000  # for COPYING, whose readers hold up to 15 bytes a pixel
COPYING = ("WEBP", "AVIF", "HEIF")
MAX_SIDE = 65_535  # what JPEG can hold; no photo is longer
MAX_READS = 8_000  # a header of tiny chunks keeps a reader busy for minutes; a PNG in 4 KB chunks needs 7,000
MAX_TAG_BYTES = 2 * MAX_BYTES  # tags that overlap make Pillow copy the same bytes again and again
MAX_SCANS = 100  # each scan of a progressive JPEG visits every pixel again; encoders write about 10
MAX_SCANNED = 1_000_000_000  # scans times pixels: a second or two
KEEP_SIDE = 720  # decode no finer than this short side: four times the notebook's input
KEEP_PIXELS = 16_000_000  # nor larger than this, however long and thin
STRIP_PIXELS = 1_000_000  # convert large pictures by strips of this size

_UPRIGHT = {  # EXIF orientation -> what undoes it
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MAGIC = (  # how a file begins, and what to call it in a sentence
    (b"\xff\xd8", "JPEG"),
    (b"\x89PNG", "PNG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"RIFF", "WebP"),
    (b"%PDF", "PDF"),
    (b"<", later("drawing or web page")),
    (b"PK", later("ZIP archive")),
)
# byte order and version; the last two are not of the specification, but read
_TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"II\0*", b"MM*\0")
# Bytes a value of each TIFF type takes, 0 for unknown types; as float, so that products do not overflow.
_TYPE_BYTES = np.array([0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 0], np.float64)


class PhotoError(ValueError):
    """A photo that cannot be used.

    The message is one sentence of at most 200 characters for the visitor: what arrived, what
    is allowed, what to do. It never holds a path or anything else out of the file.
    """


def open_photo(source: FileSource, side: int = KEEP_SIDE) -> Image.Image:
    """Decode an untrusted photo.

    Args:
        source: the file's bytes, its path, or the file opened for reading bytes.
        side: pixels that the short side of a large JPEG has to keep; at most KEEP_SIDE.

    Returns:
        Mode RGB, upright, without metadata. A JPEG whose short side has twice ``side`` or more
        was decoded at a half, a quarter or an eighth. Any other picture whose short side has
        twice KEEP_SIDE or more comes back reduced by a whole factor to no less than KEEP_SIDE;
        a longer and thinner one by what brings it below KEEP_PIXELS.

    Raises:
        PhotoError: for anything that is not a whole photo within the limits.
    """
    data = read_file(source)
    kind = _what_arrived(data)
    with _one_sentence(
        later(
            "This {kind} is damaged or no photo that can be read: please upload a whole {allowed}.",
            kind=kind,
            allowed=ALLOWED,
        )
    ):
        _check_tags(data)
        Image.init()
        image = Image.open(_Metered(data), formats=[name for name in FORMATS if name in Image.OPEN])
    if image.format in ("JPEG", "MPO"):
        scans = data.count(b"\xff\xda\x00")  # how one begins; inside of it FF is never followed by DA
        limit = min(MAX_SCANS, MAX_SCANNED // max(1, image.width * image.height))
        if scans > limit:
            raise PhotoError(
                later(
                    "The JPEG has {scans} scans; at its size {limit} are allowed: please save it anew.",
                    scans=scans,
                    limit=limit,
                )
            )
    with image:
        return to_rgb(image, side)


def to_rgb(image: Image.Image, side: int = KEEP_SIDE) -> Image.Image:
    """Make an opened picture of any mode an upright RGB one, as ``open_photo`` returns it.

    The input keeps its pixels, unless it was not loaded yet: a large JPEG is then decoded
    at a reduced size, its short side no less than ``side``.

    Raises:
        PhotoError: if it is too large or its pixels cannot be read.
    """
    _check_size(image)
    sentence = later(
        "The {kind} of {width} by {height} pixels is damaged or cut off: please upload a whole copy of it.",
        kind=image.format or later("photo"),
        width=image.width,
        height=image.height,
    )
    with _one_sentence(sentence):
        image.draft(None, (side, side))  # JPEG only: decodes at 1/2, 1/4 or 1/8
        image.load()
        turn = _UPRIGHT.get(_orientation(image))
        photo = _reduced_rgb(image)
        return photo if turn is None else photo.transpose(turn)


class _Metered(io.BytesIO):
    """A file in memory that ends after MAX_READS reads."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        if self.reads > MAX_READS:
            raise OSError("too many small reads")
        return super().read(size)


def read_file(source: FileSource) -> bytes:
    """The bytes of an untrusted file, from wherever they are.

    Raises:
        PhotoError: it cannot be read, is empty, or holds more than MAX_BYTES.
    """
    with _one_sentence(later("The upload did not arrive as a readable file: please upload the photo again.")):
        data = read_beyond(source)
    if not data:
        raise PhotoError(later("The file is empty: please upload a photo."))
    if len(data) > MAX_BYTES:
        raise PhotoError(
            later(
                "The file has more than {most} MB, the most allowed: please upload a smaller copy.",
                most=MAX_BYTES // 10**6,
            )
        )
    return data


def _what_arrived(data: bytes) -> str:
    """The kind of a file that Pillow could not open, from its first bytes."""
    if data[4:8] == b"ftyp":
        return "AVIF" if data[8:12] in (b"avif", b"avis") else later("HEIC photo or video")
    return next((name for magic, name in _MAGIC if data[:64].lstrip().startswith(magic)), later("file"))


@contextmanager
def _one_sentence(sentence: Sentence) -> Iterator[None]:
    """Whatever goes wrong inside becomes ``PhotoError(sentence)``.

    Damaged files make Pillow raise OSError, ValueError, SyntaxError, IndexError, struct.error,
    zlib.error, RuntimeError, MemoryError and more, so the list is not written out.
    """
    try:
        yield
    except PhotoError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(later("over {number}", number=MAX_PIXELS // 10**6), MAX_PIXELS) from error
    except Exception as error:
        raise PhotoError(sentence) from error


def _check_tags(data: bytes) -> None:
    """Refuse TIFF or EXIF directories that are memory bombs.

    Pillow copies every tag's bytes when it opens a file. The tags of a good file do not overlap,
    so together they are no larger than it; a bad one points thousands of tags at the same bytes.
    It also lists every strip of a TIFF. The layout is that of TIFF 6.0: a header that names the
    byte order and where the directory begins; there a count, and entries of tag, type, number of
    values and offset of the values. BigTIFF has the same with 64-bit fields.
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
        if copied.sum() > MAX_TAG_BYTES or (header == 0 and np.any(strips > MAX_READS)):
            raise OSError("too much in a directory")


def _headers(data: bytes) -> Iterator[int]:
    """Where a TIFF may begin. (A regular expression for all of them takes ten times as long.)"""
    for mark in _TIFF_MARKS:
        at = data.find(mark)
        while at >= 0:
            yield at
            at = data.find(mark, at + 1)


def _check_size(image: Image.Image) -> None:
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
        raise _too_large(f"{math.ceil(width * height / 1e5) / 10:.1f}", limit)


def _too_large(megapixels: str, limit: int) -> PhotoError:
    return PhotoError(
        later(
            "The photo has {megapixels} megapixels; {most} are allowed: please upload a smaller copy.",
            megapixels=megapixels,
            most=limit // 10**6,
        )
    )


def _orientation(image: Image.Image) -> int:
    """EXIF orientation of a loaded picture, 1 (upright) where that is missing or broken.

    Only a real EXIF block counts, as in browsers, not one in a text chunk. (Pillow has already
    turned a TIFF.)
    """
    if "exif" not in image.info:
        return 1
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # noqa: BLE001  Pillow raises almost anything here, and upright is a safe answer
        return 1


def _reduced_rgb(image: Image.Image) -> Image.Image:
    """RGB, averaged down by a whole factor where larger than needed, strip by strip.

    A second full-size copy of 50 megapixels would take 200 MB more; this takes a strip.
    """
    width, height = image.size
    factor = max(1, min(width, height) // KEEP_SIDE, math.ceil(math.sqrt(width * height / KEEP_PIXELS)))
    rows = factor * max(1, STRIP_PIXELS // (width * factor))
    low, high = _grey_range(image, rows)
    photo = Image.new("RGB", (math.ceil(width / factor), math.ceil(height / factor)))
    for top, strip in _strips(image, rows):
        photo.paste(_convert(strip, low, high).reduce(factor), (0, top // factor))
    return photo


def _strips(image: Image.Image, rows: int) -> Iterator[tuple[int, Image.Image]]:
    """(top, pixels) of each strip of so many rows, the last one maybe shorter."""
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _grey_range(image: Image.Image, rows: int) -> tuple[float, float]:
    """The values of a deep grey picture that become black and white.

    For 16 bits: 0 and 65535. For 32-bit integers and floats, the narrowest of 0..1 (floats
    only), 0..255 and 0..65535 that holds all finite values; else their own range.
    """
    if image.mode not in ("I", "F"):
        return 0, 65535
    low, high = math.inf, -math.inf
    for _, strip in _strips(image, rows):
        values = np.asarray(strip, dtype=np.float64)
        finite = values[np.isfinite(values)]
        low = float(np.min(finite, initial=low))
        high = float(np.max(finite, initial=high))
    for top in (1, 255, 65535) if image.mode == "F" else (255, 65535):
        if low >= 0 and high <= top:
            return 0, top
    return low, high


def _convert(image: Image.Image, low: float, high: float) -> Image.Image:
    """A picture, or a strip of it, as RGB at full size."""
    if image.mode.startswith(("I", "F")):
        values = np.nan_to_num(np.asarray(image, dtype=np.float64), nan=low, posinf=high, neginf=low)
        scaled = (values - low) * (255 / ((high - low) or 1))
        return Image.fromarray(np.clip(scaled + 0.5, 0, 255).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    if image.mode == "La":  # Pillow has no direct way from premultiplied grey
        image = image.convert("LA")
    rgba = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(rgba, mask=rgba)
    return white
