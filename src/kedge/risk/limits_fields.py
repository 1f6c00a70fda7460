"""Every limit by the name people know it under: its unit, how far it may be set, which way is looser, and which control asks for it.

Rules: a change is a loosening where any field of it moves the looser way, or a row goes absent: 0 is the loosest level that there is. What
tightens one field and loosens another is a loosening. Values are text, exact: fractions and spans as decimals, lists separated by commas.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8, NS_PER_MS, NS_PER_S, parse_decimal
from kedge.risk.limits import RISING, Limits

OWNER: Final = "risk"


class Unit(StrEnum):
    """What a limit is counted in."""

    FRACTION = "fraction of equity"
    TIMES = "times equity"
    SHARE = "share"
    SIGMAS = "daily standard deviations"
    BARS = "bars"
    BPS = "basis points"
    COUNT = "count"
    SECONDS = "s"
    MILLISECONDS = "ms"
    NAMES = "names"


_PER_UNIT: Final = {
    Unit.FRACTION: E8, Unit.TIMES: E8, Unit.SHARE: E8, Unit.SIGMAS: 100, Unit.BARS: 100, Unit.BPS: 1, Unit.COUNT: 1,
    Unit.SECONDS: NS_PER_S, Unit.MILLISECONDS: NS_PER_MS,
}  # fmt: skip


class Looser(StrEnum):
    """Which way lets more through."""

    HIGHER = "higher"
    LOWER = "lower"
    FEWER = "fewer names"


class Field(NamedTuple):
    """One limit.

    Attributes
    ----------
    name, field : str
        As in the configuration, and in `Limits`.
    looser : Looser
        Which way lets more through.
    control : str
        Of the control catalogue.
    """

    name: str
    field: str
    unit: Unit
    looser: Looser
    control: str
    owner: str = OWNER


class Change(NamedTuple):
    """One field that two documents differ in, as text."""

    name: str
    before: str
    after: str
    loosens: bool


def _rows(unit: Unit, looser: Looser, control: str, *names: str) -> list[Field]:
    return [Field(name, _field_of(name, unit), unit, looser, control) for name in names]


def _field_of(name: str, unit: Unit) -> str:
    if unit in (Unit.SIGMAS, Unit.BARS):
        return f"{name}_e2"
    if unit in (Unit.SECONDS, Unit.MILLISECONDS):
        return f"{name.rpartition('_')[0]}_ns"
    if unit in (Unit.FRACTION, Unit.TIMES, Unit.SHARE):
        kept = name if name.startswith(("order_notional", "position_notional", "fat_finger")) else name.removesuffix("_frac")
        return f"{kept}_e8"
    return name


FIELDS: Final[tuple[Field, ...]] = (
    *_rows(Unit.FRACTION, Looser.HIGHER, "C-RISK-01", "order_notional_frac_soft", "order_notional_frac_max"),
    *_rows(Unit.FRACTION, Looser.HIGHER, "C-RISK-03", "position_notional_frac_soft", "position_notional_frac_max"),
    *_rows(Unit.TIMES, Looser.HIGHER, "C-RISK-03", "gross_leverage_soft", "gross_leverage_max", "net_leverage_max"),
    *_rows(Unit.FRACTION, Looser.HIGHER, "C-RISK-10", "daily_loss_soft_frac", "daily_loss_reduce_frac", "daily_loss_halt_frac"),
    *_rows(Unit.FRACTION, Looser.HIGHER, "C-RISK-11", "drawdown_soft_frac", "drawdown_reduce_frac", "drawdown_halt_frac"),
    *_rows(Unit.FRACTION, Looser.HIGHER, "C-RISK-03", "var99_soft_frac", "var99_max_frac", "es975_soft_frac", "es975_max_frac"),
    *_rows(Unit.FRACTION, Looser.HIGHER, "C-RISK-13", "margin_ratio_soft", "margin_ratio_max"),
    *_rows(Unit.SHARE, Looser.LOWER, "C-RISK-13", "liquidation_distance_soft_frac", "liquidation_distance_min_frac"),
    *_rows(Unit.SIGMAS, Looser.LOWER, "C-RISK-13", "liquidation_sigmas_soft", "liquidation_sigmas_min"),
    *_rows(Unit.FRACTION, Looser.HIGHER, "C-RISK-13", "trade_risk_frac_soft", "trade_risk_frac_max"),
    *_rows(Unit.COUNT, Looser.HIGHER, "C-RISK-12", "open_orders_instrument_max", "open_orders_total_max"),
    *_rows(Unit.COUNT, Looser.HIGHER, "C-RISK-05", "orders_per_second_max", "orders_per_10s_max"),
    *_rows(Unit.COUNT, Looser.HIGHER, "C-RISK-06", "messages_per_3s_max", "messages_per_fill_max", "messages_window_min"),
    *_rows(Unit.COUNT, Looser.HIGHER, "C-RISK-15", "decisions_max"),
    *_rows(Unit.SECONDS, Looser.LOWER, "C-RISK-15", "decisions_window_s"),
    *_rows(Unit.MILLISECONDS, Looser.LOWER, "C-RISK-07", "duplicate_window_ms"),
    *_rows(Unit.COUNT, Looser.HIGHER, "C-RISK-08", "fat_finger_multiple", "fat_finger_orders_min"),
    *_rows(Unit.SHARE, Looser.HIGHER, "C-RISK-08", "fat_finger_volume_frac"),
    *_rows(Unit.FRACTION, Looser.HIGHER, "C-RISK-08", "manual_order_frac_soft"),
    *_rows(Unit.BPS, Looser.HIGHER, "C-RISK-04", "fill_deviation_bps_max"),
    *_rows(Unit.COUNT, Looser.HIGHER, "C-RISK-04", "fill_deviation_fills_min"),
    *_rows(Unit.SECONDS, Looser.LOWER, "C-RISK-04", "fill_deviation_window_s"),
    *_rows(Unit.BARS, Looser.HIGHER, "C-RISK-16", "stale_bars"),
    *_rows(Unit.SECONDS, Looser.HIGHER, "C-RISK-16", "position_age_max_s", "quote_gap_max_s"),
    *_rows(Unit.NAMES, Looser.FEWER, "C-RISK-14", "restricted"),
)
"""Every field of `Limits`, in the order of the page about them."""

BY_NAME: Final[Mapping[str, Field]] = {row.name: row for row in FIELDS}


def field_of(name: str) -> Field:
    """The limit of this name.

    Raises
    ------
    InvalidInput
        There is none.
    """
    if name not in BY_NAME:
        near = ", ".join(known for known in BY_NAME if known.partition("_")[0] == name.partition("_")[0]) or "see docs/limits.md"
        raise InvalidInput(f"limit {name[:60]!r}", why="no limit has this name", fix=f"did you mean: {near}")
    return BY_NAME[name]


def text_of(row: Field, limits: Limits) -> str:
    """A limit's value as people write it."""
    value = getattr(limits, row.field)
    if row.unit is Unit.NAMES:
        return ", ".join(value)
    per_unit = _PER_UNIT[row.unit]
    return str(value) if per_unit == 1 else f"{(Decimal(value) / per_unit).normalize():f}"


