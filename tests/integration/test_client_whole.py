"""The whole client against our exchange: conditional orders, stops, amendments, batches, settings, and disconnect protection."""

from __future__ import annotations

from typing import Any

import msgspec

from kedge.domain.events import OrderAmended, OrderCanceled, OrderFilled, OrderTriggered, OrderWaits
from kedge.domain.orders import FillCause, Side, TimeInForce
from kedge.domain.venue import Refused, Taken, VenueOrderState
from kedge.venues.bybit.gateway_bodies import amend_fields
from kedge.venues.bybit.requests import Amend, Create, Direction, PositionIdx, Stops, Trigger
from kedge.venues.bybit.requests_position import MarginMode, PositionMode, TradingStop

from .test_client_against_exchange import ACCOUNT, ID, SPEC, bars, order, run, scene

CONTRACT = "BTCUSDT"


def conditional(client_id: str, side: Side, lots: int, trigger: int, *, rises: bool) -> Any:
    approved = order(client_id, side, lots)
    return msgspec.structs.replace(approved, order=msgspec.structs.replace(approved.order, trigger_ticks=trigger, trigger_rises=rises))


async def play(s: Any, count: int) -> None:
    for _ in range(count):
        released = await s.bar()
        await s.step.acknowledge(released.seq)
    await s.settle()


def test_a_conditional_order_waits_is_triggered_by_the_mark_and_trades() -> None:
    async def test() -> None:
        async with scene(bars(8)) as s:
            await play(s, 1)
            assert isinstance(await s.venue.place(conditional("up", Side.BUY, 2, 600_160, rises=True)), Taken)
            assert isinstance(await s.venue.place(conditional("far", Side.SELL, 2, 500_000, rises=False)), Taken)
            await s.settle()
            waits = {one.client_order_id: one for one in await s.venue.open_orders()}
            assert (waits["up"].state, waits["up"].trigger_ticks, waits["up"].is_conditional) == (VenueOrderState.WAITING, 600_160, True)
            await play(s, 5)
            assert [news.client_order_id for news in s.of(OrderWaits)] == ["up", "far"]
            assert [news.client_order_id for news in s.of(OrderTriggered)] == ["up"]
            assert {(fill.client_order_id, fill.cause) for fill in s.of(OrderFilled)} == {("up", FillCause.TRADE)}
            assert isinstance(await s.venue.cancel(ID, "far"), Taken)
            await s.settle()
            assert [news.client_order_id for news in s.of(OrderCanceled)] == ["far"]

    run(test)


def test_a_stop_at_the_position_fills_as_the_venues_own_act() -> None:
    async def test() -> None:
        async with scene(bars(8)) as s:
            await play(s, 3)
            assert isinstance(await s.venue.place(order("long", Side.BUY, 4)), Taken)
            await s.settle()
            (position,) = await s.venue.positions()
            assert await s.venue.set_stop_loss(ID, 599_985) == Taken("")
            assert (await s.venue.positions())[0].stop_loss_ticks == 599_985
            await play(s, 4)
            stopped = [fill for fill in s.of(OrderFilled) if fill.cause is FillCause.STOP]
            assert sum(fill.qty_lots for fill in stopped) == position.lots
            assert {fill.client_order_id for fill in stopped} == {""}
            assert await s.venue.positions() == []

    run(test)


def test_an_amendment_is_taken_and_then_confirmed_by_the_orders_row() -> None:
    async def test() -> None:
        async with scene(bars(3)) as s:
            await play(s, 1)
            resting = order("a-1", Side.BUY, 10, limit=598_000, tif=TimeInForce.POST_ONLY)
            assert isinstance(await s.venue.place(resting), Taken)
            assert isinstance(await s.venue.amend(ID, "a-1", qty_lots=7, limit_ticks=598_010), Taken)
            (answer,) = await s.venue.gateway.amend_batch([amend_fields(SPEC, "a-1", qty_lots=6)])
            assert isinstance(answer, Taken)
            gone = await s.venue.amend(ID, "nobody", qty_lots=7)
            assert isinstance(gone, Refused)
            assert gone.code == "110001"
            await s.settle()
            amended = [(news.qty_lots, news.limit_ticks) for news in s.of(OrderAmended)]
            assert amended == [(7, 598_010), (6, 598_010)]

    run(test)


