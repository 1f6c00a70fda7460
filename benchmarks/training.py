"""What a training costs, by step: 40,000 quarter hours of four instruments with the core features, five folds, trees beside the baseline.

Run: `python benchmarks/training.py [--quick]`. One round of a synthetic market on one core; libraries are imported before the clock runs.
"""

from __future__ import annotations

import argparse

import lightgbm  # noqa: F401  # seconds of import that are not training
import sklearn.linear_model  # noqa: F401

from kedge.domain.units import NS_PER_S
from kedge.market.catalogue import CATALOGUE, VENUE
from kedge.services.training import TrainSettings, default_leader, synthetic_dataset
from kedge.services.training.train import train

SYMBOLS = ("BNBUSDT", "BTCUSDT", "ETHUSDT", "SOLUSDT")
INTERVAL_NS = 900 * NS_PER_S
BARS = 10_000
QUICK_BARS = 1_000
START_NS = 1_718_000_000 * NS_PER_S // INTERVAL_NS * INTERVAL_NS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    bars = QUICK_BARS if parser.parse_args().quick else BARS
    instruments = [CATALOGUE[f"{VENUE}:{symbol}"][-1] for symbol in SYMBOLS]
    dataset = synthetic_dataset(instruments, seed=7, bars=bars, interval_ns=INTERVAL_NS, start_ts_ns=START_NS)
    trained = train(dataset, TrainSettings(leader=default_leader(dataset.instruments)), name="bench")
    record = trained.record
    print(f"{record.rows} labelled rows, {len(trained.model.feature_set.features)} features, {len(record.folds)} folds\n")
    print("| step | seconds |\n|---|---|")
    for step, seconds in record.seconds.items():
        print(f"| {step} | {float(seconds):.2f} |")
    print(f"| all | {sum(float(seconds) for seconds in record.seconds.values()):.2f} |")


if __name__ == "__main__":
    main()
