"""The permit: a trader adds risk only while somebody who watches over it says so, again and again.

`Permits` is the port; `services.guard_permits.RemotePermits` asks the guard. Without a guard `LocalIssuer` grants from inside the trader's
own process, which watches nothing: it is for money that is not real, says `none` where the guard's name stands, and grants nothing while a
brake that some guard left on the account is on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from kedge.domain.brake import SEVERITY, BrakeLevel, Trigger
from kedge.domain.errors import AccessRefused
from kedge.domain.units import NS_PER_S

PERMIT_AGE_MAX_NS: Final = 2 * NS_PER_S
"""A permit is good for this long, in wall time."""

GRANT_EVERY_S: Final = 1.0
UNGUARDED_RUNGS: Final = ("demo", "paper")


class Told(msgspec.Struct, frozen=True):
    """What a guard said of its brake."""

    level: BrakeLevel
    generation: int
    trigger: Trigger | None
    reason: str


Listener = Callable[[Told], None]


class Permits(Protocol):
    """Who permits new risk."""

    @property
    def guard(self) -> str:
        """The guard's name for people; `none` where nobody watches."""

    @property
    def clock_ns(self) -> Callable[[], int]:
        """The clock that permits age by; it has to go on while the host is suspended."""

    @property
    def granted_ns(self) -> int | None:
        """When the newest permit was granted, on `clock_ns`; None before the first."""

    def renew(self) -> None:
        """Called twice a second by the trader: an issuer in the same process grants, a remote guard's client asks."""

    def listen(self, listener: Listener) -> None:
        """Have somebody told what the guard says of its brake, now and whenever it changes; an issuer without a guard says nothing."""


class LocalIssuer:
    """Grants a permit whenever the trader asks.

    Parameters
    ----------
    rung : str
        Where the trader stands.
    clock_ns : callable
        The clock that permits age by.
    may_grant : callable, optional
        Whether nothing speaks against it, such as a brake that is on.

    Raises
    ------
    AccessRefused
        The rung trades real money, or counts as proof for it.
    """

    guard = "none"

    def __init__(self, rung: str, clock_ns: Callable[[], int], may_grant: Callable[[], bool] = lambda: True) -> None:
        if rung not in UNGUARDED_RUNGS:
            raise AccessRefused(
                f"no guard on the rung {rung!r}",
                why=f"without one a trader may run on {' and '.join(UNGUARDED_RUNGS)} only",
                fix="start the guard: kedge guard, or kedge up",
            )
        self.clock_ns, self._may_grant = clock_ns, may_grant
        self.granted_ns: int | None = None

    def renew(self) -> None:
        """Grant now, if nothing speaks against it."""
        self.granted_ns = self.clock_ns() if self._may_grant() else None

    def listen(self, listener: Listener) -> None:
        """Nobody says anything of a brake."""


def permit_age_ns(permits: Permits, now_ns: int) -> int | None:
    """Age of the newest permit; None where there is none."""
    granted_ns = permits.granted_ns
    return None if granted_ns is None else now_ns - granted_ns


def may_add_risk(permits: Permits, now_ns: int) -> bool:
    """Whether the newest permit is young enough. A permit from the future is none."""
    age_ns = permit_age_ns(permits, now_ns)
    return age_ns is not None and 0 <= age_ns < PERMIT_AGE_MAX_NS


def may_send(level: BrakeLevel) -> bool:
    """Whether a trader may send anything at all, what only reduces included: from HALTED on the guard alone acts."""
    return SEVERITY[level] < SEVERITY[BrakeLevel.HALTED]
