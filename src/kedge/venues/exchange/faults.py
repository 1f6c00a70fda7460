"""Faults to order: what a venue and the network before it do on a bad day, each armed by name and used up by count or by time.

Rules: without `--faults` none of this is in the way of a request. A fault says truly what it does: a refusal comes before anything
happens, a lost answer after everything has. Times here are the wall's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec

from kedge.domain.units import NS_PER_MS, NS_PER_S
from kedge.simulation.venue_types import BookDelta, Change, ExecutionRow, OrderRow, PositionRow, TickerRow, WalletRow
from kedge.venues.exchange.codes import Code
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.http_server import Fate
from kedge.venues.exchange.routes import ApiError, Call, Route

PRIVATE: Final = (OrderRow, ExecutionRow, PositionRow, WalletRow)

Kind = Literal[
    "reject", "drop_reply", "delay_reply", "timeout_after", "duplicate_execution", "lose_private", "delay_private", "reorder_private",
    "stale_book", "ban", "maintenance", "clock_skew", "cut",
]  # fmt: skip
BY_COUNT: Final = frozenset(
    {"reject", "drop_reply", "delay_reply", "timeout_after", "duplicate_execution", "lose_private", "reorder_private"}
)
LASTING: Final = {"ban": 600_000, "maintenance": 60_000, "delay_private": 1_000, "stale_book": 5_000}
"""Milliseconds of wall time that a fault lasts which says none."""
HELD_BACK: Final[dict[str, tuple[type, ...]]] = {"delay_private": PRIVATE, "stale_book": (BookDelta, TickerRow)}
"""Rows that a lasting fault keeps from listeners until it is over."""


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One fault as it is ordered.

    Attributes
    ----------
    fault : str
        `reject` (with `code` and `text`, nothing happens), `drop_reply` and `timeout_after` (carried out; no answer, or an ambiguous
        one with `code`), `delay_reply` (carried out; the answer comes `ms` later), `duplicate_execution`, `lose_private`,
        `reorder_private` (rows of the next operations come twice, never, or backwards), `delay_private` and `stale_book` (private rows,
        or books and tickers, are held back for `ms` and then come), `ban` and `maintenance` (every request is turned away for `ms`),
        `clock_skew` (the wall's clock is off by `ms`), `cut` (connections of `stream`, or all, break now).
    count : int
        How many requests or operations it hits.
    path : str
        Only requests to this path, such as `/v5/order/create`; the trade socket's operations count as their paths. Empty for those
        that place, change or cancel orders.
    account : str
        Only this account; empty for any.
    """

    fault: Kind
    count: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    ms: Annotated[int, msgspec.Meta(ge=-86_400_000, le=86_400_000)] = 0
    code: int = 0
    text: str = ""
    path: str = ""
    account: str = ""
    stream: Literal["", "public", "private", "trade"] = ""

    def hits(self, path: str, account: str) -> bool:
        """Whether a request is one that it is meant for."""
        fits = path == self.path if self.path else path.startswith("/v5/order/") and path not in _READS
        return fits and self.account in ("", account)


_READS: Final = frozenset({"/v5/order/realtime", "/v5/order/history"})


