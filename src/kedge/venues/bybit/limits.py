"""Request limits kept on our side: sliding windows per endpoint group and for the address, corrected by what the venue says.

Rules: a send counts for one window and the jitter bound after it, so no arrangement of delays within that bound exceeds the
venue's count; cancels and orders that reduce risk find room kept for them; a ban stops everything, since asking prolongs it; a
header that is missing says nothing. Pure: the time comes as an argument, monotonic nanoseconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

from kedge.domain.errors import InvalidInput
from kedge.domain.units import NS_PER_MS, NS_PER_S

JITTER_NS: Final = 100 * NS_PER_MS
"""How much later than another a request may arrive that was sent at the same time."""

IP_BAN_NS: Final = 10 * 60 * NS_PER_S
WARNING_BPS: Final = 7_000
CRITICAL_BPS: Final = 8_000


class Priority(IntEnum):
    """Who goes first when room is short."""

    EXIT = 0
    """Cancels, stops and orders that only reduce risk."""
    TRADE = 1
    """Other orders, and changes of settings."""
    CHECK = 2
    """Reads that trading waits for: lookups, reconciliation, missed bars."""
    IDLE = 3
    """Reads nobody waits for: history, audit."""


class GroupLimit(NamedTuple):
    """What the venue allows an endpoint group, and what of it is ours.

    `own` of `limit` requests (orders, in a batch) per `window_ns` belong to this process; `exit_room` of its own is kept for `EXIT`.
    """

    limit: int
    own: int
    exit_room: int = 0
    window_ns: int = NS_PER_S


class Level(StrEnum):
    """How near a group is to its limit."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"


class Utilisation(NamedTuple):
    """One group's use of our own share: `used_bps` = 1 - remaining / own, in 1e-4."""

    group: str
    own: int
    remaining: int
    used_bps: int
    level: Level


class _Window:
    """Times and costs of what was sent, oldest first; what is older than `span_ns` is forgotten."""

    __slots__ = ("entries", "span_ns", "used")

    def __init__(self, span_ns: int) -> None:
        self.span_ns = span_ns
        self.entries: deque[tuple[int, int]] = deque()
        self.used = 0

    def prune(self, now_ns: int) -> None:
        since = now_ns - self.span_ns
        while self.entries and self.entries[0][0] <= since:
            self.used -= self.entries.popleft()[1]

    def add(self, now_ns: int, cost: int) -> None:
        self.entries.append((now_ns, cost))
        self.used += cost

    def wait_ns(self, now_ns: int, cost: int, room: int) -> int:
        """How long until `cost` fits into `room`; 0 if it does now. The window must be pruned."""
        excess = self.used + cost - room
        if excess <= 0:
            return 0
        for sent_ns, spent in self.entries:
            excess -= spent
            if excess <= 0:
                return sent_ns + self.span_ns - now_ns
        return self.span_ns


