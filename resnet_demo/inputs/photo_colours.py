"""From the colours of any opened picture to those of sRGB in 8 bits: depth, transparency, colour profile.

A profile (ICC.1) says what the numbers of a photo mean: Display P3 of phones, Adobe RGB of cameras, CMYK of
printers. littleCMS converts; a profile that means sRGB, as most do, is recognised by what it does to some
colours and costs nothing after the first time. A broken one is ignored.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from resnet_demo.i18n import Sentence, later

STRIP_PIXELS = 1_000_000  # large pictures are gone through by strips of this size
MAX_PROFILE = 4_000_000  # bytes; those of printers have one or two million
SAME = 2  # of 255: a profile that moves no colour further is taken for sRGB's
SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # signature of the profile's space -> Pillow's mode

FEWER_BITS = later(
    "No value of this 16-bit photo is above {top}, so it was taken to hold {bits} bits: white is {top}."
)


@dataclass(frozen=True)
class GreyRange:
    """The values of a deep grey picture that become black and white, and what had to be assumed for that."""

    low: float = 0
    high: float = 65535
    notice: Sentence | None = None


def strips(image: Image.Image, rows: int) -> Iterator[tuple[int, Image.Image]]:
    """(top, pixels) of each strip of so many rows, the last one maybe shorter."""
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def grey_range(image: Image.Image, rows: int) -> GreyRange:
    """Which values of a deep grey picture become black and white; gone through by strips of so many rows.

    For 16 bits: 0 and 65535; where every value fits into 12, 10 or 8 bits, as microscopes and X-ray machines
    store them, the largest of those. For 32-bit integers and floats, the narrowest of 0..1 (floats only),
    0..255 and 0..65535 that holds all finite values; else their own range.
    """
    if not image.mode.startswith(("I", "F")):
        return GreyRange()
    low, high = math.inf, -math.inf
    for _, strip in strips(image, rows):
        values = np.asarray(strip, dtype=np.float64)
        finite = values[np.isfinite(values)]
        low = float(np.min(finite, initial=low))
        high = float(np.max(finite, initial=high))
    if image.mode.startswith("I;16"):
        for bits in (8, 10, 12):
            top = 2**bits - 1
            if 0 < high <= top:
                return GreyRange(0, top, later(FEWER_BITS, bits=bits, top=top))
        return GreyRange()
    for top in (1, 255, 65535) if image.mode == "F" else (255, 65535):
        if low >= 0 and high <= top:
            return GreyRange(0, top)
    return GreyRange(low, high)


def as_rgb(image: Image.Image, grey: GreyRange, profile: Profile | None = None) -> Image.Image:
    """A picture, or a strip of it, as RGB at full size, seen over white; only CMYK follows ``profile``
    here."""
    if image.mode.startswith(("I", "F")):
        low, high = grey.low, grey.high
        values = np.nan_to_num(np.asarray(image, dtype=np.float64), nan=low, posinf=high, neginf=low)
        scaled = (values - low) * (255 / ((high - low) or 1))
        return Image.fromarray(np.clip(scaled + 0.5, 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "CMYK" and profile is not None and profile.mode == "CMYK":
        return profile.applied(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    if image.mode == "La":  # Pillow has no direct way from premultiplied grey
        image = image.convert("LA")
    rgba = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(rgba, mask=rgba)
    return white


@dataclass(frozen=True)
class Profile:
    """How the numbers of a photo become those of sRGB.

    Attributes:
        mode: that of the pictures it takes: RGB, L or CMYK.
        transform: littleCMS's.
    """

    mode: str
    transform: ImageCms.ImageCmsTransform

    def applied(self, image: Image.Image) -> Image.Image:
        """``image``, of this mode, in sRGB."""
        found: Image.Image = self.transform.apply(image)
        found.info.clear()  # it is sRGB's now
        return found

    def corrected(self, photo: Image.Image, source_mode: str) -> Image.Image:
        """``photo``, made RGB by ``as_rgb`` from a picture of ``source_mode``, in sRGB."""
        if self.mode == "RGB" and source_mode not in ("CMYK", "LAB"):
            return self.applied(photo)
        if self.mode == "L" and source_mode in ("1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L"):
            return self.applied(photo.getchannel(0))
        return photo  # CMYK is in sRGB already, and a profile of another space means nothing


def profile_of(image: Image.Image) -> Profile | None:
    """What the picture's profile asks for; None where it has none, a broken one, or one that means sRGB."""
    data = image.info.get("icc_profile")
    if not isinstance(data, bytes) or not 128 < len(data) <= MAX_PROFILE:
        return None
    return _profile(data)


@lru_cache(maxsize=16)
def _profile(data: bytes) -> Profile | None:
    try:
        found = ImageCms.ImageCmsProfile(io.BytesIO(data))
        mode = SPACES.get(str(found.profile.xcolor_space).ljust(4))
        if mode is None:
            return None
        srgb = ImageCms.createProfile("sRGB")
        # quick to make and slow to use: for the few colours that tell sRGB, it is made once more for a photo
        tried = Profile(
            mode, ImageCms.buildTransform(found, srgb, mode, "RGB", flags=ImageCms.Flags.NOOPTIMIZE)
        )
        if _means_srgb(tried):
            return None
        return Profile(mode, ImageCms.buildTransform(found, srgb, mode, "RGB"))
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return None


def _means_srgb(profile: Profile) -> bool:
    """Whether no colour of a grid is moved."""
    if profile.mode == "CMYK":
        return False
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    if profile.mode == "L":
        before = Image.fromarray(steps[None])
    else:
        before = Image.fromarray(np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3))
    moved = np.asarray(profile.applied(before)).astype(int) - np.asarray(before.convert("RGB"))
    return bool(np.abs(moved).max() <= SAME)
