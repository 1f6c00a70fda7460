"""News of an exchange that is asked instead of listened to: what is different from the last time, in the order in which it may be told.

Rules: open orders are read before executions, so an order that is gone from them has all its fills told before its end; an end is told
only when the exchange's own row says so; executions are asked again over an overlap and told once each.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kedge.domain.events import (
    BarClosed,
    FeedGap,
    FundingKnown,
    FundingSettled,
    OrderAccepted,
    OrderAmended,
    OrderCanceled,
    OrderFilled,
    OrderRejected,
    OrderTriggered,
    OrderWaits,
)
from kedge.domain.instrument import InstrumentId
from kedge.domain.units import NS_PER_S
from kedge.domain.venue import OrderNews, VenueOrder, VenueOrderState, VenuePosition, VenueWallet

OVERLAP_NS: Final = 60 * NS_PER_S
TOLD_MAX: Final = 20_000
MISSED_MAX: Final = 60
"""How many times a request that nobody answered is looked for before the trader's own search is left alone with it."""


class AccountWatch:
    """What an account showed last, and what differs now. Pure: rows in, news out."""

    def __init__(self) -> None:
        self.since_ns = 0
        self._open: dict[str, VenueOrder] = {}
        self._asked: dict[str, tuple[InstrumentId, int]] = {}
        self._told: dict[str, None] = {}
        self._positions: dict[tuple[InstrumentId, int], VenuePosition] = {}
        self._wallet: VenueWallet | None = None

    def sent(self, instrument: InstrumentId, client_order_id: str) -> None:
        """An order of ours may exist from now on."""
        self._asked[client_order_id] = (instrument, 0)

    def never(self, client_order_id: str) -> None:
        """The exchange refused it, or it was not sent."""
        self._asked.pop(client_order_id, None)

    def begin(self, rows: Iterable[VenueOrder], executions: Iterable[OrderFilled | FundingSettled], now_ns: int) -> None:
        """Take what is there as known: it happened before anybody listened."""
        self._open = {order.client_order_id: order for order in rows if order.client_order_id}
        self._told = dict.fromkeys(_id_of(one) for one in executions)
        self.since_ns = now_ns - OVERLAP_NS

    def orders(self, rows: Iterable[VenueOrder]) -> tuple[list[OrderNews], list[tuple[InstrumentId, str]]]:
        """News of the open orders, and which of the earlier ones are to be looked up because they are not among them."""
        now = {order.client_order_id: order for order in rows if order.client_order_id}
        news = [one for name, order in now.items() for one in _changes(self._open.get(name), order)]
        gone = [(order.instrument, name) for name, order in self._open.items() if name not in now]
        gone += [(at, name) for name, (at, _) in self._asked.items() if name not in now and name not in self._open]
        for name in now:
            self._asked.pop(name, None)
        self._open |= now
        return news, gone

    def looked_up(self, name: str, found: VenueOrder | None) -> list[OrderNews]:
        """News of an order that is not among the open ones."""
        if found is None:
            at = self._asked.get(name)
            if at is not None and at[1] + 1 < MISSED_MAX:
                self._asked[name] = (at[0], at[1] + 1)
            else:
                self._asked.pop(name, None)
            return []
        if found.state in (VenueOrderState.OPEN, VenueOrderState.WAITING):
            return []
        self._open.pop(name, None)
        self._asked.pop(name, None)
        if found.state is VenueOrderState.CANCELED:
            return [OrderCanceled(found.updated_ts_ns, name, found.reason, found.cum_lots)]
        if found.state is VenueOrderState.REJECTED:
            return [OrderRejected(found.updated_ts_ns, name, found.reason, found.reason)]
        return []

    def executions(self, rows: Iterable[OrderFilled | FundingSettled]) -> list[OrderFilled | FundingSettled]:
        """Those that were not told yet."""
        fresh = [one for one in rows if _id_of(one) not in self._told]
        self._told |= dict.fromkeys(_id_of(one) for one in fresh)
        while len(self._told) > TOLD_MAX:
            del self._told[next(iter(self._told))]
        if fresh:
            self.since_ns = max(self.since_ns, fresh[-1].ts_ns - OVERLAP_NS)
        return fresh

    def positions(self, rows: Iterable[VenuePosition]) -> list[VenuePosition]:
        """Positions whose size, cost or stop changed; one that is gone is told as flat."""
        now = {(row.instrument, row.position_idx): row for row in rows}
        changed = [row for at, row in now.items() if _held(self._positions.get(at)) != _held(row)]
        gone = [_flat(row) for at, row in self._positions.items() if at not in now and row.lots]
        self._positions = now
        return changed + gone

    def wallet(self, row: VenueWallet) -> list[VenueWallet]:
        """The wallet, when its money changed."""
        before, self._wallet = self._wallet, row
        return [] if before is not None and before.wallet_e8 == row.wallet_e8 else [row]


class BarWatch:
    """The bars of one instrument in order and without repeats; what is missing between two is a gap."""

    def __init__(self, instrument: InstrumentId, last_ts_ns: int) -> None:
        self.instrument, self.last_ts_ns, self.settled_ts_ns = instrument, last_ts_ns, last_ts_ns

    def news(self, bars: Iterable[BarClosed]) -> list[BarClosed | FeedGap]:
        found: list[BarClosed | FeedGap] = []
        for bar in bars:
            if bar.ts_ns <= self.last_ts_ns:
                continue
            if bar.open_ts_ns > self.last_ts_ns:
                found.append(FeedGap(bar.open_ts_ns, self.instrument, self.last_ts_ns))
            found.append(bar)
            self.last_ts_ns = bar.ts_ns
        return found

    def rates(self, rates: Iterable[FundingKnown]) -> list[FundingKnown]:
        found = [rate for rate in rates if rate.ts_ns > self.settled_ts_ns]
        self.settled_ts_ns = max((rate.ts_ns for rate in found), default=self.settled_ts_ns)
        return found


def _changes(before: VenueOrder | None, now: VenueOrder) -> list[OrderNews]:
    ts_ns, name = now.updated_ts_ns, now.client_order_id
    if before is None:
        waits = now.state is VenueOrderState.WAITING
        return [(OrderWaits if waits else OrderAccepted)(ts_ns, name, now.venue_order_id)]
    found: list[OrderNews] = []
    if before.state is VenueOrderState.WAITING and now.state is VenueOrderState.OPEN:
        found.append(OrderTriggered(ts_ns, name))
    if _terms(before) != _terms(now):
        found.append(OrderAmended(ts_ns, name, *_terms(now)))
    return found


def _terms(order: VenueOrder) -> tuple[int, int, int]:
    return order.qty_lots, order.limit_ticks, order.trigger_ticks


def _held(row: VenuePosition | None) -> tuple[int, int, int] | None:
    return None if row is None else (row.lots, row.cost_e8, row.stop_loss_ticks)


def _flat(row: VenuePosition) -> VenuePosition:
    return VenuePosition(
        instrument=row.instrument, position_idx=row.position_idx, lots=0, cost_e8=0, mark_e8=row.mark_e8, leverage_e2=row.leverage_e2,
        stop_loss_ticks=0, ts_ns=row.ts_ns,
    )  # fmt: skip


def _id_of(one: OrderFilled | FundingSettled) -> str:
    return one.fill_id if isinstance(one, OrderFilled) else one.funding_id
