"""Every measure against its levels, with where each value comes from and how old it is; and how concentrated the book is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from kedge.domain.brake import SEVERITY, BrakeLevel, Trigger
from kedge.domain.units import E8
from kedge.engine.state import EngineState
from kedge.kernel.account import EQUITY
from kedge.risk.brake.triggers import FRACTION, Reading
from kedge.risk.gate_state import Tail
from kedge.risk.limits import Limits
from kedge.risk.limits_table import RATIO, Row, levels_at, table_of
from kedge.services.guard_seen import FRESH, LATE, GuardSeen
from kedge.services.replica import Replica
from kedge.services.replica_text import e8_text, ratio_text, time_text
from kedge.services.risk_values import MEASURE_OF, Held, Value, guard_values, held_positions, own_values

WORDS: Final = {
    "var99": "VaR 99 %, one day",
    "es975": "expected shortfall 97.5 %, one day",
    "drawdown": "below the highest equity",
    "daily_loss": "lost since 00:00 UTC",
    "gross_leverage": "gross notional / equity",
    "position_notional": "largest position / equity",
    "order_notional": "largest open order / equity",
    "margin_ratio": "maintenance margin / equity",
    "liquidation_distance": "from the mark to liquidation",
    "trade_risk": "lost if a stop fires",
    "book_es_975": "expected shortfall that sizing may use",
}
BUDGET_S: Final = 180.0


class Sight(NamedTuple):
    """How old the run's books are, and whether they count: 'fresh', 'late' or 'stale'."""

    at: str | None
    age_s: float | None
    state: str
    why: str


def brakes_of(readings: tuple[Reading, ...]) -> dict[str, tuple[tuple[int, BrakeLevel], ...]]:
    """Where the guard brakes, by measure, as it told; of distances those that hold at any volatility are left to the table."""
    found: dict[str, dict[BrakeLevel, int]] = {}
    for one in readings:
        name = MEASURE_OF.get(one.trigger)
        if name is not None and one.trigger is not Trigger.LIQUIDATION_DISTANCE and one.unit == FRACTION:
            found.setdefault(name, {})[one.level] = one.limit
    return {
        name: tuple(sorted(((limit, level) for level, limit in rows.items()), key=lambda row: SEVERITY[row[1]]))
        for name, rows in found.items()
    }


def measures(
    replica: Replica | None, tail: Tail | None, sigmas_e8: Mapping[str, int], sight: Sight, seen: GuardSeen
) -> list[dict[str, Any]]:
    """Every row of the table of limits with what is measured now."""
    if replica is None and seen.status is None:
        return []
    limits = Limits() if replica is None else replica.state.limits
    readings = () if seen.status is None else seen.status.readings
    held = [] if replica is None else held_positions(replica.state, sigmas_e8)
    own = {} if replica is None else own_values(replica.state, held, tail)
    told = {} if seen.status is None else guard_values(seen.status)
    sigma = {one.slot.instrument: one.sigma_e8 for one in held}
    rows = []
    for row in table_of(limits, brakes_of(readings)):
        mine, its = own.get(row.measure), told.get(row.measure)
        rows.append(_measure(row, mine, its, sight, seen, sigma))
    return rows


def _measure(row: Row, mine: Value | None, its: Value | None, sight: Sight, seen: GuardSeen, sigma: Mapping[str, int]) -> dict[str, Any]:
    sources = [(mine, "trader", sight.at, sight.age_s, sight.state, sight.why)] if mine is not None else []
    if its is not None and seen.status is not None:
        sources.append((its, "guard", time_text(seen.status.wall_ns), seen.age_s, seen.state, seen.why))
    known = [(one, state) for one, _, _, _, state, _ in sources if one.e8 is not None]
    current = [one for one, state in known if state in (FRESH, LATE)]
    worst = _worst_of(row, current or [one for one, _ in known])
    soft, hard, brake = levels_at(row, sigma.get(worst.instrument, 0) if worst is not None else 0)
    value = None if worst is None else worst.e8
    state, headroom, to = standing(value, soft, hard, brake, is_reversed=row.reversed)
    if value is None and sources and not any(one.is_there for one, *_ in sources):
        state = "none"
    return {
        "name": row.measure,
        "words": WORDS.get(row.measure, row.title),
        "unit": "multiple" if row.unit == RATIO and row.measure == "gross_leverage" else "frac",
        "reversed": row.reversed,
        "instrument": (worst.instrument or None) if worst is not None else None,
        "value": None if value is None else e8_text(value),
        "stale": value is not None and not current,
        "target": _text(row.target),
        "soft": _text(soft),
        "hard": _text(hard),
        "brake": [{"value": e8_text(limit), "level": level} for limit, level in brake],
        "state": state,
        "headroom": _text(headroom),
        "headroom_to": to,
        "used": used(value, hard if hard is not None else brake[0][0] if brake else None, is_reversed=row.reversed),
        "readings": [
            {
                "source": source,
                "value": _text(one.e8),
                "at": at,
                "age_s": age,
                "state": state,
                "why": "; ".join(filter(None, (one.why, why))),
            }
            for one, source, at, age, state, why in sources
        ],
    }


def _worst_of(row: Row, values: list[Value]) -> Value | None:
    if not values:
        return None
    return (min if row.reversed else max)(values, key=lambda one: one.e8 or 0)


def standing(
    value: int | None, soft: int | None, hard: int | None, brake: tuple[tuple[int, BrakeLevel], ...], *, is_reversed: bool
) -> tuple[str, int | None, str | None]:
    """Which level a value has reached, how far it is to the next one, and which one that is. At a level is on it."""
    if value is None:
        return "unknown", None, None
    sign = -1 if is_reversed else 1
    levels = [("soft", soft), ("hard", hard), *(("brake", limit) for limit, _ in brake)]
    state = "ok"
    for name, level in levels:
        if level is None:
            continue
        if sign * value < sign * level:
            return state, sign * (level - value), name
        state = name
    return state, None, None


def used(value: int | None, level: int | None, *, is_reversed: bool) -> str | None:
    """How much of a level is used: 1 is at it."""
    if value is None or level is None or level <= 0:
        return None
    if is_reversed:
        return ratio_text(level, value) if value > 0 else None
    return ratio_text(value, level)


def concentration(state: EngineState, held: list[Held]) -> list[dict[str, Any]]:
    """Each position as a part of the whole, the largest first."""
    equity, gross = int(state.account_view[EQUITY]), sum(one.value_e8 for one in held)
    return [_share(one, equity, gross) for one in sorted(held, key=lambda one: -one.value_e8)]


def _share(one: Held, equity_e8: int, gross_e8: int) -> dict[str, Any]:
    slot, long = one.slot, one.slot.position_lots > 0
    unreachable = long and one.distance_e8 >= E8
    mark = one.value_e8 // (abs(slot.position_lots) * slot.spec.tick_value_e8)
    moved = mark * one.distance_e8 // E8
    return {
        "instrument": slot.instrument,
        "side": "long" if long else "short",
        "notional": e8_text(one.value_e8),
        "equity_share": e8_text(one.value_e8 * E8 // equity_e8) if equity_e8 > 0 else None,
        "gross_share": ratio_text(one.value_e8, gross_e8),
        "sigma_daily": _text(one.sigma_e8 or None),
        "liquidation_distance": None if unreachable else e8_text(one.distance_e8),
        "liquidation_price": None if unreachable else slot.spec.price_text(mark - moved if long else mark + moved),
        "why": "no price of it alone ends the account" if unreachable else "",
    }


def _text(value_e8: int | None) -> str | None:
    return None if value_e8 is None else e8_text(value_e8)
