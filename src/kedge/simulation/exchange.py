"""The exchange core: the venue's own truth about orders, positions, margin, funding and liquidation.

Pure and single-threaded; time is an argument. It books with the kernel's laws in arrays of its own, so its books and
the engine's can be compared. Ties at one instant go in this order: funding, liquidation, then orders; instruments by id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, NamedTuple

import msgspec
import numpy as np

from kedge.domain.errors import InvalidInput
from kedge.domain.events import BarClosed, CashMoved, Event, FundingSettled, OrderAccepted, OrderCanceled, OrderFilled, OrderRejected
from kedge.domain.instrument import Instrument, InstrumentId
from kedge.domain.orders import FillCause, Liquidity, OrderIntent, OrderKind, Side
from kedge.kernel.account import (
    ACCOUNT_SIZE,
    EQUITY,
    GROSS,
    WALLET,
    book_fill,
    book_flow,
    book_funding,
    mark_account,
    mark_if_safe,
    open_account,
    plain_view,
    revalue,
)
from kedge.kernel.fees import fee_e8
from kedge.kernel.funding import funding_paid_e8
from kedge.kernel.margin import book_maintenance_e8, initial_margin_e8, liquidation_ticks
from kedge.simulation.matching import Done, Match, Matcher, WorkingOrder

INSURANCE = "INSURANCE_COVER"
NO_EVENTS: Sequence[Event] = ()


class VenueSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the simulated venue treats the account.

    Attributes
    ----------
    latency_ns : int
        From leaving us to reaching the venue; answers come back at the time of arrival.
    leverage_e2 : int
        Leverage in hundredths for initial margin; 1_000 is 10 x. Lowered to each instrument's own maximum.
    """

    wallet_e8: Annotated[int, msgspec.Meta(ge=1)]
    latency_ns: Annotated[int, msgspec.Meta(ge=0)] = 50_000_000
    leverage_e2: Annotated[int, msgspec.Meta(ge=100, le=10_000)] = 1_000


class FundingRate(NamedTuple):
    """A settlement to come: positions open at `ts_ns` pay `rate_e8` of their value."""

    ts_ns: int
    instrument: InstrumentId
    rate_e8: int


