"""Folding: how events and outputs change the state. Decides nothing, so recovery can run it alone.

`observe(event)` and `absorb(output)` are the only writers of `EngineState`. What cannot be understood (a report
that the table forbids, an order that is not ours, a fill that our books cannot hold) is remembered in `last_trouble`;
the decider turns it into a halt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kedge.domain.errors import IllegalTransition, InvalidInput
from kedge.domain.events import (
    BarClosed,
    BooksDiffer,
    CashMoved,
    CommandGiven,
    Event,
    FeedGap,
    FundingKnown,
    FundingSettled,
    InstrumentChanged,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderProvenAbsent,
    OrderRejected,
    OrderUnanswered,
    PositionAdopted,
    RunEnded,
    TimerFired,
)
from kedge.domain.orders import FillCause, Liquidity, Side
from kedge.domain.outputs import CancelSent, Decided, OrderRefused, OrderSent, Output, Predicted, RiskStateChanged, TimerSet
from kedge.domain.units import E8, to_float
from kedge.engine.lifecycle import Report, Status
from kedge.engine.rows import RowFiller
from kedge.engine.settings import EngineSettings
from kedge.engine.state import EngineState, Slot
from kedge.kernel.account import DAY, EQUITY, book_fill, book_flow, book_funding, mark_account, revalue
from kedge.kernel.fees import fee_e8
from kedge.kernel.funding import funding_paid_e8
from kedge.learning.feature_rows import CLOSE
from kedge.learning.features import FeatureSet, update_features
from kedge.risk.gate import HALTING, PASSING
from kedge.risk.states import RiskState
from kedge.strategy.base import MODEL_VETOES

VOLUME_SHIFT = 4
"""The usual bar volume is an exponential mean with weight 1/16, in integers."""

BELOW_MINIMUM = "BELOW_MINIMUM"
TAKEN = frozenset({"OK", BELOW_MINIMUM})
"""Decisions that set a new target; one below the venue's minimum sets it to flat. Every other code leaves the old one."""

WORK_TIMER = "work:"
LIFE_TIMER = "life:"

FUNDING_ID = "funding:"
CASH_ID = "cash:"


