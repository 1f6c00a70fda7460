"""Refusals that only a person can mend: a wrong, expired or too weak key, a banned account, an address that is not on the list.

Rules: each kind is told at once, and again every ten minutes while it lasts, not with every request; a word that the venue has taken
back in between, because the same endpoint answered well, is told anew. Pure: the time comes as an argument.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kedge.domain.units import NS_PER_S
from kedge.domain.venue import ActionNeeded
from kedge.venues.bybit.codes import fix_for

AGAIN_NS: Final = 600 * NS_PER_S


class Troubles:
    """What was told, and when.

    Parameters
    ----------
    tell : callable
        Gets the news.
    """

    def __init__(self, tell: Callable[[ActionNeeded], None]) -> None:
        self._tell = tell
        self._told_ns: dict[str, tuple[int, str]] = {}

    def refused(self, endpoint: str, code: str, message: str, now_ns: int) -> None:
        """An endpoint answered that a person must act."""
        told = self._told_ns.get(code)
        if told is not None and now_ns - told[0] < AGAIN_NS:
            return
        self._told_ns[code] = now_ns, endpoint
        self._tell(ActionNeeded(code, f"{endpoint} answered {code} {message}".rstrip(), fix_for(code)))

    def answered(self, endpoint: str) -> None:
        """An endpoint answered well: what it complained of is over."""
        if self._told_ns:
            self._told_ns = {code: told for code, told in self._told_ns.items() if told[1] != endpoint}
