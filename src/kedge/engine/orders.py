"""Our own orders: state, reserved exposure, and what was filled. Folded from events and outputs only."""

from __future__ import annotations

from collections import deque

import msgspec

from kedge.domain.errors import IllegalTransition
from kedge.domain.events import OrderFilled
from kedge.domain.orders import OrderIntent, Side
from kedge.engine.lifecycle import LIVE, Report, Status, advance

FINISHED_KEPT = 1_000
"""Finished orders remembered, so that a late report still finds its order."""

STRANGE_KEPT = 1_000
"""Ids remembered of what belongs to no order of ours: liquidations, fills that the table refuses, settlements, cash."""


BY_VENUE = frozenset(set(Report) - {Report.AMEND_SENT, Report.CANCEL_SENT, Report.NO_REPLY, Report.ANSWER_LOST, Report.PROVEN_ABSENT})
"""Reports that only the venue can make: with the first of them the order is known to have arrived."""


class OrderState(msgspec.Struct):
    """One order as we know it.

    Attributes
    ----------
    qty_lots, limit_ticks : int
        What the venue last confirmed: as sent, until an amend came through.
    asked_lots, asked_ticks : int or None
        What an amend under way asks for; None where it asks for nothing.
    shown : bool
        Whether the venue has ever said anything of it.
    terms_ts_ns : int
        The venue's time of the quantity and limit that it last confirmed; 0 for those sent.
    arrival2_ticks, arrival_is_mid : int, bool
        Twice the price that its decision saw, and whether that was the mid; else the mark.
    untold_lots : int
        Of an order that is over: lots that it traded by the venue's word and that were not told yet. They stay reserved.
    """

    order: OrderIntent
    status: Status
    leaves_lots: int
    venue_order_id: str = ""
    fill_ids: list[str] = []
    filled_lots: int = 0
    qty_lots: int = 0
    limit_ticks: int = 0
    asked_lots: int | None = None
    asked_ticks: int | None = None
    shown: bool = False
    terms_ts_ns: int = 0
    arrival2_ticks: int = 0
    arrival_is_mid: bool = False
    untold_lots: int = 0

    @property
    def is_live(self) -> bool:
        return self.status in LIVE

    @property
    def is_amending(self) -> bool:
        """Whether an amend is under way: which terms stand is not known."""
        return self.is_live and (self.asked_lots is not None or self.asked_ticks is not None)

    def is_as_asked(self, qty_lots: int, limit_ticks: int) -> bool:
        """Whether these terms are what the amend under way asks for."""
        return self.asked_lots in (None, qty_lots) and self.asked_ticks in (None, limit_ticks)

    @property
    def reserved_lots(self) -> int:
        """Lots that may still trade, or have traded and are not told yet: of what stands, and of what an amend under way asks for."""
        if not self.is_live:
            return self.untold_lots
        return max(self.leaves_lots, max(self.qty_lots, self.asked_lots or 0) - self.filled_lots)


