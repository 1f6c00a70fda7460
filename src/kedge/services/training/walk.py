"""Walk-forward: learn from the past, score the next block, move on; the scores are of rows the learner never saw."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from kedge.domain.errors import InvalidInput
from kedge.learning.calibration import NONE
from kedge.learning.evaluation import Metrics, evaluate
from kedge.learning.features import Float64Array, Int64Array
from kedge.learning.scorer import Calibrator
from kedge.learning.splits import Fold, walk_forward
from kedge.learning.training_data import TrainingData
from kedge.services.training.fits import fit
from kedge.services.training.settings import TrainSettings


class FoldResult(NamedTuple):
    """One fold: its split, and how the learner did on the test block (raw probabilities, not calibrated)."""

    fold: Fold
    metrics: Metrics


class OutOfFold(NamedTuple):
    """Scores of every row that was tested, in the order of the folds.

    Attributes
    ----------
    rows : int64 array, shape (n,)
        Their row numbers in the training data.
    scores : float64 array, shape (n,)
        Raw scores (log odds).
    pooled : Metrics
        Over all of them.
    """

    rows: Int64Array
    scores: Float64Array
    folds: tuple[FoldResult, ...]
    pooled: Metrics


class Announces(Protocol):
    """Told which step begins."""

    def begin(self, name: str, words: str) -> None: ...


def walk(kind: str, data: TrainingData, interval_ns: int, settings: TrainSettings, steps: Announces) -> OutOfFold:
    """Fit one learner per fold and score its test block.

    Raises
    ------
    InvalidInput
        A fold is left without rows, or with one class to learn from or to be tested on.
    """
    folds = walk_forward(data.t0_ns, data.t1_ns, folds=settings.folds, embargo_ns=settings.embargo_bars * interval_ns)
    plain = Calibrator(NONE).batch
    results, scores = [], []
    for number, fold in enumerate(folds, 1):
        steps.begin(f"{kind} folds", f"{kind}: fold {number} of {len(folds)}, {len(fold.train):,} rows")
        check_fold(data, fold, number)
        fitted = fit(kind, data.x[fold.train], data.y[fold.train], data.weight[fold.train], settings)
        scores.append(fitted.score(data.x[fold.test]))
        results.append(FoldResult(fold, _judge(plain, scores[-1], data, fold.test)))
    rows, joined = np.concatenate([fold.test for fold in folds]), np.concatenate(scores)
    return OutOfFold(rows, joined, tuple(results), _judge(plain, joined, data, rows))


def check_fold(data: TrainingData, fold: Fold, number: int) -> None:
    """Refuse a fold that has nothing to tell apart."""
    for words, rows in (("learn from", fold.train), ("test on", fold.test)):
        rises = int(data.y[rows].sum())
        if not 0 < rises < len(rows):
            raise InvalidInput(
                f"fold {number} has {rises} rises among {len(rows)} rows to {words}",
                why="both outcomes must occur",
                fix="use more data or fewer folds",
            )


def _judge(plain: Callable[[Float64Array], Float64Array], scores: Float64Array, data: TrainingData, rows: Int64Array) -> Metrics:
    return evaluate(plain(scores), data.y[rows], data.weight[rows])
