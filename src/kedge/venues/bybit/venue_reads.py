"""What the venue knows, asked over REST: records, orders, executions, positions, money, bars. The reading half of `BybitVenue`.

Rules: lists are whole or an error; an instrument whose record is missing is fetched before its rows are read; "up to now" ends past
the newest data time, because the exchange may play at another date than the wall's.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from kedge.domain.errors import InvalidInput, NotFound, VenueUnavailable
from kedge.domain.events import BarClosed, FundingKnown, FundingSettled, OrderFilled
from kedge.domain.instrument import Instrument, InstrumentId
from kedge.domain.ports import Metrics
from kedge.domain.units import NS_PER_DAY, NS_PER_MS, NS_PER_S
from kedge.domain.venue import DailyCloses, LedgerEntry, VenueOrder, VenuePosition, VenueWallet
from kedge.venues.bybit import mapping, mapping_account, mapping_fills
from kedge.venues.bybit.bars import bar_from_kline
from kedge.venues.bybit.codec_numbers import UnreadablePayload, optional_money_e8
from kedge.venues.bybit.credentials import Credentials
from kedge.venues.bybit.instruments import instrument_id_of, symbol_of
from kedge.venues.bybit.limits import GroupLimit, RequestLimits, Utilisation
from kedge.venues.bybit.public_feed_funding import rate_of_history
from kedge.venues.bybit.rest import BybitRest
from kedge.venues.bybit.rest_endpoints import TRADER_ADDRESS_LIMIT, TRADER_LIMITS
from kedge.venues.bybit.venue_settings import VenueSettings

_LOG: Final = logging.getLogger(__name__)

AHEAD_NS: Final = NS_PER_DAY
"""How far past the newest data time a list of history asks, so that what happens meanwhile is in it."""


class VenueReads:
    """The questions of the port `TradingVenue`."""

    def __init__(self, settings: VenueSettings, credentials: Credentials, metrics: Metrics | None = None) -> None:
        self.settings = settings
        self.records: dict[str, Instrument] = {}
        self.warnings: list[str] = []
        self.listed: set[str] = set()
        self._asked_data_ns = 0
        self.rest = BybitRest(
            settings.addresses.rest,
            credentials,
            limits=self._limits(),
            data_now_ms=lambda: self.data_now_ns() // NS_PER_MS,
            seed=settings.seed,
            metrics=metrics,
        )

    def _limits(self) -> RequestLimits:
        """This process's shares of the venue's limits."""
        return self._made_limits(TRADER_LIMITS, TRADER_ADDRESS_LIMIT)

    def _made_limits(self, shares: Mapping[str, GroupLimit], address_limit: int) -> RequestLimits:
        settings = self.settings
        return RequestLimits(
            shares,
            speed=settings.speed,
            address_limit=address_limit,
            idle_per_minute=settings.general_per_minute,
            ban_ns=int(settings.ban_s * NS_PER_S),
        )

    def utilisation(self) -> list[Utilisation]:
        """How much of our share of each request limit is used now, by name; sets the gauges. To be asked about every second."""
        caller = self.rest.caller
        return caller.admission.watch.refresh(caller.mono_ns())

    def seen_data_ns(self) -> int:
        """The newest data time that the streams have brought, 0 before any."""
        return 0

    def data_now_ns(self) -> int:
        """The newest data time known: from the streams, or asked for."""
        return max(self.seen_data_ns(), self._asked_data_ns)

    async def instruments(self, ids: Sequence[InstrumentId]) -> list[Instrument]:
        """As the port says; why one is left out is in `warnings`."""
        found: list[Instrument] = []
        for instrument_id in ids:
            symbol = symbol_of(instrument_id)
            try:
                found += await self._records_of([instrument_id])
            except (NotFound, InvalidInput) as error:
                self.listed.discard(symbol)
                line = f"{instrument_id} is not traded here: {error.what}"
                self._warn([line] if line not in self.warnings else [])
                continue
            self.listed.add(symbol)
            self._take_over(found[-1])
        return found

    async def _records_of(self, ids: Sequence[InstrumentId]) -> list[Instrument]:
        return await self.rest.instruments(ids)

    def remember(self, records: Sequence[Instrument]) -> None:
        self.records |= {record.venue_symbol: record for record in records}

    async def open_orders(self) -> list[VenueOrder]:
        rows = await self.rest.open_orders(settle_coin=self.settings.coin)
        await self._know({row.symbol for row in rows})
        return [mapping.venue_order(row, self.records) for row in rows]

    async def find_order(self, instrument: InstrumentId, client_order_id: str) -> VenueOrder | None:
        symbol = symbol_of(instrument)
        await self._know({symbol})
        row = await self.rest.find_realtime(symbol, order_link_id=client_order_id)
        if row is None:
            row = await self.rest.find_in_history(symbol, order_link_id=client_order_id)
        return None if row is None else mapping.venue_order(row, self.records)

    async def executions(self, since_ts_ns: int) -> list[OrderFilled | FundingSettled]:
        rows = await self.rest.executions(*await self._span_ms(since_ts_ns))
        await self._know({row.symbol for row in rows})
        rows.sort(key=lambda row: (row.exec_ms, row.seq or 0, -(optional_money_e8(row.leaves_qty, f"leavesQty of {row.exec_id}") or 0)))
        news = [mapping_fills.execution_news(row, self.records) for row in rows]
        return [fact for fact in news if fact is not None]

    async def positions(self) -> list[VenuePosition]:
        rows = [row for row in await self.rest.positions(settle_coin=self.settings.coin) if row.side]
        await self._know({row.symbol for row in rows})
        return [position for row in rows if (position := mapping_account.venue_position(row, self.records)).lots]

    async def wallet(self) -> VenueWallet:
        return mapping_account.venue_wallet(await self.rest.wallet(), self.settings.coin, self.data_now_ns())

    async def ledger(self, since_ts_ns: int) -> list[LedgerEntry]:
        rows = await self.rest.transaction_log(*await self._span_ms(since_ts_ns))
        return [mapping_account.ledger_entry(row) for row in rows if row.currency == self.settings.coin]

    async def bars(self, instrument: InstrumentId, from_ts_ns: int, to_ts_ns: int) -> list[BarClosed]:
        symbol = symbol_of(instrument)
        await self._know({symbol})
        if symbol not in self.listed:
            return []
        if to_ts_ns > self.seen_data_ns():
            await self._ask_data_time(symbol)
        return await self._bars(self.records[symbol], from_ts_ns, to_ts_ns)

    async def funding_rates(self, instrument: InstrumentId, from_ts_ns: int, to_ts_ns: int) -> list[FundingKnown]:
        symbol = symbol_of(instrument)
        await self._know({symbol})
        rows = await self.rest.funding_history(symbol, max(0, from_ts_ns // NS_PER_MS + 1), to_ts_ns // NS_PER_MS)
        return [rate_of_history(row, self.records[symbol]) for row in rows]

    async def daily_closes(self, instrument: InstrumentId, days: int) -> DailyCloses:
        """The newest finished UTC days, at most so many, after the last one that is missing or cannot be read on the grid in force."""
        symbol = symbol_of(instrument)
        await self._know({symbol})
        record = self.records[symbol]
        await self._ask_data_time(symbol)
        midnight_ns = self.data_now_ns() // NS_PER_DAY * NS_PER_DAY
        first_ns = max(0, midnight_ns - days * NS_PER_DAY)
        rows = await self.rest.klines(symbol, NS_PER_DAY, first_ns // NS_PER_MS, (midnight_ns - NS_PER_DAY) // NS_PER_MS)
        closes: list[int] = []
        last_ns, unread = 0, ""
        for row in rows:
            try:
                bar = bar_from_kline(row, record, NS_PER_DAY)
            except UnreadablePayload as error:  # a day on an earlier grid, or none at all: what lies before it is another history
                unread = f"past days of {instrument} are taken from after one that cannot be read: {error.what}"
                closes.clear()
                continue
            if bar is None:
                continue
            if bar.ts_ns != last_ns + NS_PER_DAY:
                closes.clear()  # a gap: what lies before it is another history
            closes.append(bar.close_ticks)
            last_ns = bar.ts_ns
        if unread and unread not in self.warnings:
            self._warn([unread])
        return DailyCloses(instrument=instrument, last_day_ts_ns=last_ns if closes else 0, closes_ticks=tuple(closes))

    async def wall_time_ns(self) -> int:
        return await self.rest.server_wall_ns()

    async def _ask_data_time(self, symbol: str) -> None:
        book = await self.rest.orderbook(symbol, depth=1)
        self._asked_data_ns = max(self._asked_data_ns, (book.ts_ms or book.cts_ms or 0) * NS_PER_MS)

    async def _ask_present(self) -> None:
        """The newest data time there is, where an instrument is traded here."""
        if not self.listed:
            await self.instruments(self.settings.instruments)
        for symbol in sorted(self.listed)[:1]:
            await self._ask_data_time(symbol)

    async def _span_ms(self, since_ts_ns: int) -> tuple[int, int]:
        if not self.data_now_ns():
            await self._ask_present()
        until_ns = max(self.data_now_ns(), since_ts_ns) + AHEAD_NS
        return since_ts_ns // NS_PER_MS, until_ns // NS_PER_MS

    async def _history(self, record: Instrument, from_ts_ns: int, to_ts_ns: int | None) -> Sequence[BarClosed]:
        """What a `BarLine` asks; without an end, up to the venue's present."""
        await self._ask_data_time(record.venue_symbol)
        return await self._bars(record, from_ts_ns, self.data_now_ns() if to_ts_ns is None else to_ts_ns)

    async def _bars(self, record: Instrument, from_ts_ns: int, to_ts_ns: int) -> list[BarClosed]:
        interval_ns = self.settings.feed.interval_ns
        start_ms, end_ms = max(0, (from_ts_ns - interval_ns) // NS_PER_MS + 1), (to_ts_ns - interval_ns) // NS_PER_MS
        if end_ms < start_ms:
            return []
        rows = await self.rest.klines(record.venue_symbol, interval_ns, start_ms, end_ms)
        bars = [bar_from_kline(row, record, interval_ns) for row in rows]
        return [bar for bar in bars if bar is not None]

    def _take_over(self, record: Instrument) -> None:
        """Hold a record; one whose grid changed is not, because numbers on two grids would be mixed."""
        held = self.records.get(record.venue_symbol)
        if held is not None and (held.tick_e8, held.lot_e8) != (record.tick_e8, record.lot_e8):
            self._warn([f"{record.instrument_id} has a new grid (tick {record.tick_size}, lot {record.lot_size}): restart to trade on it"])
            return
        self.records[record.venue_symbol] = record

    async def _know(self, symbols: set[str]) -> None:
        """Load the records that are missing."""
        await self.instruments([instrument_id_of(symbol) for symbol in sorted(symbols - self.records.keys())])
        missing = sorted(symbols - self.records.keys())
        if missing:  # rows of the account that nobody can read: what they say is unknown
            raise VenueUnavailable(
                f"the account holds rows of {', '.join(missing)}, which cannot be read",
                why="; ".join(line for line in self.warnings if any(symbol in line for symbol in missing)),
                fix="trade linear USDT perpetuals alone on this account; while such rows are recent, no new risk is taken",
            )

    def _warn(self, words: Sequence[str]) -> None:
        self.warnings += [line for line in words if line not in self.warnings]
        for line in words:
            _LOG.warning("%s", line)
