"""What the venue does not remember by itself: mark, index and premium as klines, and open interest over time.

Built from the tickers that the hall hands out, so it begins with the server and is as fine as they are (100 ms of venue time).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from kedge.domain.instrument import Instrument, InstrumentId
from kedge.domain.units import E8
from kedge.simulation.venue_klines import Klines
from kedge.simulation.venue_types import MINUTE_NS, Change, KlineRow, TickerRow
from kedge.venues.exchange.hall import Hall

OPEN_INTEREST_NS: Final = 5 * MINUTE_NS
"""Time between two samples of open interest."""

_KLINES_KEPT: Final = 500
_SAMPLES_KEPT: Final = 4_032


class PriceKind(StrEnum):
    """The prices that have klines of their own; premiums are fractions of the index."""

    MARK = "mark"
    INDEX = "index"
    PREMIUM = "premium"


class _Past:
    """One instrument's past."""

    def __init__(self, spec: Instrument) -> None:
        self.tick_e8 = spec.tick_e8
        self.klines = {kind: Klines(spec.instrument_id, _KLINES_KEPT) for kind in PriceKind}
        self.samples: deque[tuple[int, int]] = deque(maxlen=_SAMPLES_KEPT)
        self.sampled_ns = self.open_interest_lots = 0

    def take(self, row: TickerRow) -> None:
        self.sample(row.ts_ns)
        self.open_interest_lots = row.open_interest_lots
        prices = ((PriceKind.MARK, row.mark_e8), (PriceKind.INDEX, row.index_e8), (PriceKind.PREMIUM, _premium_e8(row, self.tick_e8)))
        for kind, price_e8 in prices:
            klines = self.klines[kind]
            klines.roll(row.ts_ns)
            klines.trade(price_e8, 1, 0, row.ts_ns)

    def sample(self, now_ns: int) -> None:
        """Note the open interest of every sampling time that has passed."""
        latest_ns = now_ns - now_ns % OPEN_INTEREST_NS
        if not self.sampled_ns:
            self.sampled_ns = latest_ns
        first_ns = max(self.sampled_ns + OPEN_INTEREST_NS, latest_ns - _SAMPLES_KEPT * OPEN_INTEREST_NS)
        for ts_ns in range(first_ns, latest_ns + 1, OPEN_INTEREST_NS):
            self.samples.append((ts_ns, self.open_interest_lots))
        self.sampled_ns = max(self.sampled_ns, latest_ns)


class MarketHistory:
    """Listens to a hall from its making on."""

    def __init__(self, hall: Hall) -> None:
        self._hall = hall
        self._past: dict[InstrumentId, _Past] = {name: _Past(spec) for name, spec in hall.by_id.items()}
        hall.listen(self._take)

    def klines(
        self, kind: PriceKind, instrument: InstrumentId, interval: str, limit: int, start_ns: int | None, end_ns: int | None
    ) -> list[KlineRow]:
        """Newest first, bounds inclusive by start; prices (in the `*_ticks` members) are 1e-8, of premiums 1e-8 of one."""
        klines = self._past[instrument].klines[kind]
        klines.roll(self._hall.venue.now_ns)
        return klines.rows(interval, limit, start_ns, end_ns)

    def open_interest(self, instrument: InstrumentId) -> Sequence[tuple[int, int]]:
        """`(ts_ns, lots of both sides)` every five minutes, newest first."""
        past = self._past[instrument]
        past.sample(self._hall.venue.now_ns)
        return list(reversed(past.samples))

    def _take(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if isinstance(change, TickerRow):
                self._past[change.instrument].take(change)


def _premium_e8(row: TickerRow, tick_e8: int) -> int:
    """How far the book stands above or below the index, as a fraction of it in 1e-8."""
    above = max(0, row.bid_ticks * tick_e8 - row.index_e8) if row.bid_ticks else 0
    below = max(0, row.index_e8 - row.ask_ticks * tick_e8) if row.ask_ticks else 0
    return (above - below) * E8 // row.index_e8
