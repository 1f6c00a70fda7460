"""The permit: a trader adds risk only while somebody who watches over it says so, again and again.

`Permits` is the port. Until there is a guard, `LocalIssuer` grants from inside the trader's own process, which watches nothing: it is
for money that is not real, and says `none` where the guard's name stands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from kedge.domain.errors import AccessRefused
from kedge.domain.units import NS_PER_S

PERMIT_AGE_MAX_NS: Final = 2 * NS_PER_S
"""A permit is good for this long, in wall time."""

GRANT_EVERY_S: Final = 1.0
UNGUARDED_RUNGS: Final = ("demo", "paper")


class Permits(Protocol):
    """Who permits new risk."""

    @property
    def guard(self) -> str:
        """The guard's name for people; `none` where nobody watches."""

    @property
    def granted_ns(self) -> int | None:
        """When the newest permit was granted, on this host's monotonic clock; None before the first."""

    def renew(self) -> None:
        """Called every second by the trader; an issuer in the same process grants, a remote guard's client has nothing to do."""


class LocalIssuer:
    """Grants a permit whenever the trader asks.

    Parameters
    ----------
    rung : str
        Where the trader stands.
    clock_ns : callable
        The host's monotonic clock.

    Raises
    ------
    AccessRefused
        The rung trades real money, or counts as proof for it.
    """

    guard = "none"

    def __init__(self, rung: str, clock_ns: Callable[[], int]) -> None:
        if rung not in UNGUARDED_RUNGS:
            raise AccessRefused(
                f"no guard on the rung {rung!r}",
                why=f"without one a trader may run on {' and '.join(UNGUARDED_RUNGS)} only",
                fix="trade on paper, or wait for the version with the guard",
            )
        self._clock_ns = clock_ns
        self.granted_ns: int | None = None

    def renew(self) -> None:
        """Grant now."""
        self.granted_ns = self._clock_ns()


def permit_age_ns(permits: Permits, now_ns: int) -> int | None:
    """Age of the newest permit; None where there is none."""
    granted_ns = permits.granted_ns
    return None if granted_ns is None else now_ns - granted_ns


def may_add_risk(permits: Permits, now_ns: int) -> bool:
    """Whether the newest permit is young enough. A permit from the future is none."""
    age_ns = permit_age_ns(permits, now_ns)
    return age_ns is not None and 0 <= age_ns < PERMIT_AGE_MAX_NS
