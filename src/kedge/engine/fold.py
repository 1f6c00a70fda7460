"""Folding: how events and outputs change the state. Decides nothing, so recovery can run it alone.

`observe(event)` and `absorb(output)` are the only writers of `EngineState`. What cannot be understood (a report
that the table forbids, an order that is not ours, a fill that our books cannot hold) is remembered in `last_trouble`;
the decider turns it into a halt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kedge.domain.events import (
    BarClosed,
    BooksDiffer,
    CashMoved,
    CommandGiven,
    CostRestated,
    Event,
    FeedGap,
    FundingKnown,
    FundingSettled,
    InstrumentChanged,
    PositionAdopted,
    QuoteLost,
    QuoteSampled,
    RunEnded,
    StopPlaced,
    StopUnconfirmed,
    TimerFired,
)
from kedge.domain.outputs import Decided, OrderRefused, Output, Predicted, RiskStateChanged, StopWanted, TimerSet
from kedge.domain.units import E8, to_float
from kedge.engine import costs
from kedge.engine.fold_orders import OrderFold
from kedge.engine.fold_rules import RuleFold
from kedge.engine.rows import RowFiller
from kedge.engine.settings import EngineSettings
from kedge.engine.state import EngineState, Slot
from kedge.kernel.account import DAY, DRAWDOWN_E8, EQUITY, book_flow, book_funding, mark_account, restate_cost, revalue
from kedge.kernel.funding import funding_paid_e8
from kedge.learning.feature_rows import CLOSE
from kedge.learning.features import FeatureSet, update_features
from kedge.risk.gate_rules import DISABLING, HALTING, PASSING
from kedge.risk.states import COMMAND, RiskState, may_accept
from kedge.strategy.base import MODEL_VETOES

VOLUME_SHIFT = 4
"""The usual bar volume is an exponential mean with weight 1/16, in integers."""

BELOW_MINIMUM = "BELOW_MINIMUM"
TAKEN = frozenset({"OK", BELOW_MINIMUM})
"""Decisions that set a new target; one below the venue's minimum sets it to flat. Every other code leaves the old one."""

