"""Floating columns as whole steps of a grid, and whether each value is exactly on it.

Rule: a value is on the grid when it is the float64 nearest to a whole number of steps. `step_e8` is in 1e-8.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8
from kedge.market.bars import Floats, Ints, Mask

MAX_STEPS: Final = 2.0**62
_EXACT_INT: Final = 2.0**53
_DECIMALS_MAX: Final = 8


def nearest_steps(values: Floats, step_e8: int, *, field: str) -> tuple[Ints, Mask]:
    """Nearest whole steps, and where the value is exactly that many.

    Raises
    ------
    InvalidInput
        A value is not finite or is more than 2^62 steps.
    """
    counts = np.rint(values * (E8 / step_e8))
    if not bool(np.all(np.abs(counts) < MAX_STEPS)):
        worst = values[~(np.abs(counts) < MAX_STEPS)][0]
        raise InvalidInput(f"{field} is {worst!r}", why=f"not finite, or past 2^62 steps of {step_e8 / E8:g}", fix="use a coarser grid")
    scaled = counts * step_e8
    back = scaled / E8  # both exact below 2^53, so the quotient is the nearest float64 to the decimal
    exact = back == values
    large = np.abs(scaled) >= _EXACT_INT
    exact |= large & (np.abs(back - values) <= np.spacing(np.abs(values)))
    return counts.astype(np.int64), exact


def floor_steps(values: Floats, step_e8: int, *, field: str) -> tuple[Ints, Mask]:
    """Whole steps rounded down, and where something was lost.

    A relative difference of 1e-9 counts as none: volumes are sums of floats in many sources.
    """
    nearest, exact = nearest_steps(values, step_e8, field=field)
    back = nearest * (step_e8 / E8)
    same = exact | (np.abs(back - values) <= 1e-9 * np.abs(values))
    floored = np.where(same, nearest, nearest - (back > values))
    return floored.astype(np.int64), ~same


def decimals(values: Floats) -> Ints:
    """Fewest decimals (0 to 8) that write each value exactly; 9 where eight are not enough."""
    out = np.full(len(values), _DECIMALS_MAX + 1, dtype=np.int64)
    for places in range(_DECIMALS_MAX, -1, -1):
        with np.errstate(over="ignore", invalid="ignore"):
            exact = np.rint(values * 10.0**places) / 10.0**places == values
        out[exact] = places
    return out
