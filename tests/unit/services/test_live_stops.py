"""Every position has its stop at the venue within the deadline, or it is closed: whatever becomes of requests, answers and frames."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests import steady

from kedge.domain.errors import MarketGone, VenueUnavailable
from kedge.domain.events import Command, CommandGiven, StopPlaced, StopUnconfirmed
from kedge.domain.outputs import StopWanted
from kedge.domain.units import NS_PER_S
from kedge.domain.venue import Answer, Refused, Taken, Unanswered, VenuePosition
from kedge.risk.states import STOP_UNCONFIRMED, RiskState
from kedge.services.live import LiveTrader
from kedge.services.live_settings import LiveSettings
from kedge.services.live_stop import OnStop, stop
from kedge.services.live_stops import StopPace
from kedge.services.live_timers import Timers
from kedge.simulation.venue_types import PositionRow

from ...builders import AAA, BBB, T0, S, Wish, bar
from .live_world import ACCOUNT, QUICK, PlayedMarket, World, compare_books, minutes, play, until
from .venue_in_process import VenueInProcess

DEADLINE_NS = 300_000_000
PACE = StopPace(deadline_ns=DEADLINE_NS, last_look_ns=100_000_000, shown_within_s=0.02, retry_first_s=0.01, retry_max_s=0.05)
STOPS = {"stop_distance_frac_e8": 10_000_000}
HASTY = msgspec.structs.replace(QUICK, stops=PACE)
Ask = Callable[[str, int], Awaitable[Answer]]


def stopped_trader(world: World, strategy: Any = None, *, settings: LiveSettings = HASTY, **given: Any) -> LiveTrader:
    return world.trader(strategy=strategy or Wish().say(0.1), plan=STOPS, settings=settings, **given)


def held(world: World) -> PositionRow | None:
    """The position that the venue holds, with its stop."""
    rows = [row for row in world.exchange.core.positions(ACCOUNT) if row.lots]
    return rows[0] if rows else None


def is_safe(world: World) -> bool:
    """The position has its stop at the venue, or there is none."""
    row = held(world)
    return row is None or row.stop_loss_ticks > 0


def is_agreed(trader: LiveTrader) -> bool:
    """What is wanted is what the venue has shown."""
    return all(slot.stop_wanted_ticks == slot.stop_placed_ticks for slot in trader.core.state.by_index)


def asks(venue: VenueInProcess) -> Ask:
    """The venue's own way to take a stop."""
    return venue.set_stop_loss


def test_a_position_that_opens_has_its_stop_at_the_venue_and_the_books_say_so(tmp_path: Path):
    world = World(tmp_path)
    trader = stopped_trader(world)

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: held(world) is not None and is_agreed(trader))
        row = held(world)
        slot = trader.core.state.slots[AAA]
        assert row is not None
        assert row.stop_loss_ticks == slot.stop_placed_ticks == slot.stop_wanted_ticks
        assert 899 <= row.stop_loss_ticks <= 902
        assert trader.stops.missing == {}

    play(world, trader, script)
    events = [step.event for step in world.steps()]
    assert [event.stop_ticks for event in events if isinstance(event, StopPlaced)] == [trader.core.state.slots[AAA].stop_placed_ticks]
    assert StopUnconfirmed not in {type(event) for event in events}


def test_without_a_distance_nothing_is_put_at_the_venue(tmp_path: Path):
    world = World(tmp_path)
    trader = world.trader(strategy=Wish().say(0.1))

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: trader.core.state.slots[AAA].position_lots > 0)
        await trader.venue.barrier()
        trader.news.drain()

    play(world, trader, script)
    row = held(world)
    assert row is not None
    assert row.stop_loss_ticks == 0


async def lost(_: Ask, name: str, ticks: int) -> Answer:
    return Unanswered("drill: lost on the way there")


async def late(ask: Ask, name: str, ticks: int) -> Answer:
    await ask(name, ticks)
    return Unanswered("drill: lost on the way back")


async def refused(_: Ask, name: str, ticks: int) -> Answer:
    return Refused("10001", "drill: no")


