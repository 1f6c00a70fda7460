"""The ordered table of limits: every measure with its target, soft, hard and brake levels, and how far each may be set.

Rules: levels rise, target <= soft <= hard < brake; of a distance they fall. That is asserted when the module is loaded, when limits and
the guard's triggers are put together, and again with every new estimate of volatility, since a distance is the larger of a floor and so
many daily standard deviations. Fractions are of flow-adjusted equity, in 1e-8. A hard level at or above the brake would let the guard act
on what the trader may still do, so it is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from kedge.domain.brake import SEVERITY, BrakeLevel
from kedge.domain.errors import InvalidConfig
from kedge.domain.units import E8
from kedge.risk.brake.triggers import TriggerLimits
from kedge.risk.limits import Limits

OWNER: Final = "risk"
"""The role that owns every row."""

FRACTION: Final = "fraction of equity"
RATIO: Final = "ratio"
DISTANCE: Final = "fraction of the mark"

CHANGE_HOT: Final = "tighten: one person, at once; loosen: two people"
CHANGE_CONFIG: Final = "configuration of the guard, by two people"

Brakes = tuple[tuple[int, BrakeLevel], ...]


class Row(NamedTuple):
    """One measure.

    Attributes
    ----------
    measure, title : str
        Its name in records and settings, and in words.
    unit : str
        Of every level; all are in 1e-8 of it.
    target, soft, hard : int or None
        Where sizing aims, where people are told, where the trader refuses or only reduces; None where the row has no such level.
    brake : tuple
        Levels at which the guard acts, mildest first, with what it does.
    reversed : bool
        Whether smaller is worse: a distance.
    soft_sigmas_e2, hard_sigmas_e2, brake_sigmas_e2 : int
        Of a distance: so many hundredths of a daily standard deviation, where that is more than the level; 0 for none.
    minimum, maximum : int
        How far any level may be set.
    soft_field, hard_field : str
        Names in `Limits`; empty where the limits have none.
    owner, change : str
        Who answers for it, and what changing it takes.
    """

    measure: str
    title: str
    unit: str
    target: int | None
    soft: int | None
    hard: int | None
    brake: Brakes = ()
    reversed: bool = False
    soft_sigmas_e2: int = 0
    hard_sigmas_e2: int = 0
    brake_sigmas_e2: int = 0
    minimum: int = 1
    maximum: int = E8
    soft_field: str = ""
    hard_field: str = ""
    owner: str = OWNER
    change: str = CHANGE_HOT


def _pct(percent: str) -> int:
    whole, _, part = percent.partition(".")
    return int(whole) * 1_000_000 + int(part.ljust(6, "0") or 0)


TABLE: Final[tuple[Row, ...]] = (
    Row(
        "var99", "VaR, 99 %, one day", FRACTION, _pct("2.5"), _pct("3"), _pct("3.5"), ((_pct("5"), BrakeLevel.FLATTENING),),
        soft_field="var99_soft_e8", hard_field="var99_max_e8",
    ),
    Row(
        "es975", "Expected shortfall, 97.5 %, one day", FRACTION, _pct("2.5"), _pct("3.2"), _pct("4"),
        soft_field="es975_soft_e8", hard_field="es975_max_e8",
    ),
    Row(
        "drawdown", "Drawdown from the high-water mark", FRACTION, None, _pct("5"), _pct("6.5"),
        ((_pct("8"), BrakeLevel.HALTED), (_pct("10"), BrakeLevel.FLATTENING)),
        soft_field="drawdown_soft_e8", hard_field="drawdown_reduce_e8",
    ),
    Row(
        "daily_loss", "Loss of the UTC day", FRACTION, None, _pct("1"), _pct("1.5"),
        ((_pct("2"), BrakeLevel.HALTED), (_pct("3"), BrakeLevel.FLATTENING)),
        soft_field="daily_loss_soft_e8", hard_field="daily_loss_reduce_e8",
    ),
    Row(
        "gross_leverage", "Gross leverage", RATIO, _pct("80"), _pct("120"), _pct("150"), ((_pct("200"), BrakeLevel.REDUCE_ONLY),),
        maximum=100 * E8, soft_field="gross_leverage_soft_e8", hard_field="gross_leverage_max_e8",
    ),
    Row(
        "position_notional", "Position notional of one symbol", FRACTION, _pct("15"), _pct("20"), _pct("25"),
        ((_pct("35"), BrakeLevel.REDUCE_ONLY),),
        soft_field="position_notional_frac_soft_e8", hard_field="position_notional_frac_max_e8",
    ),
    Row(
        "order_notional", "Notional of one order", FRACTION, _pct("5"), _pct("10"), _pct("15"),
        soft_field="order_notional_frac_soft_e8", hard_field="order_notional_frac_max_e8",
    ),
    Row(
        "margin_ratio", "Maintenance margin over equity", RATIO, None, _pct("20"), _pct("30"), ((_pct("50"), BrakeLevel.FLATTENING),),
        soft_field="margin_ratio_soft_e8", hard_field="margin_ratio_max_e8",
    ),
    Row(
        "liquidation_distance", "Distance to liquidation", DISTANCE, None, _pct("30"), _pct("20"),
        ((_pct("15"), BrakeLevel.FLATTENING),), reversed=True, soft_sigmas_e2=600, hard_sigmas_e2=500, brake_sigmas_e2=400,
        soft_field="liquidation_distance_soft_e8", hard_field="liquidation_distance_min_e8",
    ),
    Row(
        "trade_risk", "Loss at the stop of one trade", FRACTION, _pct("0.5"), _pct("1"), _pct("2"),
        soft_field="trade_risk_frac_soft_e8", hard_field="trade_risk_frac_max_e8",
    ),
    Row("book_es_975", "Expected shortfall that sizing may use", FRACTION, _pct("2.5"), None, None, maximum=_pct("10")),
)  # fmt: skip
"""Section 12 of the control catalogue. The drawdown and daily-loss halts of the trader itself are at the guard's first level."""

