"""From one day to several. Neither factor knows of tails, gaps or liquidation: for a levered perpetual simulate the path instead."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from kedge.domain.errors import InvalidInput
from kedge.risk.var.measure import Float64Array, checked_returns


def sqrt_factor(days: int) -> float:
    """Square root of time: needs independent returns of finite variance and zero mean."""
    return math.sqrt(_days(days))


def ar1_factor(days: int, rho: float) -> float:
    """The same for returns with autocorrelation `rho` at lag 1: `sqrt(h + 2 sum (h - k) rho^k)`."""
    if not -1.0 < rho < 1.0:
        raise InvalidInput(f"rho is {rho!r}", why="an autocorrelation lies between -1 and 1", fix="estimate it again")
    lags = range(1, _days(days))
    return math.sqrt(days + 2 * sum((days - lag) * rho**lag for lag in lags))


def autocorrelation(returns: Sequence[float] | Float64Array) -> float:
    """At lag 1, about the mean; `InvalidInput` where returns do not vary."""
    values = checked_returns(returns, least=3)
    if values.max() == values.min():
        raise InvalidInput("returns do not vary", why="they have no correlation", fix="pass others")
    apart = values - values.mean()
    return float(apart[1:] @ apart[:-1]) / float(apart @ apart)


def compounded(returns: Sequence[float] | Float64Array, days: int) -> Float64Array:
    """Returns of consecutive periods of `days` that do not overlap, newest complete; the oldest rest is dropped."""
    values = checked_returns(returns, least=_days(days))
    periods = values.size // days
    grown: Float64Array = np.prod(1.0 + values[values.size - periods * days :].reshape(periods, days), axis=1) - 1.0
    return grown


def block_bootstrap(returns: Sequence[float] | Float64Array, days: int, *, block: int, paths: int, seed: int) -> Float64Array:
    """Compounded returns over `days`, shape (paths,), from circular blocks of `block` days.

    Blocks are drawn with replacement; what depends within a block is kept.
    """
    values = checked_returns(returns, least=max(2, block))
    if block < 1 or paths < 1:
        raise InvalidInput(f"blocks of {block}, {paths} paths", why="both are at least 1", fix="pass 10 and 20,000")
    starts = np.random.default_rng(seed).integers(0, values.size, (paths, -(-_days(days) // block)))
    rows = (starts[:, :, None] + np.arange(block)) % values.size
    grown: Float64Array = np.prod(1.0 + values[rows.reshape(paths, -1)[:, :days]], axis=1) - 1.0
    return grown


def _days(days: int) -> int:
    if days < 1:
        raise InvalidInput(f"days is {days}", why="a horizon has a day", fix="pass 1 or more")
    return days
