"""A feature as documents name it: an operator with its windows. What it computes stands in `features`, which compiles it."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from kedge.learning.operators import OPERATORS, ROW_CELLS, Operator

WINDOW_MAX: Final = 5_000


class Feature(msgspec.Struct, frozen=True):
    """One operator with its windows, by name.

    Attributes
    ----------
    window, second : int
        The operator's n and m in bars (hours for FUNDING_HOURS, settlements for FUNDING_ZSCORE); 1 and 0 where it has none.
    of : str
        The leader's instrument id, of an operator that reads the leader; empty elsewhere.
    """

    name: str
    operator: Operator
    window: Annotated[int, msgspec.Meta(ge=1, le=WINDOW_MAX)] = 1
    second: Annotated[int, msgspec.Meta(ge=0, le=WINDOW_MAX)] = 0
    of: str = ""

    @property
    def state_size(self) -> int:
        """float64 cells of memory: a counter, and the operator's own."""
        return 1 + OPERATORS[self.operator].memory(self.window, self.second)

    @property
    def warmup_bars(self) -> int:
        """Bars before the output is a number, where what may be unknown is known."""
        return OPERATORS[self.operator].warmup(self.window, self.second)

    @property
    def optional(self) -> bool:
        """Whether the output may be NaN after the warm-up, because funding or the leader is unknown."""
        return OPERATORS[self.operator].optional

    @property
    def cells(self) -> frozenset[int]:
        """Cells of the row that it reads."""
        return frozenset(ROW_CELLS.index(name) for name in OPERATORS[self.operator].inputs)
