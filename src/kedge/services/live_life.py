"""A live trader's life: what runs beside the rest, how it ends, and how it waits for a venue that does not answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from kedge.domain.errors import VenueUnavailable
from kedge.services.live_settings import LiveSettings

_log: Final = logging.getLogger("kedge.live")


class Life:
    """Tasks that live and end together.

    Attributes
    ----------
    condition : str
        What is being done, for people.
    """

    def __init__(self, settings: LiveSettings) -> None:
        self.settings = settings
        self.condition = "starting"
        self._tasks: set[asyncio.Task[None]] = set()
        self._done: asyncio.Future[str] | None = None

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run beside the rest; what it raises stops the trader."""
        task = asyncio.get_running_loop().create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: work.close())  # cancelled before its first step
        return task

    def finish(self, how: str) -> None:
        """Let `run` return."""
        if self._done is not None and not self._done.done():
            self._done.set_result(how)

    def fail(self, error: BaseException) -> None:
        """Stop everything with this error; the first one counts."""
        self.condition = "failed"
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)

    async def patiently(self, work: Callable[[], Coroutine[Any, Any, Any]], condition: str) -> Any:
        """Try until the venue answers, ever more slowly."""
        wait_s = self.settings.retry_first_s
        while True:
            self.condition = condition
            try:
                return await work()
            except VenueUnavailable as error:
                self.condition = f"{condition}: {error.what}"
                _log.warning("venue unavailable while %s: %s", condition, error, extra={"event": "venue_unavailable"})
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, self.settings.retry_max_s)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # whatever it is, nothing may go on after it
            self.fail(error)

    async def _end_tasks(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