def test_typed_requests_are_understood_by_an_exchange_that_shares_no_code() -> None:
    async def test() -> None:
        async with scene(bars(3)) as s:
            await play(s, 1)
            rest = s.venue.rest
            entry = Create(
                symbol=CONTRACT, side=Direction.BUY, qty="0.01", price="59800", order_link_id="t-1", stops=Stops(stop_loss="59000")
            )
            assert isinstance(await rest.create_order(entry), Taken)
            assert isinstance(await rest.amend_order(Amend(symbol=CONTRACT, order_link_id="t-1", price="59801")), Taken)
            waiting = Create(
                symbol=CONTRACT, side=Direction.SELL, qty="0.01", order_link_id="t-2", trigger=Trigger(price="59000", rises=False)
            )
            batch = [waiting, msgspec.structs.replace(entry, order_link_id="t-3", stops=None)]
            assert [type(answer) for answer in await rest.create_batch(batch)] == [Taken, Taken]
            rates = await rest.pre_check(msgspec.structs.replace(entry, order_link_id="t-4", stops=None, qty="0.05"))
            assert rates.post_imr_e4 > rates.pre_imr_e4 > 0
            row = await rest.find_realtime(CONTRACT, order_link_id="t-1")
            assert (row.price, row.stop_loss) == ("59801.0", "59000.0") or (float(row.price), float(row.stop_loss)) == (59801, 59000)
            assert isinstance(await rest.cancel_all(CONTRACT, order_filter="Order"), Taken)
            assert [one.client_order_id for one in await s.venue.open_orders()] == ["t-2"]
            assert isinstance(await rest.cancel_all(CONTRACT, only_stops=True), Taken)
            assert await s.venue.open_orders() == []

    run(test)


def test_settings_of_account_and_position_answer_as_one_way_and_cross_do() -> None:
    async def test() -> None:
        async with scene(bars(2)) as s:
            await play(s, 1)
            rest = s.venue.rest
            assert await rest.set_leverage(CONTRACT, 500) == await rest.set_leverage(CONTRACT, 500) == Taken("")
            assert [row.leverage for row in await rest.symbol_info(CONTRACT)] == ["5"]
            assert await rest.set_one_way(CONTRACT) == Taken("")
            assert await rest.set_margin_mode(MarginMode.CROSS) == Taken("")
            assert (await rest.user_settings()).lpa_perp is True
            assert await rest.transferable("USDT")
            refused = [
                await rest.set_position_mode(PositionMode.HEDGE, CONTRACT),
                await rest.add_margin(CONTRACT, "10"),
                await rest.set_auto_add_margin(CONTRACT, on=True),
                await rest.confirm_pending_mmr(CONTRACT),
                await rest.set_margin_mode(MarginMode.ISOLATED),
                await rest.trading_stop(TradingStop(symbol=CONTRACT, stop_loss="59000", position=PositionIdx.LONG)),
            ]
            assert [type(answer) for answer in refused] == [Refused] * len(refused)

    run(test)


def test_disconnect_protection_is_armed_at_the_exchange_and_its_topic_subscribed() -> None:
    async def test() -> None:
        async with scene(bars(2)) as s:
            assert s.venue.unprotected == ""
            (found,) = await s.venue.rest.dcp_info()
            assert (found.product, found.dcp_status, int(found.time_window)) == ("DERIVATIVES", "ON", 30)
            assert s.server._hall.disconnect_windows_s == {ACCOUNT: 30}

    run(test)
