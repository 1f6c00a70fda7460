"""The armoury of `simulation.faults` on the wall's clock, in the words of requests over HTTP and the trade socket.

Rules: without `--faults` none of this is in the way of a request. Times here are the wall's, without any skew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from kedge.domain.units import NS_PER_S
from kedge.simulation.faults import Fault, Kind
from kedge.simulation.faults_armed import Armoury, Arrival, FrameFate, Refusal
from kedge.simulation.faults_wire import Outbox
from kedge.simulation.venue_types import BookSnapshot, Change, Crowd
from kedge.venues.exchange.codes import Code
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.http_server import Fate
from kedge.venues.exchange.routes import ApiError, Call, Route


class Faults:
    """What is armed now.

    Parameters
    ----------
    wall_ns : callable
        The wall's time, without any skew.
    seed : int
        Of the chance of faults with a rate.
    """

    def __init__(self, wall_ns: Callable[[], int], seed: int = 0) -> None:
        self.wall_ns = wall_ns
        self.armoury = Armoury(seed)

    def arm(self, fault: Fault) -> list[Fault]:
        """Order a fault; returns those that begin by themselves now, for the caller to carry out.

        Raises
        ------
        InvalidInput
            It makes no sense.
        """
        self.armoury.arm(fault, self.wall_ns())
        return self.begun()

    def begun(self) -> list[Fault]:
        """Scheduled faults that begin by themselves and whose time has come, each told once."""
        return self.armoury.begun(self.wall_ns())

    def next_in_s(self) -> float | None:
        """Wall seconds until something begins or ends by itself; None for never."""
        now_ns = self.wall_ns()
        next_ns = self.armoury.next_ns(now_ns)
        return None if next_ns is None else (next_ns - now_ns) / NS_PER_S

    def skew_ns(self) -> int:
        """By how much the exchange's wall clock is to be off now."""
        return self.armoury.skew_ns(self.wall_ns())

    def crowd(self, usual: Crowd, symbol: str) -> Crowd:
        """How the background of an instrument is to quote now."""
        return self.armoury.crowd(usual, self.wall_ns(), symbol)

    def clear(self) -> None:
        """Disarm everything."""
        self.armoury.clear()

    def lasts(self, kind: Kind, symbol: str = "") -> int:
        """Wall nanoseconds for which a lasting fault still holds; 0 when it does not."""
        return self.armoury.lasts(kind, self.wall_ns(), symbol)

    def shown(self) -> dict[str, Any]:
        """What is armed, how long the lasting ones hold (ms), and how often each kind has struck."""
        return self.armoury.shown(self.wall_ns())

    # --- requests --------------------------------------------------------------------------------------------------------

    def meddle(self, route: Route, call: Call) -> Fate | None:
        """What happens to a request over HTTP."""
        return self.fate(route.path, call.account)

    def arrival(self, path: str, account: str) -> Arrival | None:
        """What happens to a request before it is looked at; None for nothing."""
        return self.armoury.arrival(path, account, self.wall_ns())

    def fate(self, path: str, account: str) -> Fate | None:
        """What happens to a request that passed all checks, whichever way it came; None for nothing."""
        fate = self.armoury.fate(path, account, self.wall_ns())
        if fate is None:
            return None
        if fate.reject is not None:
            return Fate(error=_error(fate.reject, Code.SERVER_ERROR))
        return Fate(None, fate.is_dropped, fate.delay_ms / 1_000, fate.is_hung, fate.is_doubled, fate.is_overtaken)

    def answer_instead(self, path: str, account: str) -> ApiError | None:
        """The ambiguous answer to a request that was carried out, if one is armed."""
        refusal = self.armoury.answer_instead(path, account, self.wall_ns())
        return None if refusal is None else _error(refusal, Code.SERVER_TIMEOUT)


class FaultyHall(Hall):
    """A hall whose listeners hear twice, late, backwards or not at all, and whose books stand crossed, as ordered."""

    faults: Faults

    def __init__(self, *arguments: Any, faults: Faults, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.faults = faults
        self._outbox = Outbox(faults.armoury)
        self._timer: asyncio.TimerHandle | None = None

    def publish(self) -> None:
        """Hand out what changed, less what is held back."""
        changes: Sequence[Change] = self.venue.drain()
        if changes:
            self._send(changes)

    def frame_fate(self, symbol: str) -> FrameFate:
        """What happens to one change of a book stream."""
        return self.faults.armoury.frame(symbol, self.faults.wall_ns())

    def shown_book(self, symbol: str, levels: int) -> BookSnapshot:
        """A book as its streams show it: while it is to be crossed, somebody bids a tick above the best ask."""
        book = super().shown_book(symbol, levels)
        if not book.asks or not self.faults.lasts("crossed_book", symbol):
            return book
        bids = ((book.asks[0][0] + 1, 1), *book.bids)
        return BookSnapshot(book.instrument, book.ts_ns, bids, book.asks, book.update, book.seq)

    def _send(self, changes: Sequence[Change] = ()) -> None:
        """Hand out what may go, and be back when something that is held is due."""
        now_ns = self.faults.wall_ns()
        batches = self._outbox.send(changes, now_ns)
        if self._timer is not None:
            self._timer.cancel()
        due_ns = self._outbox.due_ns
        self._timer = None if due_ns is None else asyncio.get_running_loop().call_later((due_ns - now_ns) / NS_PER_S, self._send)
        for batch in batches:
            self._hand_out(batch)


def _error(refusal: Refusal, usual: Code) -> ApiError:
    return ApiError(refusal.code or usual, refusal.text)
