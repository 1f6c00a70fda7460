"""One training, free of stores: features and labels, purged walk-forward, calibration, thresholds, the final fit.

Rules: figures are of rows that the model they judge never saw; both learners see the same folds; nothing depends on the number of
threads, on the clock or on anything but data, settings and code. What the clock says stands in the record, never in the model.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

from kedge.learning.calibration import NONE, CalibrationChoice, fit_calibration
from kedge.learning.dataset import Dataset, Frozen, freeze
from kedge.learning.feature_sets import feature_set, feature_set_sha256
from kedge.learning.model import FeatureSetSpec, Model, model_sha256
from kedge.learning.scorer import Calibrator
from kedge.learning.training_data import TrainingData, build
from kedge.learning.training_record import LOGISTIC, TrainingRecord
from kedge.services.training.checks import check_dataset, check_rows, check_settings
from kedge.services.training.fits import Fit, fit
from kedge.services.training.policy import feature_domain, is_flat, policy_of
from kedge.services.training.record import record_of
from kedge.services.training.settings import TrainSettings, settings_sha256
from kedge.services.training.walk import OutOfFold, walk
from kedge.storage.model_names import checked_name

Progress = Callable[[str], None]
"""Told what begins now, in a few words."""


class Trained(NamedTuple):
    """A model, the record of its training, and the frozen data set."""

    model: Model
    model_sha256: str
    record: TrainingRecord
    frozen: Frozen


class Steps:
    """Announces each step and keeps the wall time it took, by name."""

    def __init__(self, progress: Progress, clock: Callable[[], float] = time.perf_counter) -> None:
        self._progress, self._clock = progress, clock
        self._name, self._at = "", 0.0
        self.seconds: dict[str, float] = {}

    def begin(self, name: str, words: str) -> None:
        """End the step before, begin this one."""
        self.end()
        self._name, self._at = name, self._clock()
        self._progress(words)

    def end(self) -> None:
        """End the last step."""
        if self._name:
            self.seconds[self._name] = self.seconds.get(self._name, 0.0) + self._clock() - self._at
        self._name = ""


def train(dataset: Dataset, settings: TrainSettings, *, name: str, progress: Progress = lambda _: None) -> Trained:
    """Train a model on all of a data set; cut it first with `Dataset.take`.

    Raises
    ------
    InvalidInput
        Too few rows, labels of one class only, an unknown feature set or leader.
    """
    refuse_early(dataset, settings, name)
    threads: Any = import_module("threadpoolctl")  # scikit-learn brings it; it has no types
    with threads.threadpool_limits(limits=1):  # a sum split over threads has other last bits
        return _train(dataset, settings, name, Steps(progress))


def refuse_early(dataset: Dataset, settings: TrainSettings, name: str) -> None:
    """Refuse at once what can be seen to be wrong without training.

    Raises
    ------
    InvalidInput
        A name, setting or leader that cannot be.
    NotFound
        No such feature set.
    """
    checked_name(name)
    check_settings(settings)
    check_dataset(dataset, settings)
    feature_set(settings.features, settings.leader)


def _train(dataset: Dataset, settings: TrainSettings, name: str, steps: Steps) -> Trained:
    steps.begin("freeze", f"freezing {dataset.rows:,} bars of {len(dataset.parts)} instruments")
    frozen = freeze(dataset)
    steps.begin("features", f"features {settings.features} and labels")
    spec = feature_set(settings.features, settings.leader)
    data = build(dataset, spec, settings.label)
    check_rows(data, settings)
    walked: dict[str, OutOfFold] = {
        kind: walk(kind, data, dataset.interval_ns, settings, steps) for kind in dict.fromkeys((settings.kind, LOGISTIC))
    }
    steps.begin("calibration", "calibrating on out-of-fold scores")
    chosen = walked[settings.kind]
    choice, without_skill = _calibrate(data, chosen, settings)
    steps.begin("final fit", f"final fit of {settings.kind} on {len(data):,} rows")
    final = fit(settings.kind, data.x, data.y, data.weight, settings)
    model = _model(dataset, frozen, spec, settings, name, data, choice, chosen, final)
    steps.end()
    sha256 = model_sha256(model)
    record = record_of(model, sha256, settings, data, dataset, walked, choice, without_skill, steps.seconds)
    return Trained(model, sha256, record, frozen)


def _calibrate(data: TrainingData, walked: OutOfFold, settings: TrainSettings) -> tuple[CalibrationChoice, bool]:
    """The chosen calibration, and whether it found nothing in the scores (where the settings say so, the raw ones are used then)."""
    rows = walked.rows
    choice = fit_calibration(walked.scores, data.y[rows], data.weight[rows], data.t0_ns[rows], data.t1_ns[rows])
    flat = is_flat(Calibrator(choice.calibration).batch(walked.scores))
    if flat and settings.trade_without_skill:
        why = f"{choice.why}; it says one number for all scores, and the settings trade without skill: raw probabilities are used"
        return choice._replace(calibration=NONE, why=why), True
    return choice, flat


def _model(
    dataset: Dataset,
    frozen: Frozen,
    spec: FeatureSetSpec,
    settings: TrainSettings,
    name: str,
    data: TrainingData,
    choice: CalibrationChoice,
    walked: OutOfFold,
    final: Fit,
) -> Model:
    low, high = feature_domain(data.x, settings.domain_quantile)
    return Model(
        name=name,
        feature_set=spec,
        feature_set_sha256=feature_set_sha256(spec),
        label=settings.label,
        policy=policy_of(Calibrator(choice.calibration).batch(walked.scores), settings),
        calibration=choice.calibration,
        interval_ns=dataset.interval_ns,
        barrier_frac=float(data.barrier_frac.mean()),
        domain_low=low,
        domain_high=high,
        dataset_sha256=frozen.sha256,
        settings_sha256=settings_sha256(settings),
        seed=settings.seed,
        trees=final.trees,
        logistic=final.logistic,
    )
