"""The rules of the gate, one function each, in the order in which they are tried.

Rules kept here: what is missing or impossible refuses, nothing is changed by checking, and each refusal has a code, what was observed, and
the limit.
"""

from __future__ import annotations

from operator import itemgetter
from statistics import median_low
from typing import Final

from kedge.domain.orders import OrderIntent, OrderKind, Side
from kedge.domain.units import E8, NS_PER_S, money_text
from kedge.kernel.limits import within_collar
from kedge.risk import gate_account, gate_conduct
from kedge.risk.gate_facts import Crossing, Facts, Rule, of_equity
from kedge.risk.gate_state import MESSAGE_WINDOW_NS, GateState, Refusal, Situation, duplicate_key, sent_since
from kedge.risk.limits import Limits
from kedge.risk.states import REPEATED_EXECUTION, RiskState

_FIELDS = Situation._fields
_NUMBERS = slice(_FIELDS.index("ts_ns"), _FIELDS.index("books_age_ns") + 1)
_UNSIGNED = slice(_FIELDS.index("interval_ns"), _FIELDS.index("stop_frac_e8") + 1)
_numbers_of, _unsigned_of = itemgetter(_NUMBERS), itemgetter(_UNSIGNED)
_NAMES = (*_FIELDS[_NUMBERS], "qty_lots", "limit_ticks", "trigger_ticks")
_SIGNED = frozenset(_FIELDS[_NUMBERS]) - frozenset(_FIELDS[_UNSIGNED])
_WHOLE = {int}


def whole(order: OrderIntent, at: Situation) -> Refusal | None:
    """A number that is not whole, or below zero where none can be, compares as safe: it is refused before any rule reads it."""
    terms = (order.qty_lots, order.limit_ticks, order.trigger_ticks)
    if {*map(type, _numbers_of(at)), *map(type, terms)} != _WHOLE or min(_unsigned_of(at)) < 0 or min(terms) < 0:
        for name, value in zip(_NAMES, (*_numbers_of(at), *terms), strict=True):
            if type(value) is not int or (value < 0 and name not in _SIGNED):
                return Refusal("GATE_FAILED", f"{name} is {value!r}", "whole numbers")
    if at.only_reduces is not False and at.only_reduces is not True:
        return Refusal("GATE_FAILED", f"only_reduces is {at.only_reduces!r}", "yes or no")
    if order.instrument != at.instrument.instrument_id:
        return Refusal("GATE_FAILED", f"order on {order.instrument}", at.instrument.instrument_id)
    return None


def _risk_state(order: OrderIntent, at: Situation, limits: Limits, _: GateState, facts: Facts) -> Refusal | None:
    if at.state is RiskState.HALTED:
        return Refusal("HALTED", at.halt_code, "running")
    if at.state is RiskState.REDUCE_ONLY and not (order.reduce_only and facts.reduces):
        return Refusal("REDUCE_ONLY", at.halt_code, "orders that reduce")
    return None


def _stale_price(order: OrderIntent, at: Situation, limits: Limits, _: GateState, facts: Facts) -> Refusal | None:
    if at.mark_ticks <= 0 or at.interval_ns <= 0:
        return Refusal("STALE_PRICE", "no price yet", "a mark price")
    age_ns = min(at.mark_age_ns, at.quote_age_ns) if facts.sees_quote else at.mark_age_ns
    bars_e2 = age_ns * 100 // at.interval_ns
    if at.mark_age_ns < 0 or bars_e2 > limits.stale_bars_e2:
        return Refusal("STALE_PRICE", f"{bars_e2 / 100:.2f} bars", f"{limits.stale_bars_e2 / 100:.2f} bars")
    return None


def order_qty(order: OrderIntent, at: Situation, limits: Limits, _: GateState, facts: Facts) -> Refusal | None:
    """A quantity that the venue takes."""
    i = at.instrument
    largest = i.market_qty_max_lots if order.kind is OrderKind.MARKET else i.order_qty_max_lots
    if order.qty_lots > largest:
        return Refusal("ORDER_QTY", f"{order.qty_lots} lots", f"at most {largest} lots")
    if order.qty_lots < i.order_qty_min_lots:
        return Refusal("ORDER_QTY", f"{order.qty_lots} lots", f"at least {i.order_qty_min_lots} lots")
    return None


