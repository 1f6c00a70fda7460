"""Quotes into a live trader, and styles of execution through the live loop: moves whose answers are lost, books that break, restarts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from kedge.domain.events import (
    BarClosed,
    Command,
    CommandGiven,
    Event,
    OrderAmended,
    PositionAdopted,
    QuoteLost,
    QuoteSampled,
    StopUnconfirmed,
    TimerFired,
)
from kedge.domain.outputs import AmendSent, Decided, OrderSent
from kedge.domain.venue import Quote
from kedge.engine.lifecycle import Status
from kedge.services.live import LiveTrader
from kedge.services.live_quotes import instruments_of
from kedge.services.recovery import replay
from kedge.storage import SqliteJournalReader
from kedge.strategy.execution import ExecutionPolicy, SliceEntry, Style, WithoutQuote

from ...builders import AAA, BBB, MINUTE, T0, S, Wish, bar, engine, instrument
from .live_world import QUICK, PlayedMarket, World, compare_books, minutes, play, until
from .venue_in_process import ACCOUNT, VenueInProcess

FAST = msgspec.structs.replace(QUICK, speed=50)
CHASE = {"execution": ExecutionPolicy(style=Style.CHASE, chase_life_ns=50 * S)}


def quoted(bid: int, ask: int) -> dict[str, Quote]:
    return {AAA: Quote(AAA, bid, ask, 10, 10, T0)}


def world_quoting(folder: Path, bid: int = 998, ask: int = 1_002) -> World:
    world = World(folder)
    world.prepare = lambda venue: venue.quotes.update(quoted(bid, ask))
    return world


async def one_bar(world: World, trader: LiveTrader, n: int, close: int = 1_000) -> None:
    world.exchange.play(bar(n, close))
    await until(trader, lambda: trader.engine.state.ts_ns >= T0 + n * MINUTE)


async def resting(trader: LiveTrader, ticks: int) -> str:
    """Wait until the trader's one order rests at a price; its name."""

    def is_so() -> bool:
        held = list(trader.engine.state.orders.of(AAA).values())
        return len(held) == 1 and (held[0].status, held[0].limit_ticks) == (Status.OPEN, ticks)

    await until(trader, is_so)
    (name,) = trader.engine.state.orders.of(AAA)
    return name


def theirs(world: World, name: str) -> int:
    """The limit at which the exchange has an order."""
    row = world.exchange.core.find_order(ACCOUNT, AAA, link_id=name)
    assert row is not None
    return row.price_ticks


def events(world: World, *kinds: type) -> list[Event]:
    return [step.event for step in world.steps() if isinstance(step.event, kinds)]


def test_a_quote_is_sampled_before_a_bar_and_told_lost_once(tmp_path: Path) -> None:
    world = world_quoting(tmp_path)
    trader = world.trader(strategy=Wish().say(0.1), settings=FAST)

    async def script(trader: LiveTrader) -> None:
        await one_bar(world, trader, 1)
        world.venue.quotes.clear()
        await one_bar(world, trader, 2)
        await one_bar(world, trader, 3)
        world.venue.quotes.update(quoted(1_001, 1_001))
        await one_bar(world, trader, 4)
        world.venue.quotes.update(quoted(999, 1_001))
        await one_bar(world, trader, 5)

    play(world, trader, script)
    told = [type(e).__name__ for e in events(world, QuoteSampled, QuoteLost, BarClosed)]
    assert told == ["QuoteSampled", "BarClosed", "QuoteLost", "BarClosed", "BarClosed", "BarClosed", "QuoteSampled", "BarClosed"]
    (decided,) = [o for step in world.steps() for o in step.outputs if isinstance(o, Decided)]
    assert decided.mid2_ticks == 2_000
    assert trader.engine.summary()["slippage_against"] == "mid"
    assert trader.engine.state.slots[AAA].mid2_ticks == 2_000


