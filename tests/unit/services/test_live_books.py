"""Comparing the books: what is shown, what rests while halted, what moves while it is read, what strangers leave behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from kedge.domain.events import BooksDiffer, Command, CommandGiven, FeedGap, OrderAccepted, OrderCanceled, OrderUnanswered
from kedge.domain.orders import OrderKind, Side
from kedge.domain.venue import Stream, StreamDown, VenuePosition
from kedge.engine.lifecycle import Status
from kedge.risk.states import RiskState
from kedge.services.kill_points import KillAt
from kedge.services.live import LiveTrader
from kedge.services.live_stop import OnStop, risk_on, stop
from kedge.services.reconcile import Foreign
from kedge.strategy.execution import ExecutionPolicy

from ...builders import AAA, BBB, MINUTE, T0, Wish, bar
from .live_world import ACCOUNT, QUICK, Killed, World, compare_books, die, play, until
from .venue_in_process import VenueInProcess, limit_order

RESTING = {"execution": ExecutionPolicy(entry=OrderKind.LIMIT)}


async def reconciled(trader: LiveTrader, why: str = "test") -> None:
    """Have the books compared once more."""
    count = trader.books.count
    trader.want_reconciliation(why)
    await until(trader, lambda: trader.books.count > count)


def test_an_order_that_rests_at_the_venue_and_was_never_answered_is_taken_up_again(tmp_path: Path):
    world = World(tmp_path)

    def deaf(venue: VenueInProcess) -> None:
        venue.held = []

    world.prepare = deaf
    trader = world.trader(strategy=Wish().say(-0.1), plan=RESTING, kill=KillAt("after_send", 1, die))

    async def until_dead(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await asyncio.sleep(30)

    with pytest.raises(Killed):
        play(world, trader, until_dead)
    world.crash()
    world.prepare = lambda venue: None
    trader = world.trader(strategy=Wish(), plan=RESTING, kill=KillAt("reconcile_mid_events", 1, die))
    with pytest.raises(Killed):
        play(world, trader, until_dead)
    world.crash()
    trader = world.trader(strategy=Wish(), plan=RESTING)

    async def look(trader: LiveTrader) -> None:
        (order,) = trader.engine.state.orders.of(AAA).values()
        assert order.status is Status.OPEN
        assert order.venue_order_id

    play(world, trader, look)
    assert [type(step.event) for step in world.steps()].count(OrderAccepted) == 1
    assert world.venue.placed == []
    compare_books(trader.engine, world.exchange)


def test_an_order_that_turns_up_while_trading_is_halted_is_cancelled_on_the_record(tmp_path: Path):
    world = World(tmp_path)

    def prepare(venue: VenueInProcess) -> None:
        venue.lose_answers, venue.lose_cancels, venue.held = 1, 1, []
        venue.on_place = lambda _: setattr(venue, "fail_questions", 10**6)

    world.prepare = prepare
    trader = world.trader(strategy=Wish().say(-0.1), plan=RESTING)

    async def halt(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: risk_on(trader).unknown_orders == 1)
        trader.command(CommandGiven(trader.core.now_ns(), Command.HALT, "ann", "drill"))
        await until(trader, lambda: bool(world.venue.canceled) and not trader.desk.under_way)

    play(world, trader, halt)
    assert OrderUnanswered in [type(step.event) for step in world.steps()]
    world.prepare = lambda venue: None
    trader = world.trader(strategy=Wish(), plan=RESTING)

    async def look(trader: LiveTrader) -> None:
        await until(trader, lambda: not risk_on(trader).orders)

    play(world, trader, look)
    assert trader.engine.state.risk_state is RiskState.HALTED
    given = [step.event for step in world.steps() if isinstance(step.event, CommandGiven)]
    assert [(one.command, one.actor) for one in given] == [(Command.HALT, "ann"), (Command.CANCEL_ALL, "trader")]
    compare_books(trader.engine, world.exchange)


def test_an_order_that_turns_up_in_this_process_after_its_cancel_was_wanted_is_cancelled(tmp_path: Path):
    world = World(tmp_path)

    def prepare(venue: VenueInProcess) -> None:
        venue.lose_answers, venue.lose_cancels, venue.held = 1, 1, []
        venue.on_place = lambda _: setattr(venue, "fail_questions", 10)

    world.prepare = prepare
    trader = world.trader(strategy=Wish().say(-0.1), plan=RESTING)

    async def halt(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: risk_on(trader).unknown_orders == 1)
        trader.command(CommandGiven(trader.core.now_ns(), Command.HALT, "ann", "drill"))
        await until(trader, lambda: len(world.venue.canceled) == 2)
        world.venue.let_go()
        await until(trader, lambda: not risk_on(trader).orders)

    play(world, trader, halt)
    compare_books(trader.engine, world.exchange)


def test_nothing_is_concluded_from_books_that_move_while_they_are_read(tmp_path: Path):
    world = World(tmp_path)
    trader = world.trader(strategy=Wish())

    async def script(trader: LiveTrader) -> None:
        venue, barrier = world.venue, world.venue.barrier
        quiet_after = venue.barriers + 25

        async def restless() -> None:
            await barrier()
            if venue.barriers < quiet_after:
                asyncio.get_running_loop().call_soon(venue.put, await venue.wallet())
                asyncio.get_running_loop().call_soon(venue.put, _position())

        venue.barrier = restless  # type: ignore[method-assign]
        world.exchange.place_foreign(**limit_order(Side.BUY, 500, 950, link_id="somebody"))
        await until(trader, lambda: trader.engine.state.risk_state is RiskState.HALTED)
        assert venue.barriers >= quiet_after

    world.exchange.play(bar(1, 1_000))
    play(world, trader, script)
    assert trader.engine.state.halt_code == "FOREIGN_ORDER"


def _position() -> VenuePosition:
    return VenuePosition(instrument=AAA, position_idx=0, lots=0, cost_e8=0, mark_e8=None, leverage_e2=None, stop_loss_ticks=0, ts_ns=T0)


def test_a_persons_resume_does_not_hide_a_difference_that_is_still_there(tmp_path: Path):
    world = World(tmp_path)
    trader = world.trader(strategy=Wish())
    world.exchange.play(bar(1, 1_000))

    async def script(trader: LiveTrader) -> None:
        world.exchange.place_foreign(**limit_order(Side.BUY, 500, 950, link_id="somebody"))
        await reconciled(trader)
        await reconciled(trader)
        trader.command(CommandGiven(trader.core.now_ns(), Command.RESUME, "ann", "hope"))
        assert trader.engine.state.risk_state is RiskState.RUNNING
        await reconciled(trader)
        assert trader.engine.state.risk_state is RiskState.HALTED
        world.exchange.core.cancel_all(ACCOUNT, None, world.exchange.now_ns)
        world.exchange.publish()
        trader.command(CommandGiven(trader.core.now_ns(), Command.RESUME, "ann", "it is gone"))
        await reconciled(trader)
        assert trader.engine.state.risk_state is RiskState.RUNNING

    play(world, trader, script)
    assert [step.event.code for step in world.steps() if isinstance(step.event, BooksDiffer)] == ["FOREIGN_ORDER"] * 2


def test_an_order_that_is_over_here_and_rests_there_is_cancelled_there_and_trading_stays_halted(tmp_path: Path):
    world = World(tmp_path)
    trader = world.trader(strategy=Wish().say(-0.1), plan=RESTING, settings=msgspec.structs.replace(QUICK, reconcile_wall_min_s=60.0))

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: risk_on(trader).orders == 1 and not trader.desk.under_way)
        (name,) = trader.engine.state.orders.of(AAA)
        trader.core.step(OrderCanceled(trader.core.now_ns(), name, "WRONG"))
        world.venue.lose_cancels = 1
        await reconciled(trader)
        assert trader.engine.state.halt_code == "ORDER_ALIVE"
        await until(trader, lambda: not trader.desk.under_way)
        assert world.exchange.core.open_orders(ACCOUNT).rows, "the first cancel was lost"
        await reconciled(trader)  # asks again, and is followed by another comparison
        await until(trader, lambda: trader.books.last is not None and trader.books.last.agreed)

    play(world, trader, script)
    assert world.exchange.core.open_orders(ACCOUNT).rows == []
    assert [step.event.code for step in world.steps() if isinstance(step.event, BooksDiffer)] == ["ORDER_ALIVE"]
    assert trader.engine.state.risk_state is RiskState.HALTED
    compare_books(trader.engine, world.exchange)


def test_adopted_orders_rest_in_peace(tmp_path: Path):
    world = World(tmp_path)
    world.exchange.play(bar(1, 1_000))
    world.exchange.place_foreign(**limit_order(Side.BUY, 500, 950, link_id="somebody"))
    trader = world.trader(strategy=Wish(), foreign=Foreign.ADOPT)

    async def script(trader: LiveTrader) -> None:
        await reconciled(trader)
        assert trader.books.last is not None
        assert trader.books.last.agreed

    play(world, trader, script)
    assert len(world.exchange.core.open_orders(ACCOUNT).rows) == 1


def test_the_end_of_a_strangers_order_is_noted_and_changes_nothing(tmp_path: Path):
    world = World(tmp_path)
    world.exchange.play(bar(1, 1_000))
    trader = world.trader(strategy=Wish(), foreign=Foreign.ADOPT)

    async def script(trader: LiveTrader) -> None:
        world.exchange.place_foreign(**limit_order(Side.BUY, 500, 950, link_id="somebody"))
        world.exchange.core.cancel_all(ACCOUNT, None, world.exchange.now_ns)
        world.exchange.publish()
        await reconciled(trader)

    play(world, trader, script)
    assert {type(step.event).__name__ for step in world.steps()} <= {"BarClosed", "TimerFired"}


def test_bars_that_history_cannot_give_just_now_become_a_gap(tmp_path: Path):
    world = World(tmp_path)
    trader = world.trader(strategy=Wish(), settings=msgspec.structs.replace(QUICK, reconcile_wall_min_s=100.0))

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: trader.engine.state.funnel.bars == 1)
        world.venue.fail_questions = 1
        world.venue.put(bar(4, 1_000))
        await until(trader, lambda: trader.engine.state.funnel.bars == 2)

    play(world, trader, script)
    assert [step.event.from_ts_ns for step in world.steps() if isinstance(step.event, FeedGap)] == [T0 + MINUTE]


def test_a_gap_the_feed_itself_reports_passes(tmp_path: Path):
    world = World(tmp_path)
    trader = world.trader(strategy=Wish())

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: trader.engine.state.funnel.bars == 1)
        world.venue.put(FeedGap(T0 + 3 * MINUTE, AAA, T0 + MINUTE))
        world.venue.put(bar(4, 1_000))
        await until(trader, lambda: trader.engine.state.funnel.bars == 2)
        assert trader.engine.state.funnel.gaps == 1

    play(world, trader, script)


def test_while_the_private_stream_is_down_the_gate_stays_closed_and_other_streams_do_not_matter(tmp_path: Path):
    world = World(tmp_path)
    trader = world.trader(strategy=Wish())

    async def script(trader: LiveTrader) -> None:
        world.venue.put(StreamDown(Stream.TRADE, "drill"))
        await until(trader, lambda: not trader.news.streams[Stream.TRADE])
        assert trader.bars.gate.is_open
        world.venue.cut()
        await until(trader, lambda: not trader.bars.gate.is_open)
        world.venue.is_up = True
        await reconciled(trader)
        assert not trader.bars.gate.is_open

    play(world, trader, script)


def test_a_stop_waits_for_what_is_under_way(tmp_path: Path):
    world = World(tmp_path)
    trader = world.trader(strategy=Wish().say(0.1))

    async def script(trader: LiveTrader) -> None:
        world.venue.wait_before_answer = asyncio.Event()
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: bool(trader.desk.under_way))
        asyncio.get_running_loop().call_later(0.02, world.venue.wait_before_answer.set)
        await stop(trader, OnStop.LEAVE, within_s=30.0, actor="ann", reason="break")
        assert not trader.desk.under_way

    assert play(world, trader, script) == "stopped"
    compare_books(trader.engine, world.exchange)


def test_a_reconciliation_waits_for_answers_under_way(tmp_path: Path):
    world = World(tmp_path, (AAA, BBB))
    trader = world.trader(strategy=Wish().say(0.1))

    async def script(trader: LiveTrader) -> None:
        world.venue.wait_before_answer = asyncio.Event()
        world.exchange.play(bar(1, 1_000), then=[bar(1, 1_000, BBB)])
        await until(trader, lambda: bool(trader.desk.under_way))
        asyncio.get_running_loop().call_later(0.02, world.venue.wait_before_answer.set)
        await reconciled(trader)
        assert trader.books.last is not None
        assert trader.books.last.agreed

    play(world, trader, script)
    compare_books(trader.engine, world.exchange)


def test_a_changed_fee_is_taken_over_at_the_start_whatever_rests(tmp_path: Path):
    world = World(tmp_path)
    trader = world.trader(strategy=Wish().say(-0.1), plan=RESTING)

    async def rest(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: risk_on(trader).orders == 1 and not trader.desk.under_way)

    play(world, trader, rest)
    world.exchange.specs = [msgspec.structs.replace(world.exchange.specs[0], taker_fee_e8=60_000)]
    trader = world.trader(strategy=Wish(), plan=RESTING)

    async def later(trader: LiveTrader) -> None:
        await reconciled(trader)
        assert trader.engine.state.slots[AAA].spec.taker_fee_e8 == 60_000
        assert risk_on(trader).orders == 1

    play(world, trader, later)
    assert trader.engine.state.halt_code == ""
