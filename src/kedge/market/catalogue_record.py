"""An instrument record written by a person: a mapping of text fields, checked field by field, made into an `Instrument`.

Rules: every field is named by what a person would write (`tick_size`, "0.1"); deductions are computed, never read; an
unknown or missing field is refused with the nearest known name, and a float is refused because its digits are not what
was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any, Final

from kedge.domain.errors import InvalidInput
from kedge.domain.instrument import Instrument, RiskTier, tick_value_e8
from kedge.domain.units import E8, FLOOR, NS_PER_S, money_e8, parse_decimal, to_steps

REQUIRED: Final = (
    "instrument_id",
    "base",
    "quote",
    "tick_size",
    "lot_size",
    "price_max",
    "order_qty_min",
    "order_qty_max",
    "market_qty_max",
    "position_max",
    "notional_min",
    "maker_fee",
    "taker_fee",
    "leverage_max",
    "tiers",
    "funding_interval_minutes",
    "price_collar_bps",
)
OPTIONAL: Final = ("valid_from",)
TIER_FIELDS: Final = ("limit", "rate", "max_leverage")

_FIX: Final = "see docs/instruments.md for a complete record"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def load_instrument_record(record: Mapping[str, Any]) -> Instrument:
    """Build an `Instrument` from a person's record, such as the JSON object of `--instrument FILE`.

    Parameters
    ----------
    record : mapping
        Sizes, prices, quantities, money and rates as decimal text ("0.1", "0.0002" is 0.02 %) or whole numbers;
        `tiers` a list of `limit` (quote units), `rate`, `max_leverage`; `valid_from` an ISO time, UTC unless it says otherwise.

    Raises
    ------
    InvalidInput
        A field is missing, unknown, of the wrong kind or off the grid, or the record breaks a bound of `Instrument`.
    """
    _check_names(record, "instrument record", REQUIRED, OPTIONAL)
    name = _text(record, "instrument_id")
    tick_e8, lot_e8 = _e8(record, "tick_size"), _e8(record, "lot_size")
    return Instrument(
        instrument_id=name,
        base=_text(record, "base"),
        quote=_text(record, "quote"),
        tick_e8=tick_e8,
        lot_e8=lot_e8,
        tick_value_e8=tick_value_e8(tick_e8, lot_e8, name=name),
        price_max_ticks=_steps(record, "price_max", tick_e8),
        order_qty_min_lots=_steps(record, "order_qty_min", lot_e8),
        order_qty_max_lots=_steps(record, "order_qty_max", lot_e8),
        market_qty_max_lots=_steps(record, "market_qty_max", lot_e8),
        position_max_lots=_steps(record, "position_max", lot_e8),
        notional_min_e8=_e8(record, "notional_min", least=0),
        maker_fee_e8=_e8(record, "maker_fee", least=None),
        taker_fee_e8=_e8(record, "taker_fee", least=None),
        leverage_max_e2=_leverage_e2(record, "leverage_max"),
        tiers=_tiers(record["tiers"]),
        funding_interval_ns=_whole(record, "funding_interval_minutes", least=0) * 60 * NS_PER_S,
        price_collar_bps=_whole(record, "price_collar_bps", least=1),
        valid_from_ns=_valid_from_ns(record.get("valid_from")),
    )


def _refuse(field: str, value: object, why: str, fix: str = _FIX) -> InvalidInput:
    return InvalidInput(f"{field} is {value!r}", why=why, fix=fix)


def _check_names(record: Any, what: str, required: tuple[str, ...], optional: tuple[str, ...]) -> None:
    if not isinstance(record, Mapping):
        raise _refuse(what, record, "not an object with named fields")
    allowed = (*required, *optional)
    for field in record:
        if field not in allowed:
            near = get_close_matches(str(field), allowed, n=1)
            raise InvalidInput(
                f"{what} has an unknown field {field!r}",
                why=f"its fields are {', '.join(allowed)}",
                fix=f"did you mean {near[0]!r}?" if near else f"remove it; {_FIX}",
            )
    missing = [field for field in required if field not in record]
    if missing:
        raise InvalidInput(f"{what} lacks {', '.join(missing)}", why="nothing is assumed for a named record", fix=f"add it; {_FIX}")


def _text(record: Mapping[str, Any], field: str) -> str:
    value = record[field]
    if not isinstance(value, str) or not value.strip():
        raise _refuse(field, value, "must be text that is not empty")
    return value


def _at_least(value: int, least: int | None, field: str, written: object) -> int:
    if least is not None and value < least:
        raise _refuse(field, written, "must be positive" if least else "must not be negative")
    return value


def _e8(record: Mapping[str, Any], field: str, *, least: int | None = 1) -> int:
    return _at_least(money_e8(record[field], field=field), least, field, record[field])


def _steps(record: Mapping[str, Any], field: str, step_e8: int) -> int:
    """Count grid steps; a price limit or quantity off the grid is refused, except that `price_max` rounds down to a tick."""
    rounding = {"rounding": FLOOR} if field == "price_max" else {}
    value = parse_decimal(record[field], field=field)
    steps = to_steps(value, parse_decimal(step_e8, field=field).scaleb(-8), field=field, **rounding)
    return _at_least(steps, 1, field, record[field])


def _whole(record: Mapping[str, Any], field: str, *, least: int) -> int:
    value = parse_decimal(record[field], field=field)
    return _at_least(to_steps(value, parse_decimal(1, field=field), field=field), least, field, record[field])


def _leverage_e2(record: Mapping[str, Any], field: str) -> int:
    value = parse_decimal(record[field], field=field)
    return _at_least(to_steps(value, parse_decimal("0.01", field=field), field=field), 1, field, record[field])


def _tiers(rows: Any) -> tuple[RiskTier, ...]:
    if not isinstance(rows, (list, tuple)) or not rows:
        raise _refuse("tiers", rows, "must be a list of at least one tier")
    tiers: list[RiskTier] = []
    for number, row in enumerate(rows, start=1):
        _check_names(row, f"tier {number}", TIER_FIELDS, ())
        tiers.append(_tier(row, tiers[-1] if tiers else None))
    return tuple(tiers)


def _tier(row: Mapping[str, Any], below: RiskTier | None) -> RiskTier:
    rate_e8 = _e8(row, "rate")
    step = max(0, rate_e8 - below.maintenance_rate_e8) if below else 0  # a falling rate is refused by Instrument, with its tier
    deduction_e8 = below.deduction_e8 + below.notional_max_e8 * step // E8 if below else 0
    return RiskTier(
        notional_max_e8=_e8(row, "limit"),
        maintenance_rate_e8=rate_e8,
        deduction_e8=deduction_e8,
        leverage_max_e2=_leverage_e2(row, "max_leverage"),
    )


def _valid_from_ns(text: Any) -> int:
    if text is None:
        return 0
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise _refuse("valid_from", text, "not an ISO time", "write it as 2024-04-06T00:00:00Z") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1_000
