"""Deciding: from the folded state and an event to outputs, through strategy, sizing, plan and gate.

Each output is absorbed the moment it is made, so the next one of the same step sees its reservation.
"""

from __future__ import annotations

import msgspec

from kedge.domain.events import BarClosed, Command, CommandGiven, Event, TimerFired
from kedge.domain.orders import ApprovedOrder, OrderIntent, OrderKind, Side, client_order_id
from kedge.domain.outputs import CancelSent, Decided, OrderRefused, OrderSent, Output, RiskStateChanged, TimerSet
from kedge.domain.units import E8, NS_PER_S, to_grid
from kedge.engine.asking import Asker
from kedge.engine.fold import BELOW_MINIMUM, LIFE_TIMER, TAKEN, WORK_TIMER, Fold, equity_e8
from kedge.engine.lifecycle import Status
from kedge.engine.settings import EngineSettings
from kedge.engine.state import EngineState, Slot
from kedge.engine.vetoes import Sized, is_valid, veto_of
from kedge.kernel.account import DAY, DAY_LOSS_E8, DRAWDOWN_E8
from kedge.kernel.limits import worst_case_lots
from kedge.risk.gate import HALTING, PASSING, STALE_PRICE, Gate, Situation
from kedge.risk.sizing import lots_within, target_lots
from kedge.risk.states import DAILY_LOSS, FLATTEN, RiskState, judge
from kedge.strategy.base import Prediction, Strategy, Target
from kedge.strategy.execution import DUST_DIVISOR, Child, plan

RUNNING = RiskState.RUNNING
PACE_NS = NS_PER_S
"""How long an order held back by a passing limit waits before it is planned again."""


