"""Over real sockets: a position whose stop is gone while the brake is halted is closed by the guard, and the level stays."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from kedge.domain.brake import BrakeLevel
from kedge.domain.orders import GUARD_PREFIX
from kedge.domain.venue import Refused, Taken
from kedge.services.guard.records import SliceSent

from .guard_world import ACCOUNT, ID, MID, OFF, guard_world, run

pytestmark = pytest.mark.once

SLACK = 3
LIMIT_S = 1
STOPS = msgspec.structs.replace(OFF, stop_missing_s=LIMIT_S)


def test_a_position_that_no_stop_can_be_put_at_any_more_is_closed_and_nobody_is_released() -> None:
    async def test() -> None:
        async with guard_world(STOPS) as (w, trader):
            await w.hold(trader, 300, 560_000)
            w.begin()
            await w.seen()
            w.guard.engage(BrakeLevel.HALTED, actor_id="ada", reason="a test", source="cli")
            await asyncio.sleep(1.5 * LIMIT_S)
            assert (w.lots, w.journal.of(SliceSent)) == (300, []), "its stop protects it"
            assert isinstance(await trader.set_stop_loss(ID, 0), Taken)
            assert isinstance(await trader.set_stop_loss(ID, MID * 101 // 100), Refused), "the mark has passed that price"
            took_s = await w.until(lambda: w.lots == 0, SLACK * (LIMIT_S + 2))
            assert took_s >= 0.5 * LIMIT_S
            assert (w.level, w.guard.permit("n").granted) == (BrakeLevel.HALTED, False)
            assert f"BARE {ID}" in w.pager.codes
            rows = w.venue.executions(ACCOUNT, limit=1_000).rows
            assert sum(row.qty_lots for row in rows if row.link_id.startswith(GUARD_PREFIX)) == 300

    run(test)
