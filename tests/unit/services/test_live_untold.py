"""What is not told: ends and trades of orders whose rows got lost on a whole stream; and the two legs of a turn."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from kedge.domain.events import BooksDiffer, Command, CommandGiven, OrderAmended, OrderCanceled, OrderFilled, OrderRejected
from kedge.domain.orders import ApprovedOrder, FillCause, Liquidity, Side
from kedge.domain.outputs import CancelSent, OrderSent
from kedge.domain.venue import VenueOrder, VenueOrderState
from kedge.engine.lifecycle import Status
from kedge.engine.orders import OrderState
from kedge.services import desk_search
from kedge.services.desk_amends import NOT_SENT
from kedge.services.desk_search import NOTHING_MORE
from kedge.services.live import LiveTrader
from kedge.services.lookup import Absent, Shown
from kedge.services.reconcile import ORDER_VANISHED

from ...builders import AAA, MINUTE, T0, Wish, bar, order
from .live_world import World, compare_books, play, until
from .test_live_races import begun, is_halted, only, resting, told, want


async def at_the_market(world: World, trader: LiveTrader) -> None:
    """A price is known, and nothing is wanted yet."""
    world.exchange.play(bar(1, 1_000))
    await until(trader, lambda: bool(trader.engine.state.ts_ns >= T0 + MINUTE))


def sent(name: str, lots: int, *, side: Side = Side.SELL, **more: object) -> OrderSent:
    return OrderSent(approved=ApprovedOrder(order=order(name, side, lots, **more), limits_version="v"))  # type: ignore[arg-type]


def shown(held: OrderState, state: VenueOrderState, lots: int, cum_lots: int) -> Shown:
    """The order as a list of the venue shows it."""
    intent = held.order
    return Shown(
        VenueOrder(
            client_order_id=intent.client_order_id, venue_order_id="v", instrument=AAA, side=intent.side, kind=intent.kind,
            time_in_force=intent.time_in_force, qty_lots=lots, cum_lots=cum_lots, limit_ticks=intent.limit_ticks, reduce_only=False,
            is_conditional=False, state=state, reason="", created_ts_ns=T0, updated_ts_ns=T0, trigger_ticks=0,
        ),
        [],
    )  # fmt: skip


def test_an_order_that_trades_at_once_is_looked_up_when_its_end_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_search, "ENDS_WITHIN_S", (0.01, 0.01))
    world, trader = begun(tmp_path, strategy=Wish(), plan={})

    async def script(trader: LiveTrader) -> None:
        await at_the_market(world, trader)
        world.venue.held = []
        want(trader, sent("gone", 5_000, side=Side.BUY))
        await until(trader, lambda: only(trader).status is Status.FILLED and not trader.desk.searching)
        assert trader.engine.state.slots[AAA].position_lots == 5_000
        compare_books(trader.engine, world.exchange)

    play(world, trader, script)
    assert not is_halted(trader)


def test_an_order_that_is_over_before_its_trades_are_told_is_looked_up(tmp_path: Path) -> None:
    world, trader = begun(tmp_path, strategy=Wish(), plan={})

    async def script(trader: LiveTrader) -> None:
        await at_the_market(world, trader)
        world.venue.held = []
        want(trader, sent("early", 5_000, side=Side.BUY))
        await until(trader, lambda: only(trader).status is Status.OPEN)
        trader.news.take(OrderCanceled(trader.core.now_ns(), "early", "EC_Done", 5_000))
        assert trader.engine.state.orders.open_lots(AAA) == (5_000, 0), "what it traded is still to be told"
        await until(trader, lambda: trader.engine.state.orders.is_settled(AAA) and not trader.desk.searching)
        assert trader.engine.state.slots[AAA].position_lots == 5_000

    play(world, trader, script)
    assert not is_halted(trader)


def test_a_word_that_was_wrong_is_corrected_by_the_venues_last_one(tmp_path: Path) -> None:
    world, trader = begun(tmp_path)

    async def script(trader: LiveTrader) -> None:
        held = await resting(world, trader)
        name = held.order.client_order_id
        world.venue.held = []
        world.exchange.core.cancel("777001", AAA, world.exchange.now_ns, link_id=name)
        world.exchange.publish()
        trader.news.take(OrderCanceled(trader.core.now_ns(), name, "EC_Done", 7))
        assert held.reserved_lots == 7
        await until(trader, lambda: held.reserved_lots == 0 and not trader.desk.searching)

    play(world, trader, script)
    assert [event.reason for event in told(world) if isinstance(event, OrderCanceled)] == ["EC_Done", NOTHING_MORE]
    assert not is_halted(trader)


def test_a_filled_order_that_had_been_cut_is_settled_by_what_the_venue_shows(tmp_path: Path) -> None:
    world, trader = begun(tmp_path)

    async def script(trader: LiveTrader) -> None:
        held = await resting(world, trader)
        name, lots = held.order.client_order_id, held.qty_lots
        trader.desk._search.tasks[name] = trader.spawn(asyncio.sleep(30))  # nobody else looks meanwhile
        fill = OrderFilled(T0, "cut", name, AAA, held.order.side, lots - 10, 1_000, 1, Liquidity.MAKER, 0, FillCause.TRADE)
        trader.core.step(fill)
        assert held.reserved_lots == 10
        assert not trader.desk.found(held, shown(held, VenueOrderState.FILLED, lots, lots)), "its trades are not in the lists yet"
        assert not trader.desk.found(held, shown(held, VenueOrderState.OPEN, lots, 0)), "an order that lives there is a difference"
        assert trader.desk.found(held, shown(held, VenueOrderState.FILLED, lots - 10, lots - 10))
        assert held.reserved_lots == 0

    play(world, trader, script)
    assert [event.qty_lots for event in told(world) if isinstance(event, OrderAmended)] != []


def test_an_order_that_is_over_and_found_nowhere_is_a_difference_until_a_person_resumes(tmp_path: Path) -> None:
    world, trader = begun(tmp_path)

    async def script(trader: LiveTrader) -> None:
        held = await resting(world, trader)
        name = held.order.client_order_id
        trader.desk._search.tasks[name] = trader.spawn(asyncio.sleep(30))
        trader.core.step(OrderCanceled(trader.core.now_ns(), name, "EC_Done", 7))
        assert not trader.desk.found(held, Absent())
        assert is_halted(trader)
        assert not trader.desk.found(held, Absent()), "a person has to see it"
        trader.core.step(CommandGiven(trader.core.now_ns(), Command.RESUME, "op", "seen", "c1"))
        assert trader.desk.found(held, Absent())
        assert held.reserved_lots == 0

    play(world, trader, script)
    assert [step.event.code for step in world.steps() if isinstance(step.event, BooksDiffer)][:1] == [ORDER_VANISHED]


def test_the_opening_leg_of_a_turn_leaves_when_the_closing_one_was_taken(tmp_path: Path) -> None:
    world, trader = begun(tmp_path, strategy=Wish(), plan={})

    async def script(trader: LiveTrader) -> None:
        await at_the_market(world, trader)
        want(trader, sent("held", 5_000, side=Side.BUY))
        await until(trader, lambda: trader.engine.state.slots[AAA].position_lots == 5_000)
        world.venue.wait_before_answer = asyncio.Event()
        want(trader, sent("close", 5_000, reduce_only=True), sent("open", 3_000, slice_no=1))
        await until(trader, lambda: len(world.venue.placed) == 2)
        await asyncio.sleep(0.01)
        assert [one.order.client_order_id for one in world.venue.placed] == ["held", "close"]
        world.venue.wait_before_answer.set()
        await until(trader, lambda: trader.engine.state.slots[AAA].position_lots == -3_000)

    play(world, trader, script)
    compare_books(trader.engine, world.exchange)


@pytest.mark.parametrize("trouble", ["lost", "refused"])
def test_the_opening_leg_does_not_leave_when_the_closing_one_was_not_taken(tmp_path: Path, trouble: str) -> None:
    world, trader = begun(tmp_path, strategy=Wish(), plan={})

    async def script(trader: LiveTrader) -> None:
        await at_the_market(world, trader)  # nothing is held, so that a reducing order is refused
        world.venue.lose_requests = int(trouble == "lost")
        want(trader, sent("close", 5_000, reduce_only=True), sent("open", 3_000, slice_no=1))
        await until(trader, lambda: trader.engine.state.orders.by_id["open"].status is Status.REJECTED)

    play(world, trader, script)
    assert [one.order.client_order_id for one in world.venue.placed] == ["close"]
    (refused,) = [event for event in told(world) if isinstance(event, OrderRejected) and event.client_order_id == "open"]
    assert refused.code == NOT_SENT
    assert "close" in refused.reason


def test_an_opening_leg_that_is_to_be_cancelled_meanwhile_never_leaves(tmp_path: Path) -> None:
    world, trader = begun(tmp_path, strategy=Wish(), plan={})

    async def script(trader: LiveTrader) -> None:
        await at_the_market(world, trader)
        want(trader, sent("held", 5_000, side=Side.BUY))
        await until(trader, lambda: trader.engine.state.slots[AAA].position_lots == 5_000)
        world.venue.wait_before_answer = asyncio.Event()
        want(trader, sent("close", 5_000, reduce_only=True), sent("open", 3_000, slice_no=1))
        await until(trader, lambda: len(world.venue.placed) == 2)
        want(trader, CancelSent(client_order_id="open", reason="SUPERSEDED"))
        world.venue.wait_before_answer.set()
        await until(trader, lambda: trader.engine.state.orders.by_id["open"].status is Status.REJECTED)

    play(world, trader, script)
    assert "open" not in [one.order.client_order_id for one in world.venue.placed]
    assert msgspec.structs.asdict(only_refusal(world))["code"] == NOT_SENT


def only_refusal(world: World) -> OrderRejected:
    (found,) = [event for event in told(world) if isinstance(event, OrderRejected)]
    return found
