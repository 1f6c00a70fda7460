"""Features: two oracles written by others, batch against stream to the bit, and no look at the future.

Tolerance 1e-9 absolute: the oracles sum in another order (Polars in recurrences, NumPy pairwise), which moves the last bits of
prices near 100; z-scores and returns are of order one.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from kedge.domain.errors import InvalidInput
from kedge.learning.features import Feature, FeatureSet, Float64Array, Operator, update_features

CLOSES = 100.0 * np.exp(np.cumsum(np.random.default_rng(7).normal(0, 0.01, 160)))
ALL = FeatureSet(
    (
        Feature("ema", Operator.EMA, 12),
        Feature("z", Operator.ZSCORE, 20),
        Feature("vol", Operator.VOLATILITY, 9),
        Feature("mom", Operator.MOMENTUM, 5),
        Feature("ema1", Operator.EMA, 1),
    )
)
TOLERANCE = 1e-9


def one(operator: Operator, window: int) -> Float64Array:
    return FeatureSet((Feature("f", operator, window),)).batch(CLOSES)[:, 0]


def agree(ours: Float64Array, oracle: Float64Array) -> None:
    ready = ~np.isnan(ours)
    assert ready.any()
    assert np.abs(ours[ready] - oracle[ready]).max() <= TOLERANCE


@pytest.mark.parametrize("window", [1, 2, 12, 60])
def test_ema_as_polars_has_it(window: int) -> None:
    agree(one(Operator.EMA, window), pl.Series(CLOSES).ewm_mean(span=window, adjust=False).to_numpy())


@pytest.mark.parametrize("window", [2, 5, 48])
def test_zscore_as_polars_and_numpy_have_it(window: int) -> None:
    series = pl.Series(CLOSES)
    ours = one(Operator.ZSCORE, window)
    agree(ours, ((series - series.rolling_mean(window)) / series.rolling_std(window, ddof=0)).to_numpy())
    windows = np.lib.stride_tricks.sliding_window_view(CLOSES, window)
    agree(ours[window - 1 :], (CLOSES[window - 1 :] - windows.mean(1)) / windows.std(1))


@pytest.mark.parametrize("window", [1, 9, 30])
def test_volatility_as_polars_has_it(window: int) -> None:
    squares = pl.Series(np.diff(np.log(CLOSES)) ** 2).ewm_mean(span=window, adjust=False).sqrt().to_numpy()
    agree(one(Operator.VOLATILITY, window)[1:], squares)


@pytest.mark.parametrize("window", [1, 5, 100])
def test_momentum_as_numpy_has_it(window: int) -> None:
    agree(one(Operator.MOMENTUM, window)[window:], np.log(CLOSES[window:] / CLOSES[:-window]))


def test_batch_and_stream_are_equal_to_the_bit() -> None:
    batch = ALL.batch(CLOSES)
    state, out = np.zeros(ALL.state_size), np.full(5, np.nan)
    for n, close in enumerate(CLOSES):
        update_features(ALL.ops, state, out, float(close))
        assert out.tobytes() == batch[n].tobytes()


@pytest.mark.parametrize("at", [1, 21, 80, 159])
def test_the_future_changes_nothing_before(at: int) -> None:
    whole = ALL.batch(CLOSES)
    other, shuffled = CLOSES.copy(), CLOSES.copy()
    other[at:] = other[at:] * 3.0 + 1.0
    np.random.default_rng(1).shuffle(shuffled[at:])
    for changed in (other, shuffled, CLOSES[:at]):
        assert ALL.batch(changed)[:at].tobytes() == whole[:at].tobytes()


@pytest.mark.parametrize("operator", list(Operator))
@pytest.mark.parametrize("window", [1, 2, 7])
def test_the_declared_warm_up_is_the_first_number(operator: Operator, window: int) -> None:
    feature = Feature("f", operator, window)
    values = FeatureSet((feature,)).batch(CLOSES)[:, 0]
    assert np.isnan(values[: feature.warmup_bars - 1]).all()
    assert np.isfinite(values[feature.warmup_bars - 1 :]).all()


def test_a_set_is_warm_when_its_slowest_is() -> None:
    assert ALL.warmup_bars == 20
    rows = ALL.batch(CLOSES)
    assert np.isnan(rows[18]).any()
    assert np.isfinite(rows[19:]).all()
    assert FeatureSet(()).warmup_bars == 0


def test_equal_closes_are_no_distance_from_their_mean() -> None:
    values = FeatureSet((Feature("z", Operator.ZSCORE, 5), Feature("v", Operator.VOLATILITY, 5))).batch(np.full(20, 3.3))
    assert (values[10:] == 0.0).all()


def test_operators_do_not_touch_each_others_memory() -> None:
    together = ALL.batch(CLOSES)
    for n, feature in enumerate(ALL.features):
        assert FeatureSet((feature,)).batch(CLOSES)[:, 0].tobytes() == np.ascontiguousarray(together[:, n]).tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, -1.0])
def test_prices_that_are_none_are_refused(bad: float) -> None:
    with pytest.raises(InvalidInput, match="closes"):
        ALL.batch(np.array([1.0, bad, 2.0]))
    with pytest.raises(InvalidInput, match="closes"):
        ALL.batch(np.ones((2, 2)))


def test_names_differ() -> None:
    with pytest.raises(InvalidInput, match="names must differ"):
        FeatureSet((Feature("f", Operator.EMA, 2), Feature("f", Operator.EMA, 3)))