WORK_TIMER = "work:"
AGAIN_TIMER = "again:"
LIFE_TIMER = "life:"
PLANNING_TIMERS = (WORK_TIMER, AGAIN_TIMER)
"""Timers after which orders may be sent or moved."""

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
            CostRestated: self._restated,
            BooksDiffer: self._differ,
            QuoteSampled: self._quote,
            QuoteLost: self._quote_lost,
            StopPlaced: self._stop_placed,
            StopUnconfirmed: self._stop_unconfirmed,
            TimerFired: self._timer,
            CommandGiven: self._nothing,
            RunEnded: self._nothing,
        }
        self._absorbers: dict[type, Callable[[Any], None]] = {
            Decided: self._decided,
            Predicted: self._predicted,
            OrderRefused: self._refused,
            TimerSet: self._timer_set,
            RiskStateChanged: self._risk_changed,
            StopWanted: self._stop_wanted,
        }
        orders, rules = OrderFold(state, settings, self._trouble), RuleFold(state, self._trouble)
        self._observers.update({**orders.observers, **rules.observers})
        self._absorbers.update({**orders.absorbers, **rules.absorbers})

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
        if ts_ns >= slot.days.end_ts_ns:
            tick_e8 = slot.spec.tick_e8
            slot.days.over(ts_ns, ticks * tick_e8, slot.mark_ts_ns, int(self.state.marks[slot.index]) * tick_e8)
        mark_account(self._account, slot.index, ticks, ts_ns, *self._columns)
        slot.close = close = to_float(ticks, slot.tick)
        slot.cells[CLOSE] = close
        if self._fill_row is not None:
            self._fill_row(slot, bar)
        update_features(self._ops, slot.memory, slot.out, slot.row)
        slot.ts_ns = slot.mark_ts_ns = ts_ns
        slot.volume_avg_lots = volume + ((bar.volume_lots - volume) >> VOLUME_SHIFT) if slot.warm_bars else bar.volume_lots
        slot.warm_bars += 1
        slot.seen_lots += bar.volume_lots
        slot.ready = slot.warm_bars >= self._warmup
        self._funnel.bars += 1

    def _gap(self, gap: FeedGap) -> None:
        self.state.funnel.gaps += 1
        if gap.ts_ns - gap.from_ts_ns > self.settings.gap_bars_carried * self.settings.interval_ns:
            self._slots[gap.instrument].forget_features()

    def _instrument(self, change: InstrumentChanged) -> None:
        new, state = change.instrument, self.state
        slot = self._slots[new.instrument_id]
        if (new.tick_e8, new.lot_e8) == (slot.spec.tick_e8, slot.spec.lot_e8):
            slot.describe(new)  # other rules, fees or margin on the same grid: everything that is counted stands
            return
        lots, rest = divmod(slot.position_lots * slot.spec.lot_e8, new.lot_e8)
        if rest or state.orders.of(new.instrument_id):
            self._trouble(
                "INSTRUMENT_CHANGED", f"{slot.position_lots} lots of {slot.spec.lot_size} do not fit {new.lot_size}, or orders are open"
            )
            return
        mark = (2 * int(state.marks[slot.index]) * slot.spec.tick_e8 + new.tick_e8) // (2 * new.tick_e8)
        state.lots[slot.index], state.marks[slot.index], state.tick_values[slot.index] = lots, mark, new.tick_value_e8
        target_lots = abs(slot.target_lots) * slot.spec.lot_e8 // new.lot_e8  # towards zero, as it was sized
        slot.target_lots = target_lots if slot.target_lots > 0 else -target_lots
        slot.volume_avg_lots = slot.volume_avg_lots * slot.spec.lot_e8 // new.lot_e8
        slot.begun_lots, slot.seen_lots = (lots * slot.spec.lot_e8 // new.lot_e8 for lots in (slot.begun_lots, slot.seen_lots))
        slot.begun_ticks, slot.arrival2_ticks = (
            ticks * slot.spec.tick_e8 // new.tick_e8 for ticks in (slot.begun_ticks, slot.arrival2_ticks)
        )
        slot.bid_ticks = slot.ask_ticks = slot.quote_ts_ns = 0
        state.gate.sizes.pop(new.instrument_id, None)  # they are counted in the old lots
        slot.stop_wanted_ticks = slot.stop_placed_ticks = slot.stop_lots = 0  # they are counted in the old ticks
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

    def _restated(self, event: CostRestated) -> None:
        state, slot = self.state, self._slots[event.instrument]
        restate_cost(state.account, slot.index, event.cost_e8, state.costs)
        revalue(state.account, state.lots, state.costs, state.marks, state.tick_values)

    def _differ(self, event: BooksDiffer) -> None:
        about = " ".join(name for name in (event.instrument, event.client_order_id) if name) or "account"
        detail = f" ({event.detail})" if event.detail else ""
        self._trouble(event.code, f"{about}: {event.ours} here, {event.theirs} at the venue{detail}")

    def _timer(self, event: TimerFired) -> None:
        self.state.timers.pop(event.timer_id, None)

    def _quote(self, quote: QuoteSampled) -> None:
        slot = self._slots[quote.instrument]
        slot.bid_ticks, slot.ask_ticks, slot.quote_ts_ns, slot.quote_lost_ts_ns = quote.bid_ticks, quote.ask_ticks, quote.ts_ns, 0

    def _quote_lost(self, lost: QuoteLost) -> None:
        slot = self._slots[lost.instrument]
        slot.bid_ticks = slot.ask_ticks = slot.quote_ts_ns = 0
        slot.quote_lost_ts_ns = slot.quote_lost_ts_ns or lost.ts_ns

    def _stop_placed(self, event: StopPlaced) -> None:
        slot = self._slots.get(event.instrument)
        if slot is not None:  # a stop on what we do not trade is nobody's
            slot.stop_placed_ticks = event.stop_ticks

    def _stop_unconfirmed(self, event: StopUnconfirmed) -> None:
        slot = self._slots.get(event.instrument)
        if slot is not None and slot.position_lots:
            slot.stop_failed = True

    def _nothing(self, _: Event) -> None:
        """Commands and endings are recorded; what follows from them is decided and absorbed as outputs."""

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
        self._begin_work(slot, decided)

    def _begin_work(self, slot: Slot, decided: Decided) -> None:
        """Another target: what the last one left undone is counted, and the work towards this one begins now."""
        state = self.state
        if slot.decision_id:
            state.unfilled2_e8 += costs.unfilled2_e8(slot, costs.arrival_of(decided, like=slot.arrival_is_mid))
        slot.arrival2_ticks, slot.arrival_is_mid = costs.arrival_of(decided), decided.mid2_ticks is not None
        slot.target_lots = decided.target_lots
        slot.decision_id = decided.decision_id
        slot.leg = slot.attempt = 0
        slot.blocked = False
        slot.begun_ts_ns, slot.begun_lots, slot.begun_ticks = state.ts_ns, slot.position_lots, decided.mark_ticks
        slot.seen_lots = slot.tries = 0

    def _predicted(self, predicted: Predicted) -> None:
        self.state.predictions += 1
        slot = self._slots[predicted.instrument]
        if not predicted.veto and slot.refused in MODEL_VETOES:
            slot.refused = ""  # the next such veto is another one

    def _refused(self, refused: OrderRefused) -> None:
        vetoed = self.state.funnel.vetoed
        vetoed[refused.code] = vetoed.get(refused.code, 0) + 1
        is_move = refused.order.client_order_id in self.state.orders.by_id  # of an order that stands as it was
        if refused.code not in PASSING and refused.code not in HALTING and refused.code not in DISABLING and not is_move:
            self._slots[refused.order.instrument].blocked = True

    def _stop_wanted(self, wanted: StopWanted) -> None:
        slot = self._slots[wanted.instrument]
        is_other = not wanted.position_lots or (wanted.position_lots > 0) != (slot.stop_lots > 0)
        if slot.stop_wanted_ticks and is_other:
            slot.stop_placed_ticks = 0  # the venue takes a stop away with the position it was meant for
        slot.stop_wanted_ticks, slot.stop_lots = wanted.stop_ticks, wanted.position_lots

    def _timer_set(self, timer: TimerSet) -> None:
        self.state.timers[timer.timer_id] = timer.due_ts_ns

    def _risk_changed(self, change: RiskStateChanged) -> None:
        state = self.state
        accepts = may_accept(state.risk_state, state.halt_code, state.account_view[DRAWDOWN_E8], state.limits)
        state.risk_state = RiskState(change.state)
        state.drawdown_accepted = accepts and state.risk_state is RiskState.RUNNING and change.code == COMMAND
        state.halt_code = "" if state.risk_state is RiskState.RUNNING else change.code
        state.halt_day = state.account_view[DAY]
        if state.risk_state is RiskState.RUNNING and change.code == COMMAND:
            state.gate.decisions.clear()  # a person let the strategy go on: it counts from here
        state.last_trouble = ""
        for slot in state.by_index:
            slot.blocked = False
            slot.begun_ts_ns, slot.begun_lots, slot.tries = state.ts_ns, slot.position_lots, 0
            slot.stop_failed = slot.stop_failed and (state.risk_state is not RiskState.RUNNING or slot.is_bare)


def equity_e8(state: EngineState) -> int:
    """Wallet plus unrealised profit at the last marks."""
    return state.account_view[EQUITY]
