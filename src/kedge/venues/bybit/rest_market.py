"""Public market data over REST."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kedge.domain.errors import InvalidInput
from kedge.venues.bybit import rest_endpoints as ends
from kedge.venues.bybit.bars import INTERVAL_NS, interval_word
from kedge.venues.bybit.codec import (
    KLINE_COLUMNS,
    PRICE_KLINE_COLUMNS,
    BookData,
    FundingData,
    InstrumentData,
    KlineData,
    OpenInterestData,
    Page,
    PriceLimitData,
    RecentTradeData,
    RiskLimitData,
    SystemStatusData,
    TickerData,
    TradeData,
    UnreadablePayload,
    decode,
    klines_from_rows,
)
from kedge.venues.bybit.codec_account import AccountRatioData
from kedge.venues.bybit.limits import Priority
from kedge.venues.bybit.rest_calls import Caller
from kedge.venues.bybit.rest_endpoints import Endpoint
from kedge.venues.bybit.rest_pages import all_pages, query_text, windowed, windows

CATEGORY: Final = "linear"
KLINES_PER_PAGE: Final = 1_000
FUNDING_PER_PAGE: Final = 200
_NS_PER_MS: Final = 1_000_000
_OPEN_INTEREST_INTERVALS: Final = ("5min", "15min", "30min", "1h", "4h", "1d")


class RestMarket:
    """Market endpoints of linear contracts; times are milliseconds of data time, lists oldest first."""

    def __init__(self, caller: Caller, data_now_ms: Callable[[], int] | None = None) -> None:
        self.caller = caller
        self._data_now_ms = data_now_ms

    def data_now_ms(self) -> int:
        """The present in data time: what the caller was given to know it, else the venue's wall clock."""
        if self._data_now_ms is not None:
            return self._data_now_ms()
        return self.caller.clock.timestamp_ms(self.caller.mono_ns())

    async def server_wall_ns(self) -> int:
        """The venue's wall clock, asked now."""
        return await self.caller.venue_wall_ns()

    async def klines(
        self, symbol: str, interval_ns: int, start_ms: int, end_ms: int, *, priority: Priority = Priority.CHECK
    ) -> list[KlineData]:
        """Bars that START within `[start_ms, end_ms]`, `confirm` worked out from the present in data time."""
        return await self._klines(ends.KLINE, symbol, interval_ns, (start_ms, end_ms), KLINE_COLUMNS, priority)

    async def mark_klines(self, symbol: str, interval_ns: int, start_ms: int, end_ms: int) -> list[KlineData]:
        """Bars of the mark price; no volume."""
        return await self._klines(ends.MARK_KLINE, symbol, interval_ns, (start_ms, end_ms), PRICE_KLINE_COLUMNS, Priority.CHECK)

    async def index_klines(self, symbol: str, interval_ns: int, start_ms: int, end_ms: int) -> list[KlineData]:
        """Bars of the index price; no volume."""
        return await self._klines(ends.INDEX_KLINE, symbol, interval_ns, (start_ms, end_ms), PRICE_KLINE_COLUMNS, Priority.CHECK)

    async def premium_klines(self, symbol: str, interval_ns: int, start_ms: int, end_ms: int) -> list[KlineData]:
        """Bars of the premium index, a fraction that may be negative; no volume."""
        return await self._klines(ends.PREMIUM_KLINE, symbol, interval_ns, (start_ms, end_ms), PRICE_KLINE_COLUMNS, Priority.CHECK)

    async def _klines(
        self, endpoint: Endpoint, symbol: str, interval_ns: int, span_ms: tuple[int, int], columns: int, priority: Priority
    ) -> list[KlineData]:
        word = interval_word(interval_ns)
        interval_ms = INTERVAL_NS[word] // _NS_PER_MS
        found: list[KlineData] = []
        for start_ms, end_ms in windows(*span_ms, interval_ms * KLINES_PER_PAGE):
            query = query_text(category=CATEGORY, symbol=symbol, interval=word, start=start_ms, end=end_ms, limit=KLINES_PER_PAGE)
            envelope = await self.caller.read(endpoint, query, priority=priority)
            present_ms = self._present_ms(envelope.time_ms)
            rows = decode(envelope.result, Page[tuple[str, ...]], endpoint.path).list
            found += klines_from_rows(rows, interval_ms, present_ms, columns, f"{endpoint.path} {symbol}")
        return found

    def _present_ms(self, envelope_ms: int | None) -> int:
        if self._data_now_ms is None and envelope_ms is not None:
            return envelope_ms
        return self.data_now_ms()

    async def instruments_info(self, symbol: str | None = None) -> list[InstrumentData]:
        """The rules of one contract, or of all that trade, over all pages."""
        query = query_text(category=CATEGORY, symbol=symbol, limit=1_000)
        return await all_pages(self.caller, ends.INSTRUMENTS, query, InstrumentData)

    async def risk_limits(self, symbol: str) -> list[RiskLimitData]:
        """The margin tiers of a contract, in the venue's order."""
        return await all_pages(self.caller, ends.RISK_LIMIT, query_text(category=CATEGORY, symbol=symbol), RiskLimitData)

    async def orderbook(self, symbol: str, depth: int = 50) -> BookData:
        """A snapshot of the book; `depth` 1 to 1000."""
        envelope = await self.caller.read(ends.ORDERBOOK, query_text(category=CATEGORY, symbol=symbol, limit=depth))
        return decode(envelope.result, BookData, ends.ORDERBOOK.path)

    async def tickers(self, symbol: str | None = None) -> list[TickerData]:
        """The ticker of one contract or of all."""
        envelope = await self.caller.read(ends.TICKERS, query_text(category=CATEGORY, symbol=symbol))
        return list(decode(envelope.result, Page[TickerData], ends.TICKERS.path).list)

    async def price_limit(self, symbol: str) -> PriceLimitData:
        """The highest buy and lowest sell price taken now."""
        envelope = await self.caller.read(ends.PRICE_LIMIT, query_text(category=CATEGORY, symbol=symbol))
        return decode(envelope.result, PriceLimitData, ends.PRICE_LIMIT.path)

    async def recent_trades(self, symbol: str, limit: int = 1_000) -> list[TradeData]:
        """The latest public trades, oldest first."""
        envelope = await self.caller.read(ends.RECENT_TRADES, query_text(category=CATEGORY, symbol=symbol, limit=limit))
        rows = decode(envelope.result, Page[RecentTradeData], ends.RECENT_TRADES.path).list
        return [row.as_trade() for row in reversed(rows)]

    async def funding_history(self, symbol: str, start_ms: int, end_ms: int) -> list[FundingData]:
        """Settled funding rates of a span; the endpoint has no cursor, so pages are made by lowering the end."""
        found: dict[int, FundingData] = {}
        while start_ms <= end_ms:
            query = query_text(category=CATEGORY, symbol=symbol, startTime=start_ms, endTime=end_ms, limit=FUNDING_PER_PAGE)
            envelope = await self.caller.read(ends.FUNDING_HISTORY, query, priority=Priority.IDLE)
            rows = decode(envelope.result, Page[FundingData], ends.FUNDING_HISTORY.path).list
            found |= {row.funding_ms: row for row in rows}
            if len(rows) < FUNDING_PER_PAGE:
                break
            oldest_ms = min(row.funding_ms for row in rows)
            if oldest_ms > end_ms:
                raise UnreadablePayload(
                    f"{ends.FUNDING_HISTORY.path} {symbol}: a page before {end_ms} ends at {oldest_ms}",
                    why="the list would never end",
                    fix="ask again",
                )
            end_ms = oldest_ms - 1
        return [found[at_ms] for at_ms in sorted(found)]

    async def open_interest(self, symbol: str, interval: str, start_ms: int, end_ms: int) -> list[OpenInterestData]:
        """Open interest at each `interval` ("5min", "15min", "30min", "1h", "4h", "1d") of a span."""
        query = query_text(category=CATEGORY, symbol=symbol, intervalTime=_period(interval), limit=200)
        return await windowed(
            self.caller,
            ends.OPEN_INTEREST,
            query,
            OpenInterestData,
            (start_ms, end_ms),
            lambda row: str(row.timestamp_ms),
            priority=Priority.IDLE,
            longest_ms=end_ms - start_ms + 1,
        )

    async def account_ratio(self, symbol: str, period: str, limit: int = 500) -> list[AccountRatioData]:
        """Shares of accounts that are long and short, at each `period` of the open interest's, oldest first."""
        query = query_text(category=CATEGORY, symbol=symbol, period=_period(period), limit=limit)
        envelope = await self.caller.read(ends.ACCOUNT_RATIO, query, priority=Priority.IDLE)
        return list(reversed(decode(envelope.result, Page[AccountRatioData], ends.ACCOUNT_RATIO.path).list))

    async def system_status(self) -> list[SystemStatusData]:
        """Maintenances of the venue, planned and running."""
        envelope = await self.caller.read(ends.SYSTEM_STATUS, "")
        return list(decode(envelope.result, Page[SystemStatusData], ends.SYSTEM_STATUS.path).list)


def _period(interval: str) -> str:
    if interval not in _OPEN_INTEREST_INTERVALS:
        raise InvalidInput(f"interval is {interval!r}", why=f"the venue has {', '.join(_OPEN_INTEREST_INTERVALS)}", fix="choose one")
    return interval
