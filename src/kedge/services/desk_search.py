"""Looking orders up until their fate is known, and booking what a look showed.

Rules: what the venue shows is booked as it would have been told; an order is ABSENT only by the proof of `lookup`; an order that was
shown and is no more found is a difference, which halts. An amend without an answer is settled by the terms that the venue shows. An order
that is over by the venue's word and whose trades are not all told is looked up too, after a moment: rows of trades may follow its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Container, Sequence
from typing import Final

from kedge.domain.errors import KedgeError, MarketGone
from kedge.domain.events import (
    BooksDiffer,
    OrderAccepted,
    OrderAmended,
    OrderAmendRefused,
    OrderCanceled,
    OrderFilled,
    OrderProvenAbsent,
    OrderRejected,
    OrderTriggered,
    OrderUnanswered,
    OrderWaits,
)
from kedge.domain.orders import TimeInForce
from kedge.domain.venue import TradingVenue, VenueOrder, VenueOrderState
from kedge.engine.lifecycle import Status
from kedge.engine.orders import OrderState
from kedge.risk.states import RiskState
from kedge.services.desk_requests import Requests, Spawn
from kedge.services.live_core import LiveCore
from kedge.services.lookup import LOOKS, Absent, LookupPace, Shown, look_up
from kedge.services.reconcile import ORDER_VANISHED

UNCHANGED: Final = "UNCHANGED"
"""Code of an amend that the venue did not carry out: it shows other terms after the time in which the request could still be taken."""

NOTHING_MORE: Final = "NOTHING_MORE"
"""Reason of an order's end that is told again: fewer lots of it traded than had been understood."""

WAIT_MAX_S: Final = 10.0

_AT_ONCE: Final = frozenset({TimeInForce.IOC, TimeInForce.FOK})
"""Orders that end when they arrive, or when they are triggered."""

ENDS_WITHIN_S: Final = (2.0, 4.0, 8.0)
"""An order that trades at once or never is looked up when its end is not told within these times: rows can get lost on a whole stream."""

_log: Final = logging.getLogger("kedge.live")


