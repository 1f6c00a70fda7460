"""Versions of what people edit: an ETag goes out, and If-Match must come back, so that nobody overwrites what they have not seen."""

from __future__ import annotations

from typing import Final

from fastapi import Request

from kedge.domain.errors import Changed, InvalidInput

_DIGITS_MAX: Final = 18


class VersionMissing(InvalidInput):
    """The request does not say what it changes. Reaction: read it, then send If-Match."""

    code = "VERSION_MISSING"


def etag(version: int) -> dict[str, str]:
    """The header that names a version."""
    return {"ETag": f'"{version}"'}


async def if_match(request: Request) -> int:
    """The version that the request changes; a route depends on it.

    Raises
    ------
    VersionMissing
        It names none.
    Changed
        It names none of ours.
    """
    given = request.headers.get("if-match", "").strip()
    if not given:
        raise VersionMissing(
            "If-Match is missing", why="somebody else may have changed it meanwhile", fix="read it, and send its ETag back"
        )
    inner = given[1:-1]
    if len(given) < 3 or given[0] != '"' or given[-1] != '"' or not (inner.isascii() and inner.isdecimal()) or len(inner) > _DIGITS_MAX:
        raise Changed(f"If-Match is {given[:40]!r}", why="that is no version of ours", fix="read it again, and send its ETag back")
    return int(inner)
