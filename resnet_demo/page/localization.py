"""Every visitor in a language of their own: the page as it is laid out in theirs, the answers of its events
too.

The page is laid out once for each language. What Gradio serves is always the first, the English one: its
components, events and API. For a visitor of another language only the texts in its configuration are
exchanged, on the server, before the page is sent, so that nothing flashes or jumps in the browser.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import gradio as gr

from resnet_demo.drawing.pictures import kept_in
from resnet_demo.i18n import ENGLISH, catalogue, choose, direction_of, speaking, spoken, tag_of
from resnet_demo.page.assets import PICTURES
from resnet_demo.page.faults import as_told
from resnet_demo.page.link_preview import page_address, with_preview

TEXTS = ("label", "value", "placeholder", "choices", "info")  # of a component, what may be said
PAGES = ("/", "/config")
MANIFEST = b'<link rel="manifest" href="/', b'<link rel="manifest" href="'
STATIC = Path(__file__).resolve().parents[1]
# one literal, or several with + between them
SAID = re.compile(r"\bsay\(\s*'((?:[^'\\]|\\.|'\s*\+\s*')*)'(?!\s*\+)")
JOINT = re.compile(r"'\s*\+\s*'")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Any, Send], Awaitable[None]]


class SpokenBlocks(gr.Blocks):
    """A page whose configuration and whose answers are in the language of whoever asks."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._learnt: dict[str, tuple[str, list[str], list[dict[str, Any]]]] = {}
        self._translated: dict[str, Any] = {}
        self._english: Any = None
        super().__init__(*args, **kwargs)

    def learn(self, language: str, page: gr.Blocks) -> None:
        """Take over the texts of ``page``: the same layout, made while speaking ``language``."""
        texts = [
            {key: component["props"][key] for key in TEXTS if key in component["props"]}
            for component in page.config["components"]
        ]
        kinds = [component["type"] for component in page.config["components"]]
        self._learnt[language] = str(page.title), kinds, texts
        self._translated.clear()

    @property
    def config(self) -> Any:  # type: ignore[override]
        """Gradio's description of the page, in the language that is being spoken."""
        language = spoken()
        if language not in self._learnt:
            return self._english
        if language not in self._translated:
            title, kinds, texts = self._learnt[language]
            components = self._english["components"]
            assert [c["type"] for c in components] == kinds, "the page is not laid out alike in all languages"
            self._translated[language] = {
                **self._english,
                "title": title,
                "head": f"<script>{script(language)}</script>{self._english.get('head') or ''}",
                "components": [
                    {**component, "props": {**component["props"], **said}}
                    for component, said in zip(components, texts, strict=True)
                ],
            }
        return self._translated[language]

    @config.setter
    def config(self, config: Any) -> None:
        self._english = config
        self._translated.clear()

    def get_api_info(self, *args: Any, **kwargs: Any) -> Any:
        """The API is described in English to everybody."""
        with speaking(ENGLISH):
            return super().get_api_info(*args, **kwargs)

    async def process_api(self, block_fn: Any, *args: Any, **kwargs: Any) -> Any:
        """An event of the page speaks the language of its visitor; the API's speak English."""
        private = getattr(block_fn, "api_visibility", "") == "private"
        language = language_of(kwargs.get("request")) if private else ENGLISH
        with speaking(language), kept_in(PICTURES if private else None):
            try:
                return await super().process_api(block_fn, *args, **kwargs)
            except Exception as error:  # noqa: BLE001 - the visitor is told, the log too
                raise as_told(error) from None


def language_of(request: Any) -> str:
    """The language of whoever sent an event: the browser sends the page's parameters with it."""
    try:
        return choose(request.query_params.get("lang"), request.headers.get("accept-language"))
    except AttributeError:  # no request, or one without headers
        return ENGLISH


def script(language: str) -> str:
    """JavaScript that gives the page's scripts the language, and the sentences that they ``say`` in it."""
    words = catalogue(language)
    said = {sentence: words[sentence] for sentence in said_by_scripts() if sentence in words}
    about = {"language": language, "tag": tag_of(language), "direction": direction_of(language)}
    text = json.dumps({**about, "words": said}, ensure_ascii=False).replace("<", "\\u003c")
    return f"window.spoken = {text};"


@cache
def said_by_scripts() -> tuple[str, ...]:
    """Every sentence that the scripts of the page may say."""
    scripts = (path.read_text(encoding="utf-8") for path in sorted(STATIC.rglob("*.js")))
    return tuple(JOINT.sub("", sentence) for text in scripts for sentence in SAID.findall(text))


class Interpreter:
    """ASGI middleware: the page is asked for in some language; that one is spoken while it is made.

    Where it is not English, or not the browser's, the page says so in its first bytes: ``<html lang dir>``
    is set, and Gradio's own words (on the upload area, in the footer) follow too, which otherwise go by the
    browser alone.
    """

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] not in PAGES:
            await self.app(scope, receive, send)
            return
        accepted = dict(scope["headers"]).get(b"accept-language", b"").decode("latin-1")
        asked = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("lang", [""])[0]
        language = choose(asked, accepted)
        as_is = language == ENGLISH == choose(None, accepted)
        with speaking(language):
            await self.app(scope, receive, marked(send, None if as_is else language, page_address(scope)))


def marked(send: Send, language: str | None, address: str) -> Send:
    """``send`` for a page of HTML, which is told its language, if one is given, before it leaves, and how a
    link to its address looks.

    Gradio's link to the manifest is made relative, as its others are, or it would lead nowhere below a
    path of a proxy. Anything but a page passes unchanged.
    """
    start: list[Message] = []
    body = bytearray()

    async def send_marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.append(message)
            return
        body.extend(message.get("body", b""))
        if message.get("more_body"):
            return
        page = bytes(body)
        page = with_preview(page.replace(*MANIFEST, 1), address)
        if language is not None and b"<head>" in page[:1000]:
            tag, way = tag_of(language).encode(), direction_of(language).encode()
            page = page.replace(b'lang="en"', b'lang="%b" dir="%b"' % (tag, way), 1)
            follow = b'<script>Object.defineProperty(navigator, "language", { value: "%b" });</script>' % tag
            page = page.replace(b"<head>", b"<head>" + follow, 1)
        headers = [pair for pair in start[0].get("headers", []) if pair[0].lower() != b"content-length"]
        headers += [(b"content-length", str(len(page)).encode()), (b"vary", b"accept-language")]
        await send({**start[0], "headers": headers})
        await send({**message, "body": page})

    return send_marked
