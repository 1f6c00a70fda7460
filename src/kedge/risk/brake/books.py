"""The guard's own books of the account: what the venue's ledger and executions explain of its wallet and positions. Pure.

Rules: to the last unit; a list may lag behind what it tells of, and a read may fall between two rows, so what is looked for is a run of
rows that leads from the last agreement to what the venue shows now; what nothing explains is never explained away.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kedge.domain.events import OrderFilled
from kedge.domain.instrument import InstrumentId
from kedge.domain.orders import Side
from kedge.domain.units import NS_PER_S
from kedge.domain.venue import LedgerEntry, LedgerKind

FLOWS: Final = frozenset({LedgerKind.TRANSFER, LedgerKind.CONVERSION, LedgerKind.BONUS, LedgerKind.INTEREST})
"""What is neither profit nor loss."""

LATE_NS: Final = 5 * NS_PER_S
"""Rows so little younger than the beginning of the books may have been in the wallet then already, listed late."""

KEPT: Final = 2_000
"""So many ids of rows are remembered, so that a list that is read again tells nothing twice."""


class WalletBook:
    """The wallet, explained by its ledger.

    Attributes
    ----------
    wallet_e8 : int
        The last wallet that the ledger explained.
    ts_ns : int
        From here on the ledger has to be read: the newest row that is in `wallet_e8`, on the venue's data clock.
    """

    def __init__(self, wallet_e8: int, ts_ns: int, known: Iterable[str] = ()) -> None:
        self.wallet_e8, self.ts_ns = wallet_e8, ts_ns
        self._begun_ns = ts_ns
        self._known = dict.fromkeys(known)
        self._pending: list[LedgerEntry] = []

    @property
    def ids_at(self) -> tuple[str, ...]:
        """Ids of rows that are in `wallet_e8` and may be listed again when asked from `ts_ns` on."""
        waiting = {entry.entry_id for entry in self._pending}  # known, and in the wallet only once they explain it
        return tuple(name for name in self._known if name not in waiting)[-50:]

    def take(self, entries: Iterable[LedgerEntry]) -> None:
        """Rows as the venue lists them, oldest first; known ones are left out, and so are those from before these books."""
        for entry in entries:
            if entry.entry_id in self._known or entry.ts_ns < self._begun_ns:
                continue
            self._known[entry.entry_id] = None
            self._pending.append(entry)
        while len(self._known) > KEPT:
            del self._known[next(iter(self._known))]

    def explain(self, wallet_e8: int) -> list[LedgerEntry] | None:
        """The rows that lead from the last agreement to this wallet, which is the new agreement; None where none do."""
        if not self._pending:
            return [] if wallet_e8 == self.wallet_e8 else None
        for first in range(self._late() + 1):
            count = _longest(wallet_e8 - self.wallet_e8, [entry.change_e8 for entry in self._pending[first:]])
            if count is not None:
                taken = self._pending[first : first + count]
                self._pending = self._pending[first + count :]
                self.wallet_e8 = wallet_e8
                self.ts_ns = max([self.ts_ns, *(entry.ts_ns for entry in taken)])
                return taken
        return None

    def _late(self) -> int:
        """How many of the first rows may be in the beginning already."""
        return sum(1 for entry in self._pending if entry.ts_ns <= self._begun_ns + LATE_NS)


class PositionBook:
    """Positions, explained by executions; instruments are independent of each other."""

    def __init__(self, lots: dict[InstrumentId, int], ts_ns: int, known: Iterable[str] = ()) -> None:
        self.lots = {name: held for name, held in lots.items() if held}
        self.ts_ns = ts_ns
        self._begun_ns = ts_ns
        self._known = dict.fromkeys(known)
        self._pending: dict[InstrumentId, list[OrderFilled]] = {}

    @property
    def waiting(self) -> list[OrderFilled]:
        """Fills that are known, and that positions do not show yet."""
        return [fill for fills in self._pending.values() for fill in fills]

    def take(self, fills: Iterable[OrderFilled]) -> list[OrderFilled]:
        """Fills as the venue tells or lists them, oldest first; gives those that were not known."""
        new = []
        for fill in fills:
            if fill.fill_id in self._known or fill.ts_ns < self._begun_ns:
                continue
            self._known[fill.fill_id] = None
            self._pending.setdefault(fill.instrument, []).append(fill)
            new.append(fill)
        while len(self._known) > KEPT:
            del self._known[next(iter(self._known))]
        return new

    def explain(self, lots: dict[InstrumentId, int]) -> list[str]:
        """What of these positions no run of fills explains, in words; the others are the new agreement."""
        found = []
        for name in sorted({*lots, *self.lots, *self._pending}):  # one that was opened and closed between two readings is held in none
            held, before = lots.get(name, 0), self.lots.get(name, 0)
            if not self._explain_one(name, held, before):
                found.append(f"{name} is {held} lots, executions explain {before}")
        return found

    def _explain_one(self, name: InstrumentId, held: int, before: int) -> bool:
        pending = self._pending.get(name, [])
        if held == before and not pending:  # as nearly always: every reading asks
            self._pending[name], self.lots[name] = pending, held
            return True
        late = sum(1 for fill in pending if fill.ts_ns <= self._begun_ns + LATE_NS)
        for first in range(late + 1):
            count = _longest(held - before, [signed(fill) for fill in pending[first:]])
            if count is not None:
                self.ts_ns = max([self.ts_ns, *(fill.ts_ns for fill in pending[first : first + count])])
                self._pending[name] = pending[first + count :]
                self.lots[name] = held
                return True
        return False


def is_flow(entry: LedgerEntry) -> bool:
    """Whether a row is neither profit nor loss. Of a kind nobody knows, money that came is, so that it hides no loss; what went is lost."""
    return entry.kind in FLOWS or (entry.kind is LedgerKind.OTHER and entry.change_e8 > 0)


def signed(fill: OrderFilled) -> int:
    """Lots, negative where they were sold."""
    return fill.qty_lots if fill.side is Side.BUY else -fill.qty_lots


def _longest(change: int, steps: list[int]) -> int | None:
    """How many of the first steps add up to a change: the most that do; None where none do."""
    found, total = (0 if change == 0 else None), 0
    for count, step in enumerate(steps, 1):
        total += step
        if total == change:
            found = count
    return found
