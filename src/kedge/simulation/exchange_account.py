"""The account of a simulated venue: its books, live orders, margin, liquidation, and the stops that lie at positions.

Books are kept with the kernel's laws in arrays of their own. Whoever owns the account says when which part of a bar is played.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple

import msgspec
import numpy as np

from kedge.domain.events import BarClosed, CashMoved, Event, FundingSettled, OrderCanceled, OrderFilled
from kedge.domain.instrument import Instrument, InstrumentId
from kedge.domain.orders import FillCause, Liquidity, Side
from kedge.kernel.account import (
    ACCOUNT_SIZE,
    EQUITY,
    GROSS,
    WALLET,
    book_fill,
    book_flow,
    book_funding,
    mark_account,
    open_account,
    plain_view,
    revalue,
)
from kedge.kernel.fees import fee_e8
from kedge.kernel.funding import funding_paid_e8
from kedge.kernel.margin import book_maintenance_e8, liquidation_ticks
from kedge.simulation.matching import Matcher, WorkingOrder

INSURANCE: Final = "INSURANCE_COVER"


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


class VenueAccount:
    """One account: positions, money, orders and stops.

    Attributes
    ----------
    working : dict
        Live orders by instrument and client id.
    stops : dict
        Where a stop for the whole position lies, in ticks, by instrument.
    """

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
        self._fills = 0
        self._busy = 0
        self.stops: dict[InstrumentId, int] = {}

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

    def _fill(
        self,
        slot: int,
        side: Side,
        lots: int,
        ticks: int,
        liquidity: Liquidity,
        ts_ns: int,
        working: WorkingOrder | None,
        cause: FillCause = FillCause.TRADE,
    ) -> OrderFilled:
        spec, before = self.specs[slot], self._lots_view[slot]
        rate = spec.maker_fee_e8 if liquidity is Liquidity.MAKER else spec.taker_fee_e8
        fee = int(fee_e8(spec.notional_e8(ticks, lots), rate))
        book_fill(self.account, slot, lots if side is Side.BUY else -lots, ticks, fee, self.lots, self.costs, self.tick_values)
        self._revalue()
        self._fills += 1
        if before * self._lots_view[slot] <= 0:
            self.stops.pop(spec.instrument_id, None)  # a stop goes with the position that it was meant for
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
            cause,
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
            if bar.instrument in self.stops:
                extreme = self._until_stop(bar, held, extreme)
            if self._is_far(slot, held, extreme):
                continue
            at = self._liquidation_ticks(slot, bar.open_ticks, extreme)
            if at:
                events += self._take_over(slot, at, bar.open_ts_ns if at_open else bar.ts_ns)
        return events

    def _until_stop(self, bar: BarClosed, held: int, extreme: int) -> int:
        """Where the walk from the open to an extreme ends: at the stop, or at an open that is past it."""
        stop = self.stops[bar.instrument]
        return min(bar.open_ticks, max(extreme, stop)) if held > 0 else max(bar.open_ticks, min(extreme, stop))

    def _stop_out(self, bars: Sequence[BarClosed], *, at_open: bool = False) -> list[Event]:
        """Close whole positions whose stop the bar has reached, as takers at the stop; at the open where that is past it."""
        events: list[Event] = []
        for bar in bars if self.stops else ():
            slot = self.slots[bar.instrument]
            held, stop = self._lots_view[slot], self.stops.get(bar.instrument, 0)
            extreme = bar.open_ticks if at_open else bar.low_ticks if held > 0 else bar.high_ticks
            if not stop or not held or (extreme > stop if held > 0 else extreme < stop):
                continue
            at = min(bar.open_ticks, stop) if held > 0 else max(bar.open_ticks, stop)
            side = Side.SELL if held > 0 else Side.BUY
            ticks = self.matcher.taker_ticks(bar, side, abs(held), at)
            ts_ns = bar.open_ts_ns if at_open else bar.ts_ns
            events.append(self._fill(slot, side, abs(held), ticks, Liquidity.TAKER, ts_ns, None, FillCause.STOP))
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
        return self._fill(slot, side, abs(held), ticks, Liquidity.TAKER, ts_ns, None, FillCause.LIQUIDATION)