async def taken_only(_: Ask, name: str, ticks: int) -> Answer:
    return Taken()


async def away(_: Ask, name: str, ticks: int) -> Answer:
    raise VenueUnavailable("the venue does not answer", why="drill", fix="wait")


async def endless(_: Ask, name: str, ticks: int) -> Answer:
    await asyncio.sleep(3_600)
    raise AssertionError("nobody waits so long")


Fault = Callable[[Ask, str, int], Awaitable[Answer]]


@pytest.mark.parametrize("private", ["up", "cut"])
@pytest.mark.parametrize("times", [2, 10**6], ids=["twice", "always"])
@pytest.mark.parametrize("fault", [lost, late, refused, taken_only, away, endless])
def test_within_three_deadlines_every_position_has_its_stop_or_is_closed(tmp_path: Path, fault: Fault, times: int, private: str):
    world = World(tmp_path)
    left = [times]

    def prepare(venue: VenueInProcess) -> None:
        ask = venue.set_stop_loss

        async def troubled(name: str, ticks: int) -> Answer:
            left[0] -= 1
            return await (fault(ask, name, ticks) if left[0] >= 0 else ask(name, ticks))

        venue.set_stop_loss = troubled  # type: ignore[method-assign]
        if private == "cut":
            venue.on_place = lambda _: venue.cut() if venue.is_up else None

    world.prepare = prepare
    trader = stopped_trader(world)

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: trader.core.state.slots[AAA].position_lots > 0)
        begun_ns = steady.monotonic_ns()
        await until(trader, lambda: is_safe(world) or steady.monotonic_ns() - begun_ns > 3 * DEADLINE_NS)
        assert is_safe(world)
        assert steady.monotonic_ns() - begun_ns <= 3 * DEADLINE_NS

    play(world, trader, script)


def test_a_stop_that_is_never_shown_closes_the_position_with_a_reason_and_waits_for_a_person(tmp_path: Path):
    world = World(tmp_path)
    world.prepare = lambda venue: setattr(venue, "set_stop_loss", lambda *_: refused(asks(venue), AAA, 0))
    trader = stopped_trader(world)

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: trader.core.state.slots[AAA].position_lots > 0)
        assert list(trader.stops.missing) == [AAA]
        await until(trader, lambda: trader.core.state.halt_code == STOP_UNCONFIRMED and not trader.core.state.slots[AAA].position_lots)

    play(world, trader, script)
    (told,) = [step.event for step in world.steps() if isinstance(step.event, StopUnconfirmed)]
    assert told.why == "refused: 10001 drill: no"
    assert DEADLINE_NS <= told.waited_ns < 3 * DEADLINE_NS
    assert held(world) is None
    compare_books(trader.engine, world.exchange)


@pytest.mark.parametrize("answer", [refused, lost])
def test_a_refused_stop_that_the_price_has_passed_is_not_waited_for(tmp_path: Path, answer: Fault):
    world, pace = World(tmp_path), msgspec.structs.replace(PACE, deadline_ns=3 * NS_PER_S)
    world.prepare = lambda venue: setattr(venue, "set_stop_loss", lambda *_: answer(asks(venue), AAA, 0))
    trader = stopped_trader(world, settings=msgspec.structs.replace(QUICK, stops=pace))

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: trader.core.state.slots[AAA].position_lots > 0)
        world.exchange.play(bar(2, 850))  # the stop would lie at about 900
        await until(trader, lambda: trader.core.state.halt_code == STOP_UNCONFIRMED and not trader.core.state.slots[AAA].position_lots)

    play(world, trader, script)
    told = [step.event for step in world.steps() if isinstance(step.event, StopUnconfirmed)]
    assert [one.waited_ns < pace.deadline_ns for one in told] == [answer is refused]
    assert held(world) is None


