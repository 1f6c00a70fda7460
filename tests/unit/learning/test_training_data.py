"""Rows to learn from: features of the close, labels of what came after, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.builders import AAA, BBB
from tests.unit.learning.dataset_builder import INTERVAL, dataset, grid_walk, part, without

from kedge.domain.errors import InvalidInput
from kedge.learning.dataset import NO_FUNDINGS, Dataset
from kedge.learning.feature import Feature
from kedge.learning.feature_rows import closes_of, resets_of, rows_of
from kedge.learning.features import FeatureSet
from kedge.learning.model import FeatureSetSpec, LabelSpec
from kedge.learning.operators import Operator
from kedge.learning.training_data import WARMING_UP, TrainingData, build
from kedge.learning.weights import average_uniqueness

FEATURES = FeatureSetSpec(
    name="few",
    version=1,
    features=(
        Feature("return_4", Operator.MOMENTUM, 4),
        Feature("zscore_20", Operator.ZSCORE, 20),
        Feature("funding", Operator.FUNDING_RATE),
        Feature("leader_return", Operator.LEADER_RETURN, 2, of=AAA),
    ),
)
LABEL = LabelSpec(horizon_bars=8, barrier_vols=1.0, volatility_bars=16)


def built(one: Dataset) -> TrainingData:
    return build(one, FEATURES, LABEL)


def test_every_bar_is_a_row_or_counted_by_its_reason() -> None:
    one = dataset()
    data = built(one)
    assert len(data) + sum(data.dropped.values()) == one.rows
    assert data.dropped[WARMING_UP] == 2 * 19
    assert data.dropped["NO_FUTURE"] == 2 * 8
    assert data.ambiguous == data.dropped.get("AMBIGUOUS", 0)
    assert data.feature_names == ("return_4", "zscore_20", "funding", "leader_return")
    assert (data.instruments, set(data.instrument_index.tolist())) == ((AAA, BBB), {0, 1})


def test_rows_are_ordered_by_time_then_instrument_and_c_contiguous() -> None:
    data = built(dataset())
    keys = list(zip(data.ts_ns.tolist(), data.instrument_index.tolist(), strict=True))
    assert keys == sorted(keys)
    assert data.x.flags.c_contiguous
    assert data.x.shape == (len(data), 4)


def test_features_are_those_of_the_batch_at_the_close_of_the_signal_to_the_bit() -> None:
    one = dataset()
    data = built(one)
    for n, held in enumerate(one.parts):
        leader = closes_of(one.parts[0].records, one.parts[0].bars)
        rows = rows_of(held.records, held.bars, interval_ns=INTERVAL, funding=held.fundings, leader=leader)
        batch = FeatureSet(FEATURES.features).batch(rows, resets_of(held.bars, interval_ns=INTERVAL))
        mine = data.instrument_index == n
        at = np.searchsorted(held.bars.close_ts_ns, data.ts_ns[mine])
        assert data.x[mine].tobytes() == np.ascontiguousarray(batch[at]).tobytes()


def test_the_label_starts_at_the_next_open_and_its_sign_is_that_of_the_way_gone() -> None:
    data = built(dataset())
    assert np.array_equal(data.t0_ns, data.ts_ns)
    assert bool((data.t1_ns > data.t0_ns).all())
    assert int((data.t1_ns - data.t0_ns).max()) <= LABEL.horizon_bars * INTERVAL
    assert np.array_equal(data.y, (data.return_frac > 0) * 1.0)
    assert bool((np.abs(data.return_frac) < 3 * data.barrier_frac + 0.01).all())


def test_weights_are_uniqueness_within_each_instrument() -> None:
    one = dataset()
    data = built(one)
    for n, held in enumerate(one.parts):
        mine = data.instrument_index == n
        first = np.searchsorted(held.bars.open_ts_ns, data.t0_ns[mine])
        last = np.searchsorted(held.bars.close_ts_ns, data.t1_ns[mine])
        assert np.array_equal(data.weight[mine], average_uniqueness(first, last, len(held.bars)))
    assert bool(((data.weight > 0) & (data.weight <= 1)).all())


def test_what_is_unknown_stays_nan_and_does_not_drop_the_row() -> None:
    unfunded = Dataset(INTERVAL, tuple(replace(one, fundings=NO_FUNDINGS) for one in dataset().parts))
    data = built(unfunded)
    assert len(data) == len(built(dataset()))
    assert bool(np.isnan(data.x[:, 2]).all())
    assert not np.isnan(data.x[:, :2]).any()


def test_a_long_hole_starts_features_again_and_no_label_spans_it() -> None:
    held = part(bars=without(grid_walk(1, 400), 200, 210))
    data = built(Dataset(INTERVAL, (held,)))
    hole = int(held.bars.close_ts_ns[199])
    assert not ((data.ts_ns < hole + 10 * INTERVAL) & (data.t1_ns > hole)).any()
    assert data.dropped[WARMING_UP] == 2 * 19
    assert data.dropped["NO_FUTURE"] == 2 * 8


def test_cutting_the_future_changes_no_row_whose_label_had_ended() -> None:
    whole, cut = built(dataset((AAA,), 400)), built(dataset((AAA,), 400).take(None, int(dataset().first_ts_ns) + 300 * INTERVAL))
    kept = len(cut)
    assert whole.x[:kept].tobytes() == cut.x.tobytes()
    assert whole.y[:kept].tobytes() == cut.y.tobytes()
    assert whole.t1_ns[:kept].tobytes() == cut.t1_ns.tobytes()


def test_the_same_data_gives_the_same_rows_to_the_bit() -> None:
    one, two = built(dataset()), built(dataset())
    assert all(a.tobytes() == b.tobytes() for a, b in zip(one[:9], two[:9], strict=True))


def test_features_without_a_leader_need_none() -> None:
    alone = FeatureSetSpec(name="alone", version=1, features=FEATURES.features[:3])
    assert np.array_equal(build(dataset((BBB,)), alone, LABEL).x, built(Dataset(INTERVAL, (part(), part(BBB)))).x[1::2, :3], equal_nan=True)


def test_a_leader_that_is_not_in_the_data_is_refused() -> None:
    with pytest.raises(InvalidInput, match=f"features of 'few' follow {AAA}"):
        built(dataset((BBB,)))


def test_data_without_one_row_is_refused_with_the_reasons() -> None:
    with pytest.raises(InvalidInput, match="WARMING_UP 19"):
        built(dataset((AAA,), 24))
