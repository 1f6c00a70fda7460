"""The desk: carries out what the engine wants, turns the venue's answers into events, and looks up what was not answered.

Rules: an order leaves only after its record is durable, and is registered before it leaves, since its trades can outrun its answer.
Requests leave in the order in which the engine wanted them and wait for each other only where a cancel follows its own order. A time-out
is not a refusal: the order stays reserved until it is looked up. Nothing is ever sent a second time; a cancel may be.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from typing import Any, Final

from kedge.domain.errors import KedgeError, MarketGone
from kedge.domain.events import (
    BooksDiffer,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderProvenAbsent,
    OrderRejected,
    OrderUnanswered,
)
from kedge.domain.instrument import InstrumentId
from kedge.domain.orders import ApprovedOrder
from kedge.domain.outputs import CancelSent, OrderSent, Output
from kedge.domain.venue import NO_PERMIT, NOT_LISTED, Answer, Refused, Taken, TradingVenue, Unanswered, VenueOrder, VenueOrderState
from kedge.engine.lifecycle import Status
from kedge.engine.orders import OrderState
from kedge.services.live_core import LiveCore
from kedge.services.lookup import Absent, LookupPace, Shown, look_up
from kedge.services.permits import Permits, may_add_risk
from kedge.services.reconcile import ORDER_VANISHED

_ARRIVED: Final = frozenset({Status.OPEN, Status.FILLED, Status.CANCELED})
_log: Final = logging.getLogger("kedge.live")

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


async def one_market() -> None:
    """A real venue never begins another market."""


class Desk:
    """Requests under way of one trader.

    Parameters
    ----------
    spawn : callable
        Starts a task whose failure stops the trader.
    monotonic_ns : callable
        The clock that permits are measured on.
    wanted_gone : collection of str
        Orders whose cancel was sent by a process before this one: one that turns up after all is cancelled again.
    sees : callable
        Whether the books were compared since the private stream was interrupted; until then no new risk is signed.
    same_market : callable
        Raises where what the venue has just said was said by another market.

    Attributes
    ----------
    unlisted : frozenset of str
        Instruments that the venue lists no more.
    """

    def __init__(
        self,
        core: LiveCore,
        venue: TradingVenue,
        permits: Permits,
        spawn: Spawn,
        monotonic_ns: Callable[[], int],
        pace: LookupPace,
        wanted_gone: Collection[str] = (),
        *,
        sees: Callable[[], bool] = lambda: True,
        same_market: Callable[[], Awaitable[None]] = one_market,
    ) -> None:
        self._core, self._venue, self._permits, self._spawn = core, venue, permits, spawn
        self._monotonic_ns, self._pace = monotonic_ns, pace
        self._sees, self._same_market = sees, same_market
        self.unlisted: frozenset[str] = frozenset()
        self.placing: dict[str, asyncio.Task[None]] = {}
        self.canceling: dict[str, asyncio.Task[None]] = {}
        self.searching: dict[str, asyncio.Task[None]] = {}
        self.sent = 0
        self.vanished: set[str] = set()
        self._wanted_gone = set(wanted_gone)
        core.send = self.send

    @property
    def under_way(self) -> list[asyncio.Task[None]]:
        """Requests without an answer yet."""
        return [*self.placing.values(), *self.canceling.values()]

    def send(self, outputs: Sequence[Output]) -> None:
        """Carry out one step's outputs."""
        refused: list[OrderSent] = []
        for output in outputs:
            kind = type(output)
            if kind is OrderSent:
                approved = output.approved  # type: ignore[union-attr]
                listed = approved.order.instrument not in self.unlisted
                if approved.order.reduce_only or (listed and self._may_add_risk()):
                    self._place(approved)
                else:
                    refused.append(output)  # type: ignore[arg-type]
            elif kind is CancelSent:
                self.cancel(output.client_order_id)  # type: ignore[union-attr]
        for one in refused:
            self._refuse(one.approved)

    def cancel(self, client_order_id: str) -> None:
        """Ask the venue to cancel an order of ours; once at a time, and again if it shows up later."""
        by_id = self._core.state.orders.by_id
        self._wanted_gone = {name for name in self._wanted_gone if name in by_id and by_id[name].is_live} | {client_order_id}
        if client_order_id not in self.canceling:
            order = self._core.state.orders.by_id[client_order_id].order
            task = self._spawn(self._canceling(order.instrument, client_order_id))
            self.canceling[client_order_id] = task
            task.add_done_callback(lambda _: self.canceling.pop(client_order_id, None))

    def search(self, client_order_id: str) -> None:
        """Look an order up until its fate is known, beside everything else."""
        if client_order_id not in self.searching:
            task = self._spawn(self._searching(client_order_id))
            self.searching[client_order_id] = task
            task.add_done_callback(lambda _: self.searching.pop(client_order_id, None))

    # placing ----------------------------------------------------------------------------------------------------------

    def _may_add_risk(self) -> bool:
        return self._sees() and may_add_risk(self._permits, self._monotonic_ns())

    def _place(self, approved: ApprovedOrder) -> None:
        if self._core.kill.armed:
            self._core.kill.reach("before_send")
        name = approved.order.client_order_id
        self.sent += 1
        task = self._spawn(self._placing(approved))
        self.placing[name] = task
        task.add_done_callback(lambda _: self.placing.pop(name, None))

    def _refuse(self, approved: ApprovedOrder) -> None:
        name, code = approved.order.client_order_id, NO_PERMIT
        age = self._permits.granted_ns
        if approved.order.instrument in self.unlisted:
            code, why = NOT_LISTED, f"the venue lists {approved.order.instrument} no more"
        elif not self._sees():
            why = "the private stream was interrupted, and the books were not compared since"
        else:
            why = "no permit was granted yet" if age is None else f"the newest permit is {(self._monotonic_ns() - age) / 1e9:.1f} s old"
        _log.warning("order not sent: %s", why, extra={"event": code.lower(), "client_order_id": name})
        self._core.step(OrderRejected(self._core.now_ns(), name, code, why))

    async def _placing(self, approved: ApprovedOrder) -> None:
        kill, name = self._core.kill, approved.order.client_order_id
        placing = _answered(self._venue.place(approved, is_permitted=None if approved.order.reduce_only else self._may_add_risk))
        if kill.armed:
            request = asyncio.ensure_future(placing)
            await asyncio.sleep(0)
            kill.reach("after_send")
            answer = await request
            kill.reach("before_answer_commit")
        else:
            answer = await placing
        self.placing.pop(name, None)
        self._answer(name, answer)
        kill.reach("after_answer_commit")

    def _answer(self, name: str, answer: Answer) -> None:
        core = self._core
        order = core.state.orders.by_id.get(name)
        if order is None:  # finished and forgotten while the answer was on its way
            return
        if isinstance(answer, Taken):
            self.accepted(OrderAccepted(core.now_ns(), name, answer.venue_order_id))
        elif isinstance(answer, Refused):
            core.step(OrderRejected(core.now_ns(), name, answer.code, answer.reason))
        else:
            _log.warning("order unanswered: %s", answer.why, extra={"event": "order_unanswered", "client_order_id": name})
            self.unanswered(order)

    def accepted(self, event: OrderAccepted) -> None:
        """The venue has the order; told by its answer, its stream or a list, whichever is first."""
        order = self._core.state.orders.by_id[event.client_order_id]
        known = order.status in _ARRIVED or order.status is Status.PENDING_CANCEL
        if not known or (order.status in (Status.OPEN, Status.PENDING_CANCEL) and not order.venue_order_id and event.venue_order_id):
            self._core.step(event)
            if order.status is Status.OPEN and event.client_order_id in self._wanted_gone:
                self.cancel(event.client_order_id)

    def unanswered(self, order: OrderState) -> None:
        """Nobody knows whether the order came: it is UNKNOWN, and looked up."""
        if order.status is Status.PENDING_NEW:
            self._core.step(OrderUnanswered(self._core.now_ns(), order.order.client_order_id))
        if order.is_live:
            self.search(order.order.client_order_id)

    # cancelling -------------------------------------------------------------------------------------------------------

    async def _canceling(self, instrument: InstrumentId, name: str) -> None:
        placing = self.placing.get(name)
        if placing is not None:
            await asyncio.wait([placing])
        order = self._core.state.orders.by_id.get(name)
        if order is None or not order.is_live:
            return
        if self._core.kill.armed:
            self._core.kill.reach("before_cancel")
        answer = await _answered(self._venue.cancel(instrument, name))
        if not isinstance(answer, Taken) and order.is_live:
            _log.info("cancel not taken: %s", answer, extra={"event": "cancel_not_taken", "client_order_id": name})
            self.search(name)

    def cancel_over(self, instrument: InstrumentId, name: str, then: Callable[[], None]) -> None:
        """Ask the venue to cancel an order that is over in our books and rests there; `then` is called when it took that."""
        if name not in self.canceling:
            task = self._spawn(self._canceling_over(instrument, name, then))
            self.canceling[name] = task
            task.add_done_callback(lambda _: self.canceling.pop(name, None))

    async def _canceling_over(self, instrument: InstrumentId, name: str, then: Callable[[], None]) -> None:
        answer = await _answered(self._venue.cancel(instrument, name))
        _log.warning("order that is over here cancelled there: %s", answer, extra={"event": "order_alive", "client_order_id": name})
        if isinstance(answer, Taken):
            then()

    # looking up -------------------------------------------------------------------------------------------------------

    async def _searching(self, name: str) -> None:
        wait_s = self._pace.gap_s
        while (order := self._core.state.orders.by_id.get(name)) is not None and order.is_live:
            self._core.kill.reach("lookup")
            try:
                found = await look_up(self._venue, order.order, self._core.seen.ask_from_ns(), self._pace)
                await self._same_market()
            except MarketGone:
                raise
            except KedgeError as error:
                _log.warning("order not looked up: %s", error.what, extra={"event": "lookup_failed", "client_order_id": name})
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, 10.0)
                continue
            if self.found(order, found):
                return
            await asyncio.sleep(self._pace.gap_s)

    def found(self, order: OrderState, found: Shown | Absent) -> bool:
        """Book what a search showed; whether the order needs no more searching."""
        name = order.order.client_order_id
        if isinstance(found, Absent):
            self._absent(order, name)
            return True
        for fill in found.fills:
            self._core.step(fill)
        if found.order is not None and order.is_live:
            self._shown(order, found.order, found.fills)
        return not order.is_live or order.status is Status.OPEN

    def _absent(self, order: OrderState, name: str) -> None:
        ts_ns = self._core.now_ns()
        if order.status is Status.PENDING_NEW or (order.status is Status.PENDING_CANCEL and not order.venue_order_id):
            self._core.step(OrderUnanswered(ts_ns, name))
        if order.status is Status.UNKNOWN:
            _log.info("order proven absent", extra={"event": "order_absent", "client_order_id": name})
            self._core.step(OrderProvenAbsent(ts_ns, name))
        elif order.status is Status.PENDING_CANCEL and name in self.vanished:  # reported, its cancel found nothing, and it is absent still
            self._core.step(OrderCanceled(ts_ns, name, ORDER_VANISHED))
        elif order.is_live and name not in self.vanished:
            self.vanished.add(name)
            _log.error("order vanished", extra={"event": "order_vanished", "client_order_id": name})
            self._core.step(BooksDiffer(ts_ns, ORDER_VANISHED, order.order.instrument, name, order.leaves_lots, 0))

    def _shown(self, order: OrderState, theirs: VenueOrder, fills: list[OrderFilled]) -> None:
        name, ts_ns = order.order.client_order_id, self._core.now_ns()
        if theirs.state is VenueOrderState.OPEN:
            self.accepted(OrderAccepted(ts_ns, name, theirs.venue_order_id))
            if order.status is Status.PENDING_CANCEL:
                self.cancel(name)
            return
        if theirs.cum_lots > sum(fill.qty_lots for fill in fills) and theirs.cum_lots > order.order.qty_lots - order.leaves_lots:
            return  # its trades are not in the venue's lists yet: look again
        if theirs.state is VenueOrderState.CANCELED:
            self._core.step(OrderCanceled(ts_ns, name, theirs.reason or "CANCELED"))
        elif theirs.state is VenueOrderState.REJECTED:
            self._core.step(OrderRejected(ts_ns, name, theirs.reason or "REJECTED", theirs.reason))


async def _answered(request: Coroutine[Any, Any, Answer]) -> Answer:
    """The venue's answer; whatever goes wrong on the way, nobody knows what became of the request."""
    try:
        return await request
    except KedgeError as error:
        return Unanswered(error.what)
