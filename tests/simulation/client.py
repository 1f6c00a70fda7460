"""A trader's client of the simulated venue, and the network between them: requests, answers, lists and streams take time and get lost.

Rules: what was signed and sent goes its way whatever becomes of the trader that sent it; nothing arrives at a client that is closed or
whose process is gone; what the network loses is unanswered and never refused; a request that arrives after its window is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Final, TypeVar

from tests.simulation.connection import Connection
from tests.simulation.rows import DELEVERAGED, entry_of, order_of, position_of, wallet_of
from tests.simulation.world import ACCOUNT, MS

from kedge.domain.events import BarClosed, FundingKnown, FundingSettled, OrderFilled
from kedge.domain.instrument import Instrument, InstrumentId
from kedge.domain.orders import ApprovedOrder
from kedge.domain.venue import (
    NO_PERMIT,
    Answer,
    LedgerEntry,
    Quote,
    Refused,
    Taken,
    Unanswered,
    VenueOrder,
    VenuePosition,
    VenueWallet,
)
from kedge.simulation.venue_rules import DUPLICATE
from kedge.simulation.venue_types import OrderRequest, OrderRow, Reject, Status, TriggerBy

RECV_WINDOW_MS: Final = 1_000
ANSWER_MS: Final = 1_500
"""So long a client waits for an answer."""
Done = OrderRow | Reject | Taken | Refused
T = TypeVar("T")


class SimVenue(Connection):
    """One connection of one trader. Implements `kedge.domain.venue.TradingVenue`."""

    # requests ---------------------------------------------------------------------------------------------------------

    async def _room(self) -> None:
        """Waits for room in the client's own limits, as the real client does before each signature; what was not signed dies with it."""
        if self.world.holds("no_room"):
            await asyncio.sleep(self.world.network.random() * self.world.wait_ms / 1e3)
            if self.is_gone:
                await self.world.loop.create_future()

    async def place(self, approved: ApprovedOrder, *, is_permitted: Callable[[], bool] | None = None) -> Answer:
        await self._room()
        if is_permitted is not None and not is_permitted():
            return Refused(NO_PERMIT, "the permit ran out")
        self.auditor.left_create(approved)
        request = request_of(approved)
        return await self._request("/v5/order/create", request.link_id, lambda: self._create(request))

    def _create(self, request: OrderRequest) -> Done:
        world = self.world
        if world.refuses_later and request.link_id not in world.phantoms:
            row = world.phantom(request, world.refuses_later.pop(0))
            self.auditor.arrived_create(request.link_id, request.instrument, is_phantom=True)
            return Taken(row.order_id)
        found = world.core.place(ACCOUNT, request, world.now_ns)
        if not isinstance(found, Reject):
            self.auditor.arrived_create(request.link_id, request.instrument, is_phantom=False)
        return found

    async def cancel(self, instrument: InstrumentId, client_order_id: str) -> Answer:
        await self._room()
        self.auditor.left_change("cancel", client_order_id, None, None)

        def carry_out() -> Done:
            phantom = self.world.phantoms.get(client_order_id)
            if phantom is not None:
                return Taken(phantom.order_id) if phantom.is_open else Refused("110001", "no such order")
            return self.world.core.cancel(ACCOUNT, instrument, self.world.now_ns, link_id=client_order_id)

        return await self._request("/v5/order/cancel", client_order_id, carry_out)

    async def amend(
        self,
        instrument: InstrumentId,
        client_order_id: str,
        *,
        qty_lots: int | None = None,
        limit_ticks: int | None = None,
        is_permitted: Callable[[], bool] | None = None,
    ) -> Answer:
        await self._room()
        if is_permitted is not None and not is_permitted():
            return Refused(NO_PERMIT, "the permit ran out")
        self.auditor.left_change("amend", client_order_id, qty_lots, limit_ticks)

        def carry_out() -> Done:
            phantom = self.world.phantoms.get(client_order_id)
            if phantom is not None:
                return Taken(phantom.order_id) if phantom.is_open else Refused("110001", "no such order")
            if self.world.ignored_amends:
                self.world.ignored_amends -= 1
                return Taken()
            return self.world.core.amend(
                ACCOUNT, instrument, self.world.now_ns, link_id=client_order_id, qty_lots=qty_lots, limit_ticks=limit_ticks
            )

        return await self._request("/v5/order/amend", client_order_id, carry_out)

    async def set_stop_loss(self, instrument: InstrumentId, stop_loss_ticks: int) -> Answer:
        await self._room()
        self.auditor.left_stop(instrument, stop_loss_ticks)

        def carry_out() -> Done:
            row = self.world.core.set_trading_stop(
                ACCOUNT, instrument, self.world.now_ns, stop_loss_ticks=stop_loss_ticks, sl_trigger_by=TriggerBy.MARK
            )
            return row if isinstance(row, Reject) else Taken()

        return await self._request("/v5/position/trading-stop", "", carry_out)

    async def _request(self, path: str, name: str, carry_out: Callable[[], Done]) -> Answer:
        world = self.world
        answer: asyncio.Future[Answer] = world.loop.create_future()
        self._waiting = [one for one in self._waiting if not one.done()] + [answer]
        stamp_ns = world.now_ns + self._skew_ns
        fate = world.armoury.arrival(path, ACCOUNT, world.now_ns)
        if fate is None or not fate.is_lost:
            delay_ms = world.delay_ms() + (fate.delay_ms if fate is not None else 0)
            world.later(delay_ms, lambda: self._arrive(path, name, stamp_ns, carry_out, answer))
        world.later(ANSWER_MS, lambda: _settle(answer, Unanswered("no answer in time")))
        return await answer

    def _arrive(self, path: str, name: str, stamp_ns: int, carry_out: Callable[[], Done], answer: asyncio.Future[Answer]) -> None:
        """The request is at the venue, in time or not, whether or not anybody waits for what becomes of it."""
        world, now_ns = self.world, self.world.now_ns
        late_ms = (world.wall_ns - stamp_ns) / MS
        if world.armoury.lasts("ban", now_ns):
            self._reply(answer, Refused("403", "banned"), name)
            return
        if world.armoury.lasts("maintenance", now_ns):
            self._reply(answer, Unanswered("503"), name)
            return
        if not -RECV_WINDOW_MS < late_ms <= RECV_WINDOW_MS:
            self._skew_ns = world.armoury.skew_ns(now_ns)  # as the real client does: measured again after 10002
            self._reply(answer, Refused("10002", "outside of the receive window"), name)
            return
        fate = world.armoury.fate(path, ACCOUNT, now_ns)
        if fate is not None and fate.reject is not None:
            self._reply(answer, Refused(str(fate.reject.code or 10016), fate.reject.text or "refused"), name)
            return
        done = carry_out()
        world.publish()
        instead = world.armoury.answer_instead(path, ACCOUNT, now_ns)
        if fate is not None and fate.is_hung:
            return
        if fate is not None and fate.is_dropped:
            self._reply(answer, Unanswered("the connection broke"), "")
        elif instead is not None:
            self._reply(answer, Unanswered(f"{instead.code or 10000}"), "")
        else:
            self._reply(answer, answer_of(done), name, 0 if fate is None else fate.delay_ms)

    def _reply(self, answer: asyncio.Future[Answer], said: Answer, name: str, delay_ms: int = 0) -> None:
        if name:
            self.auditor.said(name, said)
        self.world.later(self.world.delay_ms() + delay_ms, lambda: _settle(answer, said))

    # lists ------------------------------------------------------------------------------------------------------------

    def _shown_until_ns(self) -> int:
        """What happened later is not in the venue's lists yet."""
        world = self.world
        return world.now_ns - (world.late_ms * MS if world.holds("slow_lists") else 0)

    def _is_shown(self, ts_ns: int) -> bool:
        return ts_ns <= self._shown_until_ns()

    async def instruments(self, ids: Sequence[InstrumentId]) -> list[Instrument]:
        return await self._list("instruments", lambda: [spec for spec in self.world.specs if spec.instrument_id in ids])

    def remember(self, records: Sequence[Instrument]) -> None:
        """The venue never leaves a grid here."""

    async def open_orders(self) -> list[VenueOrder]:
        def read() -> list[VenueOrder]:
            rows = [*self.world.core.open_orders(ACCOUNT, limit=1_000).rows, *(row for row in self.world.phantoms.values() if row.is_open)]
            shown_ns = self._shown_until_ns()
            return [order_of(row) for row in rows if row.created_ns <= shown_ns]

        return await self._list("open_orders", read)

    async def find_order(self, instrument: InstrumentId, client_order_id: str) -> VenueOrder | None:
        def read() -> VenueOrder | None:
            row = self.world.phantoms.get(client_order_id) or self.world.core.find_order(ACCOUNT, instrument, link_id=client_order_id)
            return order_of(row) if row is not None and self._is_shown(row.created_ns) else None

        return await self._list("find_order", read, client_order_id)

    async def executions(self, since_ts_ns: int) -> list[OrderFilled | FundingSettled]:
        def read() -> list[OrderFilled | FundingSettled]:
            found: list[OrderFilled | FundingSettled] = []
            shown_ns = self._shown_until_ns()
            for event in reversed(self.world.executions):
                if event.ts_ns < since_ts_ns:
                    break
                if event.ts_ns <= shown_ns:
                    found.append(event)
            found.reverse()
            return found

        return await self._list("executions", read)

    async def positions(self) -> list[VenuePosition]:
        return await self._list("positions", lambda: [position_of(row) for row in self.world.core.positions(ACCOUNT)])

    async def wallet(self) -> VenueWallet:
        return await self._list("wallet", lambda: wallet_of(self.world.core.wallet(ACCOUNT)))

    async def ledger(self, since_ts_ns: int) -> list[LedgerEntry]:
        def read() -> list[LedgerEntry]:
            since = list(takewhile(lambda row: row.ts_ns >= since_ts_ns, self.world.core.transaction_log(ACCOUNT, limit=10_000).rows))
            shown_ns = self._shown_until_ns()
            return [entry_of(row) for row in reversed(since) if row.ts_ns <= shown_ns]

        return await self._list("ledger", read)

    async def bars(self, instrument: InstrumentId, from_ts_ns: int, to_ts_ns: int) -> list[BarClosed]:
        return await self._list("bars", lambda: [bar for bar in self.world.bars[instrument] if from_ts_ns < bar.ts_ns <= to_ts_ns])

    async def funding_rates(self, instrument: InstrumentId, from_ts_ns: int, to_ts_ns: int) -> list[FundingKnown]:
        return await self._list("funding_rates", list)

    async def wall_time_ns(self) -> int:
        found = await self._list("time", lambda: self.world.wall_ns)
        self._skew_ns = self.world.armoury.skew_ns(self.world.now_ns)
        return found

    def quote(self, instrument: InstrumentId) -> Quote | None:
        world = self.world
        now_ns, lasts = world.now_ns, world.armoury.lasts
        if not self._public_up or lasts("stale_book", now_ns) or lasts("crossed_book", now_ns):
            return None
        return world.quote(instrument)


def _settle(answer: asyncio.Future[Answer], said: Answer) -> None:
    if not answer.done():
        answer.set_result(said)


def answer_of(done: Done) -> Answer:
    """What the venue says of what it did. Of an id that it has it says so, and the real client: taken, to be looked up."""
    if isinstance(done, Reject):
        if done.code == DUPLICATE.code:
            return Taken()
        return Refused(str(done.code), done.message)
    return Taken(done.order_id) if isinstance(done, OrderRow) else done


def request_of(approved: ApprovedOrder) -> OrderRequest:
    """The order as it stands on the wire."""
    order = approved.order
    direction = 0 if not order.trigger_ticks else 1 if order.trigger_rises else 2
    return OrderRequest(
        instrument=order.instrument, side=order.side, kind=order.kind, qty_lots=order.qty_lots, limit_ticks=order.limit_ticks,
        time_in_force=order.time_in_force, link_id=order.client_order_id, reduce_only=order.reduce_only, trigger_ticks=order.trigger_ticks,
        trigger_direction=direction, trigger_by=TriggerBy.MARK,
    )  # fmt: skip


__all__ = ["ANSWER_MS", "DELEVERAGED", "RECV_WINDOW_MS", "SimVenue", "Status"]
