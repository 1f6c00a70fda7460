"""How orders meet the book, and how what trades is booked: order, position, wallet, history, all in one place.

Rules: a reduce-only order never opens. While one rests in an instrument, takers meet the book one resting order at a time, and after
each trade reduce-only orders are cut to what is left to close, youngest first. Stops on a position follow its size and go with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kedge.domain.orders import OrderKind, Side, TimeInForce
from kedge.kernel.fees import fee_e8
from kedge.kernel.positions import apply_fill
from kedge.simulation.matching import FOK_UNFILLED, POST_ONLY_WOULD_TAKE, SELF_TRADE_PREVENTED
from kedge.simulation.orderbook import BACKGROUND, Cancelled, Outcome, SelfTrade, Trade
from kedge.simulation.venue_account import Account, Slot
from kedge.simulation.venue_history import History
from kedge.simulation.venue_market import Market
from kedge.simulation.venue_tape import Tape
from kedge.simulation.venue_types import (
    CancelType,
    ClosedPnlRow,
    CreateType,
    ExecType,
    ExecutionRow,
    LogRow,
    LogType,
    OrderRow,
    RejectReason,
    Status,
    StopType,
)

_BUY: Final = Side.BUY
_SELL: Final = Side.SELL
_POST_ONLY: Final = TimeInForce.POST_ONLY
_NEW: Final = Status.NEW
_PARTIALLY_FILLED: Final = Status.PARTIALLY_FILLED
_UNTRIGGERED: Final = Status.UNTRIGGERED
_CANCELLED: Final = Status.CANCELLED
_FILLED: Final = Status.FILLED
_NOT_CANCELLED: Final = CancelType.UNKNOWN
_NO_REASON: Final = RejectReason.NONE
_TRADE: Final = ExecType.TRADE
_BUST: Final = ExecType.BUST
_LOG_TRADE: Final = LogType.TRADE
_REASONS: Final = {
    POST_ONLY_WOULD_TAKE: RejectReason.WOULD_TAKE,
    FOK_UNFILLED: RejectReason.NOT_WHOLE,
    SELF_TRADE_PREVENTED: RejectReason.SELF_MATCH,
}
OnFill = Callable[[OrderRow, Slot], None]


class Dealing:
    """Moves orders through the book and books the consequences; `on_fill` is told of fills that concern a position's stops."""

    def __init__(self, tape: Tape, accounts: dict[str, Account]) -> None:
        self.tape, self.accounts = tape, accounts
        self.on_fill: OnFill = _nothing

    # --- orders the venue makes itself -----------------------------------------------------------------------------------

    def make(self, slot: Slot, side: Side, qty_lots: int, create_type: CreateType, stop_type: StopType = StopType.NONE) -> OrderRow:
        """A reduce-only market order of the venue's own, known but not yet entered; the caller sets its price."""
        tape, account = self.tape, slot.account
        order_id = tape.order_id()
        order = OrderRow(
            account.name, slot.market.name, tape.orders_made, order_id, "", side, OrderKind.MARKET, TimeInForce.IOC, 0, qty_lots, qty_lots,
            tape.now_ns, tape.now_ns, slot.market.last_ticks, slot.market.seq, reduce_only=True, close_on_trigger=True,
            create_type=create_type, stop_type=stop_type,
        )  # fmt: skip
        account.open[order_id] = account.known[order_id] = order
        return order

    def flow(self, account: Account, amount_e8: int, log_type: LogType, sub_type: str) -> None:
        """Money in (> 0) or out of a wallet that no trade explains."""
        tape = self.tape
        tape.logs_made += 1
        account.wallet_e8 += amount_e8
        account.flows_e8 += amount_e8
        account.version += 1
        account.log.append(
            LogRow(
                account.name, tape.logs_made, tape.now_ns, log_type, sub_type, "", None, 0, 0, 0, 0, 0, amount_e8, amount_e8,
                account.wallet_e8, 0, "", "", "",
            )
        )  # fmt: skip
        tape.accounts[account] = None

    # --- into the book ---------------------------------------------------------------------------------------------------

    def enter(self, order: OrderRow, slot: Slot) -> None:
        """Bring an accepted order into the market: it trades, rests or is cancelled."""
        market = slot.market
        market.seq += 1
        if market.resting_reduce_only and order.time_in_force is not _POST_ONLY:
            outcome = self._one_by_one(order, slot)
        else:
            outcome = market.book.add(
                order.order_id, order.account, order.side, order.leaves_lots, order.price_ticks,
                time_in_force=order.time_in_force, self_trade=order.self_trade,
            )  # fmt: skip
        self._book(outcome, order, slot)

    def crowd(self, market: Market, order_id: str, side: Side, lots: int, price_ticks: int, force: TimeInForce) -> Outcome:
        """The background takes or rests; its trades with accounts are booked."""
        market.seq += 1
        if not market.resting_reduce_only:
            outcome = market.book.add(order_id, BACKGROUND, side, lots, price_ticks, time_in_force=force)
            self._trades(outcome, None, None, market)
            return outcome
        left = self._meet(market, "", BACKGROUND, side, lots, price_ticks, None)
        if not left or force is TimeInForce.IOC:
            return Outcome((), 0, left, "", ())
        return market.book.add(order_id, BACKGROUND, side, left, price_ticks, time_in_force=force)

    def cancel(self, order: OrderRow, slot: Slot, cancel_type: CancelType, reason: RejectReason) -> None:
        """Take an open order out of the book, or from waiting for its trigger, and end it."""
        if order.status is _UNTRIGGERED:
            self.unwait(order, slot)
            self.end(order, slot, Status.DEACTIVATED, cancel_type, RejectReason.NONE)
            return
        slot.market.book.cancel(order.order_id)
        self._left(order, slot)
        self.end(order, slot, _CANCELLED, cancel_type, reason)

    def unwait(self, order: OrderRow, slot: Slot) -> None:
        """A conditional order no longer waits."""
        slot.market.triggers.forget(order)
        if slot.take_profit is order:
            slot.take_profit = None
        elif slot.stop_loss is order:
            slot.stop_loss = None
        else:
            slot.conditional -= 1

    def withdraw(self, order: OrderRow, slot: Slot) -> None:
        """Take a resting order out of the book without ending it, to enter it anew."""
        slot.market.book.cancel(order.order_id)
        self._left(order, slot)

    def shrink(self, order: OrderRow, slot: Slot, leaves_lots: int) -> None:
        """Fewer lots at the same place in the queue."""
        slot.market.book.amend(order.order_id, leaves_lots=leaves_lots)
        slot.market.touch(order.side, order.price_ticks)
        cut = order.leaves_lots - leaves_lots
        order.qty_lots -= cut
        order.leaves_lots = leaves_lots
        if not order.reduce_only:
            slot.bind(order.side, -cut, order.price_ticks)
        self.changed(order, slot)

    def end(self, order: OrderRow, slot: Slot, status: Status, cancel_type: CancelType, reason: RejectReason) -> None:
        """An order is over: it moves from the open to the closed."""
        account = slot.account
        order.status, order.cancel_type, order.reject_reason = status, cancel_type, reason
        order.leaves_lots = 0
        account.open.pop(order.order_id, None)
        self.changed(order, slot)
        for old in account.closed.append(order):
            account.known.pop(old.order_id, None)
            account.closing.pop(old.order_id, None)
            if old.link_id:
                account.links.pop(old.link_id, None)

    def changed(self, order: OrderRow, slot: Slot) -> None:
        """An order changed in this operation."""
        order.updated_ns = self.tape.now_ns
        order.seq = slot.market.seq
        tape = self.tape
        tape.orders[order.order_id] = order
        tape.touch(slot)

    # --- matching --------------------------------------------------------------------------------------------------------

    def _one_by_one(self, order: OrderRow, slot: Slot) -> Outcome:
        """Like `OrderBook.add`, but what trades is booked before the next resting order is met. Its trades are not in the answer."""
        market, force, book = slot.market, order.time_in_force, slot.market.book
        if force is TimeInForce.FOK and book.walk(order.side, order.leaves_lots, order.price_ticks).qty_lots < order.leaves_lots:
            return Outcome((), 0, order.leaves_lots, FOK_UNFILLED, ())
        left = self._meet(market, order.order_id, order.account, order.side, order.leaves_lots, order.price_ticks, (order, slot))
        if left < 0:
            return Outcome((), 0, -left, SELF_TRADE_PREVENTED, ())
        if not left:
            return Outcome((), 0, 0, "", ())
        return book.add(order.order_id, order.account, order.side, left, order.price_ticks, time_in_force=force)

    def _meet(
        self, market: Market, taker_id: str, owner: str, side: Side, lots: int, limit_ticks: int, taker: tuple[OrderRow, Slot] | None
    ) -> int:
        """Trade with one resting order after another. Returns lots left, negative when self-trade prevention cancels them."""
        book, other = market.book, Side.SELL if side is _BUY else _BUY
        order, slot = taker or (None, None)
        choice = order.self_trade if order else SelfTrade.ALLOW
        while lots and book.walk(side, 1, limit_ticks).qty_lots:
            maker = next(book.orders(other))
            if choice is not SelfTrade.ALLOW and maker.owner == owner:
                if choice is not SelfTrade.CANCEL_TAKER:
                    self._prevented(Cancelled(maker.order_id, maker.leaves_lots), owner, market, taker_id)
                    book.cancel(maker.order_id)
                if choice is not SelfTrade.CANCEL_MAKER:
                    return -lots
                continue
            step = min(lots, maker.leaves_lots)
            outcome = book.add(taker_id, owner, side, step, limit_ticks, time_in_force=TimeInForce.IOC)
            self._trades(outcome, order, slot, market)
            lots -= step
        return lots

    def _book(self, outcome: Outcome, order: OrderRow, slot: Slot) -> None:
        market = slot.market
        for removed in outcome.removed:
            self._prevented(removed, order.account, market, order.order_id)
        if outcome.trades:
            self._trades(outcome, order, slot, market)
        if outcome.resting_lots:
            self._rests(order, slot)
        elif outcome.cancelled_lots:
            prevented = outcome.reason == SELF_TRADE_PREVENTED
            reason = _REASONS.get(outcome.reason, RejectReason.NO_IMMEDIATE)
            self.end(order, slot, Status.CANCELLED, CancelType.SMP if prevented else CancelType.UNKNOWN, reason)

    def _rests(self, order: OrderRow, slot: Slot) -> None:
        market = slot.market
        market.touch(order.side, order.price_ticks)
        slot.active += 1
        order.status = _PARTIALLY_FILLED if order.cum_lots else _NEW
        if order.reduce_only:
            slot.reduce_only[order.order_id] = order
            market.resting_reduce_only += 1
        else:
            slot.bind(order.side, order.leaves_lots, order.price_ticks)
        self.changed(order, slot)
        if order.reduce_only:
            self._trim(slot)

    def _left(self, order: OrderRow, slot: Slot) -> None:
        """An order is in the book no more, with `leaves_lots` left of it."""
        slot.market.touch(order.side, order.price_ticks)
        slot.active -= 1
        if order.reduce_only:
            del slot.reduce_only[order.order_id]
            slot.market.resting_reduce_only -= 1
        else:
            slot.bind(order.side, -order.leaves_lots, order.price_ticks)

    def _prevented(self, removed: Cancelled, owner: str, market: Market, taker_id: str) -> None:
        """Self-trade prevention took a resting order out of the book."""
        account = self.accounts[owner]
        maker, slot = account.open[removed.order_id], account.slots[market.name]
        self._left(maker, slot)
        maker.smp_order_id = taker_id
        self.end(maker, slot, Status.CANCELLED, CancelType.SMP, RejectReason.SELF_MATCH)

    def _trades(self, outcome: Outcome, order: OrderRow | None, slot: Slot | None, market: Market) -> None:
        tape = self.tape
        tape.markets[market] = None
        for trade in outcome.trades:
            tape.changes.append(market.print_trade(trade.side, trade.price_ticks, trade.qty_lots, tape.now_ns))
            market.touch(_SELL if trade.side is _BUY else _BUY, trade.price_ticks)
            if trade.maker_owner != BACKGROUND:
                self._maker(trade, market)
            if order is not None and slot is not None:
                self.fill(order, slot, trade.qty_lots, trade.price_ticks, False, _TRADE)
                self._after_fill(order, slot)

    def _maker(self, trade: Trade, market: Market) -> None:
        account = self.accounts[trade.maker_owner]
        order, slot = account.open[trade.maker_id], account.slots[market.name]
        if not order.reduce_only:
            slot.bind(order.side, -trade.qty_lots, order.price_ticks)
        if not trade.maker_leaves_lots:
            slot.active -= 1
            if order.reduce_only:
                del slot.reduce_only[order.order_id]
                market.resting_reduce_only -= 1
        self.fill(order, slot, trade.qty_lots, trade.price_ticks, True, _TRADE)
        self._after_fill(order, slot)

    def _after_fill(self, order: OrderRow, slot: Slot) -> None:
        if order.leaves_lots:
            self.changed(order, slot)
        else:
            self.end(order, slot, _FILLED, _NOT_CANCELLED, _NO_REASON)
        if slot.reduce_only:
            self._trim(slot)
        if order.take_profit_ticks or order.stop_loss_ticks or slot.take_profit is not None or slot.stop_loss is not None:
            self.on_fill(order, slot)

    def _trim(self, slot: Slot) -> None:
        """Cut reduce-only orders to what is left to close, the oldest first served."""
        closing = Side.SELL if slot.lots > 0 else _BUY
        room = abs(slot.lots)
        for order in list(slot.reduce_only.values()):
            if order.side is not closing or room < 1:
                self.cancel(order, slot, CancelType.REDUCE_ONLY, RejectReason.NONE)
                continue
            if order.leaves_lots > room:
                self.shrink(order, slot, room)
            room -= order.leaves_lots

    # --- books -----------------------------------------------------------------------------------------------------------

    def fill(self, order: OrderRow, slot: Slot, lots: int, price_ticks: int, is_maker: bool, exec_type: ExecType) -> None:
        """Book one fill into order, position, wallet and history."""
        account, market = slot.account, slot.market
        spec, before = market.spec, slot.lots
        signed = lots if order.side is _BUY else -lots
        value = price_ticks * lots * spec.tick_value_e8
        rate = spec.maker_fee_e8 if is_maker else spec.taker_fee_e8
        fee = fee_e8(value, rate)
        closed = min(lots, abs(before)) if before and (before > 0) != (signed > 0) else 0
        open_fee = slot.open_fee_share_e8(closed) if closed else 0
        slot.lots, slot.cost_e8, realised = apply_fill(before, slot.cost_e8, signed, price_ticks, spec.tick_value_e8)
        close_fee = fee * closed // lots if closed else 0
        slot.open_fee_e8 += fee - close_fee - open_fee
        self._moved(slot, before, realised, fee)
        order.leaves_lots -= lots
        order.cum_lots += lots
        order.cum_value_e8 += value
        order.cum_fee_e8 += fee
        order.status = _PARTIALLY_FILLED
        if closed:
            order.closed_pnl_e8 += realised - open_fee - close_fee
            exit_value = price_ticks * closed * spec.tick_value_e8
            self._closed(order, slot, exec_type, closed, realised, exit_value, open_fee, close_fee, before > 0)
        row = self._execution(order, slot, exec_type, lots, price_ticks * spec.tick_e8, value, fee, rate, is_maker, realised, closed)
        log_type = LogType.LIQUIDATION if exec_type is _BUST else _LOG_TRADE
        self.log(account, log_type, slot, row, realised, 0, fee)

    def _moved(self, slot: Slot, before: int, realised_e8: int, fee_paid_e8: int) -> None:
        """Position and wallet after a fill."""
        account, market, after = slot.account, slot.market, slot.lots
        if not before or (after and (before > 0) != (after > 0)):
            slot.opened_ns, slot.current_realised_e8 = self.tape.now_ns, 0
        slot.seq = market.seq
        slot.current_realised_e8 += realised_e8 - fee_paid_e8
        slot.cum_realised_e8 += realised_e8 - fee_paid_e8
        account.wallet_e8 += realised_e8 - fee_paid_e8
        account.cum_realised_e8 += realised_e8
        account.fees_e8 += fee_paid_e8
        market.open_interest_lots += abs(after) - abs(before)
        if after:
            market.holders[account.name] = slot
        else:
            market.holders.pop(account.name, None)
        slot.revalue()
        slot.rebind()

    def _execution(
        self, order: OrderRow, slot: Slot, exec_type: ExecType, lots: int, price_e8: int, value_e8: int, fee_paid_e8: int, rate_e8: int,
        is_maker: bool, realised_e8: int, closed_lots: int,
    ) -> ExecutionRow:  # fmt: skip
        tape, market = self.tape, slot.market
        exec_id = tape.execution_id()
        row = ExecutionRow(
            order.account, order.instrument, tape.executions_made, exec_id, order.order_id, order.link_id, exec_type, order.side,
            order.kind, order.stop_type, order.create_type, order.price_ticks, order.qty_lots, order.leaves_lots, price_e8, lots, value_e8,
            fee_paid_e8, rate_e8, is_maker, realised_e8, closed_lots, market.mark_e8, market.index_e8, tape.now_ns, market.seq,
        )  # fmt: skip
        slot.account.executions.append(row)
        tape.changes.append(row)
        return row

    def log(
        self, account: Account, log_type: LogType, slot: Slot, row: ExecutionRow, cash_flow_e8: int, funding_e8: int, fee_paid_e8: int
    ) -> None:
        """A wallet's change that an execution row explains."""
        tape = self.tape
        tape.logs_made += 1
        change = cash_flow_e8 + funding_e8 - fee_paid_e8
        account.log.append(
            LogRow(
                account.name, tape.logs_made, tape.now_ns, log_type, "", row.instrument, row.side, row.qty_lots, slot.lots, row.price_e8,
                funding_e8, fee_paid_e8, cash_flow_e8, change, account.wallet_e8, row.fee_rate_e8, row.exec_id, row.order_id, row.link_id,
            )
        )  # fmt: skip

    def _closed(
        self, order: OrderRow, slot: Slot, exec_type: ExecType, closed: int, realised_e8: int, exit_value_e8: int, open_fee_e8: int,
        close_fee_e8: int, was_long: bool,
    ) -> None:  # fmt: skip
        """Add what closed to the order's one record of closed profit."""
        rows: History[ClosedPnlRow] = slot.account.closed_pnl
        place = slot.account.closing.get(order.order_id)
        old = rows.at(place) if place is not None else None
        entry_value = exit_value_e8 - realised_e8 if was_long else exit_value_e8 + realised_e8
        now_ns, pnl = self.tape.now_ns, realised_e8 - open_fee_e8 - close_fee_e8
        if old is not None and place is not None:
            rows.replace(place, _added(old, closed, entry_value, exit_value_e8, pnl, open_fee_e8, close_fee_e8, now_ns))
            return
        rows.append(
            ClosedPnlRow(
                order.account, order.number, order.instrument, order.order_id, order.side, order.kind, exec_type, order.qty_lots,
                order.price_ticks, closed, entry_value, exit_value_e8, pnl, 1, slot.leverage_e2, open_fee_e8, close_fee_e8, now_ns, now_ns,
            )
        )  # fmt: skip
        if order.leaves_lots:
            slot.account.closing[order.order_id] = rows.place_of_last()


def _nothing(order: OrderRow, slot: Slot) -> None:
    """Nobody wants to hear of fills yet."""


def _added(
    old: ClosedPnlRow, lots: int, entry_e8: int, exit_e8: int, pnl_e8: int, open_fee_e8: int, close_fee_e8: int, now_ns: int
) -> ClosedPnlRow:
    return ClosedPnlRow(
        old.account, old.number, old.instrument, old.order_id, old.side, old.kind, old.exec_type, old.qty_lots, old.order_price_ticks,
        old.closed_lots + lots, old.entry_value_e8 + entry_e8, old.exit_value_e8 + exit_e8, old.closed_pnl_e8 + pnl_e8, old.fills + 1,
        old.leverage_e2, old.open_fee_e8 + open_fee_e8, old.close_fee_e8 + close_fee_e8, old.created_ns, now_ns,
    )  # fmt: skip
