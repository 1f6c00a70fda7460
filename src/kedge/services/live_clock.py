"""This machine's wall clock beside the venue's. Requests are signed with the venue's time whatever our clock says; but records, permits
between hosts and everybody who reads a log go by ours, so one that is beyond its limit halts new risk.

Rules: the venue is asked at its time endpoint; what the answer took cannot be told from a wrong clock, so only what lies outside of the
whole round trip counts, and the best of a few questions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from kedge.domain.units import NS_PER_S
from kedge.domain.venue import TradingVenue

CLOCK_LIMIT_NS: Final = NS_PER_S // 2
"""How far this machine's clock may lie from the venue's."""

QUESTIONS: Final = 3
CHECK_EVERY_NS: Final = 30 * NS_PER_S
"""Wall time between two checks."""


class ClockReading(NamedTuple):
    """Both clocks at the question that proves least: `off_ns` is by how much they differ at least, 0 where they may be equal."""

    ours_ns: int
    theirs_ns: int
    off_ns: int


class WallClock:
    """Compares one machine's clock with one venue's.

    Parameters
    ----------
    wall_ns : callable, optional
        This machine's wall clock; None where it is not to be compared, as in a played market of another time.
    monotonic_ns : callable
        Paces the checks.
    """

    def __init__(self, venue: TradingVenue, wall_ns: Callable[[], int] | None, monotonic_ns: Callable[[], int]) -> None:
        self._venue, self._wall_ns, self._monotonic_ns = venue, wall_ns, monotonic_ns
        self._checked_ns: int | None = None

    async def beyond(self, limit_ns: int = CLOCK_LIMIT_NS) -> ClockReading | None:
        """The reading where the clock is beyond its limit; None where it is right, or need not be asked now.

        Raises
        ------
        VenueUnavailable
            The venue did not answer.
        """
        wall_ns, now_ns = self._wall_ns, self._monotonic_ns()
        if wall_ns is None or (self._checked_ns is not None and now_ns - self._checked_ns < CHECK_EVERY_NS):
            return None
        best = min([await self._ask(wall_ns) for _ in range(QUESTIONS)], key=lambda reading: reading.off_ns)
        if best.off_ns <= limit_ns:
            self._checked_ns = now_ns
            return None
        return best

    async def _ask(self, wall_ns: Callable[[], int]) -> ClockReading:
        before_ns = wall_ns()
        theirs_ns = await self._venue.wall_time_ns()
        after_ns = wall_ns()
        return ClockReading(after_ns, theirs_ns, max(0, before_ns - theirs_ns, theirs_ns - after_ns))
