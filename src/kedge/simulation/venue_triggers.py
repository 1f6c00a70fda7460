"""Conditional orders waiting for a price, kept sorted so that the next to fire is always at hand.

Order of firing when several are due at once: rises before falls, last before mark before index, nearest trigger first, then age.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from kedge.simulation.venue_types import OrderRow, TriggerBy

RISE = 1
FALL = 2


class Triggers:
    """The waiting orders of one instrument."""

    def __init__(self, tick_e8: int) -> None:
        self._tick_e8 = tick_e8
        self._waiting: dict[tuple[TriggerBy, int], list[tuple[int, int, OrderRow]]] = {
            (by, direction): [] for direction in (RISE, FALL) for by in TriggerBy
        }
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def wait(self, order: OrderRow) -> None:
        """Watch for an order's trigger."""
        insort(self._waiting[order.trigger_by, order.trigger_direction], self._entry(order), key=_place)
        self._count += 1

    def forget(self, order: OrderRow) -> None:
        """Stop watching; call it before the trigger changes. An order that does not wait is no error."""
        entries, entry = self._waiting[order.trigger_by, order.trigger_direction], self._entry(order)
        at = bisect_left(entries, _place(entry), key=_place)
        if at < len(entries) and entries[at][2] is order:
            del entries[at]
            self._count -= 1

    def pop_due(self, last_ticks: int, mark_e8: int, index_e8: int) -> OrderRow | None:
        """The next order whose trigger the prices have reached, no longer watched; None when none is due."""
        if not self._count:
            return None
        prices = {TriggerBy.LAST: last_ticks * self._tick_e8, TriggerBy.MARK: mark_e8, TriggerBy.INDEX: index_e8}
        for (by, direction), entries in self._waiting.items():
            if entries and (entries[0][0] <= prices[by] if direction == RISE else -entries[0][0] >= prices[by]):
                self._count -= 1
                return entries.pop(0)[2]
        return None

    def _entry(self, order: OrderRow) -> tuple[int, int, OrderRow]:
        trigger_e8 = order.trigger_ticks * self._tick_e8
        return (trigger_e8 if order.trigger_direction == RISE else -trigger_e8, order.number, order)


def _place(entry: tuple[int, int, OrderRow]) -> tuple[int, int]:
    return entry[:2]
