"""Stopping, commands, the inbox and timers of a live trader."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from kedge.domain.events import Command, CommandGiven, RunEnded, TimerFired
from kedge.domain.orders import OrderKind
from kedge.risk.states import RiskState
from kedge.services.inbox import Inbox
from kedge.services.kill_points import KillAt
from kedge.services.live import LiveTrader
from kedge.services.live_status import status
from kedge.services.live_stop import OnStop, risk_on, stop
from kedge.services.recovery import replay
from kedge.storage import SqliteJournalReader
from kedge.strategy.execution import ExecutionPolicy

from ...builders import AAA, BBB, MINUTE, T0, S, Wish, bar
from .live_world import QUICK, Killed, PlayedMarket, World, compare_books, die, executed_ids, minutes, play, until

RESTING = {"execution": ExecutionPolicy(entry=OrderKind.LIMIT, limit_life_ns=2 * S)}
SLICED = {"execution": ExecutionPolicy(slice_notional_frac_e8=4_000_000)}


async def one_bar(world: World, trader: LiveTrader, n: int, close: int = 1_000) -> None:
    world.exchange.play(bar(n, close))
    await until(trader, lambda: trader.engine.state.ts_ns >= T0 + n * MINUTE)


def commands(world: World) -> list[Command]:
    return [step.event.command for step in world.steps() if isinstance(step.event, CommandGiven)]


def test_leaving_keeps_orders_and_positions_and_says_what_they_are(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(0.1)
    trader = world.trader(strategy=wish)

    async def script(trader: LiveTrader) -> None:
        assert not risk_on(trader).is_on
        await one_bar(world, trader, 1)
        await until(trader, lambda: trader.engine.state.funnel.filled == 1)
        stopped = await stop(trader, OnStop.LEAVE, within_s=30.0, actor="ann", reason="break")
        assert stopped.complete
        assert stopped.left.is_on
        assert list(stopped.left.positions) == [AAA]
        world.exchange.play(bar(2, 1_000))
        await asyncio.sleep(30)

    assert play(world, trader, script) == "stopped"
    assert trader.condition == "stopping"
    assert commands(world) == []
    compare_books(trader.engine, world.exchange)


def test_cancelling_takes_every_order_away_and_nothing_else(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(-0.1)
    trader = world.trader(strategy=wish, plan=RESTING)

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: risk_on(trader).orders == 1)
        stopped = await stop(trader, OnStop.CANCEL, within_s=30.0, actor="ann", reason="break")
        assert stopped.complete
        assert not stopped.left.is_on

    play(world, trader, script)
    assert commands(world) == [Command.CANCEL_ALL]
    assert trader.engine.state.risk_state is RiskState.RUNNING
    compare_books(trader.engine, world.exchange)


def test_flattening_closes_every_position_slice_by_slice_and_stays_flat_until_resumed(tmp_path: Path):
    world = World(tmp_path)
    wish = Wish().say(0.12)
    settings = msgspec.structs.replace(QUICK, speed=200)
    trader = world.trader(strategy=wish, plan=SLICED, settings=settings)

    async def script(trader: LiveTrader) -> None:
        await one_bar(world, trader, 1)
        await until(trader, lambda: trader.engine.state.funnel.filled == 3)
        stopped = await stop(trader, OnStop.FLATTEN, within_s=30.0, actor="ann", reason="going home")
        assert stopped.complete
        assert not stopped.left.is_on

    play(world, trader, script)
    assert not world.exchange.core.positions("777001")
    compare_books(trader.engine, world.exchange)

    wish.say(0.1)
    trader = world.trader(strategy=wish, plan=SLICED, settings=settings)

    async def later(trader: LiveTrader) -> None:
        assert trader.engine.state.halt_code == "FLATTEN"
        await one_bar(world, trader, 3)
        assert world.venue.placed == []
        trader.command(CommandGiven(trader.core.now_ns(), Command.RESUME, "bob", "back"))
        await one_bar(world, trader, 4)
        await until(trader, lambda: bool(world.venue.placed))
        await until(trader, lambda: not trader.desk.under_way)

    play(world, trader, later)
    with SqliteJournalReader(world.path) as reader:
        assert [type(record).__name__ for record in reader.records()][0] == "RunStarted"


def test_what_a_stop_cannot_do_in_its_time_is_told(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(-0.1)
    trader = world.trader(strategy=wish, plan=RESTING)

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: risk_on(trader).orders == 1)
        world.venue.lose_cancels = 10**6
        stopped = await stop(trader, OnStop.CANCEL, within_s=0.05, actor="ann", reason="break")
        assert not stopped.complete
        assert stopped.left.orders == 1

    play(world, trader, script)


def test_a_cancel_without_an_answer_is_asked_for_again(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(-0.1)
    trader = world.trader(strategy=wish, plan=RESTING)

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: risk_on(trader).orders == 1)
        world.venue.lose_cancels = 2
        trader.command(CommandGiven(trader.core.now_ns(), Command.HALT, "ann", "drill"))
        await until(trader, lambda: not risk_on(trader).orders)

    play(world, trader, script)
    assert len(world.venue.canceled) == 3
    compare_books(trader.engine, world.exchange)


def test_a_command_of_the_inbox_is_taken_once_whichever_side_dies(tmp_path: Path):
    world = World(tmp_path)
    with Inbox(world.inbox_path) as inbox:
        name = inbox.put(Command.HALT, "ann", "drill", wall_ns=1)
        assert inbox.put(Command.HALT, "ann", "drill", wall_ns=1) == name
        market = PlayedMarket(world.exchange, minutes())
        trader = world.trader(market=market, inbox=inbox, kill=KillAt("after_commit", 1, die))
        with pytest.raises(Killed):
            asyncio.run(trader.run())
        world.crash()
    with Inbox(world.inbox_path) as inbox:
        assert [waiting.command_id for waiting in inbox.waiting()] == [name]
        inbox.put(Command.RESUME, "bob", "drill over", wall_ns=2)
        trader = world.trader(market=market, inbox=inbox)
        world.run(trader)
        assert inbox.waiting() == []
        assert inbox.is_taken(name)
    assert commands(world) == [Command.HALT, Command.RESUME]


def test_an_order_that_lived_long_enough_is_cancelled_by_its_timer(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(-0.1)
    trader = world.trader(strategy=wish, plan=RESTING, settings=msgspec.structs.replace(QUICK, speed=100))

    async def script(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: bool(world.venue.canceled) and not risk_on(trader).orders)

    play(world, trader, script)
    fired = [step.event.timer_id for step in world.steps() if isinstance(step.event, TimerFired)]
    assert [name[:5] for name in fired] == ["life:"]


def test_timers_in_lock_step_fire_when_a_bar_has_moved_the_time(tmp_path: Path):
    world, wish = World(tmp_path), Wish().say(-0.1)
    market = PlayedMarket(world.exchange, minutes((1_000,) * 3))
    trader = world.trader(market=market, strategy=wish, plan=RESTING)
    world.run(trader)
    events = [step.event for step in world.steps()]
    fired = [event for event in events if isinstance(event, TimerFired)]
    assert [event.ts_ns for event in fired if event.timer_id.startswith("life:")][0] == T0 + 2 * MINUTE
    compare_books(trader.engine, world.exchange)


@pytest.mark.parametrize("point", ["after_timer", "before_cancel"])
def test_a_trader_killed_around_a_cancel_comes_back(tmp_path: Path, point: str):
    world, wish = World(tmp_path), Wish().say(-0.1)
    market = PlayedMarket(world.exchange, [bar(n, 1_000 if n == 1 else 990) for n in range(1, 5)])
    trader = world.trader(market=market, strategy=wish, plan=RESTING, kill=KillAt(point, 1, die))
    with pytest.raises(Killed):
        asyncio.run(trader.run())
    world.crash()
    trader = world.trader(market=market, strategy=wish, plan=RESTING)
    world.run(trader)
    compare_books(trader.engine, world.exchange)


def test_bars_that_do_not_arrive_in_lock_step_are_asked_for(tmp_path: Path):
    world = World(tmp_path, (AAA, BBB))
    market = PlayedMarket(world.exchange, minutes(ids=(AAA, BBB)))

    def lose_bars() -> None:
        world.exchange.clients[0].hear = lambda change: None  # type: ignore[method-assign]

    market.before = {3: lose_bars}
    trader = world.trader(market=market, strategy=Wish(), settings=msgspec.structs.replace(QUICK, bars_wait_s=0.01))
    world.run(trader)
    assert trader.engine.state.funnel.bars == 20
    assert trader.engine.state.funnel.gaps == 0


def test_an_interrupted_stream_in_lock_step_is_reconciled_before_the_next_bar(tmp_path: Path):
    world = World(tmp_path)
    market = PlayedMarket(world.exchange, minutes())

    def cut() -> None:
        world.venue.cut()
        asyncio.get_running_loop().call_later(0.02, world.venue.mend)

    market.before = {4: cut}
    trader = world.trader(market=market)
    world.run(trader)
    compare_books(trader.engine, world.exchange)
    assert len(executed_ids(world.exchange)) > 5


def test_a_run_that_is_ended_says_so_and_replays(tmp_path: Path):
    world = World(tmp_path)
    trader = world.trader(market=PlayedMarket(world.exchange, minutes((1_000, 1_010))), strategy=Wish().say(0.1))

    async def whole() -> None:
        await trader.run()
        trader.end("END_OF_MARKET")

    asyncio.run(whole())
    world.close()
    assert isinstance(world.steps()[-1].event, RunEnded)
    with SqliteJournalReader(world.path) as reader:
        assert replay(reader, code_sha256="", strategy=Wish().say(0.1)).equal


def test_before_there_is_an_engine_the_status_says_what_is_waited_for(tmp_path: Path):
    world = World(tmp_path)
    trader = world.trader()
    told = status(trader)
    assert (told["condition"], told["ready"], told["permit_age_s"]) == ("starting", False, None)
    assert "equity" not in told
    world.close()
