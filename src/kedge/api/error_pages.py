"""`/errors` and `/errors/{code}`: what the `type` of a problem points to, drawn from the registry of codes. Plain pages, no script."""

from __future__ import annotations

from html import escape
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kedge.domain.problems import KINDS, Kind

PAGE: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
{body}
</html>
"""
BY_SLUG: Final = {kind.slug: kind for kind in KINDS}


def routes() -> list[Route]:
    """The routes, to be added before those of the dashboard."""
    return [Route("/errors", every, methods=["GET"]), Route("/errors/{slug}", one, methods=["GET"])]


async def every(_: Request) -> Response:
    """All codes."""
    rows = "".join(f'<li><a href="/errors/{kind.slug}">{kind.code}</a>: {escape(kind.title)}</li>' for kind in KINDS)
    return _page("Kedge: errors", f"<h1>Errors</h1><ul>{rows}</ul>")


async def one(request: Request) -> Response:
    """One code."""
    kind = BY_SLUG.get(str(request.path_params["slug"]))
    if kind is None:
        raise HTTPException(404)
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in _facts(kind))
    return _page(f"Kedge: {kind.code}", f'<h1>{kind.code}</h1><dl>{rows}</dl><p><a href="/errors">all errors</a></p>')


def _facts(kind: Kind) -> list[tuple[str, str]]:
    status = str(kind.status) if kind.status else "never sent over HTTP"
    again = "the same request may succeed later" if kind.retryable else "the same request will fail again"
    return [
        ("what", kind.title),
        ("what to do", kind.fix),
        ("HTTP status", status),
        ("asking again", again),
        ("exit code of kedge", str(kind.exit_code)),
    ]


def _page(title: str, body: str) -> Response:
    return Response(PAGE.format(title=escape(title), body=body), media_type="text/html")
