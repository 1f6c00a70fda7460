"""Killed anywhere, a trader comes back to equal books: nothing twice, nothing lost, nothing sent again."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from kedge.domain.errors import InvalidInput
from kedge.domain.events import OrderProvenAbsent, OrderUnanswered
from kedge.domain.outputs import OrderSent
from kedge.services.kill_points import KILL_POINTS, KillAt, NoKillPoints
from kedge.services.live_stop import OnStop, stop
from kedge.services.recovery import replay
from kedge.storage import SqliteJournalReader

from ...builders import AAA, BBB, Scripted
from .live_world import (
    EXPOSURES,
    QUICK,
    Killed,
    PlayedMarket,
    World,
    booked_ids,
    compare_books,
    die,
    executed_ids,
    minutes,
    until,
)
from .venue_in_process import VenueInProcess

IN_STEP = [
    name
    for name in KILL_POINTS
    if name
    not in ("stop", "reconnect", "after_timer", "before_cancel", "lookup", "reconcile_mid_events", "before_amend", "after_amend_answer")
]
SNAPSHOTS = msgspec.structs.replace(QUICK, snapshot_every=4)


def deaf(venue: VenueInProcess) -> None:
    venue.held = []


def listening(_: VenueInProcess) -> None:
    """Frames arrive."""


def finished(world: World, market: PlayedMarket) -> None:
    """The next trader plays on to the end; then everything is compared."""
    trader = world.trader(market=market, settings=SNAPSHOTS)
    assert world.run(trader) == "ended"
    compare_books(trader.engine, world.exchange)
    steps = world.steps()
    assert Counter(booked_ids(steps)) == Counter(executed_ids(world.exchange))
    assert len(booked_ids(steps)) == len(set(booked_ids(steps)))
    placed = Counter(approved.order.client_order_id for venue in world.venues for approved in venue.placed)
    assert set(placed.values()) <= {1}, "an order was sent twice"
    wanted = [output.approved.order.client_order_id for step in steps for output in step.outputs if isinstance(output, OrderSent)]
    assert set(placed) <= set(wanted), "an order left without a record"
    with SqliteJournalReader(world.path) as reader:
        assert replay(reader, code_sha256="", strategy=Scripted(EXPOSURES)).equal


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("point", IN_STEP)
def test_a_trader_killed_in_the_middle_of_a_market_loses_nothing_and_does_nothing_twice(tmp_path: Path, point: str, count: int):
    world = World(tmp_path)
    market = PlayedMarket(world.exchange, minutes())
    kill = KillAt(point, count, die)
    killed = world.run_until_killed(world.trader(market=market, kill=kill, settings=SNAPSHOTS))
    assert killed or point.startswith("reconcile")
    if killed:
        finished(world, market)


@pytest.mark.parametrize("point", ["lookup", "before_commit", "after_commit", "reconcile_end", "before_answer_commit"])
def test_a_trader_killed_again_while_it_comes_back_still_comes_back(tmp_path: Path, point: str):
    world = World(tmp_path)
    market = PlayedMarket(world.exchange, minutes())
    assert world.run_until_killed(world.trader(market=market, kill=KillAt("after_send", 1, die)))
    assert world.run_until_killed(world.trader(market=market, kill=KillAt("before_send", 1, die)))
    kill = KillAt(point, 1, die)
    assert world.run_until_killed(world.trader(market=market, kill=kill))
    finished(world, market)


def test_an_order_recorded_and_never_sent_is_looked_up_and_proven_absent(tmp_path: Path):
    world = World(tmp_path)
    market = PlayedMarket(world.exchange, minutes())
    assert world.run_until_killed(world.trader(market=market, kill=KillAt("before_send", 1, die)))
    assert world.venue.placed == []
    finished(world, market)
    kinds = [type(step.event) for step in world.steps()]
    assert OrderUnanswered in kinds
    assert OrderProvenAbsent in kinds


def test_fills_of_an_order_whose_answer_died_with_the_trader_are_booked_on_the_way_back(tmp_path: Path):
    world = World(tmp_path)
    market = PlayedMarket(world.exchange, minutes())
    world.prepare = deaf
    assert world.run_until_killed(world.trader(market=market, kill=KillAt("after_send", 1, die)))
    assert executed_ids(world.exchange)
    assert not booked_ids(world.steps())
    world.prepare = listening
    finished(world, market)


def _run_and_stop(world: World, kill: KillAt) -> bool:
    """Killed at `stop`, with the run stopped after some bars."""
    market = PlayedMarket(world.exchange, minutes()[:3])
    trader = world.trader(market=market, kill=kill)

    async def both() -> None:
        running = asyncio.ensure_future(trader.run())
        await trader.ready()
        await until(trader, lambda: trader.engine.state.funnel.filled > 0)
        await stop(trader, OnStop.LEAVE, within_s=30.0, actor="test", reason="drill")
        await running

    try:
        asyncio.run(both())
    except Killed:
        world.crash()
        return True
    return False


def test_a_trader_killed_while_it_stops_comes_back(tmp_path: Path):
    world = World(tmp_path)
    assert _run_and_stop(world, KillAt("stop", 1, die))
    market = PlayedMarket(world.exchange, minutes()[3:])
    finished(world, market)


def test_a_trader_killed_when_its_stream_comes_back_comes_back(tmp_path: Path):
    world = World(tmp_path)
    market = PlayedMarket(world.exchange, minutes())

    def interrupt() -> None:
        world.venue.cut()
        world.venue.mend()

    market.before = {4: interrupt}
    assert world.run_until_killed(world.trader(market=market, kill=KillAt("reconnect", 1, die)))
    finished(world, market)


def test_a_trader_killed_between_missed_fills_books_the_rest_once(tmp_path: Path):
    """Orders of two instruments fill while no frame arrives; the next trader dies after booking one of the fills."""
    world = World(tmp_path, (AAA, BBB))
    market = PlayedMarket(world.exchange, minutes(ids=(AAA, BBB)))
    world.prepare = deaf
    assert world.run_until_killed(world.trader(market=market, kill=KillAt("after_answer_commit", 2, die)))
    assert len(executed_ids(world.exchange)) == 2
    assert booked_ids(world.steps()) == []
    world.prepare = listening
    assert world.run_until_killed(world.trader(market=market, kill=KillAt("reconcile_mid_events", 1, die)))
    assert len(booked_ids(world.steps())) == 1
    finished(world, market)


def test_kill_points_are_read_as_name_and_count():
    kill = KillAt.parse("before_send:2")
    assert (kill.name, kill.armed, kill.reached) == ("before_send", True, False)
    assert KillAt.parse("stop").name == "stop"
    for text in ("nowhere", "stop:0", "stop:x", "stop:-1"):
        with pytest.raises(InvalidInput, match="kill point"):
            KillAt.parse(text)
    NoKillPoints().reach("stop")
