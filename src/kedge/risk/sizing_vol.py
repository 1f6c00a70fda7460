"""Volatility target: leverage so that realised volatility comes out as wanted; lagged, floored, capped, and left alone within a band."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from kedge.domain.errors import InvalidInput
from kedge.risk.sizing_refused import SizingRefused

Floats = npt.NDArray[np.float64]

PERIODS_PER_YEAR: Final = 365
BAND: Final = 0.10


class VolTarget(NamedTuple):
    """Realised volatility per year, and the leverage (notional over equity) with and without its cap."""

    sigma_annual: float
    leverage_uncapped: float
    leverage: float


def vol_target(
    returns: Floats,
    *,
    window: int,
    target_annual: float,
    leverage_max: float,
    sigma_floor_annual: float = 0.0,
    periods_per_year: int = PERIODS_PER_YEAR,
) -> VolTarget | SizingRefused:
    """Leverage for the next period from the last `window` returns: `min(target / (sd * sqrt(periods)), cap)`, sd by ddof=1.

    Parameters
    ----------
    returns : Floats
        Simple returns of closed periods, oldest first: what is known when the next period begins.
    sigma_floor_annual : float
        Volatility is taken as at least this, so that a quiet window does not lever up.

    Returns
    -------
    VolTarget or SizingRefused
        `SHORT_HISTORY` where the window is not full, `NO_VOLATILITY` where nothing moved and no floor is set.
    """
    series = np.asarray(returns, np.float64)
    _check(window, target_annual, leverage_max, sigma_floor_annual, periods_per_year)
    if series.ndim != 1 or not np.isfinite(series).all():
        raise InvalidInput(f"volatility target: returns of shape {series.shape}", why="one finite series", fix="drop what is not known")
    if series.size < window:
        return SizingRefused("SHORT_HISTORY", float(series.size), float(window), "fewer returns than the window (returns)")
    sigma = float(np.std(series[-window:], ddof=1)) * math.sqrt(periods_per_year)
    floored = max(sigma, sigma_floor_annual)
    if floored <= 0.0:
        return SizingRefused("NO_VOLATILITY", floored, 0.0, "nothing moved in the window: set a floor (volatility per year)")
    uncapped = target_annual / floored
    return VolTarget(sigma, uncapped, min(uncapped, leverage_max))


def leverage_path(
    returns: Floats,
    *,
    window: int,
    target_annual: float,
    leverage_max: float,
    sigma_floor_annual: float = 0.0,
    periods_per_year: int = PERIODS_PER_YEAR,
    band: float = BAND,
) -> Floats:
    """Leverage held during each period, shape of `returns`: made of the returns before it (a lag of one) and kept within the band.

    NaN where the window before a period is not full or nothing moved in it: unknown is not zero.
    """
    series = np.asarray(returns, np.float64)
    path = np.full(series.size, np.nan)
    held: float | None = None
    for period in range(window, series.size):
        wanted = vol_target(
            series[:period],
            window=window,
            target_annual=target_annual,
            leverage_max=leverage_max,
            sigma_floor_annual=sigma_floor_annual,
            periods_per_year=periods_per_year,
        )
        if isinstance(wanted, VolTarget):
            held = wanted.leverage if held is None else within_band(held, wanted.leverage, band)
            path[period] = held
    return path


def within_band(held: float, wanted: float, band: float = BAND) -> float:
    """What to hold: the same as long as the wanted differs by at most `band` of what is held, else the wanted.

    Moving to or from nothing, or to the other side, always happens.
    """
    if not (math.isfinite(held) and math.isfinite(wanted) and band >= 0.0):
        raise InvalidInput(f"band: held {held}, wanted {wanted}, band {band}", why="finite, a band of at least 0", fix="correct them")
    if held == 0.0 or wanted == 0.0:
        return wanted
    return held if abs(wanted - held) <= band * abs(held) else wanted


def _check(window: int, target_annual: float, leverage_max: float, sigma_floor_annual: float, periods_per_year: int) -> None:
    rows = (
        ("window", window, 2.0),
        ("target_annual", target_annual, 1e-12),
        ("leverage_max", leverage_max, 0.0),
        ("sigma_floor_annual", sigma_floor_annual, 0.0),
        ("periods_per_year", periods_per_year, 1.0),
    )
    for name, value, least in rows:
        if not math.isfinite(value) or value < least:
            raise InvalidInput(f"volatility target: {name} is {value}", why=f"at least {least}", fix=f"correct {name}")
