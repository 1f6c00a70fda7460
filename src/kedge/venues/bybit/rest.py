"""`BybitRest`: the venue's REST interface for one key, all endpoints in one object.

Rules: reads raise when nothing is known, writes answer `Taken`, `Refused` or `Unanswered`; one pool, one set of limits and one
clock serve all, and the sockets share the last two.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Final

from kedge.domain.errors import NotFound
from kedge.domain.instrument import Instrument, InstrumentId
from kedge.domain.ports import Metrics
from kedge.venues.bybit.clock_offset import ClockOffset
from kedge.venues.bybit.codec import FeeRateData, PositionData, UnreadablePayload
from kedge.venues.bybit.credentials import Credentials, Rung
from kedge.venues.bybit.http import Wire
from kedge.venues.bybit.instruments import instrument_from, symbol_of
from kedge.venues.bybit.key_checks import KeyFinding, check_account, check_key, refuse_if_needed
from kedge.venues.bybit.limits import RequestLimits
from kedge.venues.bybit.rest_account import RestAccount
from kedge.venues.bybit.rest_assets import RestAssets
from kedge.venues.bybit.rest_calls import DEFAULT_PACE, Caller, Pace
from kedge.venues.bybit.rest_endpoints import DEMO, MAINNET, TESTNET, TRADER_LIMITS
from kedge.venues.bybit.rest_market import RestMarket
from kedge.venues.bybit.rest_position import RestPosition
from kedge.venues.bybit.rest_trade import RestTrade
from kedge.venues.bybit.signing import signer_for

NO_FEES: Final[Mapping[str, FeeRateData]] = MappingProxyType({})


class BybitRest(RestMarket, RestTrade, RestPosition, RestAccount, RestAssets):
    """The REST client.

    Parameters
    ----------
    base_url : str
        `MAINNET`, `TESTNET`, `DEMO`, or the simulated exchange's address.
    credentials : Credentials, optional
        None for public endpoints only.
    speed : int
        How many times faster than the wall the venue plays; limits grow alike.
    limits, clock : optional
        To share them; made here otherwise.
    data_now_ms : callable, optional
        The present in data time, where that is not the wall's: decides which bars are closed.
    seed : int
        Of the jitter between repeats.
    mono_ns : callable
        The machine's monotonic clock.
    metrics : Metrics, optional
        Where the use of the limits is shown.
    """

    def __init__(
        self,
        base_url: str,
        credentials: Credentials | None = None,
        *,
        speed: int = 1,
        limits: RequestLimits | None = None,
        clock: ClockOffset | None = None,
        data_now_ms: Callable[[], int] | None = None,
        seed: int = 0,
        pace: Pace = DEFAULT_PACE,
        mono_ns: Callable[[], int] = time.monotonic_ns,
        metrics: Metrics | None = None,
    ) -> None:
        self.credentials = credentials
        self.limits = limits or RequestLimits(TRADER_LIMITS, speed=speed)
        self.clock = clock or ClockOffset()
        self.signer = signer_for(credentials) if credentials else None
        caller = Caller(Wire(base_url), self.limits, self.signer, clock=self.clock, seed=seed, pace=pace, mono_ns=mono_ns, metrics=metrics)
        super().__init__(caller, data_now_ms)

    async def __aenter__(self) -> BybitRest:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self.caller.wire.close()

    async def check_access(self, symbols: Sequence[str], *, trades: bool = True) -> list[KeyFinding]:
        """Check the key and the account's modes for trading `symbols`; the findings that only warn.

        Raises
        ------
        AccessRefused
            The key may withdraw, may not trade, has expired, or the account is not unified, cross or isolated, and one-way.
        """
        rung = self.credentials.rung if self.credentials else Rung.LIVE
        info = await self.key_info()
        findings = check_key(info, rung, self.clock.venue_wall_ns(self.caller.mono_ns()), trades=trades)
        rows: list[PositionData] = []
        for symbol in symbols:
            rows += await self.positions(symbol)
        return refuse_if_needed(findings + check_account(await self.account_info(), rows))

    async def instruments(
        self, ids: Sequence[InstrumentId], *, valid_from_ns: int = 0, fees: Mapping[str, FeeRateData] = NO_FEES
    ) -> list[Instrument]:
        """The records in force, with margin tiers and this account's fees, in the order asked; `fees` by symbol are not asked for again.

        Raises
        ------
        NotFound
            The venue has no such contract.
        InvalidInput
            It is not a trading linear USDT perpetual.
        """
        symbols = [symbol_of(instrument_id) for instrument_id in ids]
        return [await self._instrument(symbol, valid_from_ns, fees.get(symbol)) for symbol in symbols]

    async def _instrument(self, symbol: str, valid_from_ns: int, fee: FeeRateData | None) -> Instrument:
        rules = [row for row in await self.instruments_info(symbol) if row.symbol == symbol]
        if not rules:
            raise NotFound(f"the venue has no linear contract {symbol}", why="its list of instruments lacks it", fix="check the spelling")
        fees = [fee] if fee is not None else [row for row in await self.fee_rates(symbol) if row.symbol == symbol]
        if not fees:
            raise UnreadablePayload(f"fee-rate lists nothing for {symbol}", why="fees are never assumed", fix="ask again; check the key")
        tiers = [row for row in await self.risk_limits(symbol) if row.symbol == symbol]
        ticker = next((row for row in await self.tickers(symbol) if row.symbol == symbol), None)
        price = (ticker.mark_price or ticker.last_price or ticker.index_price) if ticker else None
        return instrument_from(rules[0], tiers, fees[0], reference_price=price, valid_from_ns=valid_from_ns)


__all__ = ["DEMO", "MAINNET", "TESTNET", "BybitRest"]
