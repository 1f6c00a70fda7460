"""When an account counts as flat, and when a trader counts as dead. Pure: times are the guard's monotonic nanoseconds.

Rules: flat is what reads of the venue showed from one second to the next, after the last moment at which an order that was signed before
the latch can still be accepted; one read that shows anything starts the second anew.
"""

from __future__ import annotations

from kedge.domain.units import NS_PER_S


class FlatClock:
    """Watches for zero orders and zero positions.

    Parameters
    ----------
    latched_ns : int
        When the latch was written; the guard's start where it was written by an earlier process.
    quiet_ns : int
        From then on, so long may an older order still be accepted: a permit's age and the receive window.
    zero_ns : int
        How long everything must be zero after that.
    """

    def __init__(self, latched_ns: int, quiet_ns: int, zero_ns: int) -> None:
        self.from_ns = latched_ns + quiet_ns
        self.zero_ns = zero_ns
        self.is_flat = False
        self._since_ns: int | None = None

    def saw(self, begun_ns: int, orders: int, positions: int) -> bool:
        """One whole read of the venue that began at `begun_ns`; whether the account counts as flat by now."""
        if orders or positions:
            self._since_ns, self.is_flat = None, False
            return False
        if begun_ns < self.from_ns:
            return False
        if self._since_ns is None:
            self._since_ns = begun_ns
        self.is_flat = begun_ns - self._since_ns >= self.zero_ns
        return self.is_flat


class DeadMan:
    """Cancels a silent trader's resting orders, again as long as there are any.

    Parameters
    ----------
    silent_s : int
        How long the trader may be silent; 0 switches it off.
    every_s : int
        Between two cancels.
    """

    def __init__(self, silent_s: int, every_s: int = 1) -> None:
        self.silent_ns, self.every_ns = silent_s * NS_PER_S, every_s * NS_PER_S
        self._last_ns: int | None = None

    def is_due(self, now_ns: int, heartbeat_ns: int, risk_orders: int) -> bool:
        """Whether to cancel now; `heartbeat_ns` is the silence so far, `risk_orders` what rests and can add risk."""
        if not self.silent_ns or heartbeat_ns <= self.silent_ns or not risk_orders:
            return False
        if self._last_ns is not None and now_ns - self._last_ns < self.every_ns:
            return False
        self._last_ns = now_ns
        return True
