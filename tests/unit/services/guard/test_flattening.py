"""How the guard flattens on the real simulated exchange, in virtual time: in order, in slices, verified, and under faults."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from tests.unit.services.guard.scene import AAA, BBB, OFF, Scene, play

from kedge.domain.brake import BrakeLevel, Trigger
from kedge.domain.orders import GUARD_PREFIX, Side
from kedge.services.guard.records import CancelsSent, Disturbed, Flat, Latched, PermitsStopped, SliceAnswered, SliceSent, Waiting

FLATTENING, FLAT = BrakeLevel.FLATTENING, BrakeLevel.HALTED_FLAT
DRAWDOWN = msgspec.structs.replace(OFF, drawdown_halt_e8=8_000_000, drawdown_flatten_e8=10_000_000)


def engage(s: Scene, level: BrakeLevel = FLATTENING) -> None:
    s.guard.engage(level, actor_id="ada", reason="a test", source="cli")


async def ready(s: Scene, lots: int = 500, *, stop: int = 9_000) -> None:
    if lots:
        s.hold(lots, stop=stop)
    s.begin()
    s.beat()
    await s.seen()


async def flat(s: Scene, within_s: float = 30.0) -> None:
    await s.until(lambda: s.level is FLAT, within_s)
    assert (s.lots(), s.open()) == (0, [])


def never_reversed(s: Scene, lots: int, name: str = AAA) -> None:
    """The guard's fills closed what was held and not one lot more, and none of its orders could have."""
    sent = [one for one in s.journal.of(SliceSent) if one.instrument == name]
    assert all(one.qty_lots <= abs(one.held_lots) for one in sent)
    filled = sum(event.qty_lots for event in s.world.executions if getattr(event, "client_order_id", "").startswith(GUARD_PREFIX))
    assert filled == lots


def test_latch_then_cancels_then_slices_then_every_order_then_flat() -> None:
    async def test(s: Scene) -> None:
        s.order(30, limit=9_800, link="rests")
        await ready(s, 2_500)
        engage(s)
        assert s.latch.held.level is FLATTENING, "durable when the call returns"
        assert not s.guard.permit("n").granted
        await flat(s)
        kinds = [type(one) for one in s.journal.records]
        order = [Latched, PermitsStopped, CancelsSent, SliceSent, SliceAnswered]
        assert [kinds.index(kind) for kind in order] == sorted(kinds.index(kind) for kind in order)
        assert [one.kind for one in s.journal.of(CancelsSent)][:2] == ["resting", "every"]
        told = s.journal.of(Flat)[0]
        assert told.slices == len(s.journal.of(SliceSent)) > 1
        assert told.latched_ns is not None
        assert told.cancels_ns is not None
        assert told.positions_zero_ns is not None
        assert told.flat_ns is not None
        assert told.latched_ns <= 250_000_000
        assert told.cancels_ns <= 2_000_000_000
        assert told.positions_zero_ns <= told.flat_ns <= 10_000_000_000
        assert told.loss_e8 is not None
        assert told.loss_e8 > 0
        never_reversed(s, 2_500)

    play(test)


def test_stops_stay_at_the_venue_until_the_position_is_closed() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 500)
        stops_while_held = []
        engage(s)
        while s.lots():
            stops_while_held.append(any(row.trigger_ticks == 9_000 for row in s.open()))
            await asyncio.sleep(0.01)
        assert stops_while_held
        assert all(stops_while_held)
        await flat(s)

    play(test)


def test_flat_is_not_declared_before_an_old_order_could_still_be_accepted_and_a_second_of_nothing() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 0)
        begun_s = s.loop.time()
        engage(s)
        await flat(s)
        assert s.loop.time() - begun_s >= 4.0

    play(test)


def test_an_order_of_the_trader_that_is_accepted_late_goes_and_flat_waits_for_it() -> None:
    async def test(s: Scene) -> None:
        await ready(s)
        engage(s)
        await s.until(lambda: s.lots() == 0)
        await asyncio.sleep(2.5)
        assert s.level is FLATTENING
        s.order(200, link="late")
        s.order(50, limit=9_900, link="late-rests")
        held_s = s.loop.time()
        await flat(s)
        assert s.loop.time() - held_s >= 1.0
        never_reversed(s, 700)

    play(test)


