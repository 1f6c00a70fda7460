"""One instrument's public state as readers sample it: book, ticker, last trade. A pure reducer of rows, no sockets.

Rules: a snapshot replaces everything; a change must follow the last one by exactly one update, else the book is broken and empty
until the next snapshot; prices are ticks, sizes lots, marks and rates 1e-8; what was never said is None.
"""

from __future__ import annotations

from kedge.domain.instrument import Instrument
from kedge.domain.orders import Side
from kedge.domain.units import NS_PER_MS
from kedge.venues.bybit.codec import BookData, TickerData, TradeData, money_e8, ns_from_ms, price_ticks, qty_lots
from kedge.venues.bybit.mapping import SIDES

_SERVICE_RESTARTED = 1


class Book:
    """Levels by price; `is_whole` is False before the first snapshot and after a break."""

    def __init__(self, instrument: Instrument) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.is_whole = False
        self.update = 0
        self.breaks = 0
        self._instrument = instrument

    def apply(self, row: BookData, *, is_snapshot: bool) -> bool:
        """Take a row over; False when it does not follow the last one, and a new snapshot must be asked for."""
        if is_snapshot or row.u == _SERVICE_RESTARTED:
            self.bids, self.asks, self.is_whole = {}, {}, True
        elif not self.is_whole:
            return True  # the break is known, its snapshot is on the way
        elif row.u <= self.update:
            return True
        elif row.u != self.update + 1:
            self.breaks += 1
            self.bids, self.asks, self.is_whole = {}, {}, False
            return False
        self.update = row.u
        self._side(self.bids, row.bids)
        self._side(self.asks, row.asks)
        return True

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

    def _side(self, levels: dict[int, int], rows: tuple[tuple[str, str], ...]) -> None:
        instrument = self._instrument
        for price, size in rows:
            ticks = price_ticks(price, instrument, "book price")
            lots = qty_lots(size, instrument, "book size")
            if lots:
                levels[ticks] = lots
            else:
                levels.pop(ticks, None)


class Quotes:
    """What the public stream has said of one instrument.

    Attributes
    ----------
    data_ts_ns : int
        The newest venue time in its data, 0 before any.
    """

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.book = Book(instrument)
        self.ticker: TickerData | None = None
        self.last_ticks: int | None = None
        self.trades = 0
        self.data_ts_ns = 0

    def saw(self, ts_ns: int) -> None:
        """Data of this venue time came."""
        self.data_ts_ns = max(self.data_ts_ns, ts_ns)

    def age_ns(self, venue_now_ns: int) -> int | None:
        """How old the newest data is on the venue's clock; None before any."""
        return venue_now_ns - self.data_ts_ns if self.data_ts_ns else None

    def on_ticker(self, row: TickerData, *, is_snapshot: bool) -> None:
        """Merge a ticker; a change before the first snapshot is dropped, because it is not whole."""
        if is_snapshot:
            self.ticker = row
        elif self.ticker is not None:
            self.ticker = self.ticker.merged(row)

    def on_trade(self, row: TradeData) -> None:
        if row.side not in SIDES:
            return
        self.last_ticks = price_ticks(row.price, self.instrument, "trade price")
        self.trades += 1
        self.saw(ns_from_ms(row.trade_ms))

    @property
    def mark_e8(self) -> int | None:
        return self._money("mark_price")

    @property
    def index_e8(self) -> int | None:
        return self._money("index_price")

    @property
    def funding_rate_e8(self) -> int | None:
        """The rate that settles at `next_funding_ts_ns` if nothing changes."""
        return self._money("funding_rate")

    @property
    def next_funding_ts_ns(self) -> int | None:
        ms = self.ticker.next_funding_ms if self.ticker is not None else None
        return None if ms is None else ms * NS_PER_MS

    def best(self) -> tuple[int, int] | None:
        """Best bid and ask in ticks, from the book, else from the ticker; None where neither knows both."""
        found = self.book.best()
        ticker = self.ticker
        if found is not None or ticker is None or not ticker.bid1_price or not ticker.ask1_price:
            return found
        return price_ticks(ticker.bid1_price, self.instrument, "bid1Price"), price_ticks(ticker.ask1_price, self.instrument, "ask1Price")

    def _money(self, name: str) -> int | None:
        text = getattr(self.ticker, name, None)
        return money_e8(text, name) if text else None
