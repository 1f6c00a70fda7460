"""The hall: one venue, its clocks, and everybody who listens. All that enters or leaves the venue passes here, on one thread.

Whoever changes the venue calls `publish` afterwards; listeners then get the changes in order, before anybody else may act.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from kedge.domain.instrument import Instrument
from kedge.simulation.faults_armed import FrameFate
from kedge.simulation.venue import Venue
from kedge.simulation.venue_types import BookSnapshot, Change
from kedge.venues.exchange.texts import Grid

Listener = Callable[[Sequence[Change]], None]


class VenueClock(Protocol):
    """The two clocks. Venue time stands in all data; wall time in envelopes, signatures and limits. They run apart at speed."""

    def venue_ns(self) -> int:
        """Venue time now, never backwards."""

    def wall_ns(self) -> int:
        """The wall's time now."""


class Hall:
    """One venue with its clock and listeners.

    Parameters
    ----------
    venue : Venue
    clock : VenueClock
    speed : int
        How many times faster than the wall venue time runs; rate limits grow with it.

    Attributes
    ----------
    grids : dict
        How each instrument's numbers are written, by instrument id.
    coin : str
        The quote currency, the one coin of every wallet.
    disconnect_windows_s : dict
        Account to the wall seconds after which its active orders are cancelled when all its protected connections are gone;
        accounts without protection are not in it.
    """

    def __init__(self, venue: Venue, clock: VenueClock, instruments: Sequence[Instrument], *, speed: int = 1) -> None:
        self.venue = venue
        self.clock = clock
        self.speed = speed
        self.instruments = {instrument.venue_symbol: instrument for instrument in instruments}
        self.by_id = {instrument.instrument_id: instrument for instrument in instruments}
        self.grids = {instrument.instrument_id: Grid(instrument) for instrument in instruments}
        self.coin = instruments[0].quote
        self.disconnect_windows_s: dict[str, int] = {}
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """From now on call `listener` with every batch of changes; it must not raise and not call back."""
        self._listeners.append(listener)

    def publish(self) -> None:
        """Hand out what changed since the last call."""
        self._hand_out(self.venue.drain())

    def frame_fate(self, symbol: str) -> FrameFate:
        """What happens to one change of a book stream: it passes."""
        return FrameFate.PASS

    def shown_book(self, symbol: str, levels: int) -> BookSnapshot:
        """A book as its streams show it: as it stands."""
        return self.venue.depth(self.instruments[symbol].instrument_id, levels)

    def _hand_out(self, changes: Sequence[Change]) -> None:
        if changes:
            for listener in self._listeners:
                listener(changes)
