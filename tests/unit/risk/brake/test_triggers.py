"""Each trigger at its limit, one unit beyond it, switched off, and where equity is gone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.risk.brake.views import EQUITY, position, view

from kedge.domain.brake import SEVERITY, BrakeLevel, Trigger
from kedge.domain.units import E8, NS_PER_S
from kedge.risk.brake.triggers import BEYOND_ALL_E8, TriggerLimits, judge, liquidation_limit_e8, lost_e8, readings, share_e8
from kedge.risk.brake.view import GuardView

LIMITS = TriggerLimits()
HALTED, FLATTENING, REDUCE_ONLY = BrakeLevel.HALTED, BrakeLevel.FLATTENING, BrakeLevel.REDUCE_ONLY


def at(name: str, number: int) -> dict[str, Any]:
    """A view in which one measure reads so much, in the unit of its limit."""
    by_position = {
        "notional": lambda: (position(notional_e8=number * EQUITY // E8),),
        "short": lambda: (position(notional_e8=-number * EQUITY // E8),),
        "maintenance": lambda: (position(maintenance_e8=number * EQUITY // E8),),
        "distance": lambda: (position(liquidation_e8=number),),
        "unstopped": lambda: (position(unstopped_ns=number * NS_PER_S // 1_000),),
    }
    if name in by_position:
        return {"positions": by_position[name]()}
    seconds = {"heartbeat": "heartbeat_ns", "stale": "view_age_ns", "books": "unexplained_ns"}
    if name in seconds:
        return {seconds[name]: number * NS_PER_S // 1_000}
    losses = {"drawdown": "high_water_e8", "day": "day_start_e8"}
    if name in losses:
        return {losses[name]: EQUITY, "loss_equity_e8": EQUITY - number * EQUITY // E8}
    return {name: number}


CELLS = [
    ("drawdown", Trigger.DRAWDOWN, HALTED, 8_000_000, +1),
    ("drawdown", Trigger.DRAWDOWN, FLATTENING, 10_000_000, +1),
    ("day", Trigger.DAILY_LOSS, HALTED, 2_000_000, +1),
    ("day", Trigger.DAILY_LOSS, FLATTENING, 3_000_000, +1),
    ("var99_e8", Trigger.VAR99, FLATTENING, 5_000_000, +1),
    ("notional", Trigger.GROSS_LEVERAGE, REDUCE_ONLY, 200_000_000, +1),
    ("short", Trigger.GROSS_LEVERAGE, REDUCE_ONLY, 200_000_000, +1),
    ("notional", Trigger.POSITION_NOTIONAL, REDUCE_ONLY, 35_000_000, +1),
    ("short", Trigger.POSITION_NOTIONAL, REDUCE_ONLY, 35_000_000, +1),
    ("maintenance", Trigger.MARGIN_RATIO, FLATTENING, 50_000_000, +1),
    ("distance", Trigger.LIQUIDATION_DISTANCE, FLATTENING, 15_000_000, -1),
    ("unstopped", Trigger.STOP_MISSING, REDUCE_ONLY, 15_000, +1),
    ("heartbeat", Trigger.HEARTBEAT, HALTED, 60_000, +1),
    ("stale", Trigger.STALE_DATA, HALTED, 10_000, +1),
    ("books", Trigger.BOOKS_DIFFER, HALTED, 10_000, +1),
    ("clock_off_ms", Trigger.CLOCK, HALTED, 500, +1),
    ("rejects", Trigger.REJECTS, HALTED, 10, +1),
]
"""(what, trigger, level, limit, the direction that hurts)."""
OFF_BY_LEVEL = {
    (Trigger.DRAWDOWN, HALTED): {"drawdown_halt_e8": 0},
    (Trigger.DRAWDOWN, FLATTENING): {"drawdown_flatten_e8": 0},
    (Trigger.DAILY_LOSS, HALTED): {"day_loss_halt_e8": 0},
    (Trigger.DAILY_LOSS, FLATTENING): {"day_loss_flatten_e8": 0},
    (Trigger.VAR99, FLATTENING): {"var99_flatten_e8": 0},
    (Trigger.GROSS_LEVERAGE, REDUCE_ONLY): {"gross_leverage_reduce_e8": 0},
    (Trigger.POSITION_NOTIONAL, REDUCE_ONLY): {"position_notional_reduce_e8": 0},
    (Trigger.MARGIN_RATIO, FLATTENING): {"margin_ratio_flatten_e8": 0},
    (Trigger.LIQUIDATION_DISTANCE, FLATTENING): {"liquidation_flatten_e8": 0, "liquidation_sigmas_e2": 0},
    (Trigger.STOP_MISSING, REDUCE_ONLY): {"stop_missing_s": 0},
    (Trigger.HEARTBEAT, HALTED): {"heartbeat_halt_s": 0},
    (Trigger.STALE_DATA, HALTED): {"stale_halt_s": 0},
    (Trigger.BOOKS_DIFFER, HALTED): {"books_differ_s": 0},
    (Trigger.CLOCK, HALTED): {"clock_halt_ms": 0},
    (Trigger.REJECTS, HALTED): {"rejects_per_minute": 0},
}


def fired(seen: GuardView, limits: TriggerLimits = LIMITS) -> set[tuple[Trigger, BrakeLevel]]:
    return {(breach.trigger, breach.level) for breach in judge(seen, limits)}


def test_nothing_fires_where_all_is_well() -> None:
    assert judge(view(), LIMITS) == ()
    assert judge(view(positions=()), LIMITS) == ()


@pytest.mark.parametrize(("name", "trigger", "level", "limit", "way"), CELLS)
def test_a_reading_at_its_limit_is_no_breach_and_one_beyond_is(
    name: str, trigger: Trigger, level: BrakeLevel, limit: int, way: int
) -> None:
    assert (trigger, level) not in fired(view(**at(name, limit)))
    assert (trigger, level) in fired(view(**at(name, limit + way)))
    assert (trigger, level) not in fired(view(**at(name, limit - way)))


@pytest.mark.parametrize(("name", "trigger", "level", "limit", "way"), CELLS)
def test_a_trigger_at_zero_is_off_and_the_others_stay(name: str, trigger: Trigger, level: BrakeLevel, limit: int, way: int) -> None:
    beyond = view(**at(name, limit + way))
    switched_off = msgspec.structs.replace(LIMITS, **OFF_BY_LEVEL[trigger, level])
    assert fired(beyond, switched_off) == fired(beyond) - {(trigger, level)}
    assert (trigger, level) not in {(one.trigger, one.level) for one in readings(beyond, switched_off)}


def test_every_trigger_that_a_view_can_fire_has_its_cell() -> None:
    automatic = set(Trigger) - {Trigger.MANUAL, Trigger.JOURNAL, Trigger.MODEL, Trigger.UNREADABLE}
    assert {trigger for _, trigger, _, _, _ in CELLS} == automatic


def test_the_worst_comes_first() -> None:
    found = judge(view(**at("drawdown", 20_000_000), rejects=11, positions=(position(unstopped_ns=20 * NS_PER_S),)), LIMITS)
    severities = [SEVERITY[one.level] for one in found]
    assert severities == sorted(severities, reverse=True)
    assert found[0].level is FLATTENING
    assert found[-1].level is REDUCE_ONLY


def test_equity_that_is_gone_breaches_every_share_of_it() -> None:
    gone = view(equity_e8=0, loss_equity_e8=-5, var99_e8=BEYOND_ALL_E8)
    shares = {Trigger.DRAWDOWN, Trigger.DAILY_LOSS, Trigger.VAR99, Trigger.MARGIN_RATIO, Trigger.GROSS_LEVERAGE, Trigger.POSITION_NOTIONAL}
    assert {trigger for trigger, _ in fired(gone)} == shares


def test_what_is_unknown_is_not_judged() -> None:
    found = readings(view(var99_e8=None, clock_off_ms=None, positions=(position(liquidation_e8=None),)), LIMITS)
    assert not {Trigger.VAR99, Trigger.CLOCK, Trigger.LIQUIDATION_DISTANCE} & {one.trigger for one in found}


def test_a_clock_that_is_behind_counts_like_one_ahead() -> None:
    assert (Trigger.CLOCK, HALTED) in fired(view(clock_off_ms=-501))


def test_silence_and_staleness_count_only_with_risk() -> None:
    assert fired(view(positions=(), heartbeat_ns=10**12, view_age_ns=10**12)) == set()
    assert fired(view(positions=(), risk_orders=1, heartbeat_ns=10**12, view_age_ns=10**12)) == {(Trigger.STALE_DATA, HALTED)}


def test_the_distance_to_liquidation_grows_with_volatility() -> None:
    assert liquidation_limit_e8(position(sigma_e8=3_000_000), LIMITS) == 15_000_000
    assert liquidation_limit_e8(position(sigma_e8=8_000_000), LIMITS) == 32_000_000
    assert (Trigger.LIQUIDATION_DISTANCE, FLATTENING) in fired(view(positions=(position(sigma_e8=8_000_000, liquidation_e8=31_999_999),)))


def test_a_breach_says_what_was_measured_what_it_may_be_and_where() -> None:
    (breach,) = judge(view(var99_e8=5_120_000), LIMITS)
    assert (breach.observed, breach.limit) == ("5.120 % (fhs-ewma)", "5.000 %")
    (breach,) = judge(view(positions=(position(unstopped_ns=16 * NS_PER_S),)), LIMITS)
    assert (breach.observed, breach.limit, breach.instrument) == ("16.0 s", "15.0 s", "sim:AAAUSDT")
    (breach,) = judge(view(rejects=11), LIMITS)
    assert (breach.observed, breach.limit) == ("11 count", "10 count")
    (breach,) = judge(view(clock_off_ms=600), LIMITS)
    assert (breach.observed, breach.limit) == ("600 ms", "500 ms")


def test_room_is_all_at_zero_none_at_the_limit_and_negative_beyond() -> None:
    def room(**changed: Any) -> dict[Trigger, int]:
        return {one.trigger: one.room_e8 for one in readings(view(**changed), LIMITS)}

    assert room(rejects=0)[Trigger.REJECTS] == E8
    assert room(rejects=10)[Trigger.REJECTS] == 0
    assert room(rejects=20)[Trigger.REJECTS] == -E8
    far, near = (room(positions=(position(liquidation_e8=e8),))[Trigger.LIQUIDATION_DISTANCE] for e8 in (60_000_000, 15_000_000))
    assert (far, near) == (75_000_000, 0)
    assert room(positions=(position(liquidation_e8=3_000_000),))[Trigger.LIQUIDATION_DISTANCE] == -80_000_000


def test_shares_round_against_us_and_are_bounded() -> None:
    assert share_e8(1, 3) == 33_333_334
    assert share_e8(0, 0) == 0
    assert share_e8(1, 0) == share_e8(10**30, 1) == BEYOND_ALL_E8
    assert lost_e8(0, -5) == 0
    assert lost_e8(100, 100) == lost_e8(100, 101) == 0
    assert lost_e8(100, -100) == 2 * E8
