"""One instrument's public state as readers sample it: book, ticker, last trade. A pure reducer of rows, no sockets.

Rules: prices are ticks, sizes lots, marks and rates 1e-8; what was never said is None. A quote comes from a whole book alone, and from
none that trades have left behind.
"""

from __future__ import annotations

from kedge.domain.instrument import Instrument
from kedge.domain.units import NS_PER_MS
from kedge.domain.venue import Quote
from kedge.venues.bybit.book import Book
from kedge.venues.bybit.codec import BookData, TickerData, TradeData, money_e8, ns_from_ms, price_ticks
from kedge.venues.bybit.mapping import SIDES


class Quotes:
    """What the public stream has said of one instrument.

    Attributes
    ----------
    data_ts_ns, book_ts_ns, trade_ts_ns : int
        The newest venue time in its data, of its book's last row, and of its last trade; 0 before any.
    """

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.book = Book(instrument)
        self.ticker: TickerData | None = None
        self.last_ticks: int | None = None
        self.trades = 0
        self.data_ts_ns = 0
        self.book_ts_ns = 0
        self.trade_ts_ns = 0

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
        self.trade_ts_ns = max(self.trade_ts_ns, ns_from_ms(row.trade_ms))
        self.saw(self.trade_ts_ns)

    def on_book(self, row: BookData, ts_ns: int | None, *, is_snapshot: bool) -> bool:
        """Take a row of the book over; False when it broke the book (see `Book.apply`)."""
        if ts_ns is not None:
            self.book_ts_ns = max(self.book_ts_ns, ts_ns)
            self.saw(ts_ns)
        return self.book.apply(row, is_snapshot=is_snapshot)

    def quote(self, lag_max_ns: int) -> Quote | None:
        """The best of both sides with their lots; None while the book is not whole, empty on a side, or older than the last trade by more
        than `lag_max_ns`: a trade changes the book, so a book that stands still meanwhile is not the market's."""
        best = self.book.best()
        if best is None or self.trade_ts_ns - self.book_ts_ns > lag_max_ns:
            return None
        bid, ask = best
        return Quote(self.instrument.instrument_id, bid, ask, self.book.bids[bid], self.book.asks[ask], self.book_ts_ns)

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