def test_a_short_is_bought_back_at_the_collar_and_never_beyond() -> None:
    async def test(s: Scene) -> None:
        await ready(s, -500, stop=11_000)
        engage(s)
        await flat(s)
        sent = s.journal.of(SliceSent)
        assert {one.side for one in sent} == {Side.BUY}
        assert all(one.limit_ticks <= 10_300 for one in sent)
        assert all(event.price_ticks <= 10_300 for event in s.world.executions if getattr(event, "client_order_id", "")[:3] == GUARD_PREFIX)

    play(test)


def test_two_positions_are_closed_beside_each_other() -> None:
    async def test(s: Scene) -> None:
        s.hold(300, BBB, stop=9_000)
        await ready(s, 500)
        engage(s)
        await s.until(lambda: s.level is FLAT)
        assert s.lots(BBB) == 0
        assert {one.instrument for one in s.journal.of(SliceSent)[:2]} == {AAA, BBB}

    play(test)


def test_an_empty_book_is_waited_for_and_told_again_and_again_and_nothing_is_sent() -> None:
    async def test(s: Scene) -> None:
        await ready(s)
        crowd = s.world.core.settings.crowd
        s.world.core.set_crowd(AAA, msgspec.structs.replace(crowd, notional_e8=0))
        s.world.publish()
        engage(s)
        await asyncio.sleep(40)
        assert (s.level, s.lots(), s.journal.of(SliceSent)) == (FLATTENING, 500, [])
        assert "nothing within" in s.journal.of(Waiting)[0].why
        assert [code for code, _ in s.pager.calls].count(f"CLOSE {AAA}") == 2
        assert "nothing within" in s.guard.status().positions[0].waits
        s.world.core.set_crowd(AAA, crowd)
        s.world.publish()
        await flat(s)

    play(test)


def test_a_gap_through_the_collar_waits_and_follows_the_mark() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 500, stop=0)
        crowd = s.world.core.settings.crowd
        s.world.core.set_crowd(AAA, msgspec.structs.replace(crowd, gap_bps=400))
        s.world.publish()
        engage(s)
        await asyncio.sleep(5)
        assert s.journal.of(SliceSent) == []
        s.move(9_000)
        s.world.core.set_crowd(AAA, crowd)
        s.world.publish()
        await flat(s)
        assert all(one.limit_ticks >= 8_730 for one in s.journal.of(SliceSent))

    play(test)


@pytest.mark.parametrize(
    ("fault", "args"),
    [
        ("reject", {"path": "/v5/order/create", "count": 4, "code": 110007}),
        ("lose_request", {"path": "/v5/order/create", "count": 3}),
        ("drop_reply", {"path": "/v5/order/create", "count": 3}),
        ("hang_reply", {"path": "/v5/order/create", "count": 2}),
        ("timeout_after", {"path": "/v5/order/create", "count": 3}),
        ("delay_request", {"path": "/v5/order/create", "count": 3, "ms": 700}),
        ("reject", {"path": "/v5/order/cancel-all", "count": 3, "code": 10006}),
        ("lose_request", {"path": "/v5/order/cancel-all", "count": 3}),
        ("deaf", {"ms": 4_000}),
        ("maintenance", {"ms": 6_000}),
        ("ban", {"ms": 6_000}),
        ("slow_lists", {"ms": 8_000, "late_ms": 900}),
        ("private_cut", {"ms": 60_000, "late_ms": 50_000}),
        ("lose_trades", {"ms": 60_000}),
        ("squeeze", {"bps": 150}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(str(part) for part in value.values()),
)
def test_under_faults_it_ends_flat_never_doubled_and_never_reversed(fault: str, args: dict[str, int | str]) -> None:
    async def test(s: Scene) -> None:
        s.order(30, limit=9_800, link="rests")
        await ready(s, 500, stop=0)
        s.act(fault, **args)
        engage(s)
        await flat(s, 60)
        never_reversed(s, 500)

    play(test)


@pytest.mark.parametrize("after_s", [0.0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 3.0])
def test_a_guard_that_dies_in_the_middle_goes_on_from_latch_and_venue(after_s: float) -> None:
    async def test(s: Scene) -> None:
        await ready(s, 900)
        engage(s)
        await asyncio.sleep(after_s)
        await s.crash()
        await asyncio.sleep(0.2)
        s.new_guard()
        s.begin()
        await flat(s, 60)
        never_reversed(s, 900)

    play(test)


def test_ids_of_slices_follow_from_what_is_closed_so_that_a_second_process_repeats_none() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 500)
        s.act("hang_reply", path="/v5/order/create", count=1)
        engage(s)
        await s.until(lambda: len(s.journal.of(SliceSent)) == 1)
        first = s.journal.of(SliceSent)[0]
        await s.crash()
        await asyncio.sleep(0.001)
        s.new_guard()
        s.begin()
        await flat(s, 60)
        again = [one for one in s.journal.of(SliceSent)[1:] if one.held_lots == first.held_lots and one.attempt == first.attempt]
        assert {one.client_order_id for one in again} <= {first.client_order_id}
        never_reversed(s, 500)

    play(test)


def test_a_second_trader_is_closed_out_again_and_called_about() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 300)
        engage(s)
        await flat(s)
        s.order(100, link="other-trader")
        await s.until(lambda: s.lots() == 0)
        await s.until(lambda: s.guard.status().is_flat)
        assert s.level is FLAT
        assert s.journal.of(Disturbed)[0].positions == 1
        assert "DISTURBED" in s.pager.codes
        never_reversed(s, 400)

    play(test)


