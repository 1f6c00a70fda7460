"""How many requests a client, an account and a group of routes may make, told in the headers of the IETF draft (RateLimit, draft 11).

Rules: fixed windows; memory is bounded, and the one not seen for longest is forgotten first. This keeps the server answering; what
slows down guessing of secrets is the desk of people's own throttle.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from kedge.domain.errors import TooMany

KEPT_MAX: Final = 10_000


class Policy(NamedTuple):
    """At most `quota` requests in `window_s`."""

    name: str
    quota: int
    window_s: int = 60


READ: Final = Policy("read", 30_000)
WRITE: Final = Policy("write", 600)
PROOF: Final = Policy("proof", 120)
"""Sign-in, set-up, step-up and device codes: each may cost a slow hash."""


class Standing(NamedTuple):
    """What is left."""

    policy: Policy
    remaining: int
    reset_s: int

    def headers(self) -> list[tuple[bytes, bytes]]:
        """As the answer tells it."""
        policy = self.policy
        return [
            (b"ratelimit-policy", f'"{policy.name}";q={policy.quota};w={policy.window_s}'.encode("ascii")),
            (b"ratelimit", f'"{policy.name}";r={self.remaining};t={self.reset_s}'.encode("ascii")),
        ]


class Rates:
    """Counts, by policy and asker.

    Parameters
    ----------
    monotonic_s : callable
        The clock.
    """

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._windows: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def take(self, policy: Policy, who: str) -> Standing:
        """Count one request; `refuse` what is over."""
        now_s, key = self._monotonic_s(), (policy.name, who)
        began_s, count = self._windows.get(key, (now_s, 0))
        if now_s - began_s >= policy.window_s:
            began_s, count = now_s, 0
        self._windows[key] = (began_s, count + 1)
        self._windows.move_to_end(key)
        while len(self._windows) > KEPT_MAX:
            self._windows.popitem(last=False)
        reset_s = max(1, int(began_s + policy.window_s - now_s + 0.999))
        return Standing(policy, policy.quota - count - 1, reset_s)


def refuse(standing: Standing) -> None:
    """Refuse a request that was one too many.

    Raises
    ------
    TooMany
        It was.
    """
    if standing.remaining < 0:
        policy = standing.policy
        raise TooMany(
            f"more than {policy.quota} requests of the kind {policy.name!r} in {policy.window_s} s",
            why="the server answers others too",
            retry_after_s=standing.reset_s,
        )
