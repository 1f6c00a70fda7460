"""Feature sets: batch against stream to the bit, no look at the future, warm-up, gaps, unknown inputs, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from kedge.domain.errors import InvalidInput
from kedge.learning.feature import Feature
from kedge.learning.feature_rows import CLOSE, FUNDING_RATE, FUNDING_TS_S, HIGH, LEADER_CLOSE, LOW, OPEN, ROW_SIZE, TS_S, VOLUME
from kedge.learning.features import FeatureSet, Float64Array, update_features
from kedge.learning.operators import OPERATORS, Operator

from .feature_examples import LEADER, every_operator, feature, rows

ROWS = rows()
ALL = FeatureSet(every_operator())
OPTIONAL = [n for n, one in enumerate(ALL.features) if one.optional]
NEEDED = [n for n, one in enumerate(ALL.features) if not one.optional]


def streamed(features: FeatureSet, given: Float64Array, resets: tuple[int, ...] = ()) -> Float64Array:
    """What an engine does: one call per bar on one memory."""
    state, out = np.zeros(features.state_size), np.full(len(features.features), np.nan)
    seen = np.empty((len(given), len(features.features)))
    for n, row in enumerate(given):
        if n in resets:
            state[:] = 0.0
        update_features(features.ops, state, out, row)
        seen[n] = out
    return seen


def test_batch_and_stream_are_equal_to_the_bit() -> None:
    assert ALL.batch(ROWS).tobytes() == streamed(ALL, ROWS).tobytes()


def test_batch_and_stream_start_again_at_the_same_bars() -> None:
    resets = np.zeros(len(ROWS), np.bool_)
    resets[[0, 60, 61, 150]] = True
    again = ALL.batch(ROWS, resets)
    assert again.tobytes() == streamed(ALL, ROWS, (0, 60, 61, 150)).tobytes()
    assert again[150:].tobytes() == ALL.batch(ROWS[150:]).tobytes()
    assert np.isnan(again[150, NEEDED]).any()


@pytest.mark.parametrize("at", [1, 21, 80, 199])
def test_the_future_changes_nothing_before(at: int) -> None:
    whole = ALL.batch(ROWS)
    other, shuffled = rows(seed=8), ROWS.copy()
    other[:at] = ROWS[:at]
    np.random.default_rng(1).shuffle(shuffled[at:])
    for changed in (other, shuffled, ROWS[:at]):
        assert ALL.batch(changed)[:at].tobytes() == whole[:at].tobytes()


@pytest.mark.parametrize("operator", [o for o in Operator if not OPERATORS[o].optional])
@pytest.mark.parametrize(("window", "second"), [(1, 2), (2, 3), (7, 9), (9, 40)])
def test_the_declared_warm_up_is_the_first_number(operator: Operator, window: int, second: int) -> None:
    takes = OPERATORS[operator].windows
    one = feature(operator, window if takes else 1, second if takes == 2 else 0)
    values = FeatureSet((one,)).batch(ROWS)[:, 0]
    assert np.isnan(values[: one.warmup_bars - 1]).all()
    assert np.isfinite(values[one.warmup_bars - 1 :]).all()


@pytest.mark.parametrize(
    "operator", [Operator.LEADER_RETURN, Operator.RELATIVE_MOMENTUM, Operator.LEADER_BETA, Operator.LEADER_CORRELATION]
)
@pytest.mark.parametrize("window", [2, 7])
def test_with_a_leader_known_from_the_start_the_warm_up_is_as_declared(operator: Operator, window: int) -> None:
    given, one = ROWS.copy(), feature(operator, window)
    given[:2, LEADER_CLOSE] = 50.0, 51.0
    values = FeatureSet((one,)).batch(given)[:, 0]
    assert np.isnan(values[: one.warmup_bars - 1]).all()
    assert np.isfinite(values[one.warmup_bars - 1 :]).all()


def test_a_set_is_warm_when_the_slowest_of_its_needed_features_is() -> None:
    assert ALL.warmup_bars == 12
    values = ALL.batch(ROWS)
    assert np.isnan(values[10, NEEDED]).any()
    assert np.isfinite(values[11:, NEEDED]).all()
    assert FeatureSet(()).warmup_bars == 0
    assert FeatureSet(()).batch(ROWS).shape == (200, 0)


def test_a_set_says_what_it_reads() -> None:
    assert (ALL.leader, ALL.uses_funding, ALL.closes_only) == (LEADER, True, False)
    rule = FeatureSet((Feature("fast", Operator.EMA, 3), Feature("z", Operator.ZSCORE, 4)))
    assert (rule.leader, rule.uses_funding, rule.closes_only) == ("", False, True)
    clock = FeatureSet((Feature("hours", Operator.FUNDING_HOURS, 8),))
    assert (clock.uses_funding, clock.closes_only) == (False, False)


@pytest.mark.parametrize("one", every_operator(), ids=lambda f: f.name)
def test_a_feature_reads_the_cells_that_it_declares_and_no_other(one: Feature) -> None:
    features = FeatureSet((one,))
    told = features.batch(ROWS)
    poisoned = np.full_like(ROWS, np.nan)
    poisoned[:, sorted(one.cells)] = ROWS[:, sorted(one.cells)]
    assert streamed(features, poisoned).tobytes() == told.tobytes()
    assert np.isfinite(told[-1]).all()


def test_operators_do_not_touch_each_others_memory() -> None:
    together = ALL.batch(ROWS)
    for n, one in enumerate(ALL.features):
        assert FeatureSet((one,)).batch(ROWS)[:, 0].tobytes() == np.ascontiguousarray(together[:, n]).tobytes()


@pytest.mark.parametrize("value", [3.3, 0.1, 1e-8, 69_420.7])
def test_a_market_that_stands_still_has_plain_values(value: float) -> None:
    still = np.empty((60, ROW_SIZE))
    still[:, [OPEN, HIGH, LOW, CLOSE, LEADER_CLOSE]] = value
    still[:, VOLUME] = 0.0
    still[:, TS_S] = ROWS[:60, TS_S]
    still[:, FUNDING_RATE], still[:, FUNDING_TS_S] = 1e-4, ROWS[:60, TS_S]
    last = dict(zip([f.name for f in ALL.features], ALL.batch(still)[-1].tolist(), strict=True))
    moving = {"ema", "ema_gap", "range_position", "funding_rate", "funding_hours", "leader_beta", "leader_correlation"}
    clock = {"day_sin", "day_cos", "week_sin", "week_cos"}
    assert {name: found for name, found in last.items() if name not in moving | clock and found != 0.0} == {}
    assert last["range_position"] == 0.5
    assert last["ema_gap"] == pytest.approx(0.0, abs=1e-15)
    assert np.isnan([last["leader_beta"], last["leader_correlation"]]).all()  # a leader that does not move has no beta


def test_unknown_funding_and_leader_stay_nan_and_harm_nothing_later() -> None:
    holed = ROWS.copy()
    holed[40:80, [FUNDING_RATE, FUNDING_TS_S, LEADER_CLOSE]] = np.nan
    values, whole = ALL.batch(holed), ALL.batch(ROWS)
    assert np.isnan(values[40:80][:, OPTIONAL]).all()
    assert values[:, NEEDED].tobytes() == whole[:, NEEDED].tobytes()
    exact = [n for n in OPTIONAL if ALL.features[n].operator is not Operator.FUNDING_ZSCORE]
    assert values[100:][:, exact].tobytes() == whole[100:][:, exact].tobytes()
    assert np.isfinite(values[-1, OPTIONAL]).all()


def test_a_rate_older_than_a_day_is_unknown() -> None:
    aged = ROWS[:120].copy()
    aged[:, FUNDING_RATE], aged[:, FUNDING_TS_S] = 1e-4, aged[0, TS_S]
    values = FeatureSet((feature(Operator.FUNDING_RATE), feature(Operator.FUNDING_ZSCORE, 1, name="z"))).batch(aged)
    assert (values[:97, 0] == 1e-4).all()
    assert (values[:97, 1] == 0.0).all()
    assert np.isnan(values[97:]).all()


def test_a_settlement_counts_once_however_many_bars_see_it() -> None:
    given = ROWS.copy()
    given[:, FUNDING_RATE] = (given[:, FUNDING_TS_S] // 28_800) % 7 * 1e-5
    values = FeatureSet((feature(Operator.FUNDING_ZSCORE, 3),)).batch(given)[:, 0]
    first = [int(np.flatnonzero(given[:, FUNDING_TS_S] == t)[0]) for t in np.unique(given[:, FUNDING_TS_S])]
    rates = given[first, FUNDING_RATE]
    assert np.isnan(values[: first[2]]).all()
    for k in range(2, len(first)):
        last = rates[k - 2 : k + 1]
        assert values[first[k]] == pytest.approx((last[-1] - last.mean()) / last.std(), abs=1e-9)


def test_pairs_with_an_unknown_leader_or_beside_a_hole_are_skipped() -> None:
    given = ROWS.copy()
    given[50, LEADER_CLOSE] = np.nan
    given[90:, TS_S] += 900 * 2
    beta = FeatureSet((feature(Operator.LEADER_BETA, 12),))
    values = beta.batch(given)[:, 0]
    assert np.isnan(values[50])
    assert np.isfinite(values[51])
    own, led = np.diff(np.log(given[:, CLOSE])), np.diff(np.log(given[:, LEADER_CLOSE]))
    pairs = [(led[k - 1], own[k - 2]) for k in range(2, 121) if k not in (50, 51, 90, 91)]
    x, y = np.array([p for p in pairs if np.isfinite(p[0])][-12:]).T
    assert values[120] == pytest.approx(np.cov(x, y, ddof=0)[0, 1] / x.var(), abs=1e-9)


@pytest.mark.parametrize("cell", [OPEN, HIGH, LOW, CLOSE, LEADER_CLOSE])
@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, -1.0, 1e31])
def test_prices_that_are_none_are_refused(cell: int, bad: float) -> None:
    given = ROWS.copy()
    given[3, cell] = bad
    if cell == LEADER_CLOSE and np.isnan(bad):
        assert np.isfinite(ALL.batch(given)[-1]).all()
        return
    with pytest.raises(InvalidInput, match="rows:"):
        ALL.batch(given)


@pytest.mark.parametrize(("cell", "bad"), [(VOLUME, -1.0), (VOLUME, np.nan), (TS_S, np.nan), (FUNDING_RATE, np.inf), (FUNDING_TS_S, -1.0)])
def test_other_cells_that_no_bar_has_are_refused(cell: int, bad: float) -> None:
    given = ROWS.copy()
    given[3, cell] = bad
    with pytest.raises(InvalidInput, match="rows:"):
        ALL.batch(given)


def test_rows_of_another_shape_are_refused() -> None:
    for given in (ROWS[:, :4], ROWS[:, 0], ROWS.astype(np.float32)):
        with pytest.raises(InvalidInput, match="rows of shape"):
            ALL.batch(given)
    with pytest.raises(InvalidInput, match="resets of"):
        ALL.batch(ROWS, np.zeros(3, np.bool_))


@pytest.mark.parametrize(("cell", "value"), [(HIGH, 1.0), (LOW, 1e6)])
def test_a_bar_whose_close_is_outside_its_range_is_refused(cell: int, value: float) -> None:
    given = ROWS.copy()
    given[5, cell] = value
    with pytest.raises(InvalidInput, match="outside"):
        ALL.batch(given)


def test_rows_in_another_memory_order_give_the_same() -> None:
    assert ALL.batch(np.asfortranarray(ROWS)).tobytes() == ALL.batch(ROWS).tobytes()


def test_names_differ() -> None:
    with pytest.raises(InvalidInput, match="names must differ"):
        FeatureSet((Feature("f", Operator.EMA, 2), Feature("f", Operator.EMA, 3)))


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (Feature("f", Operator.EMA, 0), "window is 0"),
        (Feature("f", Operator.EMA, 5_001), "window is 5001"),
        (Feature("f", Operator.DAY_SIN, 2), "window is 2"),
        (Feature("f", Operator.LEADER_BETA, 1, of="x"), "window is 1"),
        (Feature("f", Operator.EMA, 3, 4), "second window is 4"),
        (Feature("f", Operator.SCALED_RETURN, 3), "second window is 0"),
        (Feature("f", Operator.SCALED_RETURN, 3, 5_001), "second window is 5001"),
        (Feature("f", Operator.EMA_GAP, 5, 5), "the first must be the shorter"),
        (Feature("f", Operator.LEADER_RETURN, 5), "of is ''"),
        (Feature("f", Operator.EMA, 5, of="x"), "of is 'x'"),
    ],
)
def test_windows_and_leaders_that_an_operator_does_not_take_are_refused(bad: Feature, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        FeatureSet((bad,))


def test_a_set_has_one_leader() -> None:
    with pytest.raises(InvalidInput, match="led by x, y"):
        FeatureSet((Feature("a", Operator.LEADER_RETURN, 2, of="y"), Feature("b", Operator.LEADER_RETURN, 2, of="x")))
