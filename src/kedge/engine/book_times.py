"""When what takes the whole book is judged: four times a day, at 03:00, 09:00, 15:00 and 21:00 UTC, past the closes of days."""

from __future__ import annotations

from typing import Final

from kedge.domain.units import NS_PER_S

BOOK_EVERY_NS: Final = 21_600 * NS_PER_S
BOOK_AT_NS: Final = BOOK_EVERY_NS // 2
"""Past midnight, when every instrument has closed its day."""


def is_book_time(close_ts_ns: int, interval_ns: int) -> bool:
    """Whether a bar of this length that closes at `close_ts_ns` is the first one at or after a time of judging."""
    since_ns = close_ts_ns - BOOK_AT_NS
    return since_ns // BOOK_EVERY_NS > (since_ns - interval_ns) // BOOK_EVERY_NS
