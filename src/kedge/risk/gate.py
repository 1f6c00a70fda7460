"""The gate: the only path to an `ApprovedOrder`. Every rule in order; the first that refuses names itself.

Rules kept here: fail closed (a missing or impossible input refuses), nothing is changed by checking (what was sent
is folded by `GateState.note_*` when the output is absorbed), and each refusal has a code, what was observed, and the limit.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from kedge.domain.orders import ApprovedOrder, OrderIntent
from kedge.domain.units import NS_PER_S
from kedge.risk.gate_facts import Crossing, facts_of
from kedge.risk.gate_rules import AMEND_RULES, OF_THE_MOMENT, OVERRIDABLE, RULES, order_notional, order_qty, whole
from kedge.risk.gate_state import MESSAGE_WINDOW_NS, GateState, Refusal, Situation, sent_since
from kedge.risk.limits import Limits

_CHECKS = tuple(rule.check for rule in RULES)
_AMEND_CHECKS = tuple(rule.check for rule in AMEND_RULES)
_RESTING_CHECKS = tuple(rule.check for rule in AMEND_RULES if not OF_THE_MOMENT.intersection(rule.codes))


class Gate:
    """Applies `RULES` with one version of the limits.

    Attributes
    ----------
    crossed : sequence of Crossing
        Soft levels that the last approved order takes measures above.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.version = limits.version
        self.crossed: Sequence[Crossing] = ()

    def check(self, order: OrderIntent, at: Situation, recent: GateState) -> ApprovedOrder | Refusal:
        """Approve, or the first refusal. Never raises: what cannot be checked is refused."""
        try:
            broken = whole(order, at)
            if broken is not None:
                return broken
            facts, limits = facts_of(order, at), self.limits
            override = ""
            for check in _CHECKS:
                refusal = check(order, at, limits, recent, facts)
                if refusal is not None:
                    allowed = override_of(order, at, refusal, recent) if recent.overrides else ""
                    if not allowed or override not in ("", allowed):
                        return refusal
                    override = allowed
        except Exception as error:  # fail closed: whatever a rule could not digest is a refusal, with its text as evidence
            return Refusal("GATE_FAILED", f"{type(error).__name__}: {error}", "every rule answers")
        self.crossed = facts.crossed
        return ApprovedOrder(order=order, limits_version=self.version, override_id=override)

    def check_amend(self, order: OrderIntent, leaves_lots: int, at: Situation, recent: GateState) -> ApprovedOrder | Refusal:
        """Approve moving an order that rests, or the first refusal; never raises.

        Parameters
        ----------
        order : OrderIntent
            As it would stand afterwards, with its whole quantity.
        leaves_lots : int
            How much of that would still be open: what exposure counts.
        at : Situation
            Open lots without this order.
        """
        left = msgspec.structs.replace(order, qty_lots=leaves_lots)
        try:
            broken = whole(left, at) or whole(order, at)
            if broken is not None:
                return broken
            facts = facts_of(left, at)
            for check in _AMEND_CHECKS:
                refusal = check(left, at, self.limits, recent, facts)
                if refusal is not None:
                    return refusal
            refusal = _amend_size(order, at, self.limits) or _amend_messages(at, self.limits, recent)
        except Exception as error:  # fail closed, as above
            return Refusal("GATE_FAILED", f"{type(error).__name__}: {error}", "every rule answers")
        return refusal or ApprovedOrder(order=order, limits_version=self.version)

    def refuses_resting(self, order: OrderIntent, leaves_lots: int, at: Situation, recent: GateState) -> Refusal | None:
        """Why an order that rests would not be let through by these limits; None where it would, or where it reduces.

        Parameters as in `check_amend`; a stale price is no reason to take it back.
        """
        left = msgspec.structs.replace(order, qty_lots=max(1, leaves_lots))
        try:
            facts = facts_of(left, at)
            if facts.reduces or facts.reference_ticks <= 0:
                return None
            for check in _RESTING_CHECKS:
                refusal = check(left, at, self.limits, recent, facts)
                if refusal is not None:
                    return refusal
            return _amend_size(order, at, self.limits)
        except Exception as error:  # fail closed: what cannot be judged is taken back
            return Refusal("GATE_FAILED", f"{type(error).__name__}: {error}", "every rule answers")


def override_of(order: OrderIntent, at: Situation, refusal: Refusal, recent: GateState) -> str:
    """The approval by which two people set this refusal aside for this order; empty where there is none that holds now."""
    if refusal.code not in OVERRIDABLE:
        return ""
    for name, one in recent.overrides.items():
        fits = one.instrument == order.instrument and one.side is order.side and order.qty_lots <= one.qty_max_lots
        if fits and refusal.code in one.rules and at.ts_ns < one.expires_ts_ns and one.requester != one.approver:
            return name
    return ""


def _amend_size(order: OrderIntent, at: Situation, limits: Limits) -> Refusal | None:
    """What an order may be large, whatever of it is filled."""
    nobody = GateState()
    facts = facts_of(order, at)
    return order_qty(order, at, limits, nobody, facts) or order_notional(order, at, limits, nobody, facts)


def _amend_messages(at: Situation, limits: Limits, recent: GateState) -> Refusal | None:
    """Amends may use half of what messages may be: the other half is for orders and cancels, so that chasing never halts trading."""
    burst, burst_max = sent_since(recent.messages_ns, at.ts_ns - 3 * NS_PER_S), max(1, limits.messages_per_3s_max // 2)
    if burst >= burst_max:
        return Refusal("MESSAGE_RATE", f"{burst + 1} in 3 s", f"{burst_max} in 3 s for amends")
    start_ns = at.ts_ns - MESSAGE_WINDOW_NS
    messages, fills = sent_since(recent.messages_ns, start_ns), max(1, sent_since(recent.fills_ns, start_ns))
    most = max(limits.messages_window_min, limits.messages_per_fill_max * fills) // 2
    if messages >= most:
        return Refusal("ORDER_TO_TRADE", f"{messages} messages on {fills} fills", f"{most} for amends")
    return None