class _Group:
    __slots__ = ("blocked_until_ns", "foreign", "limit", "own", "rule", "sent")

    def __init__(self, rule: GroupLimit, speed: int, jitter_ns: int) -> None:
        self.rule = rule
        self.limit, self.own = rule.limit * speed, rule.own * speed
        self.sent = _Window(rule.window_ns + jitter_ns)
        self.foreign = _Window(rule.window_ns + jitter_ns)
        self.blocked_until_ns = 0

    def room(self, priority: Priority) -> int:
        kept = self.rule.exit_room * self.own // self.rule.own
        if priority is Priority.EXIT:
            return self.own
        return max(1, (self.own - kept) // 2) if priority is Priority.IDLE else self.own - kept

    def wait_ns(self, now_ns: int, priority: Priority, cost: int) -> int:
        self.sent.prune(now_ns)
        self.foreign.prune(now_ns)
        ours = self.sent.wait_ns(now_ns, cost, self.room(priority))
        others = self.foreign.used
        whole = self.sent.wait_ns(now_ns, cost, self.limit - others) if others else 0
        return max(ours, whole, self.blocked_until_ns - now_ns, 0)


class RequestLimits:
    """What may be sent now.

    Parameters
    ----------
    groups : mapping
        Endpoint group to its limit; a group that is not in it counts for the address only.
    speed : int
        How many times faster than the wall the venue plays; its limits grow alike.
    address_limit : int
        Our share of the 600 HTTP requests per 5 s and address; a fifth of it is kept for `EXIT`.
    idle_per_minute : int
        Budget of all reads of priority `IDLE` together.
    """

    def __init__(
        self,
        groups: Mapping[str, GroupLimit],
        *,
        speed: int = 1,
        jitter_ns: int = JITTER_NS,
        address_limit: int = 400,
        idle_per_minute: int = 60,
    ) -> None:
        for name, value in (("speed", speed), ("address_limit", address_limit), ("idle_per_minute", idle_per_minute)):
            if value < 1:
                raise InvalidInput(f"{name} is {value}", why="must be at least 1", fix=f"pass a positive {name}")
        self._groups = {name: _Group(rule, speed, jitter_ns) for name, rule in groups.items()}
        self._address = _Window(5 * NS_PER_S + jitter_ns)
        self._address_limit = address_limit * speed
        self._idle = _Window(60 * NS_PER_S)
        self._idle_limit = idle_per_minute * speed
        self._banned_until_ns = 0
        self._ban_why = ""

    def take(self, group: str, priority: Priority, now_ns: int, *, cost: int = 1, over_http: bool = True) -> int:
        """Reserve room for a request that is sent at once; 0 if there is, else how many nanoseconds to wait and ask again.

        Raises
        ------
        InvalidInput
            The request alone is larger than the room there can ever be.
        """
        found = self._groups.get(group)
        if found is not None and cost > found.room(priority):
            raise InvalidInput(
                f"{group}: a request of cost {cost}",
                why=f"our share is {found.room(priority)} at once",
                fix="send smaller batches",
            )
        wait_ns = self._wait_ns(found, priority, now_ns, cost, over_http)
        if wait_ns > 0:
            return wait_ns
        if found is not None:
            found.sent.add(now_ns, cost)
        if over_http:
            self._address.add(now_ns, 1)
        if priority is Priority.IDLE:
            self._idle.add(now_ns, 1)
        return 0

    def largest(self, group: str, priority: Priority) -> int | None:
        """The largest cost one request may have; None where the group has no limit."""
        found = self._groups.get(group)
        return None if found is None else found.room(priority)

    def _wait_ns(self, found: _Group | None, priority: Priority, now_ns: int, cost: int, over_http: bool) -> int:
        wait_ns = max(0, self._banned_until_ns - now_ns)
        if found is not None:
            wait_ns = max(wait_ns, found.wait_ns(now_ns, priority, cost))
        if over_http:
            self._address.prune(now_ns)
            room = self._address_limit if priority is Priority.EXIT else max(1, self._address_limit * 4 // 5)
            wait_ns = max(wait_ns, self._address.wait_ns(now_ns, 1, room))
        if priority is Priority.IDLE:
            self._idle.prune(now_ns)
            wait_ns = max(wait_ns, self._idle.wait_ns(now_ns, 1, self._idle_limit))
        return wait_ns

    def observe(self, group: str, sent_ns: int, now_ns: int, limit: int | None, remaining: int | None) -> None:
        """Learn from an answer's headers: the limit in force, and what others under the same account have used.

        `remaining` is what the venue says is LEFT; None (no header) says nothing.
        """
        found = self._groups.get(group)
        if found is None or limit is None or limit < 1:
            return
        if limit != found.limit:
            found.limit, found.own = limit, max(1, limit * found.rule.own // found.rule.limit)
        if remaining is None or not 0 <= remaining <= limit:
            return
        since = sent_ns - found.sent.span_ns
        ours = sum(cost for at_ns, cost in found.sent.entries if at_ns > since)
        found.foreign.prune(now_ns)
        unexplained = limit - remaining - ours - found.foreign.used
        if unexplained > 0:
            found.foreign.add(now_ns, unexplained)

    def refused(self, group: str, now_ns: int, reset_in_ns: int | None) -> None:
        """The venue said "too many": rest this group until the reset it named, else for one window."""
        found = self._groups.get(group)
        if found is None:
            return
        rest_ns = found.rule.window_ns if reset_in_ns is None else min(max(reset_in_ns, 0), found.rule.window_ns) + JITTER_NS
        found.blocked_until_ns = max(found.blocked_until_ns, now_ns + rest_ns)

    def ban(self, now_ns: int, why: str, for_ns: int = IP_BAN_NS) -> None:
        """The venue turned this address away: send nothing until it lifts, not even cancels, which would prolong it."""
        self._banned_until_ns = max(self._banned_until_ns, now_ns + for_ns)
        self._ban_why = why

    def banned_for_ns(self, now_ns: int) -> int:
        """How long the ban still lasts; 0 where there is none."""
        return max(0, self._banned_until_ns - now_ns)

    @property
    def ban_why(self) -> str:
        """Why the last ban came."""
        return self._ban_why

    def utilisation(self, now_ns: int) -> list[Utilisation]:
        """Every group's use of our own share at this moment, by name."""
        found = []
        for name, group in sorted(self._groups.items()):
            group.sent.prune(now_ns)
            group.foreign.prune(now_ns)
            remaining = max(0, min(group.own - group.sent.used, group.limit - group.foreign.used - group.sent.used))
            used_bps = 10_000 - remaining * 10_000 // group.own
            found.append(Utilisation(name, group.own, remaining, used_bps, _level(used_bps)))
        return found


def _level(used_bps: int) -> Level:
    if used_bps >= CRITICAL_BPS:
        return Level.CRITICAL
    return Level.WARNING if used_bps >= WARNING_BPS else Level.OK
