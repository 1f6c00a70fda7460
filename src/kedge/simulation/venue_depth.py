"""A stream of limited depth: the first frame is a snapshot, later ones say what entered, changed and left the window.

Rule: a delta deletes only levels that the last frame of this stream held, so whoever follows it never meets an unknown level.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kedge.domain.errors import InvalidInput
from kedge.simulation.venue_types import BookSnapshot, PriceLevel


class DepthFrame(NamedTuple):
    """One message of the stream; `update` grows by one per frame."""

    is_snapshot: bool
    bids: tuple[PriceLevel, ...]
    asks: tuple[PriceLevel, ...]
    update: int
    seq: int
    ts_ns: int


class DepthStream:
    """What followers of the best `levels` prices have been told so far.

    Raises
    ------
    InvalidInput
        `levels` is below 1.
    """

    def __init__(self, levels: int) -> None:
        if levels < 1:
            raise InvalidInput(f"levels is {levels}", why="a window holds at least one price", fix="ask for 1, 50, 200 or 1000")
        self.levels = levels
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self._update = 0

    def follow(self, book: BookSnapshot) -> DepthFrame | None:
        """The next frame after the book came to stand so; None when nothing in the window changed."""
        bids, asks = dict(book.bids[: self.levels]), dict(book.asks[: self.levels])
        first = not self._update
        bid_changes = _changes(self._bids, bids)
        ask_changes = _changes(self._asks, asks)
        if not (first or bid_changes or ask_changes):
            return None
        self._bids, self._asks = bids, asks
        self._update += 1
        if first:
            return self.snapshot(book)
        return DepthFrame(False, tuple(bid_changes), tuple(ask_changes), self._update, book.seq, book.ts_ns)

    def snapshot(self, book: BookSnapshot) -> DepthFrame:
        """The window as the last frame left it, for whoever joins now; `book` gives time and sequence."""
        return DepthFrame(True, tuple(self._bids.items()), tuple(self._asks.items()), self._update, book.seq, book.ts_ns)


def _changes(before: dict[int, int], after: dict[int, int]) -> Sequence[PriceLevel]:
    gone = [(price, 0) for price in before if price not in after]
    return gone + [(price, lots) for price, lots in after.items() if before.get(price) != lots]
