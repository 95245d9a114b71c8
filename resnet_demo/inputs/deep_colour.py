"""Colour pictures of 16 bits that hold fewer, as microscopes and raw converters write them.

Pillow has no colour of 16 bits: of every value it keeps the upper byte. A picture whose values all fit
into 12 bits comes out nearly black then, so the lower bytes are decoded too, by telling Pillow the other
byte order.
"""

from __future__ import annotations

import io
import sys

import numpy as np
from PIL import Image, ImageFile

from resnet_demo.i18n import Sentence, later
from resnet_demo.inputs import photo_colours
from resnet_demo.inputs.photo_colours import FEWER_BITS, strips

HIGHEST = 15  # in the upper byte of a value of 12 bits
OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
COLOURS = 3  # bands before that of transparency


def packing_of(image: Image.Image) -> str | None:
    """How the values of an opened, not yet loaded picture lie in its file, such as "RGB;16B".

    None if they are not so deep.
    """
    tiles = image.tile if isinstance(image, ImageFile.ImageFile) else []
    found = {_first(tile.args) for tile in tiles}
    packing = found.pop() if len(found) == 1 else ""
    return packing if packing[:-1].endswith(";16") and image.mode in ("RGB", "RGBA") else None


def with_fewer_bits(
    image: Image.Image, packing: str, data: bytes, formats: list[str]
) -> tuple[Image.Image, Sentence] | None:
    """A loaded picture whose values of 16 bits all fit into 8, 10 or 12, with those as its range.

    The sentence says what was assumed. None for a picture that needs more.

    Args:
        packing: as ``packing_of`` told before it was loaded.
        data: the file, of one of Pillow's ``formats``.

    Raises:
        OSError, ValueError: the file cannot be decoded once more.
    """
    highest = [high for _, high in image.getextrema()]  # type: ignore[misc]
    if max(highest[:COLOURS]) > HIGHEST:
        return None
    rows = max(1, photo_colours.STRIP_PIXELS // image.width)
    lower = _lower_bytes(data, packing, formats)
    highest_value = max(
        int(_values(upper, low)[..., :COLOURS].max())
        for (_, upper), (_, low) in zip(strips(image, rows), strips(lower, rows), strict=True)
    )
    if highest_value == 0:  # black
        return None
    bits = next(bits for bits in (8, 10, 12) if highest_value < 2**bits)
    most = 2**bits - 1
    found = Image.new(image.mode, image.size)
    for (top, upper), (_, low) in zip(strips(image, rows), strips(lower, rows), strict=True):
        values = _values(upper, low).astype(np.float32) * (255 / most)
        seen = np.clip(values + 0.5, 0, 255).astype(np.uint8)
        if highest[-1] > HIGHEST:  # transparency has its full range
            seen[..., COLOURS:] = np.asarray(upper)[..., COLOURS:]
        found.paste(Image.fromarray(seen, image.mode), (0, top))
    found.info = dict(image.info)
    return found, later(FEWER_BITS, bits=bits, top=most)


def _first(args: object) -> str:
    return str(args[0] if isinstance(args, tuple) and args else args)


def _lower_bytes(data: bytes, packing: str, formats: list[str]) -> Image.Image:
    """The picture once more, of the lower bytes."""
    with Image.open(io.BytesIO(data), formats=formats) as image:
        assert isinstance(image, ImageFile.ImageFile)
        # grey with transparency has one byte order in Pillow: taken for four bytes, the lower are the
        # second and the fourth
        other = "RGBA" if packing.startswith("LA") else packing[:-1] + OTHER_ORDER[packing[-1]]
        image.tile = [
            tile._replace(args=(other, *tile.args[1:]) if isinstance(tile.args, tuple) else other)
            for tile in image.tile
        ]
        image.load()
        if packing.startswith("LA"):
            _, grey, _, alpha = image.split()
            return Image.merge("RGBA", (grey, grey, grey, alpha))
        return image.copy()


def _values(upper: Image.Image, lower: Image.Image) -> np.ndarray:
    """(H, W, bands) uint16."""
    return np.asarray(upper).astype(np.uint16) * np.uint16(256) + np.asarray(lower)
