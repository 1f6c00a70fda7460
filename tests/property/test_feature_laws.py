"""Laws of features for any market: stream equals batch, nothing before a bar depends on what follows, hostile bars give no exception."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kedge.learning.feature import Feature
from kedge.learning.feature_rows import CLOSE, FUNDING_RATE, FUNDING_TS_S, HIGH, LEADER_CLOSE, LOW, OPEN, ROW_SIZE, TS_S, VOLUME
from kedge.learning.features import FeatureSet, Float64Array, update_features
from kedge.learning.operators import OPERATORS, Operator

LED = "test:AAAUSDT"
PRICES = st.floats(1e-8, 1e9, allow_nan=False)
MAYBE = st.one_of(st.just(float("nan")), PRICES)
RATES = st.one_of(st.just(float("nan")), st.floats(-1.0, 1.0, allow_nan=False))


@st.composite
def features(draw: st.DrawFn) -> FeatureSet:
    """Any few operators with any short windows."""
    made = []
    for n, operator in enumerate(draw(st.lists(st.sampled_from(list(Operator)), min_size=1, max_size=6))):
        traits = OPERATORS[operator]
        window = draw(st.integers(traits.least, 12)) if traits.windows else 1
        second = draw(st.integers(window + 1, 20)) if traits.windows == 2 else 0
        made.append(Feature(f"f{n}", operator, window, second, LED if "LEADER_CLOSE" in traits.inputs else ""))
    return FeatureSet(tuple(made))


@st.composite
def markets(draw: st.DrawFn) -> Float64Array:
    """Any legal bars, some equal to the one before, with unknown funding and leader here and there."""
    count = draw(st.integers(1, 40))
    rows = np.empty((count, ROW_SIZE))
    for t in range(count):
        if t and draw(st.booleans()):
            rows[t] = rows[t - 1]
        else:
            bar = draw(st.lists(PRICES, min_size=4, max_size=4).map(sorted))
            rows[t, [LOW, OPEN, CLOSE, HIGH]] = bar if draw(st.booleans()) else [bar[0], bar[2], bar[1], bar[3]]
            rows[t, VOLUME] = draw(st.one_of(st.just(0.0), st.floats(1e-8, 1e12)))
            rows[t, LEADER_CLOSE] = draw(MAYBE)
            rows[t, FUNDING_RATE] = draw(RATES)
        rows[t, TS_S] = 1_700_000_000 + 900 * t
        rows[t, FUNDING_TS_S] = np.nan if np.isnan(rows[t, FUNDING_RATE]) else rows[t, TS_S] // 3_600 * 3_600
    return rows


def stream(wanted: FeatureSet, rows: Float64Array) -> Float64Array:
    state, out = np.zeros(wanted.state_size), np.full(len(wanted.features), np.nan)
    seen = []
    for row in rows:
        update_features(wanted.ops, state, out, row)
        seen.append(out.copy())
    return np.array(seen)


@given(features(), markets(), st.data())
def test_stream_is_batch_and_the_future_changes_nothing(wanted: FeatureSet, rows: Float64Array, data: st.DataObject) -> None:
    whole = wanted.batch(rows)
    assert stream(wanted, rows).tobytes() == whole.tobytes()
    at = data.draw(st.integers(0, len(rows)))
    assert wanted.batch(rows[:at]).tobytes() == whole[:at].tobytes()
    shuffled = np.concatenate((rows[:at], rows[at:][data.draw(st.permutations(range(len(rows) - at)))]))
    assert wanted.batch(shuffled)[:at].tobytes() == whole[:at].tobytes()
    assert wanted.batch(np.concatenate((rows, rows)))[: len(rows)].tobytes() == whole.tobytes()


@given(features(), markets())
def test_needed_features_are_numbers_once_warm_and_nothing_is_ever_infinite(wanted: FeatureSet, rows: Float64Array) -> None:
    values = wanted.batch(rows)
    assert not np.isinf(values).any()
    needed = [n for n, feature in enumerate(wanted.features) if not feature.optional]
    assert np.isfinite(values[max(wanted.warmup_bars, 1) - 1 :, needed]).all()


@given(features(), markets())
def test_shares_and_positions_stay_inside_their_bounds(wanted: FeatureSet, rows: Float64Array) -> None:
    bounds = {Operator.RSI: 1.0, Operator.BODY: 1.0, Operator.WICKS: 1.0, Operator.SIGNED_VOLUME: 1.0, Operator.RANGE_POSITION: 1.0,
              Operator.LEADER_CORRELATION: 1.0, Operator.DAY_SIN: 1.0, Operator.WEEK_COS: 1.0}  # fmt: skip
    values = wanted.batch(rows)
    for n, feature in enumerate(wanted.features):
        known = values[~np.isnan(values[:, n]), n]
        if feature.operator in bounds:
            assert (np.abs(known) <= bounds[feature.operator] * (1 + 1e-12)).all()


@st.composite
def hostile_rows(draw: st.DrawFn) -> Float64Array:
    """Positive prices without sense: high below low, closes outside, sizes that no market has, times that jump."""
    wild = st.floats(5e-324, 1e308)
    rows = np.empty((draw(st.integers(1, 15)), ROW_SIZE))
    for row in rows:
        row[[OPEN, HIGH, LOW, CLOSE]] = draw(st.lists(wild, min_size=4, max_size=4))
        row[VOLUME] = draw(st.one_of(st.just(0.0), wild))
        row[[TS_S, FUNDING_RATE, FUNDING_TS_S, LEADER_CLOSE]] = draw(st.lists(st.floats(), min_size=4, max_size=4))
    return rows


@given(features(), hostile_rows())
def test_rows_without_sense_raise_nothing_in_the_stream(wanted: FeatureSet, hostile: Float64Array) -> None:
    """The engine's events are checked before; if such a bar slipped through, the answer may be NaN but nothing breaks."""
    with np.errstate(all="ignore"):
        seen = stream(wanted, hostile)
    assert seen.shape == (len(hostile), len(wanted.features))
