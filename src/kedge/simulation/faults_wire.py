"""What faults do to things on their way: the venue's rows to its listeners, and the frames of one stream.

Rules: nothing is invented; what is held back comes later and in order, what is turned round comes once, what is lost never comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Generic, TypeVar

from kedge.simulation.faults import Kind
from kedge.simulation.faults_armed import Armoury, FrameFate
from kedge.simulation.venue_types import BookDelta, Change, ExecutionRow, OrderRow, PositionRow, TickerRow, WalletRow

PRIVATE_ROWS: Final = (OrderRow, ExecutionRow, PositionRow, WalletRow)
HELD_BACK: Final[dict[Kind, tuple[type, ...]]] = {"delay_private": PRIVATE_ROWS, "stale_book": (BookDelta, TickerRow)}
"""Rows that a lasting fault keeps from listeners until it is over."""
_ON_ROWS: Final[tuple[Kind, ...]] = ("lose_private", "reorder_private", "duplicate_private", "duplicate_execution")

Frame = TypeVar("Frame")


class Outbox:
    """Rows on their way to the listeners of a venue.

    Parameters
    ----------
    armoury : Armoury
        Asked for every operation that has private rows.
    """

    def __init__(self, armoury: Armoury) -> None:
        self._armoury = armoury
        self._held: dict[Kind, list[Change]] = {kind: [] for kind in HELD_BACK}
        self.due_ns: int | None = None
        """When the first held rows are to be released, by `send`; None while nothing is held."""

    def send(self, changes: Sequence[Change], now_ns: int) -> list[Sequence[Change]]:
        """One operation's rows as batches to hand out now, in order."""
        out: list[Sequence[Change]] = []
        ends_ns: list[int] = []
        for kind, rows in HELD_BACK.items():
            wait_ns = self._armoury.lasts(kind, now_ns)
            if wait_ns:
                self._held[kind] += [row for row in changes if isinstance(row, rows)]
                changes = [row for row in changes if not isinstance(row, rows)]
                ends_ns += [now_ns + wait_ns] if self._held[kind] else []
            elif self._held[kind]:
                out.append(self._held[kind])
                self._held[kind] = []
        self.due_ns = min(ends_ns, default=None)
        return [batch for batch in (*out, *self._struck(changes, now_ns)) if batch]

    def release(self) -> Sequence[Change]:
        """All that is held back, in its order; it is held no more."""
        held = [row for rows in self._held.values() for row in rows]
        self._held, self.due_ns = {kind: [] for kind in HELD_BACK}, None
        return held

    def _struck(self, changes: Sequence[Change], now_ns: int) -> list[Sequence[Change]]:
        private = [row for row in changes if isinstance(row, PRIVATE_ROWS)]
        if not private:
            return [changes]
        executions = [row for row in private if isinstance(row, ExecutionRow)]
        kinds = _ON_ROWS if executions else _ON_ROWS[:-1]
        match self._armoury.operation(kinds, private[0].account, now_ns):
            case "lose_private":
                return [[row for row in changes if not isinstance(row, PRIVATE_ROWS)]]
            case "reorder_private":
                return [[row] for row in reversed(changes)]
            case "duplicate_private":
                return [changes, private]
            case "duplicate_execution":
                return [changes, executions]
            case _:
                return [changes]


class FrameLine(Generic[Frame]):
    """The frames of one stream, of which one may wait until the next has gone."""

    def __init__(self) -> None:
        self._waiting: Frame | None = None

    def send(self, frame: Frame, fate: FrameFate) -> list[Frame]:
        """What goes out now, in order."""
        if fate is FrameFate.REORDER and self._waiting is None:
            self._waiting = frame
            return []
        gone = {FrameFate.DROP: [], FrameFate.DUPLICATE: [frame, frame]}.get(fate, [frame])
        if gone and self._waiting is not None:
            gone.append(self._waiting)
            self._waiting = None
        return gone
