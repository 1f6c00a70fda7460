"""What a prediction costs: our walk of the trees beside LightGBM's own, on the same trees and rows, one row at a time and in batches.

Run: `python benchmarks/scorer.py [--quick]`. 200 trees of 15 leaves over 32 features, one thread. Times are CPU time, the best of several
rounds; the first line tells the largest difference of raw scores between the two in this very run.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np

from kedge.learning.feature import Feature
from kedge.learning.features import Float64Array
from kedge.learning.model import Calibration, FeatureSetSpec, LabelSpec, Logistic, Model, Policy, Trees
from kedge.learning.operators import Operator
from kedge.learning.scorer import Scorer
from kedge.learning.tree_import import trees_from_lightgbm

N_FEATURES, TREES, LEAVES = 32, 200, 15
FEATURES = tuple(Feature(f"f{n}", Operator.MOMENTUM, n + 1) for n in range(N_FEATURES))
SETTINGS: dict[str, Any] = {
    "objective": "binary",
    "num_leaves": LEAVES,
    "learning_rate": 0.05,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
    "seed": 1,
}


def market_like(rng: np.random.Generator, rows: int) -> Float64Array:
    x = rng.standard_t(4, (rows, N_FEATURES))
    x[:, :4][rng.random((rows, 4)) < 0.1] = np.nan
    return x


def trained(rng: np.random.Generator, rows: int) -> Any:
    x = market_like(rng, rows)
    told = np.nan_to_num(x[:, 0]) + np.abs(x[:, 5]) + x[:, 6] * x[:, 7] + rng.normal(0, 3, rows)
    return lightgbm.train(SETTINGS, lightgbm.Dataset(x, label=(told > 0.5) * 1.0), TREES)


def model(trees: Trees | None, logistic: Logistic | None, calibration: Calibration) -> Model:
    return Model(
        name="benchmark",
        feature_set=FeatureSetSpec(name="benchmark", version=1, features=FEATURES),
        feature_set_sha256="",
        label=LabelSpec(horizon_bars=8, barrier_vols=1.0, volatility_bars=96),
        policy=Policy(long_above=0.6, short_below=0.4, exit_at=0.5),
        calibration=calibration,
        interval_ns=900_000_000_000,
        barrier_frac=0.01,
        domain_low=(-9.0,) * N_FEATURES,
        domain_high=(9.0,) * N_FEATURES,
        dataset_sha256="",
        settings_sha256="",
        seed=1,
        trees=trees,
        logistic=logistic,
    )


def us_a_row(work: Callable[[], object], rows: int, rounds: int) -> float:
    """CPU microseconds a row in the quickest round."""
    taken = []
    for _ in range(rounds):
        start = time.process_time_ns()
        work()
        taken.append((time.process_time_ns() - start) / rows / 1_000)
    return min(taken)


def one_by_one(ask: Callable[[Float64Array], object], rows: list[Float64Array]) -> Callable[[], None]:
    def work() -> None:
        for row in rows:
            ask(row)

    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    rounds, batch, singles = (1, 2_000, 200) if quick else (5, 100_000, 5_000)
    rng = np.random.default_rng(3)
    booster = trained(rng, 2_000 if quick else 30_000)
    text = booster.model_to_string()
    trees = trees_from_lightgbm(text)
    platt = Calibration(method="platt", slope=0.8, intercept=0.01)
    isotonic = Calibration(
        method="isotonic", scores=tuple(np.linspace(-3, 3, 200).tolist()), probabilities=tuple(np.linspace(0.1, 0.9, 200).tolist())
    )
    scorer, stepped = Scorer(model(trees, None, platt)), Scorer(model(trees, None, isotonic))
    terms = (0.1,) * N_FEATURES
    straight = Scorer(model(None, Logistic(weights=terms, means=terms, scales=terms, intercept=0.0), platt))
    x = market_like(rng, batch)
    rows, wide = list(x[:singles]), [x[n : n + 1] for n in range(max(1, singles // 10))]
    score = scorer.score(rows[0])

    def theirs(asked: Float64Array) -> Float64Array:
        return np.asarray(booster.predict(asked, raw_score=True, num_threads=1), np.float64)

    apart = float(np.abs(scorer.batch(x)[0] - theirs(x)).max())
    table: list[tuple[str, float]] = [
        ("trees, one row: score", us_a_row(one_by_one(scorer.score, rows), singles, rounds)),
        ("trees, one row: LightGBM predict", us_a_row(one_by_one(theirs, wide), len(wide), rounds)),
        (f"trees, {batch:,} rows: batch", us_a_row(lambda: scorer.batch(x), batch, rounds)),
        (f"trees, {batch:,} rows: LightGBM predict", us_a_row(lambda: theirs(x), batch, rounds)),
        ("logistic, one row: score", us_a_row(one_by_one(straight.score, rows), singles, rounds)),
        ("probability, Platt", us_a_row(lambda: [scorer.probability(score) for _ in range(singles)], singles, rounds)),
        ("probability, isotonic of 200 points", us_a_row(lambda: [stepped.probability(score) for _ in range(singles)], singles, rounds)),
        ("importing a booster's text, once", us_a_row(lambda: trees_from_lightgbm(text), 1, rounds)),
        ("making a scorer of a document, once", us_a_row(lambda: Scorer(model(trees, None, platt)), 1, rounds)),
    ]
    print(f"{TREES} trees of {LEAVES} leaves, {N_FEATURES} features; largest difference of raw scores from LightGBM's: {apart:.1e}")
    print(f"{'':<40}{'us a row':>12}{'rows/s':>14}")
    for name, us in table:
        print(f"{name:<40}{us:>12.2f}{1e6 / us:>14,.0f}")


if __name__ == "__main__":
    main()