class Decider:
    """Makes the outputs of one engine."""

    def __init__(self, state: EngineState, settings: EngineSettings, strategy: Strategy, fold: Fold) -> None:
        self.state = state
        self.settings = settings
        self.gate = Gate(settings.limits)
        self._limits = settings.limits
        self._strategy_name = strategy.name
        self.asker = Asker(state, settings.run_id, strategy, self._emit)
        self._absorb = fold.absorb
        self._slots = state.slots
        self._account = state.account_view
        self._made: list[Output] = []
        limits = settings.limits
        self._watch_drawdown = limits.drawdown_reduce_e8
        self._watch_loss = limits.daily_loss_reduce_e8

    def decide(self, event: Event) -> tuple[Output, ...]:
        """Outputs wanted after `event`, which has been observed already."""
        kind = type(event)
        if kind is BarClosed:
            self._bar(self._slots[event.instrument])  # type: ignore[union-attr, index]
        elif kind is TimerFired:
            self._timer(event)  # type: ignore[arg-type]
        elif kind is CommandGiven:
            self._command(event)  # type: ignore[arg-type]
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
        if account[DRAWDOWN_E8] >= self._watch_drawdown or account[DAY_LOSS_E8] >= self._watch_loss or state.risk_state is not RUNNING:
            self._judge()
        if state.halt_code == FLATTEN:
            self._close_out(slot)
            return
        targets, prediction_id, veto = self.asker.ask(slot)
        for target in targets:
            self._take(target, prediction_id)
        if veto is not None and not targets and slot.refused != veto.veto:
            self._emit(self._stand_still(slot, veto, prediction_id))
        if slot.target_lots != slot.lots_view[slot.index]:
            self._work(slot)

    def _timer(self, event: TimerFired) -> None:
        if event.timer_id.startswith(WORK_TIMER):
            slot = self._slots[event.timer_id.removeprefix(WORK_TIMER)]
            if self.state.halt_code == FLATTEN:
                self._close_out(slot)
            else:
                self._work(slot)
        elif event.timer_id.startswith(LIFE_TIMER):
            order = self.state.orders.by_id.get(event.timer_id.removeprefix(LIFE_TIMER))
            if order is not None and order.is_live and order.status is not Status.PENDING_CANCEL:
                self._emit(CancelSent(client_order_id=order.order.client_order_id, reason="LIFE_OVER"))

    def _command(self, event: CommandGiven) -> None:
        ends_by_itself = self.state.risk_state is not RiskState.HALTED or self.state.halt_code == DAILY_LOSS
        held = self.state.risk_state is RiskState.HALTED or self.state.halt_code == FLATTEN
        if event.command is Command.HALT and ends_by_itself:
            self._change(RiskState.HALTED, "COMMAND", f"{event.actor}: {event.reason}", "")
        elif event.command is Command.RESUME and held:
            self._change(RiskState.RUNNING, "COMMAND", f"{event.actor}: {event.reason}", "")
            self._judge()
        elif event.command is Command.FLATTEN:
            self._change(RiskState.REDUCE_ONLY, FLATTEN, f"{event.actor}: {event.reason}", "flat")
            self._flatten()
        elif event.command is Command.CANCEL_ALL:
            self._cancel_all(keep_reducing=False, reason="COMMAND")

    # risk state --------------------------------------------------------------------------------------------

    def _judge(self) -> None:
        state = self.state
        account, day_over = self._account, self._account[DAY] > state.halt_day
        change = judge(state.risk_state, state.halt_code, account[DRAWDOWN_E8], account[DAY_LOSS_E8], self._limits, day_over=day_over)
        if change is not None:
            self._change(change.state, change.code, change.observed, change.limit)

    def _halt_on_trouble(self) -> None:
        if self.state.halt_code == FLATTEN:  # it only reduces, and a halt would leave standing what a person wants closed
            self._change(RiskState.REDUCE_ONLY, FLATTEN, self.state.last_trouble, "flat")
            return
        code, _, detail = self.state.last_trouble.partition(" ")
        self._change(RiskState.HALTED, code, detail, "books that agree")

    def _change(self, to: RiskState, code: str, observed: str, limit: str) -> None:
        self._emit(RiskStateChanged(state=to, code=code, observed=observed, limit=limit))
        if to is not RiskState.RUNNING:
            self._cancel_all(keep_reducing=to is RiskState.REDUCE_ONLY)

    def _flatten(self) -> None:
        """Every target becomes zero, and what is held is closed slice by slice."""
        for slot in self.state.by_index:
            if slot.position_lots or slot.target_lots or slot.exposure_e8:
                self._emit(self._flat(slot))
                self._close_out(slot)

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
        )

    def _close_out(self, slot: Slot) -> None:
        """Work towards flat, and look again soon for as long as something is held."""
        if slot.position_lots and self.state.marks[slot.index]:
            self._work(slot)
            given_up = slot.blocked or slot.attempt >= self.settings.attempts_max
            timer_id = WORK_TIMER + slot.instrument
            if not given_up and timer_id not in self.state.timers:
                self._emit(TimerSet(timer_id=timer_id, due_ts_ns=self.state.ts_ns + PACE_NS))

    def _cancel_all(self, *, keep_reducing: bool, reason: str = "") -> None:
        for slot in self.state.by_index:
            for order in list(self.state.orders.of(slot.instrument).values()):
                if order.status is not Status.PENDING_CANCEL and not (keep_reducing and order.order.reduce_only):
                    self._emit(CancelSent(client_order_id=order.order.client_order_id, reason=reason or f"RISK_{self.state.halt_code}"))

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
            self._cancel_superseded(slot)

    def _cancel_superseded(self, slot: Slot) -> None:
        """An entry that rests for an older decision may not fill against the new one."""
        for order in list(self.state.orders.of(slot.instrument).values()):
            if order.order.kind is OrderKind.LIMIT and order.status is not Status.PENDING_CANCEL:
                self._emit(CancelSent(client_order_id=order.order.client_order_id, reason="SUPERSEDED"))

    def _decision(self, slot: Slot, target: Target, exposure_e8: int, valid: bool, prediction_id: str) -> Decided:
        state = self.state
        mark, equity = int(state.marks[slot.index]), equity_e8(state)
        lots = target_lots(exposure_e8, equity, mark, slot.spec.tick_value_e8) if mark else 0
        code, observed, limit = veto_of(target, slot.spec, Sized(exposure_e8, lots, mark, valid), self.settings.confidence_min_e8)
        return Decided(
            decision_id=f"{self.settings.run_id}.{state.decisions + 1}",
            strategy=self._strategy_name,
            instrument=slot.instrument,
            exposure_e8=exposure_e8 if code in TAKEN else slot.exposure_e8,
            target_lots=lots if code == "OK" else 0 if code == BELOW_MINIMUM else slot.target_lots,
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
        )

    # orders ------------------------------------------------------------------------------------------------

    def _work(self, slot: Slot) -> None:
        """Send what leads from the position to the target, unless something is already on its way."""
        if slot.blocked or slot.attempt >= self.settings.attempts_max or not slot.decision_id:
            return
        if WORK_TIMER + slot.instrument in self.state.timers:
            return
        if self.state.risk_state is RiskState.HALTED or self.state.orders.of(slot.instrument):
            return
        mark = int(self.state.marks[slot.index])
        cap_e8 = max(0, equity_e8(self.state)) * self.settings.execution.slice_notional_frac_e8 // E8
        largest_lots = slot.spec.market_qty_max_lots * DUST_DIVISOR // (DUST_DIVISOR + 1)  # a slice with its dust stays within
        slice_lots = max(1, min(lots_within(cap_e8, mark, slot.spec.tick_value_e8), largest_lots))
        for child in plan(slot.position_lots, slot.target_lots, mark, slice_lots, self.settings.execution):
            if not self._submit(slot, child, mark):
                return

    def _submit(self, slot: Slot, child: Child, mark: int) -> bool:
        order = self._name(slot, child)
        answer = self.gate.check(order, self._situation(slot, mark, child.side), self.state.gate)
        if isinstance(answer, ApprovedOrder):
            self._emit(OrderSent(approved=answer))
            if child.kind is OrderKind.LIMIT:
                due = self.state.ts_ns + self.settings.execution.limit_life_ns
                self._emit(TimerSet(timer_id=LIFE_TIMER + order.client_order_id, due_ts_ns=due))
            return True
        self._emit(
            OrderRefused(order=order, code=answer.code, observed=answer.observed, limit=answer.limit, limits_version=self.gate.version)
        )
        if answer.code in HALTING:
            self._change(RiskState.HALTED, answer.code, answer.observed, answer.limit)
        elif answer.code in PASSING and answer.code != STALE_PRICE:  # only a bar mends a stale price, and it plans again itself
            self._emit(TimerSet(timer_id=WORK_TIMER + slot.instrument, due_ts_ns=self.state.ts_ns + PACE_NS))
        return False

    def _name(self, slot: Slot, child: Child) -> OrderIntent:
        leg = int(not child.reduce_only)
        return OrderIntent(
            client_order_id=client_order_id(self.settings.account, slot.decision_id, leg, slot.leg, slot.attempt),
            decision_id=slot.decision_id,
            strategy=self._strategy_name,
            instrument=slot.instrument,
            side=child.side,
            kind=child.kind,
            time_in_force=child.time_in_force,
            qty_lots=child.qty_lots,
            limit_ticks=child.limit_ticks,
            reduce_only=child.reduce_only,
            slice_no=slot.leg,
            attempt=slot.attempt,
        )

    def _situation(self, slot: Slot, mark: int, side: Side) -> Situation:
        state = self.state
        buys, sells = state.orders.open_lots(slot.instrument)
        bid, ask = state.orders.best_resting(slot.instrument)
        gross, net = self._others(slot, side)
        return Situation(
            ts_ns=state.ts_ns,
            state=state.risk_state,
            halt_code=state.halt_code,
            instrument=slot.spec,
            mark_ticks=mark,
            mark_age_ns=state.ts_ns - slot.mark_ts_ns,
            interval_ns=self.settings.interval_ns,
            volume_avg_lots=slot.volume_avg_lots,
            equity_e8=equity_e8(state),
            position_lots=slot.position_lots,
            open_buy_lots=buys,
            open_sell_lots=sells,
            gross_other_e8=gross,
            net_other_e8=net,
            open_orders_instrument=len(state.orders.of(slot.instrument)),
            open_orders_total=state.orders.live_count,
            best_own_bid_ticks=bid,
            best_own_ask_ticks=ask,
        )

    def _others(self, slot: Slot, side: Side) -> tuple[int, int]:
        """Worst-case gross notional of the other instruments, and their net if every open order of `side` fills."""
        gross = net = 0
        for other in self.state.by_index:
            if other is slot:
                continue
            mark = int(self.state.marks[other.index])
            buys, sells = self.state.orders.open_lots(other.instrument)
            gross += other.spec.notional_e8(mark, worst_case_lots(other.position_lots, buys, sells, 0))
            net += other.spec.notional_e8(mark, other.position_lots + (buys if side is Side.BUY else -sells))
        return gross, net
