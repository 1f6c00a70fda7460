"""The guard's client of the simulated venue: what it needs beyond a trader's, under the same network and the same faults.

Rules: a question that has left is answered at the venue whether or not the guard still runs, and the answer is as old as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

from tests.simulation.audit_brake import BrakeSide
from tests.simulation.auditor import Auditor
from tests.simulation.client import Done, SimVenue, request_of
from tests.simulation.world import ACCOUNT, World

from kedge.domain.errors import VenueUnavailable
from kedge.domain.instrument import InstrumentId
from kedge.domain.orders import ApprovedOrder
from kedge.domain.units import NS_PER_DAY
from kedge.domain.venue import Answer, CancelKind, DailyCloses, Depth, Refused, Taken, VenueNews, VenueWallet

LEVELS: Final = 50
NOT_ANSWERED_MS: Final = 50
T = TypeVar("T")


class SimGuardVenue(SimVenue):
    """One connection of the guard. Implements `kedge.domain.venue.GuardVenue`.

    Parameters
    ----------
    brake : BrakeSide, optional
        Who watches the guard.

    Attributes
    ----------
    closes : dict
        Daily closes in ticks that the venue shows of each instrument, oldest first; none by default.
    whole_room : list of bool
        What `claim_room` was told.
    reach : callable
        Visits a point at which the process may end.
    """

    has_market = False

    def __init__(self, world: World, auditor: Auditor, brake: BrakeSide | None = None) -> None:
        super().__init__(world, auditor)
        self.brake = brake
        self.closes: dict[InstrumentId, tuple[int, ...]] = {}
        self.whole_room: list[bool] = []
        self.reach: Callable[[str], None] = _no_point

    async def place(self, approved: ApprovedOrder, *, is_permitted: Callable[[], bool] | None = None) -> Answer:
        request = request_of(approved)
        if self.brake is not None:
            self.brake.placed(approved.order)
        self.world.loop.call_soon(self.reach, "after_place")

        def carry_out() -> Done:
            return self.world.core.place(ACCOUNT, request, self.world.now_ns)

        answer = await self._request("/v5/order/create", request.link_id, carry_out)
        if self.brake is not None and isinstance(answer, Refused):
            self.brake.refused(request.link_id)
        return answer

    async def cancel(self, instrument: InstrumentId, client_order_id: str) -> Answer:
        if self.brake is not None:
            self.brake.cancelled(client_order_id)

        def carry_out() -> Done:
            return self.world.core.cancel(ACCOUNT, instrument, self.world.now_ns, link_id=client_order_id)

        return await self._request("/v5/order/cancel", client_order_id, carry_out)

    async def cancel_all(self, kind: CancelKind = CancelKind.RESTING) -> Answer:
        if self.brake is not None:
            self.brake.cancelled(str(kind))
        self.world.loop.call_soon(self.reach, "after_cancel_all")

        def carry_out() -> Taken:
            core, now_ns = self.world.core, self.world.now_ns
            before = self._stops()
            if kind is CancelKind.CONDITIONAL:
                for row in core.open_orders(ACCOUNT, limit=1_000).rows:
                    if row.trigger_ticks and row.link_id:
                        core.cancel(ACCOUNT, row.instrument, now_ns, order_id=row.order_id)
            else:
                core.cancel_all(ACCOUNT, None, now_ns, conditional=False if kind is CancelKind.RESTING else None)
            if self.brake is not None:
                self.brake.swept(before, self._stops())
            return Taken()

        return await self._request("/v5/order/cancel-all", "", carry_out)

    async def depth(self, instrument: InstrumentId) -> Depth:
        def read() -> Depth:
            world = self.world
            book = world.core.depth(instrument, LEVELS)
            bids, asks = tuple(book.bids), tuple(book.asks)
            if world.holds("guard_no_book"):
                bids = asks = ()
            return Depth(instrument=instrument, bids=bids, asks=asks, ts_ns=book.ts_ns)

        return await self._list("depth", read)

    async def daily_closes(self, instrument: InstrumentId, days: int) -> DailyCloses:
        def read() -> DailyCloses:
            closes = self.closes.get(instrument, ())[-days:]
            midnight_ns = self.world.now_ns // NS_PER_DAY * NS_PER_DAY
            return DailyCloses(instrument=instrument, last_day_ts_ns=midnight_ns if closes else 0, closes_ticks=closes)

        return await self._list("daily_closes", read)

    async def data_time_ns(self) -> int:
        return await self._list("data_time", lambda: self.world.now_ns)

    def claim_room(self, *, whole: bool) -> None:
        self.whole_room.append(whole)

    # within -------------------------------------------------------------------------------------------------------------

    async def _list(self, name: str, read: Callable[[], T], about: str = "") -> T:
        world = self.world
        answer: asyncio.Future[T] = world.loop.create_future()

        def arrive() -> None:
            now_ns = world.now_ns
            is_away = world.armoury.lasts("ban", now_ns) or world.armoury.lasts("maintenance", now_ns)
            if is_away or world.holds("deaf") or world.holds("guard_deaf"):
                if self.brake is not None:
                    self.brake.troubled()
                world.later(NOT_ANSWERED_MS, lambda: _fail(answer, name))
                return
            found = read()
            world.later(world.delay_ms(), lambda: self._got(answer, name, found, now_ns))

        world.later(world.delay_ms(), arrive)
        return await answer

    def _got(self, answer: asyncio.Future[T], name: str, found: T, read_ns: int) -> None:
        if answer.done():
            return
        answer.set_result(found)
        if self.brake is not None and not self.is_gone:
            self.brake.read(name, read_ns, found.equity_e8 if isinstance(found, VenueWallet) else None)
            if name == "positions" and isinstance(found, list):
                self.brake.stopped(found, read_ns)

    def _hand(self, news: VenueNews) -> VenueNews:
        return news

    def _stops(self) -> dict[str, int]:
        return {row.instrument: row.stop_loss_ticks for row in self.world.core.positions(ACCOUNT)}


def _fail(answer: asyncio.Future[Any], name: str) -> None:
    if not answer.done():
        answer.set_exception(VenueUnavailable(f"{name} is not answered", why="the venue is not to be reached", fix="wait"))


def _no_point(_: str) -> None:
    """Nobody ends here."""
