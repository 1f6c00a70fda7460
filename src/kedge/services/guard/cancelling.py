"""Takes open orders away, again and again, until the venue shows none that the level forbids.

Rules: at HALTED and above all that rests goes at once, asked before anything is read; what waits for a trigger and can add risk goes one by
one, the stops of positions stay; at REDUCE_ONLY what can add risk goes one by one. Only the list of open orders says that orders are gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from kedge.domain.brake import SEVERITY, BrakeLevel
from kedge.domain.errors import KedgeError
from kedge.domain.units import NS_PER_MS, NS_PER_S
from kedge.domain.venue import Answer, CancelKind, GuardVenue, Refused, Unanswered, VenueOrder
from kedge.services.guard.holder import Holder
from kedge.services.guard.reading import Truth
from kedge.services.guard.recorder import Recorder
from kedge.services.guard.records import CancelsSent
from kedge.services.guard.timeline import Timeline

_LOG: Final = logging.getLogger(__name__)

AGAIN_NS: Final = 300 * NS_PER_MS
"""Between two cancels of the same orders: their going takes a moment to be listed."""
UNSEEN_AGAIN_NS: Final = NS_PER_S
"""Between two cancels while nobody knows what is open."""
IN_FLIGHT: Final = 3
"""So many cancel-alls may be unanswered at once."""
ONE_BY_ONE: Final = 10
"""More orders than that go at once."""


class Canceller:
    """Cancels what the latch's level forbids.

    Attributes
    ----------
    all_sent_ns : int or None
        When the newest cancel-all was on its way, on the monotonic clock.
    """

    def __init__(
        self,
        truth: Truth,
        holder: Holder,
        recorder: Recorder,
        timeline: Timeline,
        wall_ns: Callable[[], int],
        monotonic_ns: Callable[[], int],
    ) -> None:
        self._truth, self._holder, self._recorder, self._timeline = truth, holder, recorder, timeline
        self._wall_ns, self._monotonic_ns = wall_ns, monotonic_ns
        self.all_sent_ns: int | None = None
        self._asked_ns: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._all_in_flight = 0

    def begin(self) -> None:
        """The level rose: what was cancelled before counts no more."""
        self.all_sent_ns = None
        self._asked_ns.clear()

    def step(self, venue: GuardVenue) -> None:
        """Send what is due. Nothing is waited for here."""
        level = self._holder.level
        if SEVERITY[level] >= SEVERITY[BrakeLevel.HALTED]:
            self._halted(venue)
        elif level is BrakeLevel.REDUCE_ONLY:
            self._some(venue, self._truth.adding)

    def sweep(self, venue: GuardVenue, kind: CancelKind) -> bool:
        """All of a kind at once, if that was not asked a moment ago; whether it was sent."""
        now_ns = self._monotonic_ns()
        last_ns = self._asked_ns.get(kind)
        if self._all_in_flight >= IN_FLIGHT or (last_ns is not None and now_ns - last_ns < AGAIN_NS):
            return False
        self._asked_ns[kind] = now_ns
        if kind is CancelKind.RESTING:
            self.all_sent_ns = now_ns
        self._timeline.mark("first_cancel", now_ns)
        self._all_in_flight += 1
        self._spawn(self._all(venue, kind))
        return True

    def cancel_adding(self, venue: GuardVenue) -> None:
        """What can add risk goes, and all that rests with it."""
        adding = self._truth.adding
        if any(not order.is_conditional for order in adding):
            self.sweep(venue, CancelKind.RESTING)
        self._some(venue, [order for order in adding if order.is_conditional])

    async def close(self) -> None:
        """Leave what is under way."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # within -------------------------------------------------------------------------------------------------------------

    def _halted(self, venue: GuardVenue) -> None:
        truth, now_ns = self._truth, self._monotonic_ns()
        waiting = [order for order in truth.adding if order.is_conditional]
        if self.all_sent_ns is None:
            self.sweep(venue, CancelKind.RESTING)
        elif truth.orders_ns is None or truth.orders_ns <= self.all_sent_ns:  # nobody has looked since
            if now_ns - self.all_sent_ns >= UNSEEN_AGAIN_NS:
                self.sweep(venue, CancelKind.RESTING)
        elif truth.resting:
            self.sweep(venue, CancelKind.RESTING)
        if any(not order.client_order_id for order in waiting):
            self.sweep(venue, CancelKind.CONDITIONAL)
        else:
            self._some(venue, waiting)

    def _some(self, venue: GuardVenue, orders: Sequence[VenueOrder]) -> None:
        now_ns = self._monotonic_ns()
        if len(orders) > ONE_BY_ONE or any(not order.client_order_id for order in orders):
            self.sweep(venue, CancelKind.CONDITIONAL if all(order.is_conditional for order in orders) else CancelKind.RESTING)
            return
        due = [order for order in orders if now_ns - self._asked_ns.get(order.client_order_id, -(1 << 62)) >= AGAIN_NS]
        for order in due:
            self._asked_ns[order.client_order_id] = now_ns
            self._timeline.mark("first_cancel", now_ns)
            self._spawn(self._one(venue, order))

    async def _all(self, venue: GuardVenue, kind: CancelKind) -> None:
        try:
            answer: Answer = await venue.cancel_all(kind)
        except KedgeError as error:
            answer = Unanswered(error.what)
        finally:
            self._all_in_flight -= 1
        if kind is CancelKind.RESTING and not isinstance(answer, Refused) and not self._unasked():
            self._timeline.mark("cancels", self._monotonic_ns())
        self._said(str(kind), 1, answer)

    async def _one(self, venue: GuardVenue, order: VenueOrder) -> None:
        try:
            answer = await venue.cancel(order.instrument, order.client_order_id)
        except KedgeError as error:
            answer = Unanswered(error.what)
        self._said(order.client_order_id, 1, answer)

    def _unasked(self) -> list[VenueOrder]:
        """Orders that wait for a trigger, can add risk, and were not asked to go yet."""
        if CancelKind.CONDITIONAL in self._asked_ns:
            return []
        return [order for order in self._truth.adding if order.is_conditional and order.client_order_id not in self._asked_ns]

    def _said(self, kind: str, count: int, answer: Answer) -> None:
        words = "taken" if not isinstance(answer, Refused | Unanswered) else _words(answer)
        if words != "taken":
            self._recorder.page("CANCEL", f"cancelling {kind}: {words}; it is asked again")
        self._recorder.write(
            CancelsSent(wall_ns=self._wall_ns(), kind=kind, count=count, answer=words, generation=self._holder.latch.generation)
        )  # fmt: skip

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _words(answer: Refused | Unanswered) -> str:
    return f"refused {answer.code} {answer.reason}" if isinstance(answer, Refused) else f"unanswered: {answer.why}"
