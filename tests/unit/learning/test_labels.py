"""Triple-barrier labels: the published vector, a slow twin, ambiguity, gaps, and no look past the signal for the barriers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from kedge.domain.errors import InvalidInput
from kedge.learning.feature import Feature
from kedge.learning.feature_rows import CLOSE, HIGH, LOW, OPEN, ROW_SIZE, VOLUME, Float64Array
from kedge.learning.features import FeatureSet
from kedge.learning.labels import Outcome, first_touch, label_bars, triple_barrier, volatility
from kedge.learning.model import LabelSpec
from kedge.learning.operators import Operator

PRICES = [100, 101, 100.5, 102.2, 103, 101, 99, 97.9, 98.5, 100, 101.5, 101.6, 101.4, 101.7, 101.5, 101.8]
VECTOR = [  # LABEL-TB: event, sign of the label at the vertical, touch, outcome, return
    (0, 1, 3, Outcome.UPPER, 0.02200000000000002),
    (3, -1, 6, Outcome.LOWER, -0.03131115459882583),
    (5, -1, 7, Outcome.LOWER, -0.03069306930693061),
    (9, 1, 13, Outcome.VERTICAL, 0.017000000000000126),
    (10, 0, 14, Outcome.VERTICAL, 0.0),
]


def rows_from(ohlc: Any) -> Float64Array:
    prices = np.asarray(ohlc, np.float64)
    rows = np.full((len(prices), ROW_SIZE), np.nan)
    rows[:, [OPEN, HIGH, LOW, CLOSE]] = prices
    rows[:, VOLUME] = 1.0
    rows[:, VOLUME + 1] = np.arange(len(prices)) * 60
    return rows


def walk(seed: int, bars: int, sigma: float = 0.01) -> Float64Array:
    rng = np.random.default_rng(seed)
    closes = 100.0 * np.exp(np.cumsum(rng.normal(0, sigma, bars)))
    opens = np.concatenate(([100.0], closes[:-1])) * np.exp(rng.normal(0, sigma / 5, bars))
    high = np.maximum(opens, closes) * np.exp(np.abs(rng.normal(0, sigma / 2, bars)))
    low = np.minimum(opens, closes) * np.exp(-np.abs(rng.normal(0, sigma / 2, bars)))
    return rows_from(np.stack([opens, high, low, closes], axis=1))


def plain(count: int) -> Any:
    return np.zeros(count, np.bool_)


@pytest.mark.parametrize(("event", "sign", "touch", "outcome", "change"), VECTOR)
def test_first_touch_on_closes_is_the_published_vector(event: int, sign: int, touch: int, outcome: int, change: float) -> None:
    closes = np.repeat(
        np.asarray(PRICES, np.float64)[:, None], 4, axis=1
    )  # bars that are their close: the market gaps from one to the next
    entry = closes[event, 0]
    found, last, price = first_touch(closes, event + 1, event + 4, entry * 0.98, entry * 1.02)
    assert (found, last) == (outcome, touch)
    assert price / entry - 1.0 == pytest.approx(change, abs=1e-12)
    assert np.sign(round(price / entry - 1.0, 12)) == sign


@pytest.mark.parametrize(
    ("bar", "outcome", "price"),
    [
        ((100, 102, 99, 100), Outcome.UPPER, 102.0),
        ((100, 101, 98, 100), Outcome.LOWER, 98.0),
        ((100, 102, 98, 100), Outcome.AMBIGUOUS, 98.0),
        ((103, 104, 97, 100), Outcome.UPPER, 103.0),
        ((97, 103, 96, 100), Outcome.LOWER, 97.0),
        ((100, 101.9, 98.1, 101), Outcome.VERTICAL, 101.0),
    ],
)
def test_one_bar_touches_gaps_past_or_does_both(bar: tuple[float, ...], outcome: Outcome, price: float) -> None:
    assert first_touch(np.array([bar], np.float64), 0, 0, 98.0, 102.0) == (outcome, 0, price)


def slow_label(rows: Float64Array, at: int, width: float, horizon: int) -> tuple[int, int, float]:
    """The rule, read aloud: (label, last bar, return)."""
    entry = rows[at + 1, OPEN]
    for k in range(at + 1, at + 1 + horizon):
        up, down = rows[k, HIGH] >= entry * (1 + width), rows[k, LOW] <= entry * (1 - width)
        past_up, past_down = rows[k, OPEN] >= entry * (1 + width), rows[k, OPEN] <= entry * (1 - width)
        if past_up or (up and not down):
            return 1, k, max(rows[k, OPEN], entry * (1 + width)) / entry - 1
        if past_down or down:
            return -1, k, min(rows[k, OPEN], entry * (1 - width)) / entry - 1
    change = rows[at + horizon, CLOSE] / entry - 1
    return int(np.sign(change)), at + horizon, change


@pytest.mark.parametrize(("horizon", "vols"), [(1, 0.5), (6, 1.0), (12, 2.5)])
def test_labels_of_a_walk_are_those_of_the_slow_rule(horizon: int, vols: float) -> None:
    rows = walk(3, 400)
    labels = triple_barrier(rows, plain(400), plain(400), LabelSpec(horizon_bars=horizon, barrier_vols=vols, volatility_bars=20))
    widths = vols * math.sqrt(horizon) * volatility(rows, plain(400), 20)
    for at in range(20, 400 - horizon):
        label, last, change = slow_label(rows, at, float(widths[at]), horizon)
        assert (labels.label[at], labels.last[at]) == (label, last)
        assert labels.return_frac[at] == pytest.approx(change, abs=1e-12)
    assert (labels.outcome[:20] == Outcome.NO_VOLATILITY).all()
    assert (labels.outcome[400 - horizon :] == Outcome.NO_FUTURE).all()
    assert (labels.label[labels.last < 0] == 0).all()
    assert np.isnan(labels.return_frac[labels.last < 0]).all()


def test_compiled_labels_equal_their_plain_twin_to_the_bit() -> None:
    rows = walk(5, 120)
    prices, widths, ends = np.ascontiguousarray(rows[:, :4]), np.full(120, 0.012), np.full(120, 119)
    widths[:3] = np.nan
    compiled, twin = np.empty((120, 3), np.int64), np.empty((120, 3), np.int64)
    returns, twin_returns = np.empty(120), np.empty(120)
    label_bars(prices, widths, ends, 8, compiled, returns)
    label: Any = label_bars
    label.py_func(prices, widths, ends, 8, twin, twin_returns)
    assert compiled.tobytes() == twin.tobytes()
    assert returns.tobytes() == twin_returns.tobytes()


def test_volatility_is_the_features_own_to_the_bit() -> None:
    rows = walk(1, 90)
    expected = FeatureSet((Feature("v", Operator.VOLATILITY, 10),)).batch(rows, plain(90))[:, 0]
    assert volatility(rows, plain(90), 10).tobytes() == expected.tobytes()


@pytest.mark.parametrize("at", [30, 60, 99])
def test_barriers_know_nothing_of_what_comes_after_the_signal(at: int) -> None:
    rows, spec = walk(8, 100), LabelSpec(horizon_bars=5, barrier_vols=1.0, volatility_bars=12)
    changed = rows.copy()
    changed[at + 1 :, :4] *= 1.7
    before, after = (triple_barrier(r, plain(100), plain(100), spec) for r in (rows, changed))
    assert before.barrier_frac[: at + 1].tobytes() == after.barrier_frac[: at + 1].tobytes()
    ended = before.last < at + 1
    ended &= before.last >= 0
    assert np.array_equal(before.label[ended], after.label[ended])


def test_the_entry_is_the_next_open_not_the_close_of_the_signal() -> None:
    bars = [(100, 101, 99, 100.0), (100, 101, 99, 101.0)] * 5
    bars += [(110, 110.5, 109.5, 110.0), (110, 110.5, 109.5, 109.9)]
    labels = triple_barrier(rows_from(bars), plain(12), plain(12), LabelSpec(horizon_bars=2, barrier_vols=5.0, volatility_bars=3))
    assert labels.outcome[9] == Outcome.VERTICAL
    assert labels.return_frac[9] == pytest.approx(109.9 / 110 - 1)
    assert labels.label[9] == -1


def test_no_label_spans_a_hole_however_short_or_leaves_the_data() -> None:
    rows, holes = walk(2, 60), plain(60)
    holes[40] = True
    labels = triple_barrier(rows, plain(60), holes, LabelSpec(horizon_bars=4, barrier_vols=0.01, volatility_bars=5))
    refused = np.flatnonzero(labels.outcome == Outcome.NO_FUTURE)
    assert refused.tolist() == [36, 37, 38, 39, 56, 57, 58, 59]


def test_volatility_starts_again_after_a_reset() -> None:
    rows, resets = walk(2, 60), plain(60)
    resets[30] = True
    labels = triple_barrier(rows, resets, plain(60), LabelSpec(horizon_bars=2, barrier_vols=1.0, volatility_bars=5))
    assert np.flatnonzero(labels.outcome == Outcome.NO_VOLATILITY).tolist() == [0, 1, 2, 3, 4, 30, 31, 32, 33, 34]


def test_both_barriers_in_one_bar_are_adverse_and_flagged() -> None:
    bars = [(100, 101, 99, 100.0), (100, 101, 99, 101.0)] * 5 + [(101, 150, 60, 101.0), (101, 102, 100, 101.0)]
    labels = triple_barrier(rows_from(bars), plain(12), plain(12), LabelSpec(horizon_bars=2, barrier_vols=1.0, volatility_bars=3))
    assert labels.outcome[9] == Outcome.AMBIGUOUS
    assert labels.label[9] == -1
    assert labels.return_frac[9] < 0


def test_a_price_that_comes_back_to_the_entry_has_no_label_and_a_still_market_no_barrier() -> None:
    bars = [(100, 101, 99, 100.0), (100, 101, 99, 101.0)] * 5 + [(101, 101, 101, 101.0), (101, 101, 101, 101.0)]
    spec = LabelSpec(horizon_bars=2, barrier_vols=1.0, volatility_bars=3)
    labels = triple_barrier(rows_from(bars), plain(12), plain(12), spec)
    assert (labels.outcome[9], labels.label[9], labels.last[9]) == (Outcome.FLAT, 0, 11)
    still = triple_barrier(rows_from([(100, 100, 100, 100.0)] * 12), plain(12), plain(12), spec)
    assert (still.outcome == Outcome.NO_VOLATILITY).all()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"horizon_bars": 0}, "horizon_bars is 0"),
        ({"volatility_bars": 0}, "volatility_bars is 0"),
        ({"barrier_vols": 0.0}, "barrier_vols is 0.0"),
        ({"barrier_vols": math.nan}, "barrier_vols is nan"),
        ({"barrier_vols": math.inf}, "barrier_vols is inf"),
    ],
)
def test_a_label_that_means_nothing_is_refused(changes: dict[str, Any], told: str) -> None:
    spec = LabelSpec(**{"horizon_bars": 4, "barrier_vols": 1.0, "volatility_bars": 8, **changes})
    with pytest.raises(InvalidInput, match=told):
        triple_barrier(walk(1, 20), plain(20), plain(20), spec)
