"""From the bytes a stranger uploads to an upright RGB picture, or one clear sentence.

Nothing here changes a global setting of Pillow, so photos may be opened in several threads at once. A server
opens those of strangers in a process of its own, see ``decoding.py``.

Rules:
    * A file that stops before its last pixel is refused: the rest of the picture would be
      invented, and so would the answer. What Pillow repairs without inventing is accepted.
    * Of an animation, the first frame counts. Transparent pixels are seen over white.
    * Colours are those of sRGB: a photo's profile is followed, see ``photo_colours.py``.
    * Grey deeper than 8 bits is scaled to 0..255, see ``photo_colours.grey_range``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from PIL import Image

from resnet_demo.i18n import Sentence, later
from resnet_demo.inputs import photo_colours
from resnet_demo.inputs.deep_colour import packing_of, with_fewer_bits
from resnet_demo.inputs.errors import NO_MEMORY, PhotoError, one_sentence
from resnet_demo.inputs.files import MAX_BYTES, FileSource, Unfit, read_whole
from resnet_demo.inputs.photo_colours import as_rgb, grey_range, profile_of, strips
from resnet_demo.inputs.photo_formats import (
    ALLOWED,
    HEIC,
    JPEG_XL,
    can_be_scaled,
    opens_heic,
    opens_jxl,
    readable,
    what_arrived,
)
from resnet_demo.inputs.photo_limits import (
    MeteredFile,
    check_scans,
    check_size,
    check_tags,
    over_the_limit,
)

KEEP_SIDE = 720  # decode no finer than this short side: four times the notebook's input
KEEP_PIXELS = 16_000_000  # nor larger than this, however long and thin

_UPRIGHT = {  # EXIF orientation -> what undoes it
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class OpenedPhoto:
    """A photo as it is seen.

    Attributes:
        image: RGB, upright, without metadata.
        notice: what had to be assumed to show it, or None.
    """

    image: Image.Image
    notice: Sentence | None = None


UNFIT = Unfit(
    PhotoError,
    unreadable=later("The upload did not arrive as a readable file: please upload the photo again."),
    empty=later("The file is empty: please upload a photo."),
    large=later(
        "The file has more than {most} MB, the most allowed: please upload a smaller copy.",
        most=MAX_BYTES // 10**6,
    ),
)


def read_file(source: FileSource) -> bytes:
    """The bytes of an untrusted file, from wherever they are.

    Raises:
        PhotoError: it cannot be read, is empty, or holds more than MAX_BYTES.
    """
    return read_whole(source, UNFIT)


def open_photo(source: FileSource, side: int = KEEP_SIDE) -> Image.Image:
    """Decode an untrusted photo, in this process.

    Args:
        source: the file's bytes, its path, or the file opened for reading bytes.
        side: pixels that the short side of a large JPEG has to keep; at most KEEP_SIDE.

    Returns:
        Mode RGB in sRGB, upright, without metadata. A JPEG whose short side has twice ``side`` or more
        was decoded at a half, a quarter or an eighth. Any other picture whose short side has
        twice KEEP_SIDE or more comes back reduced by a whole factor to no less than KEEP_SIDE;
        a longer and thinner one by what brings it below KEEP_PIXELS.

    Raises:
        PhotoError: for anything that is not a whole photo within the limits.
    """
    return open_photo_file(read_file(source), side).image


def open_photo_file(data: bytes, side: int = KEEP_SIDE) -> OpenedPhoto:
    """As ``open_photo``, with what had to be assumed."""
    try:
        with MeteredFile(data) as file:
            with one_sentence(PhotoError, _unreadable(what_arrived(data))):
                check_tags(data)
                image = Image.open(file, formats=readable(data))
            file.end_of_header()
            if image.format in ("JPEG", "MPO"):
                check_scans(data, image.width * image.height)
            with image:
                return _seen(image, side if can_be_scaled(data) else None, data)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise over_the_limit() from error
    except MemoryError as error:
        raise PhotoError(NO_MEMORY[PhotoError]) from error


def _unreadable(kind: str) -> Sentence:
    """What to say of a file that Pillow cannot open, by what its first bytes call it."""
    if kind is HEIC and not opens_heic():
        return later(
            "HEIC, the format of iPhones, cannot be opened here: please send a JPEG "
            "(Settings, Camera, Formats, Most Compatible; or share the photo by mail)."
        )
    if kind is JPEG_XL and not opens_jxl():
        return later("JPEG XL cannot be opened here: please save the photo as JPEG and upload that.")
    return later(
        "This {kind} is damaged or no photo that can be read: please upload a whole {allowed}.",
        kind=kind,
        allowed=ALLOWED,
    )


def to_rgb(image: Image.Image) -> Image.Image:
    """Make an opened picture of any mode an upright RGB one, as ``open_photo`` returns it; it keeps its
    pixels.

    Raises:
        PhotoError: if it is too large or its pixels cannot be read.
    """
    return _seen(image, None).image


def _seen(image: Image.Image, draft: int | None, data: bytes = b"") -> OpenedPhoto:
    """An opened picture as it is seen; ``draft`` pixels of a JPEG's short side are enough, if given.

    Args:
        data: its file, if what Pillow leaves out of deep colours is to be looked for there.
    """
    check_size(image)
    sentence = later(
        "The {kind} of {width} by {height} pixels is damaged or cut off: please upload a whole copy of it.",
        kind=image.format or later("photo"),
        width=image.width,
        height=image.height,
    )
    with one_sentence(PhotoError, sentence):
        if draft is not None:
            image.draft(None, (draft, draft))  # decodes at 1/2, 1/4 or 1/8
        packing = packing_of(image) if data else None
        image.load()
        turn = _UPRIGHT.get(_orientation(image))
        deep = None if packing is None else with_fewer_bits(image, packing, data, readable(data))
        photo = _reduced_rgb(image) if deep is None else replace(_reduced_rgb(deep[0]), notice=deep[1])
        return photo if turn is None else OpenedPhoto(photo.image.transpose(turn), photo.notice)


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


def _reduced_rgb(image: Image.Image) -> OpenedPhoto:
    """RGB in sRGB, averaged down by a whole factor where larger than needed, strip by strip.

    A second full-size copy of 50 megapixels would take 200 MB more; this takes a strip.
    """
    width, height = image.size
    factor = max(1, min(width, height) // KEEP_SIDE, math.ceil(math.sqrt(width * height / KEEP_PIXELS)))
    rows = factor * max(1, photo_colours.STRIP_PIXELS // (width * factor))
    grey, profile = grey_range(image, rows), profile_of(image)
    photo = Image.new("RGB", (math.ceil(width / factor), math.ceil(height / factor)))
    for top, strip in strips(image, rows):
        photo.paste(as_rgb(strip, grey, profile).reduce(factor), (0, top // factor))
    if profile is not None:
        photo = profile.corrected(photo, image.mode)
    return OpenedPhoto(photo, grey.notice)
