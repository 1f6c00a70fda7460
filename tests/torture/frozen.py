"""A trader that is stopped with SIGSTOP and goes on much later: what it had decided before and not sent must not leave any more."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .journal_books import JournalSays
from .market import POLL_S
from .outcome import Outcome
from .plan import FROZEN, Blow
from .processes import Child
from .venue_books import VenueSays

HELD_BACK = "order too old to leave"
LOOK_BEFORE_S = 0.5
"""So long before it goes on the books are read: whatever it had written by then has arrived."""


def is_frozen(pid: int) -> bool:
    """Whether a process is stopped; False for one that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


@dataclass
class Old:
    """Orders that add risk, were to be sent, and had not left when the process stood still."""

    names: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, journal: JournalSays, venue: VenueSays) -> Old:
        there = {row["orderLinkId"] for row in venue.orders.values()}
        return cls([name for name, order in journal.orders.items() if not order.is_over and not order.reduce_only and name not in there])

    def findings(self, venue: VenueSays) -> list[str]:
        """Those that left afterwards."""
        there = {row["orderLinkId"] for row in venue.orders.values()}
        return [f"order {name} was decided before the trader stood still and left afterwards" for name in self.names if name in there]


class Freeze:
    """Watches over one trader that is to stand still, and lets it go on.

    Parameters
    ----------
    journal, venue : callable
        What is in the journal now, and at the exchange.
    """

    def __init__(
        self, journal: Callable[[], JournalSays | None], venue: Callable[[], Coroutine[Any, Any, VenueSays]], outcome: Outcome
    ) -> None:
        self._journal, self._venue, self._outcome = journal, venue, outcome
        self._old, self._over = Old(), asyncio.Event()

    async def watch(self, trader: Child, blow: Blow) -> None:
        """Once it stands still, note what it had not sent; much later let it go on."""
        if blow.point != FROZEN:
            return
        while not is_frozen(trader.pid):
            if not trader.is_alive:
                return
            await asyncio.sleep(POLL_S)
        await asyncio.sleep(blow.frozen_s - LOOK_BEFORE_S)
        journal = self._journal()
        if journal is not None:
            self._old = Old.of(journal, await self._venue())
        await asyncio.sleep(LOOK_BEFORE_S)
        self._outcome.faults.update({FROZEN: 1, HELD_BACK: len(self._old.names)})
        go_on(trader)
        self._over.set()

    async def strike(self, trader: Child, blow: Blow) -> None:
        """Stop it where it does not stop itself, and wait until it goes on."""
        if not blow.at:
            await asyncio.sleep(blow.wait_s)
            trader.signal(signal.SIGSTOP)
        await self._over.wait()

    def findings(self, venue: VenueSays) -> list[str]:
        """What left that should not have."""
        return self._old.findings(venue)


def go_on(trader: Child) -> None:
    """Let it go on; nothing where it runs."""
    trader.signal(signal.SIGCONT)
