"""Small data sets from a seeded walk, shared by tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tests.builders import AAA, BBB, HOUR, MINUTE, T0, instrument

from kedge.domain.record import DataSource
from kedge.learning.dataset import Dataset, Part
from kedge.learning.feature_rows import Settlements
from kedge.market.grid_bars import GridBars

INTERVAL = 15 * MINUTE


def grid_walk(seed: int, count: int, *, first: int = 0, interval_ns: int = INTERVAL) -> GridBars:
    """A walk in ticks around 10,000, opens at the close before."""
    rng = np.random.default_rng(seed)
    close = np.rint(10_000 * np.exp(np.cumsum(rng.normal(0, 0.004, count)))).astype(np.int64)
    opened = np.concatenate(([10_000], close[:-1])).astype(np.int64)
    high = np.maximum(opened, close) + rng.integers(0, 25, count)
    low = np.minimum(opened, close) - rng.integers(0, 25, count)
    open_ts = T0 + (first + np.arange(count, dtype=np.int64)) * interval_ns
    return GridBars(open_ts, open_ts + interval_ns, opened, high, low, close, rng.integers(1, 5_000, count))


def without(bars: GridBars, low: int, high: int) -> GridBars:
    """The bars with a hole where rows low..high-1 were."""
    keep = np.ones(len(bars), np.bool_)
    keep[low:high] = False
    return GridBars(**{name: getattr(bars, name)[keep] for name in GridBars.__dataclass_fields__})


def source(bars: GridBars, instrument_id: str, label: str = "walk") -> DataSource:
    return DataSource(
        label=label,
        sha256="a" * 64,
        rows=len(bars),
        first_ts_ns=int(bars.open_ts_ns[0]),
        last_ts_ns=int(bars.close_ts_ns[-1]),
        instrument=instrument_id,
    )


def part(instrument_id: str = AAA, seed: int = 1, count: int = 400, *, bars: GridBars | None = None, **changes: Any) -> Part:
    held = grid_walk(seed, count) if bars is None else bars
    due = np.arange(T0 + 8 * HOUR, int(held.close_ts_ns[-1]) + 1, 8 * HOUR, dtype=np.int64)
    given: dict[str, Any] = {
        "records": (instrument(instrument_id),),
        "bars": held,
        "sources": (source(held, instrument_id),),
        "fundings": Settlements(due, np.arange(len(due), dtype=np.int64) * 100 - 500),
        "funding_sources": (source(held, instrument_id, "settled"),),
        "quarantined": {"OFF_TICK": 2},
        **changes,
    }
    return Part(**given)


def dataset(ids: Sequence[str] = (AAA, BBB), count: int = 400) -> Dataset:
    return Dataset(INTERVAL, tuple(part(one, n + 1, count) for n, one in enumerate(ids)))
