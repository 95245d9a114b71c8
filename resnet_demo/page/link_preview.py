"""What a link to the page looks like where it is posted: title, a sentence and a picture of our own.

Gradio's page says of every app that it is one of Gradio's, with Gradio's picture, and says it twice
(https://ogp.me). Those lines are taken out and ours put in, in the language in which the page is sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from resnet_demo.drawing.templates import fill
from resnet_demo.i18n import spoken, tag_of

GRADIOS = re.compile(rb'\s*<meta\s+(?:property|name)="(?:og|twitter):[^>]*>')
CONFIG = b"<script>window.gradio_config"  # behind it stands what a visitor's texts may be in
PICTURE = "pwa_icon/512"


def page_address(scope: Mapping[str, Any]) -> str:
    """Where a request went, with a slash at the end; the guard has looked at its host."""
    host = dict(scope.get("headers", [])).get(b"host", b"").decode("latin-1")
    return f"{scope.get('scheme', 'http')}://{host}{scope.get('root_path', '').rstrip('/')}/"


def with_preview(page: bytes, address: str) -> bytes:
    """The page's HTML with our preview in the place of Gradio's.

    Args:
        page: UTF-8; anything without a head is returned as it is.
        address: of the page, ending in a slash: previews take only whole addresses.
    """
    head, config, rest = page.partition(CONFIG)
    if b"</style>" not in head or not config:
        return page
    lines = fill("page/link_preview.html", address=address, picture=PICTURE, locale=tag_of(spoken()))
    head = GRADIOS.sub(b"", head).replace(b"<style>", lines.encode() + b"\n<style>", 1)
    return head + config + rest
