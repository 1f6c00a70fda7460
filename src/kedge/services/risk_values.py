"""Measures of risk as plain numbers: from a run's own books, and as the guard told them. All in 1e-8."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from kedge.domain.brake import Trigger
from kedge.domain.units import E8
from kedge.engine.state import EngineState, Slot
from kedge.kernel.account import DAY_LOSS_E8, DRAWDOWN_E8, EQUITY, GROSS
from kedge.risk.brake.triggers import FRACTION
from kedge.risk.gate_state import Tail
from kedge.risk.margin_after import End, distance_to_liquidation, maintenance_e8
from kedge.services.guard.status import GuardStatus

MEASURE_OF: Final = {
    Trigger.VAR99: "var99",
    Trigger.DRAWDOWN: "drawdown",
    Trigger.DAILY_LOSS: "daily_loss",
    Trigger.GROSS_LEVERAGE: "gross_leverage",
    Trigger.POSITION_NOTIONAL: "position_notional",
    Trigger.MARGIN_RATIO: "margin_ratio",
    Trigger.LIQUIDATION_DISTANCE: "liquidation_distance",
}
NO_POSITION: Final = "no open position"


class Value(NamedTuple):
    """A measure as somebody sees it: in 1e-8, or None and why; the instrument that is worst; whether there is anything to measure."""

    e8: int | None
    why: str = ""
    instrument: str = ""
    is_there: bool = True


class Held(NamedTuple):
    """One position: its notional and margin, how far liquidation is, how much a day moves it; all in 1e-8."""

    slot: Slot
    value_e8: int
    maintenance_e8: int
    distance_e8: int
    sigma_e8: int


def held_positions(state: EngineState, sigmas_e8: Mapping[str, int]) -> list[Held]:
    """Positions with a mark; distances with the other marks standing still."""
    ends = []
    for slot in state.by_index:
        mark = int(state.marks[slot.index])
        if slot.position_lots and mark:
            value = slot.spec.notional_e8(mark, abs(slot.position_lots))
            ends.append(
                (slot, value, End(slot.spec, slot.position_lots, slot.position_lots, mark, value, maintenance_e8(slot.spec, value)))
            )
    total = sum(end.maintenance_e8 for _, _, end in ends)
    equity = int(state.account_view[EQUITY])
    return [
        Held(
            slot,
            value,
            end.maintenance_e8,
            distance_to_liquidation(end, slot.position_lots, equity, total - end.maintenance_e8),
            sigmas_e8.get(slot.instrument, 0),
        )
        for slot, value, end in ends
    ]


def own_values(state: EngineState, held: list[Held], tail: Tail | None) -> dict[str, Value]:
    """Every measure from the run's own books."""
    account = state.account_view
    equity = int(account[EQUITY])
    lost = Value(None, "equity is not positive")
    whole = {
        "drawdown": Value(int(account[DRAWDOWN_E8])),
        "daily_loss": Value(int(account[DAY_LOSS_E8])),
        "var99": Value(None, "it cannot be worked out") if tail is None else Value(tail.var99_e8, tail.method),
        "es975": Value(None, "it cannot be worked out") if tail is None else Value(tail.es975_e8, tail.method),
    }
    whole["book_es_975"] = whole["es975"]
    if equity <= 0:
        return {**whole, **dict.fromkeys(("gross_leverage", "position_notional", "order_notional", "margin_ratio", "trade_risk"), lost)}
    return {
        **whole,
        "gross_leverage": Value(int(account[GROSS]) * E8 // equity),
        "margin_ratio": Value(sum(one.maintenance_e8 for one in held) * E8 // equity),
        "position_notional": _worst([(one.value_e8 * E8 // equity, one.slot.instrument) for one in held]),
        "liquidation_distance": _least([(one.distance_e8, one.slot.instrument) for one in held]),
        "order_notional": _worst(_orders(state, equity), "no open order: it is judged for each one"),
        "trade_risk": _worst(_at_stops(state, held, equity), "no position with a stop"),
    }


def _orders(state: EngineState, equity_e8: int) -> list[tuple[int, str]]:
    rows = []
    for one in state.orders.by_id.values():
        slot = state.slots[one.order.instrument]
        price = one.limit_ticks or int(state.marks[slot.index])
        if one.is_live and price:
            rows.append((slot.spec.notional_e8(price, one.leaves_lots) * E8 // equity_e8, slot.instrument))
    return rows


def _at_stops(state: EngineState, held: list[Held], equity_e8: int) -> list[tuple[int, str]]:
    """What each position loses from its mark to its stop, as a fraction of equity."""
    rows = []
    for one in held:
        stop = one.slot.stop_placed_ticks or one.slot.stop_wanted_ticks
        if stop:
            lost = one.slot.position_lots * (int(state.marks[one.slot.index]) - stop) * one.slot.spec.tick_value_e8
            rows.append((max(0, lost) * E8 // equity_e8, one.slot.instrument))
    return rows


def _worst(rows: list[tuple[int, str]], why: str = "") -> Value:
    if not rows:
        return Value(0) if not why else Value(None, why, is_there=False)
    value, instrument = max(rows)
    return Value(value, "", instrument)


def _least(rows: list[tuple[int, str]]) -> Value:
    if not rows:
        return Value(None, NO_POSITION, is_there=False)
    value, instrument = min(rows)
    return Value(value, "", instrument)


def guard_values(status: GuardStatus) -> dict[str, Value]:
    """The same measures as the guard computed them from the venue's truth; what it does not measure is absent."""
    found: dict[str, Value] = {}
    for one in status.readings:
        name = MEASURE_OF.get(one.trigger)
        if name is not None and one.unit == FRACTION and (name not in found or _is_worse(name, one.observed, found[name].e8 or 0)):
            found[name] = Value(one.observed, one.detail, one.instrument)
    for name, value in (("es975", status.es975_e8), ("var99", status.var99_e8)):
        if value is not None and name not in found:
            found[name] = Value(value, status.var_method)
    return found


def _is_worse(name: str, one: int, other: int) -> bool:
    return one < other if name == "liquidation_distance" else one > other
