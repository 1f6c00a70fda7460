"""What the gate looks at and remembers: the situation around an order, what was sent lately, and how it says no."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from kedge.domain.instrument import Instrument
from kedge.domain.orders import OrderIntent
from kedge.domain.units import NS_PER_S
from kedge.risk.states import RiskState

SIZES_KEPT = 50
MESSAGE_WINDOW_NS = 300 * NS_PER_S


class Refusal(NamedTuple):
    """Why an order may not go."""

    code: str
    observed: str
    limit: str


class Situation(NamedTuple):
    """What the gate looks at beside the order: one instrument, and the book around it.

    `gross_other_e8` and `net_other_e8` are the worst-case notionals of the other instruments: open orders included, for the
    net those of the order's side.
    `best_own_bid_ticks` and `best_own_ask_ticks` are our own resting prices, 0 where there is none.
    """

    ts_ns: int
    state: RiskState
    halt_code: str
    instrument: Instrument
    mark_ticks: int
    mark_age_ns: int
    interval_ns: int
    volume_avg_lots: int
    equity_e8: int
    position_lots: int
    open_buy_lots: int
    open_sell_lots: int
    gross_other_e8: int
    net_other_e8: int
    open_orders_instrument: int
    open_orders_total: int
    best_own_bid_ticks: int
    best_own_ask_ticks: int


class GateState:
    """What was sent lately: the memory behind rates, duplicates and usual sizes. Folded, never decided from inside."""

    def __init__(self) -> None:
        self.sent_ns: deque[int] = deque()
        self.messages_ns: deque[int] = deque()
        self.fills_ns: deque[int] = deque()
        self.recent: dict[str, int] = {}
        self.sizes: dict[str, deque[int]] = {}

    def note_sent(self, order: OrderIntent, ts_ns: int, window_ns: int) -> None:
        self.sent_ns.append(ts_ns)
        self.note_message(ts_ns)
        while self.sent_ns[0] <= ts_ns - 10 * NS_PER_S:
            self.sent_ns.popleft()
        if len(self.recent) > 100:
            self.recent = {key: at for key, at in self.recent.items() if ts_ns - at < window_ns}
        self.recent[duplicate_key(order)] = ts_ns
        self.sizes.setdefault(order.instrument, deque(maxlen=SIZES_KEPT)).append(order.qty_lots)

    def note_message(self, ts_ns: int) -> None:
        self.messages_ns.append(ts_ns)
        _forget(self.messages_ns, ts_ns - MESSAGE_WINDOW_NS)

    def note_fill(self, ts_ns: int) -> None:
        self.fills_ns.append(ts_ns)
        _forget(self.fills_ns, ts_ns - MESSAGE_WINDOW_NS)


def _forget(times_ns: deque[int], until_ns: int) -> None:
    while times_ns and times_ns[0] <= until_ns:
        times_ns.popleft()


def sent_since(times_ns: deque[int], after_ns: int) -> int:
    """How many of these rising times lie after one."""
    count = 0
    for at in reversed(times_ns):
        if at <= after_ns:
            break
        count += 1
    return count


def duplicate_key(order: OrderIntent) -> str:
    """Same decision, slice and terms: the same order, whatever it is called."""
    return f"{order.instrument}|{order.side}|{order.qty_lots}|{order.limit_ticks}|{order.decision_id}|{order.slice_no}"
