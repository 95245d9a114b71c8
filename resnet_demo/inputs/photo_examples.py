"""Photos to try at once: those that Gradio ships, and two drawn here. None needs the network.

The drawn ones are no photos and the page says so; they show what a network that knows
photos makes of a drawing.
"""

from __future__ import annotations

import io
from functools import lru_cache
from importlib.resources import files

from PIL import Image, ImageDraw

from resnet_demo.drawing.pictures import data_url
from resnet_demo.i18n import later

SHIPPED = {"lion": "lion.jpg", "cheetah": "cheetah1.jpg", "tower": "tower.jpg"}
TITLES = {  # the names in addresses and in code -> how the page calls them
    "lion": later("lion"),
    "cheetah": later("cheetah"),
    "tower": later("tower"),
    "a drawn cat": later("a drawn cat"),
    "a drawn dog": later("a drawn dog"),
}
EXAMPLES = tuple(TITLES)
THUMBNAIL = 96  # pixels


@lru_cache(maxsize=8)
def example(name: str) -> Image.Image:
    """The example called ``name``, RGB. Treat it as read-only: everyone gets the same object.

    Raises:
        ValueError: no example has that name.
    """
    if name in SHIPPED:
        data = (files("gradio") / "media_assets" / "images" / SHIPPED[name]).read_bytes()
        image = Image.open(io.BytesIO(data))
        image.load()
        return image.convert("RGB")
    if name == "a drawn cat":
        return _face(fur=(214, 140, 74), pointed=True)
    if name == "a drawn dog":
        return _face(fur=(150, 104, 66), pointed=False)
    raise ValueError(f"There is no example called {name!r}; choose one of {', '.join(EXAMPLES)}.")


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
