"""The settings of a training: all that, with the data and the code, decides which model comes out."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from kedge.domain.canonical import content_hash
from kedge.domain.instrument import InstrumentId
from kedge.learning.model import LabelSpec


class BoostSettings(msgspec.Struct, frozen=True, kw_only=True):
    """LightGBM's parameters, small on purpose: noise is plentiful in returns, rows that say something new are not."""

    rounds: Annotated[int, msgspec.Meta(ge=1, le=200)] = 100
    learning_rate: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)] = 0.03
    leaves: Annotated[int, msgspec.Meta(ge=2, le=255)] = 15
    leaf_rows_min: Annotated[int, msgspec.Meta(ge=1)] = 300
    feature_frac: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)] = 0.7
    row_frac: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)] = 0.8
    l2: Annotated[float, msgspec.Meta(ge=0.0)] = 100.0
    bins: Annotated[int, msgspec.Meta(ge=2, le=255)] = 127


class TrainSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One training.

    Attributes
    ----------
    features : str
        A shipped feature set, such as `core`.
    leader : str
        The instrument that cross-instrument features follow; empty for none.
    folds : int
        Walk-forward folds; the first stretch of the data is learned from only.
    embargo_bars : int
        Bars left out between what a fold learned from and its test, beyond the labels' own overlap.
    l2 : float
        Penalty of the logistic model, on features scaled to unit deviation.
    long_quantile, short_quantile, exit_quantile : float
        Quantiles of the calibrated out-of-fold probabilities that become the policy's thresholds.
    domain_quantile : float
        The outer quantile on each side of a feature that counts as seen in training.
    trade_without_skill : bool
        What becomes of a model whose out-of-fold scores and outcomes have nothing to do with each other, so that its calibration is
        flat: off, its thresholds are beyond reach and it does not trade; on, it trades on its raw probabilities all the same, which is
        for demonstrations (a synthetic market holds nothing to be learnt) and is said in its record.
    """

    kind: Literal["trees", "logistic"] = "trees"
    features: str = "core"
    leader: str = ""
    label: LabelSpec = LabelSpec(horizon_bars=12, barrier_vols=1.0, volatility_bars=48)
    folds: Annotated[int, msgspec.Meta(ge=2, le=20)] = 5
    embargo_bars: Annotated[int, msgspec.Meta(ge=0)] = 12
    boost: BoostSettings = BoostSettings()
    l2: Annotated[float, msgspec.Meta(gt=0.0)] = 100.0
    long_quantile: Annotated[float, msgspec.Meta(gt=0.5, lt=1.0)] = 0.85
    short_quantile: Annotated[float, msgspec.Meta(gt=0.0, lt=0.5)] = 0.15
    exit_quantile: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)] = 0.5
    domain_quantile: Annotated[float, msgspec.Meta(ge=0.0, lt=0.5)] = 0.001
    trade_without_skill: bool = False
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 7


def demo_settings(leader: InstrumentId = "", *, seed: int = 7) -> TrainSettings:
    """Settings for `kedge up` and demonstrations: seconds of training on some thousands of bars, and a model that trades in any case."""
    return TrainSettings(
        leader=leader, folds=3, boost=BoostSettings(rounds=40, leaves=7, leaf_rows_min=100), trade_without_skill=True, seed=seed
    )


def settings_sha256(settings: TrainSettings) -> str:
    """The settings' name in models and records."""
    return content_hash(settings)
