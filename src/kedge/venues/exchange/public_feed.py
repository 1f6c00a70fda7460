"""What happens in the market, told to those who subscribed: trades, liquidations, klines, tickers, books, price limits.

Rules: frames are made once per topic and written to all its listeners; nobody listening costs nothing. Venue time stands in all of
them. A listener of the hall never raises: what cannot be written is the connection's own trouble.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from kedge.domain.instrument import InstrumentId
from kedge.domain.units import NS_PER_MS
from kedge.simulation.venue_types import (
    BookDelta,
    Change,
    ExecutionRow,
    KlineRow,
    LiquidationRow,
    OrderRow,
    PositionRow,
    TickerRow,
    TradeRow,
    WalletRow,
)
from kedge.venues.exchange.envelope import encode
from kedge.venues.exchange.frames import text_frame
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.public_book import BookStream
from kedge.venues.exchange.public_rows import kline_json, liquidation_json, price_limit_json, ticker_fields, trade_json
from kedge.venues.exchange.socket_link import Link
from kedge.venues.exchange.subscriptions import Audience, Topic
from kedge.venues.exchange.texts import Grid

KLINE_GAP_S: Final = 0.1
"""Wall time between two frames of a bar that is not closed yet, or of a ticker, in a market that runs faster than the wall."""
TRADES_MAX: Final = 1024
"""Trades that one frame may hold."""

_PRIVATE: Final = frozenset({OrderRow, ExecutionRow, PositionRow, WalletRow})


class PublicFeed:
    """The public topics of one hall.

    Parameters
    ----------
    now_s : callable
        Seconds of a clock that never goes back; it paces the books.

    Attributes
    ----------
    is_stale : bool
        While set, books stand still as those of a venue in trouble do; everything else goes on.
    """

    def __init__(self, hall: Hall, now_s: Callable[[], float]) -> None:
        self.is_stale = False
        self._hall, self._now_s = hall, now_s
        self._audience = Audience()
        self._grids = hall.grids
        self._books: dict[str, BookStream] = {}
        self._books_of: dict[InstrumentId, list[BookStream]] = {}
        self._tickers: dict[InstrumentId, dict[str, str]] = {}
        self._limits: dict[InstrumentId, str] = {}
        self._intervals: dict[InstrumentId, set[str]] = {}
        self._gap_s = KLINE_GAP_S if hall.speed > 1 else 0.0
        self._ticker_due_s: dict[InstrumentId, float] = {}
        self._held_tickers: dict[InstrumentId, TickerRow] = {}
        self._funding_told: dict[InstrumentId, tuple[int, int | None]] = {}
        self._kline_due_s: dict[tuple[InstrumentId, str], float] = {}
        self._held: dict[tuple[InstrumentId, str], KlineRow] = {}

    # --- who listens -----------------------------------------------------------------------------------------------------

    def join(self, link: Link, name: str, topic: Topic) -> None:
        """Begin to tell a link about a topic: first how things stand, then what changes."""
        first = self._first_frame(name, topic)
        self._audience.join(link, name)
        if first:
            link.write(first)

    def leave(self, link: Link, name: str, topic: Topic) -> None:
        """Stop telling a link about a topic."""
        if not self._audience.leave(link, name):
            return
        instrument = self._hall.instruments[topic.symbol].instrument_id
        if topic.kind == "orderbook":
            self._books[name].end()
            self._books_of[instrument].remove(self._books[name])
        elif topic.kind == "kline":
            self._intervals[instrument].discard(topic.detail)
            self._hall.venue.watch_klines(instrument, self._intervals[instrument])

    def beat(self, now_s: float) -> None:
        """Time passed: silent books of depth 1 are said again, and bars and tickers whose last change was held back are told."""
        self._tell([row for row in list(self._held.values()) if self._is_kline_due(row)])
        for row in list(self._held_tickers.values()):
            self._tell_ticker(row)
        if not self.is_stale:
            for streams in self._books_of.values():
                for stream in streams:
                    stream.repeat(now_s)

    def close(self) -> None:
        """Nothing is told from now on."""
        for stream in self._books.values():
            stream.end()

    # --- what happened ---------------------------------------------------------------------------------------------------

    def hear(self, changes: Sequence[Change]) -> None:
        """Tell what changed; the hall calls it."""
        if not self._audience:
            return
        lists: dict[str, list[str]] = {}
        for change in changes:
            if type(change) in _PRIVATE:
                continue
            if isinstance(change, TradeRow):
                self._collect(lists, "publicTrade", change, trade_json)
            elif isinstance(change, KlineRow):
                if self._is_kline_due(change):
                    self._collect(lists, f"kline.{change.interval}", change, kline_json)
            elif isinstance(change, BookDelta):
                if not self.is_stale:
                    for stream in self._books_of.get(change.instrument, ()):
                        stream.moved()
            elif isinstance(change, TickerRow):
                symbol = self._grids[change.instrument].symbol
                if f"tickers.{symbol}" in self._audience:
                    self._tell_ticker(change)
                if f"priceLimit.{symbol}" in self._audience:
                    self._tell_limits(change.instrument)
            elif isinstance(change, LiquidationRow):
                self._collect(lists, "allLiquidation", change, liquidation_json)
        self._write(lists)

    # --- inside ----------------------------------------------------------------------------------------------------------

    def _is_kline_due(self, row: KlineRow) -> bool:
        """Whether a bar may be told now: a closed one always, an open one not too often, since a fast market would cost a frame a price.

        The last change of an open bar that was not told is kept for the next beat.
        """
        now_s, topic = self._now_s(), (row.instrument, row.interval)
        if not row.confirm and now_s < self._kline_due_s.get(topic, 0.0):
            self._held[topic] = row
            return False
        self._held.pop(topic, None)
        if not row.confirm:
            self._kline_due_s[topic] = now_s + self._gap_s
        return True

    def _tell(self, rows: Sequence[KlineRow]) -> None:
        lists: dict[str, list[str]] = {}
        for row in rows:
            self._collect(lists, f"kline.{row.interval}", row, kline_json)
        self._write(lists)

    def _write(self, lists: dict[str, list[str]]) -> None:
        for topic, rows in lists.items():
            for start in range(0, len(rows), TRADES_MAX):
                self._audience.write(topic, self._list_frame(topic, rows[start : start + TRADES_MAX]))

    def _collect(self, lists: dict[str, list[str]], kind: str, row: Any, to_json: Callable[[Any, Grid], str]) -> None:
        """Put a row into the frame of its topic, if anybody listens."""
        grid = self._grids[row.instrument]
        topic = f"{kind}.{grid.symbol}"
        if topic in self._audience:
            lists.setdefault(topic, []).append(to_json(row, grid))

    def _first_frame(self, name: str, topic: Topic) -> bytes:
        """How things stand, for a new listener; empty for topics that tell events only."""
        venue, instrument = self._hall.venue, self._hall.instruments[topic.symbol].instrument_id
        if topic.kind == "orderbook":
            return self._book(name, topic, instrument).snapshot()
        if topic.kind == "kline":
            watched = self._intervals.setdefault(instrument, set())
            watched.add(topic.detail)
            venue.watch_klines(instrument, watched)
            rows = [row for row in venue.klines(instrument, topic.detail, limit=1) if not row.confirm]
            return self._list_frame(name, [kline_json(row, self._grids[instrument]) for row in rows]) if rows else b""
        if topic.kind == "tickers":
            row = venue.ticker(instrument)
            self._tell_ticker(row, now=True)
            return self._ticker_frame(name, "snapshot", self._tickers[instrument], row)
        if topic.kind == "priceLimit":
            self._tell_limits(instrument)
            return self._limit_frame(name, self._limits[instrument]) if self._limits.get(instrument) else b""
        return b""

    def _book(self, name: str, topic: Topic, instrument: InstrumentId) -> BookStream:
        """The stream of a book topic; it keeps its count of updates while nobody listens."""
        stream = self._books.get(name)
        if stream is None:
            grid = self._grids[instrument]
            stream = self._books[name] = BookStream(self._hall, self._audience, topic.symbol, int(topic.detail), grid, self._now_s)
        streams = self._books_of.setdefault(instrument, [])
        if stream not in streams:
            streams.append(stream)
        return stream

    def _tell_ticker(self, row: TickerRow, *, now: bool = False) -> None:
        """Send the members that are not as they were last told; where it is too soon, the newest row is kept for the next beat.

        News of funding are told whatever the pace: a settlement must be known before the bar that closes with it.
        """
        instrument, venue = row.instrument, self._hall.venue
        now_s, funding = self._now_s(), (row.next_funding_ns, row.funding_rate_e8)
        if not now and now_s < self._ticker_due_s.get(instrument, 0.0) and funding == self._funding_told.get(instrument):
            self._held_tickers[instrument] = row
            return
        self._held_tickers.pop(instrument, None)
        self._ticker_due_s[instrument], self._funding_told[instrument] = now_s + self._gap_s, funding
        grid = self._grids[instrument]
        topic = f"tickers.{grid.symbol}"
        told = self._tickers.get(instrument, {})
        fields = ticker_fields(row, grid, self._hall.by_id[instrument], venue.settings.funding_cap_e8)
        self._tickers[instrument] = fields
        changed = {name: text for name, text in fields.items() if told.get(name) != text}
        if changed and topic in self._audience:
            self._audience.write(topic, self._ticker_frame(topic, "delta", {"symbol": grid.symbol, **changed}, row))

    def _tell_limits(self, instrument: InstrumentId) -> None:
        """Send the price limits when they moved."""
        limits = self._hall.venue.price_limits(instrument)
        text = price_limit_json(limits, self._grids[instrument]) if limits is not None else ""
        if text and text != self._limits.get(instrument):
            self._limits[instrument] = text
            topic = f"priceLimit.{self._grids[instrument].symbol}"
            self._audience.write(topic, self._limit_frame(topic, text))

    def _now_ms(self) -> int:
        return self._hall.venue.now_ns // NS_PER_MS

    def _list_frame(self, topic: str, rows: Iterable[str]) -> bytes:
        return text_frame(f'{{"topic":"{topic}","type":"snapshot","ts":{self._now_ms()},"data":[{",".join(rows)}]}}'.encode())

    def _limit_frame(self, topic: str, text: str) -> bytes:
        return text_frame(f'{{"topic":"{topic}","ts":{self._now_ms()},"data":{text}}}'.encode())

    def _ticker_frame(self, topic: str, word: str, fields: dict[str, str], row: TickerRow) -> bytes:
        frame = {"topic": topic, "type": word, "data": fields, "cs": row.seq, "ts": row.ts_ns // NS_PER_MS}
        return text_frame(encode(frame))
