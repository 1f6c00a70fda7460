"""Changing resting orders: one change of an order at a time, asked for once, and settled by what the venue shows.

Rules: an amend waits for its order's creation and for the amend before it; a cancel never waits for an amend. `Taken` means asked, the
order's row confirms; where no row comes, or the answer is lost, the order is looked up until the venue shows which terms stand. What
raises an order's risk needs a permit like the order itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

from kedge.domain.events import OrderAmendRefused, OrderUnanswered, Request
from kedge.domain.outputs import AmendSent
from kedge.domain.units import NS_PER_S
from kedge.domain.venue import NO_PERMIT, Refused, TradingVenue, Unanswered
from kedge.engine.fold_orders import NOT_SENT
from kedge.engine.lifecycle import Status
from kedge.services.desk_requests import Requests, Spawn, answered
from kedge.services.live_core import LiveCore
from kedge.services.lookup import LookupPace

_log: Final = logging.getLogger("kedge.live")


class Amends(Requests):
    """Amends under way of one trader.

    Parameters
    ----------
    placing : mapping
        Orders whose creation is not answered yet, by client id.
    search : callable
        Looks an order up until the venue shows what stands.
    may_add_risk : callable
        Whether new risk is permitted now.
    """

    def __init__(
        self,
        core: LiveCore,
        venue: TradingVenue,
        spawn: Spawn,
        pace: LookupPace,
        placing: Mapping[str, asyncio.Task[None]],
        *,
        search: Callable[[str], None],
        may_add_risk: Callable[[], bool],
        may_reduce: Callable[[], bool],
    ) -> None:
        super().__init__(spawn)
        self._core, self._venue, self._placing = core, venue, placing
        self._search, self._may_add_risk, self._may_reduce = search, may_add_risk, may_reduce
        self._row_within_s = (pace.recv_window_ns + pace.margin_ns) / NS_PER_S
        self._rows = Requests(spawn)

    def send(self, amend: AmendSent) -> None:
        """Ask the venue for one change."""
        name = amend.client_order_id
        self.begin(name, self._amending(amend, self.tasks.get(name)))

    def awaits_row(self, name: str) -> bool:
        """Whether a taken amend is given time until its row comes."""
        return name in self._rows.tasks

    async def _amending(self, amend: AmendSent, before: asyncio.Task[None] | None) -> None:
        name, core = amend.client_order_id, self._core
        for earlier in (self._placing.get(name), before):
            if earlier is not None:
                await asyncio.wait([earlier])
        order = core.state.orders.by_id.get(name)
        if order is None:
            return
        if order.status is not Status.PENDING_AMEND:
            if order.is_amending:
                self._refuse(name, NOT_SENT, f"the order is {order.status} by now")
            return
        if not order.order.reduce_only and not self._may_add_risk():
            self._refuse(name, NO_PERMIT, "new risk is not permitted now")
            return
        if core.kill.armed:
            core.kill.reach("before_amend")
        is_permitted = self._may_reduce if order.order.reduce_only else self._may_add_risk
        answer = await answered(
            self._venue.amend(
                order.order.instrument, name, qty_lots=amend.qty_lots, limit_ticks=amend.limit_ticks, is_permitted=is_permitted
            )
        )
        if isinstance(answer, Refused):
            self._refuse(name, answer.code, answer.reason)
        elif isinstance(answer, Unanswered):
            self.lost(name, answer.why)
        else:
            self._rows.begin(name, self._confirmed(name))
        if core.kill.armed:
            core.kill.reach("after_amend_answer")

    def lost(self, name: str, why: str) -> None:
        """Nobody knows whether the amend was carried out: it is recorded, and the order looked up."""
        order = self._core.state.orders.by_id.get(name)
        if order is None:
            return
        _log.warning("amend unanswered: %s", why, extra={"event": "amend_unanswered", "client_order_id": name})
        self._core.step(OrderUnanswered(self._core.now_ns(), name, Request.AMEND))
        if order.is_live:
            self._search(name)

    def _refuse(self, name: str, code: str, why: str) -> None:
        """The order stands as it was, or is over: what the venue shows says which."""
        order = self._core.state.orders.by_id.get(name)
        if order is None:
            return
        _log.info("amend not taken: %s %s", code, why, extra={"event": "amend_not_taken", "client_order_id": name})
        self._core.step(OrderAmendRefused(self._core.now_ns(), name, code, why))
        if order.is_live and code not in (NOT_SENT, NO_PERMIT):
            self._search(name)

    async def _confirmed(self, name: str) -> None:
        """Give the row that confirms a taken amend as long as a request can live; then look."""
        order, asked = self._core.state.orders.by_id[name], self._asked(name)
        await asyncio.sleep(self._row_within_s)
        if order.is_amending and self._asked(name) == asked and name not in self.tasks:
            self._search(name)

    def _asked(self, name: str) -> tuple[int | None, int | None]:
        order = self._core.state.orders.by_id.get(name)
        return (None, None) if order is None else (order.asked_lots, order.asked_ticks)
