"""What one trade may lose at its stop: the distance to the stop, the gap through it and the fees, against a cap of equity.

Money is an integer in 1e-8, losses round up, sizes down.
"""

from __future__ import annotations

import math
from typing import Final

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8
from kedge.kernel.fees import fee_e8
from kedge.risk.sizing_refused import SizingRefused

TRADE_RISK_FRAC_MAX: Final = 0.02
"""The default cap: 2 % of equity."""

_BPS: Final = 10_000


def loss_at_stop_e8(lots: int, entry_ticks: int, stop_ticks: int, gap_bps: int, tick_value_e8: int, taker_fee_e8: int) -> int:
    """What a position loses when its stop is hit and filled `gap_bps` of the stop further on, in 1e-8, fees of both sides included.

    Parameters
    ----------
    lots : int
        Signed: a long's stop lies below its entry, a short's above.

    Returns
    -------
    int
        At least 0: a stop that locks in a profit loses nothing.

    Raises
    ------
    InvalidInput
        A price below one tick or a negative gap.
    """
    if entry_ticks < 1 or stop_ticks < 1 or gap_bps < 0:
        raise InvalidInput(
            f"loss at the stop: entry {entry_ticks}, stop {stop_ticks} ticks, gap {gap_bps} bps",
            why="prices are at least one tick, a gap at least 0",
            fix="pass a stop; without one the whole notional is at risk",
        )
    size, side = abs(lots), 1 if lots > 0 else -1
    gap_ticks = -(-stop_ticks * gap_bps // _BPS)
    exit_ticks = max(1, stop_ticks - side * gap_ticks)
    lost_e8 = side * (entry_ticks - exit_ticks) * size * tick_value_e8
    fees_e8 = fee_e8(entry_ticks * size * tick_value_e8, taker_fee_e8) + fee_e8(exit_ticks * size * tick_value_e8, taker_fee_e8)
    return max(0, lost_e8 + fees_e8)


def trade_risk_frac_e8(loss_e8: int, equity_e8: int) -> int:
    """A loss as a fraction of equity in 1e-8, rounded up. Without equity any loss is refused by the caller's limit: 2^63 - 1."""
    if loss_e8 <= 0:
        return 0
    return -(-loss_e8 * E8 // equity_e8) if equity_e8 > 0 else 2**63 - 1


def lots_within_trade_risk(
    budget_e8: int, side: int, entry_ticks: int, stop_ticks: int, gap_bps: int, tick_value_e8: int, taker_fee_e8: int, lots_max: int
) -> int:
    """The most lots, signed by `side` (+1 long, -1 short), whose loss at the stop stays within the budget; at most `lots_max`.

    Notes
    -----
    The loss never falls as lots grow, so halving finds the edge exactly, roundings included.
    """
    if side not in (1, -1) or lots_max < 0:
        raise InvalidInput(f"lots within: side {side}, lots_max {lots_max}", why="side is +1 or -1, lots at least 0", fix="correct them")

    def fits(lots: int) -> bool:
        return loss_at_stop_e8(side * lots, entry_ticks, stop_ticks, gap_bps, tick_value_e8, taker_fee_e8) <= budget_e8

    low, high = 0, lots_max
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return side * low


def notional_frac(
    stop_frac: float, gap_frac: float, cost_frac: float, trade_risk_frac: float = TRADE_RISK_FRAC_MAX
) -> float | SizingRefused:
    """The most notional, as a fraction of equity, whose loss at the stop stays within `trade_risk_frac` of equity.

    Parameters
    ----------
    stop_frac, gap_frac, cost_frac : float
        Distance to the stop, what a gap costs beyond it, fees and slippage of both sides: fractions of notional.

    Returns
    -------
    float or SizingRefused
        `NO_STOP` where nothing is lost at the stop: a size cannot follow from it.
    """
    for name, value in (("stop_frac", stop_frac), ("gap_frac", gap_frac), ("cost_frac", cost_frac)):
        if not math.isfinite(value) or value < 0.0:
            raise InvalidInput(f"sizing: {name} is {value}", why="a fraction of notional, at least 0", fix=f"correct {name}")
    if not 0.0 < trade_risk_frac <= 1.0:
        raise InvalidInput(f"sizing: trade_risk_frac is {trade_risk_frac}", why="above 0, at most 1", fix="use 0.02")
    lost = stop_frac + gap_frac + cost_frac
    if lost <= 0.0 or stop_frac == 0.0:
        return SizingRefused("NO_STOP", stop_frac, 0.0, "without a stop below the entry no size follows (fraction of notional)")
    return trade_risk_frac / lost
