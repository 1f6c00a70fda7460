"""Records that changed or went while the trader was away: a new grid, an instrument that is not listed any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from kedge.domain.errors import Conflict, InvalidInput
from kedge.domain.events import Command, CommandGiven, InstrumentChanged, OrderCanceled, OrderRejected
from kedge.domain.orders import OrderKind
from kedge.services.live import LiveTrader
from kedge.services.live_stop import risk_on
from kedge.strategy.execution import ExecutionPolicy

from ...builders import AAA, BBB, Wish, bar, instrument
from .live_world import World, compare_books, play, until

RESTING = {"execution": ExecutionPolicy(entry=OrderKind.LIMIT)}
FINER = instrument(tick_e8=1_000_000)


async def rests(world: World, trader: LiveTrader) -> None:
    world.exchange.play(bar(1, 1_000))
    await until(trader, lambda: risk_on(trader).orders == 1 and not trader.desk.under_way)


async def nothing(_: LiveTrader) -> None:
    """Only begins."""


def test_orders_of_an_old_grid_are_resolved_on_it_before_another_start_has_the_new_one(tmp_path: Path):
    world = World(tmp_path)
    play(world, world.trader(strategy=Wish().say(-0.1), plan=RESTING), lambda trader: rests(world, trader))
    old, world.exchange.specs = world.exchange.specs[0], [FINER]
    with pytest.raises(Conflict, match="new grid.*start the trader again"):
        play(world, world.trader(strategy=Wish(), plan=RESTING), nothing)
    assert world.venue.remembered == [old], "what the venue says is read on the grid of our orders"
    assert not world.exchange.core.open_orders("777001").rows
    events = [step.event for step in world.steps()]
    (given,) = (event for event in events if isinstance(event, CommandGiven))
    assert (given.command, given.actor) == (Command.CANCEL_ALL, "trader")
    assert not any(isinstance(event, InstrumentChanged) for event in events)
    trader = world.trader(strategy=Wish(), plan=RESTING)
    play(world, trader, nothing)
    assert trader.engine.state.slots[AAA].spec.tick_e8 == 1_000_000
    kinds = [type(step.event) for step in world.steps()]
    assert kinds.index(OrderCanceled) < kinds.index(InstrumentChanged)
    assert trader.engine.state.halt_code == ""


def test_an_order_of_an_old_grid_that_the_venue_lost_does_not_hold_the_new_one_up(tmp_path: Path):
    world = World(tmp_path)
    play(world, world.trader(strategy=Wish().say(-0.1), plan=RESTING), lambda trader: rests(world, trader))
    account = world.exchange.core._account("777001")
    (order,) = account.open.values()
    account.links.pop(order.link_id)
    account.open.clear()
    world.exchange.specs = [FINER]
    with pytest.raises(Conflict, match="new grid"):
        play(world, world.trader(strategy=Wish(), plan=RESTING), nothing)
    trader = world.trader(strategy=Wish(), plan=RESTING)
    play(world, trader, nothing)
    assert trader.engine.state.halt_code == "ORDER_VANISHED", "a person has to look"
    assert trader.engine.state.slots[AAA].spec.tick_e8 == 1_000_000


def test_a_new_grid_without_orders_is_taken_over_at_once(tmp_path: Path):
    world = World(tmp_path)
    play(world, world.trader(strategy=Wish()), nothing)
    world.exchange.specs = [FINER]
    trader = world.trader(strategy=Wish())
    play(world, trader, nothing)
    assert trader.engine.state.slots[AAA].spec.tick_e8 == 1_000_000
    assert world.venue.remembered == []


def test_a_trader_goes_on_without_an_instrument_that_is_not_listed_any_more(tmp_path: Path):
    world, wish = World(tmp_path, (AAA, BBB)), Wish()

    async def bought(trader: LiveTrader) -> None:
        world.exchange.play(bar(1, 1_000), then=[bar(1, 1_000, BBB)])
        await until(trader, lambda: trader.engine.state.funnel.bars == 2)
        wish.say(0.1, BBB)
        world.exchange.play(bar(2, 1_000), then=[bar(2, 1_000, BBB)])
        await until(trader, lambda: trader.engine.state.funnel.filled == 1 and not trader.desk.under_way)

    play(world, world.trader(strategy=wish), bought)
    gone = world.exchange.specs.pop()
    trader = world.trader(strategy=wish)

    async def goes_on(trader: LiveTrader) -> None:
        assert world.venue.remembered == [gone]
        wish.say(0.12, BBB).say(0.1)
        world.exchange.play(bar(3, 1_000), then=[bar(3, 1_000, BBB)])
        await until(trader, lambda: trader.engine.state.slots[AAA].position_lots > 0)
        await until(trader, lambda: trader.engine.state.funnel.refused == {"NOT_LISTED": 1})
        trader.command(CommandGiven(trader.core.now_ns(), Command.FLATTEN, "ann", "it is gone"))
        await until(trader, lambda: not risk_on(trader).is_on)

    play(world, trader, goes_on)
    refused = [step.event for step in world.steps() if isinstance(step.event, OrderRejected)]
    assert "lists test:BBBUSDT no more" in refused[0].reason
    compare_books(trader.engine, world.exchange)


def test_a_run_does_not_begin_with_an_instrument_that_is_not_listed(tmp_path: Path):
    world = World(tmp_path, (AAA, BBB))
    world.exchange.specs.pop()
    with pytest.raises(InvalidInput, match="does not list"):
        world.run(world.trader())
