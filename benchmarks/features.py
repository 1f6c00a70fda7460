"""What features cost: one bar of twenty instruments, one call, the engine's step with and without them, and a whole series.

Beside it, on the same bars in the same run: Polars on those features that it has functions for, over the series, and bar by bar over the
last 200 bars as a stream would have to ask it. Run: `python benchmarks/features.py [--quick]`. Times are the best of several rounds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from kedge.domain.events import BarClosed
from kedge.engine.engine import Engine
from kedge.engine.settings import EngineSettings
from kedge.learning.feature import Feature
from kedge.learning.feature_rows import CLOSE, HIGH, LEADER_CLOSE, LOW, OPEN, VOLUME, closes_of, rows_of
from kedge.learning.feature_sets import feature_set
from kedge.learning.features import FeatureSet, Float64Array, update_features
from kedge.learning.operators import Operator
from kedge.market.catalogue import CATALOGUE
from kedge.market.grid_bars import GridBars
from kedge.strategy.base import NO_TARGETS, Target, View

INSTRUMENT = CATALOGUE["bybit-linear:BTCUSDT"][-1]
LEADER = INSTRUMENT.instrument_id
INSTRUMENTS, FLOOR_US = 20, 1_000.0
QUARTER_NS = 900_000_000_000
CORE = feature_set("core", LEADER).features
TAIL = 200
SHARED = (
    Feature("momentum", Operator.MOMENTUM, 16),
    Feature("zscore", Operator.ZSCORE, 96),
    Feature("ema", Operator.EMA, 24),
    Feature("volatility", Operator.VOLATILITY, 96),
    Feature("ema_gap", Operator.EMA_GAP, 24, 96),
    Feature("parkinson", Operator.PARKINSON, 24),
    Feature("range", Operator.RANGE_POSITION, 96),
    Feature("body", Operator.BODY, 8),
    Feature("volume", Operator.VOLUME_ZSCORE, 96),
    Feature("leader", Operator.LEADER_RETURN, 4, of=LEADER),
)
"""The features that Polars has functions for; `polars_features` says how."""


class Looks:
    """A strategy that never trades."""

    name = "looks"

    def __init__(self, features: tuple[Feature, ...]) -> None:
        self.features = features

    def on_event(self, view: View) -> Sequence[Target]:
        return NO_TARGETS


def walk(count: int) -> GridBars:
    """A seeded walk of quarter hours on BTCUSDT's grid."""
    rng = np.random.default_rng(7)
    close = np.maximum(10_000, 600_000 + np.cumsum(rng.normal(0, 900, count)).astype(np.int64))
    opened = np.concatenate(([600_000], close[:-1]))
    high, low = np.maximum(opened, close) + rng.integers(0, 500, count), np.minimum(opened, close) - rng.integers(0, 500, count)
    start = INSTRUMENT.valid_from_ns // QUARTER_NS * QUARTER_NS + QUARTER_NS
    times = start + np.arange(count, dtype=np.int64) * QUARTER_NS
    return GridBars(times, times + QUARTER_NS, opened, high, low, close, rng.integers(1_000, 2_000_000, count))


def events(bars: GridBars) -> list[BarClosed]:
    columns = (bars.close_ts_ns, bars.open_ts_ns, bars.open_ticks, bars.high_ticks, bars.low_ticks, bars.close_ticks, bars.volume_lots)
    return [BarClosed(ts, LEADER, *rest) for ts, *rest in zip(*(column.tolist() for column in columns), strict=True)]


def polars_features(frame: pl.DataFrame) -> pl.DataFrame:
    """The shared features as one lazy query's expressions, computed together on all of Polars' threads."""
    o, h, low, c, v, k = (pl.col(name) for name in ("o", "h", "l", "c", "v", "k"))
    squared, span = (c / c.shift()).log() ** 2, (h / low).log() ** 2
    top, bottom = h.rolling_max(96), low.rolling_min(96)
    return frame.select(
        momentum=(c / c.shift(16)).log(),
        zscore=(c - c.rolling_mean(96)) / c.rolling_std(96, ddof=0),
        ema=c.ewm_mean(span=24, adjust=False),
        volatility=squared.ewm_mean(span=96, adjust=False).sqrt(),
        ema_gap=(c.ewm_mean(span=24, adjust=False) / c.ewm_mean(span=96, adjust=False)).log(),
        parkinson=(span.rolling_mean(24) / (4 * np.log(2.0))).sqrt(),
        range=(c - bottom) / (top - bottom),
        body=(c - o).rolling_sum(8) / (h - low).rolling_sum(8),
        volume=(v - v.rolling_mean(96)) / v.rolling_std(96, ddof=0),
        leader=(k / k.shift(4)).log(),
    )


