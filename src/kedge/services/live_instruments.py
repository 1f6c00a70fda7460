"""The instruments' records while a run goes on: read at its start and every day, changed ones taken over, missing ones kept for reading.

Rules: lots and ticks of two grids are never mixed. Other rules, fees or margin tiers on the same grid hold from the moment they are read,
whatever orders are live. Orders that were sent on a grid which the venue has left are read on that grid until none is live; then the run is
gone on with on the new one by another start. What the venue lists no more, or on a grid that this process does not trade on, is read by the
record we hold: what is there is compared and may be closed, and nothing new is risked in it. Records that cannot be had, or that nobody
could count with, leave the old ones in force: their age is in the status, and every failure is an alarm in the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from kedge.domain.errors import Conflict, InvalidInput, KedgeError, MarketGone
from kedge.domain.events import Command, CommandGiven, InstrumentChanged
from kedge.domain.instrument import Instrument
from kedge.domain.units import NS_PER_S
from kedge.domain.venue import TradingVenue
from kedge.engine.engine import WALLET_PROVED_MAX_E8
from kedge.engine.orders import OrderState
from kedge.kernel.bounds import prove_account
from kedge.services.live_core import LiveCore
from kedge.services.live_desk import Desk
from kedge.services.live_start import instrument_changes

S_PER_HOUR: Final = 3_600

_log: Final = logging.getLogger("kedge.live")


class Instruments:
    """The records of one run, against the venue's.

    Parameters
    ----------
    monotonic_ns : callable
        Tells how old the records are.
    same_market : callable
        Raises where what the venue has just said was said by another market.

    Attributes
    ----------
    problem : str
        Why the venue's records could not be had, or not be used, when they were asked for last; empty where all is well.
    """

    def __init__(
        self,
        core: LiveCore,
        venue: TradingVenue,
        desk: Desk,
        monotonic_ns: Callable[[], int],
        same_market: Callable[[], Awaitable[None]],
        *,
        just_read: bool = False,
    ) -> None:
        self._core, self._venue, self._desk, self._monotonic_ns, self._same_market = core, venue, desk, monotonic_ns, same_market
        self._changes: list[InstrumentChanged] = []
        self._old_grid: list[str] = []
        self._new_grid: list[str] = []
        self._read_ns = monotonic_ns() if just_read else None
        self.problem = ""

    @property
    def age_s(self) -> float | None:
        """How long ago the venue's records were read; None before."""
        return None if self._read_ns is None else (self._monotonic_ns() - self._read_ns) / NS_PER_S

    @property
    def action_needed(self) -> list[str]:
        """What only a person can mend."""
        return [f"{name} has a new grid at the venue; start the trader again, it goes on with the new one" for name in self._new_grid]

    async def keep_fresh(self, every_s: float, retry_s: float) -> None:
        """Read the records anew every so often for ever, sooner after a failure."""
        while True:
            is_well = not self.problem and not self._desk.unlisted
            await asyncio.sleep(every_s if is_well else retry_s)
            await self.refresh()

    async def refresh(self) -> None:
        """Read the venue's records now and take over what changed; what cannot be had or used leaves the old ones in force, with an alarm.

        Raises
        ------
        MarketGone
            Another market answered; nothing of it is used.
        """
        try:
            found = list(await self._venue.instruments([slot.instrument for slot in self._core.state.by_index]))
            await self._same_market()
        except MarketGone:
            raise
        except KedgeError as error:
            self._alarm(f"the venue's rules and margin tiers cannot be read: {error.what}")
            return
        told = instrument_changes(self._core.engine, found, self._core.now_ns())
        self._new_grid = [change.instrument.instrument_id for change in told if self._moves(change)]  # whoever can count with it or not
        self._changes = [change for change in self._take_note(found) if not self._moves(change)]
        for name in self._new_grid:
            _log.error("instrument has a new grid: %s", name, extra={"event": "instrument_new_grid", "instrument": name})
        self._desk.unlisted = self._desk.unlisted.union(self._new_grid)
        self.change()

    async def check(self) -> None:
        """Ask for the records in force, before anything is booked that is counted by them.

        Raises
        ------
        VenueUnavailable
            The venue did not answer.
        """
        state = self._core.state
        found = list(await self._venue.instruments([slot.instrument for slot in state.by_index]))
        self._changes = self._take_note(found)
        self._old_grid = [one.instrument.instrument_id for one in self._changes if self._is_on_old_grid(one)]
        kept = self._desk.unlisted.union(self._old_grid)
        self._venue.remember([slot.spec for slot in state.by_index if slot.instrument in kept])
        if self._old_grid:
            self._venue.news_at_hand()  # counted on the new grid; the comparison asks for all of it again

    def change(self) -> None:
        """Take changed records over; those of another grid only where no order is live, since orders are counted in the old lots."""
        core = self._core
        waiting, self._changes = self._changes, []
        for change in waiting:
            name = change.instrument.instrument_id
            if self._is_on_old_grid(change):
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
        return self._moves(change) and bool(self._core.state.orders.of(change.instrument.instrument_id))

    def _moves(self, change: InstrumentChanged) -> bool:
        """Whether a record has another grid than ours."""
        new = change.instrument
        old = self._core.state.slots[new.instrument_id].spec
        return (old.tick_e8, old.lot_e8) != (new.tick_e8, new.lot_e8)

    # what was read ----------------------------------------------------------------------------------------------------

    def _take_note(self, found: list[Instrument]) -> list[InstrumentChanged]:
        """What of the venue's records is new; nothing where sums over the changed account could pass what whole numbers hold."""
        state = self._core.state
        self._desk.unlisted = frozenset(state.slots.keys() - {one.instrument_id for one in found})
        for name in sorted(self._desk.unlisted):
            _log.error("instrument not listed any more: %s", name, extra={"event": "instrument_unlisted", "instrument": name})
        changes = instrument_changes(self._core.engine, found, self._core.now_ns())
        records = {slot.instrument: slot.spec for slot in state.by_index}
        records |= {change.instrument.instrument_id: change.instrument for change in changes}
        try:
            prove_account(records.values(), wallet_max_e8=WALLET_PROVED_MAX_E8, impact_max_bps=0)
        except InvalidInput as error:
            self._alarm(f"the venue's new rules cannot be counted with: {error.what}")
            return []
        self._read_ns, self.problem = self._monotonic_ns(), ""
        return changes

    def _alarm(self, problem: str) -> None:
        self.problem = problem
        age_s = self.age_s
        told = "none was read before" if age_s is None else f"those in force are {age_s / S_PER_HOUR:.1f} h old"
        _log.error("%s; %s", problem, told, extra={"event": "instruments_stale"})
