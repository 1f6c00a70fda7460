"""Market data through ccxt: records, bars, funding rates, books, times. What every exchange of the library gives without a key.

Rules: a bar is handed on when it is closed by the exchange's own time; bars and rates are in order and without repeats; a book that is
crossed, or empty on a side, is no quote; a volume finer than the lot is rounded down, a price off the grid is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from kedge.domain.errors import InvalidInput, VenueUnavailable
from kedge.domain.events import BarClosed, FundingKnown
from kedge.domain.instrument import Instrument, InstrumentId
from kedge.domain.units import NS_PER_MS, NS_PER_S
from kedge.domain.venue import Quote
from kedge.market.intervals import interval_text
from kedge.venues.ccxt.client import CcxtClient
from kedge.venues.ccxt.dialect import AccountDialect
from kedge.venues.ccxt.instruments import MarketFacts, check_market, contract_size, instrument_from, market_id_of
from kedge.venues.ccxt.numbers import decimal_of, e8_of, is_blank, ns_of, readable, steps_of, unreadable

PAGE: Final = 200
RATES_PAGE: Final = 100
_HOUR_NS: Final = 3_600 * NS_PER_S
_UNITS: Final = {"m": 60 * NS_PER_S, "h": _HOUR_NS, "d": 24 * _HOUR_NS}


class MarketReads:
    """Asks one exchange about its markets.

    Attributes
    ----------
    data_now_ns : int
        The newest data time known, 0 before any.
    """

    def __init__(self, client: CcxtClient, dialect: AccountDialect | None) -> None:
        self.client, self.settings = client, client.settings
        self.data_now_ns = 0
        self._dialect = dialect

    def timeframe(self) -> str:
        """ccxt's word for the interval of the bars.

        Raises
        ------
        InvalidInput
            The exchange has no bars of this length.
        """
        word = interval_text(self.settings.interval_ns // NS_PER_MS)
        known = self.client.exchange.timeframes or {}
        if word not in known:
            raise InvalidInput(f"bars of {word}", why=f"{self.settings.exchange} has {', '.join(known)}", fix="choose one of these")
        return word

    def market(self, name: InstrumentId) -> Mapping[str, Any]:
        """ccxt's record of a market.

        Raises
        ------
        InvalidInput
            The exchange lists it not, or it is no linear perpetual.
        """
        if self.client.exchange.markets_by_id is None:
            raise VenueUnavailable("the markets are not loaded", why="the client was not started", fix="start it")
        found = self.client.exchange.markets_by_id.get(market_id_of(self.settings.exchange, name)) or []
        linear = [market for market in found if market.get("swap") and market.get("linear")]
        if not linear:
            raise InvalidInput(
                f"{name} is not listed", why=f"{self.settings.exchange} has no linear perpetual of this name", fix="name a listed one"
            )
        check_market(linear[0], self.settings.coin)
        market: Mapping[str, Any] = linear[0]
        return market

    async def instrument(self, name: InstrumentId) -> tuple[Instrument, list[str]]:
        """The record in force, and what of it is not the exchange's word."""
        market = self.market(name)
        symbol, exchange, warnings = market["symbol"], self.client.exchange, []
        fees: Mapping[str, Any] = market
        tiers: Sequence[Mapping[str, Any]] = ()
        if self._dialect is not None and self.client.has_keys:
            fees = await self.client.read("fetch_trading_fee", symbol)
        else:
            warnings.append(f"{name}: fees are ccxt's public ones, not this account's")
        if self._dialect is not None and self._dialect.traits.margin_tiers:
            tiers = await self.client.read("fetch_market_leverage_tiers", symbol)
        else:
            warnings.append(f"{name}: margin tiers are unknown, so leverage is 1 and all of the notional is maintenance")
        ticker = await self.client.read("fetch_ticker", symbol)
        facts = MarketFacts(
            price_now=ticker["last"], maker=fees["maker"], taker=fees["taker"], tiers=tiers,
            funding_interval_ns=await self._funding_interval_ns(symbol),
            **(self._dialect.market_facts(market) if self._dialect is not None else {}),
        )  # fmt: skip
        return instrument_from(self.settings.exchange, exchange.precisionMode, market, facts), warnings

    async def _funding_interval_ns(self, symbol: str) -> int:
        rate = await self.client.read("fetch_funding_rate", symbol)
        text = rate.get("interval")
        if isinstance(text, str) and text[:-1].isdigit() and text[-1] in _UNITS:
            return int(text[:-1]) * _UNITS[text[-1]]
        rows = await self.client.read("fetch_funding_rate_history", symbol, None, 2)
        times = sorted(_round(ns_of(row["timestamp"], "funding time")) for row in rows)
        if len(times) < 2 or times[-1] <= times[-2]:
            unreadable(f"{symbol} funding interval", text, "neither the exchange nor its history says how often funding settles")
        return times[-1] - times[-2]

    async def bars(self, record: Instrument, from_ts_ns: int, to_ts_ns: int) -> list[BarClosed]:
        """Closed bars that end within `(from_ts_ns, to_ts_ns]`, oldest first."""
        await self.look(record)
        step, symbol, word = self.settings.interval_ns, self.market(record.instrument_id)["symbol"], self.timeframe()
        last_ns = min(to_ts_ns, self.data_now_ns)
        start_ns = -(-max(0, from_ts_ns - step + 1) // step) * step
        found: dict[int, BarClosed] = {}
        while start_ns + step <= last_ns:
            rows = await self.client.read("fetch_ohlcv", symbol, word, start_ns // NS_PER_MS, PAGE)
            fresh = [bar for row in rows if (bar := self._bar(row, record)).open_ts_ns >= start_ns]
            found |= {bar.ts_ns: bar for bar in fresh if from_ts_ns < bar.ts_ns <= last_ns}
            start_ns = max((bar.ts_ns for bar in fresh), default=last_ns)
        return [found[ts_ns] for ts_ns in sorted(found)]

    def _bar(self, row: Sequence[Any], record: Instrument) -> BarClosed:
        start_ns, name = ns_of(row[0], "bar time"), f"bar {record.venue_symbol} {row[0]}"
        prices = [steps_of(row[n], record.tick_e8, f"{name}: price") for n in (1, 2, 3, 4)]
        opened, high, low, close = prices
        if start_ns % self.settings.interval_ns or not 0 < low <= min(opened, close) <= max(opened, close) <= high:
            unreadable(name, list(row), "off its interval, or prices that are not within high and low")
        volume = decimal_of(row[5], f"{name}: volume")  # of the base currency, also where orders are counted in contracts
        if volume < 0:
            unreadable(f"{name}: volume", row[5], "a volume is not negative")
        lots = int(volume / Decimal(record.lot_e8).scaleb(-8))
        return BarClosed(start_ns + self.settings.interval_ns, record.instrument_id, start_ns, opened, high, low, close, lots)

    async def funding_rates(self, record: Instrument, from_ts_ns: int, to_ts_ns: int) -> list[FundingKnown]:
        """Rates that settled within `(from_ts_ns, to_ts_ns]`, oldest first."""
        symbol, since_ns = self.market(record.instrument_id)["symbol"], from_ts_ns
        found: dict[int, FundingKnown] = {}
        while since_ns < to_ts_ns:
            rows = await self.client.read("fetch_funding_rate_history", symbol, since_ns // NS_PER_MS + 1, RATES_PAGE)
            times = [_round(ns_of(row["timestamp"], "funding time")) for row in rows]
            for ts_ns, row in zip(times, rows, strict=True):
                if from_ts_ns < ts_ns <= to_ts_ns:
                    found[ts_ns] = FundingKnown(ts_ns, record.instrument_id, e8_of(row["fundingRate"], "fundingRate"))
            if len(rows) >= RATES_PAGE and min(times) - since_ns > record.funding_interval_ns + NS_PER_S:
                unreadable(f"{symbol} funding history", len(rows), "the exchange shows only the newest ones, older ones are missing")
            newest_ns = max(times, default=since_ns)
            if newest_ns <= since_ns:
                break
            since_ns = newest_ns
        return [found[ts_ns] for ts_ns in sorted(found)]

    @readable
    async def look(self, record: Instrument) -> Quote | None:
        """The top of a book, asked now; the data time goes on with it. None while it is crossed or empty on a side."""
        market = self.market(record.instrument_id)
        book = await self.client.read("fetch_order_book", market["symbol"], 5)
        ts_ns = await self.wall_time_ns() if is_blank(book.get("timestamp")) else ns_of(book["timestamp"], "book time")
        self.data_now_ns = max(self.data_now_ns, ts_ns)
        size = contract_size(market)
        bids, asks = (sorted(_level(row, record, size) for row in book[side]) for side in ("bids", "asks"))
        if not bids or not asks or bids[-1][0] >= asks[0][0]:
            return None
        (bid, bid_lots), (ask, ask_lots) = bids[-1], asks[0]
        return Quote(record.instrument_id, bid, ask, bid_lots, ask_lots, ts_ns)

    async def wall_time_ns(self) -> int:
        """The exchange's wall clock, asked now."""
        return ns_of(await self.client.read("fetch_time"), "time")

    async def start(self) -> None:
        """Load the markets and measure the clock.

        Raises
        ------
        VenueUnavailable
            The exchange did not answer.
        """
        await self.client.read("load_markets")
        if self.client.has_keys:
            await self.client.read("load_time_difference")


def _level(row: Sequence[Any], record: Instrument, size: Decimal) -> tuple[int, int]:
    return steps_of(row[0], record.tick_e8, "book price"), steps_of(row[1], record.lot_e8, "book size", scale=size)


def _round(ts_ns: int) -> int:
    """A settlement's second: exchanges stamp some a few milliseconds late."""
    return ts_ns // NS_PER_S * NS_PER_S
