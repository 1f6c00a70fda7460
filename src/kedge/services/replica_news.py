"""What is told of orders, stops, quotes and books besides decisions, as lines for people: a stage, a code, and what happened in words.

They stand in one list with the decisions, since they say why something was, or was not, traded. Moves of an order have no line of their
own: a chase makes one a second, and the order's row and its trace show them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from kedge.domain.brake import BrakeLevel
from kedge.domain.events import (
    AccountInherited,
    BooksDiffer,
    BrakeTold,
    Event,
    LimitsChanged,
    OrderAmendRefused,
    OrderRejected,
    OrderTriggered,
    OrderUnanswered,
    OrderWaits,
    OverrideGranted,
    QuoteLost,
    Request,
    StopPlaced,
    StopUnconfirmed,
    VenueRestricted,
)
from kedge.domain.outputs import AlertRaised, StopWanted
from kedge.engine.fold_rules import HARD, HISTORY_REFUSED, OVER, SOFT
from kedge.risk.states import RiskState
from kedge.services.ledger import LEDGER_DIFFERS, UNKNOWN_LEDGER
from kedge.services.reconcile import WALLET_DIFFERS
from kedge.services.replica_text import Grid, e8_text, span_s

VENUE, STOP, QUOTES, BOOKS, RISK = "venue", "stop", "quotes", "books", "risk"
IN_MONEY: Final = frozenset({WALLET_DIFFERS, LEDGER_DIFFERS, UNKNOWN_LEDGER})
"""Codes of differences whose figures are money; those about an instrument count lots, and the clock's its own units."""

_LOST: Final = {
    Request.CREATE: "no reply to the order in time; it is looked for, and keeps its exposure",
    Request.AMEND: "no reply to a change in time; which terms stand is looked up",
    Request.CANCEL: "no reply to a cancel in time; the order may still trade",
}

_OF_LEVEL: Final = {SOFT: "a soft level is crossed", OVER: "well below its soft level again"}
_OF_HISTORY: Final = {HARD: "daily closes that cannot be are not used", OVER: "the daily closes that were told are used again"}

GridOf = Callable[[str], Grid | None]


class Line(NamedTuple):
    """One line: `vetoed` says that something was refused or went wrong."""

    stage: str
    code: str
    vetoed: bool
    facts: dict[str, Any]


def line_of(event: Event, grid_of: GridOf, order: dict[str, Any] | None = None) -> Line | None:
    """What an event tells; None for what has no line.

    Parameters
    ----------
    grid_of : callable
        An instrument's grid, None where the run does not trade it.
    order : dict or None
        The row of the order that the event is about, where it is ours.
    """
    told = _of_order(event)
    if told is not None:
        code, vetoed, reason = told
        names = {name: (order or {}).get(name) for name in ("instrument", "decision_id", "prediction_id")}
        facts = {**names, "client_order_id": getattr(event, "client_order_id", None), "reason": reason or None}
        return Line(VENUE, code, vetoed, facts)
    match event:
        case StopPlaced():
            return Line(STOP, *_shown(event, grid_of(event.instrument)))
        case StopUnconfirmed():
            facts = {"instrument": event.instrument, "observed": f"{span_s(event.waited_ns):g} s", "reason": event.why or None}
            return Line(STOP, "STOP_UNCONFIRMED", True, facts)
        case QuoteLost():
            return Line(QUOTES, "QUOTE_LOST", False, {"instrument": event.instrument, "reason": f"no best prices: {event.why}"})
        case BrakeTold():
            words = f"generation {event.generation}: {event.reason}" if event.reason else f"generation {event.generation}"
            return Line(RISK, f"BRAKE_{event.level.name}", event.level is not BrakeLevel.RUNNING, {"reason": words})
        case LimitsChanged():
            by = f"{event.actor}, approval {event.approval_id}" if event.approval_id else event.actor
            return Line(
                RISK, "LIMITS_CHANGED", False, {"observed": f"number {event.number}, {event.version}", "reason": f"{by}: {event.reason}"}
            )
        case OverrideGranted():
            facts = {
                "instrument": event.instrument,
                "observed": ", ".join(event.rules),
                "reason": f"{event.requester} and {event.approver}: {event.reason}",
            }
            return Line(RISK, "OVERRIDE_GRANTED", False, facts)
        case VenueRestricted():
            words = "the venue lets it only reduce" if event.only_reduces else "the venue lets it trade again"
            return Line(VENUE, "VENUE_RESTRICTED", event.only_reduces, {"instrument": event.instrument, "reason": words})
        case AccountInherited():
            return Line(RISK, "INHERITED", event.risk_state != RiskState.RUNNING, _inherited(event))
        case BooksDiffer():
            return Line(BOOKS, event.code, True, _differ(event, grid_of(event.instrument)))
    return None


