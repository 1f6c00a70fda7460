"""Why a target is not sized: the checks between a strategy's wish and the limits. A veto has a code, what was observed, and the limit."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from kedge.domain.instrument import Instrument
from kedge.domain.units import E8, money_text, to_grid
from kedge.engine.fold import BELOW_MINIMUM
from kedge.strategy.base import Target

MULTIPLE_MAX: Final = 100.0
"""No target is beyond this many times equity, and no expected return beyond this fraction."""


class Sized(NamedTuple):
    """A target on the grid: 0 and 0 where it is not valid, no lots without a mark."""

    exposure_e8: int
    lots: int
    mark_ticks: int
    valid: bool


def is_valid(target: Target) -> bool:
    """Whether a target's numbers mean anything: finite, within bounds, a confidence that is a probability."""
    frac, confidence, expected = target.exposure_frac, target.confidence, target.expected_return_frac
    if not math.isfinite(frac) or abs(frac) > MULTIPLE_MAX or not (confidence is None or 0.0 <= confidence <= 1.0):
        return False
    return expected is None or abs(expected) <= MULTIPLE_MAX


def veto_of(target: Target, spec: Instrument, sized: Sized, confidence_min_e8: int) -> tuple[str, str, str]:
    """Code, observed and limit; ('OK', '', '') where nothing speaks against it."""
    if not sized.valid:
        given = (target.exposure_frac, target.confidence, target.expected_return_frac)
        observed = "exposure {!r}, confidence {!r}, expected return {!r}".format(*given)
        return "INVALID_TARGET", observed, "finite, within 100 x equity"
    if not sized.mark_ticks:
        return "NO_PRICE", "no mark yet", "a mark price"
    if target.confidence is not None and to_grid(target.confidence, E8) < confidence_min_e8:
        return "CONFIDENCE_LOW", f"{target.confidence:.4f}", f"{confidence_min_e8 / E8:.4f}"
    lots = abs(sized.lots)
    notional = spec.notional_e8(sized.mark_ticks, lots)
    if sized.exposure_e8 and is_too_small(spec, lots, sized.mark_ticks):
        return BELOW_MINIMUM, f"{lots} lots, {money_text(notional, places=2)}", f"{spec.order_qty_min_lots} lots"
    return "OK", "", ""


def is_too_small(spec: Instrument, lots: int, mark_ticks: int) -> bool:
    """Whether the venue takes no order of so few lots."""
    return lots < spec.order_qty_min_lots or spec.notional_e8(mark_ticks, lots) < spec.notional_min_e8
