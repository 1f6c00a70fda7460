"""How fast to come back after a lost connection: growing pauses with jitter, and the venue's cap on new connections.

Rules: no clock and no randomness of its own: times in seconds and a seeded generator are handed in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Final

CONNECTS_MAX: Final = 500
CONNECTS_WINDOW_S: Final = 300.0
"""The venue takes 500 new connections in 5 minutes from one address and domain."""


class Backoff:
    """Pauses that double from `first_s` up to `most_s`, each shortened by up to half at random.

    Parameters
    ----------
    random : Random
        Seeded by the caller; clients that were cut off together must not come back together.
    """

    def __init__(self, random: Random, *, first_s: float = 0.1, most_s: float = 20.0) -> None:
        self._random, self._first_s, self._most_s = random, first_s, most_s
        self._failures = 0

    def reset(self) -> None:
        """The connection held; the next pause is short again."""
        self._failures = 0

    def next_s(self) -> float:
        """How long to wait before the next attempt."""
        longest_s = min(self._most_s, self._first_s * 2.0 ** min(self._failures, 30))
        self._failures += 1
        return longest_s * (0.5 + 0.5 * self._random.random())


class ConnectBudget:
    """At most `most` new connections in any `window_s`, none while a ban lasts; shared by all sockets to one address.

    Parameters
    ----------
    banned_for_s : callable, optional
        Seconds until a ban ends; 0 without one.
    """

    def __init__(
        self, most: int = CONNECTS_MAX, window_s: float = CONNECTS_WINDOW_S, *, banned_for_s: Callable[[], float] | None = None
    ) -> None:
        self._most, self._window_s, self._banned_for_s = most, window_s, banned_for_s
        self._taken_s: deque[float] = deque()

    def take(self, now_s: float) -> float:
        """Take one place and return 0, or return the seconds until one is free and take none."""
        if self._banned_for_s is not None and (banned_s := self._banned_for_s()) > 0:
            return banned_s
        taken = self._taken_s
        while taken and taken[0] <= now_s - self._window_s:
            taken.popleft()
        if len(taken) >= self._most:
            return taken[0] + self._window_s - now_s
        taken.append(now_s)
        return 0.0
