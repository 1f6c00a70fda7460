"""Keeps the daily backtest of the run that a server follows: looks every second, works beside the loop, and never ends it.

Rule: a record that cannot be kept is said so and tried again later; the run, the pages and the limits go on without it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kedge.domain.errors import KedgeError
from kedge.services.risk_daily import DailyRisk, record_name
from kedge.services.risk_inputs import inputs_of

if TYPE_CHECKING:
    from kedge.services.replica_follow import Follower

LOOK_S: Final = 1.0
RETRY_S: Final = 60.0
log = logging.getLogger(__name__)


class DailyKeeper:
    """One server's daily backtest.

    Parameters
    ----------
    state : Path
        The state folder.
    wall_ns : callable
        Stands on what is recorded.
    look_s, retry_s : float
        Between two looks, and after one that failed.

    Attributes
    ----------
    problem : str
        Why the last look failed; empty where it did not.
    """

    def __init__(self, state: Path, wall_ns: Callable[[], int] = time.time_ns, *, look_s: float = LOOK_S, retry_s: float = RETRY_S) -> None:
        self.daily = DailyRisk(state, wall_ns)
        self.problem = ""
        self._look_s, self._retry_s = look_s, retry_s

    async def keep(self, follower: Follower) -> None:
        """Until cancelled."""
        try:
            while True:
                await asyncio.sleep(self._retry_s if self.problem else self._look_s)
                await self.look(follower)
        finally:
            await asyncio.to_thread(self.daily.close)

    async def look(self, follower: Follower) -> int:
        """Judge and forecast what is due of a run that has been read to its end; gives how many items were added."""
        replica = follower.replica
        if replica is None or not follower.caught_up:
            return 0
        try:
            name, inputs = record_name(replica.started), inputs_of(replica)
            if not self.daily.is_due(name, inputs):
                return 0
            added = await asyncio.to_thread(self.daily.look, name, inputs)
        except Exception as error:  # whatever it is: a record that nobody keeps on keeping would show old lights as if they were new
            self._failed(error)
            return 0
        self.problem = ""
        return added

    def _failed(self, error: Exception) -> None:
        is_defect = not isinstance(error, (KedgeError, OSError))
        why = f"{type(error).__name__}: {error}" if is_defect else str(error)
        if why != self.problem:
            log.error("the daily backtest of risk failed", extra={"problem": why}, exc_info=error if is_defect else None)
        self.problem = why