def test_the_same_quote_is_sampled_again_only_before_it_would_be_too_old(tmp_path: Path) -> None:
    world = world_quoting(tmp_path)
    trader = world.trader(strategy=Wish(), settings=FAST, plan={"execution": ExecutionPolicy(quote_age_max_ns=90 * S)})

    async def script(trader: LiveTrader) -> None:
        for n in range(1, 6):
            await one_bar(world, trader, n)

    play(world, trader, script)
    assert 2 <= len(events(world, QuoteSampled)) <= 4


def test_only_what_may_send_orders_asks_for_a_quote() -> None:
    one = engine(instruments=[instrument(), instrument(BBB)])
    one.step(PositionAdopted(T0, BBB, 10, 10**9))
    asking = (bar(1), TimerFired(T0, f"work:{AAA}"), TimerFired(T0, f"again:{AAA}"), StopUnconfirmed(T0, AAA, S, "drill"))
    assert [instruments_of(e, one.state) for e in asking] == [[AAA]] * 4
    assert instruments_of(CommandGiven(T0, Command.FLATTEN, "ann", "drill"), one.state) == [BBB], "what is held is to be closed"
    others = (
        TimerFired(T0, "life:o1"), TimerFired(T0, "catch-up"), QuoteLost(T0, AAA, "x"), StopUnconfirmed(T0, "test:NOPE", S, "drill"),
        CommandGiven(T0, Command.HALT, "ann", "drill"), CommandGiven(T0, Command.RESUME, "ann", "drill"),
    )  # fmt: skip
    assert [instruments_of(e, one.state) for e in others] == [[]] * 6


@pytest.mark.parametrize("fault", ["none", "lose_amends", "lose_amend_answers"])
def test_a_chase_follows_the_touch_whatever_happens_to_its_moves(tmp_path: Path, fault: str) -> None:
    world = world_quoting(tmp_path)
    trader = world.trader(strategy=Wish().say(0.1), settings=FAST, plan=CHASE)

    async def script(trader: LiveTrader) -> None:
        await one_bar(world, trader, 1)
        name = await resting(trader, 998)
        if fault != "none":
            setattr(world.venue, fault, 1)
        world.venue.quotes.update(quoted(999, 1_001))
        assert await resting(trader, 999) == name
        assert theirs(world, name) == 999
        world.venue.quotes.clear()
        moved = len(world.venue.amended)
        ts_ns = trader.engine.state.ts_ns
        await until(trader, lambda: trader.engine.state.slots[AAA].quote_ts_ns == 0 or trader.core.now_ns() > ts_ns + 5 * S)
        assert len(world.venue.amended) == moved, "nothing is priced off a book that is broken"

    play(world, trader, script)
    compare_books(trader.engine, world.exchange)
    assert len(world.venue.placed) == 1, "moved, never sent again"
    if fault != "lose_amends":
        assert len(events(world, OrderAmended)) >= 1


def test_a_chase_crosses_at_the_end_of_its_life_and_a_restart_goes_on_with_it(tmp_path: Path) -> None:
    world = world_quoting(tmp_path)
    plan = {"execution": ExecutionPolicy(style=Style.CHASE, chase_life_ns=20 * S)}
    first = world.trader(strategy=Wish().say(0.1), settings=FAST, plan=plan)

    async def rests(trader: LiveTrader) -> None:
        await one_bar(world, trader, 1)
        await resting(trader, 998)

    play(world, first, rests)
    second = world.trader(strategy=Wish(), settings=FAST, plan={**plan, "start_ts_ns": T0 + MINUTE + 2 * S})

    async def crosses(trader: LiveTrader) -> None:
        await one_bar(world, trader, 2)
        await until(trader, lambda: trader.engine.state.slots[AAA].position_lots == 10_000)

    play(world, second, crosses)
    compare_books(second.engine, world.exchange)
    with SqliteJournalReader(world.path) as reader:
        kinds = [o.approved.order.kind for step in reader.records() for o in getattr(step, "outputs", ()) if isinstance(o, OrderSent)]
    assert kinds == ["limit", "market"]


