"""What ties one trader process to its guard: who permits risk, signs of life, and a last word when it must not go on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kedge.apps import guard_client
from kedge.domain.brake import Trigger
from kedge.domain.errors import IntegrityError, RecordingFailed
from kedge.services.guard_permits import Rejects, RemotePermits
from kedge.services.permits import Permits


class GuardTies:
    """The guard of one trader, or none.

    Parameters
    ----------
    url : str
        The guard's address; empty for none.
    run_id : callable
        The run's id, empty while there is none.

    Attributes
    ----------
    rejects : Rejects
        To be told of the trader's steps.
    """

    def __init__(self, url: str, rung: str, state_folder: Path, account: str, run_id: Callable[[], str]) -> None:
        self._url, self._rung, self._folder, self._account, self._run_id = url, rung, state_folder, account, run_id
        self.rejects = Rejects()
        self._permits: Permits | None = None

    async def find(self, held: contextlib.AsyncExitStack, stopped: asyncio.Event, say: Callable[[str], None]) -> Permits:
        """Who permits risk. A guard that is silent holds up the start for a while, and then risk alone.

        Raises
        ------
        AccessRefused
            There is no guard, and the rung takes one or a brake is on.
        """
        if not self._url:
            self._permits = guard_client.local_issuer(self._rung, self._folder, self._account)
            return self._permits
        permits, link = guard_client.remote_permits(self._url, self._folder, self._account)
        held.push_async_callback(link.close)
        held.push_async_callback(permits.close)
        permits.beat = lambda: (self._run_id(), self.rejects.count())
        self._permits = permits
        await guard_client.first_word(permits, stopped, say)
        return permits

    async def last_word(self, error: BaseException) -> None:
        """A journal that cannot be written, or that disagrees with itself, is the guard's business too."""
        if self._url and isinstance(error, RecordingFailed | IntegrityError):
            await asyncio.to_thread(guard_client.report, self._url, self._folder, self._account, Trigger.JOURNAL, str(error))

    def words(self) -> dict[str, Any]:
        """Who permits risk, and where the brake is as far as this trader heard."""
        permits = self._permits
        told = permits.told if isinstance(permits, RemotePermits) else None
        return {
            "guard": "none" if permits is None else permits.guard,
            "guard_url": self._url,
            "guard_problem": permits.problem if isinstance(permits, RemotePermits) else "",
            "brake": None if told is None else str(told.level),
        }
