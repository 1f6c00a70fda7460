"""From a frozen data set to rows a model learns from: features known at a bar's close, and what came after.

Rules: features come from `FeatureSet.batch`, the engine's own code; the label starts at the NEXT bar's open. A row without label is
dropped and counted, by reason; so is one whose both barriers lie inside one bar, and one whose features still warm up. What may stay
unknown (funding, the leader) stays NaN. Rows are ordered by time, then instrument.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from kedge.domain.errors import InvalidInput
from kedge.domain.instrument import InstrumentId
from kedge.learning.dataset import Dataset, Part
from kedge.learning.feature_rows import BoolArray, Closes, Float64Array, Int64Array, closes_of, resets_of, rows_of
from kedge.learning.features import FeatureSet
from kedge.learning.labels import LABELLED, Outcome, triple_barrier
from kedge.learning.model import FeatureSetSpec, LabelSpec
from kedge.learning.weights import average_uniqueness

WARMING_UP: Final = "WARMING_UP"


class TrainingData(NamedTuple):
    """Rows to learn from, ordered by time, then instrument; arrays of shape (n,), `x` of shape (n, n_features), C-contiguous.

    Attributes
    ----------
    x : float64
        Features as the engine would have them; NaN where an optional input is unknown.
    y : float64
        1.0 for a rise, 0.0 for a fall, by the label.
    weight : float64
        Average uniqueness of the label within its instrument, in (0, 1].
    ts_ns : int64
        Close of the signal's bar.
    t0_ns, t1_ns : int64
        Opening of the entry's bar, close of the bar in which the label ended.
    return_frac : float64
        From the entry to where the label ended, before costs.
    barrier_frac : float64
        Distance of each barrier, as a fraction of the entry's price.
    instrument_index : int64
        Into `instruments`.
    dropped : dict of str to int
        Bars without a row, by reason: `WARMING_UP` (features), and the names of `Outcome`.
    ambiguous : int
        Bars dropped because both barriers lay inside one bar (also in `dropped`).
    """

    x: Float64Array
    y: Float64Array
    weight: Float64Array
    t0_ns: Int64Array
    t1_ns: Int64Array
    ts_ns: Int64Array
    instrument_index: Int64Array
    return_frac: Float64Array
    barrier_frac: Float64Array
    instruments: tuple[InstrumentId, ...]
    feature_names: tuple[str, ...]
    dropped: dict[str, int]
    ambiguous: int

    def __len__(self) -> int:
        return len(self.y)


def build(dataset: Dataset, feature_set: FeatureSetSpec, label: LabelSpec) -> TrainingData:
    """Features, labels and weights of every bar that has all three.

    Raises
    ------
    InvalidInput
        The leader that features name is not in the data set, or no bar has a label.
    """
    features = FeatureSet(feature_set.features)
    leader = _leader(dataset, feature_set.name, features.leader)
    dropped: dict[str, int] = {}
    pieces = [_rows(part, n, features, label, dataset.interval_ns, leader, dropped) for n, part in enumerate(dataset.parts)]
    columns = [np.concatenate(column) for column in zip(*pieces, strict=True)]
    if not len(columns[1]):
        raise InvalidInput(
            f"no bar of {dataset.rows} has features and a label",
            why=", ".join(f"{reason} {count}" for reason, count in sorted(dropped.items())),
            fix="use more bars, a shorter horizon or shorter feature windows",
        )
    order = np.lexsort((columns[6], columns[5]))
    x, y, weight, t0_ns, t1_ns, ts_ns, instrument, returns, barriers = (np.ascontiguousarray(column[order]) for column in columns)
    return TrainingData(
        x=x,
        y=y,
        weight=weight,
        t0_ns=t0_ns,
        t1_ns=t1_ns,
        ts_ns=ts_ns,
        instrument_index=instrument,
        return_frac=returns,
        barrier_frac=barriers,
        instruments=dataset.instruments,
        feature_names=tuple(feature.name for feature in feature_set.features),
        dropped=dict(sorted(dropped.items())),
        ambiguous=dropped.get(Outcome.AMBIGUOUS.name, 0),
    )


def _leader(dataset: Dataset, set_name: str, leader: InstrumentId) -> Closes | None:
    if not leader:
        return None
    for part in dataset.parts:
        if part.instrument_id == leader:
            return closes_of(part.records, part.bars)
    raise InvalidInput(
        f"features of {set_name!r} follow {leader}",
        why=f"the data set holds {', '.join(dataset.instruments)}",
        fix=f"add the bars of {leader}, or name a leader that is there",
    )


def _rows(
    part: Part, index: int, features: FeatureSet, label: LabelSpec, interval_ns: int, leader: Closes | None, dropped: dict[str, int]
) -> tuple[Float64Array | Int64Array, ...]:
    """One instrument's columns, in the order of `TrainingData`."""
    bars = part.bars
    rows = rows_of(part.records, bars, interval_ns=interval_ns, funding=part.fundings, leader=leader)
    resets = resets_of(bars, interval_ns=interval_ns)
    x = features.batch(rows, resets)
    required = [not feature.optional for feature in features.features]  # the others may be unknown for want of their input
    labels = triple_barrier(rows, resets, _holes(part), label)
    warm = ~np.isnan(x[:, required]).any(axis=1)
    labelled = np.isin(labels.outcome, LABELLED)
    for reason, bars_of in (
        (WARMING_UP, ~warm),
        *((outcome.name, warm & (labels.outcome == outcome)) for outcome in Outcome if outcome not in LABELLED),
    ):
        if bars_of.any():
            dropped[reason] = dropped.get(reason, 0) + int(bars_of.sum())
    at = np.flatnonzero(warm & labelled)
    last = labels.last[at]
    return (
        x[at],
        (labels.label[at] > 0).astype(np.float64),
        average_uniqueness(at + 1, last, len(bars)),
        bars.open_ts_ns[at + 1],
        bars.close_ts_ns[last],
        bars.close_ts_ns[at],
        np.full(len(at), index, np.int64),
        labels.return_frac[at],
        labels.barrier_frac[at],
    )


def _holes(part: Part) -> BoolArray:
    holes = np.zeros(len(part.bars), np.bool_)
    holes[1:] = part.bars.open_ts_ns[1:] != part.bars.close_ts_ns[:-1]
    return holes