def test_a_crash_of_prices_breaches_latches_and_closes_by_itself() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 9_000, stop=0)
        for price in range(9_990, 8_400, -10):
            s.move(price)
            await asyncio.sleep(0.02)
        await flat(s, 60)
        latch = s.latch.held
        assert (latch.trigger, latch.actor_id) == (Trigger.DRAWDOWN, "guard")
        levels = [one.level for one in s.journal.of(Latched)]
        assert levels == [BrakeLevel.HALTED, FLATTENING, FLAT]
        told = s.journal.of(Flat)[0]
        assert told.latched_ns is not None
        assert told.latched_ns <= 250_000_000
        never_reversed(s, 9_000)

    play(test, DRAWDOWN)


def test_the_whole_of_the_venues_limits_is_taken_when_no_permit_can_be_left() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 300)
        engage(s)
        await asyncio.sleep(2.9)
        assert s.venues[-1].whole_room == []
        await flat(s)
        assert s.venues[-1].whole_room == [True]

    play(test)


def test_a_full_disk_stops_permits_and_not_the_closing() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 500)
        s.latch.fails = s.journal.fails = True
        engage(s)
        assert not s.guard.status().latch_is_durable
        await flat(s)
        assert {"LATCH", "JOURNAL"} <= s.pager.codes
        s.latch.fails = s.journal.fails = False
        await s.until(lambda: s.guard.status().latch_is_durable and not s.guard.status().journal)
        assert s.latch.held.level is FLAT
        assert [one.level for one in s.journal.of(Latched)] == [FLATTENING, FLAT]
        assert len(s.journal.of(Flat)) == 1

    play(test)


def test_halted_takes_resting_and_risky_waiting_orders_and_leaves_stops_and_positions() -> None:
    async def test(s: Scene) -> None:
        s.order(30, limit=9_800, link="rests")
        s.order(40, trigger=10_500, link="adds-later")
        s.order(-40, trigger=9_500, link="reduces-later", reduce=True)
        await ready(s, 500)
        engage(s, BrakeLevel.HALTED)
        await s.until(lambda: {row.link_id for row in s.open()} == {"", "reduces-later"})
        await asyncio.sleep(2)
        assert s.lots() == 500
        assert s.level is BrakeLevel.HALTED
        times = s.guard.status().times
        assert times.orders_zero_ns is not None
        assert times.positions_zero_ns is None

    play(test)


def test_reduce_only_takes_what_can_add_risk_and_leaves_exits() -> None:
    async def test(s: Scene) -> None:
        s.hold(500)
        s.order(30, limit=9_800, link="adds")
        s.order(-30, limit=10_200, link="exits", reduce=True)
        await ready(s, 0)
        engage(s, BrakeLevel.REDUCE_ONLY)
        await s.until(lambda: {row.link_id for row in s.open()} == {"exits"})
        await asyncio.sleep(2)
        assert {row.link_id for row in s.open()} == {"exits"}
        assert s.lots() == 500

    play(test)


def test_orders_that_keep_coming_to_a_halted_account_are_taken_away_and_called_about() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 0)
        engage(s, BrakeLevel.HALTED)
        await s.until(lambda: s.guard.status().times.orders_zero_ns is not None)
        for number in range(3):
            s.order(10, limit=9_800, link=f"again-{number}")
            await s.until(lambda: s.open() == [])
        assert "DISTURBED" in s.pager.codes
        assert s.journal.of(Disturbed)

    play(test)
