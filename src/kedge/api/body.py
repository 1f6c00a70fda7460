"""A request's body, read strictly: JSON and declared so, at most 64 KiB, in time, each key once, and only where one belongs."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.types import Message

from kedge.domain.errors import InvalidInput

BODY_MAX_BYTES: Final = 64 * 1024
BODY_WAIT_S: Final = 10.0
DEPTH_MAX: Final = 32


class BodyTooLong(InvalidInput):
    """More than any document of ours. Reaction: send less."""

    code = "BODY_TOO_LONG"


class BodyType(InvalidInput):
    """Not declared as JSON. Reaction: say so."""

    code = "BODY_TYPE"


class BodyBroken(InvalidInput):
    """No JSON, or doubtful. Reaction: write it out."""

    code = "BODY_BROKEN"


class BodyLate(InvalidInput):
    """It did not come. Reaction: send it."""

    code = "BODY_LATE"


async def read_body(request: Request, *, wanted: bool) -> tuple[Request, bytes]:
    """The body, and the request to read it from again.

    Parameters
    ----------
    wanted : bool
        Whether the route takes a document.

    Raises
    ------
    BodyTooLong, BodyType, BodyBroken, BodyLate
        It is none that a route takes.
    """
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > BODY_MAX_BYTES:
        raise _too_long()
    try:
        async with asyncio.timeout(BODY_WAIT_S):
            body = await _read(request)
    except TimeoutError:
        raise BodyLate("the body did not come", why=f"it has {BODY_WAIT_S:g} s", fix="send it with the request") from None
    if body:
        _check_type(request.headers.get("content-type", ""))
        check_json(body)
        if not wanted and body.strip() != b"{}":
            raise RequestValidationError([{"loc": ("body",), "msg": "this route takes no body", "type": "unknown"}])
    return Request(request.scope, _again(body)), body


async def _read(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > BODY_MAX_BYTES:
            raise _too_long()
        parts.append(part)
    return b"".join(parts)


def _too_long() -> BodyTooLong:
    return BodyTooLong("the body is too long", why=f"at most {BODY_MAX_BYTES} bytes are read", fix="send less")


def _check_type(given: str) -> None:
    kind, _, parameters = given.partition(";")
    if kind.strip().lower() != "application/json" or parameters.strip().lower().replace('"', "") not in ("", "charset=utf-8"):
        raise BodyType(f"the body is declared as {given[:60]!r}", why="only JSON in UTF-8 is read", fix="Content-Type: application/json")


def check_json(body: bytes) -> Any:
    """The document, if it is one that every program reads alike.

    Raises
    ------
    BodyBroken
        It is no JSON in UTF-8, names a key twice, is no object, nests deeper than `DEPTH_MAX`, has a number that JSON does not know, or
        half a character.
    """
    try:
        found = json.loads(body.decode("utf-8"), object_pairs_hook=_each_once, parse_constant=_no_constant)
    except (UnicodeDecodeError, RecursionError) as error:
        raise BodyBroken("the body is no JSON", why=type(error).__name__, fix="send one JSON object in UTF-8") from None
    except json.JSONDecodeError as error:
        raise BodyBroken("the body is no JSON", why=f"{error.msg} at character {error.pos}", fix="send one JSON object") from None
    except ValueError as error:  # an integer of too many digits
        raise BodyBroken("the body holds a number that nobody can read", why=type(error).__name__, fix="send one that fits") from None
    if not isinstance(found, dict):
        raise BodyBroken("the body is no JSON object", why=f"it is a {type(found).__name__}", fix="send an object, { ... }")
    _check_depth(found)
    _check_whole_characters(body, found)
    return found


def _check_depth(document: Any) -> None:
    level = [document]
    for _ in range(DEPTH_MAX):
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one) if isinstance(inner, dict | list)]
        if not level:
            return
    raise BodyBroken("the body nests too deep", why=f"at most {DEPTH_MAX} levels are read", fix="send a flatter document")


def _check_whole_characters(body: bytes, document: Any) -> None:
    """JSON can write half of a surrogate pair, which is no character: no text of ours could be written, hashed or shown with it."""
    if b"\\ud" in body.lower():
        try:
            json.dumps(document, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise BodyBroken(
                "the body holds half a character", why="a surrogate stands without its other half", fix="write it out"
            ) from None


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BodyBroken(f"the key {twice[:60]!r} comes twice", why="programs differ in which one they believe", fix="write it once")
    return found


def _no_constant(name: str) -> Any:
    raise BodyBroken(f"the body holds {name}", why="that is no number in JSON", fix="write a number, or null")


def _again(body: bytes) -> Any:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
