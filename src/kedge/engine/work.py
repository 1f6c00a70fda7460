"""Working an instrument from its position towards its target: plan, limits, orders, amends, cancels, and when to look again.

Rules: nothing new is planned while an order of the instrument is under way or UNKNOWN, or trades of one that is over are still to be
told; every order and every amend passes the gate; a timer only asks to look again, so that one that comes late, early or twice does no
harm. All memory is in the folded state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from kedge.domain.brake import SEVERITY, BrakeLevel
from kedge.domain.orders import ApprovedOrder, OrderIntent, OrderKind, Side, TimeInForce, client_order_id
from kedge.domain.outputs import AmendSent, CancelSent, OrderRefused, OrderSent, Output, TimerSet
from kedge.domain.units import E8, NS_PER_S
from kedge.engine.book_after import BookOfEngine
from kedge.engine.fold import AGAIN_TIMER, LIFE_TIMER, WORK_TIMER, equity_e8
from kedge.engine.fold_orders import LIFE_OVER
from kedge.engine.lifecycle import Status
from kedge.engine.orders import OrderState
from kedge.engine.settings import EngineSettings
from kedge.engine.state import EngineState, Slot, has_given_up
from kedge.engine.watch import Watch
from kedge.risk.gate import Gate
from kedge.risk.gate_rules import DISABLING, HALTING, PASSING, WAITS_FOR_NEWS
from kedge.risk.gate_state import Refusal, Situation
from kedge.risk.sizing import lots_within
from kedge.risk.states import FLATTEN, STOP_UNCONFIRMED, RiskState
from kedge.strategy.execution import DUST_DIVISOR, Child, Style
from kedge.strategy.execution_styles import Moment, looks_again, plan_now, touch_ticks

PACE_NS: Final = NS_PER_S
"""How long an order held back by a passing limit, or what is left after one that ended, waits before it is planned again."""

SUPERSEDED: Final = "SUPERSEDED"
LIMITS_CHANGED: Final = "LIMITS_CHANGED"
INSTRUMENT_CHANGED: Final = "INSTRUMENT_CHANGED"
_BRAKED_FROM: Final = SEVERITY[BrakeLevel.HALTED]


class Worker:
    """Sends, moves and takes back the orders of one engine.

    Parameters
    ----------
    emit : callable
        Takes an output; it is absorbed before the call returns.
    halt : callable
        Told of a refusal by a limit whose breaking halts trading, or lets it only reduce.
    book, watch : BookOfEngine, Watch
        What the account as a whole would be, and who tells of soft levels.
    """

    def __init__(
        self,
        state: EngineState,
        settings: EngineSettings,
        strategy_name: str,
        emit: Callable[[Output], None],
        halt: Callable[[Refusal], None],
        book: BookOfEngine,
        watch: Watch,
    ) -> None:
        self._gate = Gate(state.limits)
        self._book, self._watch = book, watch
        self._state, self._settings, self._policy = state, settings, settings.execution
        self._strategy_name, self._emit, self._halt = strategy_name, emit, halt
        style = settings.execution.working_style
        self.is_plain = style is Style.MARKET or style is Style.LIMIT
        self._chases = style is Style.CHASE

    @property
    def gate(self) -> Gate:
        """The gate of the limits in force."""
        if self._gate.limits is not self._state.limits:
            self._gate = Gate(self._state.limits)
        return self._gate

    @property
    def is_braked(self) -> bool:
        """Whether the guard's brake lets us send nothing at all, not even what reduces or takes back: the guard does."""
        return SEVERITY[self._state.brake_level] >= _BRAKED_FROM

    # what is wanted ------------------------------------------------------------------------------------------

    def work(self, slot: Slot) -> None:
        """Send what leads from the position to the target, unless something is already on its way."""
        state = self._state
        if self.has_given_up(slot) or not slot.decision_id or self.is_braked:
            return
        if WORK_TIMER + slot.instrument in state.timers or (state.risk_state is RiskState.HALTED and not slot.stop_failed):
            return
        is_busy = self._is_busy(slot)
        if is_busy and self.is_plain:
            return
        mark = int(state.marks[slot.index])
        wanted = plan_now(self._moment(slot, mark), self._policy)
        if wanted.again_ns:
            self._look_again(AGAIN_TIMER + slot.instrument, wanted.again_ns)
        if is_busy:
            return
        for child in wanted.children:
            if not self._submit(slot, child, mark, wanted.expires_ns):
                return

    def has_given_up(self, slot: Slot) -> bool:
        """Whether the decision in force is worked no more."""
        return has_given_up(slot, self._settings.attempts_max)

    def _is_busy(self, slot: Slot) -> bool:
        """Whether anything is under way. Nothing but another reducing order holds up the closing of a position without its stop."""
        orders = self._state.orders
        if slot.stop_failed:
            return any(order.order.reduce_only for order in orders.of(slot.instrument).values())
        return not orders.is_settled(slot.instrument)

    def goes_on(self, order: OrderState, *, was_canceled: bool) -> None:
        """An order has ended: what is left is planned again soon, but for the rest that a market order found nobody for."""
        intent, state = order.order, self._state
        takes = intent.kind is OrderKind.MARKET and not intent.trigger_ticks
        if order.is_live or (was_canceled and takes) or state.risk_state is RiskState.HALTED:
            return
        slot = state.slots[intent.instrument]
        if slot.target_lots != slot.position_lots and not slot.blocked and state.orders.is_settled(slot.instrument):
            self._look_again(WORK_TIMER + slot.instrument, state.ts_ns + PACE_NS)

    def close_out(self, slot: Slot) -> None:
        """Work towards flat, and look again soon for as long as something is held."""
        state = self._state
        if slot.position_lots and state.marks[slot.index]:
            self.work(slot)
            if not self.has_given_up(slot):
                self._look_again(WORK_TIMER + slot.instrument, state.ts_ns + PACE_NS)

    def mid2_ticks(self, slot: Slot) -> int | None:
        """Twice the mid, where a quote is at hand that may be used."""
        return slot.mid2_ticks if self._is_quoted(slot) else None

    # chasing -------------------------------------------------------------------------------------------------

    def follow(self, slot: Slot, *, at_bar: bool) -> None:
        """Move a chasing order to the touch. Without a quote it follows closes of bars where the policy says so, and nothing else."""
        if not self._chases or self._state.risk_state is RiskState.HALTED:
            return
        for order in list(self._state.orders.of(slot.instrument).values()):
            if order.order.time_in_force is TimeInForce.POST_ONLY and order.order.decision_id == slot.decision_id:
                self._follow(slot, order, at_bar=at_bar)

    def _follow(self, slot: Slot, order: OrderState, *, at_bar: bool) -> None:
        now_ns, every_ns = self._state.ts_ns, self._policy.chase_every_ns
        over_ns = slot.begun_ts_ns + self._policy.chase_life_ns
        if now_ns >= over_ns:
            return  # its life timer takes it back
        ready_ns = slot.moved_ts_ns + every_ns
        if order.status is Status.OPEN and now_ns >= ready_ns and (at_bar or self._is_quoted(slot)):
            self._move(slot, order)
        if looks_again(self._moment(slot, int(self._state.marks[slot.index])), self._policy):
            next_ns = max(ready_ns, slot.moved_ts_ns + every_ns)
            self._look_again(AGAIN_TIMER + slot.instrument, min(over_ns, next_ns if next_ns > now_ns else now_ns + every_ns))

    def _move(self, slot: Slot, order: OrderState) -> None:
        mark = int(self._state.marks[slot.index])
        ticks = touch_ticks(order.order.side, self._moment(slot, mark), self._policy)
        if not ticks or abs(ticks - order.limit_ticks) < self._policy.chase_ticks:
            return
        moved = msgspec.structs.replace(order.order, limit_ticks=ticks, qty_lots=order.qty_lots)
        answer = self.gate.check_amend(moved, order.leaves_lots, self._situation(slot, mark, moved.side, besides=order), self._state.gate)
        if isinstance(answer, ApprovedOrder):
            self._emit(AmendSent(client_order_id=moved.client_order_id, limit_ticks=ticks, reason="FOLLOWS"))
        elif answer.code not in HALTING:  # what the message limits hold back is only put off
            self._refused(moved, answer)

    # taking back ---------------------------------------------------------------------------------------------

    def cancel_superseded(self, slot: Slot) -> None:
        """An entry that rests or waits for an older decision may not fill against the new one."""
        if self.is_braked:
            return
        for order in list(self._state.orders.of(slot.instrument).values()):
            if rests(order.order) and order.status is not Status.PENDING_CANCEL:
                self._emit(CancelSent(client_order_id=order.order.client_order_id, reason=SUPERSEDED))

    def cancel_all(self, reason: str, *, keep_reducing: bool) -> None:
        """Take back every order; with `keep_reducing` all but those that reduce at the market."""
        if self.is_braked:
            return
        for slot in self._state.by_index:
            for order in list(self._state.orders.of(slot.instrument).values()):
                kept = keep_reducing and order.order.reduce_only and not rests(order.order)
                if order.status is not Status.PENDING_CANCEL and not kept:
                    self._emit(CancelSent(client_order_id=order.order.client_order_id, reason=reason))

    def recheck(self, reason: str = LIMITS_CHANGED) -> None:
        """Take back what rests and would not be let through any more, after other limits or rules of the venue came into force."""
        if self.is_braked:
            return
        gate, state = self.gate, self._state
        for slot in state.by_index:
            mark = int(state.marks[slot.index])
            for order in list(state.orders.of(slot.instrument).values()):
                if not rests(order.order) or order.status is Status.PENDING_CANCEL:
                    continue
                as_it_is = msgspec.structs.replace(order.order, limit_ticks=order.limit_ticks, qty_lots=order.qty_lots)
                situation = self._situation(slot, mark, order.order.side, besides=order)
                if gate.refuses_resting(as_it_is, order.leaves_lots, situation, state.gate) is not None:
                    self._emit(CancelSent(client_order_id=order.order.client_order_id, reason=reason))

    def expire(self, client_id: str) -> None:
        """The life of a resting order is over."""
        order = self._state.orders.by_id.get(client_id)
        if order is not None and order.is_live and order.status is not Status.PENDING_CANCEL and not self.is_braked:
            self._emit(CancelSent(client_order_id=client_id, reason=LIFE_OVER))

    # orders --------------------------------------------------------------------------------------------------

    def _submit(self, slot: Slot, child: Child, mark: int, expires_ns: int) -> bool:
        order, gate = self._name(slot, child), self.gate
        answer = gate.check(order, self._situation(slot, mark, child.side), self._state.gate)
        if isinstance(answer, ApprovedOrder):
            self._emit(OrderSent(approved=answer))
            if gate.crossed or self._state.alerts:
                self._watch.order(gate.crossed, slot.instrument)
            if child.kind is OrderKind.LIMIT:
                self._emit(TimerSet(timer_id=LIFE_TIMER + order.client_order_id, due_ts_ns=expires_ns))
            return True
        self._refused(order, answer)
        if (answer.code in HALTING or answer.code in DISABLING) and not self._closes_out(slot):
            self._halt(answer)
        elif answer.code in PASSING and answer.code not in WAITS_FOR_NEWS:  # a bar plans again by itself, and so does a closing
            self._emit(TimerSet(timer_id=WORK_TIMER + slot.instrument, due_ts_ns=self._state.ts_ns + PACE_NS))
        return False

    def _closes_out(self, slot: Slot) -> bool:
        """Whether a position is being closed whatever else holds trading: no halt may end that; it is tried again."""
        return slot.stop_failed or self._state.halt_code == FLATTEN

    def _refused(self, order: OrderIntent, answer: Refusal) -> None:
        self._emit(
            OrderRefused(order=order, code=answer.code, observed=answer.observed, limit=answer.limit, limits_version=self.gate.version)
        )

    def _look_again(self, timer_id: str, due_ts_ns: int) -> None:
        pending_ns = self._state.timers.get(timer_id)
        if pending_ns is None or pending_ns > due_ts_ns:
            self._emit(TimerSet(timer_id=timer_id, due_ts_ns=due_ts_ns))

    def _name(self, slot: Slot, child: Child) -> OrderIntent:
        leg = int(not child.reduce_only)
        return OrderIntent(
            client_order_id=client_order_id(self._settings.account, slot.decision_id, leg, slot.leg, slot.attempt),
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
            trigger_ticks=child.trigger_ticks,
            trigger_rises=child.trigger_rises,
        )

    # what they are judged by ---------------------------------------------------------------------------------

    def _is_quoted(self, slot: Slot) -> bool:
        return slot.quote_ts_ns > 0 and self._state.ts_ns - slot.quote_ts_ns <= self._policy.quote_age_max_ns

    def _moment(self, slot: Slot, mark: int) -> Moment:
        state, spec = self._state, slot.spec
        largest_e8 = state.limits.order_notional_frac_max_e8 * DUST_DIVISOR // (DUST_DIVISOR + 1)  # limits may be tighter by now
        cap_e8 = max(0, equity_e8(state)) * min(self._policy.slice_notional_frac_e8, largest_e8) // E8
        largest_lots = spec.market_qty_max_lots * DUST_DIVISOR // (DUST_DIVISOR + 1)  # a slice with its dust stays within
        is_quoted = self._is_quoted(slot)
        price = max(mark, slot.ask_ticks) if is_quoted and self._closes_out(slot) else mark  # as the gate judges a way out
        return Moment(
            position_lots=slot.position_lots,
            target_lots=slot.target_lots,
            mark_ticks=mark,
            slice_lots=max(spec.order_qty_min_lots, min(lots_within(cap_e8, price, spec.tick_value_e8), largest_lots)),
            minimum_lots=max(spec.order_qty_min_lots, -(-spec.notional_min_e8 // (mark * spec.tick_value_e8))),
            now_ns=state.ts_ns,
            begun_ns=slot.begun_ts_ns,
            begun_lots=slot.begun_lots,
            begun_ticks=slot.begun_ticks,
            volume_lots=slot.seen_lots,
            tries=slot.tries,
            bid_ticks=slot.bid_ticks if is_quoted else 0,
            ask_ticks=slot.ask_ticks if is_quoted else 0,
            posted=slot.moved_ts_ns >= slot.mark_ts_ns,
            only_market=state.risk_state is not RiskState.RUNNING or slot.stop_failed,
        )

    def around(self, order: OrderIntent) -> Situation:
        """What a new order is judged by as things stand."""
        slot = self._state.slots[order.instrument]
        return self._situation(slot, int(self._state.marks[slot.index]), order.side)

    def _situation(self, slot: Slot, mark: int, side: Side, *, besides: OrderState | None = None) -> Situation:
        """The book around an order; around one that is to be moved, without that one."""
        state, orders = self._state, self._state.orders
        buys, sells = orders.open_lots(slot.instrument)
        if besides is not None:
            buys -= besides.reserved_lots if side is Side.BUY else 0
            sells -= besides.reserved_lots if side is Side.SELL else 0
        bid, ask = orders.best_resting(slot.instrument)
        self._book.sweep()
        gross, net = self._book.others(slot, side)
        now_ns, closes = state.ts_ns, slot.stop_failed
        situation = Situation(  # by place, as its fields stand: by name it takes three times as long
            RiskState.REDUCE_ONLY if closes else state.risk_state,  # it is closed also while trading is halted
            STOP_UNCONFIRMED if closes else state.halt_code,
            slot.spec,
            now_ns,
            mark,
            now_ns - slot.mark_ts_ns,
            equity_e8(state),
            slot.position_lots,
            net,
            now_ns - slot.quote_ts_ns,
            self._settings.interval_ns,
            slot.volume_avg_lots,
            buys,
            sells,
            gross,
            len(orders.of(slot.instrument)),
            orders.live_count,
            bid,
            ask,
            slot.bid_ticks,
            slot.ask_ticks,
            self._policy.quote_age_max_ns,
            slot.quote_gap_ns(now_ns),
            self._settings.stop_distance_frac_e8,
            now_ns - state.books_ts_ns if state.books_ts_ns else -1,
            slot.only_reduces,
            self._book,
        )
        self._book.judging(situation)
        return situation


def rests(order: OrderIntent) -> bool:
    """Whether an order can stay at the venue: a limit, or one that waits for its trigger."""
    return order.kind is OrderKind.LIMIT or order.trigger_ticks > 0
