"""Disconnect protection: an account that asked for it loses its resting orders when all its protected connections are gone for too long.

Rules: a connection is protected once it subscribed `dcp.future`; others do not count, and an account that never had one is left alone.
One protected connection that comes back in time calls it off. The window is wall time. Conditional orders stay: a position keeps its
stops, which are there for the day on which its owner is gone.
"""

from __future__ import annotations

import logging
from typing import Final

from kedge.simulation.venue_types import CancelType
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.socket_link import Link

TOPIC: Final = "dcp.future"

_log: Final = logging.getLogger("kedge.exchange.sockets")


class DisconnectCancel:
    """Watches the protected connections of all accounts."""

    def __init__(self, hall: Hall) -> None:
        self._hall = hall
        self._links: dict[str, set[Link]] = {}
        self._gone_s: dict[str, float] = {}

    def protect(self, link: Link) -> None:
        """A connection subscribed the topic."""
        self._links.setdefault(link.account, set()).add(link)
        self._gone_s.pop(link.account, None)

    def release(self, link: Link, now_s: float) -> None:
        """A connection ended or took the topic back; one that was not protected is no error."""
        links = self._links.get(link.account, set())
        if link not in links:
            return
        links.discard(link)
        if not links:
            del self._links[link.account]
            self._gone_s[link.account] = now_s

    def beat(self, now_s: float) -> None:
        """Cancel for every account whose window has run out."""
        for account, gone_s in list(self._gone_s.items()):
            window_s = self._hall.disconnect_windows_s.get(account)
            if window_s is None or now_s - gone_s < window_s:
                continue
            hall = self._hall
            now_ns = hall.clock.venue_ns()
            rows = hall.venue.cancel_all(account, None, now_ns, conditional=False, cancel_type=CancelType.DISCONNECTED)
            del self._gone_s[account]
            hall.publish()
            _log.warning("account %s was disconnected for %s s: cancelled %d orders", account, window_s, len(rows))
