"""The venue's rules and margin tiers reach a trader while it runs; what cannot be had or used leaves the old ones in force, said aloud."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kedge.domain.errors import MarketGone
from kedge.domain.events import InstrumentChanged, OrderCanceled, OrderRejected
from kedge.domain.instrument import RiskTier
from kedge.domain.orders import OrderKind
from kedge.domain.outputs import OrderRefused
from kedge.services.live import LiveTrader
from kedge.services.live_status import status
from kedge.services.live_stop import risk_on
from kedge.services.recovery import recover
from kedge.storage import SqliteJournalReader
from kedge.strategy.execution import ExecutionPolicy

from ...builders import AAA, BBB, CCC, E8, Wish, bar, instrument
from .live_world import QUICK, World, play, until

RESTING = {"execution": ExecutionPolicy(entry=OrderKind.LIMIT)}
OFTEN = msgspec.structs.replace(QUICK, instruments_every_s=0.01, instruments_retry_s=0.01)
SMALL = (RiskTier(notional_max_e8=400 * E8, maintenance_rate_e8=1_000_000, deduction_e8=0, leverage_max_e2=5_000),)


def refreshed(tmp_path: Path, script: Callable[[World, LiveTrader, Wish], Any], ids: tuple[str, ...] = (AAA,), **given: Any) -> World:
    """A trader that reads the records all the time, beside a script."""
    world, wish = World(tmp_path, ids), Wish()
    play(world, world.trader(strategy=wish, settings=OFTEN, **given), lambda trader: script(world, trader, wish))
    return world


def changes(world: World) -> list[InstrumentChanged]:
    return [step.event for step in world.steps() if isinstance(step.event, InstrumentChanged)]


def test_lower_brackets_take_back_what_rests_beyond_them_and_refuse_the_next_order(tmp_path: Path):
    async def script(world: World, trader: LiveTrader, wish: Wish) -> None:
        wish.say(-0.1)
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: risk_on(trader).orders == 1 and not trader.desk.under_way)
        world.exchange.specs = [instrument(tiers=SMALL)]
        await until(trader, lambda: risk_on(trader).orders == 0 and not trader.desk.under_way)
        assert trader.engine.state.slots[AAA].spec.tiers == SMALL
        assert world.venue.canceled
        wish.say(0.1)
        world.exchange.play(bar(2, 1_000))
        await until(trader, lambda: trader.engine.state.funnel.vetoed.get("VENUE_TIER", 0) == 1)

    world = refreshed(tmp_path, script, plan=RESTING)
    (change,) = changes(world)
    assert change.instrument.tiers == SMALL
    steps = world.steps()
    kinds = [type(step.event) for step in steps]
    assert kinds.index(InstrumentChanged) < kinds.index(OrderCanceled)
    assert [one.code for step in steps for one in step.outputs if isinstance(one, OrderRefused)] == ["VENUE_TIER"]
    with SqliteJournalReader(world.path) as reader:
        again = recover(reader, strategy=Wish())
    assert again.state.slots[AAA].spec.tiers == SMALL


def test_records_that_are_what_they_were_leave_no_record(tmp_path: Path):
    async def script(world: World, trader: LiveTrader, wish: Wish) -> None:
        asked: list[int] = []
        world.exchange.specs = Told(world.exchange.specs, asked)
        await until(trader, lambda: len(asked) >= 3)

    assert changes(refreshed(tmp_path, script)) == []


class Told(list[Any]):
    """A list that tells when somebody goes through it."""

    def __init__(self, rows: list[Any], asked: list[int]) -> None:
        super().__init__(rows)
        self._asked = asked

    def __iter__(self) -> Any:
        self._asked.append(1)
        return super().__iter__()


def test_a_venue_that_does_not_say_leaves_the_old_rules_in_force_with_their_age(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    async def script(world: World, trader: LiveTrader, wish: Wish) -> None:
        assert status(trader)["instruments_problem"] == ""
        assert 0 <= status(trader)["instruments_age_s"] < 30
        world.venue.fail_questions = 10**6
        await until(trader, lambda: bool(trader.instruments.problem))
        told = status(trader)
        assert "cannot be read" in told["instruments_problem"]
        assert told["instruments_age_s"] > 0
        assert trader.engine.state.slots[AAA].spec == instrument()
        world.venue.fail_questions = 0
        await until(trader, lambda: not trader.instruments.problem)

    refreshed(tmp_path, script)
    assert "those in force are 0.0 h old" in caplog.text


def test_rules_that_nobody_could_count_with_are_not_used(tmp_path: Path):
    steep = (RiskTier(notional_max_e8=400 * E8, maintenance_rate_e8=90_000_000, deduction_e8=0, leverage_max_e2=5_000),)
    giants = [instrument(name, position_max_lots=39_000_000, tiers=steep) for name in (AAA, BBB)]

    async def script(world: World, trader: LiveTrader, wish: Wish) -> None:
        world.exchange.specs = giants
        await until(trader, lambda: "cannot be counted with" in trader.instruments.problem)
        assert trader.engine.state.slots[AAA].spec == instrument()

    assert changes(refreshed(tmp_path, script, (AAA, BBB))) == []


def test_on_a_new_grid_nothing_new_is_risked_and_a_person_is_told_to_start_again(tmp_path: Path):
    async def script(world: World, trader: LiveTrader, wish: Wish) -> None:
        world.exchange.specs = [instrument(tick_e8=1_000_000)]
        await until(trader, lambda: trader.desk.unlisted == frozenset({AAA}))
        (told,) = status(trader)["action_needed"]
        assert told.startswith(f"{AAA} has a new grid at the venue; start the trader again")
        wish.say(0.1)
        world.exchange.play(bar(1, 1_000))
        await until(trader, lambda: trader.engine.state.funnel.refused == {"NOT_LISTED": 1})
        world.exchange.specs = [instrument()]
        await until(trader, lambda: not trader.desk.unlisted)
        assert status(trader)["action_needed"] == []

    world = refreshed(tmp_path, script)
    assert changes(world) == []
    (refused,) = (step.event for step in world.steps() if isinstance(step.event, OrderRejected))
    assert "on another grid" in refused.reason


def test_a_new_grid_is_not_forgotten_over_rules_that_nobody_could_count_with(tmp_path: Path):
    steep = (RiskTier(notional_max_e8=400 * E8, maintenance_rate_e8=90_000_000, deduction_e8=0, leverage_max_e2=5_000),)
    moved = instrument(tick_e8=1_000_000)

    async def script(world: World, trader: LiveTrader, wish: Wish) -> None:
        world.exchange.specs = [moved, instrument(BBB), instrument(CCC)]
        await until(trader, lambda: trader.desk.unlisted == frozenset({AAA}))
        world.exchange.specs = [moved, *(instrument(name, position_max_lots=39_000_000, tiers=steep) for name in (BBB, CCC))]
        await until(trader, lambda: "cannot be counted with" in trader.instruments.problem)
        assert trader.desk.unlisted == frozenset({AAA})
        (told,) = status(trader)["action_needed"]
        assert told.startswith(f"{AAA} has a new grid")

    assert changes(refreshed(tmp_path, script, (AAA, BBB, CCC))) == []


def test_an_instrument_that_goes_while_the_trader_runs_is_not_risked_and_may_come_back(tmp_path: Path):
    async def script(world: World, trader: LiveTrader, wish: Wish) -> None:
        gone = world.exchange.specs.pop()
        await until(trader, lambda: trader.desk.unlisted == frozenset({BBB}))
        world.exchange.specs.append(gone)
        await until(trader, lambda: not trader.desk.unlisted)

    refreshed(tmp_path, script, (AAA, BBB))


def test_rules_that_another_market_tells_are_not_used(tmp_path: Path):
    is_gone = False

    async def same_market() -> None:
        if is_gone:
            raise MarketGone("another market", why="drill", fix="start again")

    async def script(world: World, trader: LiveTrader, wish: Wish) -> None:
        nonlocal is_gone
        is_gone = True
        world.exchange.specs = [instrument(tiers=SMALL)]
        await until(trader, lambda: False)

    with pytest.raises(MarketGone):
        refreshed(tmp_path, script, same_market=same_market)


def test_the_records_are_read_once_a_day_and_sooner_after_a_failure():
    assert (QUICK.instruments_every_s, QUICK.instruments_retry_s) == (86_400.0, 300.0)
