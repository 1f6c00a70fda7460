"""What a model adds to a bar: asking it, recording its word with its features, and keeping both in a journal.

    python benchmarks/model_step.py [--bars N] [--trees N]

The feature set is the shipped `core` one; the trees are full and random, since how they were fitted does not matter. The rule beside it
reads the same features and wants nothing, so the difference is the model's. Memory journals: the disk is `journal.py`'s business.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence

from kedge.domain.events import BarClosed
from kedge.domain.units import E8
from kedge.engine.engine import Engine
from kedge.engine.settings import EngineSettings
from kedge.kernel.compiling import compile_all
from kedge.learning.feature_sets import feature_set, feature_set_sha256
from kedge.learning.model import Calibration, LabelSpec, Model, Policy, Trees, model_sha256
from kedge.market.catalogue import CATALOGUE
from kedge.storage.journal_memory import MemoryJournal
from kedge.strategy.base import NO_TARGETS, Strategy, Target, View
from kedge.strategy.model import ModelParams, ModelTrader

MINUTE_NS = 60_000_000_000
SPEC = CATALOGUE["bybit-linear:BTCUSDT"][-1]
START_NS = SPEC.valid_from_ns // MINUTE_NS * MINUTE_NS
DEPTH = 5


class Idle:
    """A rule that reads the same features and wants nothing."""

    name = "idle"

    def __init__(self, model: Model) -> None:
        self.features = model.feature_set.features

    def on_event(self, view: View) -> Sequence[Target]:
        return NO_TARGETS


def full_trees(count: int, features: int, rng: random.Random) -> Trees:
    """Complete trees of `DEPTH` splits."""
    columns: tuple[list[int], list[float], list[int], list[int]] = ([], [], [], [])
    roots = []
    for _ in range(count):
        base = len(columns[0])
        roots.append(base)
        splits = 2**DEPTH - 1
        for n in range(2 * splits + 1):
            is_split = n < splits
            columns[0].append(rng.randrange(features) if is_split else -1)
            columns[1].append(rng.gauss(0.0, 0.01))
            columns[2].append(base + 2 * n + 1 if is_split else 0)
            columns[3].append(base + 2 * n + 2 if is_split else 0)
    feature, threshold, left, right = (tuple(column) for column in columns)
    return Trees(feature=feature, threshold=threshold, left=left, right=right, nan_left=(0,) * len(feature), roots=tuple(roots))


def a_model(trees: int) -> Model:
    """A model that never trades: no probability is beyond its thresholds."""
    spec = feature_set("core")
    count = len(spec.features)
    return Model(
        name="bench",
        feature_set=spec,
        feature_set_sha256=feature_set_sha256(spec),
        label=LabelSpec(horizon_bars=8, barrier_vols=1.0, volatility_bars=96),
        policy=Policy(long_above=1.0, short_below=0.0, exit_at=0.5),
        calibration=Calibration(method="platt"),
        interval_ns=MINUTE_NS,
        barrier_frac=0.01,
        domain_low=(-1e9,) * count,
        domain_high=(1e9,) * count,
        dataset_sha256="0" * 64,
        settings_sha256="0" * 64,
        seed=7,
        trees=full_trees(trees, count, random.Random(7)),
    )


def bars(count: int) -> list[BarClosed]:
    """A seeded walk."""
    rng, close, made = random.Random(7), 600_000, []
    for n in range(count):
        opened, close = close, max(1_000, close + rng.randint(-300, 300))
        high, low = max(opened, close) + 5, min(opened, close) - 5
        made.append(
            BarClosed(START_NS + (n + 1) * MINUTE_NS, SPEC.instrument_id, START_NS + n * MINUTE_NS, opened, high, low, close, 10_000)
        )
    return made


def us_per_bar(strategy: Strategy, events: list[BarClosed], *, journalled: bool) -> float:
    """Microseconds of a step, and of its commit where it is journalled."""
    settings = EngineSettings(
        run_id="bench", account="bench", strategy="bench", params={}, wallet_e8=100_000 * E8, start_ts_ns=START_NS, interval_ns=MINUTE_NS
    )
    engine, journal = Engine(settings, [SPEC], strategy), MemoryJournal(group_size=len(events) + 1)
    journal._refusal = ""  # no first record is needed to time commits
    began = time.perf_counter_ns()
    for event in events:
        outputs = engine.step(event)
        if outputs and (blobs := engine.take_blobs()) and journalled:
            journal.keep(blobs)
        if journalled:
            journal.commit(event, outputs)
    return (time.perf_counter_ns() - began) / len(events) / 1_000


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bars", type=int, default=50_000)
    parser.add_argument("--trees", type=int, default=200)
    given = parser.parse_args()
    compile_all()
    model, events = a_model(given.trees), bars(given.bars)
    trader = ModelTrader(ModelParams(model=model_sha256(model)), model)
    print(f"{len(trader.features)} features, {given.trees} trees of {2**DEPTH} leaves, {given.bars:,} bars; us a bar, best of 3")
    rows = (("rule that reads the same features", Idle(model), False), ("model, its word recorded", trader, False),
            ("rule, with the journal's bytes", Idle(model), True), ("model, with the journal's bytes and blobs", trader, True))  # fmt: skip
    for name, strategy, journalled in rows:
        best = min(us_per_bar(strategy, events, journalled=journalled) for _ in range(3))
        print(f"{name:<45}{best:>8.1f}")


if __name__ == "__main__":
    main()
