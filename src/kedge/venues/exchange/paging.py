"""Pages and time windows of lists: from which cursor on, between which times.

A cursor is opaque to clients and arrives percent-encoded, as the venue's do, so clients that send it as it is and clients that decode it
first are both understood. It names the place of the last row sent, which never shifts while new rows come.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from kedge.domain.units import NS_PER_DAY
from kedge.venues.exchange.codes import Code
from kedge.venues.exchange.fields import Params, time_ns, wrong
from kedge.venues.exchange.routes import ApiError
from kedge.venues.exchange.routes_params import RefusedCall, text

WEEK_NS: Final = 7 * NS_PER_DAY

_LAST_OF_MS: Final = 999_999
"""Times are sent in milliseconds and kept in nanoseconds: an end includes its whole millisecond."""
_CURSOR: Final = re.compile(r"page_token(?:=|%3D)([0-9]{1,18})(?:&|%26)?", re.IGNORECASE)


class Window(NamedTuple):
    """Rows from `start_ns` to `end_ns`, both inclusive."""

    start_ns: int
    end_ns: int

    def holds(self, ts_ns: int) -> bool:
        return self.start_ns <= ts_ns <= self.end_ns


def cursor(next_before: int | None) -> str:
    """The text that asks for the following page; empty after the last."""
    return "" if next_before is None else f"page_token%3D{next_before}%26"


def before(params: Params) -> int | None:
    """The place a cursor names; None for the first page."""
    given = text(params, "cursor")
    if not given:
        return None
    found = _CURSOR.fullmatch(given)
    if found is None:
        raise wrong("cursor", "the nextPageCursor of the page before")
    return int(found[1])


def window(params: Params, now_ns: int, default_ns: int = WEEK_NS, most_ns: int = WEEK_NS) -> Window:
    """`startTime` to `endTime`: `default_ns` from or up to the one that is sent, the last `default_ns` without any."""
    start, end = time_ns(params, "startTime"), time_ns(params, "endTime")
    if start is None and end is None:
        return Window(now_ns - default_ns, now_ns)
    first = start if start is not None else max(0, (end or 0) - default_ns)
    last = end if end is not None else first + default_ns
    if last < first:
        raise wrong("endTime", "a time after startTime")
    if last - first > most_ns:
        raise RefusedCall(ApiError(Code.TIME_RANGE))
    return Window(first, last + _LAST_OF_MS)
