"""What trading cost against the price that each decision saw: slippage of what was filled, and the shortfall of what was not.

Rules: the price of a decision is the mid of the quote at hand, or the mark where there was none, and the two are never added silently.
Positive is a cost on both sides of the market. Prices are kept twice as large, so that a mid between two ticks is whole; sums are exact.
Source: A. Perold, "The implementation shortfall: paper versus reality" (1988): execution cost of the filled, opportunity cost of the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kedge.domain.events import Event, OrderFilled
from kedge.domain.instrument import Instrument, InstrumentId
from kedge.domain.orders import OrderIntent, Side
from kedge.domain.outputs import Decided, OrderSent, Output
from kedge.domain.units import money_text

if TYPE_CHECKING:  # the compiled laws, which a reader of journals need not pay for
    from kedge.engine.orders import OrderState
    from kedge.engine.state import EngineState, Slot

BPS: Final = 10_000
MID: Final = "mid"
MARK: Final = "mark"
BOTH: Final = "mid and mark"


def arrival_of(decided: Decided, *, like: bool = True) -> int:
    """Twice the price that a decision saw: its mid where it has one and the mid is asked for, else its mark."""
    return decided.mid2_ticks if like and decided.mid2_ticks is not None else 2 * decided.mark_ticks


def slippage2_e8(fill: OrderFilled, arrival2_ticks: int, tick_value_e8: int) -> int:
    """Twice the cost of a fill against the price of its decision, in 1e-8 of the quote currency; negative when it was better."""
    sign = 1 if fill.side is Side.BUY else -1
    return sign * (2 * fill.price_ticks - arrival2_ticks) * fill.qty_lots * tick_value_e8


def book_slippage(state: EngineState, slot: Slot, order: OrderState, fill: OrderFilled) -> None:
    """Add one fill of an order of ours to the account's sums."""
    if not order.arrival2_ticks:
        return
    value = slot.spec.tick_value_e8
    cost2, at2 = slippage2_e8(fill, order.arrival2_ticks, value), order.arrival2_ticks * fill.qty_lots * value
    if order.arrival_is_mid:
        state.slippage2_mid_e8 += cost2
        state.arrival2_mid_e8 += at2
    else:
        state.slippage2_mark_e8 += cost2
        state.arrival2_mark_e8 += at2


def unfilled2_e8(slot: Slot, now2_ticks: int) -> int:
    """Twice what the part of a target that is not filled missed since its decision; negative when waiting was better."""
    if not slot.arrival2_ticks:
        return 0
    return (slot.target_lots - slot.position_lots) * (now2_ticks - slot.arrival2_ticks) * slot.spec.tick_value_e8