class Orders:
    """Orders by client id: all live ones, and the last `FINISHED_KEPT` finished ones.

    Attributes
    ----------
    version : int
        Grows with whatever may change what is open or rests; see `changed_since`.
    """

    def __init__(self) -> None:
        self.version = 0
        self._changed: dict[str, int] = {}
        self._open: dict[str, tuple[int, int, int, int]] = {}
        self._counted = (0, 0)
        self.by_id: dict[str, OrderState] = {}
        self.live: dict[str, dict[str, OrderState]] = {}
        self.finished: deque[str] = deque()
        self.strange: deque[str] = deque(maxlen=STRANGE_KEPT)
        self.untold: dict[str, dict[str, OrderState]] = {}

    def add(self, order: OrderIntent) -> None:
        """A new order, sent and not yet answered; it reserves its whole quantity from now on."""
        state = OrderState(
            order=order, status=Status.PENDING_NEW, leaves_lots=order.qty_lots, qty_lots=order.qty_lots, limit_ticks=order.limit_ticks
        )
        self.by_id[order.client_order_id] = state
        self.live.setdefault(order.instrument, {})[order.client_order_id] = state
        self.touched(order.instrument)

    def report(self, client_order_id: str, report: Report) -> OrderState:
        """Move an order along its table.

        Raises
        ------
        KeyError
            The order is not ours, or was forgotten.
        IllegalTransition
            The table has no such move; nothing is changed.
        """
        state = self.by_id[client_order_id]
        was_live = state.is_live
        state.status = advance(state.status, report)
        state.shown = state.shown or report in BY_VENUE
        if was_live and not state.is_live:
            self._finish(state)
        self.touched(state.order.instrument)
        return state

    def unanswered(self, client_order_id: str, *, is_creation: bool) -> OrderState:
        """A request's answer was lost; only an unshown order's creation makes it UNKNOWN. Raises as `report` does."""
        state = self.by_id[client_order_id]
        return self.report(client_order_id, Report.NO_REPLY if is_creation and not state.shown else Report.ANSWER_LOST)

    def amend_sent(self, client_order_id: str, qty_lots: int | None, limit_ticks: int | None) -> OrderState:
        """An amend leaves; until it is settled the larger quantity stays reserved. Raises as `report` does."""
        state = self.report(client_order_id, Report.AMEND_SENT)
        state.asked_lots, state.asked_ticks = qty_lots, limit_ticks
        return state

    def amended(self, client_order_id: str, qty_lots: int, limit_ticks: int, ts_ns: int) -> OrderState:
        """At `ts_ns` the venue showed the order with this whole quantity and limit. Raises as `report` does.

        What is older than the terms known is no news. Terms that the amend under way does not ask for are those of an earlier one, or the
        venue's own doing: they stand, and settle nothing.
        """
        state = self.by_id[client_order_id]
        if ts_ns < state.terms_ts_ns:
            return state
        if not state.is_amending or state.is_as_asked(qty_lots, limit_ticks):
            self.report(client_order_id, Report.AMENDED)
            state.asked_lots = state.asked_ticks = None
        state.qty_lots, state.limit_ticks, state.terms_ts_ns = qty_lots, limit_ticks, ts_ns
        self.touched(state.order.instrument)
        if state.is_live:
            state.leaves_lots = max(0, qty_lots - state.filled_lots)
        elif state.status is Status.FILLED:
            self._expect(state, qty_lots)
        return state

    def canceled(self, client_order_id: str, cum_lots: int | None) -> OrderState:
        """The order is over, and `cum_lots` of it traded by the venue's word: what was not told of them stays reserved.

        Raises as `report` does.
        """
        state = self.report(client_order_id, Report.CANCELED)
        if cum_lots is not None:
            self._expect(state, cum_lots)
        return state

    def amend_refused(self, client_order_id: str) -> OrderState:
        """The venue did not change the order. Raises as `report` does."""
        state = self.report(client_order_id, Report.AMEND_REFUSED)
        state.asked_lots = state.asked_ticks = None
        return state

    def fill(self, fill: OrderFilled) -> OrderState | None:
        """Apply a fill to its order; None when this fill was seen before.

        Raises
        ------
        KeyError
            The order is not ours, or was forgotten.
        IllegalTransition
            The table has no such move, or the fill is of another instrument or side; nothing is changed.
        """
        state = self.by_id[fill.client_order_id]
        if fill.fill_id in state.fill_ids or fill.fill_id in self.strange:
            return None
        if fill.instrument != state.order.instrument or fill.side is not state.order.side:
            raise IllegalTransition(
                f"fill {fill.fill_id}: {fill.side} {fill.instrument}",
                why=f"the order is to {state.order.side} {state.order.instrument}",
                fix="stop new risk and reconcile",
            )
        if state.filled_lots + fill.qty_lots > max(state.qty_lots, state.asked_lots or 0):
            raise IllegalTransition(
                f"fill {fill.fill_id} of {fill.qty_lots} lots",
                why=f"{state.filled_lots} of {state.qty_lots} lots were filled before",
                fix="stop new risk and reconcile",
            )
        is_last = fill.leaves_lots == 0 and state.status not in (Status.FILLED, Status.CANCELED)  # what is told after the end was missed
        self.report(fill.client_order_id, Report.LAST_FILL if is_last else Report.PART_FILL)
        state.fill_ids.append(fill.fill_id)
        state.filled_lots += fill.qty_lots
        over = fill.leaves_lots == 0 or not state.is_live
        state.leaves_lots = 0 if over else max(0, state.qty_lots - state.filled_lots)  # a part not told yet stays reserved
        if is_last:
            self._expect(state, state.qty_lots)
        elif state.untold_lots:
            self._expect(state, state.filled_lots - fill.qty_lots + state.untold_lots)
        return state

    def _expect(self, state: OrderState, cum_lots: int) -> None:
        """An order that is over traded so many lots in all."""
        untold_lots = max(0, cum_lots - state.filled_lots)
        if untold_lots == state.untold_lots:
            return
        name, untold = state.order.client_order_id, self.untold.setdefault(state.order.instrument, {})
        state.untold_lots = untold_lots
        if untold_lots:
            untold[name] = state
        else:
            untold.pop(name, None)
        self.touched(state.order.instrument)

    def touched(self, instrument: str) -> None:
        """An order of this instrument has changed: whoever changes one calls it before anybody reads."""
        self.version += 1
        self._changed.pop(instrument, None)  # the newest stands last
        self._changed[instrument] = self.version
        self._open.pop(instrument, None)

    def changed_since(self, version: int) -> list[str]:
        """Instruments whose orders have changed since that version."""
        found: list[str] = []
        for instrument in reversed(self._changed):
            if self._changed[instrument] <= version:
                break
            found.append(instrument)
        return found

    def is_settled(self, instrument: str) -> bool:
        """Whether no order lives, and no trade of one that is over is still to be told."""
        return not self.live.get(instrument) and not self.untold.get(instrument)

    def is_new_strange(self, fill_id: str) -> bool:
        """Whether this id of no order of ours is seen for the first time; it is remembered."""
        if fill_id in self.strange:
            return False
        self.strange.append(fill_id)
        return True

    def of(self, instrument: str) -> dict[str, OrderState]:
        """Live orders on one instrument."""
        return self.live.get(instrument, {})

    def open_lots(self, instrument: str) -> tuple[int, int]:
        """Lots still reserved by live buys and by live sells, and by trades that are still to be told."""
        return (self._open.get(instrument) or self._summed(instrument))[:2]

    def best_resting(self, instrument: str) -> tuple[int, int]:
        """Our highest resting buy and lowest resting sell, in ticks; 0 where there is none."""
        return (self._open.get(instrument) or self._summed(instrument))[2:]

    def _summed(self, instrument: str) -> tuple[int, int, int, int]:
        """Open lots and best prices, kept until an order of the instrument changes."""
        found = self._open[instrument] = (*self._reserved(instrument), *self._best(instrument))
        return found

    def _reserved(self, instrument: str) -> tuple[int, int]:
        buys = sells = 0
        for state in (*self.live.get(instrument, {}).values(), *self.untold.get(instrument, {}).values()):
            if state.order.side is Side.BUY:
                buys += state.reserved_lots
            else:
                sells += state.reserved_lots
        return buys, sells

    def _best(self, instrument: str) -> tuple[int, int]:
        resting = [s for s in self.live.get(instrument, {}).values() if s.limit_ticks]
        bids = [max(s.limit_ticks, s.asked_ticks or 0) for s in resting if s.order.side is Side.BUY]
        asks = [min(s.limit_ticks, s.asked_ticks or s.limit_ticks) for s in resting if s.order.side is Side.SELL]
        return max(bids, default=0), min(asks, default=0)

    @property
    def live_count(self) -> int:
        """How many orders live, counted again when one has changed."""
        if self._counted[0] != self.version:
            self._counted = (self.version, sum(map(len, self.live.values())))
        return self._counted[1]

    def _finish(self, state: OrderState) -> None:
        client_order_id = state.order.client_order_id
        del self.live[state.order.instrument][client_order_id]
        self.finished.append(client_order_id)
        if len(self.finished) > FINISHED_KEPT:
            self.by_id.pop(self.finished.popleft(), None)
