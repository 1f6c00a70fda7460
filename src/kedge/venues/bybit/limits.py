"""Request limits kept on our side: sliding windows per endpoint group and for the address, corrected by what the venue says.

Rules: a send counts until it cannot be in the venue's window any more (`limits_window`); cancels and orders that reduce risk find
room kept for them; a ban stops everything, since asking prolongs it; a header that is missing says nothing. Pure: the time comes as
an argument, monotonic nanoseconds. Who waits for room, and in what order, is `limits_queue`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

from kedge.domain.errors import InvalidInput
from kedge.domain.units import NS_PER_MS, NS_PER_S
from kedge.venues.bybit.limits_window import Sent, Window

RESET_SLACK_NS: Final = 100 * NS_PER_MS
"""How much longer than until the reset that the venue names a group rests: its clock is known to about so much."""

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

    `own` of `limit` requests (orders, in a batch) per `window_ns` belong to this process; `exit_room` of its own is kept for `EXIT`:
    all others together never have more than `own` less `exit_room`.
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


class Request(NamedTuple):
    """One request before it leaves: `cost` counts orders in a batch; the trade socket does not count for the address."""

    group: str
    priority: Priority
    cost: int = 1
    over_http: bool = True


class Ticket(NamedTuple):
    """Room that was taken for a request, to be given back with `answered` or `unsent`; without either it counts the longest."""

    request: Request
    sent_ns: int
    parts: tuple[tuple[Window, Sent], ...]


class Utilisation(NamedTuple):
    """One group's use of our own share: `used_bps` = 1 - remaining / own, in 1e-4.

    `venue_limit` and `venue_remaining` are what the last answer's headers said, None before any.
    """

    group: str
    own: int
    remaining: int
    used_bps: int
    level: Level
    venue_limit: int | None = None
    venue_remaining: int | None = None


class _Group:
    __slots__ = ("blocked_until_ns", "foreign", "is_whole", "limit", "no_exits", "own", "rule", "said", "sent")

    def __init__(self, rule: GroupLimit, speed: int) -> None:
        self.rule = rule
        self.limit, self.own = rule.limit * speed, rule.own * speed
        self.sent = Window(rule.window_ns)
        self.no_exits = Window(rule.window_ns)
        self.foreign = Window(rule.window_ns, 0)
        self.said: tuple[int | None, int | None] = (None, None)
        self.blocked_until_ns = 0
        self.is_whole = False

    def share(self) -> None:
        """Work out our part of the limit in force."""
        self.own = self.limit if self.is_whole else max(1, self.limit * self.rule.own // self.rule.limit)

    def room(self, priority: Priority) -> int:
        kept = self.rule.exit_room * self.own // self.rule.own
        if priority is Priority.EXIT:
            return self.own
        return max(1, (self.own - kept) // 2) if priority is Priority.IDLE else self.own - kept

    def prune(self, now_ns: int) -> None:
        self.sent.prune(now_ns)
        self.no_exits.prune(now_ns)
        self.foreign.prune(now_ns)

    def take(self, priority: Priority, cost: int, now_ns: int) -> list[tuple[Window, Sent]]:
        windows = (self.sent,) if priority is Priority.EXIT else (self.sent, self.no_exits)
        return [(window, window.add(now_ns, cost)) for window in windows]

    def wait_ns(self, priority: Priority, cost: int, now_ns: int) -> int:
        ours = self.sent.wait_ns(cost, self.own, now_ns)
        if priority is not Priority.EXIT:
            ours = max(ours, self.no_exits.wait_ns(cost, self.room(priority), now_ns))
        others = self.foreign.used
        whole = self.sent.wait_ns(cost, self.limit - others, now_ns) if others else 0
        return max(ours, whole, self.blocked_until_ns - now_ns, 0)

    def remaining(self) -> int:
        return max(0, min(self.own - self.sent.used, self.limit - self.foreign.used - self.sent.used))

    def note_others(self, mine: Sent, now_ns: int, used: int) -> None:
        """`used` is the venue's count when `mine` arrived; what we cannot have sent was sent by others under the same account."""
        if used + self.own <= self.limit:
            return  # even if all of it were others', our whole share fits beside it
        since_ns, unexplained = mine.sent_ns - self.sent.span_ns, used - self.foreign.used
        for one in self.sent.newest_first():
            if unexplained <= 0 or one.sent_ns + self.sent.way_max_ns <= since_ns:
                break
            if one.latest_ns > since_ns:
                unexplained -= one.cost
        if unexplained > 0:
            self.foreign.add(now_ns, unexplained)


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
    ban_ns : int
        How long we are silent after a ban: the venue lifts one after ten minutes at the earliest and does not say when.

    Attributes
    ----------
    ban_why : str
        Why the last ban came.
    """

    def __init__(
        self,
        groups: Mapping[str, GroupLimit],
        *,
        speed: int = 1,
        address_limit: int = 400,
        idle_per_minute: int = 60,
        ban_ns: int = IP_BAN_NS,
    ) -> None:
        given = (("speed", speed), ("address_limit", address_limit), ("idle_per_minute", idle_per_minute), ("ban_ns", ban_ns))
        for name, value in given:
            if value < 1:
                raise InvalidInput(f"{name} is {value}", why="must be at least 1", fix=f"pass a positive {name}")
        self._groups = {name: _Group(rule, speed) for name, rule in groups.items()}
        self._address = Window(5 * NS_PER_S)
        self._address_limit = address_limit * speed
        self._idle = Window(60 * NS_PER_S, 0)
        self._idle_limit = idle_per_minute * speed
        self._ban_ns = ban_ns
        self._banned_until_ns = 0
        self.ban_why = ""

    def wait_ns(self, request: Request, now_ns: int) -> int:
        """How long until there is room; 0 if there is now. What is still unanswered may make it longer.

        Raises
        ------
        InvalidInput
            The request alone is larger than the room there can ever be.
        """
        group, priority, cost, over_http = request
        wait_ns = max(0, self._banned_until_ns - now_ns)
        found = self._groups.get(group)
        if found is not None:
            if cost > found.room(priority):
                raise InvalidInput(
                    f"{group}: a request of cost {cost}",
                    why=f"our share is {found.room(priority)} at once",
                    fix="send smaller batches",
                )
            found.prune(now_ns)
            wait_ns = max(wait_ns, found.wait_ns(priority, cost, now_ns))
        if over_http:
            self._address.prune(now_ns)
            room = self._address_limit if priority is Priority.EXIT else max(1, self._address_limit * 4 // 5)
            wait_ns = max(wait_ns, self._address.wait_ns(1, room, now_ns))
        if priority is Priority.IDLE:
            self._idle.prune(now_ns)
            wait_ns = max(wait_ns, self._idle.wait_ns(1, self._idle_limit, now_ns))
        return wait_ns

    def take(self, request: Request, now_ns: int) -> Ticket:
        """Take the room for a request that leaves at once; `wait_ns` must have said 0 at this moment."""
        group, priority, cost, over_http = request
        parts: list[tuple[Window, Sent]] = []
        found = self._groups.get(group)
        if found is not None:
            parts += found.take(priority, cost, now_ns)
        if over_http:
            parts.append((self._address, self._address.add(now_ns, 1)))
        if priority is Priority.IDLE:
            self._idle.add(now_ns, 1)
        return Ticket(request, now_ns, tuple(parts))

    def unsent(self, ticket: Ticket) -> None:
        """The request certainly never left."""
        for window, sent in ticket.parts:
            window.unsent(sent)

    def answered(self, ticket: Ticket, now_ns: int, limit: int | None = None, remaining: int | None = None) -> None:
        """An answer came. Learn from its headers: the limit in force, and what others under the same account have used.

        `remaining` is what the venue says is LEFT; None (no header) says nothing.
        """
        for window, sent in ticket.parts:
            window.arrived(sent, now_ns)
        found = self._groups.get(ticket.request.group)
        if found is None or limit is None or limit < 1:
            return
        if limit != found.limit:
            found.limit = limit
            found.share()
        if remaining is None or not 0 <= remaining <= limit:
            return
        found.said = (limit, remaining)
        found.foreign.prune(now_ns)
        found.note_others(ticket.parts[0][1], now_ns, limit - remaining)

    def claim(self, groups: Iterable[str], *, whole: bool) -> None:
        """Use the whole limit of these groups from now on, or our share of it again. What others use is still heeded."""
        for name in groups:
            found = self._groups[name]
            found.is_whole = whole
            found.share()

    def largest(self, group: str, priority: Priority) -> int | None:
        """The largest cost one request may have; None where the group has no limit."""
        found = self._groups.get(group)
        return None if found is None else found.room(priority)

    def window_ns(self, group: str) -> int:
        """How long a request of the group counts at least; 0 where it has no limit."""
        found = self._groups.get(group)
        return 0 if found is None else found.rule.window_ns

    def refused(self, group: str, now_ns: int, reset_in_ns: int | None) -> None:
        """The venue said "too many": rest this group until the reset it named, else for one window."""
        found = self._groups.get(group)
        if found is None:
            return
        window_ns = found.rule.window_ns
        rest_ns = window_ns if reset_in_ns is None else min(max(reset_in_ns, 0), window_ns) + RESET_SLACK_NS
        found.blocked_until_ns = max(found.blocked_until_ns, now_ns + rest_ns)

    def ban(self, now_ns: int, why: str) -> None:
        """The venue turned this address away: send nothing until it lifts, not even cancels, which would prolong it."""
        self._banned_until_ns = max(self._banned_until_ns, now_ns + self._ban_ns)
        self.ban_why = why

    def banned_for_ns(self, now_ns: int) -> int:
        """How long the ban still lasts; 0 where there is none."""
        return max(0, self._banned_until_ns - now_ns)

    def used(self, group: str, now_ns: int) -> Utilisation | None:
        """One group's use of our own share at this moment; None where it has no limit."""
        found = self._groups.get(group)
        return None if found is None else _utilisation(group, found, now_ns)

    def utilisation(self, now_ns: int) -> list[Utilisation]:
        """Every group's use of our own share at this moment, by name."""
        return [_utilisation(name, group, now_ns) for name, group in sorted(self._groups.items())]


def _utilisation(name: str, group: _Group, now_ns: int) -> Utilisation:
    group.prune(now_ns)
    remaining = group.remaining()
    used_bps = 10_000 - remaining * 10_000 // group.own
    return Utilisation(name, group.own, remaining, used_bps, _level(used_bps), *group.said)


def _level(used_bps: int) -> Level:
    return Level.CRITICAL if used_bps >= CRITICAL_BPS else Level.WARNING if used_bps >= WARNING_BPS else Level.OK
