"""The guard within the venue's real limits: its ordinary watch raises no alert and loses no reading, and a true shortage is told."""

from __future__ import annotations

import asyncio
import logging

import pytest

from kedge.domain.brake import BrakeLevel
from kedge.domain.orders import Side
from kedge.domain.venue import Taken
from kedge.risk.brake.triggers import TriggerLimits

from .guard_world import ID, MID, GuardWorld, guard_world, order, run

pytestmark = pytest.mark.once

SLACK = 3
EVERY_S = 0.1
WATCH = "kedge.venues.bybit.limits_watch"
USUAL = TriggerLimits(gross_leverage_reduce_e8=0, position_notional_reduce_e8=0)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Alerts of limits, with the group that each is about."""
    found = [vars(record) for record in caplog.records if record.name == WATCH and record.levelno >= logging.WARNING]
    return [f"{one['event']} {one.get('group', '')}" for one in found]


async def readings(w: GuardWorld, seconds: float) -> int:
    """How often positions were read while so much time passes."""
    found: set[int | None] = set()
    loop = asyncio.get_running_loop()
    end_s = loop.time() + seconds
    while loop.time() < end_s:
        found.add(w.guard.truth.positions_ns)
        await asyncio.sleep(0.005)
    return len(found - {None})


@pytest.mark.slow
def test_ten_seconds_of_watching_an_account_that_trades_raise_no_alert_and_miss_no_reading(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with guard_world(USUAL) as (w, trader):
            await w.hold(trader, 20, 560_000)
            w.begin()
            await w.seen()
            caplog.clear()  # what follows is the guard's alone, and the few orders of the trader
            watching = asyncio.create_task(readings(w, 10.0))
            for number in range(9):
                await asyncio.sleep(1.0)
                side = Side.SELL if number % 2 else Side.BUY
                assert isinstance(await trader.place(order(f"trades-{number}", side, 1)), Taken)
                w.move(MID + number)
            assert await watching >= 10.0 / EVERY_S / SLACK
            assert told(caplog) == []
            assert w.level is BrakeLevel.RUNNING, w.pager.calls

    with caplog.at_level(logging.INFO, "kedge"):
        run(test)


def test_positions_are_read_every_tenth_of_a_second_and_the_beginning_raises_no_alert(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with guard_world(USUAL) as (w, trader):
            await w.hold(trader, 20, 560_000)
            w.begin()
            await w.seen()
            assert await readings(w, 1.5) >= 1.5 / EVERY_S / SLACK
            assert told(caplog) == []

    with caplog.at_level(logging.INFO, "kedge"):
        run(test)


def test_a_guard_that_asks_for_more_than_its_share_is_told_so(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with guard_world(USUAL, poll_risk_s=0.02) as (w, trader):
            await w.hold(trader, 20, 560_000)
            w.begin()
            await w.until(lambda: "limit_critical position.list" in told(caplog), 6.0)
            assert ID in {position.instrument for position in w.guard.truth.positions}

    with caplog.at_level(logging.INFO, "kedge"):
        run(test)
