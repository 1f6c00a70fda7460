"""`BybitGuardVenue`: the same account as the guard sees it, behind the port `domain.venue.GuardVenue`.

Rules: what the guard does goes over REST alone, so that neither a frozen stream nor a dead trade socket stops it; the private stream only
wakes it earlier, and is connected beside its work; it has its own share of the venue's limits, and takes the whole when it must.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import msgspec

from kedge.domain.errors import AccessRefused, KedgeError
from kedge.domain.instrument import Instrument, InstrumentId
from kedge.domain.ports import Metrics
from kedge.domain.units import NS_PER_MS
from kedge.domain.venue import ActionNeeded, Answer, CancelKind, Depth
from kedge.venues.bybit.codec import FeeRateData, price_ticks, qty_lots
from kedge.venues.bybit.credentials import Credentials
from kedge.venues.bybit.instruments import symbol_of
from kedge.venues.bybit.limits import RequestLimits
from kedge.venues.bybit.rest_endpoints import CANCEL, CANCEL_ALL, CANCEL_BATCH, CREATE, CREATE_BATCH, GUARD_ADDRESS_LIMIT, GUARD_LIMITS
from kedge.venues.bybit.troubles import Troubles
from kedge.venues.bybit.venue import BybitVenue
from kedge.venues.bybit.venue_settings import VenueSettings

_LOG: Final = logging.getLogger(__name__)

DEPTH_LEVELS: Final = 500
SOCKET_AGAIN_S: Final = 2.0
CLAIMED: Final = tuple(endpoint.group for endpoint in (CREATE, CREATE_BATCH, CANCEL, CANCEL_ALL, CANCEL_BATCH))
"""Groups of which the guard may take the whole."""


class BybitGuardVenue(BybitVenue):
    """See `GuardVenue` for what each call means.

    Parameters
    ----------
    credentials : Credentials
        The guard's own, not the trader's.
    """

    def __init__(self, settings: VenueSettings, credentials: Credentials, metrics: Metrics | None = None) -> None:
        where = msgspec.structs.replace(settings.addresses, trade="")
        super().__init__(msgspec.structs.replace(settings, addresses=where, dead_man_s=0), credentials, metrics)
        self._beside: asyncio.Task[None] | None = None
        self._fees: dict[str, FeeRateData] = {}
        self._asking_fees = asyncio.Lock()
        self._learning: dict[str, asyncio.Task[None]] = {}

    def _limits(self) -> RequestLimits:
        return self._made_limits(GUARD_LIMITS, GUARD_ADDRESS_LIMIT)

    async def start(self) -> None:
        """Measure the clock; records, key, modes and private stream are seen to beside that, and never hold it up.

        Raises
        ------
        VenueUnavailable
            The venue does not answer.
        """
        report = await self.rest.caller.measure_clock()
        self._warn([report.words] if report.words else [])
        self.rest.caller.troubles = Troubles(self._news.put)
        self._beside = asyncio.create_task(self._see_to_the_rest(), name="guard's stream and key")

    async def close(self) -> None:
        if self._beside is not None:
            self._beside.cancel()
            with suppress(asyncio.CancelledError):
                await self._beside
        for task in self._learning.values():
            task.cancel()
        await asyncio.gather(*self._learning.values(), return_exceptions=True)
        await super().close()

    async def cancel_all(self, kind: CancelKind = CancelKind.RESTING) -> Answer:
        coin = self.settings.coin
        if kind is CancelKind.CONDITIONAL:
            return await self.rest.cancel_all(settle_coin=coin, order_filter="StopOrder", only_stops=True)
        return await self.rest.cancel_all(settle_coin=coin, order_filter="Order" if kind is CancelKind.RESTING else "")

    async def depth(self, instrument: InstrumentId) -> Depth:
        symbol = symbol_of(instrument)
        await self._know({symbol})
        record = self.records[symbol]
        book = await self.rest.orderbook(symbol, depth=DEPTH_LEVELS)
        ts_ns = (book.ts_ms or book.cts_ms or 0) * NS_PER_MS
        self._asked_data_ns = max(self._asked_data_ns, ts_ns)
        bids, asks = (
            tuple((price_ticks(price, record, "book price"), qty_lots(size, record, "book size")) for price, size in rows)
            for rows in (book.bids, book.asks)
        )
        return Depth(instrument=instrument, bids=bids, asks=asks, ts_ns=ts_ns)

    async def data_time_ns(self) -> int:
        await self._ask_present()
        return self.data_now_ns() or await self.wall_time_ns()

    def claim_room(self, *, whole: bool) -> None:
        self.rest.caller.limits.claim(CLAIMED, whole=whole)

    # Within.

    async def _records_of(self, ids: Sequence[InstrumentId]) -> list[Instrument]:
        """As the trader reads them, but the fees of all at once: the guard's share of that endpoint is one request a second."""
        async with self._asking_fees:
            if not all(symbol_of(name) in self._fees for name in ids):
                self._fees = {row.symbol: row for row in await self.rest.fee_rates()}
        return await self.rest.instruments(ids, fees=self._fees)

    async def _know(self, symbols: set[str]) -> None:
        """As the trader's client does; who gives up waiting leaves the asking to go on, so that a slow line learns at last."""
        missing = sorted(symbols - self.records.keys())
        if not missing:
            return
        self._learning = {symbol: task for symbol, task in self._learning.items() if not task.done()}
        if new := {symbol for symbol in missing if symbol not in self._learning}:
            self._learning |= dict.fromkeys(sorted(new), asyncio.create_task(super()._know(new)))
        for task in dict.fromkeys(self._learning[symbol] for symbol in missing):
            await asyncio.shield(task)
        await super()._know(symbols)

    async def _see_to_the_rest(self) -> None:
        """Connect the private stream, again until it stands, and say what is wrong with the key."""
        is_checked = is_up = False
        while not (is_checked and is_up):
            try:
                if not is_checked:
                    symbols = [record.venue_symbol for record in self.records.values()]
                    findings = await self.rest.check_access(symbols)
                    self._warn([f"{finding.what}: {finding.fix}" for finding in findings])
                    is_checked = True
                if not is_up:
                    await self._private.start(self.settings.start_within_s)
                    is_up = True
            except AccessRefused as error:
                self._news.put(ActionNeeded(error.code, error.what, error.fix))
                is_checked = True
                await asyncio.sleep(SOCKET_AGAIN_S)
            except KedgeError as error:
                _LOG.warning("the guard's private stream or key is not ready: %s", error)
                await asyncio.sleep(SOCKET_AGAIN_S)
