"""The record of a training: figures as text, the code and machine that made them, and what became of the data."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

import msgspec

from kedge.domain.units import NS_PER_MS
from kedge.learning.calibration import CalibrationChoice
from kedge.learning.dataset import Dataset
from kedge.learning.evaluation import Metrics
from kedge.learning.model import Model
from kedge.learning.training_data import TrainingData
from kedge.learning.training_record import LOGISTIC, Figures, FoldFigures, TrainingRecord
from kedge.market.intervals import interval_text, utc_text
from kedge.ops.build import code_sha256, engine_version, git_sha
from kedge.services.training.environment import environment
from kedge.services.training.settings import TrainSettings
from kedge.services.training.walk import FoldResult, OutOfFold


def record_of(
    model: Model,
    model_sha256: str,
    settings: TrainSettings,
    data: TrainingData,
    dataset: Dataset,
    walked: Mapping[str, OutOfFold],
    choice: CalibrationChoice,
    without_skill: bool,
    seconds: Mapping[str, float],
    *,
    now_ns: Callable[[], int] = time.time_ns,
) -> TrainingRecord:
    """Everything about a training that is not in its model; commit, code and environment are found out here."""
    commit = git_sha()
    chosen, baseline = walked[settings.kind], walked[LOGISTIC]
    return TrainingRecord(
        name=model.name,
        model_sha256=model_sha256,
        dataset_sha256=model.dataset_sha256,
        feature_set_sha256=model.feature_set_sha256,
        settings_sha256=model.settings_sha256,
        settings=msgspec.to_builtins(settings),
        seed=settings.seed,
        kind=settings.kind,
        commit=commit or "",
        commit_known=commit is not None,
        code_sha256=code_sha256(),
        engine_version=engine_version(),
        environment=environment(),
        rows=len(data),
        effective_rows=f"{float(data.weight.sum()):.1f}",
        figures=figures_of(chosen.pooled),
        baseline=figures_of(baseline.pooled),
        folds=tuple(_fold(one, other) for one, other in zip(chosen.folds, baseline.folds, strict=True)),
        calibration=_calibration(choice, without_skill),
        data=_data(data, dataset),
        seconds={name: f"{value:.3f}" for name, value in seconds.items()},
        trained_ts_ns=now_ns(),
    )


def figures_of(metrics: Metrics) -> Figures:
    """Figures as decimal text; one that is not a number is left out."""
    found: Figures = {}
    for name, value in msgspec.structs.asdict(metrics).items():
        if isinstance(value, int):
            found[name] = str(value)
        elif math.isfinite(value):
            found[name] = f"{value:.6f}"
    return found


def _fold(chosen: FoldResult, baseline: FoldResult) -> FoldFigures:
    fold = chosen.fold
    return FoldFigures(
        train_rows=len(fold.train),
        test_rows=len(fold.test),
        test_from_ns=fold.test_from_ns,
        test_to_ns=fold.test_to_ns,
        figures=figures_of(chosen.metrics),
        baseline=figures_of(baseline.metrics),
    )


def _calibration(choice: CalibrationChoice, without_skill: bool) -> Figures:
    briers = {f"brier {method}": f"{value:.6f}" for method, value in choice.briers.items() if math.isfinite(value)}
    return {
        "method": choice.calibration.method,
        **briers,
        "brier base rate": f"{choice.brier_base:.6f}",
        "rows fitted": str(choice.rows_fitted),
        "rows judged": str(choice.rows_judged),
        "flat": "yes: out-of-fold scores say nothing about outcomes" if without_skill else "no",
        "why": choice.why,
    }


def _data(data: TrainingData, dataset: Dataset) -> dict[str, str]:
    interval = interval_text(dataset.interval_ns // NS_PER_MS)
    settlements = sum(len(part.fundings.ts_ns) for part in dataset.parts)
    return {
        "instruments": ", ".join(dataset.instruments),
        "interval": interval,
        "bars": str(dataset.rows),
        "first": utc_text(dataset.first_ts_ns // NS_PER_MS),
        "last": utc_text(dataset.last_ts_ns // NS_PER_MS),
        "funding settlements": str(settlements),
        "sources": ", ".join(source.label for part in dataset.parts for source in (*part.sources, *part.funding_sources)),
        **{f"dropped {reason}": str(count) for reason, count in data.dropped.items()},
    }
