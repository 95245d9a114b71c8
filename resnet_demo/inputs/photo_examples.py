"""A shelf of photos to try at once, that teach something. None needs the network.

A real cat comes first: Chelsea, a photo by Stéfan van der Walt under CC0 that scikit-image's package
holds, read as a
file where that is installed. Half of it is hidden in a second one, and a third is turned; then two faces
drawn here,
which are no photos, and three of what the network of cats and dogs has never seen, which Gradio ships.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw

from resnet_demo.drawing.pictures import data_url
from resnet_demo.i18n import Sentence, later

SHIPPED = {"lion": "lion.jpg", "cheetah": "cheetah1.jpg", "tower": "tower.jpg"}
NONE = "none"  # in an address: the page opens without an example
THUMBNAIL = 96  # pixels
GREY = (124, 116, 104)  # near the mean of photos, so that what is hidden says little


@dataclass(frozen=True)
class Example:
    """One photo on the shelf.

    Attributes:
        name: in addresses and in code.
        title: how the page calls it.
        seen: whether the network of cats and dogs was trained on things of its kind.
    """

    name: str
    title: Sentence
    seen: bool = True


def cat_file() -> Path | None:
    """Chelsea in scikit-image's package, which is not imported for it; None where that is not installed."""
    found = find_spec("skimage")
    folders = (found.submodule_search_locations or ()) if found else ()
    places = [Path(folder, "data", "chelsea.png") for folder in folders]
    return next((place for place in places if place.is_file()), None)


OF_THE_CAT = (
    Example("cat", later("cat")),
    Example("half a cat", later("half a cat")),
    Example("a cat on its side", later("cat on its side")),
)
SHELF = (
    *(OF_THE_CAT if cat_file() else ()),
    Example("a drawn cat", later("a drawn cat")),
    Example("a drawn dog", later("a drawn dog")),
    Example("lion", later("lion"), seen=False),
    Example("cheetah", later("cheetah"), seen=False),
    Example("tower", later("tower"), seen=False),
)
EXAMPLES = tuple(example.name for example in SHELF)


@cache
def _cat() -> Image.Image:
    path = cat_file()
    if path is None:
        raise ValueError("The photo of a cat comes with scikit-image, which is not installed.")
    with Image.open(path) as image:
        return image.convert("RGB")


def _half_hidden(image: Image.Image) -> Image.Image:
    """``image`` with its right half behind a grey board."""
    hidden = image.copy()
    ImageDraw.Draw(hidden).rectangle((image.width // 2, 0, image.width, image.height), fill=GREY)
    return hidden


@lru_cache(maxsize=8)
def example(name: str) -> Image.Image:
    """The example called ``name``, RGB. Treat it as read-only: everyone gets the same object.

    Raises:
        ValueError: no example has that name.
    """
    if name not in EXAMPLES:
        raise ValueError(f"There is no example called {name!r}; choose one of {', '.join(EXAMPLES)}.")
    if name in SHIPPED:
        data = (files("gradio") / "media_assets" / "images" / SHIPPED[name]).read_bytes()
        image = Image.open(io.BytesIO(data))
        image.load()
        return image.convert("RGB")
    if name == "a drawn cat":
        return _face(fur=(214, 140, 74), pointed=True)
    if name == "a drawn dog":
        return _face(fur=(150, 104, 66), pointed=False)
    if name == "half a cat":
        return _half_hidden(_cat())
    return _cat() if name == "cat" else _cat().rotate(90, expand=True)


@lru_cache(maxsize=8)
def thumbnail_url(name: str) -> str:
    """A small square picture of the example, as a data URL."""
    image = example(name).copy()
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    small = image.resize((THUMBNAIL, THUMBNAIL), box=(left, top, left + side, top + side)).quantize(64)
    buffer = io.BytesIO()
    small.save(buffer, "PNG", optimize=True)
    return data_url(buffer.getvalue())


def _face(fur: tuple[int, int, int], pointed: bool) -> Image.Image:
    """A face on a meadow, drawn four times too large and scaled down for smooth edges."""
    n = 4
    image = Image.new("RGB", (400 * n, 400 * n), (148, 187, 120))
    draw = ImageDraw.Draw(image)
    dark = tuple(int(c * 0.62) for c in fur)
    light = tuple(int(c + (255 - c) * 0.55) for c in fur)

    def scaled(*points: int) -> list[int]:
        return [p * n for p in points]

    if pointed:  # ears of a cat stand up, those of a dog hang
        draw.polygon(scaled(78, 190, 92, 44, 188, 122), fill=fur)
        draw.polygon(scaled(322, 190, 308, 44, 212, 122), fill=fur)
        draw.polygon(scaled(98, 150, 104, 78, 150, 120), fill=(232, 170, 160))
        draw.polygon(scaled(302, 150, 296, 78, 250, 120), fill=(232, 170, 160))
    draw.ellipse(scaled(72, 88, 328, 352), fill=fur)
    if not pointed:
        draw.ellipse(scaled(36, 92, 122, 286), fill=dark)
        draw.ellipse(scaled(278, 92, 364, 286), fill=dark)
        draw.ellipse(scaled(128, 206, 272, 342), fill=light)
    for x in (150, 250):
        draw.ellipse(scaled(x - 26, 164, x + 26, 216), fill=(244, 240, 200) if pointed else (70, 42, 24))
        pupil = (x - 8, 166, x + 8, 214) if pointed else (x - 12, 176, x + 12, 206)
        draw.ellipse(scaled(*pupil), fill=(20, 18, 16))
        draw.ellipse(scaled(x - 10, 174, x - 2, 184), fill=(255, 255, 255))
    nose = (186, 246, 214, 264) if pointed else (168, 236, 232, 278)
    draw.ellipse(scaled(*nose), fill=(206, 110, 110) if pointed else (24, 20, 18))
    draw.arc(scaled(150, 250, 202, 306), 10, 130, fill=(50, 34, 24), width=4 * n)
    draw.arc(scaled(198, 250, 250, 306), 50, 170, fill=(50, 34, 24), width=4 * n)
    if pointed:
        for dy in (0, 18, 36):
            draw.line(scaled(150, 268 + dy // 2, 52, 250 + dy), fill=(250, 246, 236), width=2 * n)
            draw.line(scaled(250, 268 + dy // 2, 348, 250 + dy), fill=(250, 246, 236), width=2 * n)
        for x in (176, 200, 224):
            draw.line(scaled(x, 98, x, 138), fill=dark, width=7 * n)
    return image.resize((400, 400), Image.Resampling.LANCZOS)
