"""The feature operators by name: formula, inputs, memory, warm-up. The arithmetic stands in `operators_*.py`.

Notation: O H L C V of bar t; n is the feature's window, m its second one; ln is the natural logarithm; sums run oldest to newest.
An operator may stay NaN only where it reads what may be unknown: funding, and the leader. Numbers of operators are never reused.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Final, NamedTuple

FUNDING_VALID_HOURS: Final = 24
"""A settlement older than this tells nothing of today: its rate counts as unknown."""

ROW_CELLS: Final = ("OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "TS_S", "FUNDING_RATE", "FUNDING_TS_S", "LEADER_CLOSE")
"""Names of a row's cells, in order; `feature_rows` says what is in them."""


class Operator(IntEnum):
    """What a feature computes from the rows of one instrument."""

    EMA = 0
    """Exponential mean of C, alpha 2/(n+1), seeded with the first close."""
    ZSCORE = 1
    """(C - mean) / population standard deviation over the last n closes; 0 where they are all equal."""
    VOLATILITY = 2
    """Square root of the exponentially weighted mean of squared log returns, alpha 2/(n+1), per bar."""
    MOMENTUM = 3
    """ln(C_t / C_{t-n}): the log return over the last n bars."""
    EMA_GAP = 4
    """ln(EMA_n / EMA_m) of closes, n < m."""
    SCALED_RETURN = 5
    """ln(C_t / C_{t-n}) / (VOLATILITY_m * sqrt(n)); 0 where nothing moved."""
    RSI = 6
    """(U - D) / (U + D) with U the sum of rising and D of falling log returns of the last n bars; in [-1, 1], 0 where nothing moved."""
    VOLATILITY_RATIO = 7
    """ln(VOLATILITY_n / VOLATILITY_m), n < m; 0 where either is 0."""
    PARKINSON = 8
    """sqrt(mean of ln(H/L)^2 over n bars / (4 ln 2)), per bar."""
    GARMAN_KLASS = 9
    """sqrt(max(0, mean over n bars of ln(H/L)^2 / 2 - (2 ln 2 - 1) ln(C/O)^2)), per bar."""
    TRUE_RANGE = 10
    """Mean over n bars of (max(H, previous C) - min(L, previous C)) / C."""
    RANGE_POSITION = 11
    """(C - lowest L) / (highest H - lowest L) over n bars, in [0, 1]; 0.5 where they are equal."""
    BODY = 12
    """Sum of C - O over sum of H - L, of n bars, in [-1, 1]; 0 where nothing moved."""
    WICKS = 13
    """Sum of (H + L) - (O + C) over sum of H - L, of n bars: upper less lower shadows; 0 where nothing moved."""
    VOLUME_RATIO = 14
    """ln((V + mean) / (2 mean)) with the mean of V over n bars; 0 where nothing traded."""
    VOLUME_ZSCORE = 15
    """(V - mean) / population standard deviation over the last n volumes; 0 where they are all equal."""
    SIGNED_VOLUME = 16
    """Sum of V * sign(C - O) over sum of V, of n bars, in [-1, 1]; 0 where nothing traded."""
    FUNDING_RATE = 17
    """Rate of the last settlement at or before the close, as a fraction; NaN where none is known or it is older than 24 h."""
    FUNDING_ZSCORE = 18
    """(rate - mean) / population standard deviation over the last n settlements seen; 0 where they are all equal; NaN as FUNDING_RATE."""
    FUNDING_HOURS = 19
    """Hours from the close to the next multiple of n hours UTC, in (0, n]: the time to the next settlement of an n-hour schedule."""
    DAY_SIN = 20
    """sin(2 pi s / 86,400) with s the seconds since midnight UTC at the close."""
    DAY_COS = 21
    """cos(2 pi s / 86,400) with s the seconds since midnight UTC at the close."""
    WEEK_SIN = 22
    """sin(2 pi s / 604,800) with s the seconds since Monday 00:00 UTC at the close."""
    WEEK_COS = 23
    """cos(2 pi s / 604,800) with s the seconds since Monday 00:00 UTC at the close."""
    LEADER_RETURN = 24
    """ln(K_t / K_{t-n}) with K_t the leader's close one interval before this bar's close; NaN where either is unknown."""
    RELATIVE_MOMENTUM = 25
    """ln(C_{t-1} / C_{t-1-n}) - ln(K_t / K_{t-n}): own less the leader's return over the same n bars, those before this one."""
    LEADER_BETA = 26
    """Covariance / variance over the last n known pairs of (leader's, own) log return of one bar, each the bar before."""
    LEADER_CORRELATION = 27
    """Correlation over the last n known pairs of (leader's, own) log return of one bar, each the bar before."""


