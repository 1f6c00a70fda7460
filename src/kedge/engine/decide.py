"""Deciding: from the folded state and an event to outputs, through strategy and sizing; orders are `work`'s.

Each output is absorbed the moment it is made, so the next one of the same step sees its reservation.
"""

from __future__ import annotations

import msgspec

from kedge.domain.brake import BrakeLevel
from kedge.domain.events import (
    AccountInherited,
    BarClosed,
    BrakeTold,
    Command,
    CommandGiven,
    DailyHistory,
    Event,
    InstrumentChanged,
    LimitsChanged,
    OrderCanceled,
    OrderFilled,
    OverrideGranted,
    StopUnconfirmed,
    TimerFired,
)
from kedge.domain.orders import FillCause
from kedge.domain.outputs import AlertRaised, Decided, Output, RiskStateChanged
from kedge.domain.units import E8, NS_PER_S, to_grid
from kedge.engine.asking import Asker
from kedge.engine.book_after import BookOfEngine
from kedge.engine.fold import AGAIN_TIMER, BELOW_MINIMUM, LIFE_TIMER, TAKEN, WORK_TIMER, Fold, equity_e8
from kedge.engine.fold_orders import VENUE_ACTED
from kedge.engine.fold_rules import HARD, HISTORY_REFUSED, OVER, alert_name
from kedge.engine.settings import EngineSettings
from kedge.engine.sizing import OK, RESIZED, Capped, Sizer, kept_lots
from kedge.engine.state import EngineState, Slot
from kedge.engine.stops import ERODES, MOVES, StopKeeper
from kedge.engine.vetoes import Sized, is_valid, veto_of
from kedge.engine.watch import Watch
from kedge.engine.work import INSTRUMENT_CHANGED, Worker
from kedge.kernel.account import DAY, DAY_LOSS_E8, DRAWDOWN_E8, GROSS
from kedge.risk.gate_rules import DISABLING
from kedge.risk.gate_state import Refusal
from kedge.risk.sizing import target_lots
from kedge.risk.states import BRAKE, COMMAND, DAILY_LOSS, FLATTEN, HELD, INHERITED, STOP_UNCONFIRMED, RiskState, holds_harder, judge
from kedge.strategy.base import Prediction, Strategy, Target

RUNNING = RiskState.RUNNING
_ENDINGS = frozenset({OrderFilled, OrderCanceled})
_RARE = frozenset({LimitsChanged, BrakeTold, OverrideGranted, DailyHistory, InstrumentChanged, AccountInherited})


