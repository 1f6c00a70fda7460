"""Our client against our exchange over real sockets: they share no code, so that each checks the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

from kedge.domain.errors import AccessRefused
from kedge.domain.events import BarClosed, Event, FeedGap, OrderAccepted, OrderCanceled, OrderFilled
from kedge.domain.orders import ApprovedOrder, OrderIntent, OrderKind, Side, TimeInForce
from kedge.domain.units import E8, NS_PER_S
from kedge.domain.venue import LedgerKind, Refused, Stream, StreamUp, Taken, VenueOrderState, VenuePosition, VenueWallet
from kedge.market.catalogue import instrument_at
from kedge.simulation.venue import Venue
from kedge.simulation.venue_types import Crowd
from kedge.simulation.venue_types import VenueSettings as SimulatedSettings
from kedge.venues.bybit.credentials import Credentials, Rung
from kedge.venues.bybit.public_feed import FeedSettings
from kedge.venues.bybit.venue import BybitVenue
from kedge.venues.bybit.venue_settings import VenueSettings, addresses
from kedge.venues.exchange.api_keys import ApiKey, ApiKeys
from kedge.venues.exchange.clocks import UNPACED_SPEED, PlayClock
from kedge.venues.exchange.control import Control
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.player import Player
from kedge.venues.exchange.prices_funding import FundingFeed
from kedge.venues.exchange.server import ExchangeServer
from kedge.venues.lockstep import LockStep

ID = "bybit-linear:BTCUSDT"
T0 = 1_767_225_600 * NS_PER_S
MINUTE = 60 * NS_PER_S
SPEC = instrument_at(ID, T0)
ACCOUNT, KEY, SECRET = "10000001", "PAPERKEY", "PAPER-SECRET-OF-A-TEST"
WALLET_E8 = 10_000 * E8


def bars(count: int, missing: range = range(0)) -> list[Event]:
    """Minutes that rise and fall around 60,000."""
    events: list[Event] = []
    for n in range(count):
        opened, close = 600_000 + 40 * (n % 7), 600_000 + 40 * ((n + 1) % 7)
        span = (T0 + n * MINUTE, T0 + (n + 1) * MINUTE)
        if n in missing:
            events.append(FeedGap(span[1], ID, span[0]))
        else:
            events.append(BarClosed(span[1], ID, span[0], opened, max(opened, close) + 30, min(opened, close) - 30, close, 50_000))
    return events


class Scene:
    """A running exchange and a started client that is registered for lock-step."""

    def __init__(self, server: ExchangeServer, simulated: Venue, venue: BybitVenue, step: LockStep) -> None:
        self.server, self.simulated, self.venue, self.step = server, simulated, venue, step
        self.news: list[Any] = []

    async def bar(self) -> Any:
        """The next instant, with everything that belongs to it in `news`."""
        released = await self.step.next_bar()
        await self.settle()
        return released

    async def settle(self) -> None:
        await self.venue.barrier()
        self.news += self.venue.news_at_hand()

    def of(self, kind: type) -> list[Any]:
        return [one for one in self.news if isinstance(one, kind)]

    async def cut(self, kind: str) -> None:
        await self.server._sockets.drop(kind)


@asynccontextmanager
async def scene(events: Iterable[Event], *, secret: str = SECRET, start: bool = True, **feed: Any) -> Any:
    simulated = Venue([SPEC], SimulatedSettings(crowd=Crowd(levels=5)), T0)
    simulated.open_account(ACCOUNT, WALLET_E8, T0)
    clock = PlayClock(T0, UNPACED_SPEED)
    hall = Hall(simulated, clock, [SPEC], speed=UNPACED_SPEED)
    control = Control(UNPACED_SPEED, clock.venue_ns)
    player = Player(hall, clock, events, FundingFeed([], [SPEC], T0), control, steps=4, wait_for=1)
    server = ExchangeServer(hall, clock, ApiKeys([ApiKey(key=KEY, secret=SECRET, account=ACCOUNT)]), player, control, source="test")
    port = await server.start("127.0.0.1", 0)
    where = addresses(f"http://127.0.0.1:{port}")
    settings = VenueSettings(addresses=where, instruments=(ID,), speed=UNPACED_SPEED, feed=FeedSettings(**feed), start_within_s=5.0)
    venue = BybitVenue(settings, Credentials(Rung.PAPER, KEY, secret))
    step = LockStep(f"http://127.0.0.1:{port}", "trader")
    made = Scene(server, simulated, venue, step)
    try:
        if start:
            await venue.start()
            await step.connect()
        yield made
    finally:
        await step.close()
        await venue.close()
        await server.close()


def run(test: Callable[[], Any]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await test()

    uvloop.run(bounded())


def order(
    client_id: str, side: Side, lots: int, *, limit: int = 0, tif: TimeInForce = TimeInForce.IOC, reduce: bool = False
) -> ApprovedOrder:
    intent = OrderIntent(
        client_order_id=client_id, decision_id="d", strategy="s", instrument=ID, side=side, qty_lots=lots, limit_ticks=limit,
        kind=OrderKind.LIMIT if limit else OrderKind.MARKET, time_in_force=tif, reduce_only=reduce,
    )  # fmt: skip
    return ApprovedOrder(order=intent, limits_version="v")


def test_the_records_the_exchange_lists_are_the_ones_it_trades_on() -> None:
    async def test() -> None:
        async with scene(bars(2)) as s:
            (record,) = await s.venue.instruments([ID])
            for name in ("tick_e8", "lot_e8", "tick_value_e8", "maker_fee_e8", "taker_fee_e8", "tiers", "notional_min_e8", "quote"):
                assert getattr(record, name) == getattr(SPEC, name), name
            assert s.venue.warnings == []

    run(test)


def span_of(event: BarClosed | FeedGap) -> tuple[int, int]:
    return (event.from_ts_ns if isinstance(event, FeedGap) else event.open_ts_ns), event.ts_ns


def test_bars_come_once_each_in_order_with_their_gaps_and_equal_history() -> None:
    async def test() -> None:
        played = bars(9, missing=range(4, 6))
        async with scene(played) as s:
            while not (released := await s.bar()).ended:
                await s.step.acknowledge(released.seq)
            told = s.of(BarClosed)
            spans = [span_of(event) for event in s.news if isinstance(event, BarClosed | FeedGap)]
            assert [begin for begin, _ in spans[1:]] == [end for _, end in spans[:-1]]
            assert [bar.ts_ns for bar in told] == sorted({bar.ts_ns for bar in told})
            closes = {event.ts_ns: event.close_ticks for event in played if isinstance(event, BarClosed)}
            assert all(closes.get(bar.ts_ns, bar.close_ticks) == bar.close_ticks for bar in told)
            again = await s.venue.bars(ID, T0, told[-1].ts_ns)
            assert [bar for bar in again if bar.ts_ns >= told[0].ts_ns] == told

    run(test)


def test_the_books_of_both_sides_agree_to_the_last_unit() -> None:
    async def test() -> None:
        async with scene(bars(6)) as s:
            await s.bar()
            assert isinstance(await s.venue.place(order("buy-1", Side.BUY, 25)), Taken)
            assert isinstance(await s.venue.place(order("rest-1", Side.BUY, 10, limit=599_000, tif=TimeInForce.POST_ONLY)), Taken)
            await s.settle()
            assert isinstance(await s.venue.place(order("sell-1", Side.SELL, 10, reduce=True)), Taken)
            await s.settle()
            fills = s.of(OrderFilled)
            assert sum(fill.qty_lots if fill.side is Side.BUY else -fill.qty_lots for fill in fills) == 15
            assert await s.venue.executions(T0) == fills
            assert {event.client_order_id for event in s.of(OrderAccepted)} >= {"rest-1"}
            held = s.simulated.position(ACCOUNT, ID)
            (position,) = await s.venue.positions()
            assert (position.lots, position.cost_e8) == (held.lots, held.cost_e8)
            streamed = s.of(VenuePosition)[-1]
            assert (streamed.lots, streamed.cost_e8) == (held.lots, held.cost_e8)
            wallet = await s.venue.wallet()
            assert wallet.wallet_e8 == s.simulated.wallet(ACCOUNT).wallet_e8 == s.of(VenueWallet)[-1].wallet_e8
            ledger = await s.venue.ledger(T0)
            trades = [entry for entry in ledger if entry.kind is LedgerKind.TRADE]
            assert WALLET_E8 + sum(entry.change_e8 for entry in trades) == wallet.wallet_e8
            assert sorted(entry.fill_id for entry in trades) == sorted(fill.fill_id for fill in fills)
            assert sum(entry.fee_e8 for entry in trades) == sum(fill.fee_e8 for fill in fills)

    run(test)


def test_an_order_can_be_found_amended_and_cancelled() -> None:
    async def test() -> None:
        async with scene(bars(4)) as s:
            await s.bar()
            assert isinstance(await s.venue.place(order("rest", Side.BUY, 10, limit=599_000, tif=TimeInForce.GTC)), Taken)
            assert isinstance(await s.venue.place(order("rest", Side.BUY, 10, limit=599_000, tif=TimeInForce.GTC)), Taken)
            (resting,) = await s.venue.open_orders()
            assert (resting.client_order_id, resting.qty_lots, resting.limit_ticks) == ("rest", 10, 599_000)
            assert resting.state is VenueOrderState.OPEN
            assert isinstance(await s.venue.gateway.amend(ID, "rest", qty_lots=7, limit_ticks=598_900), Taken)
            found = await s.venue.find_order(ID, "rest")
            assert (found.qty_lots, found.limit_ticks) == (7, 598_900)
            assert isinstance(await s.venue.cancel(ID, "rest"), Taken)
            again = await s.venue.cancel(ID, "rest")
            assert isinstance(again, Refused)
            await s.settle()
            assert s.of(OrderCanceled)[-1].client_order_id == "rest"
            assert (await s.venue.find_order(ID, "rest")).state is VenueOrderState.CANCELED
            assert await s.venue.find_order(ID, "never") is None
            assert await s.venue.open_orders() == []
            too_much = await s.venue.place(order("huge", Side.BUY, 1_000_000))
            assert isinstance(too_much, Refused)
            batch = await s.venue.gateway.place_batch(
                [order("b1", Side.BUY, 10, limit=599_000, tif=TimeInForce.GTC), order("b2", Side.BUY, 1_000_000)]
            )
            assert [type(answer) for answer in batch] == [Taken, Refused]
            assert isinstance((await s.venue.gateway.cancel_batch([(ID, "b1")]))[0], Taken)

    run(test)


def test_a_stop_at_the_venue_follows_the_position_and_can_be_taken_away() -> None:
    async def test() -> None:
        async with scene(bars(4)) as s:
            await s.bar()
            await s.venue.place(order("buy-1", Side.BUY, 20))
            assert isinstance(await s.venue.set_stop_loss(ID, 550_000), Taken)
            assert isinstance(await s.venue.set_stop_loss(ID, 550_000), Taken)
            assert (await s.venue.positions())[0].stop_loss_ticks == 550_000
            await s.settle()
            assert s.of(VenuePosition)[-1].stop_loss_ticks == 550_000
            (stop,) = await s.venue.open_orders()
            assert (stop.is_conditional, stop.reduce_only, stop.client_order_id) == (True, True, "")
            assert isinstance(await s.venue.set_stop_loss(ID, 0), Taken)
            assert (await s.venue.positions())[0].stop_loss_ticks == 0

    run(test)


@pytest.mark.parametrize("kind", ["public", "private", "trade"])
def test_a_cut_stream_comes_back_and_nothing_is_lost(kind: str) -> None:
    async def test() -> None:
        async with scene(bars(8)) as s:
            for number in range(6):
                released = await s.bar()
                await s.venue.place(order(f"o-{number}", Side.BUY, 5))
                await s.settle()
                if number in (1, 3):
                    await s.cut(kind)
                await s.step.acknowledge(released.seq)
            await s.settle()
            while StreamUp(Stream(kind), again=True) not in s.news:
                s.news.append(await s.venue.news())
            ends = [bar.ts_ns for bar in s.of(BarClosed)]
            assert ends == list(range(ends[0], ends[-1] + 1, MINUTE))
            by_rest = await s.venue.executions(T0)
            assert {fill.fill_id for fill in s.of(OrderFilled)} <= {fill.fill_id for fill in by_rest}
            assert sum(fill.qty_lots for fill in by_rest) == s.simulated.position(ACCOUNT, ID).lots == 30

    run(test)


def test_readers_see_the_market() -> None:
    async def test() -> None:
        async with scene(bars(4)) as s:
            released = await s.bar()
            quotes = s.venue.feed.quotes["BTCUSDT"]
            bid, ask = quotes.best()
            depth = s.simulated.depth(ID, 1)
            assert (bid, ask) == (depth.bids[0][0], depth.asks[0][0])
            assert quotes.book.is_whole
            while quotes.mark_e8 != s.simulated.ticker(ID).mark_e8:  # in a fast market a ticker may be held for a moment
                await s.venue.barrier()
            assert s.venue.data_age_ns(released.venue_ms * 10**6) == 0

    run(test)


def test_a_wrong_secret_is_refused_with_what_to_do() -> None:
    async def test() -> None:
        async with scene(bars(2), secret="WRONG", start=False) as s:
            with pytest.raises(AccessRefused) as caught:
                await s.venue.start()
            assert "secret belongs to the key" in caught.value.fix

    run(test)
