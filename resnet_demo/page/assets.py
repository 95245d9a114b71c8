"""Scripts, styles and pictures: ES modules under one address, one style sheet, and the pictures of answers.

Modules lie under their place in the package, so that ``import '../../page/shared.js'`` means the same on disk
and in the browser. The address holds a hash of them all: browsers keep them for good, and fetch them anew
when one changes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from resnet_demo.drawing.feature_sheets import FOLDER as SHEETS
from resnet_demo.drawing.feature_sheets import sheet_file
from resnet_demo.drawing.pictures import FOLDER, OLDEST_S, PictureStore
from resnet_demo.panels import load_panels

PACKAGE = Path(__file__).resolve().parents[1]
PARTS = ("page", "drawing", "inputs")  # whose scripts and styles come before those of the panels
FOREVER = "public, max-age=31536000, immutable"  # for scripts, whose address changes with them
OWN = f"private, max-age={OLDEST_S:.0f}, immutable"  # for pictures: only the visitor's browser keeps them
PICTURES = PictureStore()  # of the answers of this process


def modules() -> dict[str, str]:
    """Every script: its place -> its text."""
    found = {
        path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8")
        for part in PARTS
        for path in sorted((PACKAGE / part).glob("*.js"))
    }
    for panel in load_panels():
        if panel.beside(".js").is_file():
            found[panel.module()] = panel.beside(".js").read_text(encoding="utf-8")
    return found


def address_of(scripts: dict[str, str]) -> str:
    """Where the browser finds them: a relative address that ends in a slash."""
    return f"modules/{hashlib.sha256(repr(scripts).encode()).hexdigest()[:12]}/"


def style() -> str:
    """The style sheet: the page's first, then those of the drawings and of the panels."""
    files = [path for part in PARTS for path in sorted((PACKAGE / part).glob("*.css"))]
    files += [panel.beside(".css") for panel in load_panels() if panel.beside(".css").is_file()]
    return "".join(path.read_text(encoding="utf-8") for path in files)


def routes(scripts: dict[str, str]) -> list[Route]:
    """The routes that serve ``scripts`` and the pictures of answers, and nothing else."""

    async def script(request: Request) -> Response:
        text = scripts.get(request.path_params["place"])
        if text is None:
            return Response("There is no such script.", 404)
        return Response(text, media_type="text/javascript", headers={"cache-control": FOREVER})

    async def sheet(request: Request) -> Response:
        path = sheet_file(request.path_params["name"], request.path_params["file"])
        if path is None:
            return Response("There is no such sheet.", 404, {"cache-control": "no-store"})
        return FileResponse(path, media_type="image/webp", headers={"cache-control": FOREVER})

    async def picture(request: Request) -> Response:
        png = PICTURES.get(request.path_params["name"])
        if png is None:
            return Response("There is no such picture any more.", 404, {"cache-control": "no-store"})
        return Response(png, media_type="image/png", headers={"cache-control": OWN})

    return [
        Route(f"/{address_of(scripts)}{{place:path}}", script),
        Route(f"/{FOLDER}{{name}}", picture),
        Route(f"/{SHEETS}{{name}}/{{file}}", sheet),
    ]
