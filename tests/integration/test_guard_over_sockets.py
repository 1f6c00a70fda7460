"""The guard over real sockets against the real exchange: it brakes by itself, in time, and ends flat whatever the venue does.

Deadlines are the promised ones with three times slack.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from kedge.domain.brake import BrakeLevel, Trigger
from kedge.domain.orders import GUARD_PREFIX, Side
from kedge.domain.units import NS_PER_S
from kedge.domain.venue import CancelKind, LedgerKind, Taken
from kedge.services.guard.records import Flat, SliceSent
from kedge.venues.bybit.credentials import Credentials, Rung
from kedge.venues.bybit.guard_venue import BybitGuardVenue

from .guard_world import ACCOUNT, GUARD, ID, MID, OFF, T0, GuardWorld, guard_world, order, run

pytestmark = pytest.mark.once

SLACK = 3
BLOCK_NS, CANCELS_NS, FLAT_NS = 250_000_000, 2 * NS_PER_S, 10 * NS_PER_S
DRAWDOWN = msgspec.structs.replace(OFF, drawdown_flatten_e8=1_000_000)


def engage(w: GuardWorld) -> None:
    w.guard.engage(BrakeLevel.FLATTENING, actor_id="ada", reason="a test", source="cli")


async def flat(w: GuardWorld) -> Flat:
    await w.until(lambda: w.level is BrakeLevel.HALTED_FLAT, SLACK * 10)
    assert (w.lots, w.open) == (0, [])
    sent = w.journal.of(SliceSent)
    assert all(one.qty_lots <= abs(one.held_lots) for one in sent)
    return w.journal.of(Flat)[0]


def closed_by_guard(w: GuardWorld) -> int:
    rows = w.venue.executions(ACCOUNT, limit=1_000).rows
    return sum(row.qty_lots for row in rows if row.link_id.startswith(GUARD_PREFIX))


def test_a_breach_is_latched_cancelled_and_closed_in_time() -> None:
    async def test() -> None:
        async with guard_world(DRAWDOWN, quiet_s=0.3, zero_s=0.2) as (w, trader):
            await w.hold(trader, 800, 560_000)
            assert isinstance(await trader.place(order("rests", Side.BUY, 10, 580_000)), Taken)
            w.begin()
            await w.seen()
            await w.until(lambda: w.guard.permit("n").granted)
            w.move(MID * 97 // 100)
            blocked_s = await w.until(lambda: not w.guard.permit("n").granted)
            assert blocked_s * 1e9 <= SLACK * BLOCK_NS
            told = await flat(w)
            assert w.latch.held.trigger is Trigger.DRAWDOWN
            assert told.latched_ns is not None
            assert told.cancels_ns is not None
            assert told.flat_ns is not None
            assert told.latched_ns <= SLACK * BLOCK_NS
            assert told.cancels_ns <= SLACK * CANCELS_NS
            assert told.flat_ns <= SLACK * FLAT_NS
            assert closed_by_guard(w) == 800

    run(test)


FAULTS: list[dict[str, Any]] = [
    {"fault": "reject", "path": "/v5/order/create", "count": 3, "code": 10006},
    {"fault": "drop_reply", "path": "/v5/order/create", "count": 2},
    {"fault": "delay_request", "path": "/v5/order/create", "count": 1, "ms": 700},
    {"fault": "ban", "ms": 700},
    {"fault": "maintenance", "ms": 1_500},
    {"fault": "thin_book", "ms": 1_500, "bps": 0},
]


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault["fault"])
def test_under_a_fault_it_ends_flat_and_never_doubled(fault: dict[str, Any]) -> None:
    async def test() -> None:
        async with guard_world() as (w, trader):
            await w.hold(trader, 400)
            w.begin()
            await w.seen()
            w.arm(**fault)
            if fault["fault"] == "thin_book":
                w.venue.set_crowd(ID, w.faults.crowd(w.venue.settings.crowd, "BTCUSDT"))
            engage(w)
            if fault["fault"] == "thin_book":
                await asyncio.sleep(1.6)
                w.venue.set_crowd(ID, w.faults.crowd(w.venue.settings.crowd, "BTCUSDT"))
                w.move(MID)
            await flat(w)
            assert closed_by_guard(w) == 400

    run(test)


@pytest.mark.slow
def test_a_guard_that_dies_in_the_middle_goes_on_and_its_streams_may_be_cut() -> None:
    async def test() -> None:
        async with guard_world() as (w, trader):
            await w.hold(trader, 2_000)
            w.begin()
            await w.seen()
            engage(w)
            await w.until(lambda: len(w.journal.of(SliceSent)) >= 1)
            await w.crash()
            await w.server._sockets.drop("private")
            w.begin()
            await flat(w)
            assert closed_by_guard(w) == 2_000

    run(test)


def test_the_guards_client_reads_and_cancels_what_the_guard_needs() -> None:
    async def test() -> None:
        async with guard_world() as (w, trader):
            await w.hold(trader, 50, 590_000)
            for number in range(3):
                assert isinstance(await trader.place(order(f"rests-{number}", Side.BUY, 10, 580_000 - number)), Taken)
            later = order("later", Side.BUY, 5)
            later = msgspec.structs.replace(later, order=msgspec.structs.replace(later.order, trigger_ticks=610_000, trigger_rises=True))
            assert isinstance(await trader.place(later), Taken)
            venue = BybitGuardVenue(w.client_settings(), Credentials(Rung.PAPER, *GUARD))
            await venue.start()
            try:
                assert await venue.data_time_ns() > 0
                depth = await venue.depth(ID)
                shown = w.venue.depth(ID, 500)
                assert (depth.bids, depth.asks) == (tuple(shown.bids), tuple(shown.asks))
                assert len(await venue.open_orders()) == 5
                assert await venue.cancel_all() == Taken("")
                assert sorted(one.client_order_id for one in await venue.open_orders()) == ["", "later"]
                assert await venue.cancel_all(CancelKind.CONDITIONAL) == Taken("")
                assert [one.client_order_id for one in await venue.open_orders()] == [""]
                assert await venue.cancel_all(CancelKind.EVERY) == Taken("")
                assert await venue.open_orders() == []
                assert (await venue.positions())[0].lots == 50
                assert {row.kind for row in await venue.ledger(T0)} <= {LedgerKind.TRADE, LedgerKind.TRANSFER}
                assert (await venue.wallet()).equity_e8 is not None
                closes = await venue.daily_closes(ID, 10)
                assert closes.closes_ticks == ()
                assert closes.last_day_ts_ns == 0
            finally:
                await venue.close()

    run(test)
