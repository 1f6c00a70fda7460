"""Who waits for room under the limits, and who gets it next.

Rules: one queue per endpoint group, first come first served within a priority, and nobody overtakes a waiting request of a higher
one; one timer per group wakes one request at a time; a request that cannot leave within its patience is turned away when it comes,
unsent; a ban empties all queues at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from kedge.domain.errors import InvalidInput
from kedge.domain.units import NS_PER_MS, NS_PER_S
from kedge.venues.bybit.codes import IP_BAN_CODES, LIMIT_CODES
from kedge.venues.bybit.limits import Priority, Request, RequestLimits, Ticket
from kedge.venues.bybit.limits_watch import LimitsWatch

PATIENCE_NS: Final = MappingProxyType(
    {
        Priority.EXIT: 3 * NS_PER_S,
        Priority.TRADE: 2 * NS_PER_S,
        Priority.CHECK: 10 * NS_PER_S,
        Priority.IDLE: 90 * NS_PER_S,
    }
)
"""How long a request may wait for room before it is given up, unsent."""

TOO_FAST_CODES: Final = frozenset({429, 10403, 10429, 20003})
"""The venue's other words for "too many", of the system, of an address and of one connection."""

POLL_NS: Final = 5 * NS_PER_MS
"""The shortest timer: room that an answer frees is given away when it comes."""


class NoRoom(Exception):
    """There is no room in time, or a ban: the request was not sent."""


class _Waiter:
    __slots__ = ("begun_ns", "future", "request", "until_ns")

    def __init__(self, request: Request, begun_ns: int, future: asyncio.Future[Ticket]) -> None:
        self.request, self.begun_ns, self.future = request, begun_ns, future
        self.until_ns = begun_ns + PATIENCE_NS[request.priority]


class _Line:
    """The waiting requests of one group, by priority."""

    __slots__ = ("queues", "timer")

    def __init__(self) -> None:
        self.queues: tuple[deque[_Waiter], ...] = tuple(deque() for _ in Priority)
        self.timer: asyncio.TimerHandle | None = None

    def ahead(self, priority: Priority) -> int:
        """Cost of those that go before a newcomer."""
        return sum(waiter.request.cost for queue in self.queues[: priority + 1] for waiter in queue)

    def first(self) -> tuple[deque[_Waiter], _Waiter] | None:
        """Who is next; those that gave up are dropped."""
        for queue in self.queues:
            while queue and queue[0].future.done():
                queue.popleft()
            if queue:
                return queue, queue[0]
        return None


