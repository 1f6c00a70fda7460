"""A trained model as one frozen document: what it reads, how it scores, how the score becomes a probability and a trade.

Its canonical bytes are its identity: SHA-256 of `encode_model(model)` names the model in every record. No time, host, run or
commit stands in it, so the same data, settings and code give the same hash; those facts stand in the training record beside it.
"""

from __future__ import annotations

from typing import Final

import msgspec

from kedge.domain.canonical import digest, encode
from kedge.domain.errors import IntegrityError, InvalidInput
from kedge.learning.feature import Feature

MODEL_FORMAT: Final = "kedge/model/v1"


class FeatureSetSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A named, versioned composition of features; see `learning.feature_sets` for those that ship."""

    name: str
    version: int
    features: tuple[Feature, ...]


class Trees(msgspec.Struct, frozen=True, kw_only=True):
    """Gradient-boosted trees laid flat. Node n is a split when `feature[n] >= 0`, else a leaf whose value is `threshold[n]`.

    Left is taken when the value is <= `threshold[n]`; a NaN goes left when `nan_left[n]` is 1. Children are indices of nodes; `roots`
    are the first nodes of the trees, summed in their order.
    """

    feature: tuple[int, ...]
    threshold: tuple[float, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    nan_left: tuple[int, ...]
    roots: tuple[int, ...]


class Logistic(msgspec.Struct, frozen=True, kw_only=True):
    """score = intercept + sum(weight * (x - mean) / scale), a NaN counting as its mean; summed in the order of the features."""

    weights: tuple[float, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    intercept: float


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """From score to probability: `platt` is 1 / (1 + exp(-(slope * score + intercept))), `isotonic` interpolates its points."""

    method: str
    slope: float = 1.0
    intercept: float = 0.0
    scores: tuple[float, ...] = ()
    probabilities: tuple[float, ...] = ()


class LabelSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Triple barrier: from the open of the next bar, `barrier_vols` volatilities up and down, and `horizon_bars` ahead."""

    horizon_bars: int
    barrier_vols: float
    volatility_bars: int


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """When a probability is strong enough to trade on, frozen from out-of-fold predictions: enter beyond, leave back at `exit_at`."""

    long_above: float
    short_below: float
    exit_at: float


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One trained model. Exactly one of `trees` and `logistic` is there.

    Attributes
    ----------
    domain_low, domain_high : tuple of float
        What each feature was seen to be in training (outer quantiles): far outside, the model is not asked.
    barrier_frac : float
        Mean distance of a barrier in training, as a fraction of price; scales the expected return.
    dataset_sha256, settings_sha256 : str
        The frozen data set's manifest and the training settings.
    """

    name: str
    feature_set: FeatureSetSpec
    feature_set_sha256: str
    label: LabelSpec
    policy: Policy
    calibration: Calibration
    interval_ns: int
    barrier_frac: float
    domain_low: tuple[float, ...]
    domain_high: tuple[float, ...]
    dataset_sha256: str
    settings_sha256: str
    seed: int
    trees: Trees | None = None
    logistic: Logistic | None = None
    format: str = MODEL_FORMAT


def encode_model(model: Model) -> bytes:
    """The document: canonical JSON, floats as their shortest exact text.

    Raises
    ------
    InvalidInput
        It would not read back as itself: JSON has no infinity and no NaN.
    """
    data = encode(model)
    try:
        same = msgspec.json.decode(data, type=Model) == model
    except msgspec.ValidationError:
        same = False
    if not same:
        raise InvalidInput(
            f"model {model.name!r} holds a number that is not finite",
            why="its document would not read back as itself",
            fix="find what training made infinite or NaN: a constant feature, a weight, a quantile",
        )
    return data


def model_sha256(model: Model) -> str:
    """The model's name in every record."""
    return digest(encode_model(model))


def decode_model(data: bytes, *, sha256: str) -> Model:
    """Read a document, after checking that it is the one that was named.

    Raises
    ------
    IntegrityError
        Its bytes have another hash, or it is no model of this format.
    """
    found = digest(data)
    if found != sha256:
        raise IntegrityError(
            f"model {sha256[:16]} has other bytes than its name says",
            why=f"SHA-256 is {found}",
            fix="keep the file as evidence; restore it from MLflow's artefacts or train again",
        )
    try:
        model = msgspec.json.decode(data, type=Model)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityError(f"model {sha256[:16]}: {error}", why="another format", fix="load it with the version that wrote it") from None
    if model.format != MODEL_FORMAT or (model.trees is None) == (model.logistic is None):
        raise IntegrityError(
            f"model {sha256[:16]} is of format {model.format!r}", why=f"this version reads {MODEL_FORMAT}", fix="train again"
        )
    return model
