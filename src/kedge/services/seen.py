"""Which executions, settlements and ledger entries are in the books already, by the venue's ids.

Rules: an id is remembered for as long as the venue could be asked for it again, which is everything since the watermark less the overlap.
What lies before that has been compared with the venue's books and found equal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from kedge.domain.events import CashMoved, Event, FundingSettled, OrderFilled
from kedge.domain.record import Record, Step
from kedge.domain.units import NS_PER_S

OVERLAP_NS: Final = 120 * NS_PER_S
"""How far before the watermark executions are asked for again: longer than any row takes to appear in the venue's history."""

PAGE_RECORDS: Final = 4_096
SCAN_RECORDS_MAX: Final = 200_000


class Records(Protocol):
    """What rebuilding needs of a journal's reader."""

    def records(self, *, start_seq: int = 0) -> Iterator[Record]: ...


def id_of(event: Event) -> str:
    """The venue's id of something booked; empty where it has none."""
    if isinstance(event, OrderFilled):
        return event.fill_id
    if isinstance(event, FundingSettled):
        return event.funding_id
    return event.cash_id if isinstance(event, CashMoved) else ""


class Seen:
    """Ids in the books, and the watermark up to which the venue's books have been compared.

    Parameters
    ----------
    since_ts_ns : int
        The watermark to begin with: nothing before it is ours to book.
    """

    def __init__(self, since_ts_ns: int) -> None:
        self.begin_ts_ns = since_ts_ns
        self.watermark_ns = since_ts_ns
        self._ids: set[str] = set()
        self._order: deque[tuple[int, str]] = deque()

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, event: Event) -> bool:
        """Whether this very event is booked; one without an id never is."""
        return id_of(event) in self._ids

    def add(self, event: Event) -> None:
        """Remember what has been booked."""
        name = id_of(event)
        if name:
            self.remember(event.ts_ns, name)

    def remember(self, ts_ns: int, name: str) -> None:
        """Remember an id of this time."""
        if name not in self._ids:
            self._ids.add(name)
            self._order.append((ts_ns, name))

    def ask_from_ns(self) -> int:
        """From which time on the venue is to be asked."""
        return max(self.begin_ts_ns, self.watermark_ns - OVERLAP_NS)

    def agreed(self, ts_ns: int) -> None:
        """The books were compared at this time and agreed: older ids than twice the overlap may go."""
        self.watermark_ns = max(self.watermark_ns, ts_ns)
        until = self.watermark_ns - 2 * OVERLAP_NS
        while self._order and self._order[0][0] < until:
            self._ids.discard(self._order.popleft()[1])


def rebuild(journal: Records, count: int, seen: Seen) -> tuple[Seen, frozenset[str]]:
    """Ids and watermark as a journal's last records give them, added to `seen`, and the ids of the commands taken there.

    Reads backwards from the end: to the last execution and twice the overlap before it, or through `SCAN_RECORDS_MAX` records without one.
    """
    found: list[Event] = []
    commands: set[str] = set()
    newest = None
    stop = count
    while stop > 1:
        start = max(1, stop - PAGE_RECORDS)
        page = _page(journal, start, stop)
        commands.update(name for event in page if (name := getattr(event, "command_id", "")))
        booked = [event for event in page if id_of(event)]
        found += reversed(booked)
        if newest is None and booked:
            newest = max(event.ts_ns for event in booked)
        stop = start
        over = newest is not None and page and page[0].ts_ns < newest - 2 * OVERLAP_NS
        if over or count - stop >= SCAN_RECORDS_MAX:
            if newest is None:
                newest = page[0].ts_ns
            break
    seen.watermark_ns = max(seen.watermark_ns, newest or 0)
    for event in reversed(found):
        seen.add(event)
    return seen, frozenset(commands)


def _page(journal: Records, start: int, stop: int) -> Sequence[Event]:
    page = []
    for record in journal.records(start_seq=start):
        if isinstance(record, Step):
            if record.seq >= stop:
                break
            page.append(record.event)
    return page
