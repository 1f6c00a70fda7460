"""A simulated exchange that was started again plays another market: the run of the old one ends and meets nothing of the new one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from kedge.domain.errors import MarketGone, VenueUnavailable
from kedge.domain.events import OrderProvenAbsent
from kedge.services.live import LiveTrader

from ...builders import AAA, Wish, bar
from .live_world import QUICK, World, executed_ids, play, until
from .venue_in_process import Exchange, VenueInProcess


class Session:
    """Which market the exchange plays; asked like the exchange is."""

    def __init__(self) -> None:
        self.is_same, self.fails, self.asked = True, 0, 0

    async def check(self) -> None:
        self.asked += 1
        await asyncio.sleep(0)
        if self.fails:
            self.fails -= 1
            raise VenueUnavailable("no answer", why="drill", fix="wait")
        if not self.is_same:
            raise MarketGone("another market", why="drill", fix="start again")


def restarted(world: World, venue: VenueInProcess, session: Session) -> None:
    """The exchange dies, and another one answers at its address: with a fresh account and without our orders."""
    session.is_same = False
    venue.cut()
    world.exchange = venue.exchange = Exchange()
    venue.core = world.exchange.core
    world.exchange.clients.append(venue)
    venue.mend()


def test_the_books_of_another_market_are_not_compared_with_ours(tmp_path: Path):
    world, session = World(tmp_path), Session()
    trader = world.trader(strategy=Wish().say(0.1), same_market=session.check)

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: trader.engine.state.funnel.filled == 1 and not trader.desk.under_way)
        restarted(world, world.venue, session)
        await asyncio.sleep(30)

    with pytest.raises(MarketGone):
        play(world, trader, script)
    assert trader.engine.state.halt_code == "", "nothing of the new market is a difference"
    assert trader.engine.state.slots[AAA].position_lots > 0


def test_another_market_proves_nothing_about_an_order_of_the_old_one(tmp_path: Path):
    world, session = World(tmp_path), Session()
    world.prepare = lambda venue: setattr(venue, "lose_requests", 1)
    settings = msgspec.structs.replace(QUICK, reconcile_wall_min_s=60.0)
    trader = world.trader(strategy=Wish().say(0.1), settings=settings, same_market=session.check)

    async def script(trader: LiveTrader) -> None:
        session.is_same = False
        world.exchange.play(bar(1, 1_000))
        await asyncio.sleep(30)

    with pytest.raises(MarketGone):
        play(world, trader, script)
    assert not any(isinstance(step.event, OrderProvenAbsent) for step in world.steps())


def test_an_exchange_that_does_not_say_which_market_it_plays_is_asked_again(tmp_path: Path):
    world, session = World(tmp_path), Session()
    session.fails = 2

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: trader.engine.state.funnel.filled == 1)

    play(world, world.trader(strategy=Wish().say(0.1), same_market=session.check), script)
    assert session.asked >= 3


def test_an_order_that_waited_to_be_signed_through_an_interruption_is_not_sent_before_the_books_are_compared(tmp_path: Path):
    world = World(tmp_path)
    trader = world.trader(strategy=Wish().say(0.1))

    async def script(trader: LiveTrader) -> None:
        venue = world.venue
        place, down = venue.place, asyncio.Event()

        async def waits(approved: object, **more: object) -> object:
            venue.cut()
            await down.wait()
            return await place(approved, **more)  # type: ignore[arg-type]

        venue.place = waits  # type: ignore[method-assign,assignment]
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: not trader.bars.gate.is_open)
        down.set()
        await until(trader, lambda: trader.engine.state.funnel.refused == {"NO_PERMIT": 1})
        assert executed_ids(world.exchange) == []

    play(world, trader, script)


def test_an_order_that_is_planned_while_the_venue_is_not_seen_says_so(tmp_path: Path):
    world = World(tmp_path)
    trader = world.trader(strategy=Wish().say(0.1))

    async def script(trader: LiveTrader) -> None:
        trader.news.interruptions += 1
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: trader.engine.state.funnel.refused == {"NO_PERMIT": 1})

    play(world, trader, script)
    assert world.venue.placed == []
