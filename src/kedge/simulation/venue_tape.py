"""What is written down while an operation runs: the time, the numbers of new rows, and the changes to hand out.

Executions and trades are written where they happen; orders, positions and wallets that moved are written once, as they stand when
the operation ends.
"""

from __future__ import annotations

from typing import Final

from kedge.simulation.venue_account import Account, Slot, copy_row
from kedge.simulation.venue_crowd import mix
from kedge.simulation.venue_market import Market
from kedge.simulation.venue_types import Change, OrderRow

_ORDER, _EXECUTION, _TRADE = 1, 2, 3
_MASK64: Final = (1 << 64) - 1


def id_prefix(seed: int, kind: int) -> str:
    """The first 24 characters of ids shaped like random UUIDs, one family per seed and kind; 12 digits of a count follow."""
    word = mix((seed * 8 + kind) & _MASK64)
    text = f"{word:016x}"
    return f"{text[:8]}-{text[8:12]}-4{text[12:15]}-{'89ab'[word & 3]}{mix(word):016x}"[:23] + "-"


class Tape:
    """The venue's time, counters and pending changes."""

    __slots__ = (
        "now_ns", "changes", "orders", "slots", "accounts", "markets", "orders_made", "executions_made", "logs_made",
        "trade_prefix", "_order_prefix", "_execution_prefix",
    )  # fmt: skip

    def __init__(self, seed: int, start_ts_ns: int) -> None:
        self.now_ns = start_ts_ns
        self.changes: list[Change] = []
        self.orders: dict[str, OrderRow] = {}
        self.slots: dict[Slot, None] = {}
        self.accounts: dict[Account, None] = {}
        self.markets: dict[Market, None] = {}
        self.orders_made = self.executions_made = self.logs_made = 0
        self._order_prefix, self._execution_prefix = id_prefix(seed, _ORDER), id_prefix(seed, _EXECUTION)
        self.trade_prefix = id_prefix(seed, _TRADE)

    def order_id(self) -> str:
        """A fresh order id; `orders_made` is its number."""
        self.orders_made += 1
        return f"{self._order_prefix}{self.orders_made:012x}"

    def execution_id(self) -> str:
        """A fresh execution id; `executions_made` is its number."""
        self.executions_made += 1
        return f"{self._execution_prefix}{self.executions_made:012x}"

    def touch(self, slot: Slot) -> None:
        """A position, or what its orders bind, moved."""
        slot.updated_ns = self.now_ns
        self.slots[slot] = None
        self.accounts[slot.account] = None

    def write(self) -> None:
        """End of an operation: one row of everything that moved."""
        changes, now_ns = self.changes, self.now_ns
        for order in self.orders.values():
            changes.append(copy_row(order))
        for slot in self.slots:
            changes.append(slot.row())
        for account in self.accounts:
            changes.append(account.row(now_ns))
        self.orders.clear()
        self.slots.clear()
        self.accounts.clear()
        self.markets.clear()
