"""What was last read from the venue, and when each read began. A read that fails leaves the one before, which grows old.

Rules: each list is asked on its own and waited for so long and no longer; one that fails does not hold up the others; positions whose
instrument is not known yet are read once its record is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from kedge.domain.errors import KedgeError, VenueUnavailable
from kedge.domain.instrument import Instrument, InstrumentId
from kedge.domain.orders import GUARD_PREFIX
from kedge.domain.units import NS_PER_S
from kedge.domain.venue import GuardVenue, VenueOrder, VenuePosition, VenueWallet
from kedge.services.guard.status import OrderStatus
from kedge.services.guard.waiting import in_time

_LOG: Final = logging.getLogger(__name__)
T = TypeVar("T")

MARK_KEPT_NS: Final = 2 * NS_PER_S
"""A mark that was shown longer ago than this is unknown by now."""


class Truth:
    """The account as the venue showed it.

    Attributes
    ----------
    positions_ns, orders_ns, wallet_ns : int or None
        When the newest good read of each began, on the monotonic clock; None before the first. Positions that were read may be ones that
        cannot be measured: then `seen_ns` grows old.
    records : dict
        Instruments that have been seen.
    trouble : str
        What failed last; empty while all reads are well.
    """

    def __init__(self, monotonic_ns: Callable[[], int], within_s: float) -> None:
        self._monotonic_ns, self._within_s = monotonic_ns, within_s
        self.positions: tuple[VenuePosition, ...] = ()
        self.orders: tuple[VenueOrder, ...] = ()
        self.wallet: VenueWallet | None = None
        self.positions_ns: int | None = None
        self.orders_ns: int | None = None
        self.wallet_ns: int | None = None
        self._measured_ns: int | None = None
        self.records: dict[InstrumentId, Instrument] = {}
        self.marks_e8: dict[InstrumentId, int] = {}
        self._marked_ns: dict[InstrumentId, int] = {}
        self.trouble = ""
        self._learning: dict[InstrumentId, asyncio.Task[None]] = {}
        self._beside: dict[InstrumentId, VenuePosition] = {}
        self._said: dict[str, str] = {}
        self._adding: tuple[tuple[VenueOrder, ...], list[VenueOrder]] = ((), [])

    async def read(self, venue: GuardVenue, *, orders: bool, wallet: bool = True) -> bool:
        """Ask for what is due, all at once; whether everything that was asked came."""
        self.trouble = ""
        wanted: list[Awaitable[bool]] = [self._one("positions", lambda: self._positions(venue))]
        if wallet:
            wanted.append(self._one("wallet", lambda: self._wallet(venue)))
        if orders:
            wanted.append(self._one("open orders", lambda: self._orders(venue)))
        came = await asyncio.gather(*wanted)
        if wallet and came[1]:  # what is unrealised in the wallet's answer is of these, at these marks
            self._beside = {one.instrument: one for one in self.positions} if came[0] else {}
        return all(came)

    async def close(self) -> None:
        """Leave what is being asked."""
        for task in self._learning.values():
            task.cancel()
        await asyncio.gather(*self._learning.values(), return_exceptions=True)

    async def within(self, what: Awaitable[T]) -> T:
        """One answer of the venue in time, or `VenueUnavailable`."""
        try:
            return await in_time(what, self._within_s)
        except TimeoutError:
            raise VenueUnavailable(
                f"no answer within {self._within_s:g} s", why="the venue or the line is slow", fix="it is asked again"
            ) from None

    async def know(self, venue: GuardVenue, names: Sequence[InstrumentId]) -> None:
        """Have the records of these instruments; `VenueUnavailable` where the venue does not give one."""
        missing = [name for name in names if name not in self.records]
        if not missing:
            return
        self._learning = {name: task for name, task in self._learning.items() if not task.done()}
        if new := [name for name in missing if name not in self._learning]:
            self._learning |= dict.fromkeys(new, asyncio.create_task(self._learn(venue, new)))
        for task in dict.fromkeys(self._learning[name] for name in missing):
            await asyncio.shield(task)  # however long it takes: the next read waits for the same answer
        unknown = [name for name in missing if name not in self.records]
        if unknown:
            raise VenueUnavailable(
                f"the account holds {', '.join(unknown)}, whose record the venue did not give",
                why="its numbers have no grid",
                fix="look at the account; a person may have to close it by hand",
            )

    @property
    def seen_ns(self) -> int | None:
        """When the oldest of the three reads began; None until all have come once."""
        measured_ns, orders_ns, wallet_ns = self._measured_ns, self.orders_ns, self.wallet_ns
        if measured_ns is None or orders_ns is None or wallet_ns is None:
            return None
        return min(measured_ns, orders_ns, wallet_ns)

    @property
    def resting(self) -> list[VenueOrder]:
        """Open orders that wait for no trigger."""
        return [order for order in self.orders if not order.is_conditional]

    @property
    def adding(self) -> list[VenueOrder]:
        """Open orders of every kind that can add risk: not reduce-only, and not the guard's; looked for once in each list."""
        if self._adding[0] is not self.orders:
            adding = [order for order in self.orders if not order.reduce_only and not order.client_order_id.startswith(GUARD_PREFIX)]
            self._adding = (self.orders, adding)
        return self._adding[1]

    def counts(self) -> OrderStatus:
        """How many of each kind are open."""
        stops = sum(1 for order in self.orders if order.is_conditional and not order.client_order_id)
        conditional = sum(1 for order in self.orders if order.is_conditional) - stops
        guards = sum(1 for order in self.orders if order.client_order_id.startswith(GUARD_PREFIX))
        reducing = sum(1 for order in self.resting if order.reduce_only)
        return OrderStatus(
            resting=len(self.resting), resting_reduce_only=reducing, conditional=conditional, stops=stops, guards=guards
        )  # fmt: skip

    def mark_e8(self, position: VenuePosition) -> int | None:
        """The position's mark: the newest one that the venue showed; None where that was too long ago."""
        return position.mark_e8 or self.last_mark_e8(position.instrument)

    def last_mark_e8(self, name: InstrumentId) -> int | None:
        """The newest mark of an instrument, held or not any more; None where it was shown too long ago, or never."""
        is_old = self._monotonic_ns() - self._marked_ns.get(name, 0) > MARK_KEPT_NS
        return None if is_old else self.marks_e8.get(name)

    def equity_e8(self) -> int | None:
        """The venue's own figure; where it does not say, wallet and unrealised profit at the marks; None where a mark is unknown.

        While the wallet is not read any more, what marks did since to positions that are as they were then is added to the figure.
        """
        wallet = self.wallet
        if wallet is None or wallet.equity_e8 is not None:
            return None if wallet is None or wallet.equity_e8 is None else wallet.equity_e8 + self._moved_e8()
        total = wallet.wallet_e8
        for position in self.positions:
            mark_e8, spec = self.mark_e8(position), self.records[position.instrument]
            if mark_e8 is None:
                return None
            total += position.lots * mark_e8 * spec.tick_value_e8 // spec.tick_e8 - position.cost_e8
        return total

    def _moved_e8(self) -> int:
        """What marks did to the positions that are as they were when the wallet was read."""
        total_e8 = 0
        for one in self.positions:
            then, spec = self._beside.get(one.instrument), self.records.get(one.instrument)
            is_same = then is not None and (then.lots, then.cost_e8, then.position_idx) == (one.lots, one.cost_e8, one.position_idx)
            if then is not None and spec is not None and is_same and then.mark_e8 and one.mark_e8:
                total_e8 += one.lots * (one.mark_e8 - then.mark_e8) * spec.tick_value_e8 // spec.tick_e8
        return total_e8

    async def _one(self, name: str, ask: Callable[[], Awaitable[None]]) -> bool:
        try:
            await self.within(ask())
        except KedgeError as error:
            self.trouble = f"{name}: {error.what}"
            if self._said.get(name) != error.what:  # once, not ten times a second
                self._said[name] = error.what
                _LOG.warning("reading %s failed: %s", name, error)
            return False
        if self._said.pop(name, None) is not None:
            _LOG.warning("reading %s works again", name)
        return True

    async def _positions(self, venue: GuardVenue) -> None:
        begun_ns = self._monotonic_ns()
        found = [position for position in await venue.positions() if position.lots]
        await self.know(venue, [position.instrument for position in found])
        self.positions = tuple(found)
        self.positions_ns = begun_ns  # the others can be closed, whatever is unknown of one
        self.marks_e8 |= {position.instrument: position.mark_e8 for position in found if position.mark_e8}
        self._marked_ns |= {position.instrument: begun_ns for position in found if position.mark_e8}
        unmarked = [position.instrument for position in found if self.mark_e8(position) is None]
        if unmarked:
            raise VenueUnavailable(
                f"the venue shows no mark of {', '.join(unmarked)}", why="risk without a mark is unknown, not zero", fix="it is asked again"
            )
        if hedged := sorted({position.instrument for position in found if position.position_idx}):
            raise VenueUnavailable(
                f"{', '.join(hedged)} in hedge mode", why="two positions of one instrument are not measured as one", fix="use one-way mode"
            )
        self._measured_ns = begun_ns

    async def _orders(self, venue: GuardVenue) -> None:
        begun_ns = self._monotonic_ns()
        self.orders, self.orders_ns = tuple(await venue.open_orders()), begun_ns

    async def _wallet(self, venue: GuardVenue) -> None:
        begun_ns = self._monotonic_ns()
        self.wallet, self.wallet_ns = await venue.wallet(), begun_ns
        self._beside = {}  # until the round is over, and positions are of the same moment

    async def _learn(self, venue: GuardVenue, names: Sequence[InstrumentId]) -> None:
        self.records |= {record.instrument_id: record for record in await venue.instruments(names)}
