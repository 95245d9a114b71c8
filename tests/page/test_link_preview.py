"""A link to the page, where it is posted, says what the page is, in its language, with our own picture."""

from __future__ import annotations

import re
from html import unescape

import httpx
import pytest

from resnet_demo.i18n import catalogue, languages, say, speaking, tag_of
from resnet_demo.page.link_preview import page_address, with_preview

META = re.compile(r'<meta\s+(?:property|name)="([\w:]+)"\s+content="([^"]*)"')


def told(html: str) -> dict[str, list[str]]:
    """Every line of the page's head that says something of it: its name -> what it says."""
    found: dict[str, list[str]] = {}
    for name, content in META.findall(html.partition("window.gradio_config")[0]):
        found.setdefault(name, []).append(unescape(content))
    return found


@pytest.mark.parametrize("language", languages())
def test_a_link_says_what_the_page_is(server: str, language: str) -> None:
    found = told(httpx.get(f"{server}/?lang={language}", timeout=60).text)
    with speaking(language):
        assert found["og:title"] == [say("ResNet, block by block")]
    assert found["og:locale"] == [tag_of(language).replace("-", "_")]
    assert found["og:description"] == found["description"]
    assert language == "en" or found["description"][0] in catalogue(language).values()
    assert all(len(said) == 1 for name, said in found.items() if ":" in name)
    assert not [name for name, said in found.items() if "radio" in " ".join(said).lower()]


def test_its_picture_is_there(server: str) -> None:
    (picture,) = told(httpx.get(server, timeout=60).text)["og:image"]
    assert picture == f"{server}/pwa_icon/512"
    answer = httpx.get(picture, timeout=60)
    assert answer.status_code == 200 and answer.content.startswith(b"\x89PNG")


def test_the_address_is_the_one_that_was_asked_for() -> None:
    scope = {"scheme": "https", "headers": [(b"host", b"demo.example")], "root_path": "/resnet"}
    assert page_address(scope) == "https://demo.example/resnet/"
    page = b"<html><head><style></style><script>window.gradio_config = {};"
    html = with_preview(page, 'https://x/"><script>/').decode()
    assert '"><script>/' not in html and "og:url" in html


def test_what_is_no_page_is_left_alone() -> None:
    for body in (b"", b'{"title": "x"}', b'<head><meta property="og:title" content="x"></head>'):
        assert with_preview(body, "http://x/") == body
