"""Times, margins and words by which the auditor judges guard and brake."""

from __future__ import annotations

from typing import Any, Final

S: Final = 1_000_000_000
MS: Final = 1_000_000
PERMIT_NS: Final = 2 * S
WINDOW_NS: Final = S
SKEW_NS: Final = 2 * S
"""So much longer a request may be taken by a venue whose wall clock is wrong."""
VIEW_NS: Final = S
"""The oldest look at the account under which a permit may be granted."""
FLAT_NS: Final = 2 * S
SEEN_NS: Final = 750 * MS
"""From a reading beyond a limit to the latch, beside what the network takes."""
BLIND_NS: Final = 4 * S
MARKS_NS: Final = 4 * S
HELD_NS: Final = 5 * S
BARE_NS: Final = 3 * S
"""An order may be on its way so long after the position was last seen without a stop."""
COLLAR_BPS: Final = 300
MARGIN_E8: Final = 300_000
"""Losses by readings at other moments than the guard's own differ by so much of equity at most."""
WORTH_NS: Final = 2 * S
"""So long a guard may know of a trade before it reads the wallet."""
SEVERITY: Final = {"running": 0, "reduce_only": 1, "halted": 2, "flattening": 3, "halted_flat": 4}
OWN_ID: Final = 35
"""Characters of the guard's ids; what else begins like one is somebody else's."""
DAY_NS: Final = 86_400 * S
Plain = dict[str, Any]
