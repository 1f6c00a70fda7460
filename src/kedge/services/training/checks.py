"""What a training refuses before it costs time: data that cannot teach, settings that do not fit the data."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from kedge.domain.errors import InvalidInput
from kedge.learning.dataset import Dataset
from kedge.learning.training_data import TrainingData
from kedge.services.training.settings import TrainSettings

ROWS_MIN: Final = 500
"""Fewer labelled rows than this and every figure is noise."""


def check_settings(settings: TrainSettings) -> None:
    """Refuse settings outside their bounds.

    Raises
    ------
    InvalidInput
        Names the field, its value and the bound.
    """
    try:
        msgspec.convert(msgspec.to_builtins(settings), TrainSettings)
    except msgspec.ValidationError as error:
        where = str(error).rpartition("`$.")[2].rstrip("`")
        value: Any = settings
        for name in where.split("."):
            value = getattr(value, name)
        raise InvalidInput(f"training setting {where} is {value!r}", why=str(error).partition(" - ")[0], fix="choose another") from None


def check_dataset(dataset: Dataset, settings: TrainSettings) -> None:
    """Refuse a leader that is not in the data set.

    Raises
    ------
    InvalidInput
        The leader has no bars here.
    """
    if settings.leader and settings.leader not in dataset.instruments:
        raise InvalidInput(
            f"leader {settings.leader!r}",
            why=f"the data set holds {', '.join(dataset.instruments)}",
            fix="name one of these, or train without a leader",
        )


def check_rows(data: TrainingData, settings: TrainSettings) -> None:
    """Refuse rows that cannot teach.

    Raises
    ------
    InvalidInput
        Fewer than ROWS_MIN, or one outcome only.
    """
    rows = len(data)
    if rows < ROWS_MIN:
        raise InvalidInput(
            f"{rows} labelled rows",
            why=f"a training wants {ROWS_MIN}; {_dropped(data)}",
            fix=f"use more bars, or a horizon shorter than {settings.label.horizon_bars} bars",
        )
    rises = int(data.y.sum())
    if not 0 < rises < rows:
        raise InvalidInput(f"{rises} rises among {rows} rows", why="both outcomes must occur", fix="use a longer span of data")


def _dropped(data: TrainingData) -> str:
    said = ", ".join(f"{code} {count}" for code, count in data.dropped.items() if count)
    return f"dropped: {said}" if said else "nothing was dropped"