class ExchangeCore:
    """One account at a simulated venue."""

    def __init__(self, instruments: Sequence[Instrument], settings: VenueSettings, matcher: Matcher, start_ts_ns: int) -> None:
        n = len(instruments)
        self.settings = settings
        self.matcher = matcher
        self.specs = list(instruments)
        self.slots = {spec.instrument_id: k for k, spec in enumerate(instruments)}
        self.account = np.zeros(ACCOUNT_SIZE, np.int64)
        self.lots, self.costs, self.marks = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
        self.tick_values = np.array([spec.tick_value_e8 for spec in instruments], np.int64)
        self.leverages = np.array([min(settings.leverage_e2, s.leverage_max_e2) for s in instruments], np.int64)
        self.taker_fees = np.array([max(0, s.taker_fee_e8) for s in instruments], np.int64)
        self._describe_tiers()
        open_account(self.account, settings.wallet_e8, start_ts_ns)
        self._columns = (self.lots, self.costs, self.marks, self.tick_values)
        self._account_view, self._lots_view = plain_view(self.account), plain_view(self.lots)
        self._marks_view, self._values_view = plain_view(self.marks), plain_view(self.tick_values)
        self.working: dict[InstrumentId, dict[str, WorkingOrder]] = {spec.instrument_id: {} for spec in instruments}
        self.has_arrivals = False
        self._known_ids: set[str] = set()
        self._orders = self._fills = 0
        self._busy = 0
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
        self.working[order.instrument][order.client_order_id] = WorkingOrder(order, venue_id, arrival, order.qty_lots)
        self._busy += 1
        self.has_arrivals = True
        return OrderAccepted(arrival, order.client_order_id, venue_id)

    def cancel(self, client_order_id: str, ts_ns: int) -> Event | None:
        """Cancel a working order; None when it works no more (its last report is on its way already)."""
        for held in self.working.values():
            if client_order_id in held:
                return self._drop(held[client_order_id], "CANCELED_BY_USER", ts_ns + self.settings.latency_ns)
        return None

    # time --------------------------------------------------------------------------------------------------

    def open_bars(self, bars: Sequence[BarClosed]) -> list[Event]:
        """What the gap to the open liquidates is taken over first; then orders that have arrived meet the open of their bar."""
        events: list[Event] = []
        if bars[0].ts_ns != self._opened_ns:
            self._opened_ns = bars[0].ts_ns
            events += self._liquidate(bars, at_open=True)
        for bar in bars:
            held = self.working[bar.instrument]
            if held:
                events += self._book_answers(self.matcher.arrive(bar, list(held.values())))
        self.has_arrivals = any(not w.is_resting for held in self.working.values() for w in held.values())  # some come with a later bar
        return events

    def close_bars(self, bars: Sequence[BarClosed], fundings: Sequence[FundingRate]) -> Sequence[Event]:
        """The rest of the bars: matches inside, then funding, liquidation, matches at the close, and the new marks."""
        account = self._account_view
        if self._busy or fundings or account[WALLET] < 0:
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
        events += self._book_answers([a for a in answers if a.ts_ns >= close_ns])
        for bar in bars:
            self._mark(self.slots[bar.instrument], bar.close_ticks, bar.ts_ns)
        return events + self._margin_call(close_ns)

    def change_instrument(self, new: Instrument, ts_ns: int) -> list[Event]:
        """Take a new dated record: working orders are cancelled, the position is re-expressed exactly or refused."""
        slot = self.slots[new.instrument_id]
        old = self.specs[slot]
        events: list[Event] = [self._drop(w, "INSTRUMENT_CHANGED", ts_ns) for w in list(self.working[new.instrument_id].values())]
        lots, rest = divmod(int(self.lots[slot]) * old.lot_e8, new.lot_e8)
        if rest:
            raise InvalidInput(
                f"{new.instrument_id}: position of {self.lots[slot]} lots of {old.lot_size}", why=f"is no whole number of {new.lot_size}"
            )
        mark = (2 * int(self.marks[slot]) * old.tick_e8 + new.tick_e8) // (2 * new.tick_e8)
        self.specs[slot] = new
        self.lots[slot], self.marks[slot], self.tick_values[slot] = lots, mark, new.tick_value_e8
        self.leverages[slot] = min(self.settings.leverage_e2, new.leverage_max_e2)
        self.taker_fees[slot] = max(0, new.taker_fee_e8)
        self._describe_tiers()
        if mark:
            self._mark(slot, mark, ts_ns)
        return events

    # books -------------------------------------------------------------------------------------------------

    def _describe_tiers(self) -> None:
        most = max(len(spec.tiers) for spec in self.specs)
        self._tiers = np.zeros((len(self.specs), most, 3), np.int64)
        self._tier_counts = np.array([len(spec.tiers) for spec in self.specs], np.int64)
        for k, spec in enumerate(self.specs):
            for n, tier in enumerate(spec.tiers):
                self._tiers[k, n] = (tier.notional_max_e8, tier.maintenance_rate_e8, tier.deduction_e8)

    def _mark(self, slot: int, ticks: int, ts_ns: int) -> None:
        mark_account(self.account, slot, ticks, ts_ns, self.lots, self.costs, self.marks, self.tick_values)

    def _revalue(self) -> None:
        revalue(self.account, self.lots, self.costs, self.marks, self.tick_values)

    def _book_answers(self, answers: Iterable[Match | Done]) -> list[Event]:
        events: list[Event] = []
        for answer in answers:
            working = answer.working
            if working.order.client_order_id not in self.working[working.order.instrument]:
                continue
            if isinstance(answer, Done):
                events.append(self._drop(working, answer.reason, answer.ts_ns))
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

    def _fill(
        self, slot: int, side: Side, lots: int, ticks: int, liquidity: Liquidity, ts_ns: int, working: WorkingOrder | None
    ) -> OrderFilled:
        spec = self.specs[slot]
        rate = spec.maker_fee_e8 if liquidity is Liquidity.MAKER else spec.taker_fee_e8
        fee = int(fee_e8(spec.notional_e8(ticks, lots), rate))
        book_fill(self.account, slot, lots if side is Side.BUY else -lots, ticks, fee, self.lots, self.costs, self.tick_values)
        self._revalue()
        self._fills += 1
        return OrderFilled(
            ts_ns,
            f"f{self._fills}",
            working.order.client_order_id if working else "",
            spec.instrument_id,
            side,
            lots,
            ticks,
            fee,
            liquidity,
            working.leaves_lots if working else 0,
            FillCause.TRADE if working else FillCause.LIQUIDATION,
        )

    def _settle(self, funding: FundingRate, bars: Sequence[BarClosed]) -> list[Event]:
        slot = self.slots[funding.instrument]
        held = self._lots_view[slot]
        closes = [bar.close_ticks for bar in bars if bar.instrument == funding.instrument]
        ticks = closes[0] if closes else int(self.marks[slot])
        if not held or not ticks:
            return []
        spec = self.specs[slot]
        mark_e8 = ticks * spec.tick_e8
        paid = int(funding_paid_e8(held, mark_e8, funding.rate_e8, spec.tick_e8, spec.tick_value_e8))
        book_funding(self.account, paid)
        return [FundingSettled(funding.ts_ns, funding.instrument, funding.rate_e8, mark_e8, held, paid)]

    def _drop(self, working: WorkingOrder, reason: str, ts_ns: int) -> OrderCanceled:
        self._forget(working)
        self.matcher.forget(working.order.client_order_id)
        return OrderCanceled(ts_ns, working.order.client_order_id, reason)

    def _forget(self, working: WorkingOrder) -> None:
        del self.working[working.order.instrument][working.order.client_order_id]
        self._busy -= 1

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
        if order.reduce_only:
            held = int(self.lots[slot])
            return None if held * order.signed_lots < 0 else ("110017", "reduce-only order would not reduce")
        ticks = mark if market else order.limit_ticks
        if spec.notional_e8(ticks, order.qty_lots) < spec.notional_min_e8:
            return "110094", "Order does not meet minimum order value"
        return self._margin_refusal(order, slot, ticks)

    def _margin_refusal(self, order: OrderIntent, slot: int, ticks: int) -> tuple[str, str] | None:
        """Initial margin of every position and open order at its worst must stay within equity."""
        needed = 0
        for k, spec in enumerate(self.specs):
            buys = sum(
                w.leaves_lots for w in self.working[spec.instrument_id].values() if w.order.side is Side.BUY and not w.order.reduce_only
            )
            sells = sum(
                w.leaves_lots for w in self.working[spec.instrument_id].values() if w.order.side is Side.SELL and not w.order.reduce_only
            )
            signed = order.signed_lots if k == slot else 0
            longest, shortest = int(self.lots[k]) + buys + max(0, signed), sells - int(self.lots[k]) - min(0, signed)
            worst = max(longest, shortest, 0)
            if worst > spec.position_max_lots:
                return "110090", "position would exceed the maximum"
            at_ticks = max(ticks, int(self.marks[k])) if k == slot else int(self.marks[k])
            value = spec.notional_e8(at_ticks, worst)
            needed += int(initial_margin_e8(value, int(self.leverages[k]), int(longest >= shortest), int(self.taker_fees[k])))
        if needed > self._account_view[EQUITY]:
            return "110007", "ab not enough for new order"
        return None

    def _maintenance(self) -> int:
        return int(
            book_maintenance_e8(self.lots, self.marks, self.tick_values, self.leverages, self.taker_fees, self._tiers, self._tier_counts)
        )

    def _liquidate(self, bars: Sequence[BarClosed], *, at_open: bool = False) -> list[Event]:
        """Each position walks from its bar's open to the extreme that hurts, or stops at the open; others stay at their last marks."""
        events: list[Event] = []
        for bar in bars:
            slot = self.slots[bar.instrument]
            held = self._lots_view[slot]
            if not held:
                continue
            extreme = bar.open_ticks if at_open else bar.low_ticks if held > 0 else bar.high_ticks
            if self._is_far(slot, held, extreme):
                continue
            at = self._liquidation_ticks(slot, bar.open_ticks, extreme)
            if at:
                events += self._take_over(slot, at, bar.open_ts_ns if at_open else bar.ts_ns)
        return events

    def _is_far(self, slot: int, held: int, extreme: int) -> bool:
        """A cheap sufficient test: equity at the extreme is above the whole gross notional there."""
        moved = held * (extreme - self._marks_view[slot]) * self._values_view[slot]
        gross = self._account_view[GROSS] + abs(moved)
        return self._account_view[EQUITY] + min(0, moved) > gross

    def _liquidation_ticks(self, slot: int, start: int, extreme: int) -> int:
        return int(
            liquidation_ticks(
                slot, start, extreme, self._account_view[WALLET], self.lots, self.costs, self.marks, self.tick_values,
                self.leverages, self.taker_fees, self._tiers, self._tier_counts,
            )
        )  # fmt: skip

    def _take_over(self, slot: int, ticks: int, ts_ns: int) -> list[Event]:
        """Cancel everything, close this position at its liquidation price; the rest follows if it is still short."""
        events: list[Event] = [self._drop(w, "LIQUIDATION", ts_ns) for held in self.working.values() for w in list(held.values())]
        events.append(self._close(slot, ticks, ts_ns))
        return events + self._margin_call(ts_ns)

    def _margin_call(self, ts_ns: int) -> list[Event]:
        """While equity does not cover maintenance margin, close the largest position at its mark; never below zero."""
        events: list[Event] = []
        while self._account_view[GROSS] and self._account_view[EQUITY] <= self._maintenance():
            if not events:
                events += [self._drop(w, "LIQUIDATION", ts_ns) for held in self.working.values() for w in list(held.values())]
            notionals = np.abs(self.lots * self.marks * self.tick_values)
            largest = int(np.argmax(notionals))
            events.append(self._close(largest, int(self.marks[largest]), ts_ns))
        if self._account_view[WALLET] < 0 and not self._account_view[GROSS]:
            cover = -self._account_view[WALLET]
            book_flow(self.account, cover)
            events.append(CashMoved(ts_ns, cover, INSURANCE))
        return events

    def _close(self, slot: int, ticks: int, ts_ns: int) -> Event:
        held = self._lots_view[slot]
        side = Side.SELL if held > 0 else Side.BUY
        return self._fill(slot, side, abs(held), ticks, Liquidity.TAKER, ts_ns, None)
