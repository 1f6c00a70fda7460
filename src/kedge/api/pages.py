"""The built dashboard from `kedge/api/dashboard/`, and a plain page that says how to build it where it is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

FOLDER: Final = Path(__file__).parent / "dashboard"
VIEWS: Final = (
    *("/", "/chart", "/risk", "/brake", "/lineage", "/lineage/{rest:path}"),
    *("/sign-in", "/setup", "/account", "/people", "/approvals", "/approvals/{rest:path}", "/device"),
)
"""Addresses that the page itself turns into views."""
KINDS: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".md": "text/markdown",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
"""Media types by suffix; the system's own table differs from machine to machine, and browsers run no script of another type."""
FOR_EVER: Final = "public, max-age=31536000, immutable"
NOT_BUILT: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Kedge</title>
<h1>Kedge</h1>
<p>The dashboard is not built in this installation. In a checkout: <code>make web</code>, then load this page again.</p>
<p>The API answers all the same: <a href="/api/v1/overview">overview</a>, <a href="/health">health</a>,
<a href="/api/v1/openapi.json">description</a>.</p>
</html>
"""


class Dashboard:
    """Serves a folder that Vite built: `index.html` for every view, other files by name, hashed ones under `assets/` for ever."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder

    @property
    def is_built(self) -> bool:
        return (self.folder / "index.html").is_file()

    def routes(self) -> list[Route]:
        """The routes, to be added last."""
        views = [Route(path, self.view, methods=["GET"]) for path in VIEWS]
        return [*views, Route("/{name:path}", self.file, methods=["GET"])]

    async def view(self, _: Request) -> Response:
        """The page."""
        if not self.is_built:
            return Response(NOT_BUILT, media_type="text/html")
        return FileResponse(self.folder / "index.html", headers={"Cache-Control": "no-cache"})

    async def file(self, request: Request) -> Response:
        """One file of the build; anything else is not found."""
        name = str(request.path_params["name"])
        path = self._inside(name)
        if path is None:
            raise HTTPException(404)
        kind = KINDS.get(path.suffix, "application/octet-stream")
        cache = FOR_EVER if name.startswith("assets/") else "no-cache"
        return FileResponse(path, headers={"Cache-Control": cache}, media_type=kind)

    def _inside(self, name: str) -> Path | None:
        try:
            path = (self.folder / name.lstrip("/")).resolve()
            return path if path.is_relative_to(self.folder.resolve()) and path.is_file() else None
        except (OSError, ValueError):  # a name that no system could have
            return None
