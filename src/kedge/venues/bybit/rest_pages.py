"""Queries, pages and time windows of the list endpoints.

Rules: a cursor is pasted back exactly as it came; a list is whole or an error; windows tile the span without overlap, both ends
included; one cursor given twice is an endless loop and refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar
from urllib.parse import quote

from kedge.domain.errors import InvalidInput
from kedge.venues.bybit.codec import Page, RowsPage, UnreadablePayload, decode
from kedge.venues.bybit.http import TimeClass
from kedge.venues.bybit.limits import Priority
from kedge.venues.bybit.rest_calls import Caller
from kedge.venues.bybit.rest_endpoints import Endpoint

T = TypeVar("T")
DAY_MS: Final = 86_400_000
WEEK_MS: Final = 7 * DAY_MS
PAGES_MAX: Final = 2_000


def query_text(**fields: str | int | None) -> str:
    """A query string in the order given, percent-encoded once; None is left out."""
    return "&".join(f"{name}={quote(str(value), safe='')}" for name, value in fields.items() if value is not None)


def windows(start_ms: int, end_ms: int, longest_ms: int) -> Iterator[tuple[int, int]]:
    """Spans `[start, end]` of at most `longest_ms`, oldest first, that tile the whole without overlap.

    Raises
    ------
    InvalidInput
        The span ends before it begins, or begins before 1970.
    """
    if start_ms < 0 or end_ms < start_ms:
        raise InvalidInput(
            f"span is {start_ms} to {end_ms} ms", why="must run forward from 1970 or later", fix="pass start and end in order"
        )
    while start_ms <= end_ms:
        last_ms = min(start_ms + longest_ms - 1, end_ms)
        yield start_ms, last_ms
        start_ms = last_ms + 1


async def all_pages(
    caller: Caller,
    endpoint: Endpoint,
    query: str,
    row: type[T],
    *,
    priority: Priority = Priority.CHECK,
    rows_key: bool = False,
    pages_max: int = PAGES_MAX,
) -> list[T]:
    """Every row over all pages, in the venue's order (newest first).

    Raises
    ------
    UnreadablePayload
        The venue repeats a cursor, or has more than `pages_max` pages: nothing is returned, since a part is not the whole.
    VenueUnavailable, AccessRefused, InvalidInput
        As `Caller.read`.
    """
    kind: Any = RowsPage[row] if rows_key else Page[row]  # type: ignore[valid-type]
    found: list[T] = []
    cursor, seen = "", set[str]()
    for _ in range(pages_max):
        text = f"{query}&cursor={cursor}" if cursor else query
        envelope = await caller.read(endpoint, text, priority=priority, time_class=TimeClass.LONG_READ)
        page = decode(envelope.result, kind, endpoint.path)
        found.extend((page.rows if rows_key else page.list) or ())
        cursor = page.cursor
        if not cursor:
            return found
        if cursor in seen:
            raise UnreadablePayload(f"{endpoint.path} gives the cursor {cursor!r} twice", why="the list would never end", fix="ask again")
        seen.add(cursor)
    raise UnreadablePayload(f"{endpoint.path} has more than {pages_max} pages", why="a part is not the whole", fix="ask for a shorter span")


async def windowed(
    caller: Caller,
    endpoint: Endpoint,
    query: str,
    row: type[T],
    span_ms: tuple[int, int],
    key: Callable[[T], str],
    *,
    priority: Priority = Priority.CHECK,
    longest_ms: int = WEEK_MS,
    rows_key: bool = False,
) -> list[T]:
    """Every row of a span, oldest first, each once by its `key`: window after window, page after page."""
    found: dict[str, T] = {}
    for start_ms, end_ms in windows(*span_ms, longest_ms):
        bounds = f"startTime={start_ms}&endTime={end_ms}"
        text = f"{query}&{bounds}" if query else bounds
        rows = await all_pages(caller, endpoint, text, row, priority=priority, rows_key=rows_key)
        for item in reversed(rows):
            found.setdefault(key(item), item)
    return list(found.values())
