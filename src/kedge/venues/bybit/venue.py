"""`BybitVenue`: one account at Bybit behind the port `domain.venue.TradingVenue`. Composition only; each part has its own file.

Rules: nothing of the venue's is guessed; news keep their order; after every interruption the loop is told, so that it asks for what
it missed; data time comes from data, since the exchange may play faster than the wall and at another date.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Final

from kedge.domain.errors import KedgeError, VenueUnavailable
from kedge.domain.instrument import InstrumentId
from kedge.domain.orders import ApprovedOrder
from kedge.domain.ports import Metrics
from kedge.domain.units import NS_PER_S
from kedge.domain.venue import (
    ActionNeeded,
    Answer,
    Quote,
    Refused,
    Stream,
    StreamDown,
    StreamUp,
    VenueNews,
)
from kedge.venues.bybit.codec import OrderData
from kedge.venues.bybit.credentials import Credentials
from kedge.venues.bybit.dead_man import DeadMan, DeadManWatch
from kedge.venues.bybit.disconnect_protection import arm
from kedge.venues.bybit.gateway import OrderGateway
from kedge.venues.bybit.gateway_bodies import grid_text
from kedge.venues.bybit.instruments import symbol_of
from kedge.venues.bybit.private_stream import PrivateDialect, PrivateReader
from kedge.venues.bybit.public_feed import PublicFeed
from kedge.venues.bybit.reconnect import Dialect, SteadySocket
from kedge.venues.bybit.reconnect_pace import Backoff, ConnectBudget
from kedge.venues.bybit.trade_socket import TradeDialect, TradeSocket
from kedge.venues.bybit.troubles import Troubles
from kedge.venues.bybit.venue_news import NewsQueue
from kedge.venues.bybit.venue_reads import VenueReads
from kedge.venues.bybit.venue_settings import VenueSettings

_LOG: Final = logging.getLogger(__name__)

CLOCK_OFF_MS: Final = 8_000
"""A clock that was off by more may be why an authentication was refused: less than its validity, more than a greeting takes."""


class BybitVenue(VenueReads):
    """See `TradingVenue` for what each call means.

    Parameters
    ----------
    credentials : Credentials
        Of the rung that trades; its secret signs and stays here.
    metrics : Metrics, optional
        Where the use of the venue's limits is shown.

    Attributes
    ----------
    rest : BybitRest
        For what the port does not have, such as leverage or deposits.
    gateway : OrderGateway
        For amends and batches.
    feed : PublicFeed
        Quotes, books and their age; None before `start`.
    """

    def __init__(self, settings: VenueSettings, credentials: Credentials, metrics: Metrics | None = None) -> None:
        super().__init__(settings, credentials, metrics)
        self.feed: PublicFeed | None = None
        self._unarmed = "" if settings.dead_man_s else "switched off"
        self._news = NewsQueue()
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._random = Random(settings.seed)
        self._budget = ConnectBudget(banned_for_s=self.rest.caller.admission.banned_for_s)
        assert self.rest.signer is not None
        self._reader = PrivateReader(self.records, settings.coin, self._news.put, self._unknown)
        where = settings.addresses
        self._private_words = PrivateDialect(self._reader, self.rest.signer, self._wall_ms, clock_was_off=self._clock_was_off)
        self._private = self._socket(Stream.PRIVATE, where.private, self._private_words)
        self._dead_man = DeadManWatch(DeadMan(settings.dead_man_s * NS_PER_S), self._resting, self._cancel_over_rest)
        self._trade: SteadySocket | None = None
        if where.trade:
            self._trade = self._socket(Stream.TRADE, where.trade, TradeDialect(self.rest.signer, self._wall_ms, self._clock_was_off))
        self.gateway = OrderGateway(
            self.rest.caller,
            TradeSocket(self._trade, settings.request_prefix) if self._trade is not None else None,
            self.records,
            self_trade=settings.self_trade,
            answer_within_s=settings.answer_within_s,
        )
        self._public: SteadySocket | None = None

    # Coming and going.

    async def start(self) -> None:
        """As the port says; what only deserves a warning is in `warnings` and in the log.

        Raises
        ------
        AccessRefused
            The key or the account may not trade; says which and what to do.
        VenueUnavailable
            The venue or one of its streams did not answer in time.
        """
        report = await self.rest.caller.measure_clock()
        self._warn([report.words] if report.words else [])
        records = await self.instruments(self.settings.instruments)
        findings = await self.rest.check_access([record.venue_symbol for record in records])
        self._warn([f"{finding.what}: {finding.fix}" for finding in findings])
        await self._ask_present()
        if self.settings.dead_man_s:
            self._unarmed = await arm(self.rest, self.settings.dead_man_s)
            self._private_words.protected = not self._unarmed
        self.rest.caller.troubles = Troubles(self._news.put)
        if records:
            self.feed = PublicFeed(records, self.settings.feed, self._history, self._news.put, self.settings.speed)
            self._public = self._socket(Stream.PUBLIC, self.settings.addresses.public, self.feed)
        await self._start_sockets()

    async def _start_sockets(self) -> None:
        sockets = [socket for socket in (self._public, self._private, self._trade) if socket is not None]
        starts = [asyncio.create_task(socket.start(self.settings.start_within_s)) for socket in sockets]
        try:
            await asyncio.gather(*starts)
        except BaseException:
            for start in starts:
                start.cancel()
            await asyncio.gather(*starts, return_exceptions=True)
            await self.close()
            raise

    async def close(self) -> None:
        await self._dead_man.close()
        for task in list(self._loading.values()):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if self.feed is not None:
            await self.feed.close()
        for socket in (self._public, self._private, self._trade):
            if socket is not None:
                await socket.close()
        await self.rest.close()
        self._news.close()

    # What the venue tells.

    async def news(self) -> VenueNews:
        return await self._news.get()

    def news_at_hand(self) -> list[VenueNews]:
        return self._news.take_all()

    async def barrier(self) -> None:
        """As the port says, and the same for the public stream: its bars are in, missed ones filled or named as gaps."""
        within_s = self.settings.barrier_within_s
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._private.ping(within_s))
                if self._public is not None and self.feed is not None:
                    group.create_task(self._public.ping(within_s))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        if self.feed is not None:
            await self._settled(self.feed, within_s)

    # Orders.

    async def place(self, approved: ApprovedOrder, *, is_permitted: Callable[[], bool] | None = None) -> Answer:
        return await self.gateway.place(approved, is_permitted=is_permitted)

    async def cancel(self, instrument: InstrumentId, client_order_id: str) -> Answer:
        return await self.gateway.cancel(instrument, client_order_id)

    async def amend(
        self,
        instrument: InstrumentId,
        client_order_id: str,
        *,
        qty_lots: int | None = None,
        limit_ticks: int | None = None,
        is_permitted: Callable[[], bool] | None = None,
    ) -> Answer:
        return await self.gateway.amend(instrument, client_order_id, qty_lots=qty_lots, limit_ticks=limit_ticks, is_permitted=is_permitted)

    async def set_stop_loss(self, instrument: InstrumentId, stop_loss_ticks: int) -> Answer:
        record = self.records.get(symbol_of(instrument))
        if record is None:
            return Refused("UNKNOWN_INSTRUMENT", f"no record of {instrument} is loaded")
        return await self.rest.set_trading_stop(record.venue_symbol, grid_text(stop_loss_ticks, record.tick_e8))

    def quote(self, instrument: InstrumentId) -> Quote | None:
        if self.feed is None or self._public is None or self._public.connection is None:
            return None
        return self.feed.quote(symbol_of(instrument))

    # Beside the port: for status and health.

    @property
    def unprotected(self) -> str:
        """Why the venue does not cancel our orders when we are gone; empty where it does, and before `start`."""
        return self._unarmed or self._private_words.unprotected

    def seen_data_ns(self) -> int:
        public_ns = self.feed.data_ts_ns if self.feed is not None else 0
        return max(public_ns, self._reader.seen_ts_ns)

    def streams(self) -> dict[Stream, str]:
        """Each stream that is used: empty while it is up, else why it is down."""
        sockets = [socket for socket in (self._public, self._private, self._trade) if socket is not None]
        return {socket.stream: "" if socket.connection is not None else socket.last_why for socket in sockets}

    def data_age_ns(self, venue_now_ns: int) -> int | None:
        """How old the newest public data is on the venue's clock; None before any."""
        return None if self.feed is None else self.feed.age_ns(venue_now_ns)

    @property
    def interruptions(self) -> int:
        """How often streams came back after a break."""
        return sum(socket.interruptions for socket in (self._public, self._private, self._trade) if socket is not None)

    # Within.

    def _socket(self, stream: Stream, url: str, dialect: Dialect) -> SteadySocket:
        backoff = Backoff(Random(self._random.random()))
        tell = self._told_by_private if stream is Stream.PRIVATE and self.settings.dead_man_s else self._news.put
        ban = self.rest.caller.admission.ban
        return SteadySocket(stream, url, dialect, tell, backoff=backoff, budget=self._budget, pace=self.settings.pace, on_ban=ban)

    def _told_by_private(self, news: StreamUp | StreamDown | ActionNeeded) -> None:
        self._dead_man.heard(news)
        self._news.put(news)

    async def _resting(self) -> Sequence[OrderData]:
        return await self.rest.open_orders(settle_coin=self.settings.coin)

    async def _cancel_over_rest(self, row: OrderData) -> Answer:
        return await self.rest.cancel_order(row.symbol, order_link_id=row.order_link_id)

    async def _clock_was_off(self, asked_ms: int) -> bool:
        """Whether the venue's clock, measured again, is far from when we thought that we asked: as after this machine slept."""
        return await self.rest.caller.clock_is_mended() and abs(self._wall_ms() - asked_ms) > CLOCK_OFF_MS

    async def _settled(self, feed: PublicFeed, within_s: float) -> None:
        try:
            async with asyncio.timeout(within_s):
                await feed.settled()
        except TimeoutError:
            raise VenueUnavailable(
                f"missing bars are not filled after {within_s:g} s", why="history has not answered yet", fix="ask again; it goes on"
            ) from None

    def _wall_ms(self) -> int:
        return self.rest.clock.timestamp_ms(self.rest.caller.mono_ns())

    def _unknown(self, symbol: str) -> None:
        """The private stream spoke of an unknown symbol: fetch its record, then have the loop ask for what was not told."""
        if symbol not in self._loading:
            task = asyncio.create_task(self._load(symbol), name=f"record of {symbol}")
            self._loading[symbol] = task
            task.add_done_callback(lambda _: self._loading.pop(symbol, None))

    async def _load(self, symbol: str) -> None:
        try:
            await self._know({symbol})
        except KedgeError as error:
            _LOG.error("the record of %s cannot be had: %s", symbol, error)
        if self._private.connection is not None:  # else its coming back says so
            self._news.put(StreamUp(Stream.PRIVATE, again=True))