def texts_of(limits: Limits) -> dict[str, str]:
    """Every limit by name, as people write them."""
    return {row.name: text_of(row, limits) for row in FIELDS}


def changed(limits: Limits, changes: Mapping[str, str]) -> Limits:
    """The limits with these values, by name and as people write them; an alert level that nobody names keeps to its limit.

    Raises
    ------
    InvalidInput
        No such limit, or a value that is no number of its unit.
    InvalidConfig
        A value out of its bounds, or a row that does not rise.
    """
    plain: dict[str, Any] = limits.plain()
    for name, text in changes.items():
        row = field_of(name)
        plain[row.field] = _value(row, text)
    _keep_alerts_within(plain, {field_of(name).field for name in changes})
    return Limits.from_plain(plain)


def differences(before: Limits, after: Limits) -> tuple[Change, ...]:
    """What another document changes, in the order of the page."""
    return tuple(
        Change(row.name, text_of(row, before), text_of(row, after), _loosens(row, getattr(before, row.field), getattr(after, row.field)))
        for row in FIELDS
        if getattr(before, row.field) != getattr(after, row.field)
    )


def bounds_of(row: Field) -> tuple[str, str]:
    """The smallest and the largest value that a limit may be given, as people write them; empty where there is no such bound."""
    if row.unit is Unit.NAMES:
        return "", ""
    kind = next(one for one in msgspec.structs.fields(Limits) if one.name == row.field).type
    meta = next(part for part in kind.__metadata__ if isinstance(part, msgspec.Meta))
    per_unit = _PER_UNIT[row.unit]
    return tuple("" if bound is None else f"{(Decimal(str(bound)) / per_unit).normalize():f}" for bound in (meta.ge, meta.le))  # type: ignore[return-value]


def _keep_alerts_within(plain: dict[str, Any], named: set[str]) -> None:
    """Where a limit moved past the level that alerts of it, and that level was not named, it moves with the limit."""
    for fields in RISING:
        for low, high in zip(fields, fields[1:], strict=False):
            if plain[low] and plain[high] and plain[low] > plain[high]:
                if "_soft_" in low and low not in named:
                    plain[low] = plain[high]
                elif "_soft_" in high and high not in named:
                    plain[high] = plain[low]


def _value(row: Field, text: str) -> int | tuple[str, ...]:
    if row.unit is Unit.NAMES:
        return tuple(sorted({name.strip() for name in text.split(",") if name.strip()}))
    scaled = parse_decimal(text, field=row.name) * _PER_UNIT[row.unit]
    if scaled != scaled.to_integral_value():
        raise InvalidInput(f"{row.name} is {text!r}", why=f"finer than a limit in {row.unit} can be", fix="round it")
    return int(scaled)


def _loosens(row: Field, before: Any, after: Any) -> bool:
    if row.looser is Looser.FEWER:
        return not set(before) <= set(after)
    if row.looser is Looser.LOWER:
        return bool(after < before)
    return bool((after or _ABSENT) > (before or _ABSENT))


_ABSENT: Final = 2**63
"""An absent row lets everything through."""