SIGMAS_CHECKED_E8: Final = tuple(sigma * 1_000_000 for sigma in (0, 1, 2, 3, 4, 5, 7, 10, 15, 20))
"""Daily standard deviations at which levels are checked before any is known: 0 to 20 per cent."""

BY_MEASURE: Final[Mapping[str, Row]] = {row.measure: row for row in TABLE}


def levels_at(row: Row, sigma_e8: int = 0) -> tuple[int | None, int | None, Brakes]:
    """Soft, hard and brake of a row at a daily standard deviation of this much, in 1e-8; only distances depend on it."""
    if not row.reversed:
        return row.soft, row.hard, row.brake
    soft = None if row.soft is None else distance_e8(row.soft, row.soft_sigmas_e2, sigma_e8)
    hard = None if row.hard is None else distance_e8(row.hard, row.hard_sigmas_e2, sigma_e8)
    return soft, hard, tuple((distance_e8(value, row.brake_sigmas_e2, sigma_e8), level) for value, level in row.brake)


def distance_e8(floor_e8: int, sigmas_e2: int, sigma_e8: int) -> int:
    """A distance that is kept: the floor, or so many daily standard deviations where that is more; rounded up."""
    return max(floor_e8, -(-sigmas_e2 * sigma_e8 // 100))


def check_table(rows: Iterable[Row] = TABLE, sigma_e8: int = 0) -> None:
    """Refuse rows that do not rise (of a distance: fall), at this daily standard deviation.

    Raises
    ------
    InvalidConfig
        Names the row, its levels, and what to change.
    """
    for row in rows:
        soft, hard, brake = levels_at(row, sigma_e8)
        sign = -1 if row.reversed else 1
        told = [("target", row.target), ("soft", soft), ("hard", hard)]
        known = [(name, value) for name, value in told if value is not None]
        for name, value in (*known, *(("brake", value) for value, _ in brake)):
            if sigma_e8 == 0 and not row.minimum <= value <= row.maximum:
                raise _refused(row, f"{name} is {_text(value)}", f"it may be {_text(row.minimum)} to {_text(row.maximum)}")
        for (low_name, low), (high_name, high) in zip(known, known[1:], strict=False):
            if sign * low > sign * high:
                raise _refused(row, f"{low_name} {_text(low)}, {high_name} {_text(high)}", _order(row))
        if brake and known and sign * known[-1][1] >= sign * brake[0][0]:
            raise _refused(row, f"{known[-1][0]} {_text(known[-1][1])}, brake {_text(brake[0][0])}", _order(row))
        for (low, mild), (high, hard_level) in zip(brake, brake[1:], strict=False):
            if sign * low >= sign * high or SEVERITY[mild] >= SEVERITY[hard_level]:
                raise _refused(row, f"brake {_text(low)} is {mild}, {_text(high)} is {hard_level}", "what is worse brakes harder")


def table_of(limits: Limits, brakes: Mapping[str, Brakes] | None = None, *, brake_sigmas_e2: int | None = None) -> tuple[Row, ...]:
    """The table with the levels of these limits in place of its own, and of these brakes by measure; a measure not named keeps its own.

    A level that the limits leave at 0 is absent. See `brakes_of` for what a guard is configured to do.
    """
    rows = []
    for row in TABLE:
        soft = _level(limits, row.soft_field, row.soft)
        hard = _level(limits, row.hard_field, row.hard)
        brake = row.brake if brakes is None else brakes.get(row.measure, row.brake)
        row = row._replace(soft=soft, hard=hard, brake=brake)
        if row.target is not None:
            row = row._replace(target=_aim(row, [value for value in (soft, hard) if value is not None]))
        if row.reversed:
            row = row._replace(soft_sigmas_e2=limits.liquidation_sigmas_soft_e2, hard_sigmas_e2=limits.liquidation_sigmas_min_e2)
            if brake_sigmas_e2 is not None:
                row = row._replace(brake_sigmas_e2=brake_sigmas_e2)
        rows.append(row)
    return tuple(rows)


def check_limits(limits: Limits, triggers: TriggerLimits | None = None, sigmas_e8: Iterable[int] = SIGMAS_CHECKED_E8) -> tuple[Row, ...]:
    """The table of these limits and triggers, checked at every one of these volatilities.

    Raises
    ------
    InvalidConfig
        A row does not rise, or a hard limit reaches its brake.
    """
    rows = table_of(limits) if triggers is None else _with_brakes(limits, triggers)
    for sigma_e8 in sigmas_e8:
        check_table(rows, sigma_e8)
    return rows


def brakes_of(triggers: TriggerLimits) -> dict[str, Brakes]:
    """What the guard's triggers do, by measure; one that is switched off does nothing, and the trader's own limit stands alone."""
    reduce, halt, flatten = BrakeLevel.REDUCE_ONLY, BrakeLevel.HALTED, BrakeLevel.FLATTENING
    rows: dict[str, Brakes] = {
        "var99": ((triggers.var99_flatten_e8, flatten),),
        "drawdown": ((triggers.drawdown_halt_e8, halt), (triggers.drawdown_flatten_e8, flatten)),
        "daily_loss": ((triggers.day_loss_halt_e8, halt), (triggers.day_loss_flatten_e8, flatten)),
        "gross_leverage": ((triggers.gross_leverage_reduce_e8, reduce),),
        "position_notional": ((triggers.position_notional_reduce_e8, reduce),),
        "margin_ratio": ((triggers.margin_ratio_flatten_e8, flatten),),
        "liquidation_distance": ((triggers.liquidation_flatten_e8, flatten),),
    }
    return {measure: tuple(brake for brake in brakes if brake[0]) for measure, brakes in rows.items()}


def _level(limits: Limits, field: str, own: int | None) -> int | None:
    return (getattr(limits, field) or None) if field else own


def _aim(row: Row, levels: list[int]) -> int | None:
    """The target, lowered where people set a limit below it: nobody aims beyond what is allowed."""
    return min([row.target or 0, *levels]) if levels else row.target


def _text(value_e8: int) -> str:
    return f"{value_e8 * 100 / E8:g} %"


def _order(row: Row) -> str:
    return "a distance falls: soft >= hard > brake" if row.reversed else "a row rises: target <= soft <= hard < brake"


def _refused(row: Row, what: str, why: str) -> InvalidConfig:
    names = " or ".join(name for name in (row.soft_field, row.hard_field) if name)
    fix = f"move {names} away from the brake, or the guard's trigger of {row.measure}" if names else f"mend {row.measure}"
    return InvalidConfig(f"limits of {row.title} ({row.measure}): {what}", why=why, fix=fix)


check_table()


def _with_brakes(limits: Limits, triggers: TriggerLimits) -> tuple[Row, ...]:
    return table_of(limits, brakes_of(triggers), brake_sigmas_e2=triggers.liquidation_sigmas_e2)
