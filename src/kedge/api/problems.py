"""Errors as RFC 9457 problem objects: one shape for everything from 400 on, made from Kedge's own errors and the framework's.

Rules: `code` is stable, `fix` says what to do; nothing of a traceback, a path outside the state folder or a secret is told.
"""

from __future__ import annotations

import difflib
import json
import logging
from collections.abc import Sequence
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from kedge.domain.errors import Conflict, InvalidInput, KedgeError, NotFound

PROBLEM_JSON: Final = "application/problem+json"
_SHOWN: Final = 200
log = logging.getLogger(__name__)


class NoRun(KedgeError):
    """There is nothing to show yet. Reaction: wait, or start something."""

    code = "NO_RUN"

    def __init__(self) -> None:
        super().__init__("there is no run to show", why="nothing has traded with this state folder yet", fix="kedge up")


class Unavailable(KedgeError):
    """The journal cannot be followed. Reaction: see why, wait."""

    code = "UNAVAILABLE"


_STATUS: Final[tuple[tuple[type[KedgeError], int], ...]] = (
    (InvalidInput, 422),
    (NotFound, 404),
    (Conflict, 409),
    (NoRun, 503),
    (Unavailable, 503),
)
"""The status of an error; any other of ours is a 500."""


def problem(
    status: int,
    code: str,
    title: str,
    fix: str,
    *,
    detail: str = "",
    instance: str | None = None,
    errors: Sequence[dict[str, str]] = (),
    allow: str = "",
) -> Response:
    """One problem as an answer."""
    body = problem_body(status, code, title, fix, detail=detail, instance=instance, errors=errors)
    headers = {"Allow": allow} if allow else None
    return Response(json.dumps(body, allow_nan=False), status, headers, PROBLEM_JSON)


def problem_body(
    status: int, code: str, title: str, fix: str, *, detail: str = "", instance: str | None = None, errors: Sequence[dict[str, str]] = ()
) -> dict[str, Any]:
    """The document of a problem."""
    return {
        "type": f"urn:kedge:error:{code.lower().replace('_', '-')}",
        "title": title,
        "status": status,
        "detail": detail or fix,
        "code": code,
        "fix": fix,
        "instance": instance,
        "errors": list(errors),
    }


def kedge_problem(error: KedgeError, instance: str | None = None) -> dict[str, Any]:
    """The document of one of our own errors."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    return problem_body(status, error.code, error.what, error.fix, detail=error.why, instance=instance)


def nearest(name: str, known: Sequence[str]) -> str:
    """What an unknown name may have meant."""
    near = difflib.get_close_matches(name, known, 1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known are {', '.join(sorted(known))}" if known else "there are none here"


def add_handlers(app: FastAPI) -> None:
    """Teach an application these answers."""
    app.add_exception_handler(KedgeError, _on_kedge)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)


async def _on_kedge(request: Request, error: Exception) -> Response:
    assert isinstance(error, KedgeError)
    body = kedge_problem(error, request.url.path[:_SHOWN])
    return Response(json.dumps(body), body["status"], media_type=PROBLEM_JSON)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [{"where": " ".join(str(part) for part in found["loc"]), "what": str(found["msg"])} for found in error.errors()]
    first = f"{errors[0]['where']}: {errors[0]['what']}" if errors else "the request is not valid"
    return problem(
        422, "INVALID_INPUT", first, "see docs/api.md, or /api/v1/openapi.json", instance=request.url.path[:_SHOWN], errors=errors
    )


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path[:_SHOWN]
    if error.status_code == 405:
        return problem(
            405, "METHOD_NOT_ALLOWED", f"{request.method[:20]} is not for {path}", "GET or HEAD", instance=path, allow="GET, HEAD"
        )
    if error.status_code == 404:
        return problem(404, "NOT_FOUND", f"no page {path!r}", "see /api/v1/openapi.json, /health and docs/api.md", instance=path)
    return problem(error.status_code, "REFUSED", str(error.detail), "see docs/api.md", instance=path)


def defect(error: Exception, path: str) -> Response:
    """The answer to what should never happen, logged."""
    log.error("defect in the API", exc_info=error, extra={"path": path[:_SHOWN]})
    return problem(500, "INTERNAL", "a defect of ours", "the server's log names it: kedge.log in the state folder", instance=path[:_SHOWN])
