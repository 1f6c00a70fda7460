"""The two cookies and the token of a request, read strictly, and the cookies of an answer.

Rules: a cookie or header that decides who asks may come once; a second one is refused, because the next program might choose the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from kedge.domain.errors import InvalidInput

SESSION_COOKIE: Final = "__Host-kedge"
DEVICE_COOKIE: Final = "__Host-kedge-device"
COOKIES_MAX_BYTES: Final = 8 * 1024
VALUE_MAX: Final = 256
DEVICE_MAX_AGE_S: Final = 400 * 24 * 3600
"""As long as browsers keep any cookie."""
ATTRIBUTES: Final = "Path=/; Secure; HttpOnly; SameSite=Strict"
ONCE: Final = frozenset(
    {
        b"host",
        b"origin",
        b"cookie",
        b"authorization",
        b"content-type",
        b"content-length",
        b"sec-fetch-site",
        b"x-kedge-csrf",
        b"idempotency-key",
        b"if-match",
    }
)
"""Headers that decide something, and so may come once."""


class RepeatedHeader(InvalidInput):
    """A header or cookie that decides something came twice. Reaction: send it once."""

    code = "REPEATED_HEADER"


class CookiesTooLong(InvalidInput):
    """More cookies than any page of ours sets. Reaction: remove them."""

    code = "HEADERS_TOO_LONG"


@dataclass(frozen=True, slots=True)
class Given:
    """What a request shows about who asks; each empty where it is absent. All of it is secret."""

    session: str = field(default="", repr=False)
    device: str = field(default="", repr=False)
    bearer: str = field(default="", repr=False)


def refuse_repeated(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Refuse a request in which a deciding header comes twice.

    Raises
    ------
    RepeatedHeader
        One does.
    """
    counts = Counter(name for name, _ in headers)
    twice = next((name for name in sorted(ONCE & counts.keys()) if counts[name] > 1), None)
    if twice is not None:
        raise RepeatedHeader(
            f"the header {twice.decode()} came {counts[twice]} times", why="programs differ in which one they believe", fix="send it once"
        )


def read_given(cookie: str, authorization: str) -> Given:
    """The cookies and the token of a request, as they stand in its headers.

    Raises
    ------
    RepeatedHeader
        A cookie of ours came twice.
    CookiesTooLong
        The cookies have more than `COOKIES_MAX_BYTES`.
    """
    if len(cookie) > COOKIES_MAX_BYTES:
        raise CookiesTooLong(
            f"the cookies have {len(cookie)} bytes", why=f"at most {COOKIES_MAX_BYTES} are read", fix="remove this site's cookies"
        )
    found: dict[str, str] = {}
    for part in cookie.split(";"):
        name, _, value = part.strip(" \t").partition("=")  # no other blank: browsers take it for part of a name, and so must we
        if name not in (SESSION_COOKIE, DEVICE_COOKIE):
            continue
        if name in found:
            raise RepeatedHeader(f"the cookie {name} came twice", why="nobody can say which one counts", fix="remove this site's cookies")
        found[name] = value[:VALUE_MAX]
    scheme, _, token = authorization.partition(" ")
    bearer = token.strip()[:VALUE_MAX] if scheme.lower() == "bearer" else ""
    return Given(found.get(SESSION_COOKIE, ""), found.get(DEVICE_COOKIE, ""), bearer)


def set_session(value: str, max_age_s: int) -> tuple[bytes, bytes]:
    """The header that gives a browser its session."""
    return (b"set-cookie", f"{SESSION_COOKIE}={value}; Max-Age={max_age_s}; {ATTRIBUTES}".encode("ascii"))


def set_device(value: str) -> tuple[bytes, bytes]:
    """The header that lets a browser be known again, so that a stranger's failures do not slow its person."""
    return (b"set-cookie", f"{DEVICE_COOKIE}={value}; Max-Age={DEVICE_MAX_AGE_S}; {ATTRIBUTES}".encode("ascii"))


def end_session() -> tuple[bytes, bytes]:
    """The header that takes the session away."""
    return (b"set-cookie", f"{SESSION_COOKIE}=; Max-Age=0; {ATTRIBUTES}".encode("ascii"))
