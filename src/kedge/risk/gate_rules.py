"""The rules of the gate, one function each, in the order in which they are tried.

Rules kept here: what is missing or impossible refuses, nothing is changed by checking, and each refusal has a code, what was observed, and
the limit.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from statistics import median_low
from typing import Final, NamedTuple

from kedge.domain.orders import OrderIntent, OrderKind, Side
from kedge.domain.units import E8, NS_PER_S, money_text
from kedge.kernel.limits import reduces, reference_ticks, within_collar, worst_case_lots
from kedge.risk.gate_state import MESSAGE_WINDOW_NS, GateState, Refusal, Situation, duplicate_key, sent_since
from kedge.risk.limits import Limits
from kedge.risk.states import RiskState

_NUMBERS = tuple(name for name in Situation._fields if name not in ("state", "halt_code", "instrument"))
_ORDER_NUMBERS = ("qty_lots", "limit_ticks", "trigger_ticks")
_SIGNED = frozenset({"ts_ns", "mark_age_ns", "mark_ticks", "equity_e8", "position_lots", "net_other_e8"})
_numbers_of = itemgetter(*(Situation._fields.index(name) for name in _NUMBERS))
_unsigned_of = itemgetter(*(Situation._fields.index(name) for name in _NUMBERS if name not in _SIGNED))
_WHOLE = {int}


class Facts(NamedTuple):
    """What several rules need of one order, worked out once: whether it truly reduces, and its reference price."""

    reduces: bool
    reference_ticks: int


Check = Callable[[OrderIntent, Situation, Limits, GateState, Facts], Refusal | None]


def whole(order: OrderIntent, at: Situation) -> Refusal | None:
    """A number that is not whole, or below zero where none can be, compares as safe: it is refused before any rule reads it."""
    numbers = (*_numbers_of(at), order.qty_lots, order.limit_ticks, order.trigger_ticks)
    if set(map(type, numbers)) != _WHOLE or min(*_unsigned_of(at), order.qty_lots, order.limit_ticks, order.trigger_ticks) < 0:
        for name, value in zip((*_NUMBERS, *_ORDER_NUMBERS), numbers, strict=True):
            if type(value) is not int or (value < 0 and name not in _SIGNED):
                return Refusal("GATE_FAILED", f"{name} is {value!r}", "whole numbers")
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
    bars_e2 = at.mark_age_ns * 100 // at.interval_ns
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
    if notional < at.instrument.notional_min_e8 and not order.reduce_only:
        return Refusal("NOTIONAL_MIN", money_text(notional, places=2), money_text(at.instrument.notional_min_e8, places=2))
    return None


def _is_smallest_way_out(order: OrderIntent, at: Situation, facts: Facts) -> bool:
    """Whether it takes risk off by the least that the venue trades: refused, the position could not be closed at all."""
    return order.reduce_only and facts.reduces and order.qty_lots <= at.instrument.order_qty_min_lots


def _exposure(order: OrderIntent, at: Situation, limits: Limits, _: GateState, facts: Facts) -> Refusal | None:
    if facts.reduces:
        return None
    worst = worst_case_lots(at.position_lots, at.open_buy_lots, at.open_sell_lots, order.signed_lots)
    if worst > at.instrument.position_max_lots:
        return Refusal("POSITION_QTY", f"{worst} lots", f"{at.instrument.position_max_lots} lots")
    notional = at.instrument.notional_e8(facts.reference_ticks, worst)
    rows = (
        ("POSITION_NOTIONAL", notional, limits.position_notional_frac_max_e8),
        ("GROSS_EXPOSURE", notional + at.gross_other_e8, limits.gross_leverage_max_e8),
        ("NET_EXPOSURE", _net_worst(order, at, notional), limits.net_leverage_max_e8),
    )
    for code, observed, frac_e8 in rows:
        if observed > of_equity(at, frac_e8):
            return Refusal(code, money_text(observed, places=2), money_text(of_equity(at, frac_e8), places=2))
    return None


def _net_worst(order: OrderIntent, at: Situation, notional_e8: int) -> int:
    """Net notional if this instrument ends at its worst on the order's side."""
    return abs(at.net_other_e8 + (notional_e8 if order.side is Side.BUY else -notional_e8))


