"""Puts the wall up: what ``launch`` is given so that the app is guarded before its first request, and what
follows it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from starlette.middleware import Middleware
from starlette.responses import JSONResponse, Response

from resnet_demo.page.access import Access
from resnet_demo.page.fair_queue import FairQueue
from resnet_demo.page.faults import HANDLERS
from resnet_demo.page.localization import Interpreter
from resnet_demo.page.middleware import Guard
from resnet_demo.page.routes import ICON_SIZES
from resnet_demo.page.sessions import Sessions
from resnet_demo.page.shares import Rates
from resnet_demo.page.upload_folder import TIDY_S, UploadFolder
from resnet_demo.page.uploads import Uploads, forget_stale_progress

ICON = Path(__file__).parent / "icon.png"
SKILL = Path(__file__).parent / "SKILL.md"
DAY_S = 86_400


@lru_cache(maxsize=4)
def icon_png(size: int | None) -> bytes:
    """The page's icon, square, in pixels; as it is for None."""
    if size is None:
        return ICON.read_bytes()
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(ICON) as image:
        image.resize((size, size)).save(buffer, "PNG")
    return buffer.getvalue()


async def icon(scope: Any, receive: Any, send: Any) -> None:
    """``/pwa_icon`` and the sizes that the manifest names."""
    size = scope["path"].removeprefix("/pwa_icon").strip("/")
    cached = {"cache-control": f"public, max-age={DAY_S}"}
    await Response(icon_png(int(size) if size else None), media_type="image/png", headers=cached)(
        scope, receive, send
    )


async def skill(scope: Any, receive: Any, send: Any) -> None:
    """``/SKILL.md``, and as ``/llms.txt``: how programs and agents use the page."""
    await Response(SKILL.read_bytes(), media_type="text/plain; charset=utf-8")(scope, receive, send)


def manifest(title: Callable[[], str]) -> Any:
    """The app behind ``/manifest.json``: its addresses are relative, so that they hold below a path of a
    proxy."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        icons = [
            {"src": f"pwa_icon/{size}", "sizes": f"{size}x{size}", "type": "image/png", "purpose": "any"}
            for size in ICON_SIZES
        ]
        content = {"name": title(), "icons": icons, "start_url": "./", "scope": "./", "display": "standalone"}
        await JSONResponse(content, media_type="application/manifest+json")(scope, receive, send)

    return answer


def guarded(access: Access | None = None) -> dict[str, Any]:
    """``app_kwargs`` for ``launch``: the guard around all of Gradio, sessions with shares, errors in one
    sentence."""

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        # the stack is built when this runs, and no request has come yet
        blocks, rates = app.get_blocks(), Rates()
        folder = UploadFolder(app.uploaded_file_dir)
        app.state_holder = Sessions()
        app.state_holder.set_blocks(blocks)
        told: dict[str, Any] = {}
        if isinstance(blocks._queue, FairQueue):
            blocks._queue.others = rates.others
            told["announce"] = blocks._queue.announce
        own = {
            "icon": icon,
            "skill": skill,
            "manifest": manifest(lambda: str(blocks.title or "")),
            "upload": Uploads(folder, blocks.upload_file_set, blocks.max_file_size or 0, **told),
        }
        app.middleware_stack = Guard(
            app.middleware_stack, access, rates, own, tools=bool(getattr(blocks, "mcp_server", False))
        )
        tidying = asyncio.create_task(tidy_for_ever(folder, blocks._queue))
        try:
            yield
        finally:
            tidying.cancel()
            with suppress(asyncio.CancelledError):
                await tidying

    return {
        "lifespan": lifespan,
        "middleware": [Middleware(Interpreter)],
        "exception_handlers": dict(HANDLERS),
    }


async def tidy_for_ever(folder: UploadFolder, queue: Any) -> None:
    """Look at the folder of uploads, and at what is left of events, from time to time."""
    while True:
        await asyncio.sleep(TIDY_S)
        forget_stale_progress()
        if isinstance(queue, FairQueue):
            queue.forget_idle()
        with suppress(OSError):
            await asyncio.to_thread(folder.tidy)
