"""What a network and a venue do to a live trader, without lock-step: lost answers, lost requests, frames twice or out of order or missed,
strangers on the account, money that comes and goes, liquidation, a permit that runs out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from kedge.domain.errors import AccessRefused, InvalidInput, RecordingFailed, VenueUnavailable
from kedge.domain.events import (
    BooksDiffer,
    CashMoved,
    Command,
    CommandGiven,
    FeedGap,
    FundingSettled,
    OrderCanceled,
    OrderFilled,
    OrderProvenAbsent,
    OrderRejected,
    OrderUnanswered,
    PositionAdopted,
    TimerFired,
)
from kedge.domain.orders import FillCause, OrderKind, Side, TimeInForce
from kedge.domain.outputs import OrderRefused, OrderSent
from kedge.domain.venue import Stream
from kedge.risk.states import RiskState
from kedge.services.live import LiveTrader
from kedge.services.live_books import STEADY_MONEY
from kedge.services.live_status import status
from kedge.services.permits import LocalIssuer
from kedge.services.reconcile import Foreign
from kedge.simulation.venue_types import WalletRow
from kedge.strategy.execution import ExecutionPolicy

from ...builders import AAA, BBB, MINUTE, T0, Wish, bar
from .live_world import ACCOUNT, QUICK, World, booked_ids, compare_books, executed_ids, minutes, play, until
from .venue_in_process import VenueInProcess, limit_order


def halted(trader: LiveTrader) -> str:
    return trader.engine.state.halt_code if trader.engine.state.risk_state is RiskState.HALTED else ""


def filled(trader: LiveTrader, count: int = 1) -> Callable[[], bool]:
    return lambda: trader.engine.state.funnel.filled >= count


def differences(world: World) -> list[BooksDiffer]:
    return [step.event for step in world.steps() if isinstance(step.event, BooksDiffer)]


async def one_bar(world: World, trader: LiveTrader, n: int, close: int = 1_000) -> None:
    """Play one minute and wait until the engine has its bar."""
    world.exchange.play(bar(n, close))
    await until(trader, lambda: trader.engine.state.ts_ns >= T0 + n * MINUTE)


def test_a_bar_becomes_an_order_and_a_fill(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(0.1)
    trader = world.trader(strategy=wish)

    async def script(trader: LiveTrader) -> None:
        await one_bar(world, trader, 1)
        await until(trader, filled(trader))

    assert play(world, trader, script) == "script is through"
    compare_books(trader.engine, world.exchange)


def test_an_order_that_was_carried_out_without_an_answer_is_found_and_not_sent_again(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(0.1)

    def prepare(venue: VenueInProcess) -> None:
        venue.lose_answers, venue.held = 1, []

    world.prepare = prepare
    trader = world.trader(strategy=wish)

    async def script(trader: LiveTrader) -> None:
        await one_bar(world, trader, 1)
        await until(trader, filled(trader))
        assert len(world.venue.placed) == 1
        world.venue.let_go()
        await asyncio.sleep(0.01)

    play(world, trader, script)
    assert OrderUnanswered in [type(step.event) for step in world.steps()]
    assert booked_ids(world.steps()) == executed_ids(world.exchange)
    compare_books(trader.engine, world.exchange)


def test_an_order_that_never_came_is_proven_absent_and_planned_again_under_another_id(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(0.1)
    world.prepare = lambda venue: setattr(venue, "lose_requests", 1)
    trader = world.trader(strategy=wish)

    async def script(trader: LiveTrader) -> None:
        await one_bar(world, trader, 1)
        await until(trader, lambda: not trader.engine.state.orders.live_count and len(world.venue.placed) == 1)
        assert not trader.engine.state.funnel.filled
        await one_bar(world, trader, 2)
        await until(trader, filled(trader))

    play(world, trader, script)
    kinds = [type(step.event) for step in world.steps()]
    assert kinds.index(OrderUnanswered) < kinds.index(OrderProvenAbsent)
    first, second = (approved.order for approved in world.venue.placed)
    assert first.client_order_id != second.client_order_id
    assert (first.attempt, second.attempt) == (0, 1)
    compare_books(trader.engine, world.exchange)


def test_frames_that_come_twice_are_booked_once(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(0.1)
    world.prepare = lambda venue: setattr(venue, "twice", True)
    trader = world.trader(strategy=wish)

    async def script(trader: LiveTrader) -> None:
        await one_bar(world, trader, 1)
        await until(trader, filled(trader))
        wish.say(-0.1)
        await one_bar(world, trader, 2, 1_010)
        await until(trader, filled(trader, 3))

    play(world, trader, script)
    assert booked_ids(world.steps()) == executed_ids(world.exchange)
    assert halted(trader) == ""
    compare_books(trader.engine, world.exchange)


@pytest.mark.parametrize("order", [lambda news: news[::-1], lambda news: news[1::2] + news[::2]])
def test_frames_out_of_order_end_in_the_same_books(tmp_path: Path, order: Callable[[list[object]], list[object]]):
    world, wish = World(tmp_path), Wish().say(0.12)
    plan = {"execution": ExecutionPolicy(slice_notional_frac_e8=4_000_000)}
    trader = world.trader(strategy=wish, plan=plan)

    async def script(trader: LiveTrader) -> None:
        world.venue.held = []
        await one_bar(world, trader, 1)
        await until(trader, lambda: len(executed_ids(world.exchange)) == 3)
        world.venue.let_go(order)
        await until(trader, filled(trader, 3))
        trader.want_reconciliation("test")
        await until(trader, lambda: trader.books.count >= 2)

    play(world, trader, script)
    assert sorted(booked_ids(world.steps())) == sorted(executed_ids(world.exchange))
    assert differences(world) == []
    compare_books(trader.engine, world.exchange)


def test_fills_missed_while_the_stream_was_down_are_booked_before_any_bar_passes(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(-0.1)
    plan = {"execution": ExecutionPolicy(entry=OrderKind.LIMIT)}
    trader = world.trader(strategy=wish, plan=plan)

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: trader.engine.state.orders.live_count == 1)
        world.venue.cut()
        await until(trader, lambda: not trader.news.streams[Stream.PRIVATE])
        world.exchange.play(bar(2, 1_010, open=1_000))
        assert executed_ids(world.exchange)
        await asyncio.sleep(0.02)
        assert trader.engine.state.ts_ns < T0 + 2 * MINUTE
        assert not trader.bars.gate.is_open
        world.venue.mend()
        await until(trader, lambda: trader.engine.state.ts_ns >= T0 + 2 * MINUTE and trader.bars.gate.is_open)

    play(world, trader, script)
    events = [step.event for step in world.steps()]
    bars = [n for n, event in enumerate(events) if event.ts_ns == T0 + 2 * MINUTE and type(event).__name__ == "BarClosed"]
    fills = [n for n, event in enumerate(events) if isinstance(event, OrderFilled)]
    assert fills
    assert fills[-1] < bars[0]
    compare_books(trader.engine, world.exchange)


def test_a_liquidation_while_away_is_booked_with_the_funds_cover(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(0.1)
    trader = world.trader(strategy=wish)

    async def script(trader: LiveTrader) -> None:
        await one_bar(world, trader, 1)
        await until(trader, filled(trader))

    play(world, trader, script)
    assert isinstance(world.exchange.core.transfer(ACCOUNT, -985_000_000_000, world.exchange.now_ns), WalletRow)
    for n, price in enumerate((950, 900, 800, 700), 2):
        world.exchange.play(bar(n, price, open=price + 50))
    assert not world.exchange.core.positions(ACCOUNT)
    trader = world.trader(strategy=Wish())

    async def nothing(trader: LiveTrader) -> None:
        await until(trader, lambda: not trader.bars.gate.waiting)

    play(world, trader, nothing)
    fills = [step.event for step in world.steps() if isinstance(step.event, OrderFilled)]
    assert fills[-1].cause is FillCause.LIQUIDATION
    assert [step.event.amount_e8 for step in world.steps() if isinstance(step.event, CashMoved)]
    compare_books(trader.engine, world.exchange)
    assert differences(world) == []


def test_a_deposit_is_booked_once_from_the_ledger(tmp_path: Path):
    world = World(tmp_path)
    trader = world.trader(strategy=Wish())

    async def script(trader: LiveTrader) -> None:
        await one_bar(world, trader, 1)
        world.exchange.core.transfer(ACCOUNT, 5_000_000_000, world.exchange.now_ns)
        world.exchange.publish()
        await until(trader, lambda: trader.engine.state.account_view[14] == 5_000_000_000)
        trader.want_reconciliation("again")
        await until(trader, lambda: trader.books.count >= 3)

    play(world, trader, script)
    assert [type(step.event) for step in world.steps()].count(CashMoved) == 1
    compare_books(trader.engine, world.exchange)


def test_a_deposit_whose_ledger_row_comes_late_is_no_difference(tmp_path: Path):
    world = World(tmp_path)
    trader = world.trader(strategy=Wish())

    async def script(trader: LiveTrader) -> None:
        await one_bar(world, trader, 1)
        world.exchange.core.transfer(ACCOUNT, 5_000_000_000, world.exchange.now_ns)
        world.venue.hides_ledger = STEADY_MONEY - 1
        trader.want_reconciliation("test")
        await until(trader, lambda: trader.engine.state.account_view[14] == 5_000_000_000)

    play(world, trader, script)
    assert world.venue.hides_ledger == 0
    assert (halted(trader), differences(world)) == ("", [])
    compare_books(trader.engine, world.exchange)


def test_funding_is_booked_as_the_venue_settled_it(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(0.1)
    trader = world.trader(strategy=wish)

    async def script(trader: LiveTrader) -> None:
        await one_bar(world, trader, 1)
        await until(trader, filled(trader))
        world.exchange.advance(T0 + 8 * 60 * MINUTE)
        await until(trader, lambda: trader.engine.state.account_view[13] != 0)

    play(world, trader, script)
    compare_books(trader.engine, world.exchange)
    assert halted(trader) == ""


def test_a_settlement_of_a_position_whose_fill_was_missed_is_booked_after_that_fill(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(0.1)
    trader = world.trader(strategy=wish, settings=msgspec.structs.replace(QUICK, reconcile_wall_min_s=100.0))

    async def script(trader: LiveTrader) -> None:
        world.venue.held = []
        await one_bar(world, trader, 1)
        await until(trader, lambda: bool(world.venue.placed) and not trader.desk.under_way)
        assert trader.engine.state.funnel.filled == 0
        world.venue.held = None  # what was held is lost
        world.exchange.advance(T0 + 8 * 60 * MINUTE)
        await until(trader, lambda: trader.engine.state.account_view[13] != 0)

    play(world, trader, script)
    compare_books(trader.engine, world.exchange)
    assert halted(trader) == ""
    assert [type(step.event) for step in world.steps() if isinstance(step.event, OrderFilled | FundingSettled)] == [
        OrderFilled,
        FundingSettled,
    ]


def test_a_settlement_that_is_told_after_a_later_fill_halts_nothing(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(0.1)
    trader = world.trader(strategy=wish, settings=msgspec.structs.replace(QUICK, reconcile_wall_min_s=100.0))

    async def script(trader: LiveTrader) -> None:
        await one_bar(world, trader, 1)
        await until(trader, filled(trader))
        world.venue.held = []
        world.exchange.advance(T0 + 8 * 60 * MINUTE)
        settled, world.venue.held = world.venue.held, None
        wish.say(-0.1)
        world.exchange.play(bar(8 * 60 + 1, 1_000))
        await until(trader, filled(trader, 2))
        for news in settled:
            world.venue.put(news)
        await until(trader, lambda: trader.engine.state.account_view[13] != 0)

    play(world, trader, script)
    compare_books(trader.engine, world.exchange)
    assert halted(trader) == ""


def test_a_foreign_order_halts_trading_with_its_id_and_size(tmp_path: Path):
    world = World(tmp_path)
    trader = world.trader(strategy=Wish())

    async def script(trader: LiveTrader) -> None:
        await one_bar(world, trader, 1)
        world.exchange.place_foreign(**limit_order(Side.BUY, 500, 950, link_id="somebody"))
        await until(trader, lambda: halted(trader) == "FOREIGN_ORDER")
        trader.want_reconciliation("again")
        await until(trader, lambda: trader.books.count >= 3)

    play(world, trader, script)
    (found,) = differences(world)
    assert (found.code, found.instrument, found.client_order_id, found.ours, found.theirs) == ("FOREIGN_ORDER", AAA, "somebody", 0, 500)
    assert status(trader)["books_agree"] is False
    assert status(trader)["book_differences"] == [f"FOREIGN_ORDER {AAA} 0 500"]


def test_a_foreign_trade_is_booked_and_halts_trading(tmp_path: Path):
    world = World(tmp_path)
    trader = world.trader(strategy=Wish())

    async def script(trader: LiveTrader) -> None:
        await one_bar(world, trader, 1)
        world.exchange.place_foreign(instrument=AAA, side=Side.BUY, kind=OrderKind.MARKET, qty_lots=700, time_in_force=TimeInForce.IOC)
        await until(trader, lambda: halted(trader) == "FILL_NOT_UNDERSTOOD")

    play(world, trader, script)
    compare_books(trader.engine, world.exchange)


def test_foreign_orders_trades_and_positions_are_adopted_where_that_is_allowed(tmp_path: Path):
    world = World(tmp_path)
    world.exchange.play(bar(1, 1_000))
    world.exchange.place_foreign(instrument=AAA, side=Side.BUY, kind=OrderKind.MARKET, qty_lots=700, time_in_force=TimeInForce.IOC)
    world.exchange.advance(world.exchange.now_ns + 1)
    trader = world.trader(strategy=Wish(), foreign=Foreign.ADOPT, plan={"start_ts_ns": world.exchange.now_ns})

    async def script(trader: LiveTrader) -> None:
        assert trader.engine.state.slots[AAA].position_lots == 700
        world.exchange.place_foreign(**limit_order(Side.SELL, 200, 990, link_id="taker"))
        world.exchange.place_foreign(**limit_order(Side.BUY, 300, 900, link_id="rests"))
        await until(trader, lambda: trader.engine.state.slots[AAA].position_lots == 500)
        await one_bar(world, trader, 2)

    play(world, trader, script)
    assert PositionAdopted in [type(step.event) for step in world.steps()]
    assert halted(trader) == ""
    world.exchange.core.cancel_all(ACCOUNT, None, world.exchange.now_ns)
    compare_books(trader.engine, world.exchange)


def test_a_position_nobody_explains_halts_trading_with_both_figures(tmp_path: Path):
    world = World(tmp_path)
    world.exchange.play(bar(1, 1_000))
    world.exchange.place_foreign(instrument=AAA, side=Side.SELL, kind=OrderKind.MARKET, qty_lots=700, time_in_force=TimeInForce.IOC)
    world.exchange.advance(world.exchange.now_ns + 1)
    trader = world.trader(strategy=Wish().say(0.1), plan={"start_ts_ns": world.exchange.now_ns})

    async def script(trader: LiveTrader) -> None:
        assert halted(trader) == "POSITION_DIFFERS"
        await one_bar(world, trader, 2)

    play(world, trader, script)
    (found,) = differences(world)
    assert (found.instrument, found.ours, found.theirs) == (AAA, 0, -700)
    assert not any(isinstance(output, OrderSent) for step in world.steps() for output in step.outputs)


def test_a_position_on_an_instrument_we_do_not_trade_is_foreign(tmp_path: Path):
    world = World(tmp_path, (AAA, BBB))
    world.ids = (AAA,)
    world.exchange.play(bar(1, 1_000), then=[bar(1, 1_000, BBB)])
    trader = world.trader(strategy=Wish())

    async def script(trader: LiveTrader) -> None:
        world.exchange.place_foreign(instrument=BBB, side=Side.BUY, kind=OrderKind.MARKET, qty_lots=100, time_in_force=TimeInForce.IOC)
        await until(trader, lambda: halted(trader) != "")

    play(world, trader, script)
    assert halted(trader) in ("FOREIGN_INSTRUMENT", "FOREIGN_POSITION")


def test_a_wallet_that_nothing_explains_halts_trading_until_a_person_resumes_and_again_if_it_still_differs(tmp_path: Path):
    world = World(tmp_path)
    trader = world.trader(strategy=Wish())

    async def script(trader: LiveTrader) -> None:
        await one_bar(world, trader, 1)
        world.exchange.core._account(ACCOUNT).wallet_e8 -= 77
        trader.want_reconciliation("test")
        await until(trader, lambda: halted(trader) == "WALLET_DIFFERS")

    play(world, trader, script)
    (found,) = differences(world)
    assert found.ours - found.theirs == 77


def test_without_a_young_permit_no_risk_is_added_but_reductions_and_cancels_pass(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(0.1)
    now = [10**12]
    permits = LocalIssuer("paper", lambda: now[0])
    trader = world.trader(strategy=wish, permits=permits, monotonic_ns=lambda: now[0])

    async def script(trader: LiveTrader) -> None:
        await one_bar(world, trader, 1)
        await until(trader, filled(trader))
        permits.renew = lambda: None  # type: ignore[method-assign]
        now[0] += 3_000_000_000
        wish.say(-0.1)
        await one_bar(world, trader, 2)
        await until(trader, filled(trader, 2))
        assert status(trader)["may_add_risk"] is False

    play(world, trader, script)
    refused = [step.event for step in world.steps() if isinstance(step.event, OrderRejected)]
    assert {event.code for event in refused} == {"NO_PERMIT"}
    assert trader.engine.state.slots[AAA].position_lots == 0
    compare_books(trader.engine, world.exchange)


def test_nobody_issues_permits_for_real_money_to_himself():
    for rung in ("testnet", "live"):
        with pytest.raises(AccessRefused, match="no guard"):
            LocalIssuer(rung, time.monotonic_ns)


def test_a_journal_that_fails_stops_the_trader_before_anything_is_sent(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(0.1)
    trader = world.trader(strategy=wish)

    async def script(trader: LiveTrader) -> None:
        def fails(*_: object) -> None:
            raise RecordingFailed("disk full", why="drill", fix="free space")

        trader.journal.commit = fails  # type: ignore[method-assign]
        world.exchange.play(bar(1, 1_000))
        await asyncio.sleep(30.0)

    with pytest.raises(RecordingFailed, match="disk full"):
        play(world, trader, script)
    assert world.venue.placed == []
    assert trader.condition == "failed"
    assert world.venue.closed


def test_a_venue_that_is_down_at_first_is_tried_again(tmp_path: Path):
    world = World(tmp_path)
    tried: list[VenueInProcess] = []

    def prepare(venue: VenueInProcess) -> None:
        tried.append(venue)
        venue.fail_start = int(len(tried) < 3)
        venue.fail_questions = 2

    world.prepare = prepare
    trader = world.trader(strategy=Wish())

    async def script(trader: LiveTrader) -> None:
        await one_bar(world, trader, 1)

    play(world, trader, script)
    assert len(tried) == 3
    assert all(venue.closed for venue in tried)


def test_what_no_waiting_mends_stops_the_trader(tmp_path: Path):
    world = World(tmp_path, wallet_e8=0)
    with pytest.raises(InvalidInput, match="wallet holds"):
        world.run(world.trader())
    world = World(tmp_path)
    world.ids = ("test:NOPE",)
    world.path = tmp_path / "other.sqlite"
    with pytest.raises(InvalidInput, match="does not list"):
        world.run(world.trader())


def test_bars_missed_while_away_are_fetched_and_not_traded_on(tmp_path: Path):
    world = World(tmp_path)
    trader = world.trader(strategy=Wish())

    async def script(trader: LiveTrader) -> None:
        await one_bar(world, trader, 1)

    play(world, trader, script)
    for one in minutes((1_000,) * 4, start=2):
        world.exchange.play(one)
    wish = Wish().say(0.1)
    trader = world.trader(strategy=wish)

    async def again(trader: LiveTrader) -> None:
        await one_bar(world, trader, 6)
        await until(trader, lambda: trader.engine.state.funnel.bars == 6 and not trader.bars.gate.waiting)
        assert world.venue.placed == []
        await one_bar(world, trader, 7)
        await until(trader, filled(trader))

    play(world, trader, again)
    events = [step.event for step in world.steps()]
    assert [event.timer_id for event in events if isinstance(event, TimerFired)] == ["catch-up"]
    refusals = [output.code for step in world.steps() for output in step.outputs if isinstance(output, OrderRefused)]
    assert set(refusals) == {"STALE_PRICE"}


def test_what_history_does_not_have_is_a_gap(tmp_path: Path):
    world = World(tmp_path)
    trader = world.trader(strategy=Wish())

    async def script(trader: LiveTrader) -> None:
        await one_bar(world, trader, 1)
        world.exchange.play(bar(2, 1_000))
        await until(trader, lambda: trader.engine.state.ts_ns >= T0 + 2 * MINUTE)
        world.exchange.bars.clear()
        trader.bars.gate.hold(bar(6, 1_000))
        trader.bars.open()
        await until(trader, lambda: trader.engine.state.ts_ns >= T0 + 6 * MINUTE)

    play(world, trader, script)
    (gap,) = (step.event for step in world.steps() if isinstance(step.event, FeedGap))
    assert (gap.from_ts_ns, gap.ts_ns) == (T0 + 2 * MINUTE, T0 + 5 * MINUTE)


def test_an_order_the_venue_lost_halts_trading(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(-0.1)
    trader = world.trader(strategy=wish, plan={"execution": ExecutionPolicy(entry=OrderKind.LIMIT)})

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: trader.engine.state.orders.live_count == 1 and not trader.desk.under_way)
        account = world.exchange.core._account(ACCOUNT)
        (order,) = account.open.values()
        account.links.pop(order.link_id)
        account.open.clear()
        trader.want_reconciliation("test")
        await until(trader, lambda: halted(trader) == "ORDER_VANISHED")
        await until(trader, lambda: not trader.engine.state.orders.live_count)  # looked for again when its cancel found nothing
        assert halted(trader) == "ORDER_VANISHED", "a person decides"
        trader.command(CommandGiven(trader.core.now_ns(), Command.RESUME, "ann", "it never traded"))
        await until(trader, lambda: trader.bars.gate.is_open)
        assert halted(trader) == ""

    play(world, trader, script)
    assert [one.code for one in differences(world)] == ["ORDER_VANISHED"]
    assert [step.event.reason for step in world.steps() if isinstance(step.event, OrderCanceled)] == ["ORDER_VANISHED"]
    compare_books(trader.engine, world.exchange)


def test_a_venue_that_cannot_be_asked_for_an_order_is_asked_again(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(0.1)

    def prepare(venue: VenueInProcess) -> None:
        venue.lose_answers, venue.held = 1, []
        venue.on_place = lambda _: setattr(venue, "fail_questions", 3)

    world.prepare = prepare
    trader = world.trader(strategy=wish)

    async def script(trader: LiveTrader) -> None:
        await one_bar(world, trader, 1)
        await until(trader, filled(trader))

    play(world, trader, script)
    compare_books(trader.engine, world.exchange)


def test_executions_that_the_list_shows_late_are_waited_for(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(0.1)

    def prepare(venue: VenueInProcess) -> None:
        venue.lose_answers, venue.held = 1, []
        venue.on_place = lambda _: setattr(venue, "hides_executions", 3)

    world.prepare = prepare
    trader = world.trader(strategy=wish)

    async def script(trader: LiveTrader) -> None:
        await one_bar(world, trader, 1)
        await until(trader, filled(trader))

    play(world, trader, script)
    assert differences(world) == []
    compare_books(trader.engine, world.exchange)


def test_a_request_that_raises_is_unanswered(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(0.1)

    def broken(_: object) -> None:
        raise VenueUnavailable("connection broke", why="drill", fix="wait")

    world.prepare = lambda venue: setattr(venue, "on_place", broken)
    trader = world.trader(strategy=wish)

    async def script(trader: LiveTrader) -> None:
        await one_bar(world, trader, 1)
        await until(trader, filled(trader))

    play(world, trader, script)
    compare_books(trader.engine, world.exchange)


def test_a_refused_order_is_tried_again_at_the_next_bars_and_then_given_up(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(0.1)
    trader = world.trader(strategy=wish, settings=msgspec.structs.replace(QUICK, reconcile_wall_min_s=100.0))

    async def script(trader: LiveTrader) -> None:
        world.exchange.core.transfer(ACCOUNT, -999_999_000_000, world.exchange.now_ns)
        world.exchange.core.drain()
        for n in range(1, 6):
            await one_bar(world, trader, n)
            await until(trader, lambda: not trader.desk.under_way)

    play(world, trader, script)
    rejected = [step.event for step in world.steps() if isinstance(step.event, OrderRejected)]
    assert [event.code for event in rejected] == ["110007"] * 3
