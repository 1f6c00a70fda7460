"""Was the wall clock set while this process ran? Approvals say by it when they were asked for, and when their time is over.

Rules: the wall clock is held against a clock that nobody sets; what was written down before it was set has an age that nobody knows; of
the time before this process began nothing is known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kedge.domain.units import NS_PER_MS, NS_PER_S

SET_NS: Final = 2 * NS_PER_S
"""So far apart two clocks that are both slewed never come; a leap second is less."""
AT_ONCE_NS: Final = 100 * NS_PER_MS
"""Two readings that took longer are none of one moment."""


class WallWatch:
    """Holds the wall clock against one that nobody sets.

    Parameters
    ----------
    wall_ns, elapsed_ns : callables
        Both in nanoseconds.

    Attributes
    ----------
    known_from_wall_ns : int
        Times of the wall clock before this one may be older or younger than they say; 0 while it was never seen to be set.
    """

    def __init__(self, wall_ns: Callable[[], int], elapsed_ns: Callable[[], int]) -> None:
        self._wall_ns, self._elapsed_ns = wall_ns, elapsed_ns
        self.known_from_wall_ns = 0
        self._ahead_ns = wall_ns() - elapsed_ns()

    def look(self) -> int:
        """By how much the clock was set since the last look, in nanoseconds: forward, or back where it is negative; 0 where it was not."""
        begun_ns = self._elapsed_ns()
        wall_ns = self._wall_ns()
        now_ns = self._elapsed_ns()
        by_ns = wall_ns - now_ns - self._ahead_ns
        if abs(by_ns) <= SET_NS or now_ns - begun_ns > AT_ONCE_NS:
            return 0
        self._ahead_ns += by_ns
        self.known_from_wall_ns = max(self.known_from_wall_ns, wall_ns, wall_ns - by_ns)
        return by_ns
