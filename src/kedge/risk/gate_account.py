"""Rules of the whole account: margin, distance to liquidation, the tail of a day's loss, and what one trade may lose at its stop.

Rules: each acts where its level is set and the order does not truly reduce; what cannot be told refuses. Levels are fractions of equity.
"""

from __future__ import annotations

from functools import lru_cache

from kedge.domain.orders import OrderIntent
from kedge.domain.units import E8
from kedge.risk.gate_facts import Crossing, Facts, within
from kedge.risk.gate_state import Distance, GateState, Near, Refusal, Situation
from kedge.risk.limits import Limits
from kedge.risk.states import percent

UNKNOWN = "cannot be told"


def trade_risk(order: OrderIntent, at: Situation, limits: Limits, _: GateState, facts: Facts) -> Refusal | None:
    """What the position may lose until its stop fires, the fee of leaving included; a position without a stop has no such figure."""
    soft, hard = limits.trade_risk_frac_soft_e8, limits.trade_risk_frac_max_e8
    if not (soft or hard) or facts.reduces or not at.stop_frac_e8:
        return None
    if at.equity_e8 <= 0:
        return Refusal("TRADE_RISK", "no equity", percent(hard))
    lost_frac_e8 = at.stop_frac_e8 + max(0, at.instrument.taker_fee_e8)
    return within("TRADE_RISK", -(-facts.worst_e8 * lost_frac_e8 // at.equity_e8), soft, hard, facts)


def margin(order: OrderIntent, at: Situation, limits: Limits, _: GateState, facts: Facts) -> Refusal | None:
    """Maintenance margin over equity, and how far liquidation stays from the mark, with everything that is open filled."""
    if facts.reduces:
        return None
    ratio_soft, ratio_hard = limits.margin_ratio_soft_e8, limits.margin_ratio_max_e8
    hard = _distance(limits.liquidation_distance_min_e8, limits.liquidation_sigmas_min_e2)
    soft = _distance(limits.liquidation_distance_soft_e8, limits.liquidation_sigmas_soft_e2)
    if not (ratio_soft or ratio_hard or any(hard) or any(soft)):
        return None
    if at.book is None or at.equity_e8 <= 0:
        code = "MARGIN_RATIO" if ratio_soft or ratio_hard else "LIQUIDATION_DISTANCE"
        return Refusal(code, "no equity" if at.equity_e8 <= 0 else UNKNOWN, percent(ratio_hard or hard.floor_e8))
    found = at.book.margin(at, order.signed_lots, facts.reference_ticks, hard, soft)
    refusal = within("MARGIN_RATIO", -(-found.maintenance_e8 * E8 // at.equity_e8), ratio_soft, ratio_hard, facts)
    if refusal is None and found.hard is not None:
        return Refusal("LIQUIDATION_DISTANCE", *_words(found.hard))
    if refusal is None and found.soft is not None:
        facts.crossed.append(Crossing("LIQUIDATION_DISTANCE", *_words(found.soft)))
    return refusal


@lru_cache(maxsize=64)
def _distance(floor_e8: int, sigmas_e2: int) -> Distance:
    return Distance(floor_e8, sigmas_e2)


def _words(near: Near) -> tuple[str, str]:
    return f"{percent(near.distance_e8)} on {near.instrument}", f"at least {percent(near.asked_e8)}"


def tail(order: OrderIntent, at: Situation, limits: Limits, _: GateState, facts: Facts) -> Refusal | None:
    """VaR and ES of one day with the order in the book, every open order filled where it hurts."""
    var_soft, var_hard, es_soft, es_hard = limits.var99_soft_e8, limits.var99_max_e8, limits.es975_soft_e8, limits.es975_max_e8
    if facts.reduces or not (var_soft or var_hard or es_soft or es_hard):
        return None
    code, hard = ("VAR99", var_hard) if var_hard or var_soft else ("ES975", es_hard)
    found = None if at.book is None or at.equity_e8 <= 0 else at.book.tail(at, order.signed_lots, facts.reference_ticks)
    if found is None:
        return Refusal(code, UNKNOWN if at.equity_e8 > 0 else "no equity", percent(hard))
    refusal = within("VAR99", found.var99_e8, var_soft, var_hard, facts, found.method)
    return refusal or within("ES975", found.es975_e8, es_soft, es_hard, facts, found.method)
