"""What engages the brake by itself: the brake column of the limits table, judged on a `GuardView`. Pure.

Rules: a reading AT its limit has not breached, beyond it has; a limit of 0 is switched off; every breach says what was measured and what
it may be; equity that is not positive breaches every measure that is a fraction of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from kedge.domain.brake import SEVERITY, BrakeLevel, Trigger
from kedge.domain.instrument import InstrumentId
from kedge.domain.units import E8, NS_PER_MS, NS_PER_S
from kedge.risk.brake.view import GuardView, PositionView

FRACTION: Final = "1e-8"
MILLISECONDS: Final = "ms"
COUNT: Final = "count"

BEYOND_ALL_E8: Final = 1_000 * E8
"""What stands for a fraction of equity that is not positive: beyond any limit."""


class TriggerLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the guard brakes by itself. Fractions are of flow-adjusted equity, in 1e-8; 0 switches a trigger off.

    Attributes
    ----------
    liquidation_flatten_e8, liquidation_sigmas_e2 : int
        The distance to liquidation may not fall below the larger of the first and so many hundredths of the daily volatility.
    heartbeat_cancel_s : int
        Silence of the trader after which its resting orders are cancelled; the level stays. See `deadman`.
    books_differ_s : int
        How long the venue's wallet or positions may differ from what its own ledger and executions explain.
    """

    drawdown_halt_e8: int = 8_000_000
    drawdown_flatten_e8: int = 10_000_000
    var99_flatten_e8: int = 5_000_000
    day_loss_halt_e8: int = 2_000_000
    day_loss_flatten_e8: int = 3_000_000
    gross_leverage_reduce_e8: int = 200_000_000
    position_notional_reduce_e8: int = 35_000_000
    margin_ratio_flatten_e8: int = 50_000_000
    liquidation_flatten_e8: int = 15_000_000
    liquidation_sigmas_e2: int = 400
    heartbeat_cancel_s: int = 10
    heartbeat_halt_s: int = 60
    stop_missing_s: int = 15
    books_differ_s: int = 10
    clock_halt_ms: int = 500
    rejects_per_minute: int = 10
    stale_halt_s: int = 10


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One measure beside one limit of it, in the same unit: '1e-8' (a fraction), 'ms', or 'count'.

    `room_e8` is how much is left: 1e8 is all, 0 none, negative beyond. `detail` says more where numbers do not, such as a method's name.
    """

    trigger: Trigger
    level: BrakeLevel
    unit: str
    observed: int
    limit: int
    instrument: InstrumentId = ""
    room_e8: int = 0
    is_breached: bool = False
    detail: str = ""


_OFF: Final = Reading(trigger=Trigger.MANUAL, level=BrakeLevel.RUNNING, unit=COUNT, observed=0, limit=0)
"""Stands for a measure whose limit is switched off; `readings` leaves it out."""


class Breach(msgspec.Struct, frozen=True, kw_only=True):
    """A trigger that fired; `observed` and `limit` are for people."""

    trigger: Trigger
    level: BrakeLevel
    observed: str
    limit: str
    instrument: InstrumentId = ""


def readings(view: GuardView, limits: TriggerLimits) -> tuple[Reading, ...]:
    """Every measure that is known beside every limit that is switched on."""
    found = (*_losses(view, limits), *_book(view, limits), *_each_position(view, limits), *_machinery(view, limits))
    return tuple(reading for reading in found if reading.limit > 0)


def judge(view: GuardView, limits: TriggerLimits) -> tuple[Breach, ...]:
    """What is breached, the most severe first; empty where all is well."""
    found = sorted((one for one in readings(view, limits) if one.is_breached), key=lambda one: -SEVERITY[one.level])
    return tuple(
        Breach(
            trigger=one.trigger,
            level=one.level,
            observed=in_words(one, one.observed) + (f" ({one.detail})" if one.detail else ""),
            limit=in_words(one, one.limit),
            instrument=one.instrument,
        )
        for one in found
    )


def in_words(reading: Reading, value: int) -> str:
    """A value of a reading with its unit, for people."""
    if reading.unit == FRACTION:
        return f"{value / 1_000_000:.3f} %"
    return f"{value / 1_000:.1f} s" if reading.unit == MILLISECONDS and abs(value) >= 10_000 else f"{value} {reading.unit}".strip()


def share_e8(part_e8: int, of_e8: int) -> int:
    """`part / of` in 1e-8, rounded up; `BEYOND_ALL_E8` where something is part of nothing, 0 where nothing is."""
    if of_e8 <= 0:
        return BEYOND_ALL_E8 if part_e8 > 0 else 0
    return min(BEYOND_ALL_E8, -(-part_e8 * E8 // of_e8))


def lost_e8(from_e8: int, now_e8: int) -> int:
    """How far `now` lies below `from`, as a fraction of it in 1e-8, rounded up; 0 where it does not, or where there was nothing to lose."""
    return share_e8(from_e8 - now_e8, from_e8) if from_e8 > 0 and now_e8 < from_e8 else 0


def liquidation_limit_e8(position: PositionView, limits: TriggerLimits) -> int:
    """How near liquidation may come to a position, as a fraction of its mark in 1e-8; 0 where the trigger is off."""
    return max(limits.liquidation_flatten_e8, limits.liquidation_sigmas_e2 * position.sigma_e8 // 100)


def _losses(view: GuardView, limits: TriggerLimits) -> Iterator[Reading]:
    drawdown_e8 = lost_e8(view.high_water_e8, view.loss_equity_e8)
    day_loss_e8 = lost_e8(view.day_start_e8, view.loss_equity_e8)
    yield _most(Trigger.DRAWDOWN, BrakeLevel.HALTED, drawdown_e8, limits.drawdown_halt_e8)
    yield _most(Trigger.DRAWDOWN, BrakeLevel.FLATTENING, drawdown_e8, limits.drawdown_flatten_e8)
    yield _most(Trigger.DAILY_LOSS, BrakeLevel.HALTED, day_loss_e8, limits.day_loss_halt_e8)
    yield _most(Trigger.DAILY_LOSS, BrakeLevel.FLATTENING, day_loss_e8, limits.day_loss_flatten_e8)


def _book(view: GuardView, limits: TriggerLimits) -> Iterator[Reading]:
    if view.var99_e8 is not None:
        yield _most(Trigger.VAR99, BrakeLevel.FLATTENING, view.var99_e8, limits.var99_flatten_e8, detail=view.var_method)
    ratio_e8 = share_e8(view.maintenance_e8, view.equity_e8)
    leverage_e8 = share_e8(view.gross_e8, view.equity_e8)
    yield _most(Trigger.MARGIN_RATIO, BrakeLevel.FLATTENING, ratio_e8, limits.margin_ratio_flatten_e8)
    yield _most(Trigger.GROSS_LEVERAGE, BrakeLevel.REDUCE_ONLY, leverage_e8, limits.gross_leverage_reduce_e8)


def _each_position(view: GuardView, limits: TriggerLimits) -> Iterator[Reading]:
    for one in view.positions:
        notional_e8 = share_e8(abs(one.notional_e8), view.equity_e8)
        name = one.instrument
        yield _most(Trigger.POSITION_NOTIONAL, BrakeLevel.REDUCE_ONLY, notional_e8, limits.position_notional_reduce_e8, name)
        if one.liquidation_e8 is not None:
            yield _least(Trigger.LIQUIDATION_DISTANCE, BrakeLevel.FLATTENING, one.liquidation_e8, liquidation_limit_e8(one, limits), name)
        yield _milliseconds(Trigger.STOP_MISSING, BrakeLevel.REDUCE_ONLY, one.unstopped_ns, limits.stop_missing_s, name)


def _machinery(view: GuardView, limits: TriggerLimits) -> Iterator[Reading]:
    silent_ns = view.heartbeat_ns if view.positions else 0
    stale_ns = view.view_age_ns if view.has_risk else 0
    yield _milliseconds(Trigger.HEARTBEAT, BrakeLevel.HALTED, silent_ns, limits.heartbeat_halt_s)
    yield _milliseconds(Trigger.STALE_DATA, BrakeLevel.HALTED, stale_ns, limits.stale_halt_s)
    yield _milliseconds(Trigger.BOOKS_DIFFER, BrakeLevel.HALTED, view.unexplained_ns, limits.books_differ_s, detail=view.unexplained)
    if view.clock_off_ms is not None:
        yield _most(Trigger.CLOCK, BrakeLevel.HALTED, abs(view.clock_off_ms), limits.clock_halt_ms, unit=MILLISECONDS)
    yield _most(Trigger.REJECTS, BrakeLevel.HALTED, view.rejects, limits.rejects_per_minute, unit=COUNT)


def _milliseconds(
    trigger: Trigger, level: BrakeLevel, observed_ns: int, limit_s: int, instrument: InstrumentId = "", *, detail: str = ""
) -> Reading:
    limit_ms = limit_s * NS_PER_S // NS_PER_MS
    return _most(trigger, level, observed_ns // NS_PER_MS, limit_ms, instrument, unit=MILLISECONDS, detail=detail)


def _most(
    trigger: Trigger, level: BrakeLevel, observed: int, limit: int, instrument: InstrumentId = "", *, unit: str = FRACTION, detail: str = ""
) -> Reading:
    """A measure that may not rise above its limit."""
    if limit <= 0:
        return _OFF
    room_e8 = (limit - observed) * E8 // limit
    return Reading(
        trigger=trigger, level=level, unit=unit, observed=observed, limit=limit, instrument=instrument, room_e8=room_e8,
        is_breached=observed > limit, detail=detail,
    )  # fmt: skip


def _least(trigger: Trigger, level: BrakeLevel, observed: int, limit: int, instrument: InstrumentId) -> Reading:
    """A distance that may not fall below its limit."""
    room_e8 = (observed - limit) * E8 // max(limit, observed, 1)
    return Reading(
        trigger=trigger, level=level, unit=FRACTION, observed=observed, limit=limit, instrument=instrument, room_e8=room_e8,
        is_breached=observed < limit,
    )  # fmt: skip