def _price_collar(order: OrderIntent, at: Situation, limits: Limits, _: GateState, facts: Facts) -> Refusal | None:
    if order.kind is OrderKind.MARKET:
        return None
    if order.limit_ticks <= 0 or not within_collar(order.limit_ticks, at.mark_ticks, at.instrument.price_collar_bps):
        away_bps = abs(order.limit_ticks - at.mark_ticks) * 10_000 / at.mark_ticks
        return Refusal("PRICE_COLLAR", f"{away_bps:.1f} bps from mark", f"{at.instrument.price_collar_bps} bps")
    return None


def _order_rate(order: OrderIntent, at: Situation, limits: Limits, recent: GateState, facts: Facts) -> Refusal | None:
    second = sent_since(recent.sent_ns, at.ts_ns - NS_PER_S)
    if second >= limits.orders_per_second_max:
        return Refusal("ORDER_RATE", f"{second + 1} in 1 s", f"{limits.orders_per_second_max} in 1 s")
    ten = sent_since(recent.sent_ns, at.ts_ns - 10 * NS_PER_S)
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
    market = order.kind is OrderKind.MARKET
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


def facts_of(order: OrderIntent, at: Situation) -> Facts:
    """What several rules need of this order."""
    side, market = 1 if order.side is Side.BUY else -1, int(order.kind is OrderKind.MARKET)
    mark_ticks = max(at.mark_ticks, order.trigger_ticks) if at.mark_ticks > 0 else 0  # where a conditional order begins to trade
    return Facts(
        bool(reduces(at.position_lots, at.open_buy_lots, at.open_sell_lots, order.signed_lots)),
        int(reference_ticks(side, market, order.limit_ticks, mark_ticks)) if mark_ticks > 0 else 0,  # refused as stale
    )


def of_equity(at: Situation, frac_e8: int) -> int:
    """A fraction of equity in 1e-8 of the quote currency; 0 where there is none."""
    return max(0, at.equity_e8) * frac_e8 // E8


class Rule(NamedTuple):
    """One row of the gate: its codes, the control that asks for it, and the check."""

    codes: tuple[str, ...]
    control: str
    check: Check


RULES: tuple[Rule, ...] = (
    Rule(("HALTED", "REDUCE_ONLY"), "C-RISK-10, C-RISK-11", _risk_state),
    Rule(("STALE_PRICE",), "C-RISK-16", _stale_price),
    Rule(("ORDER_QTY",), "C-RISK-02", order_qty),
    Rule(("ORDER_NOTIONAL", "NOTIONAL_MIN"), "C-RISK-01", order_notional),
    Rule(("POSITION_QTY", "POSITION_NOTIONAL", "GROSS_EXPOSURE", "NET_EXPOSURE"), "C-RISK-03, C-RISK-21", _exposure),
    Rule(("PRICE_COLLAR",), "C-RISK-04", _price_collar),
    Rule(("DUPLICATE_ORDER",), "C-RISK-07", _duplicate),
    Rule(("FAT_FINGER",), "C-RISK-08", _fat_finger),
    Rule(("SELF_TRADE",), "C-RISK-09", _self_trade),
    Rule(("OPEN_ORDERS",), "C-RISK-12", _open_orders),
    Rule(("MESSAGE_RATE", "ORDER_TO_TRADE"), "C-RISK-06", _messages),
    Rule(("ORDER_RATE",), "C-RISK-05", _order_rate),
)

_ONLY_NEW = frozenset({order_notional, _duplicate, _fat_finger, _open_orders, _order_rate, _messages})

AMEND_RULES: Final = tuple(rule for rule in RULES if rule.check not in _ONLY_NEW)
"""What a move of an order that rests passes too; those that ask about new orders have their say in `Gate.check_amend`."""

STALE_PRICE: Final = "STALE_PRICE"
PASSING: Final = frozenset({"ORDER_RATE", STALE_PRICE, "OPEN_ORDERS", "SELF_TRADE"})
"""Refusals that time alone mends: the order is planned again. Every other one waits for a new decision.

An own order in the way is taken back when its decision is superseded or trading is halted; the closing of a position must outlast that.
"""

HALTING: Final = frozenset({"MESSAGE_RATE", "ORDER_TO_TRADE"})
"""Refusals that halt trading: a strategy that quotes like this is broken."""