def order_notional(order: OrderIntent, at: Situation, limits: Limits, _: GateState, facts: Facts) -> Refusal | None:
    """A notional that is neither too large for the account nor, where it opens, too small for the venue."""
    notional = at.instrument.notional_e8(facts.reference_ticks, order.qty_lots)
    largest = of_equity(at, limits.order_notional_frac_max_e8)
    if notional > largest and not _is_smallest_way_out(order, at, facts):
        return Refusal("ORDER_NOTIONAL", money_text(notional, places=2), money_text(largest, places=2))
    if not facts.reduces and notional > (soft := of_equity(at, limits.order_notional_frac_soft_e8)):
        facts.crossed.append(Crossing("ORDER_NOTIONAL", money_text(notional, places=2), money_text(soft, places=2)))
    if notional < at.instrument.notional_min_e8 and not order.reduce_only:
        return Refusal("NOTIONAL_MIN", money_text(notional, places=2), money_text(at.instrument.notional_min_e8, places=2))
    return None


def _is_smallest_way_out(order: OrderIntent, at: Situation, facts: Facts) -> bool:
    """Whether it takes risk off by the least that the venue trades: refused, the position could not be closed at all."""
    return order.reduce_only and facts.reduces and order.qty_lots <= at.instrument.order_qty_min_lots


def _position_qty(order: OrderIntent, at: Situation, limits: Limits, _: GateState, facts: Facts) -> Refusal | None:
    if facts.worst_lots > at.instrument.position_max_lots:
        return Refusal("POSITION_QTY", f"{facts.worst_lots} lots", f"{at.instrument.position_max_lots} lots")
    return None


def _venue_tier(order: OrderIntent, at: Situation, limits: Limits, _: GateState, facts: Facts) -> Refusal | None:
    """The venue's own ceilings: the last bracket of its margin table, and the leverage that it grants at this size."""
    if not facts.worst_e8:
        return None
    tiers = at.instrument.tiers
    if facts.worst_e8 > tiers[-1].notional_max_e8:
        return Refusal("VENUE_TIER", money_text(facts.worst_e8, places=2), money_text(tiers[-1].notional_max_e8, places=2))
    if facts.worst_e8 > max(0, at.equity_e8):  # else no leverage is used at all
        granted_e2 = next(tier.leverage_max_e2 for tier in tiers if facts.worst_e8 <= tier.notional_max_e8)
        if facts.worst_e8 * 100 > max(0, at.equity_e8) * granted_e2:
            used = f"{facts.worst_e8 / at.equity_e8:.2f} x equity" if at.equity_e8 > 0 else "no equity"
            return Refusal("VENUE_TIER", used, f"{granted_e2 / 100:.2f} x at this size")
    return None


def _position_notional(order: OrderIntent, at: Situation, limits: Limits, _: GateState, facts: Facts) -> Refusal | None:
    soft, hard = limits.position_notional_frac_soft_e8, limits.position_notional_frac_max_e8
    return _money_within("POSITION_NOTIONAL", facts.worst_e8, soft, hard, at, facts)


def _gross(order: OrderIntent, at: Situation, limits: Limits, _: GateState, facts: Facts) -> Refusal | None:
    gross = facts.worst_e8 + at.gross_other_e8
    return _money_within("GROSS_EXPOSURE", gross, limits.gross_leverage_soft_e8, limits.gross_leverage_max_e8, at, facts)


def _net(order: OrderIntent, at: Situation, limits: Limits, _: GateState, facts: Facts) -> Refusal | None:
    """Net notional if this instrument ends at its worst on the order's side."""
    net = abs(at.net_other_e8 + (facts.worst_e8 if order.side is Side.BUY else -facts.worst_e8))
    return _money_within("NET_EXPOSURE", net, 0, limits.net_leverage_max_e8, at, facts)


def _money_within(code: str, observed: int, soft_e8: int, hard_e8: int, at: Situation, facts: Facts) -> Refusal | None:
    """Notionals beside fractions of equity. An order that truly reduces is within whatever it is; no soft level is above its hard one."""
    if facts.reduces or (soft_e8 and observed <= of_equity(at, soft_e8)):
        return None
    hard = of_equity(at, hard_e8)
    if observed > hard:
        return Refusal(code, money_text(observed, places=2), money_text(hard, places=2))
    if soft_e8:
        facts.crossed.append(Crossing(code, money_text(observed, places=2), money_text(of_equity(at, soft_e8), places=2)))
    return None


def _price_collar(order: OrderIntent, at: Situation, limits: Limits, _: GateState, facts: Facts) -> Refusal | None:
    if order.kind is OrderKind.MARKET:
        return None
    if order.limit_ticks <= 0 or not within_collar(order.limit_ticks, at.mark_ticks, at.instrument.price_collar_bps):
        away_bps = abs(order.limit_ticks - at.mark_ticks) * 10_000 / at.mark_ticks
        return Refusal("PRICE_COLLAR", f"{away_bps:.1f} bps from mark", f"{at.instrument.price_collar_bps} bps")
    return None


