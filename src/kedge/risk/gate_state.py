"""What the gate looks at and remembers: the situation around an order, what was sent lately, and how it says no."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple, Protocol

from kedge.domain.events import OverrideGranted
from kedge.domain.instrument import Instrument
from kedge.domain.orders import OrderIntent
from kedge.domain.units import NS_PER_S
from kedge.risk.states import RiskState

SIZES_KEPT = 50
MESSAGE_WINDOW_NS = 300 * NS_PER_S
USED_KEPT = 1_000
"""Overrides remembered as used."""


class Refusal(NamedTuple):
    """Why an order may not go."""

    code: str
    observed: str
    limit: str


class Distance(NamedTuple):
    """How far liquidation has to stay from a mark: a fraction of it in 1e-8, or so many hundredths of a daily standard deviation of it.

    The larger of the two holds; both are 0 where nothing is asked.
    """

    floor_e8: int
    sigmas_e2: int


class Near(NamedTuple):
    """An instrument whose mark is nearer to liquidation than asked; both as fractions of the mark in 1e-8."""

    instrument: str
    distance_e8: int
    asked_e8: int


class Margin(NamedTuple):
    """What the account would look like to the venue's margin rules, everything that is open filled on the side that hurts.

    Attributes
    ----------
    maintenance_e8 : int
        Maintenance margin of the whole book, closing fees included.
    hard, soft : Near or None
        The first instrument that is nearer to liquidation than the one and the other distance allows.
    """

    maintenance_e8: int
    hard: Near | None = None
    soft: Near | None = None


class Tail(NamedTuple):
    """One day's loss in the tail, as fractions of equity in 1e-8 rounded up, and the method that says so."""

    var99_e8: int
    es975_e8: int
    method: str


class BookAfter(Protocol):
    """The whole book with one more order in it: what the account's rows are judged by. The gate asks it for what is configured."""

    def margin(self, at: Situation, order_lots: int, reference_ticks: int, hard: Distance, soft: Distance) -> Margin:
        """Margin with the order filled, and what would be too near to liquidation."""
        ...

    def tail(self, at: Situation, order_lots: int, reference_ticks: int) -> Tail | None:
        """VaR and ES with the order filled; None where they cannot be told."""
        ...


class Situation(NamedTuple):
    """What the gate looks at beside the order: one instrument, and the book around it.

    `gross_other_e8` and `net_other_e8` are the worst-case notionals of the other instruments: open orders included, for the
    net those of the order's side.
    `best_own_bid_ticks` and `best_own_ask_ticks` are our own resting prices, 0 where there is none.
    `bid_ticks` and `ask_ticks` are the last quote, 0 where it is lost or nobody knew one; `quote_age_ns` is told with them.
    `quote_gap_ns` is for how long a quote has been lost, `books_age_ns` how long ago the books agreed with the venue's, -1 where they are
    not compared. `stop_frac_e8` is how far from its average price a position has its stop, 0 where it has none. Numbers that may be
    negative come first, those that may not from `interval_ns` to `stop_frac_e8`.
    """

    state: RiskState
    halt_code: str
    instrument: Instrument
    ts_ns: int
    mark_ticks: int
    mark_age_ns: int
    equity_e8: int
    position_lots: int
    net_other_e8: int
    quote_age_ns: int
    interval_ns: int
    volume_avg_lots: int
    open_buy_lots: int
    open_sell_lots: int
    gross_other_e8: int
    open_orders_instrument: int
    open_orders_total: int
    best_own_bid_ticks: int
    best_own_ask_ticks: int
    bid_ticks: int
    ask_ticks: int
    quote_age_max_ns: int
    quote_gap_ns: int = 0
    stop_frac_e8: int = 0
    books_age_ns: int = -1
    only_reduces: bool = False
    book: BookAfter | None = None


class GateState:
    """What was sent lately: the memory behind rates, duplicates and usual sizes. Folded, never decided from inside."""

    def __init__(self) -> None:
        self.sent_ns: deque[int] = deque()
        self.messages_ns: deque[int] = deque()
        self.fills_ns: deque[int] = deque()
        self.recent: dict[str, int] = {}
        self.sizes: dict[str, deque[int]] = {}
        self.decisions: deque[tuple[int, str]] = deque()
        self.deviations: deque[tuple[int, int]] = deque()
        self.overrides: dict[str, OverrideGranted] = {}
        self.used: deque[str] = deque(maxlen=USED_KEPT)

    def note_sent(self, order: OrderIntent, ts_ns: int, window_ns: int, decisions_window_ns: int = 0) -> None:
        self.sent_ns.append(ts_ns)
        self.note_message(ts_ns)
        while self.sent_ns[0] <= ts_ns - 10 * NS_PER_S:
            self.sent_ns.popleft()
        if len(self.recent) > 100:
            self.recent = {key: at for key, at in self.recent.items() if ts_ns - at < window_ns}
        self.recent[duplicate_key(order)] = ts_ns
        self._note_decision(order, ts_ns, decisions_window_ns)
        self.sizes.setdefault(order.instrument, deque(maxlen=SIZES_KEPT)).append(order.qty_lots)

    def _note_decision(self, order: OrderIntent, ts_ns: int, window_ns: int) -> None:
        """The first order of a decision that adds risk counts as an execution of its strategy."""
        decisions = self.decisions
        while decisions and decisions[0][0] <= ts_ns - window_ns:
            decisions.popleft()
        if window_ns and not order.reduce_only and all(name != order.decision_id for _, name in decisions):
            decisions.append((ts_ns, order.decision_id))

    def note_deviation(self, ts_ns: int, bps_e2: int, window_ns: int) -> None:
        """A fill lay so far on the bad side of the mark, in hundredths of a basis point; negative where it was better."""
        self.deviations.append((ts_ns, bps_e2))
        while self.deviations[0][0] <= ts_ns - window_ns:
            self.deviations.popleft()

    def grant(self, override: OverrideGranted) -> None:
        """Two people let one order pass; a repeat, or one that was used before, changes nothing."""
        if override.approval_id not in self.used:
            self.overrides[override.approval_id] = override

    def use(self, approval_id: str) -> None:
        """An order passed by this override: it is void from now on."""
        if self.overrides.pop(approval_id, None) is not None:
            self.used.append(approval_id)

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
