"""The desk: carries out what the engine wants, turns the venue's answers into events, and looks up what was not answered.

Rules: an order leaves only after its record is durable, and is registered before it leaves, since its trades can outrun its answer.
Requests leave in the order in which the engine wanted them and wait for each other only where a cancel or an amend follows its own order,
and an amend the one before it. A time-out is not a refusal: the order stays reserved until it is looked up. Nothing is ever sent a second
time; a cancel may be. What is told of an order goes to the engine, whose table judges it; only an acknowledgement that it has is dropped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final

from kedge.domain.events import (
    OrderAccepted,
    OrderAmended,
    OrderCanceled,
    OrderRejected,
    OrderTriggered,
    OrderUnanswered,
    OrderWaits,
    Request,
)
from kedge.domain.instrument import InstrumentId
from kedge.domain.orders import ApprovedOrder
from kedge.domain.outputs import AmendSent, CancelSent, OrderSent, Output, StopWanted
from kedge.domain.venue import NO_PERMIT, NOT_LISTED, Answer, Refused, Taken, TradingVenue, Unanswered, VenueOrder
from kedge.engine.fold_orders import NOT_SENT
from kedge.engine.lifecycle import Status
from kedge.engine.orders import OrderState
from kedge.risk.states import RiskState
from kedge.services.desk_amends import Amends
from kedge.services.desk_requests import Requests, Spawn, answered
from kedge.services.desk_search import Search
from kedge.services.live_core import LiveCore
from kedge.services.lookup import Absent, LookupPace, Shown
from kedge.services.permits import Permits, may_add_risk, may_send

_log: Final = logging.getLogger("kedge.live")

_NOT_TAKEN: Final = frozenset({Status.PENDING_NEW, Status.UNKNOWN, Status.REJECTED, Status.ABSENT})
"""Where an order stands that the venue has not taken, or of which nobody knows."""

Told = OrderAccepted | OrderWaits | OrderTriggered | OrderAmended | OrderRejected | OrderCanceled
"""News of an order that is not a fill."""


async def one_market() -> None:
    """A real venue never begins another market."""


def no_stops(_: StopWanted) -> None:
    """Nobody puts stops at the venue."""


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
        Instruments that the venue lists no more, or on a grid that this process does not trade on.
    on_stop : callable
        Takes each wish for a stop at the venue, once it is durable; set by whoever carries them out.
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
        self._core, self._venue, self._permits = core, venue, permits
        self._monotonic_ns, self._sees = monotonic_ns, sees
        self.unlisted: frozenset[str] = frozenset()
        self.on_stop: Callable[[StopWanted], None] = no_stops
        self._places, self._cancels = Requests(spawn), Requests(spawn)
        self._amends = Amends(
            core,
            venue,
            spawn,
            pace,
            self.placing,
            search=lambda name: self.search(name),
            may_add_risk=self._may_add_risk,
            may_reduce=self._may_reduce,
        )
        self._search = Search(
            core, venue, spawn, pace, told=self.told, cancel=lambda name: self.cancel(name), amending=self.amending, same_market=same_market
        )
        self.sent = 0
        self._wanted_gone = set(wanted_gone)
        core.send = self.send

    @property
    def placing(self) -> dict[str, asyncio.Task[None]]:
        return self._places.tasks

    @property
    def canceling(self) -> dict[str, asyncio.Task[None]]:
        return self._cancels.tasks

    @property
    def amending(self) -> dict[str, asyncio.Task[None]]:
        return self._amends.tasks

    @property
    def searching(self) -> dict[str, asyncio.Task[None]]:
        return self._search.tasks

    @property
    def under_way(self) -> list[asyncio.Task[None]]:
        """Requests without an answer yet."""
        return [*self.placing.values(), *self.amending.values(), *self.canceling.values()]

    def send(self, outputs: Sequence[Output]) -> None:
        """Carry out one step's outputs."""
        refused: list[OrderSent] = []
        closing: dict[str, list[str]] = {}
        for output in outputs:
            if isinstance(output, OrderSent):
                order = output.approved.order
                if order.reduce_only or (order.instrument not in self.unlisted and self._may_add_risk()):
                    self._place(output.approved, () if order.reduce_only else closing.get(order.instrument, ()))
                    if order.reduce_only:
                        closing.setdefault(order.instrument, []).append(order.client_order_id)
                else:
                    refused.append(output)
            elif isinstance(output, CancelSent):
                self.cancel(output.client_order_id)
            elif isinstance(output, AmendSent):
                self._amends.send(output)
            elif isinstance(output, StopWanted):
                self.on_stop(output)
        for one in refused:
            self._refuse(one.approved)

    def cancel(self, client_order_id: str) -> None:
        """Ask the venue to cancel an order of ours; once at a time, and again if it shows up later."""
        by_id = self._core.state.orders.by_id
        self._wanted_gone = {name for name in self._wanted_gone if name in by_id and by_id[name].is_live} | {client_order_id}
        if client_order_id not in self.canceling:
            self._cancels.begin(client_order_id, self._canceling(by_id[client_order_id].order.instrument, client_order_id))

    def search(self, client_order_id: str) -> None:
        """Look an order up until its fate is known, beside everything else."""
        self._search.look(client_order_id)

    def found(self, order: OrderState, found: Shown | Absent) -> bool:
        """Book what a search showed; whether the order needs no more searching."""
        return self._search.found(order, found)

    # what is told -----------------------------------------------------------------------------------------------------

    def told(self, event: Told) -> None:
        """News of an order of ours, by its answer, its stream or a list: the table judges it.

        An acknowledgement that answer, stream and lists repeat is taken once; an order that was to be cancelled and turns up is cancelled.
        """
        name = event.client_order_id
        order = self._core.state.orders.by_id[name]
        if isinstance(event, OrderAccepted) and order.shown and (order.venue_order_id or not event.venue_order_id):
            return
        if isinstance(event, OrderAmended) and not order.shown:  # the venue shrank it before its acknowledgement was told
            self._core.step(OrderAccepted(event.ts_ns, name, ""))
        self._core.step(event)
        if order.status in (Status.OPEN, Status.WAITING) and name in self._wanted_gone:
            self.cancel(name)
        if isinstance(event, OrderTriggered):
            self._search.look_if_open(name)
        self.expect_trades(name)

    def expect_trades(self, client_order_id: str) -> None:
        """Look up an order that is over where trades of it are still to be told, unless they follow soon."""
        self._search.look_if_untold(client_order_id)

    def accepted(self, event: OrderAccepted) -> None:
        """The venue has the order."""
        self.told(event)

    def shown_open(self, order: OrderState, theirs: VenueOrder) -> None:
        """A list of the venue's shows an order of ours open or waiting."""
        self._search.shown_open(order, theirs)

    def unanswered(self, order: OrderState) -> None:
        """The venue's open orders do not show it, or nobody knows which terms of it stand: it is looked up."""
        name = order.order.client_order_id
        if order.status is Status.PENDING_NEW:
            self._core.step(OrderUnanswered(self._core.now_ns(), name))
        if order.is_live:
            self.search(name)

    def settle_amends(self) -> None:
        """Look up the orders whose amend or whose last trades nobody here is asking about: a process before this one did."""
        orders = self._core.state.orders
        for untold in list(orders.untold.values()):
            for name in list(untold):
                self.search(name)
        for slot in self._core.state.by_index:
            for name, order in list(orders.of(slot.instrument).items()):
                if order.is_amending and name not in self.amending and name not in self.searching and not self._amends.awaits_row(name):
                    self._amends.lost(name, "asked for before this process began, or its row is missing")

    # placing ----------------------------------------------------------------------------------------------------------

    def _may_add_risk(self) -> bool:
        """Asked again right before each signature: an order may have waited for room while trading was halted."""
        return self._core.state.risk_state is RiskState.RUNNING and self._sees() and may_add_risk(self._permits, self._monotonic_ns())

    def _may_reduce(self) -> bool:
        """Asked then of what only reduces: the guard's brake may have come on meanwhile."""
        return may_send(self._core.state.brake_level)

    def _place(self, approved: ApprovedOrder, closing: Sequence[str]) -> None:
        """Send an order; one that opens waits until those before it, which close, were taken: arriving first it would cut them."""
        if self._core.kill.armed:
            self._core.kill.reach("before_send")
        self.sent += 1
        self._places.begin(approved.order.client_order_id, self._placing_after(approved, closing) if closing else self._placing(approved))

    async def _placing_after(self, approved: ApprovedOrder, closing: Sequence[str]) -> None:
        name, by_id = approved.order.client_order_id, self._core.state.orders.by_id
        before = [self.placing[one] for one in closing if one in self.placing]
        if before:
            await asyncio.wait(before)
        order = by_id.get(name)
        if order is None or not order.is_live:
            return
        not_taken = [one for one in closing if one in by_id and by_id[one].status in _NOT_TAKEN]
        if order.status is Status.PENDING_NEW and not not_taken:
            await self._placing(approved)
            return
        self.placing.pop(name, None)
        why = f"{not_taken[0]}, which closes, was not taken" if not_taken else f"the order is {order.status} by now"
        self._core.step(OrderRejected(self._core.now_ns(), name, NOT_SENT, why))

    def _refuse(self, approved: ApprovedOrder) -> None:
        name, code = approved.order.client_order_id, NO_PERMIT
        age = self._permits.granted_ns
        if approved.order.instrument in self.unlisted:
            code, why = NOT_LISTED, f"the venue lists {approved.order.instrument} no more, or on another grid"
        elif self._core.state.risk_state is not RiskState.RUNNING:
            why = f"trading is {self._core.state.risk_state} by now"
        elif not self._sees():
            why = "the private stream was interrupted, and the books were not compared since"
        else:
            why = "no permit was granted yet" if age is None else f"the newest permit is {(self._monotonic_ns() - age) / 1e9:.1f} s old"
        _log.warning("order not sent: %s", why, extra={"event": code.lower(), "client_order_id": name})
        self._core.step(OrderRejected(self._core.now_ns(), name, code, why))

    async def _placing(self, approved: ApprovedOrder) -> None:
        kill, name = self._core.kill, approved.order.client_order_id
        is_permitted = self._may_reduce if approved.order.reduce_only else self._may_add_risk
        placing = answered(self._venue.place(approved, is_permitted=is_permitted))
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
            self.told(OrderAccepted(core.now_ns(), name, answer.venue_order_id))
            self._search.look_if_open(name)
        elif isinstance(answer, Refused):
            self.told(OrderRejected(core.now_ns(), name, answer.code, answer.reason))
        else:
            _log.warning("order unanswered: %s", answer.why, extra={"event": "order_unanswered", "client_order_id": name})
            core.step(OrderUnanswered(core.now_ns(), name))
            if order.is_live:
                self.search(name)

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
        answer = await answered(self._venue.cancel(instrument, name))
        if isinstance(answer, Taken) or name not in self._core.state.orders.by_id:
            return
        if isinstance(answer, Unanswered):
            self._core.step(OrderUnanswered(self._core.now_ns(), name, Request.CANCEL))
        if order.is_live:
            _log.info("cancel not taken: %s", answer, extra={"event": "cancel_not_taken", "client_order_id": name})
            self.search(name)

    def cancel_over(self, instrument: InstrumentId, name: str, then: Callable[[], None]) -> None:
        """Ask the venue to cancel an order that is over in our books and rests there; `then` is called when it took that."""
        if name not in self.canceling:
            self._cancels.begin(name, self._canceling_over(instrument, name, then))

    async def _canceling_over(self, instrument: InstrumentId, name: str, then: Callable[[], None]) -> None:
        answer = await answered(self._venue.cancel(instrument, name))
        _log.warning("order that is over here cancelled there: %s", answer, extra={"event": "order_alive", "client_order_id": name})
        if isinstance(answer, Taken):
            then()