def test_a_position_that_cannot_be_closed_either_is_reported_again_and_tried_again(tmp_path: Path):
    world = World(tmp_path)
    world.prepare = lambda venue: setattr(venue, "set_stop_loss", lambda *_: refused(asks(venue), AAA, 0))
    trader = stopped_trader(world)

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: trader.core.state.slots[AAA].position_lots > 0)
        world.venue.lose_requests = 1
        await until(trader, lambda: held(world) is None)

    play(world, trader, script)
    told = [step.event for step in world.steps() if isinstance(step.event, StopUnconfirmed)]
    assert len(told) >= 1
    assert sum(order.order.reduce_only for order in world.venue.placed) >= 2


def test_where_nothing_is_answered_at_all_the_closing_order_leaves_in_time(tmp_path: Path):
    world = World(tmp_path)

    def prepare(venue: VenueInProcess) -> None:
        venue.set_stop_loss = lambda *_: lost(asks(venue), AAA, 0)  # type: ignore[method-assign]
        venue.on_place = lambda _: setattr(venue, "fail_questions", 10**6)

    world.prepare = prepare
    trader = stopped_trader(world)

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: trader.core.state.slots[AAA].position_lots > 0)
        await until(trader, lambda: held(world) is None, within_s=3 * DEADLINE_NS / NS_PER_S)

    play(world, trader, script)
    assert trader.core.state.halt_code == STOP_UNCONFIRMED


@pytest.mark.slow
@pytest.mark.parametrize("fault", [refused, endless])
def test_with_the_real_deadline_the_position_is_gone_within_three_of_them(tmp_path: Path, fault: Fault):
    world = World(tmp_path)
    world.prepare = lambda venue: setattr(venue, "set_stop_loss", lambda *_: fault(asks(venue), AAA, 0))
    trader = stopped_trader(world, settings=QUICK)

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: trader.core.state.slots[AAA].position_lots > 0)
        begun_ns = steady.monotonic_ns()
        await until(trader, lambda: held(world) is None)
        assert QUICK.stops.deadline_ns <= steady.monotonic_ns() - begun_ns <= 3 * QUICK.stops.deadline_ns

    play(world, trader, script)
    assert trader.core.state.halt_code == STOP_UNCONFIRMED


def test_a_halted_position_keeps_being_given_its_stop(tmp_path: Path):
    world = World(tmp_path)
    trader = stopped_trader(world)
    placed: list[int] = []
    trader.watchers.append(lambda event, _: placed.append(event.stop_ticks) if isinstance(event, StopPlaced) else None)

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: held(world) is not None and is_agreed(trader))
        trader.command(CommandGiven(trader.core.now_ns(), Command.HALT, "ann", "drill"))
        row = world.exchange.core.set_trading_stop(ACCOUNT, AAA, world.exchange.now_ns, stop_loss_ticks=0)
        assert isinstance(row, PositionRow)
        world.exchange.publish()  # somebody took it away
        await until(trader, lambda: len(placed) == 3)
        assert is_safe(world)

    play(world, trader, script)
    assert [bool(ticks) for ticks in placed] == [True, False, True]
    assert trader.core.state.halt_code == "COMMAND"


def test_a_stop_that_only_the_list_shows_as_missing_is_put_back(tmp_path: Path):
    world = World(tmp_path)
    trader = stopped_trader(world)

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: held(world) is not None and is_agreed(trader))
        world.venue.held = []  # the frame that would tell is late
        world.exchange.core.set_trading_stop(ACCOUNT, AAA, world.exchange.now_ns, stop_loss_ticks=0)
        world.exchange.publish()
        assert not is_safe(world)
        world.venue.held = None
        trader.want_reconciliation("routine")
        await until(trader, lambda: is_safe(world) and is_agreed(trader))

    play(world, trader, script)
    placed = [step.event.stop_ticks for step in world.steps() if isinstance(step.event, StopPlaced)]
    assert [bool(ticks) for ticks in placed] == [True, False, True]


