"""A small market to learn from: synthetic bars, and settings that train in a second."""

from __future__ import annotations

from typing import Any

import numpy as np

from kedge.domain.units import NS_PER_S
from kedge.learning.dataset import Dataset
from kedge.learning.model import LabelSpec
from kedge.market.catalogue import CATALOGUE, VENUE
from kedge.services.training import TrainSettings, synthetic_dataset
from kedge.services.training.settings import BoostSettings

INTERVAL_NS = 900 * NS_PER_S
START_NS = 1_718_000_000 * NS_PER_S // INTERVAL_NS * INTERVAL_NS
BARS = 760


def small_dataset(*symbols: str, bars: int = BARS, seed: int = 3) -> Dataset:
    """Synthetic quarter-hours of these symbols, ether alone by default."""
    instruments = [CATALOGUE[f"{VENUE}:{symbol}"][-1] for symbol in symbols or ("ETHUSDT",)]
    return synthetic_dataset(instruments, seed=seed, bars=bars, interval_ns=INTERVAL_NS, start_ts_ns=START_NS)


def small_settings(kind: Any = "logistic", **more: Any) -> TrainSettings:
    """Two folds, short labels, few small trees."""
    label = LabelSpec(horizon_bars=4, barrier_vols=1.0, volatility_bars=16)
    boost = BoostSettings(rounds=5, leaves=4, leaf_rows_min=20)
    return TrainSettings(**{"kind": kind, "label": label, "folds": 2, "embargo_bars": 4, "boost": boost, **more})


def with_pattern(dataset: Dataset, *, period: int = 8) -> Dataset:
    """The same bars with a wave in the closes that features can see: there is something to learn."""
    from dataclasses import replace

    parts = []
    for part in dataset.parts:
        bars = part.bars
        wave = np.rint(np.sin(np.arange(len(bars)) * 2 * np.pi / period) * bars.close_ticks.mean() * 0.01).astype(np.int64)
        closes = bars.close_ticks + wave
        opens = np.concatenate((closes[:1], closes[:-1]))
        moved = replace(
            bars,
            open_ticks=opens,
            close_ticks=closes,
            high_ticks=np.maximum(opens, closes) + 1,
            low_ticks=np.minimum(opens, closes) - 1,
        )
        parts.append(replace(part, bars=moved))
    return Dataset(dataset.interval_ns, tuple(parts))
