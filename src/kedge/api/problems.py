"""Errors as RFC 9457 problem objects: one shape for everything from 400 on, made from Kedge's own errors and the framework's.

Rules: `code` is stable and stands in `domain.problems`, which says its status; `fix` says what to do; nothing of a traceback, a path
outside the state folder, what somebody typed as a secret, or a secret of ours is told.
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
from starlette.routing import Match

from kedge.domain.errors import KedgeError, NotSignedIn, TooMany
from kedge.domain.problems import BY_CODE, kind_of
from kedge.ops.logs import correlation_id

PROBLEM_JSON: Final = "application/problem+json"
CHALLENGE: Final = 'Bearer realm="kedge"'
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


class NoPeople(KedgeError):
    """This server was started without accounts. Reaction: ask another."""

    code = "NO_PEOPLE"

    def __init__(self) -> None:
        super().__init__("this server keeps no accounts", why="it was started only to show", fix="kedge serve")


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
    kind = BY_CODE.get(code)
    return {
        "type": f"/errors/{code.lower().replace('_', '-')}",
        "title": title,
        "status": status,
        "detail": detail or fix,
        "code": code,
        "fix": fix,
        "instance": instance,
        "correlation_id": correlation_id.get() or None,
        "retryable": kind is not None and kind.retryable,
        "errors": list(errors),
    }


def kedge_problem(error: KedgeError, instance: str | None = None) -> dict[str, Any]:
    """The document of one of our own errors."""
    kind = kind_of(error)
    return problem_body(kind.status or 500, error.code, error.what, error.fix or kind.fix, detail=error.why, instance=instance)


def kedge_answer(error: KedgeError, instance: str | None = None) -> Response:
    """One of our own errors as an answer, with the headers that its status asks for."""
    body = kedge_problem(error, instance)
    headers = {}
    if isinstance(error, TooMany):
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, NotSignedIn):
        headers["WWW-Authenticate"] = CHALLENGE
    return Response(json.dumps(body, allow_nan=False), body["status"], headers, PROBLEM_JSON)


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
    return kedge_answer(error, request.url.path[:_SHOWN])


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [{"where": _place(found["loc"]), "what": str(found["msg"])} for found in error.errors()]
    first = f"{errors[0]['where']}: {errors[0]['what']}" if errors else "the request is not valid"
    return problem(
        422, "INVALID_INPUT", first, "see docs/api.md, or /api/v1/openapi.json", instance=request.url.path[:_SHOWN], errors=errors
    )


def _place(parts: Sequence[Any]) -> str:
    """Where a value stands: a JSON pointer into the body, else a parameter in words."""
    if parts and parts[0] == "body":
        return "/" + "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in parts[1:])
    return " ".join(str(part) for part in parts)


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path[:_SHOWN]
    if error.status_code == 405:
        methods = _methods(request)
        if methods:
            text = ", ".join(methods)
            return problem(405, "METHOD_NOT_ALLOWED", f"{request.method[:20]} is not for {path}", text, instance=path, allow=text)
    if error.status_code in (404, 405):
        return problem(404, "NOT_FOUND", f"no page {path!r}", "see /api/v1/openapi.json, /health and docs/api.md", instance=path)
    return problem(error.status_code, "REFUSED", str(error.detail), "see docs/api.md", instance=path)


def _methods(request: Request) -> list[str]:
    """The methods that an address takes, whichever route takes them."""
    found: set[str] = set()
    for route in [*request.app.routes, *(route for router in request.app.state.routers for route in router.routes)]:
        match, _ = route.matches({**request.scope, "type": "http"})
        if match is not Match.NONE:
            found |= getattr(route, "methods", None) or set()
    return sorted(found | {"HEAD"} if "GET" in found else found)


def defect(error: Exception, path: str) -> Response:
    """The answer to what should never happen, logged."""
    log.error("defect in the API", exc_info=error, extra={"path": path[:_SHOWN]})
    return problem(500, "INTERNAL", "a defect of ours", "the server's log names it: kedge.log in the state folder", instance=path[:_SHOWN])
