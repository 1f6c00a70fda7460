"""How a model came to be: the facts that must not stand in the model itself, because they differ from run to run.

Rules: what can be computed is computed (hashes, commit, environment), never handed in; figures are decimal text, an unknown one is
left out; the record of the first training that gave a model stays with it.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from kedge.domain.canonical import digest, encode

TRAINING_FORMAT: Final = "kedge/training/v1"
TREES: Final = "trees"
LOGISTIC: Final = "logistic"

Figures = dict[str, str]
"""Name of a figure to its value as decimal text."""


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """Versions and machine a training ran on; text as the libraries and the system name themselves."""

    python: str
    numpy: str
    numba: str
    lightgbm: str
    scikit_learn: str
    platform: str
    cpu: str


class FoldFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One fold: rows it learned from and was tested on, the test's span (Unix ns), and how model and baseline did there."""

    train_rows: int
    test_rows: int
    test_from_ns: int
    test_to_ns: int
    figures: Figures
    baseline: Figures


class TrainingRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One training.

    Attributes
    ----------
    commit : str
        The commit of the code that trained; empty where nobody says (`commit_known` is then false).
    code_sha256 : str
        Over the sources of the rooms that decide, `ops.build.code_sha256`.
    kind : str
        TREES or LOGISTIC.
    settings : dict
        The training settings as plain data; their hash is `settings_sha256`.
    rows, effective_rows : int, str
        Labelled rows learned from, and the sum of their uniqueness (overlapping labels say less).
    figures, baseline : dict
        Pooled over the out-of-fold rows: the model's, and those of the logistic baseline on the same folds.
    calibration : dict
        The method chosen and each candidate's Brier score.
    data : dict
        In words: span, instruments, rows that were dropped and why.
    seconds : dict
        Wall time of each step.
    """

    name: str
    model_sha256: str
    dataset_sha256: str
    feature_set_sha256: str
    settings_sha256: str
    settings: dict[str, Any]
    seed: int
    kind: str
    commit: str
    commit_known: bool
    code_sha256: str
    engine_version: str
    environment: Environment
    rows: int
    effective_rows: str
    figures: Figures
    baseline: Figures
    folds: tuple[FoldFigures, ...]
    calibration: Figures
    data: dict[str, str]
    seconds: Figures
    trained_ts_ns: int
    format: str = TRAINING_FORMAT

    @property
    def trades_without_skill(self) -> bool:
        """Whether the model was trained to trade even where it has learned nothing, which is for demonstrations."""
        return bool(self.settings.get("trade_without_skill", False))


def encode_training(record: TrainingRecord) -> bytes:
    """The record: canonical JSON."""
    return encode(record)


def training_sha256(record: TrainingRecord) -> str:
    """The record's name: SHA-256 of its canonical bytes, hex."""
    return digest(encode_training(record))