class Fold:
    """The writer of one engine's state."""

    def __init__(self, state: EngineState, settings: EngineSettings, features: FeatureSet) -> None:
        self.state = state
        self.settings = settings
        self._ops = features.ops
        self._warmup = features.warmup_bars
        rows = RowFiller(state, settings, features)
        self._fill_row = None if features.closes_only else rows.fill
        self._slots = state.slots
        self._account, self._funnel = state.account, state.funnel
        self._columns = (state.lots, state.costs, state.marks, state.tick_values)
        self._observers: dict[type, Callable[[Any], None]] = {
            BarClosed: self._bar,
            FeedGap: self._gap,
            InstrumentChanged: self._instrument,
            FundingSettled: self._funding,
            FundingKnown: rows.learn_funding,
            CashMoved: self._cash,
            PositionAdopted: self._adopted,
            BooksDiffer: self._differ,
            OrderAccepted: self._accepted,
            OrderRejected: self._rejected,
            OrderFilled: self._fill,
            OrderCanceled: self._canceled,
            OrderUnanswered: self._unanswered,
            OrderProvenAbsent: self._absent,
            TimerFired: self._timer,
            CommandGiven: self._nothing,
            RunEnded: self._nothing,
        }
        self._absorbers: dict[type, Callable[[Any], None]] = {
            Decided: self._decided,
            Predicted: self._predicted,
            OrderSent: self._sent,
            OrderRefused: self._refused,
            CancelSent: self._cancel_sent,
            TimerSet: self._timer_set,
            RiskStateChanged: self._risk_changed,
        }

    def observe(self, event: Event) -> None:
        """Fold one event."""
        state = self.state
        if event.ts_ns > state.ts_ns:
            state.ts_ns = event.ts_ns
        self._observers[type(event)](event)

    def absorb(self, output: Output) -> None:
        """Fold one of our own outputs."""
        self._absorbers[type(output)](output)

    # events ------------------------------------------------------------------------------------------------

    def _bar(self, bar: BarClosed) -> None:
        slot = self._slots[bar.instrument]
        ticks, ts_ns, volume = bar.close_ticks, bar.ts_ns, slot.volume_avg_lots
        mark_account(self._account, slot.index, ticks, ts_ns, *self._columns)
        slot.close = close = to_float(ticks, slot.tick)
        slot.cells[CLOSE] = close
        if self._fill_row is not None:
            self._fill_row(slot, bar)
        update_features(self._ops, slot.memory, slot.out, slot.row)
        slot.ts_ns = slot.mark_ts_ns = ts_ns
        slot.volume_avg_lots = volume + ((bar.volume_lots - volume) >> VOLUME_SHIFT) if slot.warm_bars else bar.volume_lots
        slot.warm_bars += 1
        slot.ready = slot.warm_bars >= self._warmup
        self._funnel.bars += 1

    def _gap(self, gap: FeedGap) -> None:
        self.state.funnel.gaps += 1
        if gap.ts_ns - gap.from_ts_ns > self.settings.gap_bars_carried * self.settings.interval_ns:
            self._slots[gap.instrument].forget_features()

    def _instrument(self, change: InstrumentChanged) -> None:
        new, state = change.instrument, self.state
        slot = self._slots[new.instrument_id]
        lots, rest = divmod(slot.position_lots * slot.spec.lot_e8, new.lot_e8)
        if rest or state.orders.of(new.instrument_id):
            self._trouble(
                "INSTRUMENT_CHANGED", f"{slot.position_lots} lots of {slot.spec.lot_size} do not fit {new.lot_size}, or orders are open"
            )
            return
        mark = (2 * int(state.marks[slot.index]) * slot.spec.tick_e8 + new.tick_e8) // (2 * new.tick_e8)
        state.lots[slot.index], state.marks[slot.index], state.tick_values[slot.index] = lots, mark, new.tick_value_e8
        slot.target_lots = slot.target_lots * slot.spec.lot_e8 // new.lot_e8
        slot.volume_avg_lots = slot.volume_avg_lots * slot.spec.lot_e8 // new.lot_e8
        state.gate.sizes.pop(new.instrument_id, None)  # they are counted in the old lots
        slot.describe(new)
        if mark:
            mark_account(state.account, slot.index, mark, change.ts_ns, state.lots, state.costs, state.marks, state.tick_values)

    def _funding(self, event: FundingSettled) -> None:
        if event.instrument not in self._slots:
            self._trouble("FOREIGN_INSTRUMENT", f"funding of {event.paid_e8} e8 on {event.instrument}, which we do not trade")
            return
        if event.funding_id and not self.state.orders.is_new_strange(FUNDING_ID + event.funding_id):
            return
        state, slot = self.state, self._slots[event.instrument]
        if all(ts_ns < event.ts_ns for ts_ns in state.gate.fills_ns):  # else our position is a later one than that which was settled
            ours = funding_paid_e8(slot.position_lots, event.mark_e8, event.rate_e8, slot.spec.tick_e8, slot.spec.tick_value_e8)
            if event.position_lots != slot.position_lots:
                self._trouble(
                    "POSITION_DIFFERS", f"venue settled {event.position_lots} lots of {event.instrument}, we hold {slot.position_lots}"
                )
            state.differences += int(ours != event.paid_e8)
        book_funding(state.account, event.paid_e8)

    def _cash(self, event: CashMoved) -> None:
        if not event.cash_id or self.state.orders.is_new_strange(CASH_ID + event.cash_id):
            book_flow(self.state.account, event.amount_e8)

    def _adopted(self, event: PositionAdopted) -> None:
        state, slot = self.state, self._slots[event.instrument]
        state.lots[slot.index], state.costs[slot.index] = event.lots, event.cost_e8
        revalue(state.account, state.lots, state.costs, state.marks, state.tick_values)

    def _differ(self, event: BooksDiffer) -> None:
        about = " ".join(name for name in (event.instrument, event.client_order_id) if name) or "account"
        self._trouble(event.code, f"{about}: {event.ours} here, {event.theirs} at the venue")

    def _accepted(self, event: OrderAccepted) -> None:
        state = self._report(event.client_order_id, Report.ACCEPTED)
        if state is not None:
            state.venue_order_id = event.venue_order_id

    def _rejected(self, event: OrderRejected) -> None:
        before = self._status(event.client_order_id)
        order = self._report(event.client_order_id, Report.REFUSED)
        if order is not None and order.status is not before:
            refused = self.state.funnel.refused
            refused[event.code] = refused.get(event.code, 0) + 1
            self._slots[order.order.instrument].attempt += 1

    def _canceled(self, event: OrderCanceled) -> None:
        self._report(event.client_order_id, Report.CANCELED)

    def _unanswered(self, event: OrderUnanswered) -> None:
        self._report(event.client_order_id, Report.NO_REPLY)

    def _absent(self, event: OrderProvenAbsent) -> None:
        before = self._status(event.client_order_id)
        order = self._report(event.client_order_id, Report.PROVEN_ABSENT)
        if order is not None and order.status is not before:
            self._slots[order.order.instrument].attempt += 1

    def _fill(self, fill: OrderFilled) -> None:
        orders = self.state.orders
        if fill.cause is FillCause.TRADE:
            try:
                if orders.fill(fill) is None:
                    return
            except (KeyError, IllegalTransition) as error:
                if not orders.is_new_strange(fill.fill_id):
                    return
                self._trouble("FILL_NOT_UNDERSTOOD", f"{fill.fill_id} of {fill.client_order_id}: {error}")
        elif not orders.is_new_strange(fill.fill_id):
            return
        if fill.instrument not in self._slots:
            self._trouble("FOREIGN_INSTRUMENT", f"fill {fill.fill_id} of {fill.instrument}, which we do not trade")
            return
        self._book(fill, self._slots[fill.instrument])
        self.state.gate.note_fill(fill.ts_ns)
        self.state.funnel.filled += 1

    def _book(self, fill: OrderFilled, slot: Slot) -> None:
        """Money moved, so it is booked, also when the order's story makes no sense."""
        state, spec = self.state, slot.spec
        signed = fill.qty_lots if fill.side is Side.BUY else -fill.qty_lots
        before = slot.position_lots
        book_fill(state.account, slot.index, signed, fill.price_ticks, fill.fee_e8, state.lots, state.costs, state.tick_values)
        after = slot.position_lots
        state.round_trips += int(before != 0 and (after == 0 or (after > 0) != (before > 0)))
        rate = spec.maker_fee_e8 if fill.liquidity is Liquidity.MAKER else spec.taker_fee_e8
        state.differences += int(fee_e8(spec.notional_e8(fill.price_ticks, fill.qty_lots), rate) != fill.fee_e8)
        revalue(state.account, state.lots, state.costs, state.marks, state.tick_values)  # peak and losses wait for a true mark

    def _timer(self, event: TimerFired) -> None:
        self.state.timers.pop(event.timer_id, None)

    def _nothing(self, _: Event) -> None:
        """Commands and endings are recorded; what follows from them is decided and absorbed as outputs."""

    def _status(self, client_order_id: str) -> Status | None:
        order = self.state.orders.by_id.get(client_order_id)
        return order.status if order is not None else None

    def _report(self, client_order_id: str, report: Report) -> Any:
        try:
            return self.state.orders.report(client_order_id, report)
        except KeyError:
            self._trouble("FOREIGN_ORDER", f"{report} for {client_order_id}, which we did not send")
        except IllegalTransition as error:
            self._trouble("ILLEGAL_TRANSITION", f"{client_order_id}: {error.what}")
        return None

    def _trouble(self, code: str, detail: str) -> None:
        self.state.last_trouble = f"{code} {detail}"

    # outputs -----------------------------------------------------------------------------------------------

    def _decided(self, decided: Decided) -> None:
        state, slot = self.state, self._slots[decided.instrument]
        state.decisions += 1
        state.funnel.decisions += 1
        slot.exposure_e8 = decided.exposure_e8
        slot.exposure_frac = decided.exposure_e8 / E8
        if decided.code == "OK":
            state.funnel.sized += 1
        else:
            state.funnel.vetoed[decided.code] = state.funnel.vetoed.get(decided.code, 0) + 1
        slot.refused = "" if decided.code in TAKEN else decided.code
        if decided.code not in TAKEN:
            return
        slot.target_lots = decided.target_lots
        slot.decision_id = decided.decision_id
        slot.leg = slot.attempt = 0
        slot.blocked = False

    def _predicted(self, predicted: Predicted) -> None:
        self.state.predictions += 1
        slot = self._slots[predicted.instrument]
        if not predicted.veto and slot.refused in MODEL_VETOES:
            slot.refused = ""  # the next such veto is another one

    def _sent(self, sent: OrderSent) -> None:
        state, order = self.state, sent.approved.order
        state.orders.add(order)
        state.gate.note_sent(order, state.ts_ns, self.settings.limits.duplicate_window_ns)
        state.funnel.sent += 1
        self._slots[order.instrument].leg = order.slice_no + 1

    def _refused(self, refused: OrderRefused) -> None:
        vetoed = self.state.funnel.vetoed
        vetoed[refused.code] = vetoed.get(refused.code, 0) + 1
        if refused.code not in PASSING and refused.code not in HALTING:
            self._slots[refused.order.instrument].blocked = True

    def _cancel_sent(self, cancel: CancelSent) -> None:
        self._report(cancel.client_order_id, Report.CANCEL_SENT)
        self.state.gate.note_message(self.state.ts_ns)

    def _timer_set(self, timer: TimerSet) -> None:
        self.state.timers[timer.timer_id] = timer.due_ts_ns

    def _risk_changed(self, change: RiskStateChanged) -> None:
        state = self.state
        state.risk_state = RiskState(change.state)
        state.halt_code = "" if state.risk_state is RiskState.RUNNING else change.code
        state.halt_day = state.account_view[DAY]
        state.last_trouble = ""
        for slot in state.by_index:
            slot.blocked = False


def equity_e8(state: EngineState) -> int:
    """Wallet plus unrealised profit at the last marks."""
    return state.account_view[EQUITY]


def slot_of(state: EngineState, instrument: str) -> Slot:
    """The slot of an instrument this engine trades, or a clear refusal."""
    try:
        return state.slots[instrument]
    except KeyError:
        raise InvalidInput(
            f"instrument {instrument!r}", why=f"this engine trades {', '.join(state.slots)}", fix="name one of them"
        ) from None
