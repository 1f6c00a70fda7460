"""Bounded lists of what happened, paged newest first by places that never shift."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic

from kedge.simulation.venue_types import Page, Row


class History(Generic[Row]):
    """The last rows of one kind: at least `rows_max` of them, at most a quarter more, so that dropping old ones costs little."""

    __slots__ = ("rows", "_dropped", "_rows_max")

    def __init__(self, rows_max: int) -> None:
        self.rows: list[Row] = []
        self._dropped = 0
        self._rows_max = rows_max

    def append(self, row: Row) -> list[Row]:
        """Add the newest row; returns what was dropped for it, mostly nothing."""
        self.rows.append(row)
        if len(self.rows) <= self._rows_max + self._rows_max // 4:
            return []
        spare = len(self.rows) - self._rows_max
        dropped, self.rows = self.rows[:spare], self.rows[spare:]
        self._dropped += spare
        return dropped

    def place_of_last(self) -> int:
        """The place of the newest row, for `replace`."""
        return self._dropped + len(self.rows) - 1

    def replace(self, place: int, row: Row) -> None:
        """Put a newer version of a row at its place; nothing happens when it has been dropped."""
        if place >= self._dropped:
            self.rows[place - self._dropped] = row

    def at(self, place: int) -> Row | None:
        """The row at a place, None when it has been dropped."""
        return self.rows[place - self._dropped] if place >= self._dropped else None

    def page(self, before: int | None, limit: int, where: Callable[[Row], bool] | None) -> Page[Row]:
        """Up to `limit` rows that satisfy `where`, newest first, older than place `before`."""
        end = len(self.rows) if before is None else max(0, min(len(self.rows), before - self._dropped))
        if where is None and limit > 0:
            begin = max(0, end - limit)
            return Page(self.rows[begin:end][::-1], self._dropped + begin if begin else None)
        found: list[Row] = []
        last = 0
        for index in range(end - 1, -1, -1):
            row = self.rows[index]
            if where is not None and not where(row):
                continue
            if len(found) == limit:
                return Page(found, self._dropped + last)
            found.append(row)
            last = index
        return Page(found, None)
