"""What the trader cannot understand stops new risk: a clock beyond its limit, records that were changed, books nobody explains."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from kedge.domain.errors import IntegrityError, VenueUnavailable
from kedge.domain.events import Command, CommandGiven, OrderRejected
from kedge.domain.venue import NO_PERMIT
from kedge.risk.states import RiskState
from kedge.services.live import LiveTrader
from kedge.services.live_clock import CHECK_EVERY_NS, CLOCK_LIMIT_NS, QUESTIONS, WallClock
from kedge.services.reconcile import CLOCK_BEYOND_LIMIT

from ...builders import AAA, S, Wish, bar
from .live_world import World, play, until
from .venue_in_process import Exchange, VenueInProcess

NOW = 10**18


class Clocks:
    """A venue whose clock is read by hand, beside a clock of ours that is `off_ns` ahead; each question takes `trip_ns`."""

    def __init__(self, venue: VenueInProcess, off_ns: int, trip_ns: int = 0) -> None:
        self.now_ns, self.off_ns, self.trip_ns, self.asked = NOW, off_ns, trip_ns, 0
        venue.wall_time_ns = self.theirs  # type: ignore[method-assign]

    async def theirs(self) -> int:
        self.asked += 1
        self.now_ns += self.trip_ns
        return self.now_ns - self.trip_ns // 2

    def ours(self) -> int:
        return self.now_ns + self.off_ns


async def reading(off_ns: int, trip_ns: int = 0) -> int | None:
    """By how much the clocks are found apart; None where that is within the limit."""
    venue = VenueInProcess(Exchange())
    clocks = Clocks(venue, off_ns, trip_ns)
    found = await WallClock(venue, clocks.ours, time.monotonic_ns).beyond()
    assert clocks.asked == QUESTIONS
    return None if found is None else found.off_ns


@pytest.mark.parametrize("sign", [1, -1])
def test_only_what_no_round_trip_explains_is_a_wrong_clock(sign: int):
    assert asyncio.run(reading(0)) is None
    assert asyncio.run(reading(sign * CLOCK_LIMIT_NS)) is None
    assert asyncio.run(reading(sign * (CLOCK_LIMIT_NS + 1))) == CLOCK_LIMIT_NS + 1
    assert asyncio.run(reading(sign * (CLOCK_LIMIT_NS + S), trip_ns=2 * S)) is None


def test_the_clock_is_asked_every_so_often_and_never_where_it_is_not_to_be_compared():
    async def both() -> tuple[int, int]:
        venue, mono = VenueInProcess(Exchange()), [0]
        clocks = Clocks(venue, 0)
        clock = WallClock(venue, clocks.ours, lambda: mono[0])
        for mono[0] in (0, CHECK_EVERY_NS - 1, CHECK_EVERY_NS):
            assert await clock.beyond() is None
        asked = clocks.asked
        assert await WallClock(venue, None, lambda: mono[0]).beyond() is None
        return asked, clocks.asked

    assert asyncio.run(both()) == (2 * QUESTIONS, 2 * QUESTIONS)


def test_a_clock_beyond_its_limit_halts_before_anything_is_traded_and_halts_again_while_it_is_wrong(tmp_path: Path):
    world = World(tmp_path)
    made: list[Clocks] = []
    world.prepare = lambda venue: made.append(Clocks(venue, S))
    trader = world.trader(strategy=Wish().say(0.1), wall_ns=lambda: made[-1].ours())

    async def script(trader: LiveTrader) -> None:
        state = trader.core.state
        assert state.halt_code == CLOCK_BEYOND_LIMIT
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: state.slots[AAA].mark_ts_ns > 0)
        assert world.venue.placed == []
        trader.command(CommandGiven(trader.core.now_ns(), Command.RESUME, "ann", "hurry"))
        count = trader.books.count
        await until(trader, lambda: trader.books.count > count)
        assert state.halt_code == CLOCK_BEYOND_LIMIT
        made[-1].off_ns = 0
        trader.command(CommandGiven(trader.core.now_ns(), Command.RESUME, "ann", "the time service runs again"))
        count = trader.books.count
        await until(trader, lambda: trader.books.count > count)
        assert state.risk_state is RiskState.RUNNING

    play(world, trader, script)


def test_a_venue_that_does_not_say_what_time_it_is_is_asked_until_it_does(tmp_path: Path):
    world = World(tmp_path)
    left = [3]

    def prepare(venue: VenueInProcess) -> None:
        clocks = Clocks(venue, 0)

        async def silent() -> int:
            left[0] -= 1
            if left[0] >= 0:
                raise VenueUnavailable("the venue does not answer", why="drill", fix="wait")
            return await clocks.theirs()

        venue.wall_time_ns = silent  # type: ignore[method-assign]

    world.prepare = prepare
    trader = world.trader(strategy=Wish(), wall_ns=lambda: NOW)

    async def script(trader: LiveTrader) -> None:
        assert trader.core.state.risk_state is RiskState.RUNNING

    play(world, trader, script)
    assert left[0] < 0


@pytest.mark.parametrize("which", ["first", "middle", "last"])
@pytest.mark.parametrize("column", ["body", "hash"])
def test_a_journal_that_somebody_changed_is_not_gone_on_with(tmp_path: Path, column: str, which: str):
    world = World(tmp_path)
    trader = world.trader(strategy=Wish().say(0.1))

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: trader.core.state.slots[AAA].position_lots > 0)

    play(world, trader, script)
    with closing(sqlite3.connect(world.path)) as database, database:
        ((last,),) = database.execute("SELECT max(seq) FROM rows")
        seq = {"first": 0, "middle": last // 2, "last": last}[which]
        ((found,),) = database.execute(f"SELECT {column} FROM rows WHERE seq = ?", (seq,))
        changed = bytes([found[0] ^ 1]) + found[1:]
        database.execute(f"UPDATE rows SET {column} = ? WHERE seq = ?", (changed, seq))

    async def nothing(trader: LiveTrader) -> None:
        raise AssertionError("it went on")

    clients = len(world.venues)
    with pytest.raises(IntegrityError):
        play(world, world.trader(strategy=Wish().say(0.1)), nothing)
    assert all(venue.placed == [] for venue in world.venues[clients:])


def test_nothing_that_adds_risk_is_signed_before_the_books_were_compared(tmp_path: Path):
    world = World(tmp_path)

    def prepare(venue: VenueInProcess) -> None:
        async def silent() -> None:
            raise VenueUnavailable("no private stream", why="drill", fix="wait")

        venue.barrier = silent  # type: ignore[method-assign]

    world.prepare = prepare
    trader = world.trader(strategy=Wish().say(0.1))

    async def leaking() -> None:
        running = asyncio.ensure_future(trader.run())
        while not (hasattr(trader, "core") and trader.condition.startswith("reconciling: ")):
            await asyncio.sleep(0.001)
        trader.core.step(bar(1, 1_000))  # as if the gate had let it through
        await asyncio.sleep(0)
        trader.finish("seen")
        await running

    asyncio.run(leaking())
    world.close()
    (refused,) = [step.event for step in world.steps() if isinstance(step.event, OrderRejected)]
    assert refused.code == NO_PERMIT
    assert world.venue.placed == []
