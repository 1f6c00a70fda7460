"""The public socket: confirmed bars in order, and books, tickers and trades as state for readers.

Rules: a bar is closed when its `confirm` flag says so, never because a clock passed; silence past a bar's end on the venue's clock
asks history; a book that misses an update is subscribed anew; a row that cannot be read is told in the log and missing, so a bar
becomes a hole that history fills, or a gap.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from kedge.domain.errors import InvalidConfig
from kedge.domain.events import BarClosed, FeedGap, FundingKnown
from kedge.domain.instrument import Instrument
from kedge.domain.units import NS_PER_MS, NS_PER_S
from kedge.domain.venue import Quote
from kedge.venues.bybit.bars import INTERVAL_NS, bar_from_kline
from kedge.venues.bybit.book_mending import BookMender, MendingPace
from kedge.venues.bybit.codec import (
    BookData,
    Frame,
    KlineData,
    TickerData,
    TradeData,
    UnreadablePayload,
    decode,
    decode_frame,
    decode_rows,
    ns_from_ms,
)
from kedge.venues.bybit.public_feed_bars import BarLine
from kedge.venues.bybit.public_feed_book import Quotes
from kedge.venues.bybit.public_feed_funding import settled
from kedge.venues.bybit.socket import Connection
from kedge.venues.bybit.socket_words import ARGS_CHARACTERS_MAX, ping_words, read_answer, subscribe

_LOG: Final = logging.getLogger(__name__)

BarHistory = Callable[[Instrument, int, int | None], Awaitable[Sequence[BarClosed]]]


class FeedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What to subscribe. `interval` is the venue's word; `book_depth` 0 and False leave a topic out.

    `funding` has every settlement told as `FundingKnown`; it needs the tickers, which are then subscribed whatever `tickers` says.
    `quote_lag_s` is how much older than the last trade (venue time) a book may be to be quoted from, `quote_silence_s` how long nothing
    at all may have come (wall time).
    """

    interval: str = "1"
    book_depth: int = 50
    tickers: bool = True
    trades: bool = True
    funding: bool = False
    late_bar_s: float = 5.0
    watch_every_s: float = 1.0
    quote_lag_s: float = 2.0
    quote_silence_s: float = 10.0
    mending: MendingPace = MendingPace()

    @property
    def interval_ns(self) -> int:
        """The length of a bar.

        Raises
        ------
        InvalidConfig
            The venue has no such bars.
        """
        try:
            return INTERVAL_NS[self.interval]
        except KeyError:
            raise InvalidConfig(
                f"bar interval is {self.interval!r}", why="the venue has no such bars", fix=f"use one of {', '.join(INTERVAL_NS)}"
            ) from None