def test_the_newest_wish_wins_and_only_one_request_is_under_way(tmp_path: Path):
    world = World(tmp_path)
    gate = asyncio.Event()
    asked: list[int] = []
    most = [0, 0]

    def prepare(venue: VenueInProcess) -> None:
        ask = venue.set_stop_loss

        async def slow(name: str, ticks: int) -> Answer:
            asked.append(ticks)
            most[0] += 1
            most[1] = max(most)
            await gate.wait()
            most[0] -= 1
            return await ask(name, ticks)

        venue.set_stop_loss = slow  # type: ignore[method-assign]

    world.prepare = prepare
    wish = Wish().say(0.1)
    trader = stopped_trader(world, wish, settings=QUICK)

    async def script(trader: LiveTrader) -> None:
        slot = trader.core.state.slots[AAA]
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: slot.position_lots > 0 and bool(asked))
        for n, exposure in ((2, -0.05), (3, -0.08), (4, 0.07)):
            wish.say(exposure)
            world.exchange.play(bar(n, 1_000 + 10 * n))
            await until(trader, lambda: not wish.targets and slot.position_lots == slot.target_lots)
        gate.set()
        await until(trader, lambda: is_agreed(trader) and is_safe(world))
        row = held(world)
        assert row is not None
        assert row.stop_loss_ticks == slot.stop_wanted_ticks

    play(world, trader, script)
    assert most[1] == 1
    assert len(asked) == 2


def test_the_time_of_a_stop_that_trades_outrun_begins_anew_when_the_venue_shows_one_that_was_asked_for(tmp_path: Path):
    world = World(tmp_path)
    asked: list[int] = []

    async def outrun(_: str, ticks: int) -> Answer:
        asked.append(ticks)
        return Taken()

    world.prepare = lambda venue: setattr(venue, "set_stop_loss", outrun)
    wish = Wish().say(0.05)
    trader = stopped_trader(world, wish, settings=QUICK)

    async def waited(trader: LiveTrader) -> None:
        while trader.stops.missing[AAA] < 0.05:
            await asyncio.sleep(0.01)

    async def script(trader: LiveTrader) -> None:
        slot = trader.core.state.slots[AAA]
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: bool(asked))
        first = asked[0]
        wish.say(0.15)
        world.exchange.play(bar(2, 1_040))
        await until(trader, lambda: slot.stop_wanted_ticks != first)
        await waited(trader)
        (row,) = await trader.venue.positions()
        trader.stops.shown(msgspec.structs.replace(row, stop_loss_ticks=7))
        assert trader.stops.missing[AAA] >= 0.05, "nobody here asked for that one"
        trader.stops.shown(msgspec.structs.replace(row, stop_loss_ticks=first))
        assert trader.stops.missing[AAA] < 0.05
        await waited(trader)
        trader.stops.shown(msgspec.structs.replace(row, stop_loss_ticks=first))
        assert trader.stops.missing[AAA] >= 0.05, "told again it is no news"

    play(world, trader, script)


def test_a_fired_stop_is_booked_halts_trading_and_leaves_the_books_equal(tmp_path: Path):
    world = World(tmp_path)
    trader = stopped_trader(world)

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: held(world) is not None and is_agreed(trader))
        world.exchange.play(bar(2, 880))
        await until(trader, lambda: trader.core.state.risk_state is RiskState.HALTED and held(world) is None)

    play(world, trader, script)
    assert trader.core.state.halt_code == "STOP_FIRED"
    assert trader.core.state.slots[AAA].stop_wanted_ticks == 0
    compare_books(trader.engine, world.exchange)


def test_a_stop_that_fired_while_nobody_listened_is_booked_by_the_comparison(tmp_path: Path):
    world = World(tmp_path)
    trader = stopped_trader(world)

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: held(world) is not None and is_agreed(trader))
        world.venue.cut()
        await until(trader, lambda: not trader.bars.gate.is_open)
        world.exchange.play(bar(2, 880))
        assert held(world) is None
        world.venue.mend()
        await until(trader, lambda: trader.core.state.halt_code == "STOP_FIRED")

    play(world, trader, script)
    compare_books(trader.engine, world.exchange)


