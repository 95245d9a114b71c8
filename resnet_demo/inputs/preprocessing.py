"""A decoded photo to the square of pixels that a network takes, as its card says."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_demo.inputs.files import FileSource
from resnet_demo.inputs.photo_decoding import KEEP_SIDE, open_photo, to_rgb
from resnet_demo.records import Preprocessing

RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
FINER = 1.25  # than the input is a JPEG's short side at least when it is decoded for one network
GREY = (128, 128, 128)  # around a padded photo


def needed_side(preprocessing: Preprocessing) -> int:
    """Pixels that the short side of a photo has to keep for a network.

    FINER times the input's, as the training photos had 180 for an input of 144. A JPEG is decoded no finer,
    which takes half the time: its format gives a half, a quarter or an eighth of the size for less work.
    A published recipe is followed to the pixel as far as the limits of decoding allow.
    """
    if preprocessing.crop_share < 1:
        return KEEP_SIDE
    return min(KEEP_SIDE, math.ceil(FINER * preprocessing.size))


def read_photo(source: FileSource, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """A photo's file to the network's input, in this process: ``open_photo``, then ``fit_photo``.

    Args:
        source: as for ``open_photo``.
        preprocessing: the network's card.

    Returns:
        (size, size, 3) uint8 RGB, writable.

    Raises:
        PhotoError: as ``open_photo``.
    """
    return fit_photo(open_photo(source, needed_side(preprocessing)), preprocessing)


def fit_photo(image: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Resize a picture to the network's square input.

    Bilinear with Pillow's antialiasing, which is what torchvision's transforms do, does not
    ring at edges as Lanczos does, and is the fastest. Only the pixels that end up in the
    square are resized, and ``reducing_gap`` averages whole pixels first where six or more of
    them fall into one, so no intermediate has a side over six times that of the result.

    Args:
        image: any size and aspect; other modes than RGB go through ``to_rgb``.
        preprocessing: the network's card.

    Returns:
        (size, size, 3) uint8 RGB, writable.
    """
    if image.mode != "RGB":
        image = to_rgb(image)
    size = preprocessing.size
    width, height = image.size
    how = RESAMPLING[preprocessing.interpolation]
    if preprocessing.resize == "crop" and preprocessing.crop_share < 1:
        square = _middle_of_resized(image, size, preprocessing.crop_share, how)
    elif preprocessing.resize == "pad":
        scale = size / max(width, height)
        inner = (max(1, round(width * scale)), max(1, round(height * scale)))
        photo = image.resize(inner, how, reducing_gap=3.0)
        square = Image.new("RGB", (size, size), GREY)
        square.paste(photo, ((size - inner[0]) // 2, (size - inner[1]) // 2))
    else:
        box = (0.0, 0.0, float(width), float(height))
        if preprocessing.resize == "crop":
            side = min(width, height)
            left, top = (width - side) / 2, (height - side) / 2
            box = (left, top, left + side, top + side)
        square = image.resize((size, size), how, box=box, reducing_gap=3.0)
    if len(preprocessing.mean) == 1:  # a network that takes grey pictures: the page shows what it sees
        square = square.convert("L").convert("RGB")
    return np.array(square)


def _middle_of_resized(image: Image.Image, size: int, share: float, how: Image.Resampling) -> Image.Image:
    """The middle square of a picture whose short side was resized to ``size / share``.

    In whole pixels and in the order of torchvision's ``Resize`` and ``CenterCrop``, so that the network sees
    what it was measured on, pixel for pixel.
    """
    width, height = image.size
    short = int(size / share + 1e-9)
    wide = (short, int(short * height / width)) if width <= height else (int(short * width / height), short)
    left, top = (round((side - size) / 2) for side in wide)
    return image.resize(wide, how).crop((left, top, left + size, top + size))