def _order_rate(order: OrderIntent, at: Situation, limits: Limits, recent: GateState, facts: Facts) -> Refusal | None:
    ten = sent_since(recent.sent_ns, at.ts_ns - 10 * NS_PER_S)
    if ten < limits.orders_per_second_max:  # which is never above that of ten seconds
        return None
    second = sent_since(recent.sent_ns, at.ts_ns - NS_PER_S)
    if second >= limits.orders_per_second_max:
        return Refusal("ORDER_RATE", f"{second + 1} in 1 s", f"{limits.orders_per_second_max} in 1 s")
    if ten >= limits.orders_per_10s_max:
        return Refusal("ORDER_RATE", f"{ten + 1} in 10 s", f"{limits.orders_per_10s_max} in 10 s")
    return None


def _messages(order: OrderIntent, at: Situation, limits: Limits, recent: GateState, facts: Facts) -> Refusal | None:
    burst = sent_since(recent.messages_ns, at.ts_ns - 3 * NS_PER_S)
    if burst >= limits.messages_per_3s_max:
        return Refusal("MESSAGE_RATE", f"{burst + 1} in 3 s", f"{limits.messages_per_3s_max} in 3 s")
    if len(recent.messages_ns) < limits.messages_window_min or at.state is RiskState.REDUCE_ONLY:  # taking risk off is no quoting
        return None
    start_ns = at.ts_ns - MESSAGE_WINDOW_NS
    messages, fills = sent_since(recent.messages_ns, start_ns), max(1, sent_since(recent.fills_ns, start_ns))
    if messages >= limits.messages_window_min and messages > limits.messages_per_fill_max * fills:
        return Refusal("ORDER_TO_TRADE", f"{messages} messages on {fills} fills", f"{limits.messages_per_fill_max} a fill")
    return None


def _duplicate(order: OrderIntent, at: Situation, limits: Limits, recent: GateState, facts: Facts) -> Refusal | None:
    if not recent.sent_ns or at.ts_ns - recent.sent_ns[-1] >= limits.duplicate_window_ns:
        return None  # nothing at all was sent since
    before = recent.recent.get(duplicate_key(order))
    if before is not None and at.ts_ns - before < limits.duplicate_window_ns:
        return Refusal(
            "DUPLICATE_ORDER", f"sent {(at.ts_ns - before) // 1_000_000} ms ago", f"{limits.duplicate_window_ns // 1_000_000} ms"
        )
    return None


def _fat_finger(order: OrderIntent, at: Situation, limits: Limits, recent: GateState, facts: Facts) -> Refusal | None:
    if facts.reduces:
        return None
    sizes = recent.sizes.get(order.instrument, ())
    if len(sizes) >= limits.fat_finger_orders_min and order.qty_lots > limits.fat_finger_multiple * min(sizes):
        largest = limits.fat_finger_multiple * median_low(sizes)
        if order.qty_lots > largest:
            return Refusal("FAT_FINGER", f"{order.qty_lots} lots", f"{largest} lots, {limits.fat_finger_multiple} x the usual order")
    share = at.volume_avg_lots * limits.fat_finger_volume_frac_e8 // E8
    if order.qty_lots > share:
        return Refusal("FAT_FINGER", f"{order.qty_lots} lots", f"{share} lots, a share of the usual bar's volume")
    return None


def _self_trade(order: OrderIntent, at: Situation, limits: Limits, _: GateState, facts: Facts) -> Refusal | None:
    """No crossing of own orders, but for a way out at the market while nothing may open.

    Every resting order has been taken back by then. One whose cancel or fate is not known yet would hold the way out up for as long; the
    venue cancels it when it is met, since each order carries the tag for that.
    """
    market = order.kind is OrderKind.MARKET
    if market and at.state is RiskState.REDUCE_ONLY and order.reduce_only and facts.reduces:
        return None
    if order.side is Side.BUY:
        resting, crosses = at.best_own_ask_ticks, market or order.limit_ticks >= at.best_own_ask_ticks
    else:
        resting, crosses = at.best_own_bid_ticks, market or order.limit_ticks <= at.best_own_bid_ticks
    if resting > 0 and crosses:
        return Refusal("SELF_TRADE", f"own resting order at {resting} ticks", "no crossing of own orders")
    return None


def _open_orders(order: OrderIntent, at: Situation, limits: Limits, _: GateState, facts: Facts) -> Refusal | None:
    if at.open_orders_instrument >= limits.open_orders_instrument_max:
        return Refusal("OPEN_ORDERS", f"{at.open_orders_instrument + 1} on it", f"{limits.open_orders_instrument_max}")
    if at.open_orders_total >= limits.open_orders_total_max:
        return Refusal("OPEN_ORDERS", f"{at.open_orders_total + 1} in all", f"{limits.open_orders_total_max}")
    return None


