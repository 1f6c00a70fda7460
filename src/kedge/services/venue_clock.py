"""The trader's view of venue time: the last data's timestamp, and how long ago that was.

Between two pieces of data venue time goes on at `speed` times the wall's pace, so that silence is seen. In lock-step only the bars move
it, so that two runs at different speeds live through the same times. It never goes back.
"""

from __future__ import annotations

from collections.abc import Callable


class VenueClock:
    """Venue time as a trader knows it.

    Parameters
    ----------
    monotonic_ns : callable
        The host's monotonic clock.
    start_ts_ns : int
        Venue time until data says otherwise.
    speed : int
        How many times faster than the wall venue time runs.
    follows_wall : bool
        False in lock-step.
    """

    def __init__(self, monotonic_ns: Callable[[], int], start_ts_ns: int = 0, *, speed: int = 1, follows_wall: bool = True) -> None:
        self._monotonic_ns, self.speed, self.follows_wall = monotonic_ns, speed, follows_wall
        self._data_ts_ns = self._last_ns = start_ts_ns
        self._seen_ns: int | None = None

    def saw(self, ts_ns: int) -> None:
        """Data with this timestamp has arrived now; older data than the last moves nothing."""
        if ts_ns > self._data_ts_ns:
            self._data_ts_ns = ts_ns
            self._seen_ns = self._monotonic_ns()

    @property
    def data_ts_ns(self) -> int:
        """Timestamp of the newest data, without what the wall has added."""
        return self._data_ts_ns

    def now_ns(self) -> int:
        """Venue time now."""
        now = self._data_ts_ns
        if self.follows_wall and self._seen_ns is not None:
            now += self.speed * (self._monotonic_ns() - self._seen_ns)
        if now > self._last_ns:
            self._last_ns = now
        return self._last_ns

    @property
    def stands_still(self) -> bool:
        """Whether the wall does not move it now: in lock-step, and before any data."""
        return not self.follows_wall or self._seen_ns is None

    def wall_s_until(self, ts_ns: int) -> float:
        """How much wall time passes until this venue time, where the wall moves it; 0 when it is over."""
        return max(0, ts_ns - self.now_ns()) / (1e9 * self.speed)

    @property
    def silent_s(self) -> float | None:
        """Wall time since the last data that brought news of the time; None before any."""
        return None if self._seen_ns is None else (self._monotonic_ns() - self._seen_ns) / 1e9