STYLES: dict[str, ExecutionPolicy] = {
    "chase": ExecutionPolicy(style=Style.CHASE, chase_life_ns=3 * MINUTE),
    "chase, waiting for a book": ExecutionPolicy(style=Style.CHASE, chase_life_ns=3 * MINUTE, without_quote=WithoutQuote.WAIT),
    "twap": ExecutionPolicy(style=Style.TWAP, twap_ns=3 * MINUTE, twap_slices=3),
    "twap, resting first": ExecutionPolicy(style=Style.TWAP, twap_ns=4 * MINUTE, twap_slices=2, slice_entry=SliceEntry.LIMIT),
    "participation": ExecutionPolicy(style=Style.PARTICIPATION, participation_e8=1_000_000),
    "stop entry": ExecutionPolicy(style=Style.STOP_ENTRY, trigger_bps=20),
}


def stepped(folder: Path, policy: ExecutionPolicy, fault: Any = None) -> tuple[World, LiveTrader, list[tuple[Any, Any]]]:
    """A whole market in lock-step, quoted by what the exchange's time says."""
    folder.mkdir()
    world = World(folder)

    def prepare(venue: VenueInProcess) -> None:
        def quote(instrument_id: str) -> Quote | None:
            minute = (world.exchange.now_ns - T0) // MINUTE
            mark = world.exchange.bars[-1].close_ticks if world.exchange.bars else 1_000
            return None if minute % 4 == 3 else Quote(instrument_id, mark - 1, mark + 2, 5, 5, world.exchange.now_ns)

        venue.quote = quote  # type: ignore[method-assign]
        if fault is not None:
            fault(venue)

    world.prepare = prepare
    prices = (1_000, 1_004, 996, 1_003, 1_006, 1_002, 998, 1_000, 1_004, 1_001, 999, 1_002)
    market = PlayedMarket(world.exchange, minutes(prices))
    trader = world.trader(market=market, plan={"execution": policy})
    assert world.run(trader) == "ended"
    return world, trader, [(step.event, step.outputs) for step in world.steps()]


@pytest.mark.parametrize("policy", STYLES.values(), ids=STYLES.keys())
def test_a_style_trades_in_lock_step_the_same_twice_and_is_replayed_to_the_byte(tmp_path: Path, policy: ExecutionPolicy) -> None:
    world, trader, told = stepped(tmp_path / "one", policy)
    compare_books(trader.engine, world.exchange)
    assert trader.engine.state.funnel.filled
    assert [e for e, _ in stepped(tmp_path / "two", policy)[2] if isinstance(e, QuoteSampled | QuoteLost)] == [
        e for e, _ in told if isinstance(e, QuoteSampled | QuoteLost)
    ]
    assert any(isinstance(e, QuoteLost) for e, _ in told)
    with SqliteJournalReader(world.path) as reader:
        assert replay(reader, code_sha256="", strategy=trader.engine.strategy).differs_at is None


def test_lost_answers_to_orders_and_moves_leave_both_books_equal(tmp_path: Path) -> None:
    def fault(venue: VenueInProcess) -> None:
        venue.lose_answers, venue.lose_amends, venue.lose_amend_answers, venue.lose_cancels = 2, 1, 1, 1

    world, trader, told = stepped(tmp_path / "one", STYLES["chase"], fault)
    compare_books(trader.engine, world.exchange)
    assert any(isinstance(o, AmendSent) for _, outputs in told for o in outputs)
    assert trader.engine.state.halt_code == ""
    placed = [one.order.client_order_id for one in world.venue.placed]
    assert len(placed) == len(set(placed)), "none doubled"


def test_no_quotes_are_asked_of_a_market_nobody_quotes(tmp_path: Path) -> None:
    world = World(tmp_path)
    trader = world.trader(market=PlayedMarket(world.exchange, minutes()))
    assert world.run(trader) == "ended"
    assert events(world, QuoteSampled, QuoteLost) == []
