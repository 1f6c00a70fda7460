"""The instruments' records while a run goes on: changed ones taken over, missing ones kept for reading, old grids left behind first.

Rules: lots and ticks of two grids are never mixed. Orders that were sent on a grid which the venue has left are read on that grid until
none is live; then the run is gone on with on the new one by another start. An instrument that the venue lists no more is read by the
record we hold: what is there is compared and may be closed, and nothing new is risked in it.
"""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from kedge.domain.errors import Conflict
from kedge.domain.events import Command, CommandGiven, InstrumentChanged
from kedge.domain.venue import TradingVenue
from kedge.engine.orders import OrderState
from kedge.services.live_core import LiveCore
from kedge.services.live_desk import Desk
from kedge.services.live_start import instrument_changes

_log: Final = logging.getLogger("kedge.live")


class Instruments:
    """The records of one run that goes on, against the venue's."""

    def __init__(self, core: LiveCore, venue: TradingVenue, desk: Desk) -> None:
        self._core, self._venue, self._desk = core, venue, desk
        self._changes: list[InstrumentChanged] = []
        self._old_grid: list[str] = []

    async def check(self) -> None:
        """Ask for the records in force, before anything is booked that is counted by them.

        Raises
        ------
        VenueUnavailable
            The venue did not answer.
        """
        state = self._core.state
        found = list(await self._venue.instruments([slot.instrument for slot in state.by_index]))
        listed = {one.instrument_id for one in found}
        self._desk.unlisted = frozenset(state.slots.keys() - listed)
        self._changes = instrument_changes(self._core.engine, found, self._core.now_ns())
        self._old_grid = [one.instrument.instrument_id for one in self._changes if self._is_on_old_grid(one)]
        for name in sorted(self._desk.unlisted):
            _log.error("instrument not listed any more: %s", name, extra={"event": "instrument_unlisted", "instrument": name})
        kept = self._desk.unlisted.union(self._old_grid)
        self._venue.remember([slot.spec for slot in state.by_index if slot.instrument in kept])
        if self._old_grid:
            self._venue.news_at_hand()  # counted on the new grid; the comparison asks for all of it again

    def change(self) -> None:
        """Take changed records over where no order is live; orders are counted in the old lots."""
        core = self._core
        waiting, self._changes = self._changes, []
        for change in waiting:
            name = change.instrument.instrument_id
            if core.state.orders.of(name):
                self._changes.append(change)
                continue
            _log.warning("instrument changed: %s", name, extra={"event": "instrument_changed"})
            core.step(msgspec.structs.replace(change, ts_ns=core.now_ns()))

    # an old grid ------------------------------------------------------------------------------------------------------

    @property
    def is_on_old_grid(self) -> bool:
        """Whether orders are live that were counted on a grid which the venue has left."""
        return bool(self._old_grid)

    def cancel_orders(self) -> None:
        """Ask for all orders to be cancelled, on the record."""
        names = ", ".join(self._old_grid)
        self._core.step(CommandGiven(self._core.now_ns(), Command.CANCEL_ALL, "trader", f"{names} has a new grid"))

    def left(self) -> list[OrderState]:
        """Orders that are live on an old grid."""
        return [order for name in self._old_grid for order in self._core.state.orders.of(name).values()]

    def new_start_needed(self) -> Conflict:
        """Why this process ends when the orders are resolved."""
        return Conflict(
            f"{', '.join(self._old_grid)} has a new grid",
            why="orders were live on the old one; they are over now, and lots of two grids are never mixed in one process",
            fix="start the trader again: it goes on with the new grid",
        )

    def _is_on_old_grid(self, change: InstrumentChanged) -> bool:
        new = change.instrument
        old = self._core.state.slots[new.instrument_id].spec
        moved = (old.tick_e8, old.lot_e8) != (new.tick_e8, new.lot_e8)
        return moved and bool(self._core.state.orders.of(new.instrument_id))
