"""Photos as a modality: the picture is the photo itself, cropped and resized as the network's card says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_demo.i18n import later, say
from resnet_demo.inputs.decoding import decode_photo
from resnet_demo.inputs.errors import PhotoError
from resnet_demo.inputs.preprocessing import fit_photo
from resnet_demo.modalities import Modality, register
from resnet_demo.records import Preprocessing


def photo_picture(given: Any, preprocessing: Preprocessing) -> NDArray[np.uint8] | None:
    """A photo, opened, as an array or as a file (its path, bytes, or opened for reading), as the network
    takes it.

    Raises:
        PhotoError: a file or an array that is no photo.
    """
    if isinstance(given, np.ndarray):
        if given.ndim == 1:  # the samples of a sound
            return None
        given = picture_of(given)
    if isinstance(given, Image.Image):
        return fit_photo(given, preprocessing)
    if isinstance(given, bytes | str | Path) or hasattr(given, "read"):
        return decode_photo(given, preprocessing)
    return None


def picture_of(pixels: NDArray[Any]) -> Image.Image:
    """The picture in an array: grey (H, W) or (H, W, 1), RGB (H, W, 3) or RGBA (H, W, 4), uint8.

    Raises:
        PhotoError: another shape or dtype.
    """
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if (
        pixels.dtype != np.uint8
        or pixels.size == 0
        or (pixels.ndim != 2 and pixels.shape[2:] not in ((3,), (4,)))
    ):
        raise PhotoError(
            later(
                "A picture as an array is (height, width, 3), uint8 of 0 to 255; this one is {shape},"
                " {dtype}.",
                shape=pixels.shape,
                dtype=pixels.dtype,
            )
        )
    return Image.fromarray(np.ascontiguousarray(pixels).view(np.ndarray))


def extent(size: int) -> str:
    """How much a square of ``size`` pixels a side is, for people."""
    return say("one place of the output sees {size} pixels", size=f"{size}×{size}")


register(
    Modality(
        name="photo",
        to_picture=photo_picture,
        extent=extent,
        code='run("photo.jpg"',
        noun=later("photo"),
        taken=later("as seen"),
        as_seen=later("The photo as the network saw it"),
        as_taken=later("the photo as the network took it"),
        of_run=later("The photo of this run"),
        title=later("One photo through {network}"),
        block=later("{block} for your photo"),
        silent=later("silent for this photo"),
        spent=later("photo to tensor {prepare} ms, network with capture {forward} ms, all {total} ms"),
        strength=later("Strength of the colours over the photo"),
        fresh=later(
            "Fresh networks of {depth} blocks with the same initial weights, this photo at 32×32 pixels,"
            " batch norm {norms}<span class='clock'>; {milliseconds} ms for both</span>."
        ),
        invitation=later("Drop a photo on the left, paste one, use the camera, or take an example."),
        refusal=later(
            "{name} sees and cannot hear a sound: give it a photo, or choose a network that listens."
        ),
        missing=later("No network here sees: put a network for photos and its card into weights/."),
    )
)