class Traits(NamedTuple):
    """What the machinery must know of an operator.

    Attributes
    ----------
    inputs : tuple of str
        Cells of the row that it reads.
    windows : int
        0: the window must be 1; 1: n; 2: n and m.
    memory : callable
        float64 cells beside its counter, from (n, m).
    warmup : callable
        Bars until the output is a number where the inputs are known, from (n, m).
    optional : bool
        Whether the output may be NaN after the warm-up.
    ordered : bool
        Whether n must be below m.
    least : int
        Smallest n.
    version : int
        Grows when the arithmetic changes, and with it every hash of a feature set that uses it.
    """

    inputs: tuple[str, ...]
    windows: int
    memory: Callable[[int, int], int]
    warmup: Callable[[int, int], int]
    optional: bool = False
    ordered: bool = False
    least: int = 1
    version: int = 1


_C, _OC, _HL, _OHLC, _HLC = ("CLOSE",), ("OPEN", "CLOSE"), ("HIGH", "LOW"), ("OPEN", "HIGH", "LOW", "CLOSE"), ("HIGH", "LOW", "CLOSE")
_FUNDING, _CLOCK, _PAIR = ("TS_S", "FUNDING_RATE", "FUNDING_TS_S"), ("TS_S",), ("CLOSE", "TS_S", "LEADER_CLOSE")


def _none(_n: int, _m: int) -> int:
    return 0


def _bars(n: int, _m: int) -> int:
    return n


def _one(_n: int, _m: int) -> int:
    return 1


def _bars_and_one(n: int, _m: int) -> int:
    return n + 1


def _bars_and_two(n: int, _m: int) -> int:
    return n + 2


_CLOCK_TRAITS: Final = Traits(_CLOCK, 0, _none, _one)

OPERATORS: Final[dict[Operator, Traits]] = {
    Operator.EMA: Traits(_C, 1, _one, _bars),
    Operator.ZSCORE: Traits(_C, 1, _bars, _bars),
    Operator.VOLATILITY: Traits(_C, 1, lambda n, m: 2, _bars_and_one),
    Operator.MOMENTUM: Traits(_C, 1, _bars, _bars_and_one),
    Operator.EMA_GAP: Traits(_C, 2, lambda n, m: 2, lambda n, m: m, ordered=True),
    Operator.SCALED_RETURN: Traits(_C, 2, _bars_and_two, lambda n, m: max(n, m) + 1),
    Operator.RSI: Traits(_C, 1, _bars_and_one, _bars_and_one),
    Operator.VOLATILITY_RATIO: Traits(_C, 2, lambda n, m: 3, lambda n, m: m + 1, ordered=True),
    Operator.PARKINSON: Traits(_HL, 1, _bars, _bars),
    Operator.GARMAN_KLASS: Traits(_OHLC, 1, _bars, _bars),
    Operator.TRUE_RANGE: Traits(_HLC, 1, _bars_and_one, _bars_and_one),
    Operator.RANGE_POSITION: Traits(_HLC, 1, lambda n, m: 2 * n, _bars),
    Operator.BODY: Traits(_OHLC, 1, lambda n, m: 2 * n, _bars),
    Operator.WICKS: Traits(_OHLC, 1, lambda n, m: 2 * n, _bars),
    Operator.VOLUME_RATIO: Traits(("VOLUME",), 1, _bars, _bars),
    Operator.VOLUME_ZSCORE: Traits(("VOLUME",), 1, _bars, _bars),
    Operator.SIGNED_VOLUME: Traits(("OPEN", "CLOSE", "VOLUME"), 1, lambda n, m: 2 * n, _bars),
    Operator.FUNDING_RATE: Traits(_FUNDING, 0, _none, _one, optional=True),
    Operator.FUNDING_ZSCORE: Traits(_FUNDING, 1, _bars_and_two, _one, optional=True),
    Operator.FUNDING_HOURS: Traits(_CLOCK, 1, _none, _one),
    Operator.DAY_SIN: _CLOCK_TRAITS,
    Operator.DAY_COS: _CLOCK_TRAITS,
    Operator.WEEK_SIN: _CLOCK_TRAITS,
    Operator.WEEK_COS: _CLOCK_TRAITS,
    Operator.LEADER_RETURN: Traits(("LEADER_CLOSE",), 1, _bars, _bars_and_one, optional=True),
    Operator.RELATIVE_MOMENTUM: Traits(("CLOSE", "LEADER_CLOSE"), 1, lambda n, m: 2 * n + 1, _bars_and_two, optional=True),
    Operator.LEADER_BETA: Traits(_PAIR, 1, lambda n, m: 2 * n + 6, _bars_and_two, optional=True, least=2),
    Operator.LEADER_CORRELATION: Traits(_PAIR, 1, lambda n, m: 2 * n + 6, _bars_and_two, optional=True, least=2),
}
"""Traits of every operator; an operator without an entry does not exist."""
