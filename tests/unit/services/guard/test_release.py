"""Letting go: only of what stands, only with clean books and nothing breached, only once."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tests.simulation.world import ACCOUNT
from tests.unit.services.guard.scene import OFF, Scene, play

from kedge.domain.brake import BrakeLevel
from kedge.domain.errors import Conflict, RecordingFailed
from kedge.domain.units import E8
from kedge.services.guard.guard import ReleaseOrder
from kedge.services.guard.records import Released, ReleaseRefused

LOSSES = msgspec.structs.replace(OFF, drawdown_halt_e8=8_000_000, drawdown_flatten_e8=10_000_000, books_differ_s=2)


def order(generation: int, **changed: Any) -> ReleaseOrder:
    given = {"approval_id": "ap-1", "account": ACCOUNT, "reason": "mended", "root_cause": "a test", "actors": ("ada", "bob")}
    return ReleaseOrder(generation=generation, **(given | changed))


async def ready(s: Scene, level: BrakeLevel | None, lots: int = 0) -> None:
    if lots:
        s.hold(lots)
    s.begin()
    s.beat()
    await s.seen()
    if level is not None:
        s.guard.engage(level, actor_id="ada", reason="a test", source="cli")


async def refused(s: Scene, asked: ReleaseOrder, why: str) -> None:
    before = s.latch.held
    with pytest.raises(Conflict, match=why):
        await s.guard.release(asked)
    assert s.latch.held == before
    assert s.journal.of(ReleaseRefused)[-1].approval_id == asked.approval_id


def test_a_halted_account_is_released_with_its_positions_and_permits_begin_again() -> None:
    async def test(s: Scene) -> None:
        await ready(s, BrakeLevel.HALTED, 500)
        latch = await s.guard.release(order(1))
        assert (latch.level, latch.generation, latch.trigger, latch.release_id) == (BrakeLevel.RUNNING, 2, None, "ap-1")
        assert s.latch.held == latch
        await s.until(lambda: s.guard.permit("n").granted, 2)
        told = s.journal.of(Released)[0]
        assert (told.actors, told.from_level, told.generation, told.solo) == (("ada", "bob"), BrakeLevel.HALTED, 1, False)

    play(test)


def test_an_account_that_was_flattened_is_released_only_when_flat_and_trades_again() -> None:
    async def test(s: Scene) -> None:
        await ready(s, BrakeLevel.FLATTENING, 500)
        await refused(s, order(1), "being closed")
        await s.until(lambda: s.level is BrakeLevel.HALTED_FLAT)
        await refused(s, order(1), "generation")
        await s.guard.release(order(2))
        assert s.level is BrakeLevel.RUNNING
        s.hold(200)
        await asyncio.sleep(10)
        assert s.lots() == 200
        assert s.venues[-1].whole_room[-1] is False

    play(test)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"account": "somebody"}, "account"),
        ({"generation": 7}, "generation 7"),
        ({"reason": " "}, "reason"),
        ({"root_cause": ""}, "root cause"),
        ({"high_water": "forget"}, "keep or reset"),
        ({"allow_positions": False}, "1 positions"),
    ],
)
def test_what_does_not_fit_is_refused(changed: dict[str, Any], why: str) -> None:
    async def test(s: Scene) -> None:
        await ready(s, BrakeLevel.HALTED, 500)
        await refused(s, order(**({"generation": 1} | changed)), why)

    play(test)


def test_a_brake_that_is_not_on_and_an_approval_that_was_used_release_nothing() -> None:
    async def test(s: Scene) -> None:
        await ready(s, None)
        await refused(s, order(0), "not on")
        s.guard.engage(BrakeLevel.HALTED, actor_id="ada", reason="x", source="cli")
        await s.guard.release(order(1))
        s.guard.engage(BrakeLevel.HALTED, actor_id="ada", reason="x", source="cli")
        await refused(s, order(3), "used before")

    play(test)


def test_an_account_that_cannot_be_read_or_was_never_seen_is_not_released() -> None:
    async def test(s: Scene) -> None:
        s.guard.engage(BrakeLevel.HALTED, actor_id="ada", reason="x", source="cli")
        await refused(s, order(1), "not seen")
        await ready(s, None)
        s.act("deaf", ms=5_000)
        await asyncio.sleep(0.1)
        await refused(s, order(1), "cannot be read")

    play(test)


def test_books_that_differ_keep_it_on_unless_they_are_begun_anew_by_decision() -> None:
    async def test(s: Scene) -> None:
        await ready(s, None)
        s.act("ghost_money", amount_e8=5_000_000)
        await s.until(lambda: s.level is BrakeLevel.HALTED)
        await refused(s, order(1), "not clean")
        await s.guard.release(order(1, high_water="reset"))
        await asyncio.sleep(10)
        assert s.level is BrakeLevel.RUNNING
        assert s.guard.status().books == ""

    play(test, LOSSES)


def test_a_drawdown_keeps_it_on_until_the_height_is_reset() -> None:
    async def test(s: Scene) -> None:
        await ready(s, None, 5_000)
        s.move(8_300)
        await s.until(lambda: s.level is BrakeLevel.HALTED)
        await refused(s, order(1), "drawdown is still breached")
        latch = await s.guard.release(order(1, high_water="reset"))
        assert latch.high_water_e8 < 9_300 * E8
        await asyncio.sleep(3)
        assert s.level is BrakeLevel.RUNNING
        assert (s.guard.status().drawdown_e8 or 0) < 100_000

    play(test, LOSSES)


@pytest.mark.parametrize(("high_water", "is_counted"), [("reset", False), ("keep", True)])
def test_a_reset_holds_although_the_guard_died_before_its_baseline(high_water: str, is_counted: bool) -> None:
    async def test(s: Scene) -> None:
        await ready(s, None, 5_000)
        s.move(9_500)
        await asyncio.sleep(2)
        s.guard.engage(BrakeLevel.HALTED, actor_id="ada", reason="x", source="cli")
        await s.guard.release(order(1, high_water=high_water))
        await s.crash()
        end = next(at for at, one in enumerate(s.journal.records) if isinstance(one, Released))
        del s.journal.records[end + 1 :]
        s.new_guard()
        s.begin()
        await s.seen()
        assert s.level is BrakeLevel.RUNNING
        assert ((s.guard.status().drawdown_e8 or 0) > 2_000_000) is is_counted

    play(test, LOSSES)


def test_an_account_that_is_not_flat_any_more_is_not_released() -> None:
    async def test(s: Scene) -> None:
        await ready(s, BrakeLevel.FLATTENING)
        await s.until(lambda: s.level is BrakeLevel.HALTED_FLAT)
        s.act("reject", path="/v5/order/create", count=50, code=110007)
        s.order(100, link="stranger")
        await refused(s, order(2), "not flat")

    play(test)


def test_a_release_that_cannot_be_recorded_or_written_is_none() -> None:
    async def test(s: Scene) -> None:
        await ready(s, BrakeLevel.HALTED)
        s.journal.fails = True
        with pytest.raises(RecordingFailed):
            await s.guard.release(order(1))
        assert s.level is BrakeLevel.HALTED
        s.journal.fails, s.latch.fails = False, True
        with pytest.raises(RecordingFailed):
            await s.guard.release(order(1, approval_id="ap-2"))
        assert s.level is BrakeLevel.HALTED

    play(test)


def test_a_second_breach_while_the_venue_is_read_keeps_it_on() -> None:
    async def test(s: Scene) -> None:
        await ready(s, BrakeLevel.HALTED)
        asking = asyncio.create_task(s.guard.release(order(1)))
        await asyncio.sleep(0.001)
        s.guard.engage(BrakeLevel.FLATTENING, actor_id="eve", reason="worse", source="cli")
        with pytest.raises(Conflict, match="generation"):
            await asking
        assert s.latch.held.level is BrakeLevel.FLATTENING

    play(test)
