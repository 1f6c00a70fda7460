"""Which executions, settlements and ledger entries are in the books already, by the venue's ids.

Rules: an id is remembered for as long as the venue could be asked for it again, which is everything since the watermark less the overlap;
what lies before that has been compared with the venue's books and found equal. The newest `KEPT` ids stay in any case, since a frame can be
late by more than that. When the books were last equal is in no journal, so after a restart the last day is asked for once more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from kedge.domain.events import CashMoved, Event, FundingSettled, OrderFilled
from kedge.domain.record import Record, RunStarted, Step
from kedge.domain.units import NS_PER_S

OVERLAP_NS: Final = 120 * NS_PER_S
"""How far before the watermark executions are asked for again: longer than any row takes to appear in the venue's history."""

RESTART_NS: Final = 86_400 * NS_PER_S
"""How far back a restart asks, from the newest record on: longer than the books ever go without being compared."""

KEPT: Final = 4_096
"""Ids that are remembered however old they are: at many times the wall's speed a frame that is seconds late is hours late."""

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


def cost_of(event: Event) -> int | None:
    """What an execution cost beside its price, in 1e-8: a fill's fee, or a settlement's payment; None where it is neither."""
    if isinstance(event, OrderFilled):
        return event.fee_e8
    return event.paid_e8 if isinstance(event, FundingSettled) else None


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
        self._ids: dict[str, int | None] = {}
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
            self.remember(event.ts_ns, name, cost_of(event))

    def remember(self, ts_ns: int, name: str, cost_e8: int | None = None) -> None:
        """Remember an id of this time, and what it cost."""
        if name not in self._ids:
            self._ids[name] = cost_e8
            self._order.append((ts_ns, name))

    def knows(self, name: str) -> bool:
        """Whether what goes by this id is booked."""
        return name in self._ids

    def cost_e8(self, name: str) -> int | None:
        """The fee or payment that was booked under this id; None where nobody knows."""
        return self._ids.get(name)

    def ask_from_ns(self) -> int:
        """From which time on the venue is to be asked."""
        return max(self.begin_ts_ns, self.watermark_ns - OVERLAP_NS)

    def agreed(self, ts_ns: int) -> None:
        """The books were compared at this time and agreed: older ids than twice the overlap may go, but for the newest ones."""
        self.watermark_ns = max(self.watermark_ns, ts_ns)
        until = self.watermark_ns - 2 * OVERLAP_NS
        while len(self._order) > KEPT and self._order[0][0] < until:
            self._ids.pop(self._order.popleft()[1], None)


def seen_at_start(started: RunStarted) -> Seen:
    """What a run has in its books when it begins: its wallet holds what happened before, and what its first record names."""
    seen = Seen(started.started_ts_ns)
    for name in started.settings.get("live", {}).get("booked", ()):
        seen.remember(started.started_ts_ns, name)
    return seen


def rebuild(journal: Records, count: int, seen: Seen) -> tuple[Seen, frozenset[str]]:
    """Ids and watermark as a journal's last records give them, added to `seen`, and the ids of the commands taken there.

    Reads backwards from the end, through `RESTART_NS` and twice the overlap, and at most `SCAN_RECORDS_MAX` records; what lies before the
    last page read is not asked for either, because nobody would know it again.
    """
    found: list[Event] = []
    commands: set[str] = set()
    newest = reached = seen.watermark_ns
    stop = count
    while stop > 1 and count - stop < SCAN_RECORDS_MAX:
        start = max(1, stop - PAGE_RECORDS)
        page = _page(journal, start, stop)
        commands.update(name for event in page if (name := getattr(event, "command_id", "")))
        found += reversed([event for event in page if id_of(event)])
        reached = max((event.ts_ns for event in page), default=reached)
        newest = max(newest, reached)
        stop = start
        if reached < newest - RESTART_NS - 2 * OVERLAP_NS:
            break
    known_from = reached + OVERLAP_NS if stop > 1 else 0
    seen.watermark_ns = max(seen.watermark_ns, newest - RESTART_NS, known_from)
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