def test_a_position_that_is_gone_at_the_venue_is_not_reported_but_compared(tmp_path: Path):
    world = World(tmp_path)
    trader = stopped_trader(world)

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: held(world) is not None and is_agreed(trader))
        world.venue.cut()
        await until(trader, lambda: not trader.bars.gate.is_open)
        world.exchange.play(bar(2, 880))  # the stop fires, and nobody hears of it
        slot = trader.core.state.slots[AAA]
        trader.core.step(StopPlaced(T0 + 125 * S, AAA, 0))
        trader.stops.arm()
        assert slot.position_lots > 0
        await asyncio.sleep(2 * DEADLINE_NS / NS_PER_S)
        assert trader.core.state.risk_state is RiskState.RUNNING
        world.venue.mend()
        await until(trader, lambda: trader.core.state.halt_code == "STOP_FIRED")

    play(world, trader, script)
    assert StopUnconfirmed not in {type(step.event) for step in world.steps()}
    compare_books(trader.engine, world.exchange)


def test_a_restart_takes_up_what_was_wanted_and_not_shown(tmp_path: Path):
    world = World(tmp_path)
    world.prepare = lambda venue: setattr(venue, "set_stop_loss", lambda *_: endless(asks(venue), AAA, 0))
    trader = stopped_trader(world, settings=QUICK)

    async def die_in_between(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: trader.core.state.slots[AAA].stop_wanted_ticks > 0)

    play(world, trader, die_in_between)
    assert not is_safe(world)
    world.prepare = lambda venue: None
    trader = stopped_trader(world, Wish())

    async def look(trader: LiveTrader) -> None:
        await until(trader, lambda: is_safe(world) and is_agreed(trader))

    play(world, trader, look)
    assert trader.core.state.risk_state is RiskState.RUNNING


def test_in_lockstep_each_instant_ends_with_every_stop_in_place(tmp_path: Path):
    world = World(tmp_path)
    market = PlayedMarket(world.exchange, minutes())
    acknowledge, safe = market.acknowledge, []

    async def looking(seq: int) -> None:
        safe.append(is_safe(world))
        await acknowledge(seq)

    market.acknowledge = looking  # type: ignore[method-assign]
    trader = world.trader(market=market, plan=STOPS)
    assert world.run(trader) == "ended"
    assert safe == [True] * 10
    compare_books(trader.engine, world.exchange)
    wanted = [output for step in world.steps() for output in step.outputs if isinstance(output, StopWanted)]
    assert len(wanted) >= 3


def test_a_resting_stop_of_a_position_is_nobodys_foreign_order(tmp_path: Path):
    world = World(tmp_path)
    trader = stopped_trader(world)

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: held(world) is not None and is_agreed(trader))
        count = trader.books.count
        trader.want_reconciliation("routine")
        await until(trader, lambda: trader.books.count > count)
        assert trader.books.last is not None
        assert trader.books.last.agreed

    play(world, trader, script)


# the carrier by itself ------------------------------------------------------------------------------------------------


def shown(lots: int, ticks: int, n_s: int, name: str = AAA) -> VenuePosition:
    return VenuePosition(
        instrument=name, position_idx=0, lots=lots, cost_e8=0, mark_e8=None, leverage_e2=None, stop_loss_ticks=ticks, ts_ns=T0 + n_s * S
    )


def test_what_is_older_or_of_another_position_says_nothing(tmp_path: Path):
    world = World(tmp_path)
    trader = stopped_trader(world)

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        slot = trader.core.state.slots[AAA]
        await until(trader, lambda: held(world) is not None and is_agreed(trader))
        placed = slot.stop_placed_ticks
        for position in (shown(-5, 0, 200), shown(0, 0, 201), shown(5, 0, 100), shown(5, 0, 300, BBB)):
            trader.stops.shown(position)
        assert slot.stop_placed_ticks == placed
        trader.stops.shown_all([shown(5, placed + 1, 202)])
        assert slot.stop_placed_ticks == placed + 1
        assert len(trader.stops.under_way) == 1

    play(world, trader, script)


