"""Races of one order through the desk: amends against trades, cancels and lost answers; news that outruns other news; what others do."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kedge.domain.errors import VenueUnavailable
from kedge.domain.events import (
    BooksDiffer,
    Event,
    OrderAmended,
    OrderAmendRefused,
    OrderCanceled,
    OrderFilled,
    OrderProvenAbsent,
    OrderRejected,
    OrderTriggered,
    OrderUnanswered,
    OrderWaits,
    Request,
    TimerFired,
)
from kedge.domain.orders import (
    GUARD_PREFIX,
    ApprovedOrder,
    FillCause,
    Liquidity,
    OrderKind,
    Side,
    TimeInForce,
)
from kedge.domain.outputs import AmendSent, CancelSent, OrderSent, Output, StopWanted
from kedge.domain.venue import NO_PERMIT, Answer
from kedge.engine.lifecycle import Status
from kedge.engine.orders import OrderState
from kedge.risk.states import RiskState
from kedge.services.desk_amends import NOT_SENT
from kedge.services.desk_search import UNCHANGED
from kedge.services.kill_points import KillAt
from kedge.services.live import LiveTrader
from kedge.services.permits import LocalIssuer
from kedge.simulation.venue_types import OrderRow
from kedge.strategy.execution import ExecutionPolicy

from ...builders import AAA, MINUTE, T0, Wish, bar, order
from .live_world import Killed, World, compare_books, die, play, until
from .venue_in_process import limit_order

RESTING = {"execution": ExecutionPolicy(entry=OrderKind.LIMIT)}


def want(trader: LiveTrader, *outputs: Output) -> None:
    """Have the engine want this now: recorded, folded and carried out like all that it wants."""
    engine = trader.core.engine
    real = engine.step

    def step(event: Event) -> tuple[Output, ...]:
        made = real(event)
        for output in outputs:
            engine._fold.absorb(output)
        return (*made, *outputs)

    engine.step = step  # type: ignore[method-assign]
    trader.core.step(TimerFired(trader.core.now_ns(), "test"))
    engine.step = real  # type: ignore[method-assign]


def only(trader: LiveTrader) -> OrderState:
    """The one order that this trader ever had."""
    (held,) = trader.engine.state.orders.by_id.values()
    return held


def told(world: World) -> list[Event]:
    """What the journal was told of orders."""
    return [step.event for step in world.steps() if type(step.event).__name__.startswith("Order")]


def kinds(world: World) -> list[str]:
    return [type(event).__name__ for event in told(world)]


def is_halted(trader: LiveTrader) -> bool:
    return trader.engine.state.risk_state is RiskState.HALTED


async def resting(world: World, trader: LiveTrader) -> OrderState:
    """One sell of 10 % that rests above the market, acknowledged."""
    world.exchange.play(bar(1, 1_000))
    await until(trader, lambda: trader.engine.state.orders.live_count == 1 and not trader.desk.under_way)
    held = only(trader)
    await until(trader, lambda: held.status is Status.OPEN)
    return held


def begun(tmp_path: Path, **given: Any) -> tuple[World, LiveTrader]:
    world = World(tmp_path)
    given = {"strategy": Wish().say(-0.1), "plan": RESTING, **given}
    return world, world.trader(**given)


async def settled(trader: LiveTrader, held: OrderState, status: Status = Status.OPEN) -> None:
    await until(trader, lambda: held.status is status and not held.is_amending and not trader.desk.under_way)
    await until(trader, lambda: not trader.desk.searching)


# amends ---------------------------------------------------------------------------------------------------------------


def test_an_amend_is_asked_for_once_and_settled_by_the_orders_row(tmp_path: Path):
    world, trader = begun(tmp_path)

    async def script(trader: LiveTrader) -> None:
        held = await resting(world, trader)
        world.venue.held = []
        want(trader, AmendSent(client_order_id=held.order.client_order_id, qty_lots=12_000, limit_ticks=1_005))
        assert held.reserved_lots == 12_000
        await until(trader, lambda: not trader.desk.under_way)
        assert held.status is Status.PENDING_AMEND, "taken means asked"
        world.venue.let_go()
        await settled(trader, held)
        assert (held.qty_lots, held.limit_ticks, held.reserved_lots) == (12_000, 1_005, 12_000)

    play(world, trader, script)
    assert [(qty, limit) for _, qty, limit in world.venue.amended] == [(12_000, 1_005)]
    assert kinds(world) == ["OrderAccepted", "OrderAmended"]
    compare_books(trader.engine, world.exchange)


@pytest.mark.parametrize("is_carried_out", [True, False])
def test_an_amend_without_an_answer_is_looked_up_until_the_venue_shows_which_terms_stand(tmp_path: Path, is_carried_out: bool):
    world, trader = begun(tmp_path)

    async def script(trader: LiveTrader) -> None:
        held = await resting(world, trader)
        world.venue.held = []
        world.venue.lose_amend_answers, world.venue.lose_amends = int(is_carried_out), int(not is_carried_out)
        want(trader, AmendSent(client_order_id=held.order.client_order_id, limit_ticks=1_005))
        await settled(trader, held)
        assert held.limit_ticks == (1_005 if is_carried_out else 1_000)
        world.venue.let_go()
        await asyncio.sleep(0.01)

    play(world, trader, script)
    assert len(world.venue.amended) == 1, "never sent again"
    lost = next(event for event in told(world) if isinstance(event, OrderUnanswered))
    assert lost.request is Request.AMEND
    settled_by = [event for event in told(world) if isinstance(event, OrderAmended | OrderAmendRefused)]
    if is_carried_out:
        assert [type(event) for event in settled_by] == [OrderAmended, OrderAmended], "by the look, then by the row"
    else:
        assert [event.code for event in settled_by] == [UNCHANGED]  # type: ignore[union-attr]
    assert not is_halted(trader)
    compare_books(trader.engine, world.exchange)


def test_an_amend_whose_row_never_comes_is_looked_up(tmp_path: Path):
    world, trader = begun(tmp_path)

    async def script(trader: LiveTrader) -> None:
        held = await resting(world, trader)
        world.venue.is_up = False
        trader.desk._amends._row_within_s = 0.01
        want(trader, AmendSent(client_order_id=held.order.client_order_id, limit_ticks=1_005))
        await settled(trader, held)
        assert held.limit_ticks == 1_005
        world.venue.is_up = True

    play(world, trader, script)
    assert kinds(world) == ["OrderAccepted", "OrderAmended"]


def test_an_amend_that_lost_to_the_last_trade_is_refused_and_nothing_stays_reserved(tmp_path: Path):
    world, trader = begun(tmp_path)

    async def script(trader: LiveTrader) -> None:
        held = await resting(world, trader)
        world.venue.wait_before_amend = asyncio.Event()
        want(trader, AmendSent(client_order_id=held.order.client_order_id, qty_lots=20_000))
        await asyncio.sleep(0)
        world.exchange.play(bar(2, 1_010, open=1_000))
        await until(trader, lambda: held.status is Status.FILLED)
        assert trader.engine.state.orders.open_lots(AAA) == (0, 0)
        world.venue.wait_before_amend.set()
        await until(trader, lambda: not trader.desk.under_way)

    play(world, trader, script)
    assert kinds(world)[-1] == "OrderAmendRefused"
    assert not is_halted(trader)
    compare_books(trader.engine, world.exchange)


def test_a_refused_amend_leaves_the_order_as_it_was(tmp_path: Path):
    world, trader = begun(tmp_path)

    async def script(trader: LiveTrader) -> None:
        held = await resting(world, trader)
        want(trader, AmendSent(client_order_id=held.order.client_order_id, limit_ticks=9_000_000))
        await settled(trader, held)
        assert (held.limit_ticks, held.reserved_lots) == (1_000, held.qty_lots)

    play(world, trader, script)
    assert kinds(world) == ["OrderAccepted", "OrderAmendRefused"]
    compare_books(trader.engine, world.exchange)


def test_terms_that_outran_the_acknowledgement_acknowledge_the_order(tmp_path: Path):
    """The venue cuts a reduce-only order to the position; its row can come before the answer to the creation."""
    world, trader = begun(tmp_path, strategy=Wish())

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: bool(trader.engine.state.ts_ns >= T0 + MINUTE))
        world.venue.held = []
        world.venue.wait_before_answer = asyncio.Event()
        want(trader, OrderSent(approved=ApprovedOrder(order=order("cut", Side.BUY, 5_000, 900), limits_version="v")))
        await asyncio.sleep(0)
        trader.news.take(OrderAmended(trader.core.now_ns(), "cut", 3_000, 900))
        assert only(trader).status is Status.OPEN
        assert only(trader).leaves_lots == 3_000
        world.venue.wait_before_answer.set()
        await until(trader, lambda: not trader.desk.under_way)
        assert only(trader).venue_order_id

    play(world, trader, script)
    assert kinds(world)[:2] == ["OrderAccepted", "OrderAmended"]
    assert not is_halted(trader)


def test_a_cancel_overtakes_an_amend(tmp_path: Path):
    world, trader = begun(tmp_path)

    async def script(trader: LiveTrader) -> None:
        held = await resting(world, trader)
        name = held.order.client_order_id
        world.venue.wait_before_amend = asyncio.Event()
        want(trader, AmendSent(client_order_id=name, limit_ticks=1_005))
        await asyncio.sleep(0)
        want(trader, CancelSent(client_order_id=name, reason="TEST"))
        await until(trader, lambda: held.status is Status.CANCELED)
        assert trader.desk.amending, "the amend is still on its way"
        world.venue.wait_before_amend.set()
        await until(trader, lambda: not trader.desk.under_way)

    play(world, trader, script)
    assert [kind for kind in kinds(world) if kind != "OrderAccepted"] == ["OrderCanceled", "OrderAmendRefused"]
    assert not is_halted(trader)
    compare_books(trader.engine, world.exchange)


def test_an_amend_of_an_order_that_is_to_be_cancelled_by_then_does_not_leave(tmp_path: Path):
    world, trader = begun(tmp_path)

    async def script(trader: LiveTrader) -> None:
        held = await resting(world, trader)
        name = held.order.client_order_id
        world.venue.wait_before_amend = asyncio.Event()
        want(trader, AmendSent(client_order_id=name, limit_ticks=1_005))
        await asyncio.sleep(0)
        trader.core.step(OrderAmended(trader.core.now_ns(), name, held.qty_lots, 1_005))
        world.venue.lose_cancels = 1
        want(trader, AmendSent(client_order_id=name, limit_ticks=1_007))
        want(trader, CancelSent(client_order_id=name, reason="TEST"))
        world.venue.wait_before_amend.set()
        await until(trader, lambda: held.status is Status.CANCELED and not trader.desk.under_way)

    play(world, trader, script)
    assert [limit for _, _, limit in world.venue.amended] == [1_005], "one at a time, and the second never"
    refused = [event for event in told(world) if isinstance(event, OrderAmendRefused)]
    assert [event.code for event in refused] == [NOT_SENT]


def test_an_amend_that_adds_risk_needs_a_permit(tmp_path: Path):
    clock = [0]
    permits = LocalIssuer("paper", lambda: clock[0])
    world, trader = begun(tmp_path, permits=permits, monotonic_ns=lambda: clock[0])

    async def script(trader: LiveTrader) -> None:
        held = await resting(world, trader)
        permits.renew = lambda: None  # type: ignore[method-assign]
        clock[0] += 10**10
        want(trader, AmendSent(client_order_id=held.order.client_order_id, limit_ticks=1_005))
        await settled(trader, held)

    play(world, trader, script)
    assert world.venue.amended == []
    assert [event.code for event in told(world) if isinstance(event, OrderAmendRefused)] == [NO_PERMIT]


def test_an_amend_whose_permit_runs_out_while_it_waits_for_room_does_not_leave(tmp_path: Path):
    clock = [0]
    permits = LocalIssuer("paper", lambda: clock[0])
    world, trader = begun(tmp_path, permits=permits, monotonic_ns=lambda: clock[0])

    async def script(trader: LiveTrader) -> None:
        held = await resting(world, trader)
        world.venue.wait_before_amend = asyncio.Event()
        want(trader, AmendSent(client_order_id=held.order.client_order_id, qty_lots=20_000))
        await until(trader, lambda: world.venue.amended)
        permits.renew = lambda: None  # type: ignore[method-assign]
        clock[0] += 10**10
        world.venue.wait_before_amend.set()
        await settled(trader, held)
        assert held.qty_lots == 10_000

    play(world, trader, script)
    assert [event.code for event in told(world) if isinstance(event, OrderAmendRefused)] == [NO_PERMIT]
    compare_books(trader.engine, world.exchange)


def test_an_amend_that_a_killed_trader_asked_for_is_settled_by_the_next_one(tmp_path: Path):
    for point, limit in (("before_amend", 1_000), ("after_amend_answer", 1_005)):
        folder = tmp_path / point
        folder.mkdir()
        world, trader = begun(folder, kill=KillAt(point, 1, die))

        async def script(trader: LiveTrader, world: World = world) -> None:
            held = await resting(world, trader)
            world.venue.held = []
            want(trader, AmendSent(client_order_id=held.order.client_order_id, limit_ticks=1_005))
            await asyncio.sleep(5)

        with pytest.raises(Killed):
            play(world, trader, script)
        world.crash()
        later = world.trader(strategy=Wish(), plan=RESTING)

        async def goes_on(trader: LiveTrader) -> None:
            await settled(trader, only(trader))

        play(world, later, goes_on)
        assert only(later).limit_ticks == limit
        assert sum(len(venue.amended) for venue in world.venues) == int(limit == 1_005), "never sent again"
        assert Request.AMEND in [event.request for event in told(world) if isinstance(event, OrderUnanswered)]
        compare_books(later.engine, world.exchange)


# cancels --------------------------------------------------------------------------------------------------------------


def test_a_cancel_that_lost_to_a_trade_ends_filled(tmp_path: Path):
    world, trader = begun(tmp_path)

    async def script(trader: LiveTrader) -> None:
        held = await resting(world, trader)
        world.venue.held = []
        world.exchange.play(bar(2, 1_010, open=1_000))
        want(trader, CancelSent(client_order_id=held.order.client_order_id, reason="TEST"))
        await until(trader, lambda: held.status is Status.FILLED and not trader.desk.under_way)

    play(world, trader, script)
    assert not is_halted(trader)


def test_the_lost_answer_of_a_cancel_is_recorded_and_the_cancel_asked_for_again(tmp_path: Path):
    world, trader = begun(tmp_path)

    async def script(trader: LiveTrader) -> None:
        held = await resting(world, trader)
        world.venue.lose_cancels = 1
        want(trader, CancelSent(client_order_id=held.order.client_order_id, reason="TEST"))
        await until(trader, lambda: held.status is Status.CANCELED)

    play(world, trader, script)
    assert [event.request for event in told(world) if isinstance(event, OrderUnanswered)] == [Request.CANCEL]
    assert len(world.venue.canceled) == 2


def test_trades_told_after_the_cancel_are_booked_in_any_order_and_once(tmp_path: Path):
    world, trader = begun(tmp_path)

    async def script(trader: LiveTrader) -> None:
        held = await resting(world, trader)
        name, now_ns, lots = held.order.client_order_id, trader.core.now_ns(), held.qty_lots
        first = OrderFilled(now_ns, "p1", name, AAA, Side.SELL, 300, 1_000, 1, Liquidity.MAKER, lots - 300)
        second = OrderFilled(now_ns, "p2", name, AAA, Side.SELL, 200, 1_000, 1, Liquidity.MAKER, lots - 500)
        gone = OrderCanceled(now_ns, name, "CancelByUser")
        for news in (gone, second, first, gone, first, second):
            trader.news.take(news)
        assert (held.status, held.filled_lots) == (Status.CANCELED, 500)
        assert trader.engine.state.slots[AAA].position_lots == -500
        assert trader.engine.state.orders.open_lots(AAA) == (0, 0)
        assert not is_halted(trader)

    play(world, trader, script)
    assert kinds(world) == ["OrderAccepted", "OrderCanceled", "OrderFilled", "OrderFilled", "OrderCanceled"]


# acknowledgements -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["fill", "cancel", "refusal"])
def test_the_acknowledgement_reaches_the_journal_once_also_when_the_end_outran_it(tmp_path: Path, first: str):
    world, trader = begun(tmp_path)

    async def script(trader: LiveTrader) -> None:
        world.venue.held = []
        world.venue.wait_before_answer = asyncio.Event()
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: bool(world.venue.placed))
        name, now_ns = world.venue.placed[0].order.client_order_id, world.exchange.now_ns
        if first == "fill":
            trader.core.step(OrderFilled(now_ns, "x", name, AAA, Side.SELL, only(trader).qty_lots, 1_000, 0, Liquidity.MAKER, 0))
        else:
            trader.news.take(OrderCanceled(now_ns, name, "x") if first == "cancel" else OrderRejected(now_ns, name, "x", "later"))
        world.venue.wait_before_answer.set()
        await until(trader, lambda: not trader.desk.under_way)
        world.venue.let_go()
        await asyncio.sleep(0.01)

    play(world, trader, script)
    assert kinds(world).count("OrderAccepted") == 1
    over = {"fill": Status.FILLED, "cancel": Status.CANCELED, "refusal": Status.REJECTED}[first]
    assert only(trader).status is over


def test_the_same_acknowledgement_by_answer_stream_and_list_is_journalled_once(tmp_path: Path):
    world, trader = begun(tmp_path)

    async def script(trader: LiveTrader) -> None:
        await resting(world, trader)
        trader.want_reconciliation("test")
        count = trader.books.count
        await until(trader, lambda: trader.books.count > count)

    play(world, trader, script)
    assert kinds(world) == ["OrderAccepted"]


def test_every_lost_answer_of_a_creation_is_recorded_also_when_the_stream_told_the_order_first(tmp_path: Path):
    world, trader = begun(tmp_path)
    world.prepare = lambda venue: setattr(venue, "lose_answers", 1)

    async def script(trader: LiveTrader) -> None:
        world.venue.wait_before_answer = asyncio.Event()
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: bool(trader.engine.state.orders.by_id) and only(trader).status is Status.OPEN)
        world.venue.wait_before_answer.set()
        await until(trader, lambda: not trader.desk.under_way)
        assert only(trader).status is Status.OPEN

    play(world, trader, script)
    assert kinds(world) == ["OrderAccepted", "OrderUnanswered"]


def test_a_late_refusal_of_an_acknowledged_order_ends_it(tmp_path: Path):
    world, trader = begun(tmp_path)

    async def script(trader: LiveTrader) -> None:
        held = await resting(world, trader)
        for _ in range(2):
            trader.news.take(OrderRejected(trader.core.now_ns(), held.order.client_order_id, "110007", "no money left"))
        assert held.status is Status.REJECTED
        assert trader.engine.state.orders.open_lots(AAA) == (0, 0)
        assert trader.engine.state.funnel.refused == {"110007": 1}

    play(world, trader, script)


# conditional orders ---------------------------------------------------------------------------------------------------


def conditional(name: str = "cond", **given: Any) -> OrderSent:
    intent = order(name, Side.BUY, 5_000, trigger_ticks=1_004, trigger_rises=True, **given)
    return OrderSent(approved=ApprovedOrder(order=intent, limits_version="v"))


def test_a_conditional_order_waits_is_triggered_and_trades(tmp_path: Path):
    world, trader = begun(tmp_path, strategy=Wish())

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: bool(trader.engine.state.ts_ns >= T0 + MINUTE))
        want(trader, conditional())
        await until(trader, lambda: only(trader).status is Status.WAITING and not trader.desk.under_way)
        trader.want_reconciliation("test")
        count = trader.books.count
        await until(trader, lambda: trader.books.count > count)
        world.exchange.play(bar(2, 1_010, open=1_000))
        await until(trader, lambda: only(trader).status is Status.FILLED)

    play(world, trader, script)
    assert kinds(world)[0] in ("OrderAccepted", "OrderWaits")
    assert "OrderTriggered" in kinds(world)
    assert not is_halted(trader)
    compare_books(trader.engine, world.exchange)


def test_a_trigger_that_outran_the_acknowledgement_opens_the_order(tmp_path: Path):
    world, trader = begun(tmp_path, strategy=Wish())

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: bool(trader.engine.state.ts_ns >= T0 + MINUTE))
        world.venue.held = []
        world.venue.wait_before_answer = asyncio.Event()
        want(trader, conditional())
        await asyncio.sleep(0)
        trader.news.take(OrderTriggered(trader.core.now_ns(), "cond"))
        assert only(trader).status is Status.OPEN
        world.venue.wait_before_answer.set()
        await until(trader, lambda: not trader.desk.under_way)
        trader.news.take(OrderWaits(trader.core.now_ns(), "cond", "v"))
        assert only(trader).status is Status.OPEN

    play(world, trader, script)
    assert kinds(world) == ["OrderTriggered", "OrderAccepted", "OrderWaits"]
    assert not is_halted(trader)


def test_a_trigger_missed_while_the_stream_was_away_is_found_by_the_comparison(tmp_path: Path):
    world, trader = begun(tmp_path, strategy=Wish())

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: bool(trader.engine.state.ts_ns >= T0 + MINUTE))
        world.venue.lose_answers, world.venue.held = 1, []
        want(trader, conditional(limit=950, kind=OrderKind.LIMIT, time_in_force=TimeInForce.GTC))
        await until(trader, lambda: only(trader).status is Status.WAITING and not trader.desk.searching)
        world.exchange.play(bar(2, 1_010, open=1_000))
        trader.want_reconciliation("test")
        await until(trader, lambda: only(trader).status is Status.OPEN)

    play(world, trader, script)
    assert kinds(world) == ["OrderUnanswered", "OrderWaits", "OrderTriggered"]
    compare_books(trader.engine, world.exchange)


# what others do -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cause", "code"), [(FillCause.LIQUIDATION, "LIQUIDATED"), (FillCause.ADL, "DELEVERAGED"), (FillCause.STOP, "STOP_FIRED")]
)
def test_what_the_venue_trades_by_itself_is_booked_and_halts(tmp_path: Path, cause: FillCause, code: str):
    world, trader = begun(tmp_path, strategy=Wish())

    async def script(trader: LiveTrader) -> None:
        fill = OrderFilled(trader.core.now_ns(), "by-venue", "", AAA, Side.SELL, 7, 1_000, 3, Liquidity.TAKER, 0, cause)
        for _ in range(2):
            trader.news.take(fill)
        state = trader.engine.state
        assert (state.halt_code, state.slots[AAA].position_lots) == (code, -7)

    play(world, trader, script)


def test_news_of_an_order_that_is_not_ours_is_compared_and_never_cancelled(tmp_path: Path):
    world, trader = begun(tmp_path, strategy=Wish())

    async def script(trader: LiveTrader) -> None:
        for event in (OrderWaits(T0, "theirs", "v"), OrderTriggered(T0, "theirs"), OrderAmended(T0, "theirs", 5, 5)):
            trader.news.take(event)
        count = trader.books.count
        await until(trader, lambda: trader.books.count > count)
        assert not is_halted(trader), "nothing of it is there"

    play(world, trader, script)
    assert told(world) == []


@pytest.mark.parametrize("how", ["frame", "fill", "list"])
def test_an_order_of_the_guard_makes_us_stand_down_and_is_left_alone(tmp_path: Path, how: str):
    world, trader = begun(tmp_path)
    theirs = GUARD_PREFIX + "1"

    async def script(trader: LiveTrader) -> None:
        held = await resting(world, trader)
        if how == "fill":
            trader.news.take(OrderFilled(trader.core.now_ns(), "g1", theirs, AAA, Side.BUY, 5, 1_000, 1, Liquidity.TAKER, 0))
            assert trader.engine.state.slots[AAA].position_lots == 5, "it acts on our behalf: booked"
        else:
            world.venue.held = [] if how == "list" else None
            row = world.exchange.place_foreign(**limit_order(Side.BUY, 5_000, 900, link_id=theirs))
            assert isinstance(row, OrderRow)
            trader.want_reconciliation("test")
        await until(trader, lambda: trader.engine.state.halt_code == "GUARD_ACTS")
        world.venue.let_go()
        await until(trader, lambda: held.status is Status.CANCELED)
        count = trader.books.count
        trader.want_reconciliation("again")
        await until(trader, lambda: trader.books.count > count)

    play(world, trader, script)
    assert theirs not in world.venue.canceled
    seen = {event.code for event in (step.event for step in world.steps()) if isinstance(event, BooksDiffer)}
    assert "GUARD_ACTS" in seen
    assert "FOREIGN_ORDER" not in seen


# stops and silence ----------------------------------------------------------------------------------------------------


def test_a_wish_for_a_stop_is_handed_on_once_it_is_durable(tmp_path: Path):
    world, trader = begun(tmp_path, strategy=Wish())
    wishes: list[tuple[StopWanted, int]] = []

    async def script(trader: LiveTrader) -> None:
        before = trader.journal.count
        trader.desk.on_stop = lambda stop: wishes.append((stop, trader.journal.count - before))
        want(trader, StopWanted(instrument=AAA, stop_ticks=900, position_lots=5))

    play(world, trader, script)
    assert wishes == [(StopWanted(instrument=AAA, stop_ticks=900, position_lots=5), 1)]


def test_a_cancel_that_is_lost_after_its_order_was_proven_absent_changes_nothing(tmp_path: Path):
    world, trader = begun(tmp_path)
    world.prepare = lambda venue: setattr(venue, "lose_requests", 1)
    go = asyncio.Event()

    async def script(trader: LiveTrader) -> None:
        async def slow_cancel(*_: object) -> Answer:
            await go.wait()
            raise VenueUnavailable("no answer", why="drill", fix="wait")

        world.venue.cancel = slow_cancel  # type: ignore[method-assign]
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: bool(trader.engine.state.orders.by_id) and only(trader).status is Status.UNKNOWN)
        want(trader, CancelSent(client_order_id=only(trader).order.client_order_id, reason="TEST"))
        await until(trader, lambda: only(trader).status is Status.ABSENT)
        go.set()
        await until(trader, lambda: not trader.desk.under_way)
        assert only(trader).status is Status.ABSENT

    play(world, trader, script)
    assert [type(event) for event in told(world)] == [OrderUnanswered, OrderProvenAbsent, OrderUnanswered]
    assert not is_halted(trader)