def half_text(twice_e8: int) -> str:
    """Half of an amount as decimal text, to the nearest 1e-8."""
    return money_text((twice_e8 + 1) // 2)


def bps_text(cost2_e8: int, value2_e8: int) -> str:
    """A cost in basis points of a value, two places; '' where nothing was traded."""
    return f"{cost2_e8 * BPS / value2_e8:.2f}" if value2_e8 else ""


def against(arrival_mid: int, arrival_mark: int) -> str:
    """Which prices sums of slippage are measured against; '' where nothing was traded."""
    return BOTH if arrival_mid and arrival_mark else MID if arrival_mid else MARK if arrival_mark else ""


def costs_of(state: EngineState) -> dict[str, str]:
    """The account's sums for people: slippage in all, in basis points of the decisions' prices, by the price it is measured against.

    Beside it stands the shortfall of what was not filled: of decisions that another one replaced, each at that moment, and of present ones
    at the marks.
    """
    mid, mark = state.slippage2_mid_e8, state.slippage2_mark_e8
    rest = state.unfilled2_e8 + sum(unfilled2_e8(slot, 2 * int(state.marks[slot.index])) for slot in state.by_index if slot.decision_id)
    return {
        "slippage": half_text(mid + mark),
        "slippage_bps": bps_text(mid + mark, state.arrival2_mid_e8 + state.arrival2_mark_e8),
        "slippage_against": against(state.arrival2_mid_e8, state.arrival2_mark_e8),
        "slippage_against_mid": half_text(mid),
        "slippage_against_mark": half_text(mark),
        "unfilled_shortfall": half_text(rest),
    }


class FillCost(NamedTuple):
    """Slippage of one fill. `against` is 'mid' or 'mark'; '' and None where no decision of this journal ordered it."""

    decision_id: str = ""
    against: str = ""
    slippage2_e8: int | None = None
    arrival2_e8: int = 0

    @property
    def slippage(self) -> str:
        """Money as text; '' where nobody knows."""
        return "" if self.slippage2_e8 is None else half_text(self.slippage2_e8)

    @property
    def bps(self) -> str:
        """In basis points of the decision's price; '' where nobody knows."""
        return "" if self.slippage2_e8 is None else bps_text(self.slippage2_e8, self.arrival2_e8)


class DecisionCost(NamedTuple):
    """What one decision's fills cost, and how much of its orders was filled."""

    decision_id: str
    instrument: InstrumentId
    against: str
    ordered_lots: int
    filled_lots: int
    slippage2_e8: int
    arrival2_e8: int

    def as_plain(self, spec: Instrument) -> dict[str, Any]:
        """For people and machines; quantities in units of the base."""
        return {
            "decision_id": self.decision_id,
            "instrument": self.instrument,
            "against": self.against,
            "ordered": spec.qty_text(self.ordered_lots),
            "filled": spec.qty_text(self.filled_lots),
            "slippage": half_text(self.slippage2_e8),
            "slippage_bps": bps_text(self.slippage2_e8, self.arrival2_e8),
        }


class CostLedger:
    """Folds a journal's steps into what each fill and each decision cost."""

    def __init__(self, specs: Mapping[InstrumentId, Instrument]) -> None:
        self._specs = dict(specs)
        self._arrivals: dict[str, tuple[int, bool]] = {}
        self._orders: dict[str, OrderIntent] = {}
        self.decisions: dict[str, DecisionCost] = {}

    def took(self, outputs: Iterable[Output]) -> None:
        """Decisions and orders of one step."""
        for output in outputs:
            if isinstance(output, Decided):
                self._arrivals[output.decision_id] = (arrival_of(output), output.mid2_ticks is not None)
            elif isinstance(output, OrderSent):
                self._ordered(output.approved.order)

    def fill(self, event: Event) -> FillCost:
        """One fill; anything else costs nothing and is nobody's."""
        order = self._orders.get(event.client_order_id) if isinstance(event, OrderFilled) else None
        spec = self._specs.get(event.instrument) if isinstance(event, OrderFilled) else None
        if order is None or spec is None or not isinstance(event, OrderFilled):
            return FillCost()
        arrival2, is_mid = self._arrivals[order.decision_id]
        value = spec.tick_value_e8
        cost2, at2 = slippage2_e8(event, arrival2, value), arrival2 * event.qty_lots * value
        known = self.decisions[order.decision_id]
        self.decisions[order.decision_id] = known._replace(
            filled_lots=known.filled_lots + event.qty_lots,
            slippage2_e8=known.slippage2_e8 + cost2,
            arrival2_e8=known.arrival2_e8 + at2,
        )
        return FillCost(order.decision_id, MID if is_mid else MARK, cost2, at2)

    def _ordered(self, order: OrderIntent) -> None:
        arrival = self._arrivals.get(order.decision_id)
        if arrival is None or not arrival[0]:
            return
        self._orders[order.client_order_id] = order
        against = MID if arrival[1] else MARK
        known = self.decisions.get(order.decision_id, DecisionCost(order.decision_id, order.instrument, against, 0, 0, 0, 0))
        self.decisions[order.decision_id] = known._replace(ordered_lots=known.ordered_lots + order.qty_lots)