def stop_line(wanted: StopWanted, grid: Grid) -> Line:
    """A stop that the engine wants put, moved or taken away."""
    if not wanted.stop_ticks:
        return Line(STOP, "STOP_OFF", False, {"instrument": wanted.instrument, "reason": f"no stop is wanted: {wanted.reason}"})
    words = f"a stop at {grid.price(wanted.stop_ticks)} for {grid.qty(wanted.position_lots)} is wanted: {wanted.reason}"
    return Line(STOP, "STOP_WANTED", False, {"instrument": wanted.instrument, "reason": words})


def alert_line(alert: AlertRaised) -> Line:
    """A soft level that was crossed, or that a measure is well below again; of what was refused, that it is not used."""
    words = (_OF_HISTORY if alert.code == HISTORY_REFUSED else _OF_LEVEL).get(alert.severity, alert.severity)
    facts = {"instrument": alert.instrument or None, "observed": alert.observed, "limit": alert.limit or None, "reason": words}
    return Line(RISK, f"ALERT_{alert.code}", False, facts)


def _of_order(event: Event) -> tuple[str, bool, str] | None:
    """Code, whether it is a refusal, and words."""
    match event:
        case OrderRejected():
            return event.code, True, event.reason
        case OrderAmendRefused():
            return event.code, True, f"the order was not changed: {event.reason}"
        case OrderUnanswered():
            return "UNANSWERED", False, _LOST[event.request]
        case OrderWaits():
            return "WAITS", False, "the venue holds it until its trigger"
        case OrderTriggered():
            return "TRIGGERED", False, "its trigger was reached: it may trade"
    return None


def _shown(event: StopPlaced, grid: Grid | None) -> tuple[str, bool, dict[str, Any]]:
    if not event.stop_ticks:
        return "STOP_GONE", False, {"instrument": event.instrument, "reason": "the venue shows no stop"}
    price = grid.price(event.stop_ticks) if grid is not None else f"{event.stop_ticks} ticks"
    return "STOP_SHOWN", False, {"instrument": event.instrument, "reason": f"the venue shows a stop at {price}"}


def _inherited(event: AccountInherited) -> dict[str, Any]:
    held = f"{event.risk_state} for {event.code}" if event.code else event.risk_state
    facts: dict[str, Any] = {"observed": held, "reason": f"{event.from_run} to its record {event.from_record} traded this account before"}
    if event.peak_e8 is None:
        return facts
    flows, traded, rest = (e8_text(sum_e8) for sum_e8 in (event.flows_e8, event.traded_e8, event.unexplained_e8))
    since = f"since then {flows} flowed, {traded} was traded, {rest} is unexplained"
    return {**facts, "limit": f"high-water mark {e8_text(event.peak_e8)}", "reason": f"{facts['reason']}; {since}"}


def _differ(event: BooksDiffer, grid: Grid | None) -> dict[str, Any]:
    def text(value: int) -> str:
        if event.code in IN_MONEY:
            return e8_text(value)
        return grid.qty(value) if grid is not None else str(value)

    return {
        "observed": f"{text(event.ours)} here",
        "limit": f"{text(event.theirs)} at the venue",
        "instrument": event.instrument or None,
        "client_order_id": event.client_order_id or None,
        "reason": event.detail or "our books and the venue's differ",
    }
