"""Each operator against somebody else's arithmetic: Polars where it has the function, NumPy over sliding windows elsewhere.

Tolerance 1e-9 absolute: the oracles sum in another order (Polars in recurrences, NumPy pairwise), which moves the last bits of
prices near 100; every feature but EMA is of order one or less.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from kedge.learning.feature_rows import CLOSE, FUNDING_RATE, HIGH, LEADER_CLOSE, LOW, OPEN, TS_S, VOLUME
from kedge.learning.features import FeatureSet, Float64Array
from kedge.learning.operators import Operator

from .feature_examples import feature, rows

ROWS = rows(400)
O, H, L, C, V = (ROWS[:, cell] for cell in (OPEN, HIGH, LOW, CLOSE, VOLUME))  # noqa: E741
K = ROWS[:, LEADER_CLOSE]
S = ROWS[:, TS_S]
TOLERANCE = 1e-9
LN2 = np.log(2.0)


def windows(values: Float64Array, n: int) -> Float64Array:
    """The last n values of each bar, shape (n_bars, n); NaN before there are n."""
    out = np.full((len(values), n), np.nan)
    out[n - 1 :] = np.lib.stride_tricks.sliding_window_view(values, n)
    return out


def back(values: Float64Array, n: int) -> Float64Array:
    return np.concatenate((np.full(n, np.nan), values[:-n]))


def change(values: Float64Array, n: int = 1) -> Float64Array:
    return np.asarray(np.log(values / back(values, n)))


def ewm(values: Float64Array, n: int) -> Float64Array:
    return pl.Series(values).ewm_mean(span=n, adjust=False).to_numpy()


def volatility(n: int) -> Float64Array:
    return np.concatenate(([np.nan], np.sqrt(ewm(change(C)[1:] ** 2, n))))


def rolling_z(values: Float64Array, n: int) -> Float64Array:
    series = pl.Series(values)
    return ((series - series.rolling_mean(n)) / series.rolling_std(n, ddof=0)).to_numpy()


def rsi(n: int, _m: int) -> Float64Array:
    moves = windows(change(C), n)
    up, down = np.maximum(moves, 0).sum(1), np.maximum(-moves, 0).sum(1)
    return np.asarray((up - down) / (up + down))


def garman_klass(n: int, _m: int) -> Float64Array:
    each = np.log(H / L) ** 2 / 2 - (2 * LN2 - 1) * np.log(C / O) ** 2
    return np.asarray(np.sqrt(np.maximum(0, pl.Series(each).rolling_mean(n).to_numpy())))


def true_range(n: int, _m: int) -> Float64Array:
    before = back(C, 1)
    spans = np.maximum.reduce([H - L, np.abs(H - before), np.abs(L - before)]) / C
    return windows(spans, n).mean(1)


def range_position(n: int, _m: int) -> Float64Array:
    top, bottom = pl.Series(H).rolling_max(n).to_numpy(), pl.Series(L).rolling_min(n).to_numpy()
    return (C - bottom) / (top - bottom)


def share(part: Float64Array, whole: Float64Array) -> Callable[[int, int], Float64Array]:
    return lambda n, m: (pl.Series(part).rolling_sum(n) / pl.Series(whole).rolling_sum(n)).to_numpy()


def volume_ratio(n: int, _m: int) -> Float64Array:
    return np.asarray(np.log((1 + V / pl.Series(V).rolling_mean(n).to_numpy()) / 2))


def relative(n: int, _m: int) -> Float64Array:
    return back(change(C, n), 1) - change(K, n)


def beta(n: int, _m: int) -> Float64Array:
    x, y = windows(change(K), n), windows(back(change(C), 1), n)
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    return (x * y).sum(1) / (x * x).sum(1)


def correlation(n: int, _m: int) -> Float64Array:
    x, y = windows(change(K), n), windows(back(change(C), 1), n)
    return np.array([np.corrcoef(a, b)[0, 1] if np.isfinite(a).all() else np.nan for a, b in zip(x, y, strict=True)])


ORACLES: dict[Operator, Callable[[int, int], Float64Array]] = {
    Operator.EMA: lambda n, m: ewm(C, n),
    Operator.ZSCORE: lambda n, m: rolling_z(C, n),
    Operator.VOLATILITY: lambda n, m: volatility(n),
    Operator.MOMENTUM: lambda n, m: change(C, n),
    Operator.EMA_GAP: lambda n, m: np.log(ewm(C, n)) - np.log(ewm(C, m)),
    Operator.SCALED_RETURN: lambda n, m: change(C, n) / volatility(m) / np.sqrt(n),
    Operator.RSI: rsi,
    Operator.VOLATILITY_RATIO: lambda n, m: np.log(volatility(n) / volatility(m)),
    Operator.PARKINSON: lambda n, m: np.sqrt(pl.Series(np.log(H / L) ** 2).rolling_mean(n).to_numpy() / (4 * LN2)),
    Operator.GARMAN_KLASS: garman_klass,
    Operator.TRUE_RANGE: true_range,
    Operator.RANGE_POSITION: range_position,
    Operator.BODY: share(C - O, H - L),
    Operator.WICKS: share((H - np.maximum(O, C)) - (np.minimum(O, C) - L), H - L),
    Operator.VOLUME_RATIO: volume_ratio,
    Operator.VOLUME_ZSCORE: lambda n, m: rolling_z(V, n),
    Operator.SIGNED_VOLUME: share(V * np.sign(C - O), V),
    Operator.LEADER_RETURN: lambda n, m: change(K, n),
    Operator.RELATIVE_MOMENTUM: relative,
    Operator.LEADER_BETA: beta,
    Operator.LEADER_CORRELATION: correlation,
}
TWO = {Operator.EMA_GAP, Operator.SCALED_RETURN, Operator.VOLATILITY_RATIO}


@pytest.mark.parametrize(("n", "m"), [(2, 3), (5, 24), (24, 96), (96, 97)])
@pytest.mark.parametrize("operator", list(ORACLES))
def test_an_operator_is_as_polars_and_numpy_have_it(operator: Operator, n: int, m: int) -> None:
    one = feature(operator, n, m if operator in TWO else 0)
    ours, theirs = FeatureSet((one,)).batch(ROWS)[:, 0], ORACLES[operator](n, m)
    ready = ~np.isnan(ours)
    assert ready.sum() >= len(ROWS) - one.warmup_bars - 2
    assert np.abs(ours[ready] - theirs[ready]).max() <= TOLERANCE


@pytest.mark.parametrize("window", [1, 60])
@pytest.mark.parametrize("operator", [Operator.EMA, Operator.VOLATILITY, Operator.MOMENTUM, Operator.PARKINSON, Operator.BODY])
def test_short_and_odd_windows_agree_too(operator: Operator, window: int) -> None:
    ours = FeatureSet((feature(operator, window),)).batch(ROWS)[:, 0]
    ready = ~np.isnan(ours)
    assert np.abs(ours[ready] - ORACLES[operator](window, 0)[ready]).max() <= TOLERANCE


def test_funding_is_handed_on() -> None:
    assert (FeatureSet((feature(Operator.FUNDING_RATE),)).batch(ROWS)[:, 0] == ROWS[:, FUNDING_RATE]).all()


@pytest.mark.parametrize("hours", [1, 4, 8])
def test_hours_to_the_next_settlement_as_calendars_have_it(hours: int) -> None:
    ours = FeatureSet((feature(Operator.FUNDING_HOURS, hours),)).batch(ROWS)[:, 0]
    times = pl.from_epoch(pl.Series(S.astype(np.int64)), time_unit="s")
    ahead = (times.dt.truncate(f"{hours}h").dt.offset_by(f"{hours}h") - times).dt.total_seconds().to_numpy() / 3_600
    assert np.abs(ours - ahead).max() <= TOLERANCE
    assert ours.min() > 0
    assert ours.max() == hours


def test_the_clock_is_as_calendars_have_it() -> None:
    names = (Operator.DAY_SIN, Operator.DAY_COS, Operator.WEEK_SIN, Operator.WEEK_COS)
    ours = FeatureSet(tuple(feature(o, name=o.name) for o in names)).batch(ROWS)
    times = pl.from_epoch(pl.Series(S.astype(np.int64)), time_unit="s")
    day = (times.dt.hour().cast(pl.Int64) * 3_600 + times.dt.minute().cast(pl.Int64) * 60).to_numpy() / 86_400
    week = (times.dt.weekday().cast(pl.Int64).to_numpy() - 1 + day) / 7
    theirs = np.column_stack([wave(2 * np.pi * part) for part in (day, week) for wave in (np.sin, np.cos)])
    assert np.abs(ours - theirs).max() <= TOLERANCE


def test_every_operator_has_an_oracle() -> None:
    clock = {Operator.FUNDING_HOURS, Operator.DAY_SIN, Operator.DAY_COS, Operator.WEEK_SIN, Operator.WEEK_COS}
    assert {*ORACLES, *clock, Operator.FUNDING_RATE, Operator.FUNDING_ZSCORE} == set(Operator)
