"""A sliding window over what was sent, which holds at the venue's counting time whatever the way there takes.

The venue counts a request when it arrives, at a moment between our sending and its answer. A request therefore counts here until one
window after its answer: whatever is sent later arrives at least a window after it, and no jitter is assumed. On a slow line that
costs a round trip of every window, so once the line is known a credit is given: the shortest round trip less the jitter bound, the
measured difference between the longest and the shortest. What is not answered counts as on its way for `WAY_MAX_NS`.
Pure: the time comes as an argument, monotonic nanoseconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Final

from kedge.domain.units import NS_PER_MS, NS_PER_S

WAY_MAX_NS: Final = NS_PER_S
"""How long a request without an answer may still arrive: the venue refuses an order to create that is older than its receive window."""

SLACK_NS: Final = NS_PER_MS
"""Added to every window: the venue's clock and ours are not read at the same instant."""

KNOWN_FROM: Final = 16
"""Round trips after which the line counts as known."""

ROUND_NS: Final = 5 * 60 * NS_PER_S
"""Measurements older than two of these are forgotten: lines change."""


class Line:
    """Round trips of the last minutes: the shortest, the longest, and what follows from them."""

    __slots__ = ("_begun_ns", "_now", "_old")

    def __init__(self) -> None:
        self._begun_ns = 0
        self._now: tuple[int, int, int] | None = None
        self._old: tuple[int, int, int] | None = None

    def saw(self, now_ns: int, round_trip_ns: int) -> None:
        """Take one round trip."""
        if self._now is None or now_ns - self._begun_ns >= ROUND_NS:
            self._old, self._now, self._begun_ns = self._now, (round_trip_ns, round_trip_ns, 1), now_ns
            return
        least, most, count = self._now
        self._now = min(least, round_trip_ns), max(most, round_trip_ns), count + 1

    @property
    def jitter_ns(self) -> int | None:
        """The measured jitter bound; None while too little is known."""
        known = self._known()
        return None if known is None else known[1] - known[0]

    @property
    def credit_ns(self) -> int:
        """How much of a round trip need not be waited for."""
        known = self._known()
        return 0 if known is None else max(0, 2 * known[0] - known[1])

    def _known(self) -> tuple[int, int] | None:
        rounds = [one for one in (self._now, self._old) if one is not None]
        if sum(count for _, _, count in rounds) < KNOWN_FROM:
            return None
        return min(least for least, _, _ in rounds), max(most for _, most, _ in rounds)


class Sent:
    """One request in a window: when it left, what it costs, until when it counts, and whether it still does."""

    __slots__ = ("answered_ns", "cost", "counts", "latest_ns", "sent_ns", "until_ns")

    def __init__(self, sent_ns: int, cost: int, latest_ns: int, until_ns: int) -> None:
        self.sent_ns, self.cost = sent_ns, cost
        self.latest_ns, self.until_ns = latest_ns, until_ns
        self.answered_ns: int | None = None
        self.counts = True


class Window:
    """What was sent, and what of it the venue may still count.

    Parameters
    ----------
    span_ns : int
        The venue's window.
    way_max_ns : int
        How long a request without an answer counts as on its way; 0 for a budget of our own, which counts sends and nothing else.
    """

    __slots__ = ("_count", "_heap", "_recent", "line", "span_ns", "used", "way_max_ns")

    def __init__(self, span_ns: int, way_max_ns: int = WAY_MAX_NS) -> None:
        self.span_ns = span_ns + (SLACK_NS if way_max_ns else 0)
        self.way_max_ns = way_max_ns
        self.used = 0
        self.line = Line()
        self._heap: list[tuple[int, int, Sent]] = []
        self._recent: deque[Sent] = deque()
        self._count = 0

    def add(self, now_ns: int, cost: int) -> Sent:
        """Count a request that leaves now."""
        latest_ns = now_ns + self.way_max_ns
        sent = Sent(now_ns, cost, latest_ns, latest_ns + self.span_ns)
        self.used += cost
        self._push(sent)
        self._recent.append(sent)
        return sent

    def arrived(self, sent: Sent, now_ns: int) -> None:
        """It was answered: it arrived before now."""
        if sent.answered_ns is not None:
            return
        sent.answered_ns = now_ns
        self.line.saw(now_ns, now_ns - sent.sent_ns)
        sent.latest_ns = min(sent.latest_ns, now_ns - self.line.credit_ns)
        if sent.counts and sent.latest_ns + self.span_ns < sent.until_ns:
            sent.until_ns = sent.latest_ns + self.span_ns
            self._push(sent)

    def unsent(self, sent: Sent) -> None:
        """It never left: it does not count."""
        if sent.counts:
            sent.counts = False
            self.used -= sent.cost
        sent.cost = 0

    def prune(self, now_ns: int) -> None:
        """Forget what cannot count any more."""
        heap, recent = self._heap, self._recent
        while heap and heap[0][0] <= now_ns:
            until_ns, _, sent = heappop(heap)
            if sent.counts and until_ns == sent.until_ns:
                sent.counts = False
                self.used -= sent.cost
        since_ns = now_ns - 2 * (self.span_ns + self.way_max_ns)
        while recent and recent[0].sent_ns <= since_ns:
            recent.popleft()

    def wait_ns(self, cost: int, room: int, now_ns: int) -> int:
        """How long until `cost` fits into `room`, if answers come at once where they are due; 0 if it fits now. Must be pruned."""
        excess = self.used + cost - room
        if excess <= 0:
            return 0
        for free_ns, spent in sorted(self._frees(now_ns)):
            excess -= spent
            if excess <= 0:
                return free_ns - now_ns
        return self.span_ns

    def newest_first(self) -> Iterator[Sent]:
        """What was sent lately, whether it still counts or not."""
        return reversed(self._recent)

    def _frees(self, now_ns: int) -> Iterator[tuple[int, int]]:
        for until_ns, _, sent in self._heap:
            if sent.counts and until_ns == sent.until_ns:
                hoped_ns = sent.sent_ns + self.span_ns
                yield (hoped_ns if sent.answered_ns is None and hoped_ns > now_ns else until_ns), sent.cost

    def _push(self, sent: Sent) -> None:
        self._count += 1
        heappush(self._heap, (sent.until_ns, self._count, sent))
