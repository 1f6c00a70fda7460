"""The exchange's two clocks: the wall's, and the venue time that a played market is at.

Rules: venue time never goes back, never passes the next instant that the player has announced, and stands still while frozen. The
wall time carries the skew that a test asked for; pacing is measured on the monotonic clock, which nobody sets.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from kedge.domain.errors import InvalidInput
from kedge.domain.units import NS_PER_S

UNPACED_SPEED: Final = 1_000_000
"""The speed of a market that plays as fast as it can: one above the largest that can be named."""

_LATE_MAX_NS: Final = NS_PER_S


class PlayClock:
    """Venue time of a played market: between two announced instants it follows the wall, `speed` times as fast.

    Parameters
    ----------
    start_ns : int
        Venue time at which the market begins.
    speed : int
        1 to `UNPACED_SPEED`; the latter moves only from instant to instant.
    monotonic_ns, wall_ns : callable
        The process's own clocks by default.

    Raises
    ------
    InvalidInput
        A speed out of range.
    """

    def __init__(
        self,
        start_ns: int,
        speed: int,
        *,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        if not 1 <= speed <= UNPACED_SPEED:
            raise InvalidInput(f"speed is {speed}", why=f"a market plays 1 to {UNPACED_SPEED - 1} times as fast", fix="such as --speed 60")
        self.speed = speed
        self.skew_ns = 0
        self._monotonic_ns, self._wall_ns = monotonic_ns, wall_ns
        self._now_ns = self._limit_ns = self._anchor_ns = start_ns
        self._anchored_at = monotonic_ns()
        self._frozen = False

    @property
    def is_paced(self) -> bool:
        """Whether venue time follows the wall at all."""
        return self.speed < UNPACED_SPEED

    def venue_ns(self) -> int:
        """Venue time now."""
        if self._now_ns < self._limit_ns and not self._frozen and self.is_paced:
            flowed = self._anchor_ns + (self._monotonic_ns() - self._anchored_at) * self.speed
            self._now_ns = max(self._now_ns, min(flowed, self._limit_ns))
        return self._now_ns

    def wall_ns(self) -> int:
        """The wall's time, with the skew that a test asked for."""
        return self._wall_ns() + self.skew_ns

    def announce(self, next_ns: int) -> None:
        """The next instant of the market; venue time may flow up to it, not beyond."""
        self._limit_ns = max(self._now_ns, next_ns)

    def left_ns(self, ts_ns: int) -> int:
        """Wall time until venue time is `ts_ns`; not positive when it is due."""
        if not self.is_paced:
            return 0
        return (ts_ns - self._anchor_ns) // self.speed - (self._monotonic_ns() - self._anchored_at)

    def reach(self, ts_ns: int) -> None:
        """The market is at `ts_ns` now. More than a second late, what was lost is let go instead of made up by a burst."""
        late_ns = -self.left_ns(ts_ns)
        self._now_ns = max(self._now_ns, ts_ns)
        self._limit_ns = self._now_ns
        if late_ns > _LATE_MAX_NS:
            self._anchor()

    def freeze(self) -> None:
        """Let venue time stand still."""
        self.venue_ns()
        self._frozen = True

    def thaw(self) -> None:
        """Let venue time flow on from where it stands."""
        self._frozen = False
        self._anchor()

    def _anchor(self) -> None:
        self._anchor_ns, self._anchored_at = self._now_ns, self._monotonic_ns()


class WallVenueClock:
    """Both clocks of a venue that follows live prices: venue time is the wall's, never going back."""

    def __init__(self, *, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self.skew_ns = 0
        self._wall_ns = wall_ns
        self._now_ns = 0

    def venue_ns(self) -> int:
        """Venue time now, in UTC nanoseconds."""
        self._now_ns = max(self._now_ns, self._wall_ns())
        return self._now_ns

    def wall_ns(self) -> int:
        """The wall's time, with the skew that a test asked for."""
        return self._wall_ns() + self.skew_ns


class HandClock:
    """Two clocks that stand still until somebody moves them: for tests and scripted drills."""

    def __init__(self, venue_at_ns: int, wall_at_ns: int | None = None) -> None:
        self.venue_at_ns = venue_at_ns
        self.wall_at_ns = venue_at_ns if wall_at_ns is None else wall_at_ns
        self.skew_ns = 0

    def venue_ns(self) -> int:
        """Venue time now."""
        return self.venue_at_ns

    def wall_ns(self) -> int:
        """The wall's time now."""
        return self.wall_at_ns + self.skew_ns