class Decider:
    """Makes the outputs of one engine."""

    def __init__(self, state: EngineState, settings: EngineSettings, strategy: Strategy, fold: Fold) -> None:
        self.state = state
        self.settings = settings
        self._book = BookOfEngine(state)
        self._watch = Watch(state, self._book, self._emit, settings.interval_ns)
        self.worker = Worker(state, settings, strategy.name, self._emit, self._halt_on_limit, self._book, self._watch)
        self._take_limits()
        self._strategy_name = strategy.name
        self.asker = Asker(state, settings.run_id, strategy, self._emit)
        self._absorb = fold.absorb
        self._slots = state.slots
        self._account = state.account_view
        self._made: list[Output] = []
        self._goes_on = not self.worker.is_plain
        sizing = settings.sizing
        self._sizer = Sizer(state, self._book.histories, sizing, settings) if sizing is not None else None
        self._stops = StopKeeper(state, settings.stop_distance_frac_e8) if settings.stop_distance_frac_e8 else None

    def decide(self, event: Event) -> tuple[Output, ...]:
        """Outputs wanted after `event`, which has been observed already."""
        kind = type(event)
        if kind is BarClosed:
            self._bar(self._slots[event.instrument])  # type: ignore[union-attr, index]
        elif kind is TimerFired:
            self._timer(event)  # type: ignore[arg-type]
        elif kind is CommandGiven:
            self._command(event)  # type: ignore[arg-type]
        elif kind is StopUnconfirmed:
            self._unprotected(event)  # type: ignore[arg-type]
        elif kind in _RARE:
            self._rare(event)
        elif self._stops is not None and kind in MOVES and (wanted := self._stops.after(event)) is not None:  # type: ignore[arg-type]
            self._emit(wanted)
        if self._stops is not None and kind in ERODES:
            for stop in self._stops.eroded():
                self._emit(stop)
        if kind in _ENDINGS:
            self._ended(event)  # type: ignore[arg-type]
        if self.state.last_trouble:
            self._halt_on_trouble()
        if not self._made:
            return ()
        made = tuple(self._made)
        self._made.clear()
        return made

    def _emit(self, output: Output) -> None:
        self._absorb(output)
        self._made.append(output)

    # triggers ----------------------------------------------------------------------------------------------

    def _bar(self, slot: Slot) -> None:
        state, account = self.state, self._account
        if state.limits is not self._limits:
            self._take_limits()
        if slot.days.refused is not None:
            self._history(slot)
        is_lost = account[DRAWDOWN_E8] >= self._watch_drawdown or account[DAY_LOSS_E8] >= self._watch_loss
        if is_lost or state.risk_state is not RUNNING or state.drawdown_accepted:
            self._judge()
        if self._watches and (account[GROSS] or state.alerts or self._soft_is_near()):
            self._watch.bar(slot)
        if state.halt_code == FLATTEN:
            self._close_out(slot)
            return
        targets, prediction_id, veto = self.asker.ask(slot)
        for target in targets:
            self._take(target, prediction_id)
        if veto is not None and not targets and slot.refused != veto.veto:
            self._emit(self._stand_still(slot, veto, prediction_id))
        if self._sizer is not None:
            self._resize(slot, self._sizer)
        if slot.target_lots != slot.lots_view[slot.index]:
            self.worker.follow(slot, at_bar=True)
            self.worker.work(slot)

    def _ended(self, event: OrderFilled | OrderCanceled) -> None:
        if type(event) is OrderFilled and (event.cause is not FillCause.TRADE or self.state.halt_code == FLATTEN):
            self._filled(event)
        order = self.state.orders.by_id.get(event.client_order_id) if self._goes_on else None
        if order is not None:
            self.worker.goes_on(order, was_canceled=type(event) is OrderCanceled)

    def _filled(self, event: OrderFilled) -> None:
        """A trade that a person's flattening must close again, or by which the venue itself ended a position.

        What such a position was held for is over with it: a resume begins from nothing, not with the old target.
        """
        slot = self.state.slots.get(event.instrument)
        if slot is None:
            return
        if self.state.halt_code == FLATTEN:
            self.worker.close_out(slot)
        elif event.cause in VENUE_ACTED and not slot.position_lots and (slot.target_lots or slot.exposure_e8):
            self._emit(self._plain_decision(slot, 0, 0, VENUE_ACTED[event.cause]))

    def _timer(self, event: TimerFired) -> None:
        if event.timer_id.startswith(WORK_TIMER):
            slot = self._slots[event.timer_id.removeprefix(WORK_TIMER)]
            if self.state.halt_code == FLATTEN or slot.stop_failed:
                self.worker.close_out(slot)
            else:
                self.worker.work(slot)
        elif event.timer_id.startswith(AGAIN_TIMER):
            slot = self._slots[event.timer_id.removeprefix(AGAIN_TIMER)]
            self.worker.follow(slot, at_bar=False)
            self.worker.work(slot)
        elif event.timer_id.startswith(LIFE_TIMER):
            self.worker.expire(event.timer_id.removeprefix(LIFE_TIMER))

    def _command(self, event: CommandGiven) -> None:
        ends_by_itself = self.state.risk_state is not RiskState.HALTED or self.state.halt_code == DAILY_LOSS
        if event.command is Command.HALT and ends_by_itself:
            self._change(RiskState.HALTED, COMMAND, f"{event.actor}: {event.reason}", "")
        elif event.command is Command.RESUME and self.state.risk_state is not RUNNING:
            self._resume(f"{event.actor}: {event.reason}")
        elif event.command is Command.FLATTEN:
            if not self.worker.is_braked:  # the guard closes what is held then
                self._change(RiskState.REDUCE_ONLY, FLATTEN, f"{event.actor}: {event.reason}", "flat")
            self._flatten()
        elif event.command is Command.CANCEL_ALL:
            self.worker.cancel_all(COMMAND, keep_reducing=False)

    def _resume(self, who: str) -> None:
        """Go on, as far as the guard's brake and the measures let us; see `risk.states` of a drawdown that is accepted so."""
        if self.state.brake_level is not BrakeLevel.RUNNING:
            self._brake("the guard has not released it")
            return
        self._change(RiskState.RUNNING, COMMAND, who, "")
        self._judge()
        self._halt_while_bare()

    # what is told from outside -----------------------------------------------------------------------------

    def _rare(self, event: Event) -> None:
        if isinstance(event, BrakeTold):
            self._braked(event)
        elif isinstance(event, LimitsChanged):
            if self.state.limits is not self._limits:
                self._take_limits()
                self._judge()
                self.worker.recheck()
        elif isinstance(event, OverrideGranted) and event.instrument in self._slots:
            self.worker.work(self._slots[event.instrument])
        elif isinstance(event, DailyHistory) and event.instrument in self._slots and event.closes_ticks:
            self._history(self._slots[event.instrument])
        elif isinstance(event, InstrumentChanged):
            self._other_rules(event)
        elif isinstance(event, AccountInherited):
            self._inherit(event)

    def _inherit(self, event: AccountInherited) -> None:
        """What held trading in an earlier run of the account holds it here, and the losses are judged by the limits of this run."""
        to = RiskState(event.risk_state)
        if holds_harder(self.state.risk_state, self.state.halt_code, to, event.code):
            self._change(to, event.code, f"{INHERITED}{event.reason.removeprefix(INHERITED)}", event.limit)
        if event.peak_e8 is not None:
            self._judge()

    def _other_rules(self, event: InstrumentChanged) -> None:
        """The venue's rules of an instrument are other ones: what rests and breaks them is taken back, a stop is put anew on a new grid."""
        if self._stops is not None and (wanted := self._stops.after(event)) is not None:
            self._emit(wanted)
        if not self.state.last_trouble:
            self.worker.recheck(INSTRUMENT_CHANGED)

    def _history(self, slot: Slot) -> None:
        """Tell people of daily closes that are not used, and that what was told now can be used whole."""
        refused = slot.days.refused
        if refused is not None:
            severity, (observed, limit) = HARD, refused
        elif slot.days.end_ts_ns and alert_name(HISTORY_REFUSED, slot.instrument) in self.state.alerts:
            severity, observed, limit = OVER, "every daily close that was told", ""
        else:
            return
        self._emit(AlertRaised(code=HISTORY_REFUSED, severity=severity, observed=observed, limit=limit, instrument=slot.instrument))

    def _braked(self, event: BrakeTold) -> None:
        """A brake that is on holds trading at least as hard as it says; one that was released leaves it held until a person resumes."""
        level, state = event.level, self.state
        if level is BrakeLevel.RUNNING:
            return
        to = RiskState.REDUCE_ONLY if level is BrakeLevel.REDUCE_ONLY else RiskState.HALTED
        is_milder = to is RiskState.REDUCE_ONLY and state.risk_state is not RUNNING
        is_told = state.halt_code == BRAKE and state.risk_state is to
        ends_by_itself = state.risk_state is RiskState.REDUCE_ONLY and state.halt_code not in HELD and state.halt_code != FLATTEN
        if not is_told and (not is_milder or ends_by_itself):
            self._brake(f"{level}: {state.brake_reason}".rstrip(": "))

    def _brake(self, observed: str) -> None:
        """Held by the guard: reductions only, or nothing at all; then the guard takes back what rests."""
        to = RiskState.REDUCE_ONLY if self.state.brake_level is BrakeLevel.REDUCE_ONLY else RiskState.HALTED
        self._change(to, BRAKE, observed, "released by two people")

    def _take_limits(self) -> None:
        """Use the limits of the state: those of the settings at first, later a document's."""
        self._limits = limits = self.state.limits
        self._watch_drawdown, self._watch_loss = limits.drawdown_reduce_e8, limits.daily_loss_reduce_e8
        rows = (limits.var99_soft_e8, limits.es975_soft_e8, limits.gross_leverage_soft_e8, limits.position_notional_frac_soft_e8)
        self._watches = any(rows) or bool(limits.margin_ratio_soft_e8)

    def _soft_is_near(self) -> bool:
        account, limits = self._account, self._limits
        return account[DRAWDOWN_E8] > limits.drawdown_soft_e8 or account[DAY_LOSS_E8] > limits.daily_loss_soft_e8

    # risk state --------------------------------------------------------------------------------------------

    def _unprotected(self, event: StopUnconfirmed) -> None:
        """A position without its stop: it is closed whatever else holds trading, and a person decides about new risk."""
        slot = self.state.slots.get(event.instrument)
        if slot is None or not slot.stop_failed:
            return
        ends_by_itself = self.state.risk_state is not RiskState.HALTED or self.state.halt_code == DAILY_LOSS
        if ends_by_itself and self.state.halt_code != FLATTEN:
            observed = f"{event.instrument}: {event.waited_ns / NS_PER_S:.1f} s without its stop: {event.why}"
            self._change(RiskState.HALTED, STOP_UNCONFIRMED, observed, "a stop at the venue")
        self._emit(self._plain_decision(slot, 0, 0, STOP_UNCONFIRMED))
        self.worker.close_out(slot)

    def _halt_while_bare(self) -> None:
        """Whoever resumes while a position that is being closed for want of its stop still stands without it is halted again."""
        bare = next((slot for slot in self.state.by_index if slot.stop_failed), None)
        if bare is not None:
            self._change(RiskState.HALTED, STOP_UNCONFIRMED, f"{bare.instrument} is still without its stop", "a stop at the venue")

    def _judge(self) -> None:
        state = self.state
        account, day_over = self._account, self._account[DAY] > state.halt_day
        losses = account[DRAWDOWN_E8], account[DAY_LOSS_E8]
        is_accepted = state.drawdown_accepted
        change = judge(state.risk_state, state.halt_code, *losses, self._limits, day_over=day_over, is_accepted=is_accepted)
        if change is not None:
            self._change(change.state, change.code, change.observed, change.limit)

    def _halt_on_trouble(self) -> None:
        if self.state.halt_code == FLATTEN:  # it only reduces, and a halt would leave standing what a person wants closed
            self._change(RiskState.REDUCE_ONLY, FLATTEN, self.state.last_trouble, "flat")
            return
        code, _, detail = self.state.last_trouble.partition(" ")
        self._change(RiskState.HALTED, code, detail, "books that agree")

    def _halt_on_limit(self, refusal: Refusal) -> None:
        to = RiskState.REDUCE_ONLY if refusal.code in DISABLING else RiskState.HALTED
        self._change(to, refusal.code, refusal.observed, refusal.limit)

    def _change(self, to: RiskState, code: str, observed: str, limit: str) -> None:
        self._emit(RiskStateChanged(state=to, code=code, observed=observed, limit=limit))
        if to is not RiskState.RUNNING and not self.worker.is_braked:
            self.worker.cancel_all(f"RISK_{self.state.halt_code}", keep_reducing=to is RiskState.REDUCE_ONLY)
        if to is RiskState.RUNNING and self._sizer is not None:
            self._size_anew()

    def _size_anew(self) -> None:
        """Trading goes on: what was wanted before and is not held was sized for another market, so the strategy is asked again."""
        equity = equity_e8(self.state)
        for slot in self.state.by_index if equity > 0 else ():
            kept, wanted = kept_lots(slot), slot.target_lots
            if kept != wanted:  # its exposure is that of what is held, and so another one than the wish
                exposure_e8 = -(-slot.spec.notional_e8(int(self.state.marks[slot.index]), abs(kept)) * E8 // equity)
                anew = self._plain_decision(slot, exposure_e8 if kept > 0 else -exposure_e8, kept, RESIZED)
                self._emit(msgspec.structs.replace(anew, observed=f"{wanted} lots wanted before trading was held", limit="sized anew"))

    def _flatten(self) -> None:
        """Every target becomes zero, and what is held is closed slice by slice."""
        for slot in self.state.by_index:
            if slot.position_lots or slot.target_lots or slot.exposure_e8:
                self._emit(self._flat(slot))
                self.worker.close_out(slot)

    def _close_out(self, slot: Slot) -> None:
        """Go on closing what a person wants closed, with another decision where the venue's refusals had used up the last one."""
        if slot.position_lots and self.worker.has_given_up(slot):
            self._emit(self._flat(slot))
        self.worker.close_out(slot)

    def _flat(self, slot: Slot) -> Decided:
        return self._plain_decision(slot, 0, 0, FLATTEN)

    def _stand_still(self, slot: Slot, prediction: Prediction, prediction_id: str) -> Decided:
        """The model's own refusal: everything stays as it is."""
        plain = self._plain_decision(slot, slot.exposure_e8, slot.target_lots, "the model is not to be followed here")
        told = {"code": prediction.veto, "observed": prediction.observed, "limit": prediction.limit}
        return msgspec.structs.replace(plain, **told, prediction_id=prediction_id)

    def _plain_decision(self, slot: Slot, exposure_e8: int, target_lots: int, reason: str) -> Decided:
        return Decided(
            decision_id=f"{self.settings.run_id}.{self.state.decisions + 1}",
            strategy=self._strategy_name,
            instrument=slot.instrument,
            exposure_e8=exposure_e8,
            target_lots=target_lots,
            mark_ticks=int(self.state.marks[slot.index]),
            equity_e8=equity_e8(self.state),
            reason=reason,
            mid2_ticks=self.worker.mid2_ticks(slot),
        )

    # targets -----------------------------------------------------------------------------------------------

    def _take(self, target: Target, prediction_id: str) -> None:
        slot = self._slots[target.instrument]
        valid = is_valid(target)
        exposure_e8 = to_grid(target.exposure_frac, E8) if valid else 0
        if valid and exposure_e8 == slot.exposure_e8:
            return
        decided = self._decision(slot, target, exposure_e8, valid, prediction_id)
        if decided.code not in TAKEN and decided.code == slot.refused:
            return  # refused before for the same reason, and nothing else was decided since
        self._emit(decided)
        if decided.code in TAKEN:
            self.worker.cancel_superseded(slot)

    def _decision(self, slot: Slot, target: Target, exposure_e8: int, valid: bool, prediction_id: str) -> Decided:
        state = self.state
        mark, equity = int(state.marks[slot.index]), equity_e8(state)
        capped = self._sizer.cap(slot, exposure_e8) if self._sizer is not None and mark and equity > 0 else Capped(exposure_e8)
        lots = target_lots(capped.exposure_e8, equity, mark, slot.spec.tick_value_e8) if mark else 0
        code, observed, limit = veto_of(target, slot.spec, Sized(capped.exposure_e8, lots, mark, valid), self.settings.confidence_min_e8)
        if code == OK:
            code, observed, limit = capped.code, capped.observed, capped.limit
        if slot.stop_failed and code in TAKEN:
            code, observed, limit = STOP_UNCONFIRMED, "a position stood without its stop", "a person resumes"
        return Decided(
            decision_id=f"{self.settings.run_id}.{state.decisions + 1}",
            strategy=self._strategy_name,
            instrument=slot.instrument,
            exposure_e8=(exposure_e8 if capped.exposure_e8 else 0) if code in TAKEN else slot.exposure_e8,
            target_lots=lots if code == OK else 0 if code == BELOW_MINIMUM else slot.target_lots,
            mark_ticks=mark,
            equity_e8=equity,
            confidence_e8=None if target.confidence is None or not valid else to_grid(target.confidence, E8),
            expected_return_e8=None if target.expected_return_frac is None or not valid else to_grid(target.expected_return_frac, E8),
            horizon_ns=target.horizon_ns,
            reason=target.reason,
            code=code,
            observed=observed,
            limit=limit,
            prediction_id=prediction_id,
            mid2_ticks=self.worker.mid2_ticks(slot),
            bound_by=capped.bound_by,
            allowed_e8=capped.exposure_e8 if capped.bound_by and code == OK else None,
        )

    def _resize(self, slot: Slot, sizer: Sizer) -> None:
        """Cut what has come to exceed its cap; other instruments than the bar's are worked at once, this one after it."""
        for cut in sizer.too_large(slot):
            plain = self._plain_decision(cut.slot, cut.slot.exposure_e8, cut.lots, RESIZED)
            told = {"observed": cut.observed, "limit": cut.limit, "bound_by": cut.bound_by, "allowed_e8": cut.allowed_e8}
            self._emit(msgspec.structs.replace(plain, **told))
            self.worker.cancel_superseded(cut.slot)
            if cut.slot is not slot:
                self.worker.work(cut.slot)