RULES: tuple[Rule, ...] = (
    Rule(("HALTED", "REDUCE_ONLY"), "C-RISK-10, C-RISK-11", _risk_state),
    Rule(("VENUE_REDUCE_ONLY",), "C-RISK-21", gate_conduct.venue_restricted),
    Rule(("RESTRICTED",), "C-RISK-14", gate_conduct.restricted),
    Rule(("STALE_PRICE",), "C-RISK-16", _stale_price),
    Rule(("BOOKS_STALE", "QUOTE_GAP"), "C-RISK-16", gate_conduct.stale_view),
    Rule(("ORDER_QTY",), "C-RISK-02", order_qty),
    Rule(("ORDER_NOTIONAL", "NOTIONAL_MIN"), "C-RISK-01", order_notional),
    Rule(("POSITION_QTY",), "C-RISK-03, C-RISK-21", _position_qty),
    Rule(("VENUE_TIER",), "C-RISK-21", _venue_tier),
    Rule(("POSITION_NOTIONAL",), "C-RISK-03", _position_notional),
    Rule(("GROSS_EXPOSURE",), "C-RISK-03", _gross),
    Rule(("NET_EXPOSURE",), "C-RISK-03", _net),
    Rule(("PRICE_COLLAR",), "C-RISK-04", _price_collar),
    Rule(("FILL_DEVIATION",), "C-RISK-04", gate_conduct.fill_deviation),
    Rule(("DUPLICATE_ORDER",), "C-RISK-07", _duplicate),
    Rule(("FAT_FINGER",), "C-RISK-08", _fat_finger),
    Rule(("MANUAL_ORDER",), "C-RISK-08", gate_conduct.manual_order),
    Rule(("SELF_TRADE",), "C-RISK-09", _self_trade),
    Rule(("OPEN_ORDERS",), "C-RISK-12", _open_orders),
    Rule(("REPEATED_EXECUTION",), "C-RISK-15", gate_conduct.repeated),
    Rule(("MESSAGE_RATE", "ORDER_TO_TRADE"), "C-RISK-06", _messages),
    Rule(("ORDER_RATE",), "C-RISK-05", _order_rate),
    Rule(("TRADE_RISK",), "C-RISK-13", gate_account.trade_risk),
    Rule(("MARGIN_RATIO", "LIQUIDATION_DISTANCE"), "C-RISK-13", gate_account.margin),
    Rule(("VAR99", "ES975"), "C-RISK-03", gate_account.tail),
)

_ONLY_NEW = frozenset(
    {order_notional, _duplicate, _fat_finger, gate_conduct.manual_order, gate_conduct.repeated, _open_orders, _order_rate, _messages}
)

AMEND_RULES: Final = tuple(rule for rule in RULES if rule.check not in _ONLY_NEW)
"""What a move of an order that rests passes too; those that ask about new orders have their say in `Gate.check_amend`."""

STALE_PRICE: Final = "STALE_PRICE"
WAITS_FOR_NEWS: Final = frozenset({STALE_PRICE, "BOOKS_STALE", "QUOTE_GAP"})
"""Refusals that end with the next news of the market or the books; a bar plans again by itself."""
PASSING: Final = frozenset({"ORDER_RATE", "OPEN_ORDERS", "SELF_TRADE"}) | WAITS_FOR_NEWS
"""Refusals that time alone mends: the order is planned again. Every other one waits for a new decision.

An own order in the way is taken back when its decision is superseded.
"""

HALTING: Final = frozenset({"MESSAGE_RATE", "ORDER_TO_TRADE"})
"""Refusals that halt trading: a strategy that quotes like this is broken."""

DISABLING: Final = frozenset({REPEATED_EXECUTION})
"""Refusals after which a strategy may only reduce until a person lets it go on."""

OVERRIDABLE: Final = frozenset(
    {
        "ORDER_NOTIONAL", "POSITION_NOTIONAL", "TRADE_RISK", "PRICE_COLLAR", "FILL_DEVIATION", "FAT_FINGER", "DUPLICATE_ORDER",
        "MANUAL_ORDER",
    }
)  # fmt: skip
"""Refusals that two people may set aside for one order. No halt, no stale price, no rule of the venue and no row of the account is."""

OF_THE_MOMENT: Final = WAITS_FOR_NEWS | {"HALTED", "REDUCE_ONLY", "SELF_TRADE", "FILL_DEVIATION"}
"""Refusals that say nothing of an order that rests already."""

OF_ONE_ORDER: Final = frozenset({"ORDER_NOTIONAL", "TRADE_RISK"})
"""Soft levels of single orders: the next order below them ends the alert."""
