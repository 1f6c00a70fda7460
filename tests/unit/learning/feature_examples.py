"""Seeded rows for tests of features: a walk whose bars move, trade and gap like real ones, with funding and a leader."""

from __future__ import annotations

import numpy as np

from kedge.learning.feature import Feature
from kedge.learning.feature_rows import ROW_SIZE, TS_S
from kedge.learning.features import Float64Array
from kedge.learning.operators import OPERATORS, Operator

LEADER = "test:AAAUSDT"
START_S = 1_699_920_000
"""A UTC midnight, Tuesday 14 November 2023."""
BAR_S = 900


def rows(count: int = 200, seed: int = 7) -> Float64Array:
    """Bars of fifteen minutes, funding every eight hours, a leader known from the third bar on."""
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.01, count)))
    opened = np.concatenate(([100.0], close[:-1])) * np.exp(rng.normal(0, 0.002, count))
    made = np.empty((count, ROW_SIZE))
    made[:, 0], made[:, 3] = opened, close
    made[:, 1] = np.maximum(opened, close) * np.exp(np.abs(rng.normal(0, 0.004, count)))
    made[:, 2] = np.minimum(opened, close) * np.exp(-np.abs(rng.normal(0, 0.004, count)))
    made[:, 4] = rng.gamma(2.0, 50.0, count)
    made[:, TS_S] = START_S + BAR_S * np.arange(1, count + 1)
    settled = made[:, TS_S] // 28_800 * 28_800
    made[:, 6] = 1e-4 * np.sin(settled)
    made[:, 7] = settled
    made[:, 8] = 50.0 * np.exp(np.cumsum(rng.normal(0, 0.01, count)))
    made[:2, 8] = np.nan
    return made


def feature(operator: Operator, window: int = 1, second: int = 0, name: str = "f") -> Feature:
    """A feature of any operator; the leader is named where it is read."""
    return Feature(name, operator, window, second, LEADER if "LEADER_CLOSE" in OPERATORS[operator].inputs else "")


def every_operator(window: int = 5, second: int = 11) -> tuple[Feature, ...]:
    """One feature of each operator."""
    windows = {0: (1, 0), 1: (window, 0), 2: (window, second)}
    return tuple(feature(o, *windows[OPERATORS[o].windows], o.name.lower()) for o in Operator)