class Admission:
    """Gives room to requests, and takes note of what became of them.

    Parameters
    ----------
    mono_ns : callable
        The machine's monotonic clock.
    watch : LimitsWatch, optional
        Tells of levels, waits, refusals and bans.
    """

    def __init__(self, limits: RequestLimits, mono_ns: Callable[[], int], watch: LimitsWatch | None = None) -> None:
        self.limits, self.watch = limits, watch or LimitsWatch(limits)
        self._mono_ns = mono_ns
        self._lines: dict[str, _Line] = {}

    async def enter(self, request: Request) -> Ticket:
        """Wait for room and take it: the request must leave at once, or be given back with `unsent`.

        Raises
        ------
        NoRoom
            A ban, or no room within the priority's patience.
        InvalidInput
            The request alone is larger than the room there can ever be.
        """
        now_ns = self._mono_ns()
        wait_ns = self.limits.wait_ns(request, now_ns)
        self._check_ban(request, now_ns)
        line = self._lines.get(request.group)
        ahead = 0 if line is None else line.ahead(request.priority)
        if not wait_ns and not ahead:
            return self._take(request, now_ns, now_ns)
        self._check_patience(request, ahead, now_ns)
        if line is None:
            line = self._lines[request.group] = _Line()
        waiter = _Waiter(request, now_ns, asyncio.get_running_loop().create_future())
        line.queues[request.priority].append(waiter)
        if not ahead:  # else the timer runs, and who was given room by it must not be passed by us, who would not have to be woken
            self._serve(line)
        try:
            return await waiter.future
        except asyncio.CancelledError:
            if waiter.future.done() and not waiter.future.cancelled() and waiter.future.exception() is None:
                self.unsent(waiter.future.result())
            raise

    def answered(self, ticket: Ticket, limit: int | None = None, remaining: int | None = None) -> None:
        """An answer came, with these headers where it had them."""
        self.limits.answered(ticket, self._mono_ns(), limit, remaining)
        self._wake(ticket.request.group)

    def unsent(self, ticket: Ticket) -> None:
        """The request certainly never left."""
        self.limits.unsent(ticket)
        self._wake(ticket.request.group)

    def judged(self, group: str, code: int, reset_in_ns: int | None) -> None:
        """What an answer's code says about limits: "too many" rests the group until the reset that the venue named, a ban everything."""
        if code in IP_BAN_CODES:
            self.ban(f"code {code}")
        elif code in LIMIT_CODES or code in TOO_FAST_CODES:
            self.limits.refused(group, self._mono_ns(), reset_in_ns)
            self.watch.refused(group)

    def ban(self, why: str) -> None:
        """The venue turned this address away: whoever waits is turned away too."""
        now_ns = self._mono_ns()
        self.limits.ban(now_ns, why)
        self.watch.banned(why, self.limits.banned_for_ns(now_ns))
        for line in self._lines.values():
            self._serve(line)

    def banned_for_s(self) -> float:
        """Seconds until a ban ends; 0 where there is none."""
        return self.limits.banned_for_ns(self._mono_ns()) / NS_PER_S

    # --- within ----------------------------------------------------------------------------------------------------------

    def _take(self, request: Request, begun_ns: int, now_ns: int) -> Ticket:
        ticket = self.limits.take(request, now_ns)
        self.watch.took(request, now_ns, now_ns - begun_ns)
        return ticket

    def _check_ban(self, request: Request, now_ns: int) -> None:
        banned_ns = self.limits.banned_for_ns(now_ns)
        if banned_ns:
            self.watch.turned_away(request.group)
            raise NoRoom(f"banned for {banned_ns / NS_PER_S:.0f} s more: {self.limits.ban_why}")

    def _check_patience(self, request: Request, ahead: int, now_ns: int) -> None:
        """Turn a request away whose turn cannot come in time; better now than after its patience."""
        room = self.limits.largest(request.group, request.priority)
        windows, rest = (0, request.cost) if room is None else divmod(ahead + request.cost - 1, room)
        probe = request._replace(cost=request.cost if room is None else min(room, rest + 1))
        wait_ns = windows * self.limits.window_ns(request.group) + self.limits.wait_ns(probe, now_ns)
        if wait_ns > PATIENCE_NS[request.priority]:
            self.watch.turned_away(request.group)
            raise _no_room(request, wait_ns)

    def _wake(self, group: str) -> None:
        line = self._lines.get(group)
        if line is not None:
            self._serve(line)

    def _serve(self, line: _Line) -> None:
        """Give room to whoever is next, as long as there is some; then set the timer for the first that must wait."""
        if line.timer is not None:
            line.timer.cancel()
            line.timer = None
        now_ns = self._mono_ns()
        self._expire(line, now_ns)
        while (found := line.first()) is not None:
            queue, waiter = found
            try:
                wait_ns = self.limits.wait_ns(waiter.request, now_ns)
            except InvalidInput as error:  # the venue lowered the limit while it waited: it must not hold up those behind it
                queue.popleft()
                self.watch.turned_away(waiter.request.group)
                waiter.future.set_exception(NoRoom(f"{error.what}; {error.why} by now; it was not sent"))
                continue
            if wait_ns:
                ends_ns = min(queued[0].until_ns for queued in line.queues if queued) - now_ns
                after_ns = max(POLL_NS, min(wait_ns, ends_ns))
                line.timer = asyncio.get_running_loop().call_later(after_ns / NS_PER_S, self._serve, line)
                return
            queue.popleft()
            waiter.future.set_result(self._take(waiter.request, waiter.begun_ns, now_ns))

    def _expire(self, line: _Line, now_ns: int) -> None:
        banned = self.limits.banned_for_ns(now_ns) > 0
        for queue in line.queues:
            while queue and (queue[0].future.done() or banned or queue[0].until_ns <= now_ns):
                waiter = queue.popleft()
                if waiter.future.done():
                    continue
                self.watch.turned_away(waiter.request.group)
                words = f"banned: {self.limits.ban_why}" if banned else ""
                waiter.future.set_exception(NoRoom(words) if banned else _no_room(waiter.request, now_ns - waiter.begun_ns))


def _no_room(request: Request, wait_ns: int) -> NoRoom:
    return NoRoom(f"no room under the limit of {request.group} for {wait_ns / NS_PER_S:.1f} s; it was not sent")
