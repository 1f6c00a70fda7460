"""What losses are measured from: the high-water mark and the equity at the day's beginning, both scaled with every flow. Pure.

Rules: as `kernel.account.book_flow`: a flow moves mark and day's start in proportion to equity, so a withdrawal is no drawdown and a
deposit hides no loss; where equity was not positive there is no proportion and what was lost stays lost. A new high counts only while
the books explain the wallet.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kedge.domain.units import NS_PER_DAY
from kedge.domain.venue import LedgerEntry
from kedge.risk.brake.books import is_flow

JUMPS_KEPT: Final = 50
LIKE_PARTS: Final = 20
"""A jump that differs from a flow by a twentieth of it at most is that flow: prices moved between two answers of the venue."""


class Jumps:
    """When money came or went that the ledger lists later: what the account was worth before each jump that no trade can have made."""

    def __init__(self) -> None:
        self._jumps: list[tuple[int, int]] = []
        self._strange_e8 = 0

    def see(self, strange_e8: int, judged_e8: int) -> None:
        """So much of equity nothing explains now, beside what losses are judged on."""
        if strange_e8 != self._strange_e8:
            self._jumps.append((strange_e8 - self._strange_e8, judged_e8 + self._strange_e8))
            del self._jumps[:-JUMPS_KEPT]
        self._strange_e8 = strange_e8

    def before_e8(self, change_e8: int) -> int | None:
        """Equity before the jump that is this flow, which is not looked for again; None where none was like it."""
        off, found = min(((abs(delta_e8 - change_e8), n) for n, (delta_e8, _) in enumerate(self._jumps)), default=(0, -1))
        return self._jumps.pop(found)[1] if found >= 0 and off <= abs(change_e8) // LIKE_PARTS else None

    def clear(self) -> None:
        """Everything is explained."""
        self._jumps, self._strange_e8 = [], 0


class Marks:
    """High-water mark and day's start of one account, in 1e-8.

    Parameters
    ----------
    day : int
        UTC day of the venue's data time, counted from 1970.
    """

    def __init__(self, high_water_e8: int, day_start_e8: int, day: int, equity_e8: int) -> None:
        self.high_water_e8, self.day_start_e8, self.day = high_water_e8, day_start_e8, day
        self.equity_e8 = equity_e8

    def flow(self, before_e8: int, change_e8: int) -> None:
        """Money came (> 0) or went while equity was `before_e8`."""
        after_e8 = max(0, before_e8 + change_e8)
        if before_e8 > 0:
            self.high_water_e8 = -(-self.high_water_e8 * after_e8 // before_e8)
            self.day_start_e8 = -(-self.day_start_e8 * after_e8 // before_e8)
        elif self.high_water_e8 <= 0:
            self.high_water_e8 = self.day_start_e8 = after_e8

    def flows(self, entries: Iterable[LedgerEntry], equity_e8: int, jumps: Jumps | None = None) -> list[LedgerEntry]:
        """Take the flows among rows that led to this equity, each as of its jump where it was seen; gives those that were flows."""
        found = [entry for entry in entries if is_flow(entry) and entry.change_e8]
        before_e8 = equity_e8 - sum(entry.change_e8 for entry in found)
        for entry in found:
            seen_e8 = None if jumps is None else jumps.before_e8(entry.change_e8)
            self.flow(before_e8 if seen_e8 is None else seen_e8, entry.change_e8)
            before_e8 += entry.change_e8
            self.equity_e8 += entry.change_e8
        return found

    def mark(self, equity_e8: int, ts_ns: int) -> bool:
        """Equity now, with explained books; whether a new day began. A later day begins with the last known equity."""
        day = ts_ns // NS_PER_DAY
        is_new = day > self.day
        if is_new:
            self.day, self.day_start_e8 = day, self.equity_e8
        self.equity_e8 = equity_e8
        self.high_water_e8 = max(self.high_water_e8, equity_e8)
        return is_new

    def reset(self, equity_e8: int) -> None:
        """Two people decided that the drawdown counts from now."""
        self.high_water_e8 = self.equity_e8 = equity_e8
