"""`CcxtVenue`: one account at any exchange of ccxt behind the port `TradingVenue`, for paper and for reading.

Rules: never real money; what the exchange or ccxt cannot say is an error or a trait that is missing, never an empty answer; a write is
sent once, and what became of it is unknown unless the exchange said so; there are no streams, so news are asked for.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from kedge.domain.errors import AccessRefused, KedgeError, VenueUnavailable
from kedge.domain.instrument import Instrument, InstrumentId
from kedge.domain.orders import ApprovedOrder, OrderKind
from kedge.domain.units import NS_PER_DAY
from kedge.domain.venue import ActionNeeded, Answer, Quote, Refused, Stream, StreamDown, StreamUp, Taken, VenueNews
from kedge.venues.ccxt.client import READ_ONLY
from kedge.venues.ccxt.instruments import contract_size, market_id_of
from kedge.venues.ccxt.numbers import steps_text
from kedge.venues.ccxt.polling import AccountWatch, BarWatch
from kedge.venues.ccxt.reads import CcxtReads
from kedge.venues.ccxt.settings import CcxtSettings, Keys, Mode

_LOG: Final = logging.getLogger(__name__)


class CcxtVenue(CcxtReads):
    """See `TradingVenue` for what each call means.

    Parameters
    ----------
    keys : Keys, optional
        None for market data alone.

    Raises
    ------
    InvalidConfig
        ccxt is missing, has no such exchange, or paper is asked for where no dialect says how orders go.

    Attributes
    ----------
    traits : VenueTraits
        What this exchange gives of the port.
    warnings : list of str
        What of the records is not the exchange's own word.
    """

    def __init__(self, settings: CcxtSettings, keys: Keys | None = None) -> None:
        super().__init__(settings, keys)
        self._account = AccountWatch()
        self._bars: dict[InstrumentId, BarWatch] = {}
        self._waiting: deque[VenueNews] = deque()
        self._arrived = asyncio.Event()
        self._quotes: dict[InstrumentId, tuple[float, Quote]] = {}
        self._asking = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._down = ""
        self._closed = False
        self.client.on_access = self._access

    # Coming and going.

    async def start(self) -> None:
        try:
            async with asyncio.timeout(self.settings.start_within_s):
                await self.market.start()
                self.market.timeframe()
                for record in await self.instruments(self.settings.instruments):
                    await self._see(record)
                    step = self.settings.interval_ns
                    self._bars[record.instrument_id] = BarWatch(record.instrument_id, self.market.data_now_ns // step * step)
                if self.traits.account:
                    await self._begin()
        except TimeoutError:
            raise VenueUnavailable(
                f"{self.settings.exchange} is not ready after {self.settings.start_within_s:g} s", why="it is slow", fix="try again"
            ) from None
        self._tell([StreamUp(Stream.PUBLIC, again=False)])
        if self.traits.account:
            self._tell([StreamUp(Stream.PRIVATE, again=False)])
        self._task = asyncio.create_task(self._poll(), name=f"news of {self.settings.exchange}")

    async def close(self) -> None:
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self.client.close()
        self._arrived.set()

    async def _begin(self) -> None:
        now_ns = self.market.data_now_ns
        executions = await self.executions(now_ns - NS_PER_DAY)
        self._account.begin(await self.open_orders(), executions, now_ns)

    # What the exchange tells.

    async def news(self) -> VenueNews:
        while not self._waiting:
            if self._closed:
                raise VenueUnavailable("no more news", why="the venue's client was closed", fix="make a new one")
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.popleft()

    def news_at_hand(self) -> list[VenueNews]:
        found = list(self._waiting)
        self._waiting.clear()
        return found

    async def barrier(self) -> None:
        """As the port says: everything is asked for once more, after this call."""
        await self._ask()

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self.settings.poll_s)
            try:
                await self._ask()
            except AccessRefused as error:
                self._tell([ActionNeeded("ACCESS_REFUSED", error.what, error.fix)])
            except KedgeError as error:
                _LOG.warning("%s does not answer: %s", self.settings.exchange, error)

    async def _ask(self) -> None:
        async with self._asking:
            try:
                if self._down and self.client.has_keys:  # the clock may be why: it is measured again
                    await self.client.read("load_time_difference")
                await self._ask_market()
                if self.traits.account:
                    await self._ask_account()
            except KedgeError as error:
                if not self._down:
                    self._down = error.what
                    self._tell([StreamDown(stream, error.what) for stream in self._streams()])
                raise
            if self._down:
                self._down = ""
                self._tell([StreamUp(stream, again=True) for stream in self._streams()])

    async def _ask_market(self) -> None:
        for name, watch in self._bars.items():
            record = self.records[market_id_of(self.settings.exchange, name)]
            await self._see(record)
            now_ns = self.market.data_now_ns
            if self.settings.funding and record.funding_interval_ns and now_ns >= watch.settled_ts_ns + record.funding_interval_ns:
                self._tell(watch.rates(await self.market.funding_rates(record, watch.settled_ts_ns, now_ns)))
            if now_ns >= watch.last_ts_ns + self.settings.interval_ns:
                self._tell(watch.news(await self.market.bars(record, watch.last_ts_ns, now_ns)))

    async def _ask_account(self) -> None:
        watch = self._account
        news, gone = watch.orders(await self.open_orders())
        self._tell(news)
        self._tell(watch.executions(await self.executions(watch.since_ns)))
        for name, client_order_id in gone:
            self._tell(watch.looked_up(client_order_id, await self.find_order(name, client_order_id)))
        self._tell(watch.positions(await self.positions()))
        self._tell(watch.wallet(await self.wallet()))

    # Orders.

    async def place(self, approved: ApprovedOrder, *, is_permitted: Callable[[], bool] | None = None) -> Answer:
        order = approved.order
        refusal = self._unable(order.instrument)
        if refusal is not None:
            return refusal
        record = self._known(market_id_of(self.settings.exchange, order.instrument))
        market = self.market.market(order.instrument)
        self._account.sent(order.instrument, order.client_order_id)
        row, answer = await self.client.write(
            "create_order",
            market["symbol"],
            "market" if order.kind is OrderKind.MARKET else "limit",
            order.side.value,
            steps_text(order.qty_lots, record.lot_e8, scale=contract_size(market)),
            steps_text(order.limit_ticks, record.tick_e8) if order.kind is OrderKind.LIMIT else None,
            self.account().order_params(order, record),
            is_permitted=is_permitted,
        )
        if isinstance(answer, Refused):
            self._account.never(order.client_order_id)
        return self._judged(row, answer)

    async def cancel(self, instrument: InstrumentId, client_order_id: str) -> Answer:
        refusal = self._unable(instrument)
        if refusal is not None:
            return refusal
        symbol = self.market.market(instrument)["symbol"]
        return self._judged(*await self.client.write("cancel_order", None, symbol, self.account().id_params(client_order_id)))

    async def amend(
        self,
        instrument: InstrumentId,
        client_order_id: str,
        *,
        qty_lots: int | None = None,
        limit_ticks: int | None = None,
        is_permitted: Callable[[], bool] | None = None,
    ) -> Answer:
        refusal = self._unable(instrument)
        if refusal is not None:
            return refusal
        record = self._known(market_id_of(self.settings.exchange, instrument))
        wanted = [number for number in (qty_lots, limit_ticks) if number is not None]
        if not wanted or min(wanted) < 1:
            return Refused("IMPOSSIBLE_AMEND", f"qty {qty_lots}, limit {limit_ticks}: at least one, all positive")
        market = self.market.market(instrument)
        row, answer = await self.client.write(
            "edit_order",
            None,
            market["symbol"],
            "limit",
            "buy",
            None if qty_lots is None else steps_text(qty_lots, record.lot_e8, scale=contract_size(market)),
            None if limit_ticks is None else steps_text(limit_ticks, record.tick_e8),
            self.account().id_params(client_order_id),
            is_permitted=is_permitted,
        )
        return self._judged(row, answer)

    async def set_stop_loss(self, instrument: InstrumentId, stop_loss_ticks: int) -> Answer:
        refusal = self._unable(instrument)
        if refusal is not None:
            return refusal
        record = self._known(market_id_of(self.settings.exchange, instrument))
        return self._judged(*await self.account().set_stop_loss(self.client, record, steps_text(stop_loss_ticks, record.tick_e8)))

    def quote(self, instrument: InstrumentId) -> Quote | None:
        found = self._quotes.get(instrument)
        if found is None or asyncio.get_running_loop().time() - found[0] > self.settings.quote_age_max_s:
            return None
        return found[1]

    # Within.

    def _unable(self, instrument: InstrumentId) -> Refused | None:
        """Why nothing can be written about an instrument; None where it can."""
        if self.settings.mode is Mode.READ_ONLY:
            return Refused(READ_ONLY, f"this client of {self.settings.exchange} only reads")
        if self.record_of(instrument) is None:
            return Refused("UNKNOWN_INSTRUMENT", f"no record of {instrument} is loaded")
        return None

    def _judged(self, row: Any, answer: Answer) -> Answer:
        """The answer to a write: what the exchange answered, else what is to be made of its silence."""
        if row is not None:
            return Taken(str(row.get("id") or "") if isinstance(row, Mapping) else "")
        return answer

    async def _see(self, record: Instrument) -> None:
        quote = await self.market.look(record)
        self._quotes.pop(record.instrument_id, None)
        if quote is not None:
            self._quotes[record.instrument_id] = (asyncio.get_running_loop().time(), quote)

    def _access(self, code: str, what: str) -> None:
        self._tell([ActionNeeded(code, what, "mend the key or its permissions")])

    def _streams(self) -> list[Stream]:
        return [Stream.PUBLIC, Stream.PRIVATE] if self.traits.account else [Stream.PUBLIC]

    def _tell(self, news: Iterable[VenueNews]) -> None:
        self._waiting.extend(news)
        if self._waiting:
            self._arrived.set()
