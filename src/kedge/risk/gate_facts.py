"""What every rule of the gate reads of one order, worked out once, and what a rule is."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kedge.domain.orders import OrderIntent, OrderKind, Side
from kedge.domain.units import E8
from kedge.kernel.limits import reduces, reference_ticks, worst_case_lots
from kedge.risk.gate_state import GateState, Refusal, Situation
from kedge.risk.limits import Limits
from kedge.risk.states import WAYS_OUT, RiskState, percent


class Crossing(NamedTuple):
    """An order takes a measure above its soft level: people are told, the order goes."""

    code: str
    observed: str
    limit: str


class Facts(NamedTuple):
    """What several rules need of one order.

    Attributes
    ----------
    reduces : bool
        Whether it truly reduces, whatever else fills.
    reference_ticks : int
        The price it is valued at; 0 where nobody knows one.
    sees_quote : bool
        Whether a quote may stand for the mark.
    worst_lots, worst_e8 : int
        The largest position that can come of it with everything that is open, and its notional; 0 for an order that truly reduces.
    crossed : list of Crossing
        Soft levels that it takes measures above, filled by the rules.
    """

    reduces: bool
    reference_ticks: int
    sees_quote: bool
    worst_lots: int
    worst_e8: int
    crossed: list[Crossing]


Check = Callable[[OrderIntent, Situation, Limits, GateState, Facts], Refusal | None]


class Rule(NamedTuple):
    """One row of the gate: its codes, the control that asks for it, and the check."""

    codes: tuple[str, ...]
    control: str
    check: Check


def facts_of(order: OrderIntent, at: Situation) -> Facts:
    """What several rules need of this order."""
    side, market = 1 if order.side is Side.BUY else -1, 1 if order.kind is OrderKind.MARKET else 0
    signed = side * order.qty_lots
    does_reduce = bool(reduces(at.position_lots, at.open_buy_lots, at.open_sell_lots, signed))
    sees_quote = does_reduce and _sees_quote(order, at)
    mark_ticks = max(at.mark_ticks, order.trigger_ticks) if at.mark_ticks > 0 else 0  # where a conditional order begins to trade
    if sees_quote and mark_ticks:
        mark_ticks = max(mark_ticks, at.ask_ticks)  # a mark that may be old must not make it look smaller than it is
    reference = int(reference_ticks(side, market, order.limit_ticks, mark_ticks)) if mark_ticks > 0 else 0  # refused as stale
    worst = 0 if does_reduce else int(worst_case_lots(at.position_lots, at.open_buy_lots, at.open_sell_lots, signed))
    return Facts(does_reduce, reference, sees_quote, worst, at.instrument.notional_e8(reference, worst), [])


def _sees_quote(order: OrderIntent, at: Situation) -> bool:
    """Whether a whole and fresh quote may stand for the mark of an order that reduces: only on a way out at the market.

    Its target is zero whatever the price is, so what it needs to know is that the market is there. Whatever opens, rests, or follows a
    strategy's wish is decided on marks, and waits for one.
    """
    is_way_out = at.state is RiskState.REDUCE_ONLY and at.halt_code in WAYS_OUT
    at_market = order.kind is OrderKind.MARKET and not order.trigger_ticks and order.reduce_only
    return is_way_out and at_market and 0 < at.bid_ticks < at.ask_ticks and 0 <= at.quote_age_ns <= at.quote_age_max_ns


def of_equity(at: Situation, frac_e8: int) -> int:
    """A fraction of equity in 1e-8 of the quote currency; 0 where there is none."""
    return at.equity_e8 * frac_e8 // E8 if at.equity_e8 > 0 else 0


def within(code: str, observed_e8: int, soft_e8: int, hard_e8: int, facts: Facts, method: str = "") -> Refusal | None:
    """Refuse a fraction above its hard level, note one above its soft level; a level of 0 is absent. `method` is told beside it."""
    if observed_e8 <= (soft_e8 or hard_e8):
        return None
    how = f" by {method}" if method else ""
    if hard_e8 and observed_e8 > hard_e8:
        return Refusal(code, percent(observed_e8) + how, percent(hard_e8))
    if soft_e8:
        facts.crossed.append(Crossing(code, percent(observed_e8) + how, percent(soft_e8)))
    return None
