"""An order book as a stream of rows tells it: one snapshot, then changes that follow each other without a hole. Pure, no sockets.

Rules: a book is whole or it is broken, and a broken one is empty. It breaks by an update that is missing, by a cross sequence that goes
back, by a row that cannot be read, and by a bid at or above an ask; from then on only a snapshot makes it whole. What comes twice or
late changes nothing. An update of 1 is a snapshot: the venue's service was restarted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kedge.domain.instrument import Instrument
from kedge.domain.orders import Side
from kedge.venues.bybit.codec import BookData, UnreadablePayload, price_ticks, qty_lots

_SERVICE_RESTARTED: Final = 1

REFUSALS_MAX: Final = 2
"""Snapshots in a row that are refused for an old sequence: one and its copy. The next is believed, since a venue may count anew."""

Levels = dict[int, int]


class Book:
    """Levels by price, in ticks and lots.

    Attributes
    ----------
    is_whole : bool
        False before the first snapshot and after a break.
    update, seq : int
        Of the last row taken over; `seq` is 0 where the venue gave none.
    why : str
        What broke it last; empty while it is whole.
    breaks : int
        How often it broke.
    """

    def __init__(self, instrument: Instrument) -> None:
        self.bids: Levels = {}
        self.asks: Levels = {}
        self.is_whole = False
        self.update = self.seq = 0
        self.why = "no snapshot yet"
        self.breaks = 0
        self._instrument = instrument
        self._newest_seq = self._refusals = 0

    def apply(self, row: BookData, *, is_snapshot: bool) -> bool:
        """Take a row over; False when it broke the book, so that a new snapshot must be asked for.

        Raises
        ------
        UnreadablePayload
            A price or size is no number on the grid; the book is broken by it.
        """
        is_snapshot = is_snapshot or row.u == _SERVICE_RESTARTED
        if self.is_whole and self._is_old(row):
            return True
        if not is_snapshot:
            self._newest_seq = max(self._newest_seq, row.seq or 0)
            if not self.is_whole:
                return True  # the break is known, its snapshot is on the way
        if why := self._break_by(row, is_snapshot=is_snapshot):
            return self._broke(why)
        try:
            bids, asks = self._side(row.bids), self._side(row.asks)
        except UnreadablePayload as error:
            self._broke(str(error))
            raise
        if is_snapshot:
            self.bids, self.asks, self.is_whole, self.why = {}, {}, True, ""
            self._refusals = 0
        _change(self.bids, bids)
        _change(self.asks, asks)
        self.update, self.seq = row.u, row.seq or 0
        self._newest_seq = max(self._newest_seq, self.seq)
        if self.bids and self.asks and (bid := max(self.bids)) >= (ask := min(self.asks)):
            return self._broke(f"it is crossed: bid {bid} ticks, ask {ask} ticks")
        return True

    def forget(self, why: str) -> None:
        """Its connection is gone: what comes next may come from another machine of the venue's."""
        self.bids, self.asks, self.is_whole, self.why = {}, {}, False, why
        self._newest_seq = self._refusals = 0

    def lose(self, why: str) -> None:
        """A row of it came that cannot be read at all: it is broken, if it was not before."""
        if self.is_whole:
            self._broke(why)

    def best(self) -> tuple[int, int] | None:
        """Best bid and ask in ticks; None where a side is empty or the book is broken."""
        if not self.is_whole or not self.bids or not self.asks:
            return None
        return max(self.bids), min(self.asks)

    def levels(self, side: Side, count: int) -> list[tuple[int, int]]:
        """The best `count` levels as (ticks, lots): buyers from the highest, sellers from the lowest."""
        if side is Side.BUY:
            return sorted(self.bids.items(), reverse=True)[:count]
        return sorted(self.asks.items())[:count]

    def _is_old(self, row: BookData) -> bool:
        """Whether a row came twice or late: a book that is whole stands at it or past it."""
        if row.u == _SERVICE_RESTARTED:
            return self.update == row.u and (row.seq or 0) == self.seq
        return row.u <= self.update and (row.seq or 0) <= self.seq

    def _break_by(self, row: BookData, *, is_snapshot: bool) -> str:
        """Why a row does not fit; empty where it does."""
        if is_snapshot:
            if row.seq is None or row.seq >= self._newest_seq:
                return ""
            self._refusals += 1
            if self._refusals <= REFUSALS_MAX:
                return f"its snapshot is of sequence {row.seq}, and {self._newest_seq} was told before"
            self._newest_seq = 0
            return ""
        if row.u != self.update + 1:
            return f"update {row.u} came after {self.update}"
        return f"sequence {row.seq} came after {self.seq}" if row.seq is not None and row.seq < self.seq else ""

    def _broke(self, why: str) -> bool:
        self.bids, self.asks, self.is_whole, self.why = {}, {}, False, why
        self.breaks += 1
        return False

    def _side(self, rows: Iterable[tuple[str, str]]) -> list[tuple[int, int]]:
        instrument = self._instrument
        return [(price_ticks(price, instrument, "book price"), qty_lots(size, instrument, "book size")) for price, size in rows]


def _change(levels: Levels, changes: Iterable[tuple[int, int]]) -> None:
    for ticks, lots in changes:
        if lots:
            levels[ticks] = lots
        else:
            levels.pop(ticks, None)
