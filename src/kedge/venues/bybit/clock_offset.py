"""The venue's wall clock as we estimate it: measured at its time endpoint, best of several, kept on the monotonic clock.

Rules: the venue accepts a timestamp up to 1,000 ms ahead of its clock at most and `recv_window` behind it, so we prefer to be
late: the timestamp is never later than the measurement proves. Between measurements the monotonic clock counts, so a step of this
machine's clock harms nothing. Nothing here asks for the time or talks to the network.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from kedge.domain.errors import VenueUnavailable
from kedge.domain.units import NS_PER_MS, NS_PER_S

LATE_MAX_NS: Final = 100 * NS_PER_MS
"""The largest deliberate lateness; a slower link than 200 ms a round trip keeps the rest of its uncertainty."""

WRONG_CLOCK_NS: Final = 500 * NS_PER_MS
VERY_WRONG_CLOCK_NS: Final = 5 * NS_PER_S
MEASURE_EVERY_NS: Final = 10 * 60 * NS_PER_S


class ClockSample(NamedTuple):
    """One exchange with the time endpoint: monotonic and wall time around it, and the venue's answer, all in nanoseconds."""

    sent_mono_ns: int
    received_mono_ns: int
    received_wall_ns: int
    venue_ns: int

    @property
    def round_trip_ns(self) -> int:
        return self.received_mono_ns - self.sent_mono_ns


class ClockReport(NamedTuple):
    """What is to be said about this machine's clock: `ahead_ns` > 0 is fast. `words` is empty while it is right."""

    ahead_ns: int
    uncertainty_ns: int
    words: str


class ClockOffset:
    """The venue's wall clock, once measured."""

    def __init__(self) -> None:
        self._base_mono_ns = 0
        self._base_venue_ns = 0
        self._uncertainty_ns = 0
        self._ahead_ns = 0
        self._measured = False

    @property
    def is_measured(self) -> bool:
        return self._measured

    def measure(self, samples: list[ClockSample]) -> ClockReport:
        """Take over the sample with the shortest round trip.

        Raises
        ------
        VenueUnavailable
            There is none.
        """
        if not samples:
            raise VenueUnavailable("the venue's clock was not measured", why="no answer of its time endpoint", fix="check the connection")
        best = min(samples, key=lambda sample: sample.round_trip_ns)
        half_ns = best.round_trip_ns // 2
        venue_now_ns = best.venue_ns + half_ns
        self._base_mono_ns, self._base_venue_ns = best.received_mono_ns, venue_now_ns
        self._uncertainty_ns = half_ns
        self._ahead_ns = best.received_wall_ns - venue_now_ns
        self._measured = True
        return self.report()

    def is_due(self, mono_ns: int, every_ns: int = MEASURE_EVERY_NS) -> bool:
        """Whether it is time to measure again."""
        return not self._measured or mono_ns - self._base_mono_ns >= every_ns

    def venue_wall_ns(self, mono_ns: int) -> int:
        """The venue's wall clock now, our best estimate.

        Raises
        ------
        VenueUnavailable
            The clock was not measured yet.
        """
        if not self._measured:
            raise VenueUnavailable("the venue's clock is not known yet", why="it was not measured", fix="measure it before signing")
        return self._base_venue_ns + mono_ns - self._base_mono_ns

    def timestamp_ms(self, mono_ns: int) -> int:
        """The timestamp to sign with: the estimate less its uncertainty, so that it is never from the venue's future."""
        return (self.venue_wall_ns(mono_ns) - min(self._uncertainty_ns, LATE_MAX_NS)) // NS_PER_MS

    def report(self) -> ClockReport:
        """How wrong this machine's own clock is, and what to do about it."""
        ahead = self._ahead_ns
        if abs(ahead) <= WRONG_CLOCK_NS + self._uncertainty_ns:
            return ClockReport(ahead, self._uncertainty_ns, "")
        way = "fast" if ahead > 0 else "slow"
        words = (
            f"this machine's clock is {abs(ahead) / NS_PER_S:.1f} s {way} by the venue's; requests are signed with the venue's time, "
            "but logs and other programs are wrong: run a time service (timedatectl set-ntp true)"
        )
        if abs(ahead) > VERY_WRONG_CLOCK_NS:
            words += "; a difference this large can also mean a wrong time zone set as UTC"
        return ClockReport(ahead, self._uncertainty_ns, words)
