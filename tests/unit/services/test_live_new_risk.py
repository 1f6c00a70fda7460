"""No new risk until the books agree: timers, reconnections, comparisons that fail, a resume, permits that run out on the way."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from kedge.domain.brake import BrakeLevel, Trigger
from kedge.domain.errors import VenueUnavailable
from kedge.domain.events import BooksDiffer, BrakeTold, Command, CommandGiven, InstrumentChanged, OrderFilled, PositionAdopted
from kedge.domain.orders import ApprovedOrder, OrderKind, Side, TimeInForce
from kedge.domain.venue import Stream, VenuePosition
from kedge.engine.lifecycle import Status
from kedge.risk.limits import Limits
from kedge.risk.states import FLATTEN, RiskState
from kedge.services.live import LiveTrader
from kedge.services.permits import LocalIssuer
from kedge.services.reconcile import Foreign
from kedge.strategy.execution import ExecutionPolicy

from ...builders import AAA, MINUTE, T0, Wish, bar
from .live_world import ACCOUNT, QUICK, PlayedMarket, World, compare_books, executed_ids, minutes, play, until
from .venue_in_process import VenueInProcess, limit_order

PACED = {"execution": ExecutionPolicy(slice_notional_frac_e8=4_000_000), "limits": Limits(orders_per_second_max=1)}
"""One slice a second: after the first one a timer waits to send the next."""

RESTING = {"execution": ExecutionPolicy(entry=OrderKind.LIMIT)}
FAST = msgspec.structs.replace(QUICK, speed=200)


async def one_bar(world: World, trader: LiveTrader, n: int, close: int = 1_000) -> None:
    world.exchange.play(bar(n, close))
    await until(trader, lambda: trader.engine.state.ts_ns >= T0 + n * MINUTE)


async def first_slice(world: World, trader: LiveTrader) -> None:
    """One slice is filled, and a timer waits to send the next."""
    await one_bar(world, trader, 1)
    await until(trader, lambda: trader.engine.state.funnel.filled == 1)
    assert list(trader.engine.state.timers) == [f"work:{AAA}"]


def opened(world: World) -> list[ApprovedOrder]:
    return [one for venue in world.venues for one in venue.placed if not one.order.reduce_only]


def test_a_timer_that_waited_through_a_stop_sends_nothing_before_the_books_agree(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(0.12)
    play(world, trader := world.trader(strategy=wish, plan=PACED), lambda trader: first_slice(world, trader))
    assert len(opened(world)) == 1
    reading = asyncio.Event()

    def slow(venue: VenueInProcess) -> None:
        barrier = venue.barrier

        async def held() -> None:
            await reading.wait()
            await barrier()

        venue.barrier = held  # type: ignore[method-assign]

    world.prepare = slow
    trader = world.trader(strategy=wish, plan=PACED | {"start_ts_ns": T0 + MINUTE + 5_000_000_000}, settings=FAST)

    async def both() -> str:
        running = asyncio.ensure_future(trader.run())
        await asyncio.sleep(0.1)
        before = len(opened(world))
        reading.set()
        await trader.ready()
        await until(trader, lambda: len(opened(world)) >= 2)
        trader.finish("seen")
        assert before == 1
        return await running

    try:
        asyncio.run(both())
    finally:
        world.close()


def test_a_timer_sends_nothing_while_the_private_stream_is_down(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(0.12)
    trader = world.trader(strategy=wish, plan=PACED, settings=msgspec.structs.replace(QUICK, speed=20))

    async def script(trader: LiveTrader) -> None:
        await first_slice(world, trader)
        world.venue.cut()
        await until(trader, lambda: not trader.bars.gate.is_open)
        await asyncio.sleep(0.15)
        assert len(opened(world)) == 1
        world.venue.mend()
        await until(trader, lambda: len(opened(world)) >= 2)

    play(world, trader, script)


def test_a_timer_sends_nothing_once_the_trader_is_stopping(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(0.12)
    trader = world.trader(strategy=wish, plan=PACED, settings=msgspec.structs.replace(QUICK, speed=20))

    async def script(trader: LiveTrader) -> None:
        await first_slice(world, trader)
        trader.hold()
        await asyncio.sleep(0.15)
        assert len(opened(world)) == 1

    play(world, trader, script)


def test_books_read_before_an_interruption_do_not_open_the_gate_after_it(tmp_path: Path):
    world = World(tmp_path)
    trader = world.trader(strategy=Wish(), settings=msgspec.structs.replace(QUICK, reading_gap_s=0.05))

    async def script(trader: LiveTrader) -> None:
        venue, ask, gates = world.venue, world.venue.wallet, list[bool]()

        async def interrupted() -> object:
            wallet = await ask()
            venue.wallet = ask  # type: ignore[method-assign]
            venue.cut()
            venue.mend()
            await until(trader, lambda: trader.news.streams[Stream.PRIVATE] and not trader.bars.gate.is_open)
            return wallet

        opening = trader.bars.open
        trader.bars.open = lambda: (gates.append(True), opening())[1]  # type: ignore[method-assign]
        venue.wallet = interrupted  # type: ignore[method-assign]
        count = trader.books.count
        trader.want_reconciliation("test")
        await until(trader, lambda: trader.books.count == count + 1)
        assert not trader.bars.gate.is_open
        await until(trader, lambda: trader.bars.gate.is_open)
        assert trader.books.count == count + 2

    play(world, trader, script)


def test_the_gate_closes_while_the_venue_cannot_be_asked(tmp_path: Path):
    world = World(tmp_path)
    trader = world.trader(strategy=Wish(), settings=msgspec.structs.replace(QUICK, retry_first_s=0.05))

    async def script(trader: LiveTrader) -> None:
        world.venue.fail_questions = 10**6
        trader.want_reconciliation("test")
        await until(trader, lambda: not trader.bars.gate.is_open)
        world.venue.fail_questions = 0
        await until(trader, lambda: trader.bars.gate.is_open)

    play(world, trader, script)


def test_after_a_resume_no_bar_passes_before_the_books_are_compared(tmp_path: Path):
    world, wish = World(tmp_path), Wish()
    trader = world.trader(strategy=wish, settings=msgspec.structs.replace(QUICK, reconcile_wall_min_s=60.0))
    world.exchange.play(bar(1, 1_000))

    async def script(trader: LiveTrader) -> None:
        world.exchange.place_foreign(**limit_order(Side.BUY, 500, 950, link_id="somebody"))
        await until(trader, lambda: trader.engine.state.risk_state is RiskState.HALTED)
        await until(trader, lambda: trader.condition == "trading")
        wish.say(0.1)
        trader.command(CommandGiven(trader.core.now_ns(), Command.RESUME, "ann", "hope"))
        await one_bar(world, trader, 2)
        assert trader.engine.state.risk_state is RiskState.HALTED
        assert world.venue.placed == []

    play(world, trader, script)
    assert [step.event.code for step in world.steps() if isinstance(step.event, BooksDiffer)] == ["FOREIGN_ORDER"] * 2


def test_books_that_differ_do_not_stop_a_person_who_flattens(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(0.12)
    lasting = Limits(stale_bars_e2=100_000)  # twenty times the clock: a busy machine would see the only price go stale within seconds
    plan = {"execution": ExecutionPolicy(slice_notional_frac_e8=500_000), "limits": lasting}
    trader = world.trader(strategy=wish, plan=plan, settings=msgspec.structs.replace(QUICK, speed=20))

    async def script(trader: LiveTrader) -> None:
        await one_bar(world, trader, 1)
        await until(trader, lambda: trader.engine.state.funnel.filled >= 20)
        world.exchange.place_foreign(**limit_order(Side.BUY, 500, 900, link_id="somebody"))
        await until(trader, lambda: trader.engine.state.risk_state is RiskState.HALTED)
        trader.command(CommandGiven(trader.core.now_ns(), Command.FLATTEN, "ann", "enough"))
        trader.want_reconciliation("test")
        await until(trader, lambda: trader.engine.state.slots[AAA].position_lots == 0)
        assert trader.engine.state.halt_code == FLATTEN
        trader.command(CommandGiven(trader.core.now_ns(), Command.RESUME, "ann", "is it well?"))
        await until(trader, lambda: trader.engine.state.risk_state is RiskState.HALTED)

    play(world, trader, script)
    assert world.exchange.core.positions("777001") == []


def test_a_permit_that_runs_out_on_the_way_to_the_wire_stops_the_order(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(0.1)
    now = [10**12]
    permits = LocalIssuer("paper", lambda: now[0])

    def slow(venue: VenueInProcess) -> None:
        def waited() -> None:
            permits.renew = lambda: None  # type: ignore[method-assign]
            now[0] += 3_000_000_000

        venue.before_leaving = waited

    world.prepare = slow
    trader = world.trader(strategy=wish, permits=permits, monotonic_ns=lambda: now[0])

    async def script(trader: LiveTrader) -> None:
        await one_bar(world, trader, 1)
        await until(trader, lambda: trader.engine.state.funnel.refused == {"NO_PERMIT": 1})

    play(world, trader, script)
    assert executed_ids(world.exchange) == []


def test_an_order_that_waits_for_room_does_not_leave_once_trading_is_halted(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(0.1)
    trader = world.trader(strategy=wish)

    def slow(venue: VenueInProcess) -> None:
        venue.before_leaving = lambda: trader.command(CommandGiven(trader.core.now_ns(), Command.HALT, "ann", "stop it"))

    world.prepare = slow

    async def script(trader: LiveTrader) -> None:
        await one_bar(world, trader, 1)
        await until(trader, lambda: trader.engine.state.funnel.refused == {"NO_PERMIT": 1})
        assert trader.engine.state.risk_state is RiskState.HALTED

    play(world, trader, script)
    assert opened(world) == []
    assert executed_ids(world.exchange) == []


def test_a_reduction_that_waits_for_room_does_not_leave_once_the_brake_is_heard(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(0.1)
    trader = world.trader(strategy=wish)

    async def script(trader: LiveTrader) -> None:
        await one_bar(world, trader, 1)
        await until(trader, lambda: len(executed_ids(world.exchange)) == 1 and not trader.desk.under_way)
        world.venue.before_leaving = lambda: trader.core.step(BrakeTold(trader.core.now_ns(), BrakeLevel.HALTED, 1, Trigger.MANUAL, "stop"))
        wish.say(0.0)
        await one_bar(world, trader, 2)
        await until(trader, lambda: trader.engine.state.funnel.refused == {"NO_PERMIT": 1})
        assert (trader.engine.state.risk_state, trader.engine.state.halt_code) == (RiskState.HALTED, "BRAKE")

    play(world, trader, script)
    assert len(executed_ids(world.exchange)) == 1


def test_an_order_whose_cancel_was_wanted_before_a_stop_is_cancelled_when_it_turns_up_afterwards(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(-0.1)
    trader = world.trader(strategy=wish, plan=RESTING)

    async def script(trader: LiveTrader) -> None:
        world.venue.lose_answers = world.venue.lose_cancels = 1
        world.venue.held = []
        trader.desk.search = lambda name: None  # type: ignore[method-assign]
        await one_bar(world, trader, 1)
        await until(trader, lambda: any(order.status is Status.UNKNOWN for order in trader.engine.state.orders.of(AAA).values()))
        trader.command(CommandGiven(trader.core.now_ns(), Command.CANCEL_ALL, "ann", "away"))
        await until(trader, lambda: bool(world.venue.canceled) and not trader.desk.under_way)

    play(world, trader, script)
    assert len(world.exchange.core.open_orders(ACCOUNT).rows) == 1
    trader = world.trader(strategy=wish, plan=RESTING)

    async def later(trader: LiveTrader) -> None:
        await until(trader, lambda: not trader.engine.state.orders.live_count)

    play(world, trader, later)
    assert not world.exchange.core.open_orders(ACCOUNT).rows
    compare_books(trader.engine, world.exchange)


def test_a_position_is_adopted_only_when_nothing_moves(tmp_path: Path):
    world = World(tmp_path)
    trader = world.trader(strategy=Wish(), foreign=Foreign.ADOPT)
    world.exchange.play(bar(1, 1_000))

    async def script(trader: LiveTrader) -> None:
        venue, ask = world.venue, world.venue.positions

        async def ahead() -> list[VenuePosition]:
            venue.positions = ask  # type: ignore[method-assign]
            await asyncio.sleep(0.01)  # the executions were read before
            venue.held = []
            world.exchange.place_foreign(
                instrument=AAA, side=Side.BUY, kind=OrderKind.MARKET, qty_lots=700, time_in_force=TimeInForce.IOC, link_id="web"
            )
            asyncio.get_running_loop().call_later(0.02, venue.let_go)
            return await ask()

        venue.positions = ahead  # type: ignore[method-assign]
        count = trader.books.count
        trader.want_reconciliation("test")
        await until(trader, lambda: trader.books.count > count and trader.engine.state.funnel.filled == 1)

    play(world, trader, script)
    assert [step for step in world.steps() if isinstance(step.event, PositionAdopted)] == []
    compare_books(trader.engine, world.exchange)


def test_snapshots_go_on_when_an_order_without_a_permit_falls_on_their_step(tmp_path: Path):
    world, wish = World(tmp_path), Wish()
    now = [10**12]
    permits = LocalIssuer("paper", lambda: now[0])
    trader = world.trader(
        strategy=wish, permits=permits, monotonic_ns=lambda: now[0], settings=msgspec.structs.replace(QUICK, snapshot_every=2)
    )
    saved: list[int] = []

    async def script(trader: LiveTrader) -> None:
        save = trader.core.save_snapshot
        trader.core.save_snapshot = lambda: (saved.append(trader.core.steps), save())[1]  # type: ignore[method-assign]
        permits.renew = lambda: None  # type: ignore[method-assign]
        now[0] += 3_000_000_000
        await one_bar(world, trader, 1)
        wish.say(0.1)
        await one_bar(world, trader, 2)
        for n in range(3, 7):
            await one_bar(world, trader, n)

    play(world, trader, script)
    assert len(saved) >= 2


def test_a_record_that_changed_while_away_is_in_force_before_missed_fills_are_booked(tmp_path: Path):
    world = World(tmp_path)
    play(world, world.trader(strategy=Wish()), lambda trader: one_bar(world, trader, 1))
    world.exchange.place_foreign(instrument=AAA, side=Side.BUY, kind=OrderKind.MARKET, qty_lots=700, time_in_force=TimeInForce.IOC)
    world.exchange.specs = [msgspec.structs.replace(world.exchange.specs[0], taker_fee_e8=60_000)]
    play(world, world.trader(strategy=Wish()), _nothing)
    kinds = [type(step.event) for step in world.steps()]
    assert kinds.index(InstrumentChanged) < kinds.index(OrderFilled)


async def _nothing(_: LiveTrader) -> None:
    """Only begins."""


def test_in_lock_step_no_bar_passes_while_the_streams_do_not_answer(tmp_path: Path):
    world = World(tmp_path)
    market = PlayedMarket(world.exchange, minutes((1_000,) * 4))
    trader = world.trader(market=market)
    passed: list[int] = []

    def deaf() -> None:
        venue, barrier = world.venue, world.venue.barrier
        left = [3]

        async def unanswered() -> None:
            left[0] -= 1
            passed.append(trader.engine.state.ts_ns)
            if left[0] >= 0:
                raise VenueUnavailable("no pong", why="drill", fix="wait")
            await barrier()

        venue.barrier = unanswered  # type: ignore[method-assign]

    market.before[3] = deaf
    world.run(trader)
    assert passed[:4] == [T0 + 2 * MINUTE] * 4
    compare_books(trader.engine, world.exchange)
