"""The dead-man timer: when our private stream has been away for too long, resting orders that can add risk are cancelled over REST.

Rules: an order that only reduces stays, and so does what is not ours; the venue's rows are taken as they are, so that no order of others
that cannot be read keeps ours from being cancelled; while the stream stays away the account is looked at again and again, because a
cancel may have found no room and a late create may have arrived; a stream that comes back calls everything off.
`DeadMan` decides and is pure; `DeadManWatch` asks and cancels.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from kedge.domain.errors import KedgeError
from kedge.domain.units import NS_PER_S
from kedge.domain.venue import Answer, StreamDown, StreamUp, Taken
from kedge.venues.bybit.codec import OrderData
from kedge.venues.bybit.order_rows import ENDED

_LOG: Final = logging.getLogger(__name__)

AGAIN_NS: Final = 10 * NS_PER_S
_OURS: Final = re.compile(r"[0-9a-f]{32}")
"""The form of `domain.orders.client_order_id`."""


def is_ours(client_order_id: str) -> bool:
    """Whether an order carries an id of the form that this system gives."""
    return _OURS.fullmatch(client_order_id) is not None


def can_add_risk(orders: Sequence[OrderData]) -> list[OrderData]:
    """Orders of ours, conditional ones too, that may open or enlarge a position: all that have not ended, by whatever word they go."""
    return [row for row in orders if row.order_status not in ENDED and not row.reduce_only and is_ours(row.order_link_id)]


class DeadMan:
    """When to act: `window_ns` after the stream went, then every `again_ns` until it is back. Times are monotonic."""

    def __init__(self, window_ns: int, again_ns: int = AGAIN_NS) -> None:
        self._window_ns, self._again_ns = window_ns, again_ns
        self._due_ns: int | None = None

    def down(self, now_ns: int) -> None:
        """The stream is gone; a second word of it changes nothing."""
        if self._due_ns is None:
            self._due_ns = now_ns + self._window_ns

    def up(self) -> None:
        """The stream is back."""
        self._due_ns = None

    def acted(self, now_ns: int) -> None:
        """What was due has been done."""
        if self._due_ns is not None:
            self._due_ns = now_ns + self._again_ns

    def due_in_ns(self, now_ns: int) -> int | None:
        """How long until it is time to act, 0 where it is; None while the stream is up."""
        return None if self._due_ns is None else max(0, self._due_ns - now_ns)


class DeadManWatch:
    """Acts for a `DeadMan`.

    Parameters
    ----------
    open_orders, cancel : callables
        Ask and cancel by a way that does not need the stream.

    Attributes
    ----------
    cancelled : int
        Orders whose cancel the venue took.
    """

    def __init__(
        self,
        man: DeadMan,
        open_orders: Callable[[], Awaitable[Sequence[OrderData]]],
        cancel: Callable[[OrderData], Awaitable[Answer]],
        *,
        mono_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.cancelled = 0
        self._man, self._open_orders, self._cancel, self._mono_ns = man, open_orders, cancel, mono_ns
        self._task: asyncio.Task[None] | None = None
        self._acting = False

    def heard(self, news: object) -> None:
        """Take a word of the private stream; others are let go."""
        if isinstance(news, StreamDown):
            self._man.down(self._mono_ns())
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._watch(), name="dead man")
        elif isinstance(news, StreamUp):
            self._man.up()
            if self._task is not None and not self._acting:
                self._task.cancel()
                self._task = None

    async def close(self) -> None:
        """Stop watching."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _watch(self) -> None:
        while (wait_ns := self._man.due_in_ns(self._mono_ns())) is not None:
            if wait_ns:
                await asyncio.sleep(wait_ns / NS_PER_S)
                continue
            self._acting = True
            try:
                await self._act()
            finally:
                self._acting = False
            self._man.acted(self._mono_ns())

    async def _act(self) -> None:
        try:
            wanted = can_add_risk(await self._open_orders())
            if self._man.due_in_ns(self._mono_ns()) is None:
                return  # the stream came back meanwhile
            answers = await asyncio.gather(*(self._cancel(order) for order in wanted))
        except KedgeError as error:
            _LOG.error("dead man: the orders cannot be looked at: %s", error, extra={"event": "dead_man"})
            return
        except Exception:
            _LOG.exception("dead man: a defect; it goes on", extra={"event": "dead_man"})
            return
        taken = sum(isinstance(answer, Taken) for answer in answers)
        self.cancelled += taken
        if wanted:
            _LOG.error("dead man: the private stream is away, %d of %d orders cancelled", taken, len(wanted), extra={"event": "dead_man"})
