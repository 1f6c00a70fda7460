"""The exchange core: the venue's own truth about orders, positions, margin, funding and liquidation.

Pure and single-threaded; time is an argument. It books with the kernel's laws in arrays of its own, so its books and
the engine's can be compared. Ties at one instant go in this order: funding, liquidation, stops of positions, then orders (conditional,
resting, market); instruments by id. A stop that the walk to a price of liquidation meets first closes the position before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from kedge.domain.errors import InvalidInput
from kedge.domain.events import (
    BarClosed,
    Event,
    OrderAccepted,
    OrderAmended,
    OrderAmendRefused,
    OrderRejected,
    OrderTriggered,
    OrderWaits,
    StopPlaced,
)
from kedge.domain.instrument import Instrument, InstrumentId
from kedge.domain.orders import OrderIntent, OrderKind, Side
from kedge.kernel.account import EQUITY, GROSS, WALLET, mark_if_safe
from kedge.kernel.margin import initial_margin_e8
from kedge.simulation.exchange_account import INSURANCE, FundingRate, VenueAccount, VenueSettings
from kedge.simulation.matching import Done, Match, Matcher, Triggered, WorkingOrder, is_reached

__all__ = ["INSURANCE", "ExchangeCore", "FundingRate", "VenueSettings"]

NO_EVENTS: Sequence[Event] = ()


class ExchangeCore(VenueAccount):
    """One account at a simulated venue."""

    def __init__(self, instruments: Sequence[Instrument], settings: VenueSettings, matcher: Matcher, start_ts_ns: int) -> None:
        super().__init__(instruments, settings, matcher, start_ts_ns)
        self.has_arrivals = False
        self._known_ids: set[str] = set()
        self._orders = 0
        self._opened_ns = -1

    # orders ------------------------------------------------------------------------------------------------

    def place(self, order: OrderIntent, ts_ns: int) -> Event:
        """Take or reject an order that left at `ts_ns`; the answer carries the time of arrival."""
        arrival = ts_ns + self.settings.latency_ns
        refusal = self._refusal(order)
        if refusal is not None:
            return OrderRejected(arrival, order.client_order_id, *refusal)
        self._orders += 1
        self._known_ids.add(order.client_order_id)
        venue_id = f"v{self._orders}"
        waits = order.trigger_ticks > 0
        self.working[order.instrument][order.client_order_id] = WorkingOrder(order, venue_id, arrival, order.qty_lots, is_waiting=waits)
        self._busy += 1
        self.has_arrivals = True
        return (OrderWaits if waits else OrderAccepted)(arrival, order.client_order_id, venue_id)

    def cancel(self, client_order_id: str, ts_ns: int) -> Event | None:
        """Cancel a working order; None when it works no more (its last report is on its way already)."""
        for held in self.working.values():
            if client_order_id in held:
                return self._drop(held[client_order_id], "CANCELED_BY_USER", ts_ns + self.settings.latency_ns)
        return None

    def amend(self, client_order_id: str, qty_lots: int | None, limit_ticks: int | None, ts_ns: int) -> Event:
        """Change a working order's whole quantity or limit; None leaves it. Fewer lots keep its place, anything else arrives anew."""
        arrival = ts_ns + self.settings.latency_ns
        working = next((held[client_order_id] for held in self.working.values() if client_order_id in held), None)
        if working is None:
            return OrderAmendRefused(arrival, client_order_id, "110001", "order not exists or too late to replace")
        old = working.order
        new = msgspec.structs.replace(
            old,
            qty_lots=old.qty_lots if qty_lots is None else qty_lots,
            limit_ticks=old.limit_ticks if limit_ticks is None else limit_ticks,
        )
        refusal = self._amend_refusal(working, new)
        if refusal is not None:
            return OrderAmendRefused(arrival, client_order_id, *refusal)
        working.order, working.leaves_lots = new, working.leaves_lots + new.qty_lots - old.qty_lots
        if new.limit_ticks != old.limit_ticks or new.qty_lots > old.qty_lots:
            working.is_resting, working.arrival_ts_ns, self.has_arrivals = False, arrival, True
            self.matcher.forget(client_order_id)
        return OrderAmended(arrival, client_order_id, new.qty_lots, new.limit_ticks, new.trigger_ticks)

    def set_stop(self, instrument: InstrumentId, stop_ticks: int, ts_ns: int) -> StopPlaced:
        """Put a stop at the whole position, triggered by the mark, in place of the last one; 0, or no position, leaves none."""
        held = self._lots_view[self.slots[instrument]]
        self.stops.pop(instrument, None)
        if stop_ticks and held:
            self.stops[instrument] = stop_ticks
        return StopPlaced(ts_ns + self.settings.latency_ns, instrument, self.stops.get(instrument, 0))

    # time --------------------------------------------------------------------------------------------------

    def open_bars(self, bars: Sequence[BarClosed]) -> list[Event]:
        """What the gap to the open liquidates is taken over first; then orders that have arrived meet the open of their bar."""
        events: list[Event] = []
        if bars[0].ts_ns != self._opened_ns:
            self._opened_ns = bars[0].ts_ns
            events += self._liquidate(bars, at_open=True)
            events += self._stop_out(bars, at_open=True)
        for bar in bars:
            held = self.working[bar.instrument]
            if held:
                events += self._book_answers(self.matcher.arrive(bar, list(held.values())))
        self.has_arrivals = any(not w.is_resting for held in self.working.values() for w in held.values())  # some come with a later bar
        return events

    def close_bars(self, bars: Sequence[BarClosed], fundings: Sequence[FundingRate]) -> Sequence[Event]:
        """The rest of the bars: matches inside, then funding, liquidation, matches at the close, and the new marks."""
        account = self._account_view
        if self._busy or fundings or self.stops or account[WALLET] < 0:
            return self._close_busy(bars, fundings)
        if len(bars) == 1:
            bar = bars[0]
            slot = self.slots[bar.instrument]
            if not mark_if_safe(self.account, slot, bar.low_ticks, bar.high_ticks, bar.close_ticks, bar.ts_ns, *self._columns):
                return self._close_busy(bars, fundings)
        elif not self._mark_together(bars):
            return self._close_busy(bars, fundings)
        return self._margin_call(bars[0].ts_ns) if account[GROSS] and account[EQUITY] <= account[GROSS] else NO_EVENTS

    def _mark_together(self, bars: Sequence[BarClosed]) -> bool:
        """Mark every bar's close, unless one of them may liquidate with the others at their last marks: then change nothing."""
        for bar in bars:
            held = self._lots_view[self.slots[bar.instrument]]
            if held and not self._is_far(self.slots[bar.instrument], held, bar.low_ticks if held > 0 else bar.high_ticks):
                return False
        for bar in bars:
            slot = self.slots[bar.instrument]
            if self._lots_view[slot]:
                self._mark(slot, bar.close_ticks, bar.ts_ns)
            else:
                self.marks[slot] = bar.close_ticks
        return True

    def _close_busy(self, bars: Sequence[BarClosed], fundings: Sequence[FundingRate]) -> list[Event]:
        """The whole story of `close_bars`, for bars in which something may happen."""
        events: list[Event] = []
        close_ns = bars[0].ts_ns
        if self._busy:
            answers = [
                a
                for bar in bars
                if self.working[bar.instrument]
                for a in self.matcher.match(bar, list(self.working[bar.instrument].values()))
            ]
            answers.sort(key=lambda a: a.ts_ns)
        else:
            answers = []
        events += self._book_answers([a for a in answers if a.ts_ns < close_ns])
        for funding in fundings:
            events += self._settle(funding, bars)
        events += self._liquidate(bars)
        events += self._stop_out(bars)
        events += self._book_answers([a for a in answers if a.ts_ns >= close_ns])
        for bar in bars:
            self._mark(self.slots[bar.instrument], bar.close_ticks, bar.ts_ns)
        return events + self._margin_call(close_ns)

    def change_instrument(self, new: Instrument, ts_ns: int) -> list[Event]:
        """Take a new dated record; of another grid working orders are cancelled, and the position is re-expressed exactly or refused."""
        slot = self.slots[new.instrument_id]
        old = self.specs[slot]
        is_same_grid = (new.tick_e8, new.lot_e8) == (old.tick_e8, old.lot_e8)
        stand = [] if is_same_grid else list(self.working[new.instrument_id].values())
        events: list[Event] = [self._drop(w, "INSTRUMENT_CHANGED", ts_ns) for w in stand]
        lots, rest = divmod(int(self.lots[slot]) * old.lot_e8, new.lot_e8)
        if rest:
            raise InvalidInput(
                f"{new.instrument_id}: position of {self.lots[slot]} lots of {old.lot_size}", why=f"is no whole number of {new.lot_size}"
            )
        mark = (2 * int(self.marks[slot]) * old.tick_e8 + new.tick_e8) // (2 * new.tick_e8)
        self.specs[slot] = new
        if not is_same_grid:
            self.stops.pop(new.instrument_id, None)  # it was counted in the old ticks
        self.lots[slot], self.marks[slot], self.tick_values[slot] = lots, mark, new.tick_value_e8
        self.leverages[slot] = min(self.settings.leverage_e2, new.leverage_max_e2)
        self.taker_fees[slot] = max(0, new.taker_fee_e8)
        self._describe_tiers()
        if mark:
            self._mark(slot, mark, ts_ns)
        return events

    # books -------------------------------------------------------------------------------------------------

    def _book_answers(self, answers: Iterable[Match | Done | Triggered]) -> list[Event]:
        events: list[Event] = []
        for answer in answers:
            working = answer.working
            if working.order.client_order_id not in self.working[working.order.instrument]:
                continue
            if isinstance(answer, Done):
                events.append(self._drop(working, answer.reason, answer.ts_ns))
            elif isinstance(answer, Triggered):
                events.append(OrderTriggered(answer.ts_ns, working.order.client_order_id))
            else:
                events += self._book_match(answer)
        return events

    def _book_match(self, match: Match) -> list[Event]:
        working, order = match.working, match.working.order
        slot = self.slots[order.instrument]
        lots = min(match.qty_lots, working.leaves_lots)
        if order.reduce_only:
            held = self._lots_view[slot]
            room = -held if order.side is Side.BUY else held
            lots = min(lots, max(0, room))
            if not lots:
                return [self._drop(working, "REDUCE_ONLY_NO_POSITION", match.ts_ns)]
        working.leaves_lots -= lots
        events: list[Event] = [self._fill(slot, order.side, lots, match.price_ticks, match.liquidity, match.ts_ns, working)]
        if not working.leaves_lots:
            self._forget(working)
        elif lots < match.qty_lots:
            events.append(self._drop(working, "REDUCE_ONLY_NO_POSITION", match.ts_ns))
        return events

    # margin ------------------------------------------------------------------------------------------------

    def _refusal(self, order: OrderIntent) -> tuple[str, str] | None:
        """The venue's code and words, or None to take the order."""
        if order.instrument not in self.slots:
            return "10001", "symbol invalid"
        if order.client_order_id in self._known_ids:
            return "110072", "OrderLinkedID is duplicate"
        slot = self.slots[order.instrument]
        spec, mark, market = self.specs[slot], int(self.marks[slot]), order.kind is OrderKind.MARKET
        if order.qty_lots < spec.order_qty_min_lots or order.qty_lots > (spec.market_qty_max_lots if market else spec.order_qty_max_lots):
            return "10001", "Qty invalid"
        if not market and not 0 < order.limit_ticks <= spec.price_max_ticks:
            return "110003", "Order price exceeds the allowable range"
        if not mark:
            return "110003", "no price yet"
        if order.trigger_ticks and is_reached(order, mark):
            words = f"expect {'Rising' if order.trigger_rises else 'Falling'}, but trigger_price[{order.trigger_ticks}] is reached"
            return "110092" if order.trigger_rises else "110093", words
        if order.reduce_only:
            held = int(self.lots[slot])
            return None if held * order.signed_lots < 0 else ("110017", "reduce-only order would not reduce")
        ticks = mark if market else order.limit_ticks
        if spec.notional_e8(ticks, order.qty_lots) < spec.notional_min_e8:
            return "110094", "Order does not meet minimum order value"
        return self._margin_refusal(order.signed_lots, slot, max(ticks, order.trigger_ticks))

    def _amend_refusal(self, working: WorkingOrder, new: OrderIntent) -> tuple[str, str] | None:
        """The venue's code and words, or None to change the order."""
        old = working.order
        slot = self.slots[old.instrument]
        spec, market = self.specs[slot], old.kind is OrderKind.MARKET
        if (new.qty_lots, new.limit_ticks) == (old.qty_lots, old.limit_ticks):
            return "10001", "The order remains unchanged as the parameters entered match the existing ones."
        if new.qty_lots <= old.qty_lots - working.leaves_lots:
            return "110064", "The amended quantity is not above the filled quantity"
        if not spec.order_qty_min_lots <= new.qty_lots <= (spec.market_qty_max_lots if market else spec.order_qty_max_lots):
            return "10001", "Qty invalid"
        if not market and not 0 < new.limit_ticks <= spec.price_max_ticks:
            return "110003", "Order price exceeds the allowable range"
        more = new.qty_lots - old.qty_lots
        if old.reduce_only or (more <= 0 and new.limit_ticks <= old.limit_ticks):
            return None
        return self._margin_refusal(max(0, more) if old.side is Side.BUY else -max(0, more), slot, new.limit_ticks)

    def _margin_refusal(self, signed: int, slot: int, ticks: int) -> tuple[str, str] | None:
        """Initial margin of every position and open order at its worst, with so many lots more, must stay within equity."""
        needed = 0
        for k, spec in enumerate(self.specs):
            buys = sum(
                w.leaves_lots for w in self.working[spec.instrument_id].values() if w.order.side is Side.BUY and not w.order.reduce_only
            )
            sells = sum(
                w.leaves_lots for w in self.working[spec.instrument_id].values() if w.order.side is Side.SELL and not w.order.reduce_only
            )
            more = signed if k == slot else 0
            longest, shortest = int(self.lots[k]) + buys + max(0, more), sells - int(self.lots[k]) - min(0, more)
            worst = max(longest, shortest, 0)
            if worst > spec.position_max_lots:
                return "110090", "position would exceed the maximum"
            at_ticks = max(ticks, int(self.marks[k])) if k == slot else int(self.marks[k])
            value = spec.notional_e8(at_ticks, worst)
            needed += int(initial_margin_e8(value, int(self.leverages[k]), int(longest >= shortest), int(self.taker_fees[k])))
        if needed > self._account_view[EQUITY]:
            return "110007", "ab not enough for new order"
        return None
