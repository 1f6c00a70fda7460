"""The auditor is told of losses that a guard misses, and of brakes by losses that there were not; money that comes or goes is neither."""

from __future__ import annotations

import pytest
from tests.simulation.audit_brake import MARGIN_E8, ReadEquity
from tests.simulation.auditor import S
from tests.simulation.test_auditor import START, WALLET
from tests.simulation.test_auditor_brake import LIMITS, Guarded, fails

from kedge.domain.brake import BrakeLevel, Trigger


def test_a_guard_that_reads_a_loss_and_does_not_brake_is_noticed() -> None:
    told = Guarded()
    told.see(WALLET - WALLET * 2 // 100)
    told.wait(0.8)
    told.brake.tick()
    told.wait(0.2)
    with fails("GUARD_ASLEEP"):
        told.brake.tick()


def test_a_guard_that_brakes_in_time_sleeps_or_is_gone_is_not() -> None:
    told = Guarded()
    told.see(WALLET - WALLET * 2 // 100)
    told.wait(0.5)
    told.latch(BrakeLevel.HALTED, trigger=Trigger.DRAWDOWN)
    told.wait(1)
    told.brake.tick()
    assert told.brake.reached == {("drawdown", "halted"): 1}
    told = Guarded()
    told.brake.slept(True)
    told.wait(60)
    told.brake.tick()
    told.brake.slept(False)
    told.brake.tick()


def test_a_guard_that_reads_nothing_is_noticed_unless_the_venue_does_not_answer() -> None:
    told = Guarded()
    told.wait(4)
    told.brake.troubled()
    told.wait(2)
    told.brake.tick()
    told.wait(4)
    with fails("GUARD_ASLEEP"):
        told.brake.tick()


def test_a_brake_by_a_loss_that_there_was_not_is_noticed() -> None:
    told = Guarded()
    told.see(WALLET - WALLET * 7 // 1_000)
    with fails("BRAKE_FALSE"):
        told.latch(BrakeLevel.HALTED, trigger=Trigger.DRAWDOWN)


def test_a_flow_never_brakes_however_lately_it_came() -> None:
    for wait_s in (0, 1, 9):
        told = Guarded()
        told.brake.flow(-WALLET // 10)
        told.wait(wait_s)
        with fails("BRAKE_FALSE"):
            told.latch(BrakeLevel.HALTED, trigger=Trigger.DRAWDOWN)


def test_a_loss_that_happened_at_the_venue_brakes_before_it_is_read_and_a_withdrawal_there_does_not() -> None:
    told = Guarded()
    told.brake.worth(WALLET - WALLET // 25)
    told.latch(BrakeLevel.HALTED, trigger=Trigger.DRAWDOWN)
    gone = Guarded()
    gone.brake.flow(-WALLET // 10)
    gone.brake.worth(WALLET - WALLET // 10)
    with fails("BRAKE_FALSE"):
        gone.latch(BrakeLevel.HALTED, trigger=Trigger.DRAWDOWN)
    late = Guarded()
    late.brake.worth(WALLET - WALLET // 25)
    late.wait(3)
    with fails("BRAKE_FALSE"):
        late.latch(BrakeLevel.HALTED, trigger=Trigger.DRAWDOWN)


def test_a_flow_is_no_loss_and_hides_none() -> None:
    losses = ReadEquity(START, WALLET)
    losses.flow(-WALLET // 2, START)
    assert losses.lost_e8("drawdown") == losses.lost_e8("daily_loss") == 0
    losses.read(WALLET // 2, START + 30 * S)
    assert losses.lost_e8("drawdown") == losses.lost_e8("daily_loss") == 0
    losses.read(WALLET // 2 - WALLET // 100, START + 40 * S)
    assert losses.lost_e8("drawdown") == 2_000_000 > LIMITS["drawdown", "halted"] + MARGIN_E8
    losses.flow(WALLET, START + 41 * S)
    losses.read(WALLET // 2 - WALLET // 100 + WALLET, START + 42 * S)
    assert losses.lost_e8("drawdown") == pytest.approx(2_000_000, abs=1)


def test_a_loss_that_was_read_before_a_flow_is_one_though_it_is_heard_after_it() -> None:
    losses = ReadEquity(START, WALLET)
    losses.flow(WALLET // 5, START + 10 * S)
    losses.read(WALLET - WALLET // 25, START + 9 * S)
    assert losses.lost_e8("drawdown") == 4_000_000
    losses.read(WALLET - WALLET // 25 + WALLET // 5, START + 11 * S)
    assert losses.lost_e8("drawdown") == pytest.approx(4_000_000, abs=1)
