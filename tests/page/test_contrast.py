"""The colours of the design can be read: their contrast, computed from the style sheet as WCAG 2.2 has it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from resnet_demo.page.assets import style

TEXT, MARK = 4.5, 3.0  # of text, and of lines, bars and icons (success criteria 1.4.3 and 1.4.11)
SURFACES = {"paper", "wash"}  # what things are written and drawn on
# on a surface of their own, and tested beside it below; edges of surfaces, which nothing depends on
ELSEWHERE, EDGES = {"paper", "black", "white", "map-lowest"}, {"line", "wash"}
THEMES = {"light": (":root",), "dark": (":root", ".dark")}
TEXTUAL = re.compile(r"text\b|\.name\b|\.title\b|\.big\b|\.key-")


def rules() -> Iterator[tuple[str, dict[str, str]]]:
    """Every rule of the style sheet: its selector, its declarations."""
    css = re.sub(r"/\*.*?\*/", "", style(), flags=re.DOTALL)
    for selector, body in re.findall(r"([^{}]+)\{([^{}]*)\}", css):
        pairs = (line.partition(":") for line in body.split(";") if ":" in line)
        yield " ".join(selector.split()), {name.strip(): value.strip() for name, _, value in pairs}


def colours(theme: str) -> dict[str, str]:
    """The custom properties that are colours, as they are in a theme."""
    found: dict[str, str] = {}
    for wanted in THEMES[theme]:
        for selector, declared in rules():
            if selector == wanted:
                found |= {
                    n[2:]: v for n, v in declared.items() if re.fullmatch("--[a-z-]+", n) and v[0] == "#"
                }
    return found


def luminance(colour: str) -> float:
    """The relative luminance of #rgb or #rrggbb, in 0..1."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    """WCAG's contrast of two colours, 1..21."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def used(properties: str, textual: bool | None = None) -> set[str]:
    """The custom properties that rules give to any of ``properties``; for text alone, or for marks alone."""
    return {
        name
        for selector, declared in rules()
        if textual is None or bool(TEXTUAL.search(selector)) == textual
        for key, value in declared.items()
        if re.fullmatch(properties, key)
        for name in re.findall(r"var\(--([a-z-]+)\)", value)
    }


def test_contrast_is_computed_as_it_is_defined() -> None:
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#fff") == pytest.approx(4.48, abs=0.005)
    assert {"accent", "ink", "soft"} <= used("color")


@pytest.mark.parametrize("theme", THEMES)
def test_text_can_be_read(theme: str) -> None:
    palette = colours(theme)
    names = (used("color") | used("fill", textual=True)) - ELSEWHERE
    weak = {
        (name, surface): round(contrast(palette[name], palette[surface]), 2)
        for name in names
        for surface in SURFACES
        if contrast(palette[name], palette[surface]) < TEXT
    }
    assert weak == {}


@pytest.mark.parametrize("theme", THEMES)
def test_text_on_a_ground_of_its_own_can_be_read(theme: str) -> None:
    palette = colours(theme)
    found = 0
    for selector, declared in rules():
        ground = re.search(r"var\(--([a-z-]+)\)", declared.get("background", ""))
        text = re.fullmatch(r"var\(--([a-z-]+)\)(?: !important)?", declared.get("color", ""))
        if ground and text and {ground[1], text[1]} <= palette.keys():
            found += 1
            assert contrast(palette[text[1]], palette[ground[1]]) >= TEXT, selector
    assert found > 10


@pytest.mark.parametrize("theme", THEMES)
def test_lines_bars_and_icons_can_be_seen(theme: str) -> None:
    palette = colours(theme)
    marks = used("stroke|background|border-[a-z-]*color|accent-color") | used("fill", textual=False)
    weak = {
        name: round(contrast(palette[name], palette["paper"]), 2)
        for name in (marks & palette.keys()) - ELSEWHERE - EDGES - SURFACES
        if contrast(palette[name], palette["paper"]) < MARK
    }
    assert weak == {}