def best_us(work: Callable[[], Any], rounds: int) -> float:
    """Microseconds of the quickest of some rounds; other work on the machine only adds."""
    spans = []
    for _ in range(rounds):
        start = time.perf_counter_ns()
        work()
        spans.append(time.perf_counter_ns() - start)
    return min(spans) / 1e3


def one_bar_us(rows: Float64Array, rounds: int) -> float:
    """One bar of every instrument: a call each, on memories of their own that are warm."""
    features = FeatureSet(CORE)
    states = [np.zeros(features.state_size) for _ in range(INSTRUMENTS)]
    outs = [np.full(len(CORE), np.nan) for _ in range(INSTRUMENTS)]
    for row in rows[:200]:
        for state, out in zip(states, outs, strict=True):
            update_features(features.ops, state, out, row)

    def bar() -> None:
        for state, out in zip(states, outs, strict=True):
            update_features(features.ops, state, out, rows[200])

    return best_us(bar, 20 * rounds)


def step_us(bars: list[BarClosed], features: tuple[Feature, ...], rounds: int) -> float:
    """A bar through `Engine.step` of a strategy that never trades."""

    def run() -> None:
        settings = EngineSettings(
            run_id="b", account="b", strategy="looks", params={}, wallet_e8=10**12, start_ts_ns=bars[0].open_ts_ns, interval_ns=QUARTER_NS,
        )  # fmt: skip
        step = Engine(settings, (INSTRUMENT,), Looks(features)).step
        for bar in bars:
            step(bar)

    return best_us(run, rounds) / len(bars)


def measure(count: int, rounds: int) -> dict[str, float]:
    """Every figure: microseconds a bar, but rates in bars a second."""
    bars = walk(count)
    rows = rows_of(INSTRUMENT, bars, interval_ns=QUARTER_NS, leader=closes_of(INSTRUMENT, bars))
    told = events(bars)[:20_000]
    cells = {"o": OPEN, "h": HIGH, "l": LOW, "c": CLOSE, "v": VOLUME, "k": LEADER_CLOSE}
    frame = pl.DataFrame({name: np.ascontiguousarray(rows[:, cell]) for name, cell in cells.items()})
    shared, core, warm = FeatureSet(SHARED), FeatureSet(CORE), frame[-TAIL:]
    ours, theirs = shared.batch(rows)[1_000:], polars_features(frame).to_numpy()[1_000:]
    state, out = np.zeros(shared.state_size), np.full(len(SHARED), np.nan)
    return {
        "difference": float(np.abs(ours - theirs).max()),
        "equal_bars": float((ours == theirs).all(axis=1).mean()),
        "all_us": one_bar_us(rows, rounds),
        "step_core_us": step_us(told, CORE, rounds),
        "step_none_us": step_us(told, (), rounds),
        "rows_per_s": count / best_us(lambda: rows_of(INSTRUMENT, bars, interval_ns=QUARTER_NS), rounds) * 1e6,
        "core_per_s": count / best_us(lambda: core.batch(rows), rounds) * 1e6,
        "shared_per_s": count / best_us(lambda: shared.batch(rows), rounds) * 1e6,
        "polars_per_s": count / best_us(lambda: polars_features(frame), rounds) * 1e6,
        "shared_us": best_us(lambda: update_features(shared.ops, state, out, rows[-1]), 200 * rounds),
        "polars_us": best_us(lambda: polars_features(warm), 20 * rounds),
    }


def table(figures: dict[str, float]) -> str:
    """The figures as Markdown."""
    f, n, s = figures, len(CORE), len(SHARED)
    return "\n".join(
        [
            f"`core` is {n} features with a leader; {s} of its kinds are ones that Polars has functions for.",
            "",
            "| what | figure | beside |",
            "|---|---|---|",
            f"| one bar of {INSTRUMENTS} instruments x {n} | {f['all_us']:.0f} us | {FLOOR_US / f['all_us']:.0f} times below 1 ms |",
            f"| one instrument, {n} features | {f['all_us'] / INSTRUMENTS:.1f} us | |",
            f"| `Engine.step` of a bar with `core` | {f['step_core_us']:.1f} us | {f['step_none_us']:.1f} us without features |",
            f"| {s} features, one bar, stream | {f['shared_us']:.2f} us | Polars over the last {TAIL} bars: {f['polars_us']:,.0f} us |",
            f"| {s} features, whole series | {f['shared_per_s']:,.0f} bars/s | Polars, all threads: {f['polars_per_s']:,.0f} bars/s |",
            f"| `core`, whole series | {f['core_per_s']:,.0f} bars/s | building its rows: {f['rows_per_s']:,.0f} bars/s |",
            f"| difference from Polars | at most {f['difference']:.1e} | {f['equal_bars']:.1%} of bars equal to the bit |",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    print(table(measure(5_000, 2) if given.quick else measure(70_000, 7)))


if __name__ == "__main__":
    main()
