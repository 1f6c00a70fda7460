"""Losses are measured on books that the venue's ledger and executions explain: flows are no losses, and what nothing explains halts."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from tests.simulation.world import ACCOUNT
from tests.unit.services.guard.scene import AAA, OFF, Scene, play

from kedge.domain.brake import BrakeLevel, Trigger
from kedge.domain.units import E8
from kedge.services.guard.records import Baseline, Flowed

LOSSES = msgspec.structs.replace(OFF, drawdown_halt_e8=8_000_000, drawdown_flatten_e8=10_000_000)
BOOKS = msgspec.structs.replace(OFF, books_differ_s=10)


async def ready(s: Scene, lots: int = 0) -> None:
    if lots:
        s.hold(lots)
    s.begin()
    s.beat()
    await s.seen()


@pytest.mark.parametrize("late_ms", [0, 1_500, 3_000])
def test_a_withdrawal_is_no_drawdown_however_late_its_row_comes(late_ms: int) -> None:
    async def test(s: Scene) -> None:
        await ready(s, 2_000)
        if late_ms:
            s.act("slow_lists", ms=600_000, late_ms=late_ms)
        s.act("withdraw", amount=4_000)
        await asyncio.sleep(20)
        status = s.guard.status()
        assert s.level is BrakeLevel.RUNNING
        assert status.drawdown_e8 == 0 or (status.drawdown_e8 or 0) < 10_000
        assert 5_900 * E8 < status.high_water_e8 < 6_100 * E8
        assert s.journal.of(Flowed)[0].change_e8 == -4_000 * E8
        assert status.books == ""

    play(test, msgspec.structs.replace(LOSSES, books_differ_s=10))


@pytest.mark.parametrize("after_ms", [5, 60, 110, 160])
def test_a_withdrawal_right_after_a_trade_is_asked_about_at_once(after_ms: int) -> None:
    async def test(s: Scene) -> None:
        await ready(s, 2_000)
        s.hold(1_000)
        await asyncio.sleep(after_ms / 1e3)
        s.act("withdraw", amount=4_000)
        await asyncio.sleep(10)
        assert s.level is BrakeLevel.RUNNING
        assert [one.change_e8 for one in s.journal.of(Flowed)] == [-4_000 * E8]

    play(test, LOSSES)


@pytest.mark.parametrize("late_ms", [0, 1_500])
def test_a_deposit_hides_no_loss_and_makes_no_new_height(late_ms: int) -> None:
    async def test(s: Scene) -> None:
        await ready(s, 5_000)
        s.move(9_000)  # five per cent of the account
        await asyncio.sleep(2)
        before = s.guard.status().drawdown_e8 or 0
        assert 4_900_000 < before < 5_200_000
        if late_ms:
            s.act("slow_lists", ms=600_000, late_ms=late_ms)
        s.act("deposit", amount=9_500)
        await asyncio.sleep(15)
        after = s.guard.status().drawdown_e8 or 0
        assert abs(after - before) < 20_000, "the fraction that is lost stays what it was"
        assert s.level is BrakeLevel.RUNNING
        s.move(7_000)
        await s.until(lambda: s.level is not BrakeLevel.RUNNING)

    play(test, LOSSES)


def test_realised_losses_count_at_once_while_the_ledger_is_late() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 9_000)
        s.act("slow_lists", ms=600_000, late_ms=4_000)
        s.move(8_800)
        s.hold(0)
        begun_s = s.loop.time()
        await s.until(lambda: s.level is not BrakeLevel.RUNNING)
        assert s.loop.time() - begun_s < 1.0
        assert s.latch.held.trigger is Trigger.DRAWDOWN

    play(test, LOSSES)


def test_money_that_nothing_explains_halts_after_its_time() -> None:
    async def test(s: Scene) -> None:
        await ready(s)
        s.act("ghost_money", amount_e8=5_000_000)
        begun_s = s.loop.time()
        s.world.publish()
        await s.until(lambda: s.level is BrakeLevel.HALTED)
        assert 10 <= s.loop.time() - begun_s < 12
        assert s.latch.held.trigger is Trigger.BOOKS_DIFFER
        assert "0.05000000" in s.guard.status().books

    play(test, BOOKS)


def test_trades_fundings_and_foreign_trades_are_all_explained() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 1_000)
        for lots in (1_500, 200, -700, 0, 300):
            s.hold(lots)
            await asyncio.sleep(7)
        s.act("foreign_trade", lots=10)
        await asyncio.sleep(70)  # a funding settles on the minute
        assert s.level is BrakeLevel.RUNNING
        assert s.guard.status().books == ""

    play(test, BOOKS)


def test_books_and_losses_survive_a_restart_and_flows_in_between() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 5_000)
        s.move(9_200)
        await asyncio.sleep(2)
        high_e8 = s.guard.status().high_water_e8
        before = s.guard.status().drawdown_e8 or 0
        assert before > 3_900_000
        await s.crash()
        s.act("withdraw", amount=3_000)
        await asyncio.sleep(30)
        s.new_guard()
        s.begin()
        await s.seen()
        await asyncio.sleep(2)
        status = s.guard.status()
        assert abs((status.drawdown_e8 or 0) - before) < 20_000
        assert status.high_water_e8 < high_e8 * 8 // 10
        assert status.books == ""

    play(test, BOOKS)


def test_without_its_journal_the_high_water_mark_is_the_latchs() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 5_000)
        s.guard.engage(BrakeLevel.REDUCE_ONLY, actor_id="ada", reason="x", source="cli")
        high_e8 = s.latch.held.high_water_e8
        assert high_e8 > 9_000 * E8
        await s.crash()
        s.journal.records.clear()
        s.move(9_000)
        s.new_guard()
        s.begin()
        await s.seen()
        assert s.guard.status().high_water_e8 == high_e8
        assert (s.guard.status().drawdown_e8 or 0) > 4_900_000

    play(test)


def test_a_baseline_from_another_markets_future_is_left() -> None:
    async def test(s: Scene) -> None:
        s.journal.records.append(
            Baseline(
                wall_ns=1, high_water_e8=10**15, day_start_e8=10**15, day=30_000, wallet_e8=5, equity_e8=5,
                ledger_ts_ns=s.world.now_ns + 10**15, ledger_ids=(),
            )
        )  # fmt: skip
        await ready(s)
        await asyncio.sleep(2)
        assert s.guard.status().drawdown_e8 == 0
        assert s.guard.status().books == ""
        assert "BASELINE" in s.pager.codes

    play(test, LOSSES)


def test_a_new_utc_day_begins_with_the_last_equity_of_the_old_one() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 5_000)
        s.move(9_300)
        await asyncio.sleep(2)
        assert (s.guard.status().day_loss_e8 or 0) > 3_000_000
        await asyncio.sleep(35)  # midnight comes thirty seconds into the day
        s.move(9_290)
        await asyncio.sleep(2)
        assert (s.guard.status().day_loss_e8 or 0) < 200_000
        assert (s.guard.status().drawdown_e8 or 0) > 3_000_000

    play(test)


def test_a_day_that_turns_while_no_guard_runs_begins_with_the_equity_that_was_known_last() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 5_000)
        await asyncio.sleep(45)  # past midnight, so that nothing but time is left to write a baseline
        s.move(9_300)
        await asyncio.sleep(70)
        low_e8, found = s.guard.status().equity_e8, s.journal.baseline()
        assert low_e8 is not None
        assert found is not None
        assert abs(found.equity_e8 - low_e8) < 10 * E8, "what it was worth within the last minute"
        assert found.high_water_e8 - found.equity_e8 > 300 * E8

    play(test)


def test_the_daily_loss_halts_then_flattens() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 5_000)
        s.move(9_550)
        await s.until(lambda: s.level is BrakeLevel.HALTED)
        assert s.latch.held.trigger is Trigger.DAILY_LOSS
        s.move(9_300)
        await s.until(lambda: s.level is BrakeLevel.HALTED_FLAT)
        assert s.lots() == 0

    play(test, msgspec.structs.replace(OFF, day_loss_halt_e8=2_000_000, day_loss_flatten_e8=3_000_000))


def test_a_high_water_mark_that_rose_is_in_the_latch_within_a_minute() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 2_000)
        s.move(10_500)
        await asyncio.sleep(65)
        assert s.latch.held.high_water_e8 == s.guard.status().high_water_e8 > 10_090 * E8
        assert s.latch.held.generation == 0

    play(test)


def test_a_position_that_no_execution_explains_is_named() -> None:
    async def test(s: Scene) -> None:
        await ready(s, 500)
        held = next(row for row in s.world.core._accounts[ACCOUNT].slots.values() if row.lots)
        held.lots += 7
        await s.until(lambda: s.level is BrakeLevel.HALTED)
        assert s.latch.held.trigger is Trigger.BOOKS_DIFFER
        assert f"{AAA} is 507 lots" in s.guard.status().books

    play(test, BOOKS)
