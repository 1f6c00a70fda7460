"""Rules of conduct: what may be traded at all, how often, by whom, and on what view of the venue."""

from __future__ import annotations

from kedge.domain.orders import OrderIntent
from kedge.domain.units import NS_PER_MS, NS_PER_S, money_text
from kedge.risk.gate_facts import Facts, of_equity
from kedge.risk.gate_state import GateState, Refusal, Situation
from kedge.risk.limits import Limits

MANUAL = "manual"
"""Stands as the strategy of an order that a person gave."""


def venue_restricted(order: OrderIntent, at: Situation, limits: Limits, _: GateState, facts: Facts) -> Refusal | None:
    """What the venue lets only reduce, since it lowered a risk limit."""
    if at.only_reduces and not (order.reduce_only and facts.reduces):
        return Refusal("VENUE_REDUCE_ONLY", f"the venue lets {order.instrument} only reduce", "orders that reduce")
    return None


def restricted(order: OrderIntent, at: Situation, limits: Limits, _: GateState, facts: Facts) -> Refusal | None:
    """The deny-list: by instrument, symbol or base currency. What is held may be reduced."""
    if not limits.restricted or facts.reduces:
        return None
    for name in (order.instrument, at.instrument.venue_symbol, at.instrument.base):
        if name in limits.restricted:
            return Refusal("RESTRICTED", f"{name} is on the restricted list", f"not on the list of {limits.version}")
    return None


def stale_view(order: OrderIntent, at: Situation, limits: Limits, _: GateState, facts: Facts) -> Refusal | None:
    """No new risk on books that were not compared lately, or while the best prices are lost. Clocks and gaps halt by themselves."""
    if facts.reduces:
        return None
    if limits.position_age_max_ns and at.books_age_ns > limits.position_age_max_ns:
        return Refusal("BOOKS_STALE", _seconds(at.books_age_ns), _seconds(limits.position_age_max_ns))
    if limits.quote_gap_max_ns and at.quote_gap_ns > limits.quote_gap_max_ns:
        return Refusal("QUOTE_GAP", _seconds(at.quote_gap_ns), _seconds(limits.quote_gap_max_ns))
    return None


def repeated(order: OrderIntent, at: Situation, limits: Limits, recent: GateState, facts: Facts) -> Refusal | None:
    """A strategy that acts on too many decisions in a row is broken; further orders of a decision that counts already are not."""
    if not limits.decisions_max or facts.reduces or len(recent.decisions) < limits.decisions_max:
        return None
    start_ns = at.ts_ns - limits.decisions_window_ns
    counted = [name for ts_ns, name in recent.decisions if ts_ns > start_ns]
    if len(counted) < limits.decisions_max or order.decision_id in counted:
        return None
    span = _seconds(limits.decisions_window_ns)
    return Refusal("REPEATED_EXECUTION", f"{len(counted) + 1} decisions in {span}", f"{limits.decisions_max} in {span}")


def fill_deviation(order: OrderIntent, at: Situation, limits: Limits, recent: GateState, facts: Facts) -> Refusal | None:
    """Fills that lie far from the mark on average: the price is wrong, or the market is not there."""
    if not limits.fill_deviation_bps_max or facts.reduces or len(recent.deviations) < limits.fill_deviation_fills_min:
        return None
    start_ns = at.ts_ns - limits.fill_deviation_window_ns
    counted = [bps_e2 for ts_ns, bps_e2 in recent.deviations if ts_ns > start_ns]
    if len(counted) < limits.fill_deviation_fills_min or sum(counted) <= limits.fill_deviation_bps_max * 100 * len(counted):
        return None
    mean = sum(counted) / len(counted) / 100
    return Refusal("FILL_DEVIATION", f"{mean:.1f} bps over {len(counted)} fills", f"{limits.fill_deviation_bps_max} bps")


def manual_order(order: OrderIntent, at: Situation, limits: Limits, _: GateState, facts: Facts) -> Refusal | None:
    """An order that a person gave, above the soft level: a second person lets it pass."""
    if order.strategy != MANUAL or not limits.manual_order_frac_soft_e8 or facts.reduces:
        return None
    notional = at.instrument.notional_e8(facts.reference_ticks, order.qty_lots)
    alone = of_equity(at, limits.manual_order_frac_soft_e8)
    if notional > alone:
        return Refusal("MANUAL_ORDER", money_text(notional, places=2), f"{money_text(alone, places=2)} by one person")
    return None


def _seconds(span_ns: int) -> str:
    return f"{span_ns / NS_PER_S:g} s" if span_ns >= NS_PER_S else f"{span_ns / NS_PER_MS:g} ms"
