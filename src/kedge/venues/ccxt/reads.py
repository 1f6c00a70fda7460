"""What an exchange of ccxt knows, asked: records, orders, executions, positions, money, bars. The reading half of `CcxtVenue`.

Rules: lists are whole or an error; what the exchange or ccxt cannot say is an error, never an empty answer.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from kedge.domain.errors import InvalidConfig, InvalidInput, VenueUnavailable
from kedge.domain.events import BarClosed, FundingKnown, FundingSettled, OrderFilled
from kedge.domain.instrument import Instrument, InstrumentId
from kedge.domain.units import NS_PER_DAY
from kedge.domain.venue import LedgerEntry, VenueOrder, VenuePosition, VenueWallet
from kedge.venues.ccxt.client import CcxtClient
from kedge.venues.ccxt.dialect import MARKET_DATA, AccountDialect, dialect_of
from kedge.venues.ccxt.instruments import market_id_of
from kedge.venues.ccxt.market import MarketReads
from kedge.venues.ccxt.numbers import readable
from kedge.venues.ccxt.settings import CcxtSettings, Keys, Mode
from kedge.venues.traits import VenueTraits

_LOG: Final = logging.getLogger(__name__)

AHEAD_NS: Final = NS_PER_DAY
"""How far past the newest data time a list of history asks, so that what happens meanwhile is in it."""


class CcxtReads:
    """The questions of the port `TradingVenue`."""

    def __init__(self, settings: CcxtSettings, keys: Keys | None = None) -> None:
        self.settings = settings
        self._dialect = dialect_of(settings.exchange)
        if settings.mode is Mode.PAPER and self._dialect is None:
            raise InvalidConfig(
                f"paper at {settings.exchange}", why="ccxt does not say enough of its orders, and no dialect does", fix="choose read_only"
            )
        taken = self._dialect.taken_codes if self._dialect is not None else frozenset[str]()
        self.client = CcxtClient(settings, keys or Keys(), taken)
        self.market = MarketReads(self.client, self._dialect)
        self.traits = _traits(self._dialect, settings.mode, has_keys=self.client.has_keys)
        self.records: dict[str, Instrument] = {}
        self.warnings: list[str] = []

    def utilisation(self) -> list[Any]:
        """Nothing: ccxt keeps its own pace of requests and does not show it."""
        return []

    # Questions.

    @readable
    async def instruments(self, ids: Sequence[InstrumentId]) -> list[Instrument]:
        found: list[Instrument] = []
        for name in ids:
            try:
                record, warnings = await self.market.instrument(name)
            except InvalidInput as error:
                self._warn([f"{name} is not traded here: {error.what}"])
                continue
            self._warn(warnings)
            found.append(record)
            self.records.setdefault(record.venue_symbol, record)
        return found

    def remember(self, records: Sequence[Instrument]) -> None:
        self.records |= {record.venue_symbol: record for record in records}

    @readable
    async def open_orders(self) -> list[VenueOrder]:
        return await self.account().open_orders(self.client, self._known)

    @readable
    async def find_order(self, instrument: InstrumentId, client_order_id: str) -> VenueOrder | None:
        record = self._known(market_id_of(self.settings.exchange, instrument))
        return await self.account().find_order(self.client, record, client_order_id)

    @readable
    async def executions(self, since_ts_ns: int) -> list[OrderFilled | FundingSettled]:
        rows = await self.account().executions(self.client, self._known, since_ts_ns, await self._until_ns(since_ts_ns))
        return [row for row in rows if row.ts_ns >= since_ts_ns]

    @readable
    async def positions(self) -> list[VenuePosition]:
        return await self.account().positions(self.client, self._known)

    @readable
    async def wallet(self) -> VenueWallet:
        return await self.account().wallet(self.client, self.settings.coin, self.market.data_now_ns)

    @readable
    async def ledger(self, since_ts_ns: int) -> list[LedgerEntry]:
        until_ns = await self._until_ns(since_ts_ns)
        rows = await self.account().ledger(self.client, self.settings.coin, since_ts_ns, until_ns)
        return [row for row in rows if row.ts_ns >= since_ts_ns]

    @readable
    async def bars(self, instrument: InstrumentId, from_ts_ns: int, to_ts_ns: int) -> list[BarClosed]:
        return await self.market.bars(self._known(market_id_of(self.settings.exchange, instrument)), from_ts_ns, to_ts_ns)

    @readable
    async def funding_rates(self, instrument: InstrumentId, from_ts_ns: int, to_ts_ns: int) -> list[FundingKnown]:
        return await self.market.funding_rates(self._known(market_id_of(self.settings.exchange, instrument)), from_ts_ns, to_ts_ns)

    @readable
    async def wall_time_ns(self) -> int:
        return await self.market.wall_time_ns()

    def account(self) -> AccountDialect:
        """Who reads this exchange's accounts.

        Raises
        ------
        VenueUnavailable
            Nobody: no dialect was written, or no key is given.
        """
        if self._dialect is None:
            raise VenueUnavailable(
                f"the account at {self.settings.exchange} cannot be read",
                why="ccxt's rows leave out what books need, and no dialect reads them",
                fix="use its market data alone",
            )
        if not self.client.has_keys:
            raise VenueUnavailable(f"the account at {self.settings.exchange} cannot be read", why="no key is given", fix="give a key")
        return self._dialect

    def record_of(self, name: InstrumentId) -> Instrument | None:
        """The record of an instrument, None where none is loaded."""
        return self.records.get(market_id_of(self.settings.exchange, name))

    def _known(self, market_id: str) -> Instrument:
        record = self.records.get(market_id)
        if record is None:
            raise VenueUnavailable(
                f"the exchange reports on {market_id!r}, whose record is not loaded",
                why="quantities and prices cannot be put on a grid",
                fix="trade the configured instruments alone on this account",
            )
        return record

    async def _until_ns(self, since_ts_ns: int) -> int:
        if not self.market.data_now_ns:
            for record in list(self.records.values())[:1]:
                await self.market.look(record)
        return max(self.market.data_now_ns, since_ts_ns) + AHEAD_NS

    def _warn(self, words: Sequence[str]) -> None:
        for line in words:
            if line not in self.warnings:
                self.warnings.append(line)
                _LOG.warning("%s", line)


def _traits(dialect: AccountDialect | None, mode: Mode, *, has_keys: bool) -> VenueTraits:
    if dialect is None:
        return MARKET_DATA
    traits = msgspec.structs.replace(dialect.traits, trading=dialect.traits.trading and mode is Mode.PAPER and has_keys)
    if traits.trading:
        return traits
    gone = {"conditional_orders": False, "stop_loss": False}
    if not has_keys:
        gone |= {"account": False, "ledger": False, "settlements": False, "own_fees": False}
    return msgspec.structs.replace(traits, **gone)