class Search(Requests):
    """Searches under way of one trader.

    Parameters
    ----------
    told : callable
        Takes news of an order that is not a fill.
    cancel : callable
        Asks for an order to be cancelled, again.
    amending : container of str
        Orders with an amend that is not answered yet: nothing is concluded about its terms.
    same_market : callable
        Raises where what the venue has just said was said by another market.
    """

    def __init__(
        self,
        core: LiveCore,
        venue: TradingVenue,
        spawn: Spawn,
        pace: LookupPace,
        *,
        told: Callable[[OrderAccepted | OrderWaits | OrderTriggered], None],
        cancel: Callable[[str], None],
        amending: Container[str],
        same_market: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(spawn)
        self._later = Requests(spawn)
        self._core, self._venue, self._pace = core, venue, pace
        self._told, self._cancel, self._amending, self._same_market = told, cancel, amending, same_market
        self.vanished: set[str] = set()

    def look(self, name: str) -> None:
        """Search for an order, once at a time."""
        if name not in self.tasks:
            self.begin(name, self._searching(name))

    def look_if_open(self, name: str) -> None:
        """Search for an order that trades at once or never, again and again, as long as it is open."""
        order = self._core.state.orders.by_id.get(name)
        if order is None or not order.is_live or order.status is Status.WAITING or order.order.time_in_force not in _AT_ONCE:
            return
        if name not in self._later.tasks:
            self._later.begin(name, self._look_later(name, ENDS_WITHIN_S))

    def look_if_untold(self, name: str) -> None:
        """Search for the trades of an order that is over, where their rows do not follow soon."""
        order = self._core.state.orders.by_id.get(name)
        if order is not None and order.untold_lots and name not in self.tasks:
            self._later.begin(name, self._look_later(name, (self._pace.gap_s,)))

    async def _look_later(self, name: str, waits_s: Sequence[float]) -> None:
        for wait_s in waits_s:
            await asyncio.sleep(wait_s)
            order = self._core.state.orders.by_id.get(name)
            if order is None or not (order.is_live or order.untold_lots):
                return
            _log.info("order looked up: its end is not told", extra={"event": "end_untold", "client_order_id": name})
            self.look(name)

    async def _searching(self, name: str) -> None:
        wait_s, terms = self._pace.gap_s, _Terms(self._pace)
        while (order := self._core.state.orders.by_id.get(name)) is not None and (order.is_live or order.untold_lots):
            self._core.kill.reach("lookup")
            try:
                found = await look_up(self._venue, order.order, self._core.seen.ask_from_ns(), self._pace)
                await self._same_market()
            except MarketGone:
                raise
            except KedgeError as error:
                _log.warning("order not looked up: %s", error.what, extra={"event": "lookup_failed", "client_order_id": name})
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, WAIT_MAX_S)
                continue
            if self.found(order, found, terms):
                self.look_if_open(name)
                return
            await asyncio.sleep(self._pace.gap_s)

    def found(self, order: OrderState, found: Shown | Absent, terms: _Terms | None = None) -> bool:
        """Book what a search showed; whether the order needs no more searching."""
        if isinstance(found, Absent):
            self._absent(order, order.order.client_order_id)
            return not order.untold_lots
        for fill in found.fills:
            self._core.step(fill)
        if found.order is not None and order.is_live:
            self._shown(order, found.order, found.fills)
            if order.is_amending:
                self._settle(order, found, terms)
        elif found.order is not None and order.untold_lots:
            self._shown_over(order, found.order)
        if not order.is_live:
            return not order.untold_lots
        return order.status in (Status.OPEN, Status.WAITING) and not order.is_amending

    def _shown_over(self, order: OrderState, theirs: VenueOrder) -> None:
        """All its trades are told, and they are fewer than were expected: the venue's last word counts."""
        if theirs.cum_lots > order.filled_lots:
            return  # its trades are not in the venue's lists yet: look again
        if theirs.state in (VenueOrderState.CANCELED, VenueOrderState.FILLED):
            self._expect_no_more(order)

    def _expect_no_more(self, order: OrderState) -> None:
        """Book that an order which is over traded what was told of it, and nothing else."""
        name, ts_ns, filled_lots = order.order.client_order_id, self._core.now_ns(), order.filled_lots
        if order.status is Status.FILLED:
            self._core.step(OrderAmended(max(ts_ns, order.terms_ts_ns), name, filled_lots, order.limit_ticks, order.order.trigger_ticks))
        else:
            self._core.step(OrderCanceled(ts_ns, name, NOTHING_MORE, filled_lots))

    def _absent(self, order: OrderState, name: str) -> None:
        ts_ns = self._core.now_ns()
        if not order.shown and order.status in (Status.PENDING_NEW, Status.PENDING_CANCEL):
            self._core.step(OrderUnanswered(ts_ns, name))
        if order.status is Status.UNKNOWN:
            _log.info("order proven absent", extra={"event": "order_absent", "client_order_id": name})
            self._core.step(OrderProvenAbsent(ts_ns, name))
        elif order.untold_lots and name in self.vanished and self._core.state.risk_state is RiskState.RUNNING:  # a person has seen to it
            self._expect_no_more(order)
        elif order.status is Status.PENDING_CANCEL and name in self.vanished:  # reported, its cancel found nothing, and it is absent still
            self._core.step(OrderCanceled(ts_ns, name, ORDER_VANISHED))
        elif (order.is_live or order.untold_lots) and name not in self.vanished:
            self.vanished.add(name)
            _log.error("order vanished", extra={"event": "order_vanished", "client_order_id": name})
            self._core.step(BooksDiffer(ts_ns, ORDER_VANISHED, order.order.instrument, name, order.leaves_lots, 0))

    def _shown(self, order: OrderState, theirs: VenueOrder, fills: list[OrderFilled]) -> None:
        name, ts_ns = order.order.client_order_id, self._core.now_ns()
        if theirs.state in (VenueOrderState.OPEN, VenueOrderState.WAITING):
            self.shown_open(order, theirs)
            return
        if theirs.cum_lots > max(order.filled_lots, sum(fill.qty_lots for fill in fills)):
            return  # its trades are not in the venue's lists yet: look again
        if theirs.state is VenueOrderState.CANCELED:
            self._core.step(OrderCanceled(ts_ns, name, theirs.reason or "CANCELED", theirs.cum_lots))
        elif theirs.state is VenueOrderState.REJECTED:
            self._core.step(OrderRejected(ts_ns, name, theirs.reason or "REJECTED", theirs.reason))

    def shown_open(self, order: OrderState, theirs: VenueOrder) -> None:
        """The venue holds it: it has arrived, may have been triggered, and is cancelled again where that was asked for."""
        name, ts_ns = order.order.client_order_id, self._core.now_ns()
        if theirs.state is VenueOrderState.WAITING:
            if not order.venue_order_id:
                self._told(OrderWaits(ts_ns, name, theirs.venue_order_id))
        else:
            self._told(OrderAccepted(ts_ns, name, theirs.venue_order_id))
            if order.status is Status.WAITING:
                self._told(OrderTriggered(ts_ns, name))
        if order.status is Status.PENDING_CANCEL:
            self._cancel(name)

    def _settle(self, order: OrderState, found: Shown, terms: _Terms | None) -> None:
        """Which terms stand: those asked for at once, others when the request can no longer be carried out."""
        theirs, name = found.order, order.order.client_order_id
        if theirs is None or theirs.state is not VenueOrderState.OPEN or name in self._amending:
            return
        ts_ns, shown = self._core.now_ns(), (theirs.qty_lots, theirs.limit_ticks)
        if shown != (order.qty_lots, order.limit_ticks) or order.is_as_asked(*shown):
            self._core.step(OrderAmended(theirs.updated_ts_ns, name, *shown, theirs.trigger_ticks))
        if order.is_amending and terms is not None and terms.stand(order, found.wall_ns):
            self._core.step(OrderAmendRefused(ts_ns, name, UNCHANGED, f"the venue shows {shown[0]} lots at {shown[1]} ticks"))


class _Terms:
    """Counts looks that showed other terms than those asked for, after the request could still be carried out."""

    def __init__(self, pace: LookupPace) -> None:
        self._pace = pace
        self._asked: tuple[int | None, int | None] = (None, None)
        self._last_taken_ns = self._looks = 0

    def stand(self, order: OrderState, wall_ns: int) -> bool:
        asked = (order.asked_lots, order.asked_ticks)
        if asked != self._asked:
            self._asked, self._looks = asked, 0
            self._last_taken_ns = wall_ns + self._pace.recv_window_ns + self._pace.margin_ns
        self._looks += int(wall_ns > self._last_taken_ns)
        return self._looks >= LOOKS