class PublicFeed:
    """What the public socket speaks (see `reconnect.Dialect`), and what its readers see.

    Parameters
    ----------
    history : callable
        Closed bars of an instrument from REST.
    tell : callable
        Gets bars and gaps in order per instrument, and settlements when they are asked for.
    speed : int
        How many times faster than the wall the venue plays: its prices are then as far apart as the steps of its bars.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        settings: FeedSettings,
        history: BarHistory,
        tell: Callable[[BarClosed | FeedGap | FundingKnown], None],
        speed: int = 1,
    ) -> None:
        self._tell = tell
        self.settings = settings
        self.interval_ns = settings.interval_ns
        self.quotes = {record.venue_symbol: Quotes(record) for record in instruments}
        self.lines = {record.venue_symbol: self._line(record, history, tell) for record in instruments}
        self.data_ts_ns = 0
        self.unreadable = 0
        self._patience: dict[str, tuple[int, int]] = {}
        self._greeted = False
        self._watch: asyncio.Task[None] | None = None
        lag_ns = int(settings.quote_lag_s * NS_PER_S)
        self._quote_lag_ns = lag_ns if speed == 1 else max(lag_ns, 2 * self.interval_ns)
        self._heard_s = float("-inf")
        self._menders: dict[str, BookMender] = {}
        self._readers: dict[str, Callable[[Connection, Frame], None]] = {
            "kline": self._on_klines,
            "tickers": self._on_ticker,
            "publicTrade": self._on_trades,
            "orderbook": self._on_book,
        }

    def topics(self) -> list[str]:
        """Every topic, bars first."""
        settings, symbols = self.settings, list(self.quotes)
        topics = [f"kline.{settings.interval}.{symbol}" for symbol in symbols]
        topics += [f"tickers.{symbol}" for symbol in symbols if settings.tickers or settings.funding]
        topics += [f"orderbook.{settings.book_depth}.{symbol}" for symbol in symbols if settings.book_depth]
        topics += [f"publicTrade.{symbol}" for symbol in symbols if settings.trades]
        if (size := sum(len(topic) + 3 for topic in topics)) > ARGS_CHARACTERS_MAX:
            raise InvalidConfig(
                f"{len(topics)} topics of {size} characters",
                why=f"the venue takes {ARGS_CHARACTERS_MAX} on one connection",
                fix="trade fewer instruments, or leave out books or trades",
            )
        return topics

    # The dialect's side.

    def read(self, connection: Connection, text: bytes) -> None:
        frame = decode_frame(text)
        if not frame.topic:
            read_answer(connection, frame)
            return
        self._heard_s = asyncio.get_running_loop().time()
        reader = self._readers.get(frame.topic.partition(".")[0])
        if reader is None:
            return
        try:
            reader(connection, frame)
        except UnreadablePayload as error:
            self.unreadable += 1
            _LOG.warning("public stream: %s", error)

    async def greet(self, connection: Connection) -> None:
        for quotes in self.quotes.values():
            quotes.book.forget("its connection is new")
            quotes.ticker = None
        await subscribe(connection, self.topics())
        for symbol in self.quotes if self.settings.book_depth else ():
            self._mender(symbol).subscribed(connection)
        if self._greeted:
            self._fill_all()
        self._greeted = True
        if self._watch is None:
            self._watch = asyncio.create_task(self._look_for_silence(), name="bar watch")

    def ping_text(self, request_id: str) -> bytes:
        return ping_words(request_id)

    # The readers' side.

    def age_ns(self, venue_now_ns: int) -> int | None:
        """How old the newest data of any instrument is on the venue's clock; None before any."""
        return venue_now_ns - self.data_ts_ns if self.data_ts_ns else None

    def quote(self, symbol: str) -> Quote | None:
        """Best bid and ask now; None where the instrument is unknown, its book is not whole or left behind, or the venue is silent."""
        quotes = self.quotes.get(symbol)
        if quotes is None or asyncio.get_running_loop().time() - self._heard_s > self.settings.quote_silence_s:
            return None
        return quotes.quote(self._quote_lag_ns)

    async def settled(self) -> None:
        """Wait until every bar that was missing has been filled or named as a gap."""
        for line in self.lines.values():
            await line.settled()

    async def close(self) -> None:
        """Stop what runs beside the socket."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
        for mender in self._menders.values():
            await mender.close()
        for line in self.lines.values():
            await line.close()

    # Frames.

    def _on_klines(self, connection: Connection, frame: Frame) -> None:
        symbol = frame.topic.rpartition(".")[2]
        line = self.lines.get(symbol)
        if line is None:
            return
        quotes = self.quotes[symbol]
        for row in decode_rows(frame.data, KlineData, frame.topic):
            bar = bar_from_kline(row, quotes.instrument, self.interval_ns)
            self._saw(quotes, ns_from_ms(row.start_ms) if bar is None else bar.ts_ns)
            if bar is not None:
                line.on_bar(bar)

    def _on_ticker(self, connection: Connection, frame: Frame) -> None:
        row = decode(frame.data, TickerData, frame.topic)
        quotes = self.quotes.get(row.symbol)
        if quotes is not None:
            before = quotes.ticker
            quotes.on_ticker(row, is_snapshot=frame.type == "snapshot")
            if frame.ts_ms is not None:
                self._saw(quotes, frame.ts_ms * NS_PER_MS)
            if self.settings.funding and (fact := settled(before, quotes.ticker, quotes.instrument, frame.ts_ms)) is not None:
                self._tell(fact)

    def _on_trades(self, connection: Connection, frame: Frame) -> None:
        for row in decode_rows(frame.data, TradeData, frame.topic):
            quotes = self.quotes.get(row.symbol)
            if quotes is not None:
                quotes.on_trade(row)
                self._saw(quotes, quotes.data_ts_ns)

    def _on_book(self, connection: Connection, frame: Frame) -> None:
        symbol = frame.topic.rpartition(".")[2]
        quotes = self.quotes.get(symbol)
        if quotes is None:
            return
        ts_ns = None if frame.cts_ms is None else frame.cts_ms * NS_PER_MS
        mender, was_whole = self._mender(symbol), quotes.book.is_whole
        try:
            row = decode(frame.data, BookData, frame.topic)
            is_fit = quotes.on_book(row, ts_ns, is_snapshot=frame.type == "snapshot")
        except UnreadablePayload as error:
            quotes.book.lose(str(error))
            mender.broke(connection)
            raise
        self.data_ts_ns = max(self.data_ts_ns, quotes.data_ts_ns)
        if not is_fit:
            mender.broke(connection)
        elif quotes.book.is_whole and not was_whole:
            mender.is_whole_again()

    def _mender(self, symbol: str) -> BookMender:
        mender = self._menders.get(symbol)
        if mender is None:
            topic = f"orderbook.{self.settings.book_depth}.{symbol}"
            mender = self._menders[symbol] = BookMender(self.quotes[symbol].book, topic, self.settings.mending)
        return mender

    # Bars that did not come.

    def _line(self, record: Instrument, history: BarHistory, tell: Callable[[BarClosed | FeedGap], None]) -> BarLine:
        async def bars(from_ts_ns: int, to_ts_ns: int | None) -> Sequence[BarClosed]:
            return await history(record, from_ts_ns, to_ts_ns)

        return BarLine(record.instrument_id, self.interval_ns, bars, tell)

    def _saw(self, quotes: Quotes, ts_ns: int) -> None:
        quotes.saw(ts_ns)
        self.data_ts_ns = max(self.data_ts_ns, ts_ns)

    def _fill_all(self) -> None:
        for line in self.lines.values():
            line.fill()

    async def _look_for_silence(self) -> None:
        while True:
            await asyncio.sleep(self.settings.watch_every_s)
            for line in self.lines.values():
                if self._is_late(line) and self._is_time_to_ask(line):
                    line.fill()

    def _is_late(self, line: BarLine) -> bool:
        late_ns = int(self.settings.late_bar_s * NS_PER_S)
        return bool(line.last_ts_ns) and self.data_ts_ns >= line.last_ts_ns + self.interval_ns + late_ns

    def _is_time_to_ask(self, line: BarLine) -> bool:
        """Whether to ask again: at rounds 1, 2, 4, 8 ... of one silence, so that a halted instrument costs little."""
        last_ts_ns, rounds = self._patience.get(line.instrument, (0, 0))
        rounds = rounds + 1 if last_ts_ns == line.last_ts_ns else 1
        self._patience[line.instrument] = (line.last_ts_ns, rounds)
        return rounds & (rounds - 1) == 0