def test_a_row_of_the_position_before_confirms_nothing_of_the_next_one(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(0.1)
    trader = stopped_trader(world, wish)

    async def script(trader: LiveTrader) -> None:
        slot = trader.core.state.slots[AAA]
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: held(world) is not None and is_agreed(trader))
        old = shown(slot.position_lots, slot.stop_placed_ticks, 60)
        for n, exposure in ((2, 0.0), (3, 0.1)):
            wish.say(exposure)
            world.exchange.play(bar(n, 1_000))
            await until(trader, lambda: not wish.targets and slot.position_lots == slot.target_lots and is_agreed(trader))
        placed = slot.stop_placed_ticks
        assert slot.position_lots
        trader.core.step(StopPlaced(T0 + 181 * S, AAA, 0))
        trader.stops.shown(old)
        assert slot.stop_placed_ticks == 0
        trader.stops.shown(shown(slot.position_lots, placed, 182))
        assert is_agreed(trader)

    play(world, trader, script)


def test_a_stop_leaves_no_position_without_its_stop(tmp_path: Path):
    world = World(tmp_path)
    gate = asyncio.Event()

    def prepare(venue: VenueInProcess) -> None:
        ask = venue.set_stop_loss

        async def slow(name: str, ticks: int) -> Answer:
            await gate.wait()
            return await ask(name, ticks)

        venue.set_stop_loss = slow  # type: ignore[method-assign]

    world.prepare = prepare
    trader = stopped_trader(world, settings=QUICK)

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: trader.core.state.slots[AAA].stop_wanted_ticks > 0 and not trader.desk.under_way)
        asyncio.get_running_loop().call_later(0.05, gate.set)
        await stop(trader, OnStop.LEAVE, within_s=5.0, actor="ann", reason="drill")
        assert is_safe(world)

    play(world, trader, script)


def test_a_stop_that_lies_at_no_position_is_taken_away_without_alarm(tmp_path: Path):
    world = World(tmp_path)
    asked: list[int] = []

    async def noted(name: str, ticks: int) -> Answer:
        asked.append(ticks)
        return Refused("10001", "can not set tp/sl/ts for zero position")

    world.prepare = lambda venue: setattr(venue, "set_stop_loss", noted)
    trader = stopped_trader(world, Wish())

    async def script(trader: LiveTrader) -> None:
        trader.stops.shown(shown(0, 880, 200))
        await asyncio.sleep(1.5 * DEADLINE_NS / NS_PER_S)
        assert trader.stops.missing == {}
        trader.stops.shown(shown(0, 0, 201))
        assert is_agreed(trader)

    play(world, trader, script)
    assert set(asked) == {0}
    assert trader.core.state.risk_state is RiskState.RUNNING


def test_another_market_that_answers_ends_the_trader(tmp_path: Path):
    world = World(tmp_path)
    gone = [False]

    async def same() -> None:
        if gone[0]:
            raise MarketGone("another market", why="drill", fix="begin anew")

    async def vanishing(name: str, ticks: int) -> Answer:
        gone[0] = True
        return Unanswered("drill")

    world.prepare = lambda venue: setattr(venue, "set_stop_loss", vanishing)
    trader = stopped_trader(world, same_market=same)

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await asyncio.sleep(30)

    with pytest.raises(MarketGone):
        play(world, trader, script)


def test_a_timer_that_closes_a_bare_position_does_not_wait_for_the_books(tmp_path: Path):
    world = World(tmp_path)
    world.prepare = lambda venue: setattr(venue, "set_stop_loss", lambda *_: refused(asks(venue), AAA, 0))
    trader = stopped_trader(world, Wish().say(0.1))

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: trader.core.state.slots[AAA].position_lots > 0)
        trader.bars.close()
        timers: Timers = trader.timers
        await until(trader, lambda: trader.core.state.halt_code == STOP_UNCONFIRMED)
        timers.fire()
        await until(trader, lambda: held(world) is None)

    play(world, trader, script)


def test_the_deadline_is_five_seconds_unless_a_test_says_otherwise():
    assert StopPace().deadline_ns == 5 * NS_PER_S
    assert LiveSettings().stops == StopPace()
    assert StopPace().last_look_ns < StopPace().deadline_ns
