"""Closing for good does not wait for a bar: while the private stream is down, a fresh whole quote is price enough, and none is not."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from kedge.domain.events import Command, CommandGiven, QuoteSampled, StopUnconfirmed, TimerFired
from kedge.domain.outputs import OrderRefused, OrderSent
from kedge.domain.venue import Answer, Quote, Refused, Stream
from kedge.risk.states import RiskState
from kedge.services.live import LiveTrader
from kedge.services.live_settings import LiveSettings
from kedge.services.live_stops import StopPace
from kedge.services.recovery import replay
from kedge.storage import SqliteJournalReader

from ...builders import AAA, MINUTE, T0, Wish, bar
from .live_world import QUICK, World, play, until
from .venue_in_process import ACCOUNT, VenueInProcess

FAST = msgspec.structs.replace(QUICK, speed=50)
PACE = StopPace(deadline_ns=2_000_000_000, last_look_ns=100_000_000, shown_within_s=0.02, retry_first_s=0.01, retry_max_s=0.05)
QUOTE = {AAA: Quote(AAA, 998, 1_002, 10, 10, T0)}


def is_flat(world: World) -> bool:
    return not any(row.lots for row in world.exchange.core.positions(ACCOUNT))


def blind_trader(folder: Path, settings: LiveSettings = FAST, **plan: int) -> tuple[World, LiveTrader]:
    world = World(folder)
    world.prepare = lambda venue: venue.quotes.update(QUOTE)
    return world, world.trader(strategy=Wish().say(0.1), settings=settings, plan=plan)


async def holding_with_old_marks(world: World, trader: LiveTrader) -> None:
    """A position stands, the private stream is down, and the bars since wait at the gate."""
    world.exchange.play(bar(1))
    slot = trader.core.state.slots[AAA]
    await until(trader, lambda: slot.position_lots > 0 and trader.core.state.orders.is_settled(AAA))
    world.venue.cut()
    await until(trader, lambda: not trader.news.streams[Stream.PRIVATE])
    for n in (2, 3):
        world.exchange.play(bar(n))
    await until(trader, lambda: trader.bars.gate.waiting == 2)
    assert slot.mark_ts_ns == T0 + MINUTE
    assert trader.core.now_ns() - slot.mark_ts_ns > MINUTE * 3 // 2


def flatten(trader: LiveTrader) -> None:
    trader.command(CommandGiven(trader.core.now_ns(), Command.FLATTEN, "ann", "drill"))


def stale(world: World) -> int:
    return sum(isinstance(o, OrderRefused) and o.code == "STALE_PRICE" for step in world.steps() for o in step.outputs)


def replays(world: World) -> bool:
    with SqliteJournalReader(world.path) as reader:
        return replay(reader, code_sha256="", strategy=Wish().say(0.1)).equal


def test_a_flattening_closes_while_the_private_stream_is_down(tmp_path: Path) -> None:
    world, trader = blind_trader(tmp_path)

    async def script(trader: LiveTrader) -> None:
        await holding_with_old_marks(world, trader)
        flatten(trader)
        await until(trader, lambda: is_flat(world) and not trader.core.state.slots[AAA].position_lots)
        assert not world.venue.is_up

    play(world, trader, script)
    steps = world.steps()
    (at,) = [n for n, step in enumerate(steps) if isinstance(step.event, CommandGiven)]
    assert isinstance(steps[at - 1].event, QuoteSampled), "recorded before what was decided on it"
    assert any(isinstance(output, OrderSent) for output in steps[at].outputs)
    assert stale(world) == 0
    assert replays(world)


@pytest.mark.parametrize("shown", [{}, {AAA: Quote(AAA, 1_002, 998, 10, 10, T0)}], ids=["lost", "crossed"])
def test_without_a_quote_it_waits_for_one_and_looks_each_second(tmp_path: Path, shown: dict[str, Quote]) -> None:
    world, trader = blind_trader(tmp_path)

    async def script(trader: LiveTrader) -> None:
        await holding_with_old_marks(world, trader)
        world.venue.quotes = dict(shown)
        placed, now_ns = len(world.venue.placed), trader.core.now_ns()
        flatten(trader)
        await until(trader, lambda: trader.core.now_ns() > now_ns + 5 * 10**9)
        assert (len(world.venue.placed), is_flat(world)) == (placed, False)
        world.venue.quotes = dict(QUOTE)
        await until(trader, lambda: is_flat(world))
        assert not world.venue.is_up

    play(world, trader, script)
    assert stale(world) >= 2
    sent_by = [type(step.event) for step in world.steps() if any(isinstance(o, OrderSent) for o in step.outputs)]
    assert sent_by[-1] is TimerFired
    assert replays(world)


def test_a_position_without_its_stop_is_closed_while_the_private_stream_is_down(tmp_path: Path) -> None:
    async def refused(_: str, __: int) -> Answer:
        return Refused("10001", "drill: no")

    world, trader = blind_trader(tmp_path, msgspec.structs.replace(FAST, stops=PACE), stop_distance_frac_e8=10_000_000)
    quotes = world.prepare

    def prepare(venue: VenueInProcess) -> None:
        quotes(venue)
        venue.set_stop_loss = lambda name, ticks: refused(name, ticks)  # type: ignore[method-assign]

    world.prepare = prepare

    async def script(trader: LiveTrader) -> None:
        await holding_with_old_marks(world, trader)
        assert trader.core.state.risk_state is RiskState.RUNNING
        await until(trader, lambda: is_flat(world))
        assert not world.venue.is_up

    play(world, trader, script)
    steps = world.steps()
    at = next(n for n, step in enumerate(steps) if isinstance(step.event, StopUnconfirmed))
    assert isinstance(steps[at - 1].event, QuoteSampled)
    assert any(isinstance(output, OrderSent) for output in steps[at].outputs)
    assert replays(world)