class Faults:
    """What is armed now.

    Parameters
    ----------
    wall_ns : callable
        The wall's time, without any skew.
    """

    def __init__(self, wall_ns: Callable[[], int]) -> None:
        self._wall_ns = wall_ns
        self._armed: list[list[Any]] = []
        self._until: dict[str, int] = {}
        self.done: dict[str, int] = {}

    def arm(self, fault: Fault) -> None:
        """Order a fault; one that lasts replaces an earlier one of its kind."""
        if fault.fault in BY_COUNT:
            self._armed.append([fault, fault.count])
            return
        if fault.fault in LASTING:
            self._until[fault.fault] = self._wall_ns() + (fault.ms or LASTING[fault.fault]) * NS_PER_MS
        self._count(fault.fault)

    def clear(self) -> None:
        """Disarm everything."""
        self._armed.clear()
        self._until.clear()

    def lasts(self, kind: str) -> int:
        """Wall nanoseconds for which a lasting fault still holds; 0 when it does not."""
        return max(0, self._until.get(kind, 0) - self._wall_ns())

    def shown(self) -> dict[str, Any]:
        """What is armed, how long the lasting ones hold (ms), and how often each kind has struck."""
        return {
            "armed": [{**msgspec.structs.asdict(fault), "count": left} for fault, left in self._armed],
            "lasting_ms": {kind: self.lasts(kind) // NS_PER_MS for kind in self._until if self.lasts(kind)},
            "done": dict(self.done),
        }

    # --- requests --------------------------------------------------------------------------------------------------------

    def meddle(self, route: Route, call: Call) -> Fate | None:
        """What happens to a request over HTTP."""
        return self.fate(route.path, call.account)

    def fate(self, path: str, account: str) -> Fate | None:
        """What happens to a request, whichever way it came; None for nothing."""
        if not self._armed:
            return None
        if fault := self._strike(("reject",), path, account):
            return Fate(error=ApiError(fault.code or Code.SERVER_ERROR, fault.text))
        drop = self._strike(("drop_reply",), path, account) is not None
        delay = self._strike(("delay_reply",), path, account)
        return Fate(drop=drop, delay_s=delay.ms / 1_000 if delay else 0.0) if drop or delay else None

    def answer_instead(self, path: str, account: str) -> ApiError | None:
        """The ambiguous answer to a request that was carried out, if one is armed."""
        fault = self._strike(("timeout_after",), path, account) if self._armed else None
        return None if fault is None else ApiError(fault.code or Code.SERVER_TIMEOUT, fault.text)

    # --- what is published -----------------------------------------------------------------------------------------------

    def batches(self, changes: Sequence[Change]) -> list[Sequence[Change]]:
        """One operation's changes as they reach the listeners."""
        if not self._armed or not any(isinstance(row, PRIVATE) for row in changes):
            return [changes]
        account = next(row.account for row in changes if isinstance(row, PRIVATE))
        if self._strike(("lose_private",), "", account):
            return [[row for row in changes if not isinstance(row, PRIVATE)]]
        if self._strike(("reorder_private",), "", account):
            return [[row] for row in reversed(changes)]
        executions = [row for row in changes if isinstance(row, ExecutionRow)]
        if executions and self._strike(("duplicate_execution",), "", account):
            return [changes, executions]
        return [changes]

    def _strike(self, kinds: Sequence[Kind], path: str, account: str) -> Fault | None:
        """Use up one stroke of the first armed fault of these kinds that fits; requests are matched by path, operations by account."""
        for entry in self._armed:
            fault: Fault = entry[0]
            if fault.fault in kinds and (fault.hits(path, account) if path else fault.account in ("", account)):
                entry[1] -= 1
                if not entry[1]:
                    self._armed.remove(entry)
                self._count(fault.fault)
                return fault
        return None

    def _count(self, kind: str) -> None:
        self.done[kind] = self.done.get(kind, 0) + 1


class FaultyHall(Hall):
    """A hall whose listeners hear twice, late, backwards or not at all, as ordered."""

    faults: Faults

    def __init__(self, *arguments: Any, faults: Faults, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.faults = faults
        self._held: list[Change] = []

    def publish(self) -> None:
        """Hand out what changed, less what is held back."""
        changes: Sequence[Change] = self.venue.drain()
        if not changes:
            return
        waits = {kind: wait_ns for kind in HELD_BACK if (wait_ns := self.faults.lasts(kind))}
        if waits:
            changes = self._hold(changes, waits)
        elif self._held:
            self._release()
        for batch in self.faults.batches(changes):
            self._hand_out(batch)

    def _hold(self, changes: Sequence[Change], waits: dict[str, int]) -> list[Change]:
        if not self._held:
            asyncio.get_running_loop().call_later(max(waits.values()) / NS_PER_S, self._release)
        kinds = tuple(row for kind in waits for row in HELD_BACK[kind])
        self._held += [row for row in changes if isinstance(row, kinds)]
        return [row for row in changes if not isinstance(row, kinds)]

    def _release(self) -> None:
        held, self._held = self._held, []
        self._hand_out(held)

    def _hand_out(self, changes: Sequence[Change]) -> None:
        if changes:
            for listener in self._listeners:
                listener(changes)
