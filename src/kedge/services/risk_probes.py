"""Limits under which every rule that measures something has to say what it saw, and the words of the limits in force."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from kedge.domain.units import E8, NS_PER_S, money_text
from kedge.risk.gate_facts import of_equity
from kedge.risk.gate_state import Situation
from kedge.risk.limits import Limits
from kedge.risk.states import percent

TIGHTEST: Final = Limits(
    order_notional_frac_soft_e8=1,
    order_notional_frac_max_e8=1,
    position_notional_frac_soft_e8=1,
    position_notional_frac_max_e8=1,
    gross_leverage_soft_e8=1,
    gross_leverage_max_e8=1,
    net_leverage_max_e8=1,
    var99_soft_e8=1,
    var99_max_e8=1,
    es975_soft_e8=1,
    es975_max_e8=1,
    margin_ratio_soft_e8=1,
    margin_ratio_max_e8=1,
    liquidation_distance_soft_e8=E8,
    liquidation_distance_min_e8=E8,
    trade_risk_frac_soft_e8=1,
    trade_risk_frac_max_e8=1,
    open_orders_instrument_max=1,
    open_orders_total_max=1,
    orders_per_second_max=1,
    orders_per_10s_max=1,
    messages_per_3s_max=1,
    fat_finger_volume_frac_e8=1,
    position_age_max_ns=1,
    quote_gap_max_ns=1,
    stale_bars_e2=1,
)
_NO_RATIO: Final = replace(TIGHTEST, margin_ratio_soft_e8=0, margin_ratio_max_e8=0)
_NO_VAR: Final = replace(TIGHTEST, var99_soft_e8=0, var99_max_e8=0)

PROBES: Final[dict[str, Limits]] = {
    **dict.fromkeys(
        ("STALE_PRICE", "BOOKS_STALE", "ORDER_NOTIONAL", "POSITION_NOTIONAL", "GROSS_EXPOSURE", "NET_EXPOSURE", "FAT_FINGER", "OPEN_ORDERS",
         "MESSAGE_RATE", "ORDER_RATE", "TRADE_RISK", "MARGIN_RATIO", "VAR99"),
        TIGHTEST,
    ),
    "QUOTE_GAP": replace(TIGHTEST, position_age_max_ns=0),
    "LIQUIDATION_DISTANCE": _NO_RATIO,
    "ES975": _NO_VAR,
}  # fmt: skip
"""By the code that a rule then refuses with."""


def _money(field: str) -> Callable[[Situation, Limits], str]:
    return lambda at, limits: money_text(of_equity(at, getattr(limits, field)), places=2)


def _share(field: str) -> Callable[[Situation, Limits], str]:
    return lambda _, limits: percent(getattr(limits, field)) if getattr(limits, field) else "no limit"


def _seconds(field: str) -> Callable[[Situation, Limits], str]:
    return lambda _, limits: f"{getattr(limits, field) / NS_PER_S:g} s" if getattr(limits, field) else "no limit"


_TEXTS: Final[dict[str, Callable[[Situation, Limits], str]]] = {
    "STALE_PRICE": lambda _, limits: f"{limits.stale_bars_e2 / 100:.2f} bars",
    "BOOKS_STALE": _seconds("position_age_max_ns"),
    "QUOTE_GAP": _seconds("quote_gap_max_ns"),
    "ORDER_QTY": lambda at, _: f"{at.instrument.order_qty_min_lots} to {at.instrument.order_qty_max_lots} lots",
    "ORDER_NOTIONAL": _money("order_notional_frac_max_e8"),
    "POSITION_QTY": lambda at, _: f"{at.instrument.position_max_lots} lots",
    "VENUE_TIER": lambda at, _: money_text(at.instrument.tiers[-1].notional_max_e8, places=2),
    "POSITION_NOTIONAL": _money("position_notional_frac_max_e8"),
    "GROSS_EXPOSURE": _money("gross_leverage_max_e8"),
    "NET_EXPOSURE": _money("net_leverage_max_e8"),
    "PRICE_COLLAR": lambda at, _: f"{at.instrument.price_collar_bps} bps",
    "DUPLICATE_ORDER": _seconds("duplicate_window_ns"),
    "OPEN_ORDERS": lambda _, limits: f"{limits.open_orders_instrument_max} on it, {limits.open_orders_total_max} in all",
    "MESSAGE_RATE": lambda _, limits: f"{limits.messages_per_3s_max} in 3 s",
    "ORDER_RATE": lambda _, limits: f"{limits.orders_per_second_max} in 1 s, {limits.orders_per_10s_max} in 10 s",
    "TRADE_RISK": _share("trade_risk_frac_max_e8"),
    "MARGIN_RATIO": _share("margin_ratio_max_e8"),
    "LIQUIDATION_DISTANCE": _share("liquidation_distance_min_e8"),
    "VAR99": _share("var99_max_e8"),
    "ES975": _share("es975_max_e8"),
}


def limit_text(code: str, at: Situation, limits: Limits) -> str:
    """What a rule's limit is for an order in this situation, in words; empty where it has none to tell."""
    found = _TEXTS.get(code)
    return "" if found is None else found(at, limits)
